//! What a member keeps on disk: its log, and snapshots of its data.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use mainstay_mvcc::Store;
use mainstay_wal::{Log, Options, RealDisk, Writer, WriterOptions};
use openraft::SnapshotMeta;

use super::log::{LogStore, beside};
use super::{Machine, MemberId, Place, Vote};
use crate::data::{Data, Reached};
use crate::engine::Failure;
use crate::member::StartError;
use crate::settings::Settings;

/// How much the log grows until a snapshot takes its place, in bytes: a few seconds of a restart.
const SNAPSHOT_AFTER: u64 = 256 << 20;

/// What is described of a snapshot.
pub(crate) type Meta = SnapshotMeta<MemberId, Place>;

/// What a member keeps on disk. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub(crate) struct Keeper(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    writer: Arc<Writer>,
    written: Arc<AtomicU64>,
    /// How much was written when the last snapshot began.
    at_snapshot: AtomicU64,
    full: AtomicBool,
    newest: Mutex<Option<(Meta, SnapshotFile)>>,
}

/// A member's data, opened.
pub(crate) struct Opened {
    pub(crate) log: LogStore,
    pub(crate) machine: Machine,
    pub(crate) keeper: Keeper,
    pub(crate) data: Arc<Data>,
}

/// Opens the data of a member.
pub(crate) fn open(settings: &Settings) -> Result<Opened, StartError> {
    let refused = |refusal: mainstay_wal::Refusal| StartError::Data(refusal.whole());
    let directory = settings.directory.join("log");
    let (log, recovered) = Log::open(RealDisk, &directory, Options::default()).map_err(refused)?;
    let beside = beside(recovered.state.as_ref()).map_err(|error| StartError::Data(error.to_string()))?;
    let written = Arc::new(AtomicU64::new(log.bytes()));
    let counted = Arc::clone(&written);
    let on_flush = move |flush: mainstay_wal::Flush| {
        counted.fetch_add(flush.bytes, Ordering::Relaxed);
    };
    let options = WriterOptions { on_flush: Box::new(on_flush), ..WriterOptions::default() };
    let writer = Arc::new(Writer::start(log, options).map_err(refused)?);
    let kept = Kept {
        writer: Arc::clone(&writer),
        written,
        at_snapshot: AtomicU64::new(0),
        full: AtomicBool::new(false),
        newest: Mutex::new(None),
    };
    let keeper = Keeper(Arc::new(kept));
    let data = Arc::new(Data::new(Store::new(), Reached::default()));
    let machine = Machine::new(Arc::clone(&data), keeper.clone());
    Ok(Opened { log: LogStore::new(writer, beside), machine, keeper, data })
}

impl Keeper {
    /// Why the log takes nothing more, if that is so.
    pub(crate) fn failure(&self) -> Option<String> {
        self.0.writer.ended().map(|refusal| refusal.whole())
    }

    /// Whether the disk will soon have no room.
    pub(crate) fn is_full(&self) -> bool {
        self.0.full.load(Ordering::Relaxed)
    }

    /// How long the flush that is under way has taken so far.
    pub(crate) fn stalled_for(&self) -> Option<Duration> {
        self.0.writer.stalled_for()
    }

    /// How much was written to the log since the member started.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Whether the log has grown by so much that a snapshot is to take its place.
    pub(crate) fn wants_snapshot(&self) -> bool {
        self.bytes().saturating_sub(self.0.at_snapshot.load(Ordering::Relaxed)) > SNAPSHOT_AFTER
    }

    /// A snapshot is being made of what has been written so far.
    pub(crate) fn snapshot_began(&self) {
        self.0.at_snapshot.store(self.bytes(), Ordering::Relaxed);
    }

    /// The newest snapshot that is whole.
    pub(crate) fn newest(&self) -> Option<(Meta, SnapshotFile)> {
        self.0.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in a snapshot that another member sends.
    pub(crate) async fn receive(&self, vote: Vote, meta: Meta) -> Result<Receiving, Failure> {
        let _ = (vote, meta);
        Err(Failure::Stopped("no snapshots yet".to_owned()))
    }
}

/// A snapshot on disk.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {}

impl SnapshotFile {
    /// The data that it holds.
    pub(crate) fn restore(&self) -> Result<Store, String> {
        Err("no snapshots yet".to_owned())
    }

    /// Reads it in pieces of this length.
    pub(crate) fn reader(&self, piece: usize) -> std::io::Result<Reading> {
        let _ = piece;
        Err(std::io::ErrorKind::Unsupported.into())
    }
}

/// A snapshot that is being read.
#[derive(Debug)]
pub(crate) struct Reading {}

impl Reading {
    pub(crate) async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        Ok(None)
    }
}

/// A snapshot that is being taken in.
#[derive(Debug)]
pub(crate) struct Receiving {}

impl Receiving {
    pub(crate) async fn piece(&mut self, data: Bytes) -> Result<(), Failure> {
        let _ = data;
        Ok(())
    }

    pub(crate) async fn whole(self) -> Result<(Vote, Meta, SnapshotFile), Failure> {
        Err(Failure::Stopped("no snapshots yet".to_owned()))
    }
}

/// Makes a snapshot of the data as it is now.
pub(crate) fn build(data: &Data, keeper: &Keeper) -> Result<(Meta, SnapshotFile), String> {
    let _ = (data, keeper);
    Err("no snapshots yet".to_owned())
}
