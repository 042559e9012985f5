//! A disk in memory that loses, tears, flips and fails, and remembers every step.
//!
//! From what it remembers any moment can be had again: as a process finds it that was killed there and started again
//! ([`FaultyDisk::killed_at`]), or as the machine finds it that lost its power ([`FaultyDisk::power_lost_at`]), with
//! whatever of the unflushed may be left then: nothing, all, or parts of it in any order.

mod image;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::disk::{Disk, DiskFile};
use image::Image;
pub use image::Left;

/// What can be asked of a disk, and can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// To make a file.
    Create,
    /// To open a file.
    Open,
    /// To take room.
    Preallocate,
    /// To write; half of it is written when it fails.
    Write,
    /// To read.
    Read,
    /// To flush a file; when it fails, what was unflushed stays readable and will never reach the disk.
    Flush,
    /// To flush a directory.
    FlushDirectory,
    /// To give a file another name.
    Rename,
    /// To remove a file.
    Remove,
}

/// A step that the disk remembers.
#[derive(Debug, Clone)]
enum Step {
    Create {
        path: PathBuf,
        file: usize,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    FlushDirectory {
        directory: PathBuf,
    },
    Extend {
        file: usize,
        length: usize,
    },
    Write {
        file: usize,
        at: usize,
        bytes: Arc<[u8]>,
    },
    Zeros {
        file: usize,
        at: usize,
        length: usize,
    },
    Flush {
        file: usize,
    },
    /// A flush that failed.
    Lost {
        file: usize,
    },
    /// A bit that is not any more what it was.
    Flip {
        file: usize,
        at: usize,
        mask: u8,
    },
}

/// A disk in memory. A clone is the same disk.
#[derive(Debug, Clone, Default)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    image: Image,
    steps: Vec<Step>,
    locked: BTreeSet<PathBuf>,
    failures: Vec<Failure>,
    room: Option<u64>,
    flush_takes: Duration,
}

#[derive(Debug)]
struct Failure {
    of: Operation,
    /// How many are still well.
    after: usize,
    once: bool,
    errno: i32,
}

impl FaultyDisk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an operation fail once, after `after` more of its kind that are well.
    pub fn fail_once(&self, of: Operation, after: usize, errno: i32) {
        self.state().failures.push(Failure { of, after, once: true, errno });
    }

    /// Lets every operation of a kind fail from now on.
    pub fn fail_always(&self, of: Operation, errno: i32) {
        self.state().failures.push(Failure { of, after: 0, once: false, errno });
    }

    /// Nothing can be changed any more, as on a file system that is mounted read-only after an error.
    pub fn make_read_only(&self) {
        use Operation::{Create, Flush, FlushDirectory, Open, Preallocate, Remove, Rename, Write};
        for of in [Create, Open, Preallocate, Write, Flush, FlushDirectory, Rename, Remove] {
            self.fail_always(of, EROFS);
        }
    }

    /// No operation fails any more.
    pub fn mend(&self) {
        self.state().failures.clear();
    }

    /// How many bytes all files together may have; nothing is unlimited.
    pub fn set_room(&self, room: Option<u64>) {
        self.state().room = room;
    }

    /// How long a flush takes.
    pub fn set_flush_time(&self, takes: Duration) {
        self.state().flush_takes = takes;
    }

    /// Flips bits of a byte that was flushed.
    ///
    /// # Panics
    /// If there is no such file, or it is shorter.
    pub fn flip(&self, path: impl AsRef<Path>, at: usize, mask: u8) {
        let mut state = self.state();
        let file = state.image.names[path.as_ref()];
        assert!(at < state.image.files[file].len(), "the file is shorter");
        state.take(Step::Flip { file, at, mask });
    }

    /// The content of a file.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn content(&self, path: impl AsRef<Path>) -> Vec<u8> {
        let state = self.state();
        state.image.files[state.image.names[path.as_ref()]].clone()
    }

    /// How many steps it remembers.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.state().steps.len()
    }

    /// The disk as a process finds it that was killed after so many steps: what was written is there, what was not flushed
    /// can still be lost.
    #[must_use]
    pub fn killed_at(&self, steps: usize) -> Self {
        let mut state = State::default();
        for step in &self.state().steps[..steps] {
            state.take(step.clone());
        }
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The disk as the machine finds it that lost its power after so many steps.
    #[must_use]
    pub fn power_lost_at(&self, steps: usize, left: Left) -> Self {
        let image = image::after_power_loss(&self.state().steps[..steps], left);
        let steps = image.as_steps();
        Self { state: Arc::new(Mutex::new(State { image, steps, ..State::default() })) }
    }
}

/// `EIO`: the disk does not do it.
pub const EIO: i32 = 5;

/// `ENOSPC`: the disk is full.
pub const ENOSPC: i32 = 28;

/// `EROFS`: the file system is read-only.
pub const EROFS: i32 = 30;

impl State {
    fn take(&mut self, step: Step) {
        self.image.take(&step);
        self.steps.push(step);
    }

    fn may(&mut self, of: Operation) -> io::Result<()> {
        let Some(place) = self.failures.iter().position(|failure| failure.of == of) else { return Ok(()) };
        let failure = &mut self.failures[place];
        if let Some(left) = failure.after.checked_sub(1) {
            failure.after = left;
            return Ok(());
        }
        let errno = failure.errno;
        if failure.once {
            self.failures.remove(place);
        }
        Err(io::Error::from_raw_os_error(errno))
    }

    fn free(&self) -> u64 {
        let used = |file: &usize| self.image.files[*file].len() as u64;
        self.room.map_or(u64::MAX, |room| room.saturating_sub(self.image.names.values().map(used).sum()))
    }

    /// Whether a file may grow to this length.
    fn has_room(&self, file: usize, length: usize) -> io::Result<()> {
        let grows = length.saturating_sub(self.image.files[file].len()) as u64;
        if grows > self.free() { Err(io::Error::from_raw_os_error(ENOSPC)) } else { Ok(()) }
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        self.image.names.get(path).copied().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Disk for FaultyDisk {
    fn create_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.may(Operation::Create)?;
        let file = state.image.files.len();
        state.take(Step::Create { path: path.to_owned(), file });
        Ok(Box::new(FaultyFile { disk: self.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.may(Operation::Open)?;
        Ok(Box::new(FaultyFile { disk: self.clone(), file: state.file(path)? }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.may(Operation::Rename)?;
        state.file(from)?;
        state.take(Step::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.may(Operation::Remove)?;
        state.file(path)?;
        state.take(Step::Remove { path: path.to_owned() });
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state.image.names.keys().filter(|path| path.parent() == Some(directory));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn flush_directory(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.may(Operation::FlushDirectory)?;
        state.take(Step::FlushDirectory { directory: directory.to_owned() });
        Ok(())
    }

    fn free_space(&self, _: &Path) -> io::Result<u64> {
        Ok(self.state().free())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let is_free = self.state().locked.insert(path.to_owned());
        let held = || Box::new(Lock { disk: self.clone(), path: path.to_owned() }) as Box<dyn Send + Sync>;
        Ok(is_free.then(held))
    }
}

struct Lock {
    disk: FaultyDisk,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.disk.state().locked.remove(&self.path);
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    file: usize,
}

impl DiskFile for FaultyFile {
    fn preallocate(&self, length: u64) -> io::Result<()> {
        let (mut state, length, file) = (self.disk.state(), length as usize, self.file);
        state.may(Operation::Preallocate)?;
        state.has_room(file, length)?;
        state.take(Step::Extend { file, length });
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.state().image.files[self.file].len() as u64)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let (mut state, at, file) = (self.disk.state(), at as usize, self.file);
        let may = state.may(Operation::Write).and_then(|()| state.has_room(file, at + bytes.len()));
        let done = if may.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        if done.iter().all(|byte| *byte == 0) {
            state.take(Step::Zeros { file, at, length: done.len() });
        } else {
            state.take(Step::Write { file, at, bytes: done.into() });
        }
        may
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.may(Operation::Read)?;
        let content = state.image.files[self.file].get(at as usize..).unwrap_or_default();
        let read = content.len().min(buffer.len());
        buffer[..read].copy_from_slice(&content[..read]);
        Ok(read)
    }

    fn flush(&self) -> io::Result<()> {
        let takes = self.disk.state().flush_takes;
        std::thread::sleep(takes);
        let (mut state, file) = (self.disk.state(), self.file);
        let may = state.may(Operation::Flush);
        state.take(if may.is_ok() { Step::Flush { file } } else { Step::Lost { file } });
        may
    }
}
