//! The tests of the log and the snapshots, as one binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod crash;
mod damage;
mod faults;
mod kill;
mod log;
mod snapshots;
mod writer;

use mainstay_wal::testing::FaultyDisk;
use mainstay_wal::{Log, Options, Record, Recovered, Refusal};

/// Small segments, made when they are needed, and the same every time.
fn small() -> Options {
    Options { segment: 4096, recent: 0, aside: false, salt: Some(7) }
}

fn open(disk: &FaultyDisk) -> (Log, Recovered) {
    try_open(disk).unwrap()
}

fn try_open(disk: &FaultyDisk) -> Result<(Log, Recovered), Refusal> {
    Log::open(disk.clone(), "log", small())
}

/// An entry that says what it is, 100 bytes long.
fn entry(index: u64, term: u64) -> Record {
    Record::entry(index, body(index, term))
}

fn body(index: u64, term: u64) -> String {
    format!("entry {index} of term {term} {:.<80}", "")
}

/// The bodies of all entries, in words.
fn all(log: &Log) -> Vec<String> {
    let (Some(first), Some(last)) = (log.first(), log.last()) else { return Vec::new() };
    let read = log.read(first..last + 1, u64::MAX).unwrap();
    assert_eq!(read.iter().map(|(index, _)| *index).collect::<Vec<_>>(), (first..=last).collect::<Vec<_>>());
    read.into_iter().map(|(_, body)| String::from_utf8(body.to_vec()).unwrap()).collect()
}

/// The bodies of entries of one term.
fn bodies(range: std::ops::RangeInclusive<u64>, term: u64) -> Vec<String> {
    range.map(|index| body(index, term)).collect()
}
