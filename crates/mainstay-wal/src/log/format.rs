//! How a segment looks on the disk.
//!
//! A segment is a file of fixed length: a head of 64 bytes, then records one after the other, each a header of 32 bytes and
//! a body, filled up with zeros to a multiple of eight. All numbers are little-endian.
//!
//! | head | |
//! | --- | --- |
//! | 0..8 | `mstaywal` |
//! | 8..12 | format version |
//! | 12..16 | 1 if the rest of the file was zeros when the segment began, else 0 |
//! | 16..24 | number of the segment |
//! | 24..32 | salt, drawn for this segment |
//! | 32..36 | checksum of the last record's header in the segment before; 0 in the first |
//! | 36..60 | zeros |
//! | 60..64 | CRC32C of 0..60 |
//!
//! | record | |
//! | --- | --- |
//! | 0..4 | CRC32C over number and salt of the segment, then 4..32 |
//! | 4..8 | CRC32C of the body |
//! | 8..12 | 0..4 of the record before it; of the head 60..64 for the first |
//! | 12..16 | length of the body |
//! | 16..24 | index |
//! | 24..28 | up to which byte the segment was flushed when this was written |
//! | 28 | kind |
//! | 29 | zero |
//! | 30..32 | epoch: how often the segment had been opened to be written to |
//!
//! The salt is why bytes that a caller chose are never taken for a record, nor those of an earlier life of the file; the
//! checksum of the record before is why nothing is taken that does not follow what stands before it; the epoch is why
//! what a cut left behind does not join what is written after the cut. What was flushed when a record was written is how
//! a torn tail is told from damage: a record that cannot be read, and that a later one knows to have been flushed, was
//! whole once.

use bytes::Bytes;

/// The format that is written and read.
pub(crate) const VERSION: u32 = 1;

/// Length of a segment's head.
pub(crate) const HEAD: usize = 64;

/// Length of a record's header.
pub(crate) const HEADER: usize = 32;

const MAGIC: [u8; 8] = *b"mstaywal";

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// What stood when the segment began, so that those before it can go.
    Base = 1,
    /// An entry.
    Entry = 2,
    /// All entries from the index on are taken back.
    Truncate = 3,
    /// All entries before the index are purged.
    Purge = 4,
    /// The state beside the entries.
    State = 5,
    /// Nothing but up to where all was flushed.
    Mark = 6,
}

impl Kind {
    const fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Base,
            2 => Self::Entry,
            3 => Self::Truncate,
            4 => Self::Purge,
            5 => Self::State,
            6 => Self::Mark,
            _ => return None,
        })
    }
}

/// Why the head of a segment is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoHead {
    /// It is of another format.
    Version(u32),
    /// It cannot be read.
    Damaged,
}

/// The head of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) number: u32,
    pub(crate) salt: u64,
    /// The chain's last link in the segment before.
    pub(crate) before: u32,
    pub(crate) was_zeros: bool,
}

impl Head {
    pub(crate) fn encode(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&u32::from(self.was_zeros).to_le_bytes());
        bytes[16..24].copy_from_slice(&u64::from(self.number).to_le_bytes());
        bytes[24..32].copy_from_slice(&self.salt.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.before.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, NoHead> {
        let bytes = bytes.get(..HEAD).ok_or(NoHead::Damaged)?;
        if bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..60]) != u32_at(bytes, 60) {
            return Err(NoHead::Damaged);
        }
        if u32_at(bytes, 8) != VERSION {
            return Err(NoHead::Version(u32_at(bytes, 8)));
        }
        Ok(Self {
            number: u32::try_from(u64_at(bytes, 16)).map_err(|_| NoHead::Damaged)?,
            salt: u64_at(bytes, 24),
            before: u32_at(bytes, 32),
            was_zeros: u32_at(bytes, 12) == 1,
        })
    }

    /// The first link of the segment's chain.
    pub(crate) fn chain(&self) -> u32 {
        u32_at(&self.encode(), 60)
    }

    /// What the checksum of every header in the segment begins with.
    pub(crate) fn salted(&self) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.salt.to_le_bytes()), &u64::from(self.number).to_le_bytes())
    }
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Its own checksum, the link to which the next record is chained.
    pub(crate) crc: u32,
    pub(crate) body_crc: u32,
    pub(crate) before: u32,
    pub(crate) length: u32,
    pub(crate) index: u64,
    pub(crate) flushed: u32,
    pub(crate) kind: Kind,
    pub(crate) epoch: u16,
}

impl Header {
    /// Writes it behind what is there, and gives its checksum.
    pub(crate) fn encode(&self, salted: u32, to: &mut Vec<u8>) -> u32 {
        let mut bytes = [0; HEADER];
        bytes[4..8].copy_from_slice(&self.body_crc.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.before.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.index.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.flushed.to_le_bytes());
        bytes[28] = self.kind as u8;
        bytes[30..].copy_from_slice(&self.epoch.to_le_bytes());
        let crc = crc32c::crc32c_append(salted, &bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        to.extend_from_slice(&bytes);
        crc
    }

    /// Reads one that was written into this segment, whatever stands before it.
    pub(crate) fn decode(bytes: &[u8], salted: u32) -> Option<Self> {
        let bytes = bytes.get(..HEADER)?;
        let kind = Kind::of(bytes[28])?;
        let crc = u32_at(bytes, 0);
        (bytes[29] == 0 && crc32c::crc32c_append(salted, &bytes[4..]) == crc).then(|| Self {
            crc,
            body_crc: u32_at(bytes, 4),
            before: u32_at(bytes, 8),
            length: u32_at(bytes, 12),
            index: u64_at(bytes, 16),
            flushed: u32_at(bytes, 24),
            kind,
            epoch: u16::from_le_bytes([bytes[30], bytes[31]]),
        })
    }

    /// Bytes that the record takes on the disk.
    pub(crate) fn takes(&self) -> u64 {
        takes(u64::from(self.length))
    }
}

/// Bytes that a record with a body of this length takes on the disk.
pub(crate) const fn takes(length: u64) -> u64 {
    HEADER as u64 + length.next_multiple_of(8)
}

/// What stood when a segment began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Base {
    /// The index of the next entry; none as long as there never was one.
    pub(crate) next: Option<u64>,
    /// The first that can be there.
    pub(crate) first: u64,
    /// Whether any was purged: those before the first.
    pub(crate) purged: bool,
    /// The state beside the entries.
    pub(crate) state: Option<Bytes>,
}

/// Length of a base's body without the state.
pub(crate) const BASE: usize = 9;

impl Base {
    /// An entry was appended.
    pub(crate) const fn append(&mut self, index: u64) {
        if self.next.is_none() {
            self.first = index;
        }
        self.next = Some(index + 1);
    }

    /// All entries from an index on were taken back; whether there were any.
    pub(crate) fn truncate(&mut self, from: u64) -> bool {
        let from = from.max(self.first);
        let any = self.next.is_some_and(|next| from < next);
        if any {
            self.next = Some(from);
        }
        any
    }

    /// All entries before an index were purged.
    pub(crate) fn purge(&mut self, first: u64) {
        self.first = self.first.max(first);
        self.purged = true;
        self.next = self.next.max(Some(self.first));
    }

    /// The index that its header carries.
    pub(crate) fn index(&self) -> u64 {
        self.next.unwrap_or(0)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let flags = [self.next.is_some(), self.state.is_some(), self.purged];
        let mut body = vec![flags.iter().rev().fold(0, |byte, flag| byte << 1 | u8::from(*flag))];
        body.extend_from_slice(&self.first.to_le_bytes());
        body.extend(self.state.iter().flatten());
        body
    }

    pub(crate) fn decode(header: &Header, body: &[u8]) -> Option<Self> {
        let (fixed, state) = body.split_at_checked(BASE)?;
        let [has_next, has_state, purged] = [1, 2, 4].map(|flag| fixed[0] & flag != 0);
        let (first, next) = (u64_at(fixed, 1), has_next.then_some(header.index));
        let is_one = if has_next { first <= header.index } else { first == 0 && !purged };
        (is_one && (has_state || state.is_empty())).then(|| Self {
            next,
            first,
            purged,
            state: has_state.then(|| Bytes::copy_from_slice(state)),
        })
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].try_into().map_or(0, u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head { number: 7, salt: 0x0123_4567_89ab_cdef, before: 5, was_zeros: true }
    }

    fn header() -> Header {
        let (crc, body_crc, before) = (0, crc32c::crc32c(b"body"), 9);
        Header { crc, body_crc, before, length: 4, index: 1 << 40, flushed: 640, kind: Kind::Entry, epoch: 3 }
    }

    #[test]
    fn the_format_keeps_its_meaning() {
        assert_eq!(Head::decode(&head().encode()), Ok(head()));
        let mut bytes = Vec::new();
        let crc = header().encode(head().salted(), &mut bytes);
        assert_eq!(Header::decode(&bytes, head().salted()), Some(Header { crc, ..header() }));
        expect_test::expect!["[13, 23, 0, 216, 80, 201, 63, 38, 9, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 128, 2, 0, 0, 2, 0, 3, 0]"]
            .assert_eq(&format!("{bytes:?}"));
    }

    #[test]
    fn a_record_of_another_life_is_none() {
        let mut bytes = Vec::new();
        header().encode(head().salted(), &mut bytes);
        for other in [Head { number: 8, ..head() }, Head { salt: 1, ..head() }] {
            assert_eq!(Header::decode(&bytes, other.salted()), None);
        }
    }

    #[test]
    fn a_flipped_bit_is_seen() {
        let bytes = head().encode();
        let mut record = Vec::new();
        header().encode(head().salted(), &mut record);
        for bit in 0..8 * HEAD {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(&bytes), Err(NoHead::Damaged), "bit {bit}");
        }
        for bit in 0..8 * HEADER {
            let mut record = record.clone();
            record[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&record, head().salted()), None, "bit {bit}");
        }
    }

    #[test]
    fn a_newer_format_is_told_by_its_number() {
        let mut bytes = head().encode();
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Head::decode(&bytes), Err(NoHead::Version(2)));
    }

    #[test]
    fn a_base_is_read_as_it_was_written() {
        for base in [
            Base::default(),
            Base { next: Some(0), first: 0, purged: false, state: Some(Bytes::new()) },
            Base { next: Some(12), first: 10, purged: true, state: Some(Bytes::from_static(b"vote")) },
        ] {
            let header = Header { index: base.index(), ..header() };
            assert_eq!(Base::decode(&header, &base.encode()), Some(base));
        }
    }
}
