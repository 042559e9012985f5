//! The seam to the disk: the few operations on which everything here rests, so that a test can put a disk in their place
//! that fails, tears and forgets.
//!
//! What is written may be lost until [`DiskFile::flush`] has returned; that a name is there, is another or is gone may be
//! lost until [`Disk::flush_directory`] has. Nothing else is promised, and nothing else is relied upon, but this: a write
//! changes no byte outside its range, also where power fails in its midst.

mod real;

use std::fmt::Debug;
use std::io;
use std::path::Path;

pub use real::RealDisk;

/// Where files are.
pub trait Disk: Debug + Send + Sync {
    /// Makes a directory and those above it, where they are not there.
    ///
    /// # Errors
    /// What the system says.
    fn create_directory(&self, directory: &Path) -> io::Result<()>;

    /// A new and empty file; one of that name that was there is gone.
    ///
    /// # Errors
    /// What the system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// A file that is there.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name; who had that name is gone.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in order.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// Returns when all that happened to names in the directory survives a loss of power.
    ///
    /// # Errors
    /// What the system says. What was not flushed before may be lost then, whatever a later flush says.
    fn flush_directory(&self, directory: &Path) -> io::Result<()>;

    /// Bytes that a process like this one may still use where the directory is.
    ///
    /// # Errors
    /// What the system says.
    fn free_space(&self, directory: &Path) -> io::Result<u64>;

    /// Locks a file until what is returned is dropped, and makes it where it is not there; nothing, if another process or
    /// another part of this one holds it.
    ///
    /// # Errors
    /// What the system says.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>>;
}

/// A file that is open.
pub trait DiskFile: Debug + Send + Sync {
    /// Takes the room for so many bytes, which read as zeros where nothing was written.
    ///
    /// # Errors
    /// What the system says, [`io::ErrorKind::StorageFull`] where there is no room.
    fn preallocate(&self, length: u64) -> io::Result<()>;

    /// How long it is, in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn length(&self) -> io::Result<u64>;

    /// Writes all of the bytes at a place.
    ///
    /// # Errors
    /// What the system says; some of them may be written.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Fills the buffer from a place on, as far as the file goes; how many bytes that were.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// Returns when all that was written survives a loss of power.
    ///
    /// # Errors
    /// What the system says. What was not flushed before may be lost then, whatever a later flush says.
    fn flush(&self) -> io::Result<()>;
}

/// The whole of a file.
pub(crate) fn read_whole(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.length()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}
