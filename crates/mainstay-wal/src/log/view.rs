//! What can be read of a log, beside the one who writes it.
//!
//! Two things move apart for a while: what was *submitted*, which is what readers see, and what was *written*. An entry
//! that waits to be written is read from memory; one that was written has a place in a file, and its bytes stay in
//! memory as long as they are recent. One that was taken back while it waited is written nevertheless, with the order to
//! take it back behind it, and gets no place.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::Record;
use super::format::{Base, HEADER, Header, takes};
use crate::disk::DiskFile;
use crate::refusal::{Refusal, disk};

/// Bytes that are read of a file at once, at most, unless one entry alone is longer.
const READ_MAX: u64 = 4 << 20;

/// A segment's file, and what its records are checked with.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u32,
    pub(crate) salted: u32,
    pub(crate) path: PathBuf,
    pub(crate) file: Box<dyn DiskFile>,
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) at: u32,
    pub(crate) length: u32,
}

impl Place {
    fn end(&self) -> u64 {
        u64::from(self.at) + takes(u64::from(self.length))
    }
}

/// Reads a log from any thread, also while it is written to or flushed. A clone reads the same log.
#[derive(Debug, Clone)]
pub struct LogReader {
    shared: Arc<Mutex<View>>,
}

/// What is submitted and where it stands.
#[derive(Debug)]
struct View {
    submitted: Base,
    /// Of the first entry and those after it, as far as they are written.
    places: VecDeque<Place>,
    /// The bytes of the last entries; of those that are not written, all.
    recent: VecDeque<Bytes>,
    recent_bytes: u64,
    recent_max: u64,
    /// From where on entries were taken back, of orders that are not written yet.
    truncations: VecDeque<u64>,
    segments: BTreeMap<u32, Arc<Segment>>,
    entry_max: u64,
    state_max: u64,
}

/// How a part of what is wanted is had.
enum Part {
    Held(u64, Bytes),
    Written { segment: Arc<Segment>, first: u64, places: Vec<Place> },
}

impl LogReader {
    pub(crate) fn new(base: Base, places: VecDeque<Place>, recent_max: u64, segment_bytes: u64) -> Self {
        let view = View {
            submitted: base,
            places,
            recent: VecDeque::new(),
            recent_bytes: 0,
            recent_max,
            truncations: VecDeque::new(),
            segments: BTreeMap::new(),
            entry_max: segment_bytes / 2,
            state_max: segment_bytes / 8,
        };
        Self { shared: Arc::new(Mutex::new(view)) }
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first entry; none where there is no entry.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        let Base { first, next, .. } = self.view().submitted;
        next.filter(|next| first < *next).map(|_| first)
    }

    /// The last entry; none where there is no entry.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        let Base { first, next, .. } = self.view().submitted;
        next.filter(|next| first < *next).map(|next| next - 1)
    }

    /// The index that the next entry must have; none as long as there was none, and any will do.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.view().submitted.next
    }

    /// The entries of a range, as many as fit into `max_bytes`, but at least one where there is one. What lies beyond the
    /// last entry is left out.
    ///
    /// # Errors
    /// [`Refusal::Purged`] if the range begins before the first entry; [`Refusal::Corrupt`] or [`Refusal::Disk`] if what
    /// was written cannot be read.
    ///
    /// ```
    /// # use mainstay_wal::{Log, Options, Record, testing::FaultyDisk};
    /// # let (mut log, _) = Log::open(FaultyDisk::new(), "log", Options::default().with_segment(64 << 10))?;
    /// log.append(&[Record::entry(1, "a"), Record::entry(2, "b"), Record::entry(3, "c")])?;
    /// let read = log.reader().read(1..4, 2)?;
    /// assert_eq!(read, [(1, "a".into()), (2, "b".into())]);
    /// # Ok::<(), mainstay_wal::Refusal>(())
    /// ```
    pub fn read(&self, range: Range<u64>, max_bytes: u64) -> Result<Vec<(u64, Bytes)>, Refusal> {
        let parts = self.view().parts(range, max_bytes)?;
        let mut entries = Vec::new();
        for part in parts {
            match part {
                Part::Held(index, body) => entries.push((index, body)),
                Part::Written { segment, first, places } => {
                    let read = read(&segment, first, &places);
                    entries.extend(read.map_err(|refusal| self.view().purged(first).unwrap_or(refusal))?);
                }
            }
        }
        Ok(entries)
    }

    /// Whether the records may follow one another and what is there.
    pub(crate) fn check(&self, records: &[Record]) -> Result<(), Refusal> {
        self.view().check(records)
    }

    /// Takes records in, so that they are seen; all of them or none.
    pub(crate) fn submit(&self, records: &[Record]) -> Result<(), Refusal> {
        let mut view = self.view();
        view.check(records)?;
        for record in records {
            view.submit(record);
        }
        view.forget_old();
        Ok(())
    }

    /// Records were written, entries with their places.
    pub(crate) fn written(&self, records: &[Record], places: &[Place]) {
        let mut view = self.view();
        let mut places = places.iter();
        for record in records {
            match record {
                Record::Entry { index, .. } => view.place(*index, places.next().copied()),
                Record::TruncateAfter(_) => drop(view.truncations.pop_front()),
                Record::PurgeUpTo(_) | Record::State(_) => {}
            }
        }
        view.forget_old();
    }

    pub(crate) fn add(&self, segment: Arc<Segment>) {
        self.view().segments.insert(segment.number, segment);
    }

    pub(crate) fn remove(&self, segment: u32) {
        self.view().segments.remove(&segment);
    }
}

impl View {
    /// Whether the records may follow one another and what is there.
    fn check(&self, records: &[Record]) -> Result<(), Refusal> {
        let mut base = Base { state: None, ..self.submitted };
        for record in records {
            record.no_longer_than(self.entry_max, self.state_max)?;
            match record {
                Record::Entry { index, .. } => {
                    let expected = base.next.unwrap_or(*index);
                    if *index != expected || *index == u64::MAX {
                        return Err(Refusal::Gap { given: *index, expected });
                    }
                    base.append(*index);
                }
                Record::TruncateAfter(last) => {
                    let from = record.index();
                    if last.is_some() && base.purged && from < base.first {
                        return Err(Refusal::TruncatesPurged { from, purged: base.first - 1 });
                    }
                    base.truncate(from);
                }
                Record::PurgeUpTo(_) => base.purge(record.index()),
                Record::State(_) => {}
            }
        }
        Ok(())
    }

    fn submit(&mut self, record: &Record) {
        match record {
            Record::Entry { index, body } => {
                self.submitted.append(*index);
                self.recent_bytes += body.len() as u64;
                self.recent.push_back(body.clone());
            }
            Record::TruncateAfter(_) => {
                let from = record.index().max(self.submitted.first);
                let before = self.submitted.next;
                if self.submitted.truncate(from) {
                    let gone = before.map_or(0, |next| next - from);
                    for _ in 0..gone.min(self.recent.len() as u64) {
                        self.recent_bytes -= self.recent.pop_back().map_or(0, |body| body.len() as u64);
                    }
                    self.places.truncate(usize::try_from(from - self.submitted.first).unwrap_or(usize::MAX));
                }
                self.truncations.push_back(from);
            }
            Record::PurgeUpTo(_) => {
                let gone = record.index().saturating_sub(self.submitted.first);
                self.submitted.purge(record.index());
                let gone = usize::try_from(gone).unwrap_or(usize::MAX).min(self.places.len());
                self.places.drain(..gone);
                let left = self.submitted.next.map_or(0, |next| next - self.submitted.first);
                while self.recent.len() as u64 > left {
                    self.forget_oldest();
                }
            }
            Record::State(_) => {}
        }
    }

    /// The index after the last entry that has a place.
    fn placed(&self) -> u64 {
        self.submitted.first + self.places.len() as u64
    }

    fn place(&mut self, index: u64, place: Option<Place>) {
        let taken_back = self.truncations.iter().any(|from| index >= *from);
        if index == self.placed() && !taken_back {
            self.places.extend(place);
        }
    }

    /// The index of the oldest entry whose bytes are held.
    fn held_from(&self) -> u64 {
        self.submitted.next.unwrap_or(0) - self.recent.len() as u64
    }

    fn forget_old(&mut self) {
        while self.recent_bytes > self.recent_max && self.held_from() < self.placed() {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        self.recent_bytes -= self.recent.pop_front().map_or(0, |body| body.len() as u64);
    }

    fn purged(&self, index: u64) -> Option<Refusal> {
        let first = self.submitted.first;
        (index < first).then_some(Refusal::Purged { index, first })
    }

    fn parts(&self, range: Range<u64>, max_bytes: u64) -> Result<Vec<Part>, Refusal> {
        let mut parts: Vec<Part> = Vec::new();
        let end = range.end.min(self.submitted.next.unwrap_or(0));
        if range.start < end
            && let Some(refusal) = self.purged(range.start)
        {
            return Err(refusal);
        }
        let mut bytes = 0;
        for index in range.start..end {
            let held = index.checked_sub(self.held_from()).and_then(|at| self.recent.get(at as usize));
            let place = self.places.get((index - self.submitted.first) as usize);
            bytes += held.map_or_else(|| place.map_or(0, |place| u64::from(place.length)), |body| body.len() as u64);
            if bytes > max_bytes && index > range.start {
                break;
            }
            match (held, place) {
                (Some(body), _) => parts.push(Part::Held(index, body.clone())),
                (None, Some(place)) if self.add_written(&mut parts, index, *place) => {}
                (None, _) => break,
            }
        }
        Ok(parts)
    }

    /// Adds a written entry to what is read at once with the one before it, if it stands right behind it; whether its
    /// file is there.
    fn add_written(&self, parts: &mut Vec<Part>, index: u64, place: Place) -> bool {
        if let Some(Part::Written { places, .. }) = parts.last_mut()
            && let (Some(first), Some(last)) = (places.first(), places.last())
            && (last.segment, last.end()) == (place.segment, u64::from(place.at))
            && place.end() - u64::from(first.at) <= READ_MAX
        {
            places.push(place);
            return true;
        }
        let segment = self.segments.get(&place.segment).map(Arc::clone);
        let part = segment.map(|segment| Part::Written { segment, first: index, places: vec![place] });
        let is_there = part.is_some();
        parts.extend(part);
        is_there
    }
}

/// Reads entries that stand one behind the other.
fn read(segment: &Segment, first: u64, places: &[Place]) -> Result<Vec<(u64, Bytes)>, Refusal> {
    let (Some(begin), Some(last)) = (places.first(), places.last()) else { return Ok(Vec::new()) };
    let begin = u64::from(begin.at);
    let mut bytes = vec![0; (last.end() - begin) as usize];
    segment.file.read_at(&mut bytes, begin).map_err(disk("reading", &segment.path))?;
    let bytes = Bytes::from(bytes);
    let entry = |(index, place): (u64, &Place)| {
        let at = (u64::from(place.at) - begin) as usize;
        let body = at + HEADER..at + HEADER + place.length as usize;
        let header = Header::decode(&bytes[at..], segment.salted);
        let whole = header.is_some_and(|header| {
            (header.index, header.length) == (index, place.length)
                && header.body_crc == crc32c::crc32c(&bytes[body.clone()])
        });
        if whole {
            Ok((index, bytes.slice(body)))
        } else {
            Err(Refusal::corrupt(&segment.path, place.at, format!("entry {index} cannot be read")))
        }
    };
    (first..).zip(places).map(entry).collect()
}
