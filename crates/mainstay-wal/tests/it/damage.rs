//! What cannot be read: a torn tail is cut, anything else is refused and told.

use std::path::Path;

use expect_test::expect;
use mainstay_wal::testing::{FaultyDisk, Left};
use mainstay_wal::{Disk, Record, Refusal};

use crate::{all, bodies, entry, open, try_open};

const FIRST: &str = "log/0000000001.log";

/// A log of three flushes with nine entries each, and its disk when the power was lost after the last.
fn three_flushes() -> FaultyDisk {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    for flush in 0..3 {
        log.append(&(1..=9).map(|at| entry(flush * 9 + at, 1)).collect::<Vec<_>>()).unwrap();
        log.flush().unwrap();
    }
    disk.power_lost_at(disk.steps(), Left::Nothing)
}

/// Where the record begins that holds this entry.
fn place_of(disk: &FaultyDisk, file: &str, index: u64) -> usize {
    let begin = &crate::body(index, 1)[..20];
    disk.content(file).windows(begin.len()).position(|bytes| bytes == begin.as_bytes()).unwrap() - 32
}

fn refusal(disk: &FaultyDisk) -> String {
    try_open(disk).map(drop).unwrap_err().whole()
}

#[test]
fn a_torn_tail_is_cut_and_told() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    log.append(&[entry(1, 1)]).unwrap();
    log.flush().unwrap();
    log.append(&[entry(2, 1), entry(3, 1)]).unwrap();
    let torn = disk.power_lost_at(disk.steps(), Left::AllBut(10));
    let (mut log, found) = open(&torn);
    assert_eq!(all(&log), bodies(1..=2, 1));
    let cut = found.cut.unwrap();
    assert_eq!(cut.at, place_of(&disk, FIRST, 3) as u64);
    // A header of 32 bytes, and the body but for its last bytes, which are filling.
    assert!((120..=136).contains(&cut.bytes), "{cut:?}");
    log.append(&[entry(3, 2)]).unwrap();
    log.flush().unwrap();
    drop(log);
    let (log, found) = open(&torn);
    assert_eq!(found.cut, None);
    assert_eq!(all(&log)[2..], bodies(3..=3, 2));
}

#[test]
fn what_was_flushed_before_something_else_was_written_is_never_cut() {
    for index in 1..=18 {
        for (offset, what) in [(40, "a body"), (2, "a header"), (13, "a length")] {
            let disk = three_flushes();
            let place = place_of(&disk, FIRST, index);
            disk.flip(FIRST, place + offset, 0x10);
            match try_open(&disk) {
                Err(Refusal::Corrupt { offset, .. }) => assert_eq!(offset, place as u64, "{what} of {index}"),
                other => panic!("{what} of {index}: {other:?}"),
            }
        }
    }
}

#[test]
fn the_last_flush_is_known_once_the_log_was_marked() {
    let disk = three_flushes();
    let place = place_of(&disk, FIRST, 25);
    disk.flip(FIRST, place + 40, 1);
    let (log, found) = open(&disk.killed_at(disk.steps()));
    assert_eq!(all(&log), bodies(1..=24, 1), "nothing tells it from a torn tail");
    assert_eq!(found.cut.unwrap().at, place as u64);

    let disk = three_flushes();
    // Opening a log marks what is whole.
    drop(open(&disk));
    disk.flip(FIRST, place + 40, 1);
    expect!["log/0000000001.log is damaged at byte 3376: the record there cannot be read, and all up to byte 3784 was flushed. It was whole once and others may have been told so, hence nothing is cut off. Look at the disk; then remove this member's data and let it join again, so that it gets all from its peers (a member that is alone: restore a backup)"]
    .assert_eq(&refusal(&disk));
}

#[test]
fn what_stood_behind_a_cut_does_not_come_back_when_the_same_is_written_again() {
    for whole in 0..3 {
        let disk = FaultyDisk::new();
        let (mut log, _) = open(&disk);
        log.append(&(1..=whole).map(|index| entry(index, 1)).collect::<Vec<_>>()).unwrap();
        log.flush().unwrap();
        log.append(&[entry(whole + 1, 1), entry(whole + 2, 1)]).unwrap();
        // The block of the first was lost, that of the second was not.
        let torn = disk.power_lost_at(disk.steps(), Left::All);
        torn.flip(FIRST, place_of(&torn, FIRST, whole + 1) + 40, 1);
        let (mut log, _) = open(&torn);
        assert_eq!(all(&log), bodies(1..=whole, 1));
        log.append(&[entry(whole + 1, 1)]).unwrap();
        log.flush().unwrap();
        drop(log);
        assert_eq!(all(&open(&torn).0), bodies(1..=whole + 1, 1), "after {whole}");
    }
}

#[test]
fn a_record_that_stands_where_another_belongs_is_refused() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    for state in ["vote 1", "vote 2", "vote 3"] {
        log.append(&[Record::State(state.into())]).unwrap();
        log.flush().unwrap();
    }
    drop(log);
    let content = disk.content(FIRST);
    let place = |state: &str| content.windows(6).position(|bytes| bytes == state.as_bytes()).unwrap() - 32;
    // A disk that put the first where the second belongs: each is whole for itself.
    let first = &content[place("vote 1")..place("vote 1") + 40];
    disk.open(FIRST.as_ref()).unwrap().write_at(first, place("vote 2") as u64).unwrap();
    assert!(matches!(try_open(&disk), Err(Refusal::Corrupt { offset, .. }) if offset == place("vote 2") as u64));
}

/// A log of many segments, closed.
fn many_segments() -> FaultyDisk {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    for index in 1..=200 {
        log.append(&[entry(index, 1)]).unwrap();
    }
    log.flush().unwrap();
    disk
}

#[test]
fn damage_in_a_segment_that_is_not_the_last_is_refused_wherever_it_is() {
    let disk = many_segments();
    let segments = disk.list("log".as_ref()).unwrap();
    assert!(segments.len() > 6, "{segments:?}");
    let file = Path::new("log").join(&segments[2]);
    for at in (0..4096).step_by(3) {
        let disk = disk.power_lost_at(disk.steps(), Left::Nothing);
        disk.flip(&file, at, 4);
        match try_open(&disk) {
            Err(Refusal::Corrupt { file: told, .. }) => assert_eq!(told, file, "byte {at}"),
            // What fills a record up to eight bytes, and what is behind the last one, says nothing.
            Ok((log, _)) => assert_eq!(all(&log), bodies(1..=200, 1), "byte {at}"),
            other => panic!("byte {at}: {other:?}"),
        }
    }
}

#[test]
fn a_last_record_of_a_segment_that_vanished_is_missed() {
    let disk = many_segments();
    let content = disk.content(FIRST);
    let last = (1..=200).rev().find(|index| {
        let body = crate::body(*index, 1);
        content.windows(body.len()).any(|bytes| bytes == body.as_bytes())
    });
    let place = place_of(&disk, FIRST, last.unwrap());
    for (at, byte) in content.iter().enumerate().skip(place) {
        disk.flip(FIRST, at, *byte);
    }
    assert!(refusal(&disk).contains("a record that the next segment follows cannot be read"), "{}", refusal(&disk));
}

#[test]
fn a_segment_that_was_taken_away_is_missed() {
    let disk = many_segments();
    disk.remove("log/0000000001.log".as_ref()).unwrap();
    expect!["log lacks entries 1 to 29: the files that hold them are gone. Bring them back, or remove this member's data and let it join again, so that it gets all from its peers"].assert_eq(&refusal(&disk));
    let disk = many_segments();
    disk.remove("log/0000000003.log".as_ref()).unwrap();
    assert!(matches!(try_open(&disk), Err(Refusal::Missing { from: 1, .. })));
}

#[test]
fn what_a_caller_writes_is_never_taken_for_a_record() {
    let disk = three_flushes();
    let forged = disk.content(FIRST)[place_of(&disk, FIRST, 1)..].to_vec();
    let (mut log, _) = open(&disk);
    log.append(&[Record::entry(28, forged[..1000].to_vec())]).unwrap();
    let torn = disk.power_lost_at(disk.steps(), Left::AllBut(8));
    // The bytes of a real record of this very segment stand in the torn one: they claim no more than they did where they
    // were written.
    let (log, _) = open(&torn);
    assert_eq!(all(&log), bodies(1..=27, 1));
}

#[test]
fn a_newer_format_is_told() {
    let disk = three_flushes();
    let mut head = disk.content(FIRST)[..64].to_vec();
    head[8] = 9;
    let crc = crc32c::crc32c(&head[..60]);
    head[60..].copy_from_slice(&crc.to_le_bytes());
    disk.open(FIRST.as_ref()).unwrap().write_at(&head, 0).unwrap();
    expect!["log/0000000001.log has format 9, this version reads 1. Use the version of Mainstay that wrote it, or a newer one"].assert_eq(&refusal(&disk));
}
