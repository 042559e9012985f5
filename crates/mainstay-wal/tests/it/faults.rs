//! A disk that fails: the log says so, takes nothing more, and what it confirmed is there.

use expect_test::expect;
use mainstay_wal::Refusal;
use mainstay_wal::testing::{EIO, FaultyDisk, Left, Operation};

use crate::{all, bodies, entry, open, try_open};

#[test]
fn after_a_flush_that_failed_the_log_never_pretends() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    log.append(&[entry(1, 1)]).unwrap();
    log.flush().unwrap();
    log.append(&[entry(2, 1)]).unwrap();
    disk.fail_once(Operation::Flush, 0, EIO);
    expect!["flushing log/0000000001.log: Input/output error (os error 5)"]
        .assert_eq(&log.flush().unwrap_err().whole());
    // The system would call the next flush good, though what was to be flushed is lost.
    for outcome in [log.flush(), log.append(&[entry(3, 1)]), log.mark()] {
        assert!(matches!(outcome, Err(Refusal::Failed(_))), "{outcome:?}");
    }
    expect!["the log takes nothing more since it failed. What was not confirmed may or may not be on the disk, and flushing again would not tell. Look at the disk, then start again: what is really there is read anew: flushing log/0000000001.log: Input/output error (os error 5)"].assert_eq(&log.flush().unwrap_err().whole());
    assert_eq!(all(&log), bodies(1..=2, 1), "what is there can still be read");
}

#[test]
fn what_is_read_from_the_systems_memory_after_a_failed_flush_is_made_to_survive_or_is_not_there() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    log.append(&[entry(1, 1)]).unwrap();
    log.flush().unwrap();
    log.append(&[entry(2, 1)]).unwrap();
    disk.fail_once(Operation::Flush, 0, EIO);
    log.flush().unwrap_err();
    drop(log);
    // Another process reads entry 2, which is on no disk. It counts on it from now on.
    let (log, found) = open(&disk);
    assert_eq!(found.last, Some(2));
    drop(log);
    let (log, _) = open(&disk.power_lost_at(disk.steps(), Left::Nothing));
    assert_eq!(all(&log), bodies(1..=2, 1));
}

#[test]
fn a_full_disk_is_told_before_anything_is_written_and_goes_on_when_there_is_room() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    disk.set_room(Some(3 * 4096 + 100));
    let mut last = 0;
    let refusal = loop {
        match log.append(&[entry(last + 1, 1)]) {
            Ok(()) => last += 1,
            Err(refusal) => break refusal,
        }
    };
    expect!["no room for 4096 bytes in log: 100 are free. Make room (remove what is not the store's, compact the store, or give it a larger disk); what is there can still be read"].assert_eq(&refusal.whole());
    assert!(refusal.is_for_now());
    log.flush().unwrap();
    assert_eq!(all(&log), bodies(1..=last, 1));
    // A purge takes the little that is left of the segment, and makes room for another.
    log.purge_up_to(last - 1).unwrap();
    log.flush().unwrap();
    log.append(&[entry(last + 1, 1)]).unwrap();
    log.flush().unwrap();
    drop(log);
    assert_eq!(all(&open(&disk).0), bodies(last..=last + 1, 1));
}

#[test]
fn a_disk_that_became_read_only_loses_nothing_and_is_told() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    log.append(&[entry(1, 1)]).unwrap();
    log.flush().unwrap();
    disk.make_read_only();
    expect!["writing log/0000000001.log: Read-only file system (os error 30)"]
        .assert_eq(&log.append(&[entry(2, 1)]).unwrap_err().whole());
    drop(log);
    expect!["opening log/0000000001.log: Read-only file system (os error 30)"]
        .assert_eq(&try_open(&disk).unwrap_err().whole());
    disk.mend();
    assert_eq!(all(&open(&disk).0)[..1], bodies(1..=1, 1));
}

#[test]
fn wherever_the_disk_fails_what_was_confirmed_is_there_afterwards() {
    use Operation::{Create, Flush, FlushDirectory, Open, Preallocate, Remove, Rename, Write};
    for of in [Create, Open, Preallocate, Write, Flush, FlushDirectory, Rename, Remove] {
        for after in 0..12 {
            let disk = FaultyDisk::new();
            let (mut log, _) = open(&disk);
            disk.fail_once(of, after, EIO);
            let mut confirmed = 0;
            let mut purged = 0;
            for index in 1..=120 {
                if log.append(&[entry(index, 1)]).and_then(|()| log.flush()).is_err() {
                    break;
                }
                confirmed = index;
                if index.is_multiple_of(40) && log.purge_up_to(index - 5).and_then(|()| log.flush()).is_ok() {
                    purged = index - 5;
                }
            }
            drop(log);
            disk.mend();
            for disk in [disk.clone(), disk.power_lost_at(disk.steps(), Left::Nothing)] {
                let (log, _) = open(&disk);
                assert!(log.last() >= Some(confirmed).filter(|last| *last > 0), "{of:?} {after}: {:?}", log.last());
                assert!(purged == 0 || log.first() > Some(purged), "{of:?} {after}");
                all(&log);
            }
        }
    }
}
