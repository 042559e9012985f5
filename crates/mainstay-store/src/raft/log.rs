//! The log of the engine of consensus, on disk.
//!
//! The vote and the last purged entry stand in the log's small state. What is committed goes along with the next entries:
//! it is only ever a hint at a restart, so that it costs no flush of its own.

#![allow(clippy::result_large_err, reason = "the engine's error is as large as it is")]

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use mainstay_wal::{LogReader, Record, Refusal, Writer};
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{AnyError, OptionalSend, RaftLogReader, StorageIOError};
use serde::{Deserialize, Serialize};

use super::keeper::Keeper;
use super::{Entry, LogId, MemberId, StorageError, Types, Vote, decode, encode};
use crate::mutant::{self, Mutant};

/// How much is read of the log at once, in bytes: what goes to a follower in one message, which must be on its disk before
/// the time for it is over.
const READ: u64 = 1 << 20;

/// What stands beside the entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Beside {
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
}

impl Beside {
    fn record(&self) -> Record {
        Record::State(postcard::to_allocvec(self).unwrap_or_default().into())
    }

    /// What was written.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

/// The log as the engine of consensus writes it. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub(crate) struct LogStore {
    writer: Arc<Writer>,
    keeper: Keeper,
    beside: Arc<Mutex<Beside>>,
    /// Whether what is committed has changed since it was last written.
    told: Arc<Mutex<Option<LogId>>>,
}

impl LogStore {
    pub(crate) fn new(writer: Arc<Writer>, keeper: Keeper, beside: Beside) -> Self {
        let told = Arc::new(Mutex::new(beside.committed));
        Self { writer, keeper, beside: Arc::new(Mutex::new(beside)), told }
    }

    /// The last entry, or what stands for it when all are purged.
    pub(crate) fn last(&self) -> Result<Option<LogId>, StorageError> {
        let reader = self.writer.reader();
        let last = match reader.last() {
            Some(last) => read(&reader, last..=last, 1)?.pop().map(|entry| entry.log_id),
            None => None,
        };
        Ok(last.or(self.beside().purged))
    }

    /// Whether this entry is in it.
    fn holds(&self, log_id: LogId) -> Result<bool, StorageError> {
        let there = read(&self.writer.reader(), log_id.index..=log_id.index, 1)?.pop();
        Ok(there.is_some_and(|entry| entry.log_id == log_id))
    }

    /// The last entry that a majority is known to have.
    pub(crate) fn committed(&self) -> Option<LogId> {
        self.beside().committed
    }

    /// For whom this member voted last.
    pub(crate) fn vote(&self) -> Vote {
        self.beside().vote.unwrap_or_default()
    }

    fn beside(&self) -> MutexGuard<'_, Beside> {
        self.beside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands beside the entries, if it is not what was last written.
    fn news(&self) -> Option<Record> {
        let beside = self.beside();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        (*told != beside.committed).then(|| {
            *told = beside.committed;
            beside.record()
        })
    }

    /// Writes and waits until it survives.
    pub(super) async fn write(&self, records: Vec<Record>) -> Result<(), Refusal> {
        let (tell, told) = tokio::sync::oneshot::channel();
        self.writer.append(records, move |outcome| drop(tell.send(outcome)))?;
        told.await.unwrap_or(Err(Refusal::Closed))
    }
}

fn io_error(refusal: &Refusal) -> AnyError {
    AnyError::error(refusal.whole())
}

fn writing(refusal: &Refusal) -> StorageError {
    StorageIOError::write_logs(io_error(refusal)).into()
}

fn read(reader: &LogReader, range: impl RangeBounds<u64>, at_most: u64) -> Result<Vec<Entry>, StorageError> {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before + 1,
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(last) => last + 1,
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    let unreadable = |error: AnyError| StorageError::from(StorageIOError::read_logs(error));
    let mut entries = Vec::new();
    let mut next = from.max(reader.first().unwrap_or(u64::MAX));
    while next < to && reader.last().is_some_and(|last| next <= last) {
        let read = reader.read(next..to, READ).map_err(|refusal| unreadable(io_error(&refusal)))?;
        if read.is_empty() {
            break;
        }
        for (index, bytes) in read {
            entries.push(decode(bytes).map_err(|error| unreadable(AnyError::new(&error)))?);
            next = index + 1;
        }
        if entries.len() as u64 >= at_most {
            break;
        }
    }
    Ok(entries)
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        read(&self.writer.reader(), range, u64::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        read(&self.writer.reader(), start..end, 1)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let purged = self.beside().purged;
        Ok(LogState { last_purged_log_id: purged, last_log_id: self.last()? })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let record = {
            let mut beside = self.beside();
            beside.vote = Some(*vote);
            beside.record()
        };
        self.write(vec![record]).await.map_err(|refusal| StorageIOError::write_vote(io_error(&refusal)).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        // Who led when the member ended leads no more, this one least of all: it may have told a client of an entry that
        // it does not know any more to be agreed on, and answer a read without it.
        let leads_on = mutant::is(Mutant::ForgetfulLeader);
        Ok(self.beside().vote.map(|vote| Vote { committed: vote.committed && leads_on, ..vote }))
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.beside().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        let committed = self.beside().committed;
        // What was told of the commit may be of entries that did not survive; they are not there to be carried out.
        let last = self.get_log_state().await?.last_log_id;
        Ok(committed.min(last))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entry = |entry: Entry| Record::Entry { index: entry.log_id.index, body: encode(&entry) };
        let mut records: Vec<_> = entries.into_iter().map(entry).collect();
        records.extend(self.news());
        if mutant::is(Mutant::EarlyAcknowledge) {
            callback.log_io_completed(Ok(()));
            return self.writer.append(records, |_| {}).map_err(|refusal| writing(&refusal));
        }
        let done = move |outcome: Result<(), Refusal>| {
            callback.log_io_completed(outcome.map_err(|refusal| io::Error::other(refusal.whole())));
        };
        self.writer.append(records, done).map_err(|refusal| writing(&refusal))
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let record = Record::TruncateAfter(log_id.index.checked_sub(1));
        self.write(vec![record]).await.map_err(|refusal| writing(&refusal))
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        if self.beside().purged >= Some(log_id) {
            return Ok(());
        }
        let (upto, then) = if self.holds(log_id)? {
            // What lies behind the older of the two snapshots stays, whatever the engine of consensus needs: with it a
            // member can start whose newer one is damaged.
            let oldest = self.keeper.oldest();
            (oldest.map_or(log_id, |oldest| oldest.min(log_id)), None)
        } else {
            // A snapshot came from another member that this log does not reach, or contradicts: none of it leads on.
            (log_id, Some(Record::TruncateAfter(None)))
        };
        let beside = {
            let mut beside = self.beside();
            beside.purged = beside.purged.max(Some(upto));
            beside.record()
        };
        let records = then.into_iter().chain([beside, Record::PurgeUpTo(upto.index)]).collect();
        self.write(records).await.map_err(|refusal| writing(&refusal))
    }
}

/// What the log begins with, as bytes: for who only needs to know that nothing is there.
pub(crate) fn beside(recovered: Option<&Bytes>) -> Result<Beside, StorageIOError<MemberId>> {
    match recovered {
        None => Ok(Beside::default()),
        Some(bytes) => Beside::read(bytes)
            .ok_or_else(|| StorageIOError::read_vote(AnyError::error("what stands beside the log cannot be read"))),
    }
}
