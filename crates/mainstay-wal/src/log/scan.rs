//! Reads a segment: the records that follow one another, and what stands where they end.

use std::ops::Range;

use super::format::{HEAD, HEADER, Head, Header};

/// A record where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) header: Header,
    pub(crate) at: u32,
    pub(crate) body: Range<usize>,
}

/// Goes from record to record as long as each follows the one before it.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    bytes: &'a [u8],
    salted: u32,
    /// Where the next record begins.
    pub(crate) at: u32,
    /// The link to which it is chained.
    pub(crate) chain: u32,
    /// The epoch of the record before it.
    pub(crate) epoch: u16,
    /// Up to where all was flushed, as far as records say.
    pub(crate) flushed: u32,
}

/// What stands behind the last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Up to where a record says that all was flushed.
    pub(crate) flushed: u32,
    /// The highest epoch of a record.
    pub(crate) epoch: u16,
    /// Bytes of this life of the file, as far as they can be told from those of an earlier one.
    pub(crate) bytes: u64,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(bytes: &'a [u8], head: &Head) -> Self {
        Self { bytes, salted: head.salted(), at: HEAD as u32, chain: head.chain(), epoch: 0, flushed: 0 }
    }

    fn header_at(&self, at: usize) -> Option<Header> {
        Header::decode(self.bytes.get(at..)?, self.salted)
    }

    fn follows(&self, header: &Header) -> bool {
        header.before == self.chain && header.epoch >= self.epoch && header.flushed <= self.at
    }

    /// What stands where no record follows any more. `was_zeros` says that what was not written is zeros.
    pub(crate) fn tail(&self, was_zeros: bool) -> Tail {
        let from = self.at as usize;
        let mut tail = Tail { flushed: self.flushed, epoch: self.epoch, bytes: 0 };
        if was_zeros {
            let last = self.bytes[from..].iter().rposition(|byte| *byte != 0);
            tail.bytes = last.map_or(0, |last| last as u64 + 1);
        }
        for at in (from..self.bytes.len()).step_by(8) {
            if self.bytes[at..].iter().take(8).all(|byte| *byte == 0) {
                continue;
            }
            let Some(header) = self.header_at(at) else { continue };
            tail.flushed = tail.flushed.max(header.flushed);
            tail.epoch = tail.epoch.max(header.epoch);
            let end = (at as u64 + header.takes()).min(self.bytes.len() as u64);
            tail.bytes = tail.bytes.max(end - from as u64);
        }
        tail
    }
}

impl Iterator for Scan<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        let at = self.at as usize;
        let header = self.header_at(at).filter(|header| self.follows(header))?;
        let body = at + HEADER..at + HEADER + header.length as usize;
        let end = u32::try_from(at as u64 + header.takes()).ok()?;
        if crc32c::crc32c(self.bytes.get(body.clone())?) != header.body_crc {
            return None;
        }
        let found = Found { header, at: self.at, body };
        (self.at, self.chain, self.epoch) = (end, header.crc, header.epoch);
        self.flushed = self.flushed.max(header.flushed);
        Some(found)
    }
}
