//! Why something was not done, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;

/// Why something was not done, in words that name the file and what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// Another process uses the directory.
    #[error(
        "{} is in use by another process: its lock is held. Two processes must not write one log; end the other one, or \
         give this one a directory of its own",
        directory.display()
    )]
    Locked {
        /// Whose.
        directory: PathBuf,
    },
    /// The system did not do what was asked.
    #[error("{doing} {}", path.display())]
    Disk {
        /// What was being done.
        doing: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// There is no room for another segment, of which nothing was written then, or for a snapshot.
    #[error(
        "no room for {needed} bytes in {}: {free} are free. Make room (remove what is not the store's, compact the store, \
         or give it a larger disk); what is there can still be read",
        directory.display()
    )]
    NoSpace {
        /// Where.
        directory: PathBuf,
        /// What is needed, in bytes.
        needed: u64,
        /// What is free, in bytes.
        free: u64,
    },
    /// What was written and flushed once reads otherwise now.
    #[error(
        "{} is damaged at byte {offset}: {what}. It was whole once and others may have been told so, hence nothing is cut \
         off. Look at the disk; then remove this member's data and let it join again, so that it gets all from its peers \
         (a member that is alone: restore a backup)",
        file.display()
    )]
    Corrupt {
        /// Which file.
        file: PathBuf,
        /// From which byte on.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// Segments are not there that hold entries which were not purged.
    #[error(
        "{} lacks entries {from} to {to}: the files that hold them are gone. Bring them back, or remove this member's data \
         and let it join again, so that it gets all from its peers",
        directory.display()
    )]
    Missing {
        /// Where.
        directory: PathBuf,
        /// The first that is missing.
        from: u64,
        /// The last that is missing.
        to: u64,
    },
    /// It was written in another format.
    #[error(
        "{} has format {found}, this version reads {known}. Use the version of Mainstay that wrote it, or a newer one",
        file.display()
    )]
    Version {
        /// Which file.
        file: PathBuf,
        /// Its format.
        found: u32,
        /// The one that is known here.
        known: u32,
    },
    /// An earlier write or flush failed, and nothing is written since.
    #[error(
        "the log takes nothing more since it failed. What was not confirmed may or may not be on the disk, and flushing \
         again would not tell. Look at the disk, then start again: what is really there is read anew"
    )]
    Failed(#[source] Box<Refusal>),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// An entry does not follow the one before it.
    #[error("entry {given} where {expected} is next")]
    Gap {
        /// The index that was given.
        given: u64,
        /// The index that is next.
        expected: u64,
    },
    /// What was purged cannot be truncated.
    #[error("entries from {from} on cannot be taken back: all up to {purged} are purged")]
    TruncatesPurged {
        /// The first to be taken back.
        from: u64,
        /// The last that was purged.
        purged: u64,
    },
    /// Entries were purged and cannot be read.
    #[error("entry {index} is gone: the log begins at {first}")]
    Purged {
        /// What was asked for.
        index: u64,
        /// The first that is there.
        first: u64,
    },
    /// A record is longer than a record may be.
    #[error("a record of {length} bytes, {max} are the most")]
    TooLong {
        /// Its length.
        length: u64,
        /// The longest that is taken.
        max: u64,
    },
    /// More waits to be written than may wait.
    #[error("{waiting} bytes wait for the disk already, {max} are the most")]
    Full {
        /// What waits, in bytes.
        waiting: u64,
        /// The most that may.
        max: u64,
    },
}

impl Refusal {
    /// Whether the same may go well later without anything being started again.
    #[must_use]
    pub const fn is_for_now(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::NoSpace { .. })
    }

    /// All of it in one line, with what the system says.
    #[must_use]
    pub fn whole(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(why) = source {
            text.push_str(": ");
            text.push_str(&why.to_string());
            source = why.source();
        }
        text
    }

    pub(crate) fn corrupt(file: &Path, offset: impl Into<u64>, what: impl Into<String>) -> Self {
        Self::Corrupt { file: file.to_owned(), offset: offset.into(), what: what.into() }
    }

    /// A full disk is told as such.
    pub(crate) fn of_space(self, disk: &dyn Disk, directory: &Path, needed: u64) -> Self {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match &self {
            Self::Disk { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded) => {
                Self::NoSpace { directory: directory.to_owned(), needed, free: disk.free_space(directory).unwrap_or(0) }
            }
            _ => self,
        }
    }

    /// As an earlier failure that later calls are told of.
    pub(crate) fn earlier(&self) -> Self {
        match self {
            Self::Failed(_) | Self::Closed => self.clone(),
            other => Self::Failed(Box::new(other.clone())),
        }
    }
}

/// Says of the system's word what was being done to which file.
pub(crate) fn disk<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Refusal + 'a {
    move |source| Refusal::Disk { doing, path: path.to_owned(), source: Arc::new(source) }
}
