//! One member: its data, its part in the agreement, and what goes on in it besides.
//!
//! Consensus runs in openraft. What it lacks is here, around it: a member asks before it stands for election
//! ([`crate::elector`]), one that may have lost its data is believed only as far as it may be ([`crate::voice`]), a leader
//! whose disk stalls falls silent so that another takes its place, and one that ends hands its part over. Every task of the member is owned by it and ends with it.

mod answers;
mod changing;
mod counts;
mod leading;
mod start;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_mvcc::{Applied, Command, LeaseId, Op, Revision, Txn};
use openraft::RaftMetrics;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub use start::StartError;

use self::counts::Counts;
use crate::confirm::Confirmations;
use crate::data::Data;
use crate::elector::{Elector, Now};
use crate::engine::{Failure, Header, Lease, Member, Status};
use crate::identity::Identity;
use crate::links::Links;
use crate::mutant::{self, Mutant};
use crate::peer::Message;
use crate::propose::{self, Leader, Outcome, Proposals, Settling, Ways};
use crate::raft::{Batch, Flushes, Keeper, LogStore, MemberId, Place, Raft, Receiving, write};
use crate::settings::Settings;
use crate::turns::{Asker, Reads};
use crate::voice::Voice;

/// How long a client waits for a command or a confirmation besides the time in which a dead leader is noticed; 5 s, as
/// etcd has it.
const REQUEST: Duration = Duration::from_secs(5);

/// One member.
pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) identity: Identity,
    pub(crate) data: Arc<Data>,
    raft: Raft,
    /// What the engine of consensus says of itself.
    metrics: watch::Receiver<RaftMetrics<MemberId, Place>>,
    log: LogStore,
    keeper: Keeper,
    links: Arc<Links>,
    proposals: Proposals,
    /// Its own place in line, and those of the other members.
    own: Asker,
    askers: Mutex<std::collections::BTreeMap<MemberId, Asker>>,
    pub(crate) reads: Reads,
    confirmations: Confirmations,
    counts: Counts,
    elector: Mutex<Elector>,
    /// The snapshot that comes in, if one does.
    receiving: tokio::sync::Mutex<Option<Receiving>>,
    voice: Arc<Mutex<Voice>>,
    /// The term in which this member leads and counts the time of leases.
    counted: Mutex<Option<u64>>,
    /// Nothing more is proposed here: leadership is being handed over.
    yielding: AtomicBool,
    /// One change of the members at a time.
    changing: tokio::sync::Mutex<()>,
    /// It is no member any more.
    removed: watch::Sender<bool>,
    rounds: AtomicU64,
    tasks: Mutex<Option<JoinSet<()>>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Inner {
    fn now(&self) -> Now {
        self.data.now()
    }

    fn elector(&self) -> std::sync::MutexGuard<'_, Elector> {
        self.elector.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn voice(&self) -> std::sync::MutexGuard<'_, Voice> {
        self.voice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn me(&self) -> MemberId {
        self.identity.member
    }

    /// How long a client's request may take.
    fn patience(&self) -> Duration {
        REQUEST + 2 * self.settings.election
    }

    /// Who leads, as far as this member knows. One that leads and has not been acknowledged by a majority for longer than
    /// it takes the others to put another in its place does not.
    fn leader(&self) -> Option<Leader> {
        let metrics = self.metrics.borrow();
        if metrics.running_state.is_err() {
            return None;
        }
        let id = metrics.current_leader?;
        self.counts.led_by(id);
        if id != self.me() {
            // One that is silent for so long that others stand leads no more, whatever was known last.
            if !self.elector().is_led() {
                return None;
            }
            let place = metrics.membership_config.membership().get_node(&id)?;
            return Some(Leader::Other(id, place.peer.clone()));
        }
        let voters = metrics.membership_config.voter_ids().count();
        let silent =
            metrics.millis_since_quorum_ack.is_some_and(|ms| u128::from(ms) > self.settings.election.as_millis());
        (metrics.state.is_leader() && (voters < 2 || !silent)).then_some(Leader::Me)
    }

    fn leads(&self) -> bool {
        self.leader() == Some(Leader::Me)
    }

    /// Why the member has ended, if it has.
    fn ended(&self) -> Option<Failure> {
        if self.is_removed() {
            return Some(Failure::Removed);
        }
        let fatal = self.metrics.borrow().running_state.clone().err()?;
        Some(Failure::Stopped(self.keeper.failure().unwrap_or_else(|| fatal.to_string())))
    }

    /// Waits a while for somebody who leads.
    async fn led(&self) -> Result<Leader, Failure> {
        if let Some(leader) = self.leader() {
            return Ok(leader);
        }
        if let Some(ended) = self.ended() {
            return Err(ended);
        }
        let mut metrics = self.metrics.clone();
        // A leader that is heard again changes nothing that the engine tells of.
        let again = self.settings.election / 20;
        let found = timeout(2 * self.settings.election, async {
            while !matches!(timeout(again, metrics.changed()).await, Ok(Err(_))) {
                if let Some(leader) = self.leader() {
                    return Some(leader);
                }
            }
            None
        });
        found.await.ok().flatten().ok_or_else(|| self.ended().unwrap_or(Failure::NoLeader))
    }

    pub(crate) async fn ready(&self, within: Duration) -> bool {
        timeout(within, async { while self.led().await.is_err() {} }).await.is_ok()
    }

    pub(crate) async fn propose(&self, asker: &Asker, command: &Command) -> Result<Applied, Failure> {
        let bytes = propose::encode(command);
        let asked = async {
            loop {
                let outcome = match self.led().await? {
                    Leader::Me => self.propose_here(asker, command, bytes.clone()).await,
                    Leader::Other(..) => self.proposals.propose(asker, command, bytes.clone()).await,
                };
                match outcome {
                    // It was certainly not done, and another may lead in a moment.
                    Err(Failure::NoLeader) => tokio::time::sleep(self.settings.election / 20).await,
                    Err(Failure::Timeout) if mutant::is(Mutant::SecondProposal) => {}
                    outcome => return outcome,
                }
            }
        };
        let _pending = self.counts.proposes();
        let outcome = timeout(self.patience(), asked).await.unwrap_or(Err(Failure::Timeout));
        if outcome.is_err() {
            self.counts.failed();
        }
        outcome
    }

    /// Proposes as the leader.
    async fn propose_here(&self, asker: &Asker, command: &Command, bytes: bytes::Bytes) -> Result<Applied, Failure> {
        if self.yielding.load(Ordering::Relaxed) {
            return Err(Failure::NoLeader);
        }
        if grows(command) && self.is_full() {
            return Err(Failure::NoSpace);
        }
        self.proposals.propose(asker, command, bytes).await
    }

    /// Proposes what the member itself wants done as the leader of a term, and of no other.
    async fn propose_own(&self, term: u64, command: &Command) -> Result<Applied, Failure> {
        if self.yielding.load(Ordering::Relaxed) {
            return Err(Failure::NoLeader);
        }
        self.proposals.propose_own(&self.own, term, command).await
    }

    /// Whether the data has reached its quota, or the disk will soon have no room.
    fn is_full(&self) -> bool {
        self.data.read().bytes() >= self.settings.quota || self.keeper.is_full()
    }

    pub(crate) async fn confirm(&self) -> Result<(), Failure> {
        if mutant::is(Mutant::LoneRead) {
            return Ok(());
        }
        timeout(self.patience(), self.confirmations.confirm()).await.unwrap_or(Err(Failure::Timeout))
    }

    /// One round for all who wait to read.
    async fn confirm_round(&self) -> Result<(), Failure> {
        let rounds = async {
            loop {
                let index = match self.led().await? {
                    Leader::Me => self.confirm_here().await,
                    Leader::Other(id, peer) => {
                        match self.links.forward(id, &peer, Message::Confirm, self.settings.election).await {
                            Ok(Message::Confirmed(index)) => Ok(index),
                            Ok(_) => Err(Failure::NoLeader),
                            Err(failure) => Err(failure),
                        }
                    }
                };
                match index {
                    Ok(index) => return Ok(index),
                    // Nothing changes by a read: it is tried again until there is no time left for it.
                    Err(Failure::NoLeader | Failure::Timeout) => tokio::time::sleep(self.settings.election / 20).await,
                    Err(failure) => return Err(failure),
                }
            }
        };
        let index = timeout(self.patience(), rounds).await.unwrap_or(Err(Failure::NoLeader))?;
        if self.data.reaches(index, self.patience()).await { Ok(()) } else { Err(Failure::Timeout) }
    }

    /// Confirms with a majority that this member leads: what was committed when the call began.
    async fn confirm_here(&self) -> Result<u64, Failure> {
        // The round would renew the lease that is to run out.
        if self.yielding.load(Ordering::Relaxed) {
            return Err(Failure::NoLeader);
        }
        let (index, _) = self.raft.get_read_log_id().await.map_err(|error| propose::failed(&error))?;
        Ok(index.map_or(0, |id| id.index))
    }

    pub(crate) async fn renew(&self, lease: LeaseId) -> Result<Option<i64>, Failure> {
        match self.led().await? {
            Leader::Me => self.renew_here(lease).await,
            Leader::Other(id, peer) => {
                match self.links.forward(id, &peer, Message::Renew(lease), self.patience()).await? {
                    Message::Renewed(ttl) => Ok(ttl),
                    _ => Err(Failure::NoLeader),
                }
            }
        }
    }

    /// Renews as the leader, and answers once a majority has confirmed that it still was: whoever leads after it counts
    /// from later on.
    async fn renew_here(&self, lease: LeaseId) -> Result<Option<i64>, Failure> {
        let Some(term) = self.counts_leases() else { return Err(Failure::NoLeader) };
        let renew = || self.data.leases().renewed(lease, self.data.instant());
        let mut renewed = renew();
        self.confirm().await?;
        if renewed.is_none() {
            // It may have been agreed on before this member came to lead, and carried out only now.
            renewed = renew();
            if renewed.is_some() {
                self.confirm().await?;
            }
        }
        // Where another leads by now, it was that one which was confirmed, and it may have counted before.
        if self.counts_leases() != Some(term) {
            return Err(Failure::NoLeader);
        }
        if mutant::is(Mutant::RevivedLease) {
            return Ok(renewed.or(Some(1)));
        }
        // An earlier leader may have had its end agreed on.
        Ok(renewed.filter(|_| self.data.read().ttl(lease).is_some()))
    }

    pub(crate) async fn lease(&self, id: LeaseId, keys: bool) -> Result<Option<Lease>, Failure> {
        match self.led().await? {
            Leader::Me => self.lease_here(id, keys).await,
            Leader::Other(leader, peer) => {
                match self.links.forward(leader, &peer, Message::Lease { id, keys }, self.patience()).await? {
                    Message::LeaseIs(lease) => Ok(lease),
                    _ => Err(Failure::NoLeader),
                }
            }
        }
    }

    async fn lease_here(&self, id: LeaseId, keys: bool) -> Result<Option<Lease>, Failure> {
        if self.counts_leases().is_none() {
            return Err(Failure::NoLeader);
        }
        self.confirm().await?;
        let left = self.data.leases().left(id, self.data.instant());
        let store = self.data.read();
        let Some(lease) = store.lease(id) else { return Ok(None) };
        let keys = if keys { lease.keys.clone() } else { Vec::new() };
        let left = left.map_or(lease.ttl, |left| i64::try_from(left.as_nanos() / 1_000_000_000).unwrap_or(i64::MAX));
        Ok(Some(Lease { id, granted: lease.ttl, left, keys }))
    }

    pub(crate) fn header_at(&self, revision: Revision) -> Header {
        let term = self.metrics.borrow().current_term;
        Header { cluster: self.identity.cluster, member: self.me(), revision, term }
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let members = metrics.membership_config.membership();
        let voters: BTreeSet<_> = members.voter_ids().collect();
        let member = |(id, place): (&MemberId, &Place)| Member {
            id: *id,
            name: place.name.clone(),
            peer: place.peer.clone(),
            client: if *id == self.me() { self.settings.client.clone() } else { place.client.clone() },
            learner: !voters.contains(id),
        };
        members.nodes().map(member).collect()
    }

    pub(crate) fn status(&self) -> Status {
        let leader = match self.leader() {
            Some(Leader::Me) => self.me(),
            Some(Leader::Other(id, _)) => id,
            None => 0,
        };
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let data = self.data.read().bytes();
        Status {
            leader,
            term: metrics.current_term,
            committed: self.log.committed().max(metrics.last_applied).map_or(0, |id| id.index),
            applied: metrics.last_applied.map_or(0, |id| id.index),
            disk: self.keeper.taken(),
            data,
            no_space: self.is_full(),
            learner: self.data.learns(),
            leaders: self.counts.leaders(),
            pending: self.counts.pending(),
            failed: self.counts.failures(),
        }
    }

    pub(crate) fn flushes(&self) -> Flushes {
        self.keeper.flushes()
    }

    pub(crate) async fn stop(&self) {
        if self.leads() {
            _ = self.hand_over(None).await;
        }
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        _ = self.raft.shutdown().await;
        if let Some(mut tasks) = tasks {
            tasks.shutdown().await;
        }
        *self.receiving.lock().await = None;
    }
}

impl Ways for Inner {
    fn leader(&self) -> Option<Leader> {
        self.leader()
    }

    fn term(&self) -> u64 {
        self.metrics.borrow().current_term
    }

    async fn here(&self, batch: Batch) -> Settling {
        match write(&self.raft, batch, self.patience()).await {
            Ok(settled) => Box::pin(settled),
            Err(failure) => Box::pin(std::future::ready(Err(failure))),
        }
    }

    async fn there(&self, member: MemberId, peer: &str, batch: Batch) -> Result<Vec<Outcome>, Failure> {
        match self.links.forward(member, peer, Message::Propose(batch), self.patience()).await? {
            Message::Applied(outcomes) => {
                // Whoever asks this member next sees what it has just been told. That it was done is certain, however late
                // this member is.
                let reached = outcomes.iter().flatten().map(|applied| applied.revision).max();
                self.data.reaches_revision(reached.unwrap_or(0), self.settings.election).await;
                Ok(outcomes)
            }
            _ => Err(Failure::Timeout),
        }
    }
}

/// Whether a command can make the data grow.
fn grows(command: &Command) -> bool {
    fn writes(txn: &Txn) -> bool {
        txn.then.iter().chain(&txn.otherwise).any(|op| match op {
            Op::Put(_) => true,
            Op::Txn(txn) => writes(txn),
            Op::Range(_) | Op::Delete(_) => false,
        })
    }
    match command {
        Command::Put(_) | Command::Grant { .. } => true,
        Command::Txn(txn) => writes(txn),
        _ => false,
    }
}
