//! How the members change: what the leader has agreed on, and what a member does about itself.
//!
//! What is right is decided in [`crate::members`]. A change of those who vote takes two entries of the log, the first of
//! which both the old and the new majority must have (joint consensus: Ongaro's thesis, section 4.3); a leader that finds a
//! change half done finishes it. Numbers are never given twice, so that an answer "no member" is for good.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::error::{ChangeMembershipError, ClientWriteError, RaftError};
use tokio::time::{sleep, timeout};

use super::{Inner, Leader};
use crate::engine::Failure;
use crate::identity::Identity;
use crate::members::{Change, Members, Seen, Step, Unchanged};
use crate::peer::{Lane, Message};
use crate::raft::{MemberId, Place, stopped};

/// How often a member looks whether it is known by the name and address that it has.
const INTRODUCE: Duration = Duration::from_millis(500);

impl Inner {
    /// Has a change of the members agreed on and carried out here.
    pub(crate) async fn change(&self, change: Change) -> Result<(), Failure> {
        let asked = async {
            let mut tried = false;
            loop {
                let outcome = match self.led().await? {
                    Leader::Me => self.change_here(&change).await,
                    Leader::Other(id, peer) => {
                        let said = Message::Change(change.clone());
                        match self.links.forward(id, &peer, said, self.patience()).await {
                            Ok(Message::Changed(index)) => Ok(index),
                            Ok(_) => Err(Failure::Timeout),
                            Err(failure) => Err(failure),
                        }
                    }
                };
                match outcome {
                    Ok(index) => {
                        // That it was done is certain, however late this member is.
                        self.data.reaches(index, self.settings.election).await;
                        return Ok(());
                    }
                    // A leader that was cut short may have had it agreed on.
                    Err(Failure::Unchanged(why)) if tried && is_done(&change, why) => return Ok(()),
                    Err(Failure::NoLeader) => sleep(self.settings.election / 20).await,
                    Err(failure) => return Err(failure),
                }
                tried = true;
            }
        };
        timeout(self.patience(), asked).await.unwrap_or(Err(Failure::Timeout))
    }

    /// Has it agreed on as the leader: the entry of the log with which it is done. Changes are made one after the other.
    pub(super) async fn change_here(&self, change: &Change) -> Result<u64, Failure> {
        let changed = async {
            let _alone = self.changing.lock().await;
            if !self.leads() {
                return Err(Failure::NoLeader);
            }
            self.settle().await?;
            let step = self.seen().step(change)?;
            if step == Step::Dismiss(self.me()) {
                self.hand_over(None).await?;
                return Err(Failure::NoLeader);
            }
            tracing::info!(?change, "the members change");
            match step {
                Step::None => Ok(self.data.reached().applied.map_or(0, |id| id.index)),
                Step::Place(id, place) => self.agree(ChangeMembers::SetNodes(BTreeMap::from([(id, place)]))).await,
                Step::Vote(id) => self.agree(ChangeMembers::AddVoterIds(BTreeSet::from([id]))).await,
                Step::Dismiss(id) => self.agree(ChangeMembers::RemoveVoters(BTreeSet::from([id]))).await,
                Step::Forget(id) => self.agree(ChangeMembers::RemoveNodes(BTreeSet::from([id]))).await,
            }
        };
        timeout(self.patience(), changed).await.unwrap_or(Err(Failure::Timeout))
    }

    async fn agree(&self, changes: ChangeMembers<MemberId, Place>) -> Result<u64, Failure> {
        loop {
            let error = match self.raft.change_membership(changes.clone(), false).await {
                Ok(agreed) => return Ok(agreed.log_id.index),
                Err(RaftError::APIError(error)) => error,
                Err(RaftError::Fatal(fatal)) => return Err(stopped(&fatal)),
            };
            match error {
                // What an earlier leader began is not agreed on yet.
                ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_)) => {
                    sleep(self.settings.election / 20).await;
                }
                ClientWriteError::ChangeMembershipError(_) => return Err(Unchanged::Unknown.into()),
                ClientWriteError::ForwardToLeader(_) => return Err(Failure::NoLeader),
            }
        }
    }

    /// Finishes a change of those who vote that was left half done.
    async fn settle(&self) -> Result<(), Failure> {
        let joint = self.raft.metrics().borrow().membership_config.membership().get_joint_config().len() > 1;
        if joint {
            self.agree(ChangeMembers::AddVoterIds(BTreeSet::new())).await?;
        }
        Ok(())
    }

    /// The members as this one sees them, which leads.
    fn seen(&self) -> Members {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let members = metrics.membership_config.membership();
        let voters = members.get_joint_config().last().cloned().unwrap_or_default();
        let last = metrics.last_log_index.unwrap_or(0);
        let reached = |id: MemberId| {
            let log = metrics.replication.as_ref().and_then(|all| all.get(&id).copied().flatten());
            if id == self.me() { last } else { log.map_or(0, |log| log.index) }
        };
        let seen = |(id, place): (&MemberId, &Place)| Seen {
            id: *id,
            place: place.clone(),
            votes: voters.contains(id),
            answers: *id == self.me() || self.links.hears(*id, 3 * self.settings.election),
            reached: reached(*id),
        };
        Members { all: members.nodes().map(seen).collect(), last }
    }

    /// Looks after the members as the leader; as one that hears no leader, asks whether it is a member still.
    pub(super) async fn look_after_members(self: Arc<Self>) {
        while !self.is_removed() {
            sleep(self.settings.election).await;
            let members: BTreeSet<_> = self.places().into_iter().map(|(id, _)| id).collect();
            self.links.keep(&members);
            if self.leads() {
                self.promote_who_caught_up().await;
            } else if !self.elector().follows(self.now()) {
                self.ask_whether_it_belongs().await;
            }
        }
    }

    async fn promote_who_caught_up(&self) {
        let Ok(_alone) = self.changing.try_lock() else { return };
        let promoted = async {
            self.settle().await?;
            if let Some(due) = self.seen().due() {
                tracing::info!(member = due, "a member has caught up: it votes from now on");
                self.agree(ChangeMembers::AddVoterIds(BTreeSet::from([due]))).await?;
            }
            Ok::<_, Failure>(())
        };
        // What fails is tried again.
        _ = timeout(self.patience(), promoted).await;
    }

    /// Has the others know this member by the name and the address for clients that it has.
    pub(super) async fn introduce(self: Arc<Self>) {
        while !self.is_removed() {
            let known = self.data.reached().members.membership().get_node(&self.me()).cloned();
            let (name, client) = (&self.identity.name, &self.settings.client);
            if known.is_some_and(|known| (&known.name, &known.client) != (name, client)) {
                let change = Change::Introduce { id: self.me(), name: name.clone(), client: client.clone() };
                _ = self.change(change).await;
            }
            sleep(INTRODUCE).await;
        }
    }

    /// All members and where they are.
    pub(super) fn places(&self) -> Vec<(MemberId, Place)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        metrics.membership_config.membership().nodes().map(|(id, place)| (*id, place.clone())).collect()
    }

    /// Asks the others, as far as it knows them, whether it is a member: nobody speaks to one that is not.
    async fn ask_whether_it_belongs(&self) {
        for (id, place) in self.places() {
            if id == self.me() {
                continue;
            }
            let link = self.links.to(id, &place.peer, Lane::Forward);
            if link.ask(Message::Belong, 2 * self.settings.election).await == Ok(Message::Belongs(false)) {
                return self.ends_as_member().await;
            }
        }
    }

    /// Whether a member belongs to the cluster, as of now.
    pub(super) async fn belongs(&self, member: MemberId) -> Result<bool, Failure> {
        self.confirm().await?;
        Ok(self.data.reached().members.membership().get_node(&member).is_some())
    }

    async fn ends_as_member(&self) {
        tracing::error!(
            member = %self.identity.name,
            "this member was removed from its cluster, for good: it serves nobody from now on. To have it again, remove its \
             data, add it anew (`mainstay store member add`) and name the others in store.join"
        );
        let whole = self.voice().is_whole();
        let identity = Identity { whole, removed: true, ..self.identity.clone() };
        if let Err(error) = identity.keep(&self.settings.directory) {
            tracing::warn!(%error, "that it was removed cannot be written down: it will ask again when it starts");
        }
        self.removed.send_replace(true);
        _ = self.raft.shutdown().await;
    }

    pub(crate) fn is_removed(&self) -> bool {
        *self.removed.borrow()
    }

    pub(crate) async fn removed(&self) {
        _ = self.removed.subscribe().wait_for(|removed| *removed).await;
    }
}

/// Whether this refusal says that the change is made already.
fn is_done(change: &Change, why: Unchanged) -> bool {
    matches!((change, why), (Change::Remove(_), Unchanged::Unknown) | (Change::Promote(_), Unchanged::NotALearner))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::settings::Settings;

    async fn three(at: &std::path::Path) -> Vec<Arc<Inner>> {
        let mut listeners = Vec::new();
        for name in ["n1", "n2", "n3"] {
            listeners.push((name, TcpListener::bind("127.0.0.1:0").await.unwrap()));
        }
        let address = |listener: &TcpListener| listener.local_addr().unwrap().to_string();
        let members: BTreeMap<_, _> =
            listeners.iter().map(|(name, listener)| ((*name).to_owned(), address(listener))).collect();
        let mut started = Vec::new();
        for (name, listener) in listeners {
            let mut settings = Settings::new(name, at.join(name));
            (settings.members, settings.election) = (members.clone(), Duration::from_millis(400));
            started.push(Inner::start(settings, listener).await.unwrap());
        }
        started
    }

    fn voters(of: &Inner) -> Vec<usize> {
        let metrics = of.raft.metrics();
        let members = metrics.borrow().membership_config.clone();
        members.membership().get_joint_config().iter().map(BTreeSet::len).collect()
    }

    #[tokio::test]
    async fn a_change_of_voters_that_was_left_half_done_is_finished_by_whoever_leads() {
        let dir = tempfile::tempdir().unwrap();
        let members = three(dir.path()).await;
        let leader = loop {
            match members.iter().find(|member| member.leads()) {
                Some(leader) => break leader,
                None => sleep(Duration::from_millis(20)).await,
            }
        };
        let gone = members.iter().find(|member| !member.leads()).unwrap().me();
        let first_step = async {
            while voters(leader) != [3, 2] {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = first_step => {}
            _ = leader.agree(ChangeMembers::RemoveVoters(BTreeSet::from([gone]))) => panic!("it is cut short"),
        }
        timeout(Duration::from_secs(20), async {
            while voters(leader) != [2] {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("it is finished");
        assert!(leader.places().iter().all(|(id, _)| *id != gone));
    }
}
