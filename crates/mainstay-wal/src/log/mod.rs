//! The log: what was written down in order, and what of it survives.
//!
//! In: entries with indices that follow one another, orders to take the last of them back or to let go of the first, and a
//! small state beside them. Out: all of it, after whatever happened, as long as it was flushed; and whether it was.
//!
//! Everything goes into one sequence of records, so that one flush covers all of it. The sequence is cut into segments,
//! files of fixed length that are filled with zeros before they are used: a flush then writes data and nothing about the
//! file. A segment begins with what stood before it, so that those before it can go as soon as their entries are purged;
//! one that goes becomes the next one ([`spare`]). How a segment looks is in [`mod@format`], what of it is believed in
//! [`open`].
//!
//! - What was flushed is there when the log is opened again, in the order in which it was appended, and nothing that was
//!   taken back before.
//! - After a write or a flush that failed the log takes nothing more. Flushing again would not tell: the system may have
//!   let go of what it could not write and call the file clean (Rebello and others, "Can Applications Recover from fsync
//!   Failures?", ATC 2020).
//! - A torn tail is cut and told; anything else that cannot be read is refused, never cut.
//!
//! Positions, links and epochs are checked against one another in the manner of other engines' logs: recycled files and
//! chained checksums as in RocksDB's and etcd's.

pub(crate) mod format;
mod open;
mod record;
mod replay;
mod scan;
mod spare;
mod view;

use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::refusal::{Refusal, disk};
use format::{BASE, Base, HEAD, HEADER, Head, Header, Kind, takes};
pub use open::{Cut, Recovered};
pub use record::Record;
use replay::{Sealed, highest_below};
use spare::{Maker, Spare};
pub use view::LogReader;
use view::{Place, Segment};

/// How a segment's name ends.
const SUFFIX: &str = ".log";

/// How many digits it begins with.
const DIGITS: usize = 10;

/// How a log is kept.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Length of a segment in bytes, 4 KiB to 1 GiB; 64 MiB, which is a second of a fast disk: a new one is seldom needed,
    /// and little is kept for longer than it must be. The longest entry is half of it.
    pub segment: u64,
    /// Bytes of entries that stay in memory to be read without the disk; 16 MiB, a few seconds of what followers that lag
    /// a little ask for.
    pub recent: u64,
    /// Whether the next segment is made on a thread of its own, before it is needed; it is. Without, it is made when it
    /// is needed.
    pub aside: bool,
    /// What the salts of segments are drawn from; from the system's luck, where nothing is given.
    pub salt: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment: 64 << 20, recent: 16 << 20, aside: true, salt: None }
    }
}

impl Options {
    /// The same with segments of another length.
    #[must_use]
    pub const fn with_segment(self, segment: u64) -> Self {
        Self { segment, ..self }
    }

    fn segment_bytes(&self) -> u64 {
        self.segment.clamp(4 << 10, 1 << 30) & !7
    }
}

/// A log that is open to be written to; there is one for a directory.
///
/// ```
/// # use mainstay_wal::{Log, Options, Record, testing::FaultyDisk};
/// let disk = FaultyDisk::new();
/// let (mut log, _) = Log::open(disk.clone(), "log", Options::default().with_segment(64 << 10))?;
/// log.append(&[Record::entry(1, "one"), Record::entry(2, "two"), Record::State("vote".into())])?;
/// log.flush()?;
/// drop(log);
/// let (log, recovered) = Log::open(disk, "log", Options::default())?;
/// assert_eq!((recovered.last, recovered.state), (Some(2), Some("vote".into())));
/// assert_eq!(log.read(1..3, 1 << 20)?, [(1, "one".into()), (2, "two".into())]);
/// # Ok::<(), mainstay_wal::Refusal>(())
/// ```
#[derive(Debug)]
pub struct Log {
    maker: Maker,
    reader: LogReader,
    salt: u64,
    aside: bool,
    active: Option<Active>,
    /// What the records that are written come to.
    written: Base,
    /// The segments before the active one, the oldest first.
    sealed: VecDeque<Sealed>,
    /// Whether what was purged is to be given back after the next flush.
    gives_back: bool,
    spare: Spare,
    buffer: Vec<u8>,
    failed: Option<Refusal>,
    _held: Held,
}

/// The lock of the directory.
struct Held(#[expect(dead_code, reason = "it is held")] Box<dyn Send + Sync>);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held")
    }
}

/// The segment that is written to.
#[derive(Debug)]
struct Active {
    segment: Arc<Segment>,
    size: u32,
    /// Behind the last record.
    end: u32,
    /// Up to where all is flushed.
    flushed: u32,
    /// Up to where records say that all is flushed.
    marked: u32,
    chain: u32,
    epoch: u16,
    highest: Option<u64>,
}

impl Active {
    const fn room(&self) -> u64 {
        (self.size - self.end) as u64
    }

    /// Writes a record behind what is in the buffer, which begins at the segment's end; where it stands.
    fn encode(&mut self, kind: Kind, index: u64, body: &[u8], buffer: &mut Vec<u8>) -> Place {
        let length = body.len() as u32;
        let at = self.end + buffer.len() as u32;
        let header = Header {
            crc: 0,
            body_crc: crc32c::crc32c(body),
            before: self.chain,
            length,
            index,
            flushed: self.flushed,
            kind,
            epoch: self.epoch,
        };
        self.chain = header.encode(self.segment.salted, buffer);
        buffer.extend_from_slice(body);
        buffer.resize(buffer.len().next_multiple_of(8), 0);
        Place { segment: self.segment.number, at, length }
    }

    /// Writes the buffer at the segment's end.
    fn write(&mut self, buffer: &mut Vec<u8>) -> Result<(), Refusal> {
        let path = &self.segment.path;
        self.segment.file.write_at(buffer, self.end.into()).map_err(disk("writing", path))?;
        self.end += buffer.len() as u32;
        self.marked = self.flushed;
        buffer.clear();
        Ok(())
    }
}

impl Log {
    /// Appends records: with one write, as a rule. They survive once [`flush`](Self::flush) has returned.
    ///
    /// # Errors
    /// [`Refusal::Gap`], [`Refusal::TruncatesPurged`] or [`Refusal::TooLong`], and none of them is taken;
    /// [`Refusal::NoSpace`] where the disk is full, and it can be tried again; [`Refusal::Disk`] where a write failed, and
    /// from then on [`Refusal::Failed`].
    pub fn append(&mut self, records: &[Record]) -> Result<(), Refusal> {
        self.is_well()?;
        self.reader.check(records)?;
        self.make_room(records)?;
        self.reader.submit(records)?;
        self.write(records)
    }

    /// Takes back all entries after one; all there are, if there is no number.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub fn truncate_after(&mut self, last: Option<u64>) -> Result<(), Refusal> {
        self.append(&[Record::TruncateAfter(last)])
    }

    /// Lets go of all entries up to one. Segments in which no other is left are given back after the next flush.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub fn purge_up_to(&mut self, last: u64) -> Result<(), Refusal> {
        self.append(&[Record::PurgeUpTo(last)])
    }

    /// Returns when all that was appended survives a loss of power.
    ///
    /// # Errors
    /// [`Refusal::Disk`] where the flush failed, and from then on [`Refusal::Failed`].
    pub fn flush(&mut self) -> Result<(), Refusal> {
        self.is_well()?;
        self.flush_active()?;
        if self.gives_back {
            self.gives_back = false;
            self.or_fail(Self::give_back)?;
        }
        Ok(())
    }

    /// Says in the log up to where it was flushed, so that what is damaged before is known as that. Whoever flushes calls
    /// this when nothing else is to be done: what is appended next says so by itself.
    ///
    /// # Errors
    /// [`Refusal::Disk`] where the write failed, and from then on [`Refusal::Failed`].
    pub fn mark(&mut self) -> Result<(), Refusal> {
        self.is_well()?;
        self.or_fail(|log| {
            let Some(active) = log.active.as_mut() else { return Ok(()) };
            if active.marked < active.flushed && active.room() >= HEADER as u64 {
                let _ = active.encode(Kind::Mark, 0, &[], &mut log.buffer);
                active.write(&mut log.buffer)?;
            }
            Ok(())
        })
    }

    /// Reads entries, as [`LogReader::read`] does.
    ///
    /// # Errors
    /// As there.
    pub fn read(&self, range: Range<u64>, max_bytes: u64) -> Result<Vec<(u64, Bytes)>, Refusal> {
        self.reader.read(range, max_bytes)
    }

    /// The first entry; none where there is no entry.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.reader.first()
    }

    /// The last entry; none where there is no entry.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.reader.last()
    }

    /// Bytes of records, as long as their segment is there.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let sealed: u64 = self.sealed.iter().map(|segment| segment.bytes).sum();
        sealed + self.active.as_ref().map_or(0, |active| active.end.into())
    }

    /// Who reads beside the one that writes.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        self.reader.clone()
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.maker.directory
    }

    /// Writes records that were submitted.
    pub(crate) fn write(&mut self, records: &[Record]) -> Result<(), Refusal> {
        self.is_well()?;
        self.make_room(records)?;
        let mut left = records;
        while !left.is_empty() {
            let fitting = self.fitting(left);
            let (now, later) = left.split_at(fitting);
            if now.is_empty() {
                self.or_fail(Self::rotate)?;
            }
            self.or_fail(|log| log.write_here(now))?;
            left = later;
        }
        Ok(())
    }

    /// Begins another segment where the records do not fit into this one and would into that one: a full disk then
    /// refuses all of them or none.
    fn make_room(&mut self, records: &[Record]) -> Result<(), Refusal> {
        let fitting = self.fitting(records);
        if fitting == records.len() || self.active.as_ref().is_some_and(|active| active.end == self.begins_at()) {
            return Ok(());
        }
        match self.rotate() {
            Err(full @ Refusal::NoSpace { .. }) => Err(full),
            outcome => self.or_fail(|_| outcome),
        }
    }

    /// Where a segment that began now would have room for records.
    fn begins_at(&self) -> u32 {
        let state = self.written.state.as_ref().map_or(0, Bytes::len);
        (HEAD as u64 + takes((BASE + state) as u64)) as u32
    }

    /// How many of the records fit into the active segment.
    fn fitting(&self, records: &[Record]) -> usize {
        let mut room = self.active.as_ref().map_or(0, Active::room);
        let fits = |record: &&Record| {
            let left = room.checked_sub(record.takes());
            room = left.unwrap_or(0);
            left.is_some()
        };
        records.iter().take_while(fits).count()
    }

    /// Writes records that fit into the active segment.
    fn write_here(&mut self, records: &[Record]) -> Result<(), Refusal> {
        let Some(active) = self.active.as_mut() else { return Ok(()) };
        let mut places = Vec::with_capacity(records.len());
        for record in records {
            let place = active.encode(record.kind(), record.index(), record.body(), &mut self.buffer);
            match record {
                Record::Entry { index, .. } => {
                    self.written.append(*index);
                    active.highest = Some(*index);
                    places.push(place);
                }
                Record::TruncateAfter(_) => {
                    let from = record.index();
                    self.written.truncate(from);
                    active.highest = highest_below(active.highest, from);
                    for sealed in &mut self.sealed {
                        sealed.highest = highest_below(sealed.highest, from);
                    }
                }
                Record::PurgeUpTo(_) => {
                    self.written.purge(record.index());
                    self.gives_back = true;
                }
                Record::State(state) => self.written.state = Some(state.clone()),
            }
        }
        active.write(&mut self.buffer)?;
        self.reader.written(records, &places);
        Ok(())
    }

    fn flush_active(&mut self) -> Result<(), Refusal> {
        self.or_fail(|log| {
            let Some(active) = log.active.as_mut().filter(|active| active.flushed < active.end) else { return Ok(()) };
            active.segment.file.flush().map_err(disk("flushing", &active.segment.path))?;
            active.flushed = active.end;
            Ok(())
        })
    }

    /// Ends the active segment and begins another one. It gets its name when what it begins with is flushed.
    fn rotate(&mut self) -> Result<(), Refusal> {
        self.flush_active()?;
        let is_zeros = self.take_spare()?;
        let path = self.maker.path();
        let file = self.maker.disk.open(&path).map_err(disk("opening", &path))?;
        let (number, before) = self.active.as_ref().map_or((1, 0), |last| (last.segment.number + 1, last.chain));
        let head = Head { number, salt: self.next_salt(), before, was_zeros: is_zeros };
        let named = self.maker.directory.join(name(number));
        let segment = Segment { number, salted: head.salted(), path: named.clone(), file };
        let size = u32::try_from(self.maker.length).unwrap_or(u32::MAX);
        let (chain, segment) = (head.chain(), Arc::new(segment));
        let mut active = Active { segment, size, end: 0, flushed: 0, marked: 0, chain, epoch: 1, highest: None };
        let mut bytes = head.encode().to_vec();
        let _ = active.encode(Kind::Base, self.written.index(), &self.written.encode(), &mut bytes);
        active.write(&mut bytes)?;
        active.segment.file.flush().map_err(disk("flushing", &path))?;
        (active.flushed, active.marked) = (active.end, active.end);
        self.maker.disk.rename(&path, &named).map_err(disk("renaming", &path))?;
        self.flush_directory()?;
        self.reader.add(Arc::clone(&active.segment));
        self.seal(active);
        Ok(())
    }

    fn seal(&mut self, next: Active) {
        if let Some(last) = self.active.replace(next) {
            let Active { segment, highest, end, .. } = last;
            self.sealed.push_back(Sealed { number: segment.number, highest, bytes: end.into() });
        }
        if self.aside {
            self.spare = self.maker.make_aside();
        }
    }

    /// Sees to it that there is a spare segment, which is taken; whether it is all zeros.
    fn take_spare(&mut self) -> Result<bool, Refusal> {
        match std::mem::replace(&mut self.spare, Spare::None) {
            Spare::Ready { is_zeros } => return Ok(is_zeros),
            Spare::Unready(thread) => {
                if let Ok(Ok(())) = thread.join() {
                    return Ok(true);
                }
            }
            Spare::None => {}
        }
        self.maker.make().map(|()| true)
    }

    /// Gives back the segments before the first that has an entry that is not purged.
    fn give_back(&mut self) -> Result<(), Refusal> {
        let first = self.written.first;
        let mut any = false;
        while let Some(oldest) = self.sealed.pop_front_if(|oldest| oldest.highest.is_none_or(|last| last < first)) {
            self.reader.remove(oldest.number);
            let file = name(oldest.number);
            if matches!(self.spare, Spare::None) {
                let path = self.maker.directory.join(file);
                self.maker.disk.rename(&path, &self.maker.path()).map_err(disk("renaming", &path))?;
                self.spare = Spare::Ready { is_zeros: false };
            } else {
                self.remove(&file)?;
            }
            any = true;
        }
        if any { self.flush_directory() } else { Ok(()) }
    }

    fn remove(&self, file: &str) -> Result<(), Refusal> {
        let path = self.maker.directory.join(file);
        self.maker.disk.remove(&path).map_err(disk("removing", &path))
    }

    fn flush_directory(&self) -> Result<(), Refusal> {
        let directory = &self.maker.directory;
        self.maker.disk.flush_directory(directory).map_err(disk("flushing", directory))
    }

    const fn next_salt(&mut self) -> u64 {
        self.salt = self.salt.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.salt
    }

    fn is_well(&self) -> Result<(), Refusal> {
        self.failed.as_ref().map_or(Ok(()), |why| Err(why.earlier()))
    }

    /// Does something after whose failure nothing more is taken.
    fn or_fail(&mut self, act: impl FnOnce(&mut Self) -> Result<(), Refusal>) -> Result<(), Refusal> {
        act(self).inspect_err(|why| self.failed = Some(why.clone()))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Spare::Unready(thread) = std::mem::replace(&mut self.spare, Spare::None) {
            drop(thread.join());
        }
    }
}

fn name(number: u32) -> String {
    format!("{number:0DIGITS$}{SUFFIX}")
}
