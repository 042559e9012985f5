//! The thread that writes: many share a flush, each is told, and a failure is told to all.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_wal::testing::{EIO, FaultyDisk, Operation};
use mainstay_wal::{Flush, Record, Refusal, Writer, WriterOptions};

use crate::{all, bodies, entry, open};

fn start(disk: &FaultyDisk) -> (Writer, Arc<Mutex<Vec<Flush>>>) {
    let flushes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&flushes);
    let on_flush = Box::new(move |flush| seen.lock().unwrap().push(flush));
    let options = WriterOptions { on_flush, waiting_max: 100_000, ..WriterOptions::default() };
    (Writer::start(open(disk).0, options).unwrap(), flushes)
}

#[test]
fn all_that_waits_shares_a_flush_and_each_is_told_in_order() {
    let disk = FaultyDisk::new();
    let (writer, flushes) = start(&disk);
    disk.set_flush_time(Duration::from_millis(20));
    let (tell, told) = channel();
    for index in 1..=300 {
        let tell = tell.clone();
        writer.append(vec![entry(index, 1)], move |outcome| tell.send((index, outcome.is_ok())).unwrap()).unwrap();
    }
    assert_eq!(told.iter().take(300).collect::<Vec<_>>(), (1..=300).map(|index| (index, true)).collect::<Vec<_>>());
    let log = writer.close().unwrap();
    assert_eq!(all(&log), bodies(1..=300, 1));
    let flushes = flushes.lock().unwrap();
    assert!(flushes.len() < 100, "{} flushes", flushes.len());
    assert_eq!(flushes.iter().map(|flush| flush.records).sum::<usize>(), 300);
    assert!(flushes.iter().all(|flush| flush.flush >= Duration::from_millis(20)));
}

#[test]
fn what_is_taken_in_is_read_before_it_is_written() {
    let disk = FaultyDisk::new();
    let (writer, _) = start(&disk);
    disk.set_flush_time(Duration::from_millis(50));
    let reader = writer.reader();
    for index in 1..=20 {
        writer.append(vec![entry(index, 1)], |_| {}).unwrap();
        assert_eq!(reader.last(), Some(index));
        assert_eq!(reader.read(index..index + 1, 1).unwrap().len(), 1);
    }
    writer.append(vec![Record::TruncateAfter(Some(10)), entry(11, 2)], |_| {}).unwrap();
    assert_eq!(reader.last(), Some(11));
    writer.append(vec![entry(12, 2), Record::TruncateAfter(Some(4)), entry(5, 3)], |_| {}).unwrap();
    writer.append(vec![Record::PurgeUpTo(2), entry(6, 3)], |_| {}).unwrap();
    let expected = [bodies(3..=4, 1), bodies(5..=6, 3)].concat();
    let read = |reader: &mainstay_wal::LogReader| {
        let read = reader.read(3..100, u64::MAX).unwrap();
        read.into_iter().map(|(_, body)| String::from_utf8(body.to_vec()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(read(&reader), expected);
    let log = writer.close().unwrap();
    assert_eq!(read(&reader), expected, "from the files now");
    drop(log);
    assert_eq!(all(&open(&disk).0), expected);
}

#[test]
fn a_flush_that_fails_is_told_to_all_who_wait_and_all_who_come() {
    let disk = FaultyDisk::new();
    let (writer, _) = start(&disk);
    writer.append_and_wait(vec![entry(1, 1)]).unwrap();
    disk.set_flush_time(Duration::from_millis(30));
    disk.fail_once(Operation::Flush, 0, EIO);
    let (tell, told) = channel();
    for index in 2..=5 {
        let tell = tell.clone();
        writer.append(vec![entry(index, 1)], move |outcome| tell.send(outcome.unwrap_err().whole()).unwrap()).unwrap();
    }
    for why in told.iter().take(4) {
        assert!(why.contains("flushing log/0000000001.log: Input/output error"), "{why}");
    }
    let late = writer.append(vec![entry(6, 1)], |_| panic!("it was refused"));
    assert!(matches!(late, Err(Refusal::Failed(_))), "{late:?}");
    assert!(writer.ended().is_some());
}

#[test]
fn nobody_waits_for_room() {
    let disk = FaultyDisk::new();
    let (writer, _) = start(&disk);
    disk.set_flush_time(Duration::from_millis(100));
    let refused = (1..).find_map(|index| writer.append(vec![entry(index, 1)], |_| {}).err().map(|why| (index, why)));
    let (index, why) = refused.unwrap();
    assert!(matches!(why, Refusal::Full { max: 100_000, .. }) && why.is_for_now(), "{why}");
    assert_eq!(writer.reader().last(), Some(index - 1), "what was refused is not seen");
    assert!(writer.waiting() > 90_000);
    let log = writer.close().unwrap();
    assert_eq!(log.last(), Some(index - 1));
}

#[test]
fn a_disk_that_stands_still_is_seen_from_outside() {
    let disk = FaultyDisk::new();
    let (writer, _) = start(&disk);
    writer.append_and_wait(vec![entry(1, 1)]).unwrap();
    disk.set_flush_time(Duration::from_millis(300));
    let (tell, told) = channel();
    writer.append(vec![entry(2, 1)], move |outcome| tell.send(outcome).unwrap()).unwrap();
    while writer.stalled_for().is_none_or(|stalled| stalled < Duration::from_millis(100)) {
        std::thread::yield_now();
    }
    assert_eq!(writer.reader().read(1..3, 1000).unwrap().len(), 2, "readers do not wait for it");
    told.recv().unwrap().unwrap();
}
