//! Snapshots: what the log came to at an index, so that the log up to there can go.
//!
//! In: content in any pieces, with the index and a note. Out: a file that has its name only once it is whole and flushed,
//! and at start the newest that is whole. One that comes from a leader goes the same way as one that was made here.
//!
//! - A snapshot that [`SnapshotWriter::finish`] has given back is there after whatever happens; one that was not finished
//!   leaves nothing.
//! - The last two are kept. Whoever purges the log no further than the older one ([`Snapshots::oldest`]) can still start
//!   when the newer one is damaged.
//! - A damaged one is passed over, and told, as long as there is another.
//!
//! While a snapshot is written it is flushed every few mebibytes, so that no flush of the log waits behind all of it.

mod format;
mod read;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::disk::{Disk, DiskFile};
use crate::refusal::{Refusal, disk};
use format::{CHUNK_MAX, Head, NOTE_MAX, Sum};
pub use read::SnapshotReader;

const SUFFIX: &str = ".snap";
const UNREADY: &str = ".tmp";

/// How many are kept.
const KEPT: usize = 2;

/// Bytes after which what is written is flushed.
const FLUSH_EVERY: u64 = 8 << 20;

/// A snapshot that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last entry that it covers.
    pub index: u64,
    /// What was noted with it.
    pub note: Bytes,
    /// Length of its content, in bytes.
    pub bytes: u64,
    file: PathBuf,
}

/// A snapshot that cannot be read, and that another one stands in for.
#[derive(Debug, Clone)]
pub struct PassedOver {
    /// Its file. It stays until newer ones push it out.
    pub file: PathBuf,
    /// Why.
    pub why: Refusal,
}

/// The snapshots of a directory. A clone has the same.
#[derive(Debug, Clone)]
pub struct Snapshots {
    shared: Arc<Shared>,
}

struct Shared {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    /// By index, the oldest first.
    kept: Mutex<Vec<Snapshot>>,
    begun: AtomicU64,
    _held: Box<dyn Send + Sync>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Snapshots {
    /// Opens the snapshots of a directory, and looks each through from beginning to end; what was passed over.
    ///
    /// # Errors
    /// [`Refusal::Locked`] while another process has them open; [`Refusal::Corrupt`] where there are some and none is
    /// whole; [`Refusal::Disk`] where the disk does not do what it must.
    pub fn open(on: impl Disk + 'static, directory: impl AsRef<Path>) -> Result<(Self, Vec<PassedOver>), Refusal> {
        let (on, directory): (Arc<dyn Disk>, _) = (Arc::new(on), directory.as_ref().to_owned());
        on.create_directory(&directory).map_err(disk("creating", &directory))?;
        let lock = directory.join("lock");
        let held = on.lock(&lock).map_err(disk("locking", &lock))?;
        let held = held.ok_or_else(|| Refusal::Locked { directory: directory.clone() })?;
        let (mut kept, mut passed_over) = (Vec::new(), Vec::new());
        for name in on.list(&directory).map_err(disk("listing", &directory))? {
            let file = directory.join(&name);
            if name.ends_with(UNREADY) {
                on.remove(&file).map_err(disk("removing", &file))?;
            } else if name.ends_with(SUFFIX) {
                match read::look_through(&*on, &file) {
                    Ok(snapshot) => kept.push(snapshot),
                    Err(why @ Refusal::Corrupt { .. }) => passed_over.push(PassedOver { file, why }),
                    Err(why) => return Err(why),
                }
            }
        }
        if let (true, Some(newest)) = (kept.is_empty(), passed_over.last()) {
            return Err(newest.why.clone());
        }
        let shared = Shared { disk: on, directory, kept: Mutex::new(kept), begun: AtomicU64::new(0), _held: held };
        let snapshots = Self { shared: Arc::new(shared) };
        snapshots.let_go();
        Ok((snapshots, passed_over))
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Snapshot>> {
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest one.
    #[must_use]
    pub fn newest(&self) -> Option<Snapshot> {
        self.kept().last().cloned()
    }

    /// The oldest that is kept: entries after it are needed where the newer one turns out to be damaged.
    #[must_use]
    pub fn oldest(&self) -> Option<Snapshot> {
        self.kept().first().cloned()
    }

    /// Begins a snapshot that covers all entries up to `index`. Its note is at most a mebibyte long.
    ///
    /// # Errors
    /// [`Refusal::TooLong`], [`Refusal::NoSpace`] or [`Refusal::Disk`].
    pub fn create(&self, index: u64, note: Bytes) -> Result<SnapshotWriter, Refusal> {
        if note.len() > NOTE_MAX {
            return Err(Refusal::TooLong { length: note.len() as u64, max: NOTE_MAX as u64 });
        }
        let begun = self.shared.begun.fetch_add(1, Ordering::Relaxed);
        let path = self.shared.directory.join(format!("{index:020}-{begun}{UNREADY}"));
        let file = self.shared.disk.create(&path).map_err(disk("creating", &path))?;
        let head = Head { index, note: note.len() as u32, note_crc: crc32c::crc32c(&note) };
        let mut writer = SnapshotWriter {
            to: self.clone(),
            index,
            path,
            file,
            at: 0,
            flushed: 0,
            chunk: Vec::new(),
            sum: Sum::default(),
            is_named: false,
            note,
        };
        let begin = [&head.encode()[..], &writer.note].concat();
        writer.put(&begin)?;
        Ok(writer)
    }

    /// Reads a snapshot from its beginning. It can be read to its end, also when newer ones push it out meanwhile.
    ///
    /// # Errors
    /// [`Refusal::Disk`] or [`Refusal::Corrupt`].
    pub fn read(&self, snapshot: &Snapshot) -> Result<SnapshotReader, Refusal> {
        SnapshotReader::open(&*self.shared.disk, &snapshot.file)
    }

    /// Passes over one whose content turns out to be of no use. Its file stays until newer ones push it out.
    pub fn pass_over(&self, snapshot: &Snapshot) {
        self.kept().retain(|other| other != snapshot);
    }

    /// Takes one in.
    fn keep(&self, snapshot: &Snapshot) {
        let mut kept = self.kept();
        kept.retain(|other| other.index != snapshot.index);
        let place = kept.partition_point(|other| other.index < snapshot.index);
        kept.insert(place, snapshot.clone());
    }

    /// Lets go of all but the last. One that cannot be removed now is there to be removed when the next comes.
    fn let_go(&self) {
        let mut kept = self.kept();
        let old = kept.len().saturating_sub(KEPT);
        kept.drain(..old);
        let oldest = kept.first().map(|oldest| oldest.file.clone());
        drop(kept);
        let names = self.shared.disk.list(&self.shared.directory).unwrap_or_default();
        for name in names.iter().filter(|name| name.ends_with(SUFFIX)) {
            let file = self.shared.directory.join(name);
            if Some(&file) < oldest.as_ref() {
                drop(self.shared.disk.remove(&file));
            }
        }
    }
}

/// A snapshot that is being written. Dropped before it is finished, it leaves nothing.
#[derive(Debug)]
pub struct SnapshotWriter {
    to: Snapshots,
    index: u64,
    note: Bytes,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    at: u64,
    flushed: u64,
    chunk: Vec<u8>,
    sum: Sum,
    is_named: bool,
}

impl SnapshotWriter {
    /// Adds to the content.
    ///
    /// # Errors
    /// [`Refusal::NoSpace`] or [`Refusal::Disk`]; nothing can come of this snapshot then.
    pub fn write(&mut self, mut content: &[u8]) -> Result<(), Refusal> {
        while !content.is_empty() {
            let (now, later) = content.split_at(content.len().min(CHUNK_MAX - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            content = later;
            if self.chunk.len() == CHUNK_MAX {
                self.put_chunk()?;
            }
        }
        Ok(())
    }

    /// Returns when the snapshot is whole, has its name and survives a loss of power; those before the last two go.
    ///
    /// # Errors
    /// [`Refusal::NoSpace`] or [`Refusal::Disk`]; the snapshots that were there are there.
    pub fn finish(mut self) -> Result<Snapshot, Refusal> {
        if !self.chunk.is_empty() {
            self.put_chunk()?;
        }
        self.put(&self.sum.end())?;
        self.file.flush().map_err(disk("flushing", &self.path))?;
        let Shared { disk: on, directory, .. } = &*self.to.shared;
        let file = directory.join(format!("{:020}{SUFFIX}", self.index));
        on.rename(&self.path, &file).map_err(disk("renaming", &self.path))?;
        self.is_named = true;
        on.flush_directory(directory).map_err(disk("flushing", directory))?;
        let snapshot = Snapshot { index: self.index, note: self.note.clone(), bytes: self.sum.bytes, file };
        self.to.keep(&snapshot);
        self.to.let_go();
        Ok(snapshot)
    }

    fn put_chunk(&mut self) -> Result<(), Refusal> {
        self.sum.add(&self.chunk);
        let head = self.sum.chunk_head(&self.chunk);
        self.put(&head)?;
        let chunk = std::mem::take(&mut self.chunk);
        self.put(&chunk)?;
        self.chunk = chunk;
        self.chunk.clear();
        if self.at - self.flushed >= FLUSH_EVERY {
            self.flushed = self.at;
            self.file.flush().map_err(disk("flushing", &self.path))?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let Shared { disk: on, directory, .. } = &*self.to.shared;
        let put = self.file.write_at(bytes, self.at).map_err(disk("writing", &self.path));
        put.map_err(|why| why.of_space(&**on, directory, bytes.len() as u64))?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.is_named {
            drop(self.to.shared.disk.remove(&self.path));
        }
    }
}
