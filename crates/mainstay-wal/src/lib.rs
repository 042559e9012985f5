//! What must survive: the log and the snapshots, as files.
//!
//! In: records and snapshots, and a disk. Out: whether they survive, and after a stop of any kind what was there. Nothing
//! else of the store touches a disk, and nothing here knows what the bytes mean.
//!
//! [`Log`] is the sequence of what was decided; [`Writer`] owns one on a thread of its own and lets many share a flush;
//! [`Snapshots`] are what the sequence came to at an index. All work on [`Disk`], the seam behind which a test can put a
//! disk that loses, tears, flips and fails (`testing`).

mod disk;
#[cfg(feature = "testing")]
pub mod laws;
mod log;
mod refusal;
mod snapshot;
#[cfg(feature = "testing")]
pub mod testing;
mod writer;

pub use bytes::Bytes;
pub use disk::{Disk, DiskFile, RealDisk};
pub use log::{Cut, Log, LogReader, Options, Record, Recovered};
pub use refusal::Refusal;
pub use snapshot::{PassedOver, Snapshot, SnapshotReader, SnapshotWriter, Snapshots};
pub use writer::{Done, Flush, Writer, WriterOptions};
