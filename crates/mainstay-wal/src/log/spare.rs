//! The segment that is ready before it is needed.
//!
//! Its bytes are written as zeros and flushed, so that what is written over them later changes no length and no extent,
//! and a flush writes data alone. It is also the room that is left when the disk is full: the log goes on for one segment
//! more, and says that it is the last.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::disk::Disk;
use crate::refusal::{Refusal, disk};

/// Its name.
pub(crate) const SPARE: &str = "spare";

/// Its name while it is being made.
pub(crate) const UNREADY: &str = "spare.tmp";

/// Zeros that are written and flushed at once, so that no other flush waits for more of them.
const STEP: usize = 1 << 20;

/// Whether there is one.
#[derive(Debug)]
pub(crate) enum Spare {
    /// None, and none is being made.
    None,
    /// One is being made.
    Unready(JoinHandle<Result<(), Refusal>>),
    /// There is one, of zeros or of an earlier life.
    Ready {
        /// Nothing but zeros.
        is_zeros: bool,
    },
}

/// Makes spare segments.
#[derive(Debug, Clone)]
pub(crate) struct Maker {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) directory: PathBuf,
    pub(crate) length: u64,
}

impl Maker {
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join(SPARE)
    }

    /// How long the one that is there is.
    pub(crate) fn length_of_spare(&self) -> Result<u64, Refusal> {
        let path = self.path();
        let length = self.disk.open(&path).and_then(|file| file.length());
        length.map_err(disk("opening", &path))
    }

    /// Makes one.
    pub(crate) fn make(&self) -> Result<(), Refusal> {
        let path = self.directory.join(UNREADY);
        let made = self.fill(&path);
        let renamed = made.and_then(|()| self.disk.rename(&path, &self.path()).map_err(disk("renaming", &path)));
        renamed
            .inspect_err(|_| drop(self.disk.remove(&path)))
            .map_err(|why| why.of_space(&*self.disk, &self.directory, self.length))
    }

    /// Makes one on a thread of its own.
    pub(crate) fn make_aside(&self) -> Spare {
        let maker = self.clone();
        let thread = std::thread::Builder::new().name("log-spare".to_owned()).spawn(move || maker.make());
        thread.map_or(Spare::None, Spare::Unready)
    }

    fn fill(&self, path: &Path) -> Result<(), Refusal> {
        let file = self.disk.create(path).map_err(disk("creating", path))?;
        file.preallocate(self.length).map_err(disk("taking room for", path))?;
        let zeros = vec![0; STEP.min(usize::try_from(self.length).unwrap_or(STEP))];
        let mut at = 0;
        while at < self.length {
            let step = &zeros[..zeros.len().min((self.length - at) as usize)];
            file.write_at(step, at).map_err(disk("writing", path))?;
            file.flush().map_err(disk("flushing", path))?;
            at += step.len() as u64;
        }
        Ok(())
    }
}
