//! One member of the store, as those who use it see it.
//!
//! In: commands to agree on and questions. Out: what they did, once a majority has them on disk, and answers. A method
//! that must speak with other members waits no longer than a deadline of its own and then says so: the outcome of a
//! command is unknown after [`Failure::Timeout`], and certain after everything else.

use std::sync::Arc;
use std::time::Duration;

use mainstay_mvcc::{Applied, Command, End, Found, LeaseId, Range, Refused, Revision, Watch};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::identity::new_number;
use crate::member::{Inner, StartError};
use crate::members::Change;
use crate::members::Unchanged;
use crate::raft::Flushes;
use crate::settings::Settings;
use crate::turns::Asker;
use crate::watch::Watcher;

/// Keys whose checksum is taken under one lock of the data: under a millisecond.
const HASHED_AT_ONCE: usize = 1_000;

/// A read of more keys than these is followed by what others want: some hundred microseconds.
const LONG: i64 = 1_000;

/// One member of the store. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Inner>, Asker);

/// Who answers, and as of when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The cluster, the same on every member and for as long as it lives.
    pub cluster: u64,
    /// The member that answers.
    pub member: u64,
    /// The revision that the answer is of, or a later one.
    pub revision: Revision,
    /// The term of the leader whom the member follows.
    pub term: u64,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Failure {
    /// The data says no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Nobody leads, or a majority cannot be reached: nothing was done.
    #[error("no leader: fewer than half of the members can reach each other")]
    NoLeader,
    /// No answer in time: it may have been done or not.
    #[error("no answer within the time for it; whether it was done is unknown")]
    Timeout,
    /// More is waiting than may wait: nothing was done.
    #[error("too many requests are waiting")]
    TooMany,
    /// The command is longer than members take from each other: nothing was done.
    #[error("the command is too long")]
    TooLong,
    /// The data has reached its quota: nothing was done.
    #[error("the data has reached its quota")]
    NoSpace,
    /// The members stay as they are.
    #[error(transparent)]
    Unchanged(#[from] Unchanged),
    /// This member was removed from the cluster.
    #[error("this member was removed from its cluster, for good")]
    Removed,
    /// The member is ending, or its disk has failed.
    #[error("the member is stopping: {0}")]
    Stopped(String),
}

/// A member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub id: u64,
    /// Its name in the configuration.
    pub name: String,
    /// Where other members reach it, `HOST:PORT`.
    pub peer: String,
    /// Where clients reach it, `HOST:PORT`.
    pub client: String,
    /// It learns and does not vote.
    pub learner: bool,
}

/// How the member stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Who leads; 0 for nobody.
    pub leader: u64,
    /// The term.
    pub term: u64,
    /// The last index of the log that a majority has.
    pub committed: u64,
    /// The last index of the log whose command was carried out here.
    pub applied: u64,
    /// How much the log and the snapshots take on disk, in bytes.
    pub disk: u64,
    /// How much the data takes, in bytes: what the quota counts.
    pub data: u64,
    /// Whether the quota has been reached.
    pub no_space: bool,
    /// Whether this member is a learner.
    pub learner: bool,
    /// How often this member has seen another come to lead.
    pub leaders: u64,
    /// Commands of this member's clients whose outcome is not known yet.
    pub pending: u64,
    /// Commands of this member's clients that were refused, or of which nobody knows the outcome.
    pub failed: u64,
}

/// A lease and how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its number.
    pub id: LeaseId,
    /// The length it was granted, in seconds.
    pub granted: i64,
    /// What is left, in seconds.
    pub left: i64,
    /// The keys that hang on it, where they were wanted.
    pub keys: Vec<bytes::Bytes>,
}

impl Engine {
    /// Starts a member: opens its data, listens to its peers, and takes part.
    ///
    /// # Errors
    /// Its directory is another's or damaged, or the settings cannot be right: see [`StartError`].
    pub async fn start(settings: Settings, peers: TcpListener) -> Result<Self, StartError> {
        Ok(Self(Inner::start(settings, peers).await?, Asker::default()))
    }

    /// Another handle, for another who asks: what is asked for with it has a place in line of its own, and waits for no more
    /// than one command of each of the others. A clone has the place of what it was cloned from.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self(Arc::clone(&self.0), Asker::default())
    }

    /// Ends the member: a leader hands its part over before.
    pub async fn stop(&self) {
        self.0.stop().await;
    }

    /// Waits until somebody leads, no longer than `within`; whether that is so.
    pub async fn ready(&self, within: Duration) -> bool {
        self.0.ready(within).await
    }

    /// Has a command agreed on and carried out.
    ///
    /// # Errors
    /// It was not, or whether it was is unknown: see [`Failure`]. What the data says is within [`Applied`].
    pub async fn propose(&self, command: Command) -> Result<Applied, Failure> {
        self.0.propose(&self.1, &command).await
    }

    /// Returns once everything that was acknowledged before the call can be read here: a read that follows is
    /// linearizable. Those who wait at the same time share one round.
    ///
    /// # Errors
    /// That cannot be known.
    pub async fn confirm(&self) -> Result<(), Failure> {
        self.0.confirm().await
    }

    /// Reads what is here.
    ///
    /// # Errors
    /// The revision is not there.
    pub fn read(&self, range: &Range) -> Result<(Header, Found), Refused> {
        let store = self.0.data.read();
        let found = store.range(range)?;
        let revision = store.revision();
        drop(store);
        Ok((self.0.header_at(revision), found))
    }

    /// Reads what is here in turn with others who read many keys, one read of each after the other; what reads one key waits
    /// for nobody.
    ///
    /// # Errors
    /// The revision is not there.
    pub async fn read_in_turn(&self, range: &Range) -> Result<(Header, Found), Refused> {
        if range.span.end == End::Single {
            return self.read(range);
        }
        let long =
            |answer: &Result<(Header, Found), Refused>| answer.as_ref().is_ok_and(|(_, found)| found.count > LONG);
        self.0.reads.in_turn(&self.1, || self.read(range), long).await
    }

    /// Who this is, and how far it has come.
    #[must_use]
    pub fn header(&self) -> Header {
        let revision = self.0.data.read().revision();
        self.0.header_at(revision)
    }

    /// Gives a lease its full length again: what it is in seconds, or `None` when there is no such lease. Answered by
    /// the leader, through whichever member is asked.
    ///
    /// # Errors
    /// Nobody could say.
    pub async fn renew(&self, lease: LeaseId) -> Result<Option<i64>, Failure> {
        self.0.renew(lease).await
    }

    /// How a lease stands, or `None` when there is no such lease. Answered by the leader.
    ///
    /// # Errors
    /// Nobody could say.
    pub async fn lease(&self, lease: LeaseId, keys: bool) -> Result<Option<Lease>, Failure> {
        self.0.lease(lease, keys).await
    }

    /// All leases, as this member knows them.
    #[must_use]
    pub fn leases(&self) -> Vec<LeaseId> {
        self.0.data.read().leases().map(|(id, _)| id).collect()
    }

    /// Watches keys.
    #[must_use]
    pub fn watch(&self, watch: Watch) -> Watcher {
        self.0.data.watches.open(watch)
    }

    /// The members.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.0.members()
    }

    /// Adds a member that is reached at this address, and says its number. It learns, and votes once it has caught up,
    /// unless it is to be a `learner` and no more.
    ///
    /// # Errors
    /// It was not added, or whether it was is unknown.
    pub async fn add(&self, peer: &str, learner: bool) -> Result<u64, Failure> {
        let id = new_number(peer);
        self.0.change(Change::Add { id, peer: peer.to_owned(), learner }).await?;
        Ok(id)
    }

    /// Removes a member for good. A leader hands its part over before.
    ///
    /// # Errors
    /// It was not removed, or whether it was is unknown.
    pub async fn remove(&self, member: u64) -> Result<(), Failure> {
        self.0.change(Change::Remove(member)).await
    }

    /// Has a learner vote.
    ///
    /// # Errors
    /// It does not, or whether it does is unknown.
    pub async fn promote(&self, member: u64) -> Result<(), Failure> {
        self.0.change(Change::Promote(member)).await
    }

    /// A member is reached by the others at another address.
    ///
    /// # Errors
    /// That was not written down, or whether it was is unknown.
    pub async fn relocate(&self, member: u64, peer: &str) -> Result<(), Failure> {
        self.0.change(Change::Move { id: member, peer: peer.to_owned() }).await
    }

    /// Whether this member only learns.
    #[must_use]
    pub fn learns(&self) -> bool {
        self.0.data.learns()
    }

    /// Whether this member was removed from its cluster.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.0.is_removed()
    }

    /// Returns once this member was removed from its cluster.
    pub async fn removed(&self) {
        self.0.removed().await;
    }

    /// How this member stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status()
    }

    /// How this member's disk has flushed the log.
    #[must_use]
    pub fn flushes(&self) -> Flushes {
        self.0.flushes()
    }

    /// All data as it is now, in pieces: what a [`mainstay_mvcc::Restore`] takes. Commands go on meanwhile; the pieces end
    /// when all were brought or the receiver is gone.
    #[must_use]
    pub fn save(&self) -> mpsc::Receiver<Vec<u8>> {
        let (pieces, saved) = mpsc::channel(4);
        let data = Arc::clone(&self.0.data);
        tokio::task::spawn_blocking(move || {
            let pin = data.write().pin();
            for piece in data.pieces(pin) {
                if pieces.blocking_send(piece).is_err() {
                    return;
                }
            }
        });
        saved
    }

    /// Hands leadership to another member, and returns once it leads.
    ///
    /// # Errors
    /// This member does not lead, the other is not a voter, or it did not come to lead in time.
    pub async fn hand_over(&self, to: u64) -> Result<(), Failure> {
        self.0.hand_over(Some(to)).await
    }

    /// A checksum of all revisions up to this one (0: up to now), the revision, and the oldest that is remembered.
    ///
    /// # Errors
    /// The revision is not there.
    pub fn hash(&self, revision: Revision) -> Result<(u32, Revision, Revision), Refused> {
        let mut hashing = self.0.data.write().hashing(revision)?;
        loop {
            let sum = self.0.data.read().hash_on(&mut hashing, HASHED_AT_ONCE);
            if let Some(sum) = sum {
                return Ok((sum, hashing.revision(), hashing.compacted()));
            }
        }
    }
}
