//! What a member keeps on disk: its log, and snapshots of its data.
//!
//! A snapshot is what the engine of consensus says of it, as a note, and the data in pieces. The last two are kept and the
//! log reaches back to the older one, so that a member whose newest snapshot is damaged can still start.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use mainstay_mvcc::{Restore, Store};
use mainstay_wal::{
    Disk, Flush, Log, Options, RealDisk, Refusal, Snapshot as File, SnapshotWriter, Snapshots, Writer, WriterOptions,
};
use openraft::SnapshotMeta;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::flushes::Flushes;
use super::log::{LogStore, beside};
use super::{LogId, Machine, MemberId, Place, Vote};
use crate::data::{Data, Reached};
use crate::engine::Failure;
use crate::member::StartError;
use crate::peer::Transfer;
use crate::settings::Settings;

/// How many pieces wait between who gathers or receives and who writes.
const WAITING: usize = 4;

/// Below so many free bytes nothing more is taken: room for a snapshot of little data and a few segments of the log, with
/// which a member that is full can still be made smaller.
const FREE_MIN: u64 = 512 << 20;

/// What the engine of consensus says of a snapshot.
pub(crate) type Meta = SnapshotMeta<MemberId, Place>;

/// What a member keeps on disk. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub(crate) struct Keeper(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    writer: Arc<Writer>,
    snapshots: Snapshots,
    count: Arc<Count>,
    /// How much was written when the last snapshot began.
    at_snapshot: AtomicU64,
    full: AtomicBool,
    directory: PathBuf,
    /// What the directory takes.
    taken: AtomicU64,
    snapshot_after: u64,
}

/// What was written so far, and how long it took.
#[derive(Debug, Default)]
struct Count {
    bytes: AtomicU64,
    flushes: Mutex<Flushes>,
}

/// A member's data, opened.
pub(crate) struct Opened {
    pub(crate) log: LogStore,
    pub(crate) machine: Machine,
    pub(crate) keeper: Keeper,
    pub(crate) data: Arc<Data>,
}

/// Opens the data of the member of this number: the newest snapshot that can be restored and from which the log leads on.
/// What the log has behind it is carried out by the engine of consensus.
pub(crate) fn open(settings: &Settings, me: MemberId) -> Result<Opened, StartError> {
    let refused = |refusal: Refusal| StartError::Data(refusal.whole());
    let (snapshots, passed_over) = Snapshots::open(RealDisk, settings.directory.join("snapshots")).map_err(refused)?;
    for passed in passed_over {
        tracing::warn!(file = %passed.file.display(), why = %passed.why, "a damaged snapshot is passed over");
    }
    let (log, recovered) = Log::open(RealDisk, settings.directory.join("log"), Options::default()).map_err(refused)?;
    let beside = beside(recovered.state.as_ref()).map_err(|error| StartError::Data(error.to_string()))?;
    let (store, reached) = restore(&snapshots, beside.purged)?;
    let count = Arc::new(Count { bytes: AtomicU64::new(log.bytes()), flushes: Mutex::default() });
    let counted = Arc::clone(&count);
    let on_flush = Box::new(move |flush| counted.add(flush));
    let writer = Writer::start(log, WriterOptions { on_flush, ..WriterOptions::default() }).map_err(refused)?;
    let writer = Arc::new(writer);
    let kept = Kept {
        writer: Arc::clone(&writer),
        snapshots,
        count,
        at_snapshot: AtomicU64::new(0),
        full: AtomicBool::new(false),
        directory: settings.directory.clone(),
        taken: AtomicU64::new(0),
        snapshot_after: settings.snapshot_after,
    };
    let keeper = Keeper(Arc::new(kept));
    keeper.look_at_disk();
    let data = Arc::new(Data::new(store, reached, me));
    let machine = Machine::new(Arc::clone(&data), keeper.clone());
    Ok(Opened { log: LogStore::new(writer, keeper.clone(), beside), machine, keeper, data })
}

/// The data of the newest snapshot that can be restored. The log begins behind `purged`: one that does not reach up to
/// there is of no use.
fn restore(snapshots: &Snapshots, purged: Option<LogId>) -> Result<(Store, Reached), StartError> {
    while let Some(file) = snapshots.newest() {
        let newest = SnapshotFile { snapshots: snapshots.clone(), file };
        let restored = meta(&newest.file).and_then(|meta| Ok((newest.restore()?, meta)));
        let index = newest.file.index;
        let why = match restored {
            Ok((store, meta)) if meta.last_log_id >= purged => {
                return Ok((store, Reached { applied: meta.last_log_id, members: meta.last_membership }));
            }
            Ok(_) => return Err(StartError::Data(gap(Some(index), purged))),
            Err(why) => why,
        };
        if snapshots.oldest().is_none_or(|oldest| oldest.index == index) {
            return Err(StartError::Data(why));
        }
        tracing::warn!(index, %why, "a snapshot that cannot be restored is passed over");
        snapshots.pass_over(&newest.file);
    }
    if purged.is_some() {
        return Err(StartError::Data(gap(None, purged)));
    }
    Ok((Store::new(), Reached::default()))
}

/// Says that entries are missing between a snapshot and the log.
fn gap(snapshot: Option<u64>, purged: Option<LogId>) -> String {
    let reaches = snapshot.map_or("there is no snapshot".to_owned(), |index| format!("the snapshot ends with {index}"));
    let first = purged.map_or(0, |purged| purged.index + 1);
    format!(
        "the log begins with entry {first} and {reaches}: remove this member's data, and it gets all from the others"
    )
}

impl Count {
    fn add(&self, flush: Flush) {
        self.bytes.fetch_add(flush.bytes, Ordering::Relaxed);
        self.flushes().add(flush.flush);
    }

    fn flushes(&self) -> MutexGuard<'_, Flushes> {
        self.flushes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the engine of consensus said of a snapshot.
fn meta(file: &File) -> Result<Meta, String> {
    postcard::from_bytes(&file.note).map_err(|_| "what is noted with a snapshot cannot be read".to_owned())
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

    /// Looks how much the member takes of its disk, and how much room that has.
    pub(crate) fn look_at_disk(&self) {
        let Kept { directory, taken, .. } = &*self.0;
        let lengths = ["log", "snapshots"].map(|part| length(&directory.join(part)));
        taken.store(lengths.iter().sum(), Ordering::Relaxed);
        // A disk that does not say is not taken for a full one.
        let free = RealDisk.free_space(directory).unwrap_or(u64::MAX);
        let full = free < FREE_MIN;
        if full != self.0.full.swap(full, Ordering::Relaxed) {
            if full {
                tracing::warn!(
                    free,
                    "the disk has little room left: what would grow the data is refused until it has more"
                );
            } else {
                tracing::info!(free, "the disk has room again");
            }
        }
    }

    /// How long the flush that is under way has taken so far.
    pub(crate) fn stalled_for(&self) -> Option<Duration> {
        self.0.writer.stalled_for()
    }

    /// How the disk has flushed.
    pub(crate) fn flushes(&self) -> Flushes {
        *self.0.count.flushes()
    }

    /// What the log and the snapshots took of the disk when it was last looked at, in bytes.
    pub(crate) fn taken(&self) -> u64 {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// How much was written to the log since the member started, and what was there then.
    fn written(&self) -> u64 {
        self.0.count.bytes.load(Ordering::Relaxed)
    }

    /// Whether the log has grown by so much that a snapshot of the data, of so many bytes, is to take its place.
    pub(crate) fn wants_snapshot(&self, data: u64) -> bool {
        let grown = self.written().saturating_sub(self.0.at_snapshot.load(Ordering::Relaxed));
        grown > self.0.snapshot_after.max(data)
    }

    /// A snapshot is being made of what has been written so far.
    pub(crate) fn snapshot_began(&self) {
        self.0.at_snapshot.store(self.written(), Ordering::Relaxed);
    }

    /// The newest snapshot that is whole.
    pub(crate) fn newest(&self) -> Option<(Meta, SnapshotFile)> {
        let file = self.0.snapshots.newest()?;
        Some((meta(&file).ok()?, SnapshotFile { snapshots: self.0.snapshots.clone(), file }))
    }

    /// The last entry that the oldest snapshot covers: what lies before it is needed by nobody.
    pub(crate) fn oldest(&self) -> Option<LogId> {
        meta(&self.0.snapshots.oldest()?).ok()?.last_log_id
    }

    /// Takes in a snapshot that another member sends.
    pub(crate) fn receive(&self, from: MemberId, transfer: Transfer, vote: Vote, meta: Meta) -> Receiving {
        let snapshots = self.0.snapshots.clone();
        let index = meta.last_log_id.map_or(0, |id| id.index);
        let note = note(&meta);
        let (pieces, mut waiting) = mpsc::channel::<Bytes>(WAITING);
        let written = tokio::task::spawn_blocking(move || {
            let mut writer = snapshots.create(index, note)?;
            while let Some(piece) = waiting.blocking_recv() {
                writer.write(&piece)?;
            }
            Ok((snapshots, writer))
        });
        Receiving { from, transfer, at: 0, vote, meta, pieces, written }
    }
}

/// The lengths of the files in a directory, all together; what cannot be looked at counts as nothing.
fn length(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

fn note(meta: &Meta) -> Bytes {
    // What the engine says of a snapshot is made of numbers and names: nothing in it can fail to be written down.
    postcard::to_allocvec(meta).unwrap_or_default().into()
}

/// A snapshot on disk.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {
    snapshots: Snapshots,
    file: File,
}

impl SnapshotFile {
    /// The data that it holds.
    pub(crate) fn restore(&self) -> Result<Store, String> {
        let reader = self.snapshots.read(&self.file).map_err(|refusal| refusal.whole())?;
        let mut restore = Restore::new();
        for piece in reader {
            restore.take(&piece.map_err(|refusal| refusal.whole())?).map_err(|damaged| damaged.to_string())?;
        }
        restore.finish().map_err(|damaged| damaged.to_string())
    }

    /// Reads it piece by piece, on a thread that may wait for the disk.
    pub(crate) fn reader(&self) -> Reading {
        let (pieces, reading) = mpsc::channel(WAITING);
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let reader = match this.snapshots.read(&this.file) {
                Ok(reader) => reader,
                Err(refusal) => return drop(pieces.blocking_send(Err(refusal))),
            };
            for piece in reader {
                if pieces.blocking_send(piece).is_err() {
                    return;
                }
            }
        });
        Reading(reading)
    }
}

/// A snapshot that is being read.
#[derive(Debug)]
pub(crate) struct Reading(mpsc::Receiver<Result<Bytes, Refusal>>);

impl Reading {
    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        self.0.recv().await.transpose()
    }
}

/// A snapshot that is being taken in. Dropped before it is whole, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Receiving {
    from: MemberId,
    transfer: Transfer,
    /// How many bytes have come.
    at: u64,
    vote: Vote,
    meta: Meta,
    pieces: mpsc::Sender<Bytes>,
    written: JoinHandle<Result<(Snapshots, SnapshotWriter), Refusal>>,
}

impl Receiving {
    /// Whether this is the transfer that comes from this member.
    pub(crate) fn is(&self, from: MemberId, transfer: Transfer) -> bool {
        (self.from, self.transfer) == (from, transfer)
    }

    /// Whether all before this byte has come, and nothing behind it.
    pub(crate) fn stands_at(&self, at: u64) -> bool {
        self.at == at
    }

    /// The next piece.
    pub(crate) async fn piece(&mut self, data: Bytes) -> Result<(), Failure> {
        self.at += data.len() as u64;
        self.pieces.send(data).await.map_err(|_| Failure::Stopped("a snapshot cannot be written".to_owned()))
    }

    /// That was all of it.
    pub(crate) async fn whole(self) -> Result<(Vote, Meta, SnapshotFile), Failure> {
        let Self { vote, meta, pieces, written, .. } = self;
        drop(pieces);
        let failed = |why: String| Failure::Stopped(format!("a snapshot cannot be taken in: {why}"));
        let written = written.await.map_err(|error| failed(error.to_string()))?;
        let (snapshots, writer) = written.map_err(|refusal| failed(refusal.whole()))?;
        let finished = tokio::task::spawn_blocking(move || writer.finish()).await;
        let file = finished.map_err(|error| failed(error.to_string()))?.map_err(|refusal| failed(refusal.whole()))?;
        Ok((vote, meta, SnapshotFile { snapshots, file }))
    }
}

/// Makes a snapshot of the data as it is now. Commands go on meanwhile.
pub(crate) fn build(data: &Data, keeper: &Keeper) -> Result<(Meta, SnapshotFile), Refusal> {
    let (pin, reached) = {
        let mut store = data.write();
        (store.pin(), data.reached().clone())
    };
    let index = reached.applied.map_or(0, |id| id.index);
    let meta = Meta {
        last_log_id: reached.applied,
        last_membership: reached.members,
        snapshot_id: format!("{index}-{}", pin.revision()),
    };
    let snapshots = keeper.0.snapshots.clone();
    let mut writer = snapshots.create(index, note(&meta))?;
    for piece in data.pieces(pin) {
        writer.write(&piece)?;
    }
    let file = writer.finish()?;
    Ok((meta, SnapshotFile { snapshots, file }))
}

#[cfg(test)]
mod tests {
    use openraft::StoredMembership;
    use openraft::storage::RaftLogStorage;

    use super::*;

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(openraft::CommittedLeaderId::new(term, 1), index)
    }

    /// Keeps a snapshot of nothing that ends there, or one that nobody can make anything of.
    fn snapshot(keeper: &Keeper, at: LogId, can_be_restored: bool) {
        let meta =
            Meta { last_log_id: Some(at), last_membership: StoredMembership::default(), snapshot_id: String::new() };
        let mut writer = keeper.0.snapshots.create(at.index, note(&meta)).unwrap();
        if can_be_restored {
            let data = Data::new(Store::new(), Reached::default(), 1);
            let pin = data.write().pin();
            data.pieces(pin).for_each(|piece| writer.write(&piece).unwrap());
        } else {
            writer.write(b"what no version has ever written").unwrap();
        }
        writer.finish().unwrap();
    }

    /// Appends entries of a term, and waits until they survive.
    async fn append(log: &LogStore, term: u64, indices: std::ops::RangeInclusive<u64>) -> Result<(), Refusal> {
        let entry = |index| super::super::Entry { log_id: id(term, index), payload: openraft::EntryPayload::Blank };
        let records = indices.map(|index| mainstay_wal::Record::entry(index, super::super::encode(&entry(index))));
        log.write(records.collect()).await
    }

    #[tokio::test]
    async fn a_snapshot_that_the_log_does_not_reach_is_gone_on_from_also_with_an_older_one_kept() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::new("n1", dir.path());
        let Opened { mut log, keeper, .. } = open(&settings, 1).unwrap();
        append(&log, 1, 0..=15).await.unwrap();
        snapshot(&keeper, id(1, 10), true);
        log.purge(id(1, 5)).await.unwrap();
        snapshot(&keeper, id(2, 50), true);
        log.purge(id(2, 50)).await.unwrap();
        append(&log, 2, 51..=55).await.unwrap();
        assert_eq!(log.get_log_state().await.unwrap().last_purged_log_id, Some(id(2, 50)));
        // One that contradicts what was never agreed on takes that with it.
        snapshot(&keeper, id(3, 53), true);
        log.purge(id(3, 53)).await.unwrap();
        append(&log, 3, 54..=55).await.unwrap();
        drop((log, keeper));
        let opened = open(&settings, 1).unwrap();
        assert_eq!(opened.data.reached().applied, Some(id(3, 53)));
        assert_eq!(opened.log.last().unwrap(), Some(id(3, 55)));
    }

    #[tokio::test]
    async fn a_snapshot_within_the_log_leaves_all_behind_the_older_one() {
        let dir = tempfile::tempdir().unwrap();
        let Opened { mut log, keeper, .. } = open(&Settings::new("n1", dir.path()), 1).unwrap();
        append(&log, 1, 0..=30).await.unwrap();
        snapshot(&keeper, id(1, 10), true);
        snapshot(&keeper, id(1, 20), true);
        log.purge(id(1, 20)).await.unwrap();
        assert_eq!(log.get_log_state().await.unwrap().last_purged_log_id, Some(id(1, 10)));
    }

    #[tokio::test]
    async fn a_snapshot_that_cannot_be_restored_is_passed_over_for_the_one_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::new("n1", dir.path());
        let Opened { mut log, keeper, .. } = open(&settings, 1).unwrap();
        append(&log, 1, 0..=30).await.unwrap();
        snapshot(&keeper, id(1, 10), true);
        snapshot(&keeper, id(1, 20), false);
        log.purge(id(1, 20)).await.unwrap();
        drop((log, keeper));
        let opened = open(&settings, 1).unwrap();
        assert_eq!(opened.data.reached().applied, Some(id(1, 10)));
        assert_eq!(opened.keeper.newest().unwrap().0.last_log_id, Some(id(1, 10)), "nor is it given to others");
    }

    #[tokio::test]
    async fn a_member_with_a_gap_between_snapshot_and_log_does_not_start() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::new("n1", dir.path());
        let Opened { mut log, keeper, .. } = open(&settings, 1).unwrap();
        append(&log, 1, 0..=15).await.unwrap();
        snapshot(&keeper, id(1, 10), true);
        snapshot(&keeper, id(2, 50), false);
        log.purge(id(2, 50)).await.unwrap();
        drop((log, keeper));
        let refused = open(&settings, 1).map(drop).unwrap_err().to_string();
        assert!(refused.contains("begins with entry 51 and the snapshot ends with 10"), "{refused}");
        std::fs::remove_dir_all(dir.path().join("snapshots")).unwrap();
        let refused = open(&settings, 1).map(drop).unwrap_err().to_string();
        assert!(refused.contains("there is no snapshot"), "{refused}");
    }
}
