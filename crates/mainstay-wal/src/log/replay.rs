//! What a log comes to, record by record, when it is opened.

use std::collections::VecDeque;

use super::format::{Base, Kind};
use super::scan::Found;
use super::view::Place;

/// A segment as it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) number: u32,
    /// The highest entry in it that was not taken back.
    pub(crate) highest: Option<u64>,
    /// Bytes that are used of it.
    pub(crate) bytes: u64,
}

/// The highest entry that is left when all from one on are taken back.
pub(crate) fn highest_below(highest: Option<u64>, from: u64) -> Option<u64> {
    from.checked_sub(1).and_then(|last| highest.map(|highest| highest.min(last)))
}

/// What the records so far come to.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    pub(crate) base: Base,
    pub(crate) places: VecDeque<Place>,
    pub(crate) segments: Vec<Sealed>,
    /// The entry that the first place is of.
    present: u64,
    /// Entries before this one were there when the first segment began, and are in none that is there.
    absent: u64,
}

impl Replay {
    pub(crate) fn begin(&mut self, number: u32) {
        self.segments.push(Sealed { number, highest: None, bytes: 0 });
    }

    pub(crate) fn end(&mut self, at: u32) {
        if let Some(segment) = self.segments.last_mut() {
            segment.bytes = at.into();
        }
    }

    /// Takes the next record; why it cannot be, if it cannot.
    pub(crate) fn apply(&mut self, found: &Found, body: &[u8]) -> Result<(), String> {
        let index = found.header.index;
        match found.header.kind {
            Kind::Base => {
                self.check_base(Base::decode(&found.header, body).ok_or("it begins with nothing that is known")?)
            }
            Kind::Entry => self.append(index, found),
            Kind::Truncate => {
                self.truncate(index);
                Ok(())
            }
            Kind::Purge => {
                self.purge(index);
                Ok(())
            }
            Kind::State => {
                self.base.state = Some(bytes::Bytes::copy_from_slice(body));
                Ok(())
            }
            Kind::Mark => Ok(()),
        }
    }

    /// The base of the first segment is believed; every other one must say what the records before it come to.
    fn check_base(&mut self, base: Base) -> Result<(), String> {
        if self.segments.len() == 1 {
            self.present = base.next.unwrap_or(0);
            self.absent = if base.first < self.present { self.present } else { 0 };
            self.base = base;
            Ok(())
        } else if base == self.base {
            Ok(())
        } else {
            Err("it begins with another state than the segment before ended with".to_owned())
        }
    }

    fn append(&mut self, index: u64, found: &Found) -> Result<(), String> {
        if self.base.next.is_some_and(|next| next != index) || index == u64::MAX {
            return Err(format!("entry {index} where {} is next", self.base.index()));
        }
        if self.base.next.is_none() {
            self.present = index;
        }
        self.base.append(index);
        if let Some(segment) = self.segments.last_mut() {
            segment.highest = Some(index);
            self.places.push_back(Place { segment: segment.number, at: found.at, length: found.header.length });
        }
        Ok(())
    }

    fn truncate(&mut self, from: u64) {
        let from = from.max(self.base.first);
        self.base.truncate(from);
        self.places.truncate(usize::try_from(from.saturating_sub(self.present)).unwrap_or(usize::MAX));
        self.present = self.present.min(from);
        self.absent = self.absent.min(from);
        for segment in &mut self.segments {
            segment.highest = highest_below(segment.highest, from);
        }
    }

    fn purge(&mut self, first: u64) {
        self.base.purge(first);
        let gone = usize::try_from(first.saturating_sub(self.present)).unwrap_or(usize::MAX);
        self.places.drain(..gone.min(self.places.len()));
        self.present = self.present.max(first);
    }

    /// Entries that are not purged and not there, the first and the last.
    pub(crate) fn missing(&self) -> Option<(u64, u64)> {
        (self.base.first < self.absent).then(|| (self.base.first, self.absent - 1))
    }
}
