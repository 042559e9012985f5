//! What holds for any bytes at all that are taken for a segment or a snapshot.
//!
//! Whoever damages a file does not know its salt, and no fuzzer guesses a checksum: the bytes are what records *say*, and
//! all checksums are right. What is refused is refused in words; what is taken is read as it was taken, and the log goes
//! on behind it.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a law that meets what cannot be is broken")]

use std::path::Path;

use bytes::Bytes;

use crate::disk::Disk;
use crate::log::format::{Base, HEAD, Head, Header, Kind};
use crate::testing::FaultyDisk;
use crate::{Log, Options, Record, Recovered, Refusal, Snapshots};

const SEGMENT: usize = 4096;

/// Numbers drawn from bytes; nought when they are used up.
struct Drawn<'a>(&'a [u8]);

impl Drawn<'_> {
    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    /// Mostly small, now and then of any size.
    fn number(&mut self) -> u64 {
        match self.byte() {
            255 => (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte())),
            small => u64::from(small % 16),
        }
    }
}

/// Whatever the records of a segment say, the log is refused in words, or read as it was taken and goes on.
pub fn segments(bytes: &[u8]) {
    let mut drawn = Drawn(bytes);
    let disk = FaultyDisk::new();
    let mut before = 0;
    for number in 1..=1 + u32::from(drawn.byte() % 3) {
        let (content, chain) = written(&mut drawn, number, before);
        before = chain;
        put(&disk, &format!("log/{number:010}.log"), &content);
    }
    let Some((log, found)) = open(&disk) else { return };
    let (taken, next) = (content(&log), log.reader().next().unwrap_or(0));
    drop(log);
    let (mut log, again) = open(&disk).expect("what is taken once is taken twice");
    assert_eq!((content(&log), &again), (taken.clone(), &Recovered { cut: None, ..found }));
    match log.append(&[Record::entry(next, "more"), Record::State("later".into())]) {
        Ok(()) => log.flush().unwrap(),
        // There is no index after the last.
        Err(Refusal::Gap { .. }) => return assert_eq!(next, u64::MAX),
        Err(other) => panic!("{}", other.whole()),
    }
    drop(log);
    let (log, found) = open(&disk).expect("what was appended is taken");
    assert_eq!(content(&log), [taken, vec![(next, Bytes::from("more"))]].concat());
    assert_eq!((found.purged, found.state), (again.purged, Some("later".into())));
}

/// A segment whose checksums are right, whatever it says; and the last link of its chain.
fn written(drawn: &mut Drawn<'_>, number: u32, before: u32) -> (Vec<u8>, u32) {
    let was_zeros = drawn.byte().is_multiple_of(2);
    let head = Head { number, salt: drawn.number(), before, was_zeros };
    let mut content = head.encode().to_vec();
    let mut chain = head.chain();
    let base = Base {
        next: (!drawn.byte().is_multiple_of(4)).then(|| drawn.number()),
        first: drawn.number(),
        purged: drawn.byte().is_multiple_of(2),
        state: (drawn.byte().is_multiple_of(2)).then(|| Bytes::from_static(b"state")),
    };
    let mut records = vec![(Kind::Base, base.index(), base.encode())];
    for _ in 0..drawn.byte() % 24 {
        let kind = [Kind::Entry, Kind::Entry, Kind::Truncate, Kind::Purge, Kind::State, Kind::Mark, Kind::Base];
        let kind = kind[usize::from(drawn.byte()) % kind.len()];
        let (index, length) = (drawn.number(), usize::from(drawn.byte()) % 64);
        records.push((kind, index, vec![drawn.byte(); length]));
    }
    for (kind, index, body) in records {
        let (flushed, epoch) = (drawn.number() as u32, u16::from(drawn.byte() % 2));
        let (length, body_crc) = (body.len() as u32, crc32c::crc32c(&body));
        let header = Header { crc: 0, body_crc, before: chain, length, index, flushed, kind, epoch };
        chain = header.encode(head.salted(), &mut content);
        content.extend(body);
        content.resize(content.len().next_multiple_of(8), 0);
    }
    for byte in drawn.0.iter().take(HEAD) {
        content.push(*byte);
    }
    content.resize(SEGMENT.max(content.len()), 0);
    (content, chain)
}

fn put(disk: &FaultyDisk, path: &str, content: &[u8]) {
    disk.create(Path::new(path)).and_then(|file| file.write_at(content, 0)).unwrap();
}

fn open(disk: &FaultyDisk) -> Option<(Log, Recovered)> {
    let options = Options { segment: SEGMENT as u64, recent: 0, aside: false, salt: Some(1) };
    match Log::open(disk.clone(), "log", options) {
        Ok(opened) => Some(opened),
        Err(why @ (Refusal::Corrupt { .. } | Refusal::Missing { .. } | Refusal::Version { .. })) => {
            assert!(!why.whole().is_empty(), "a refusal says why");
            None
        }
        Err(other) => panic!("the disk is well: {}", other.whole()),
    }
}

fn content(log: &Log) -> Vec<(u64, Bytes)> {
    let (Some(first), Some(last)) = (log.first(), log.last()) else { return Vec::new() };
    let read = log.read(first..last + 1, u64::MAX).expect("what was taken can be read");
    assert!(read.iter().map(|(index, _)| *index).eq(first..=last), "no entry is left out");
    read
}

/// A snapshot of which up to four bytes that stand together are other ones, or the end is, is refused; any other is read
/// as it was written.
pub fn snapshot(bytes: &[u8]) {
    let mut drawn = Drawn(bytes);
    let disk = FaultyDisk::new();
    let (snapshots, _) = Snapshots::open(disk.clone(), "snapshots").unwrap();
    let mut writer = snapshots.create(7, Bytes::copy_from_slice(&[drawn.byte(); 5])).unwrap();
    let mut expected = Vec::new();
    for _ in 0..drawn.byte() % 4 {
        let piece = vec![drawn.byte(); 1 << (drawn.byte() % 20)];
        writer.write(&piece).unwrap();
        expected.extend(piece);
    }
    writer.finish().unwrap();
    drop(snapshots);
    let path = "snapshots/00000000000000000007.snap";
    let before = disk.content(path);
    let mut after = before.clone();
    match drawn.byte() % 3 {
        0 => after.truncate(drawn.number() as usize % (before.len() + 1)),
        1 => after.extend(drawn.0),
        _ => {
            let at = drawn.number() as usize % before.len();
            after[at..].iter_mut().take(4).for_each(|byte| *byte ^= drawn.byte());
        }
    }
    put(&disk, path, &after);
    match Snapshots::open(disk, "snapshots") {
        Ok((snapshots, _)) => {
            let newest = snapshots.newest().expect("it was taken");
            let read = snapshots.read(&newest).unwrap().flat_map(|chunk| chunk.unwrap().to_vec());
            assert!(after == before && read.eq(expected), "what was changed is not whole");
        }
        Err(why) => assert!(after != before && !why.whole().is_empty(), "{}", why.whole()),
    }
}
