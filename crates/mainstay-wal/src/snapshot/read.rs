//! Reads a snapshot, chunk by chunk, and believes nothing that is not vouched for.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::Snapshot;
use super::format::{CHUNK_HEAD, CHUNK_MAX, END, HEAD, Head, Sum, VERSION};
use crate::disk::{Disk, DiskFile};
use crate::log::format::u32_at;
use crate::refusal::{Refusal, disk};

/// Reads the content of a snapshot in pieces of at most 256 KiB. The first piece that cannot be read ends it.
#[derive(Debug)]
pub struct SnapshotReader {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    index: u64,
    note: Bytes,
    at: u64,
    sum: Sum,
    is_over: bool,
}

impl SnapshotReader {
    pub(super) fn open(on: &dyn Disk, path: &Path) -> Result<Self, Refusal> {
        let file = on.open(path).map_err(disk("opening", path))?;
        let mut reader = Self {
            path: path.to_owned(),
            file,
            index: 0,
            note: Bytes::new(),
            at: 0,
            sum: Sum::default(),
            is_over: false,
        };
        let head = match Head::decode(&reader.read_on(HEAD)?) {
            Some(Ok(head)) => head,
            Some(Err(found)) => return Err(Refusal::Version { file: path.to_owned(), found, known: VERSION }),
            None => return Err(reader.damaged("its head cannot be read")),
        };
        let note = reader.read_on(head.note as usize)?;
        if crc32c::crc32c(&note) != head.note_crc || note.len() != head.note as usize {
            return Err(reader.damaged("its note is not what was written"));
        }
        (reader.index, reader.note) = (head.index, note.into());
        Ok(reader)
    }

    /// The last entry that it covers.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// What was noted with it.
    #[must_use]
    pub const fn note(&self) -> &Bytes {
        &self.note
    }

    /// The next bytes, fewer where the file ends.
    fn read_on(&mut self, length: usize) -> Result<Vec<u8>, Refusal> {
        let mut bytes = vec![0; length];
        let read = self.file.read_at(&mut bytes, self.at).map_err(disk("reading", &self.path))?;
        bytes.truncate(read);
        self.at += read as u64;
        Ok(bytes)
    }

    fn damaged(&self, what: &str) -> Refusal {
        Refusal::corrupt(&self.path, self.at, what)
    }

    /// The next chunk; none at the end.
    fn chunk(&mut self) -> Result<Option<Bytes>, Refusal> {
        let head = self.read_on(CHUNK_HEAD)?;
        if head.len() < CHUNK_HEAD {
            return Err(self.damaged("it ends too soon"));
        }
        let length = u32_at(&head, 0) as usize;
        if length == 0 {
            let rest = self.read_on(END - CHUNK_HEAD + 1)?;
            let is_end = [head, rest].concat() == self.sum.end();
            return if is_end { Ok(None) } else { Err(self.damaged("its end is not that of its content")) };
        }
        if length > CHUNK_MAX {
            return Err(self.damaged("a chunk is longer than any"));
        }
        let content = self.read_on(length)?;
        let mut sum = self.sum;
        sum.add(&content);
        if content.len() < length || sum.chunk_head(&content)[..] != head {
            return Err(self.damaged("the chunk that ends here is not what was written"));
        }
        self.sum = sum;
        Ok(Some(content.into()))
    }
}

impl Iterator for SnapshotReader {
    type Item = Result<Bytes, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let chunk = self.chunk();
        self.is_over = !matches!(chunk, Ok(Some(_)));
        chunk.transpose()
    }
}

/// Reads all of a snapshot, to see that it is whole.
pub(super) fn look_through(on: &dyn Disk, path: &Path) -> Result<Snapshot, Refusal> {
    let mut reader = SnapshotReader::open(on, path)?;
    for chunk in &mut reader {
        chunk?;
    }
    let SnapshotReader { index, note, sum, .. } = reader;
    Ok(Snapshot { index, note, bytes: sum.bytes, file: path.to_owned() })
}
