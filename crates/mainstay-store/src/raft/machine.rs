//! The data as the engine of consensus carries it on: commands in, snapshots out and in.
//!
//! The data lives in memory. After a restart it is the newest snapshot and what the log has behind it. A snapshot is read
//! at a pinned revision, a piece at a time, while commands go on.

use std::sync::Arc;

use mainstay_mvcc::{Applied, Command, Done as Did, Refused, Store};
use openraft::storage::RaftStateMachine;
use openraft::{AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageIOError};

use super::keeper::{Keeper, SnapshotFile, build};
use super::{Done, Entry, LogId, MemberId, Place, StorageError, Types};
use crate::data::{Data, Members, Reached};
use crate::propose;

/// Carries commands out. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    data: Arc<Data>,
    keeper: Keeper,
}

impl Machine {
    pub(crate) fn new(data: Arc<Data>, keeper: Keeper) -> Self {
        Self { data, keeper }
    }

    /// Carries out one command, and lets the leases know what became of theirs.
    fn carry_out(&self, store: &mut Store, command: Option<Command>) -> Applied {
        let Some(command) = command else {
            // A command that this version cannot read: passed over by all members alike, and told to who proposed it.
            return Applied { revision: store.revision(), done: Err(Refused::Unreadable) };
        };
        let applied = store.apply(&command);
        match &applied.done {
            Ok(Did::Granted { id, ttl }) => self.data.leases().granted(*id, *ttl, self.data.instant()),
            Ok(Did::Ended(ids)) => {
                let mut leases = self.data.leases();
                ids.iter().for_each(|id| leases.ended(*id));
            }
            _ => {}
        }
        applied
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Members), StorageError> {
        let reached = self.data.reached().clone();
        Ok((reached.applied, reached.members))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Done>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut done = Vec::new();
        for entry in entries {
            let mut store = self.data.write();
            let applied = match entry.payload {
                EntryPayload::Blank => Vec::new(),
                EntryPayload::Normal(batch) => {
                    propose::decode(&batch).map(|command| self.carry_out(&mut store, command)).collect()
                }
                EntryPayload::Membership(members) => {
                    self.data.reached().members = Members::new(Some(entry.log_id), members);
                    self.data.look_at_part();
                    Vec::new()
                }
            };
            self.data.reached().applied = Some(entry.log_id);
            done.push(Done(applied));
        }
        self.data.publish();
        Ok(done)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotFile>, StorageError> {
        Err(StorageIOError::write_snapshot(None, AnyError::error("snapshots come by their own way")).into())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<MemberId, Place>,
        snapshot: Box<SnapshotFile>,
    ) -> Result<(), StorageError> {
        let reading = |error: String| {
            StorageError::from(StorageIOError::read_snapshot(Some(meta.signature()), AnyError::error(error)))
        };
        let file = *snapshot;
        let store = tokio::task::spawn_blocking(move || file.restore()).await;
        let store = store.map_err(|error| reading(error.to_string()))?.map_err(&reading)?;
        {
            let mut kept = self.data.write();
            *kept = store;
            *self.data.reached() = Reached { applied: meta.last_log_id, members: meta.last_membership.clone() };
        }
        self.data.look_at_part();
        self.data.watches.replaced();
        self.data.leases().follow();
        self.data.publish();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        Ok(self.keeper.newest().map(|(meta, file)| Snapshot { meta, snapshot: Box::new(file) }))
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let (data, keeper) = (Arc::clone(&self.data), self.keeper.clone());
        let built = tokio::task::spawn_blocking(move || build(&data, &keeper)).await;
        let writing = |error: String| StorageError::from(StorageIOError::write_snapshot(None, AnyError::error(error)));
        let built = built.map_err(|error| writing(error.to_string()))?;
        let (meta, file) = built.map_err(|refusal| writing(refusal.whole()))?;
        Ok(Snapshot { meta, snapshot: Box::new(file) })
    }
}
