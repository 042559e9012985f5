//! A log in good times: what is appended is there, what is taken back is not, and what is purged gives its room back.

use mainstay_wal::testing::FaultyDisk;
use mainstay_wal::{Disk, Log, Record, Refusal};

use crate::{all, bodies, body, entry, open, small, try_open};

#[test]
fn what_was_flushed_is_there_when_it_is_opened_again() {
    let disk = FaultyDisk::new();
    let (mut log, found) = open(&disk);
    assert_eq!((found.first, found.last, found.purged, found.state.clone(), found.cut.clone()), Default::default());
    for index in 1..=100 {
        log.append(&[entry(index, 1), Record::State(format!("vote {index}").into())]).unwrap();
    }
    log.flush().unwrap();
    drop(log);
    let (log, found) = open(&disk);
    assert_eq!((found.first, found.last, found.purged), (Some(1), Some(100), None));
    assert_eq!(found.state, Some("vote 100".into()));
    assert_eq!(found.cut, None);
    assert_eq!(all(&log), bodies(1..=100, 1));
}

#[test]
fn what_is_taken_back_is_gone_and_another_takes_its_place() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    log.append(&(1..=60).map(|index| entry(index, 1)).collect::<Vec<_>>()).unwrap();
    log.truncate_after(Some(40)).unwrap();
    log.append(&(41..=50).map(|index| entry(index, 2)).collect::<Vec<_>>()).unwrap();
    let expected = [bodies(1..=40, 1), bodies(41..=50, 2)].concat();
    assert_eq!(all(&log), expected);
    log.flush().unwrap();
    drop(log);
    let (mut log, _) = open(&disk);
    assert_eq!(all(&log), expected);
    log.truncate_after(None).unwrap();
    assert_eq!((log.first(), log.last()), (None, None));
    log.append(&[entry(0, 3)]).unwrap_err();
    log.append(&[entry(1, 3)]).unwrap();
    log.flush().unwrap();
    drop(log);
    assert_eq!(all(&open(&disk).0), [body(1, 3)]);
}

#[test]
fn a_log_may_begin_at_nought_and_be_emptied() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    log.append(&[entry(0, 1), entry(1, 1), Record::TruncateAfter(None), entry(0, 2)]).unwrap();
    log.flush().unwrap();
    drop(log);
    let (log, found) = open(&disk);
    assert_eq!((found.first, found.last), (Some(0), Some(0)));
    assert_eq!(all(&log), [body(0, 2)]);
}

#[test]
fn what_is_purged_gives_its_room_back() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    for index in 1..=1000 {
        log.append(&[entry(index, 1)]).unwrap();
        log.flush().unwrap();
        if index.is_multiple_of(100) {
            log.purge_up_to(index - 10).unwrap();
            log.flush().unwrap();
            assert!(log.bytes() < 8192, "{} bytes after {index}", log.bytes());
            assert!(disk.list("log".as_ref()).unwrap().len() <= 4, "{:?}", disk.list("log".as_ref()));
        }
    }
    assert!(matches!(log.read(900..901, 1), Err(Refusal::Purged { index: 900, first: 991 })));
    drop(log);
    let (log, found) = open(&disk);
    assert_eq!((found.first, found.last, found.purged), (Some(991), Some(1000), Some(990)));
    assert_eq!(all(&log), bodies(991..=1000, 1));
}

#[test]
fn a_log_that_is_purged_beyond_its_end_goes_on_behind_it() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    log.append(&[entry(1, 1), entry(2, 1)]).unwrap();
    log.purge_up_to(5000).unwrap();
    assert_eq!((log.first(), log.last()), (None, None));
    assert!(matches!(log.append(&[entry(3, 1)]), Err(Refusal::Gap { given: 3, expected: 5001 })));
    log.append(&[entry(5001, 2)]).unwrap();
    log.flush().unwrap();
    drop(log);
    let (log, found) = open(&disk);
    assert_eq!((found.first, found.last, found.purged), (Some(5001), Some(5001), Some(5000)));
    assert_eq!(all(&log), [body(5001, 2)]);
}

#[test]
fn a_batch_with_one_that_does_not_follow_is_refused_as_a_whole() {
    let (mut log, _) = open(&FaultyDisk::new());
    log.append(&[entry(7, 1)]).unwrap();
    assert!(matches!(log.append(&[entry(8, 1), entry(10, 1)]), Err(Refusal::Gap { given: 10, expected: 9 })));
    let long = Record::entry(8, vec![0; 2049]);
    assert!(matches!(log.append(&[long]), Err(Refusal::TooLong { length: 2049, max: 2048 })));
    log.purge_up_to(7).unwrap();
    let truncates = log.truncate_after(Some(5));
    assert!(matches!(truncates, Err(Refusal::TruncatesPurged { from: 6, purged: 7 })));
    log.append(&[entry(8, 1)]).unwrap();
    assert_eq!(all(&log), [body(8, 1)]);
}

#[test]
fn a_read_gives_no_more_than_was_asked_for_but_one() {
    let disk = FaultyDisk::new();
    let (mut log, _) = open(&disk);
    log.append(&(1..=90).map(|index| entry(index, 1)).collect::<Vec<_>>()).unwrap();
    let length = body(10, 1).len() as u64;
    let count = |max| log.read(10..80, max).unwrap().len() as u64;
    assert_eq!((count(0), count(length), count(3 * length), count(u64::MAX)), (1, 1, 3, 70));
    assert_eq!(log.read(91..100, 1000).unwrap(), []);
    assert_eq!(log.read(89..1000, 1000).unwrap().len(), 2);
}

#[test]
fn entries_that_stay_in_memory_are_read_without_the_disk() {
    let disk = FaultyDisk::new();
    let options = mainstay_wal::Options { recent: 1000, ..small() };
    let (mut log, _) = Log::open(disk.clone(), "log", options).unwrap();
    log.append(&(1..=90).map(|index| entry(index, 1)).collect::<Vec<_>>()).unwrap();
    disk.fail_always(mainstay_wal::testing::Operation::Read, mainstay_wal::testing::EIO);
    let held = 1000 / body(10, 1).len() as u64;
    assert_eq!(log.read(91 - held..91, u64::MAX).unwrap().len() as u64, held);
    assert!(log.read(90 - held..91, u64::MAX).is_err());
}

#[test]
fn two_cannot_write_one_log() {
    let disk = FaultyDisk::new();
    let (log, _) = open(&disk);
    assert!(matches!(try_open(&disk), Err(Refusal::Locked { .. })));
    drop(log);
    open(&disk);
}
