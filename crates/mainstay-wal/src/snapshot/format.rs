//! How a snapshot looks on the disk.
//!
//! A head of 48 bytes, the note, chunks, an end of 24 bytes; all numbers are little-endian.
//!
//! | head | | end | |
//! | --- | --- | --- | --- |
//! | 0..8 | `mstaysnp` | 0..4 | zeros, the length of no chunk |
//! | 8..12 | format version | 4..8 | CRC32C of all content |
//! | 12..16 | length of the note | 8..16 | length of all content |
//! | 16..24 | index | 16..20 | number of chunks, modulo 2³² |
//! | 24..28 | CRC32C of the note | 20..24 | CRC32C of 0..20 |
//! | 28..44 | zeros | | |
//! | 44..48 | CRC32C of 0..44 | | |
//!
//! A chunk is the length of its content in four bytes, the CRC32C of all content up to its end in four, and the content.
//! So what is damaged is found in the chunk in which it is, and the last chunk vouches for the whole.

use crate::log::format::{u32_at, u64_at};

/// The format that is written and read.
pub(super) const VERSION: u32 = 1;

/// Length of the head.
pub(super) const HEAD: usize = 48;

/// Length of what stands before a chunk's content.
pub(super) const CHUNK_HEAD: usize = 8;

/// Length of the end.
pub(super) const END: usize = 24;

/// Longest content of a chunk: 256 KiB, which is read and checked at once.
pub(super) const CHUNK_MAX: usize = 256 << 10;

/// Longest note.
pub(super) const NOTE_MAX: usize = 1 << 20;

const MAGIC: [u8; 8] = *b"mstaysnp";

/// The head of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) index: u64,
    pub(super) note: u32,
    pub(super) note_crc: u32,
}

impl Head {
    pub(super) fn encode(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.note.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.index.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.note_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The head, or the version that is not known, or nothing where there is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Result<Self, u32>> {
        let bytes = bytes.get(..HEAD)?;
        if bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..44]) != u32_at(bytes, 44) {
            return None;
        }
        if u32_at(bytes, 8) != VERSION {
            return Some(Err(u32_at(bytes, 8)));
        }
        let head = Self { index: u64_at(bytes, 16), note: u32_at(bytes, 12), note_crc: u32_at(bytes, 24) };
        (head.note as usize <= NOTE_MAX).then_some(Ok(head))
    }
}

/// What was written of the content so far, or read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) crc: u32,
    pub(super) bytes: u64,
    pub(super) chunks: u32,
}

impl Sum {
    pub(super) fn add(&mut self, content: &[u8]) {
        self.crc = crc32c::crc32c_append(self.crc, content);
        self.bytes += content.len() as u64;
        self.chunks = self.chunks.wrapping_add(1);
    }

    /// What stands before the content of the chunk that was just added.
    pub(super) fn chunk_head(&self, content: &[u8]) -> [u8; CHUNK_HEAD] {
        let mut bytes = [0; CHUNK_HEAD];
        bytes[..4].copy_from_slice(&(content.len() as u32).to_le_bytes());
        bytes[4..].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    pub(super) fn end(&self) -> [u8; END] {
        let mut bytes = [0; END];
        bytes[4..8].copy_from_slice(&self.crc.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.chunks.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..20]);
        bytes[20..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}
