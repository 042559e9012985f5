//! What goes on in a member by itself: signs of life, elections, leases, and letting go of what is old.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainstay_mvcc::{Command, Revision};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Inner;
use crate::elector::Act;
use crate::engine::Failure;
use crate::peer::{Lane, Message};
use crate::raft::{MemberId, Place};

/// How many leases end with one entry of the log at most.
const EXPIRE: usize = 1000;

/// How often leases are looked at.
const LEASES: Duration = Duration::from_millis(100);

/// How many points of the past are kept to compact at.
const SAMPLES: u32 = 60;

impl Inner {
    /// The voters and where they are.
    fn voters(&self) -> Vec<(MemberId, Place)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let members = metrics.membership_config.membership();
        let place = |id| members.get_node(&id).cloned().map(|place| (id, place));
        members.voter_ids().filter_map(place).collect()
    }

    pub(super) fn voter_ids(&self) -> BTreeSet<MemberId> {
        self.raft.metrics().borrow().membership_config.voter_ids().collect()
    }

    /// Sends signs of life for as long as this member leads and its disk keeps up: a leader that could not keep what it is
    /// told falls silent, and another takes its place.
    pub(super) async fn beat(self: Arc<Self>) {
        let mut stalled = false;
        loop {
            sleep(self.settings.election / 10).await;
            let stalls = self.keeper.stalled_for().is_some_and(|for_| for_ > self.settings.election);
            if stalls && !stalled {
                tracing::warn!(
                    "this member's disk has been busy for too long: it gives no more signs of life as a leader"
                );
            }
            stalled = stalls;
            if !stalled && !self.yielding.load(Ordering::Relaxed) && self.raft.metrics().borrow().state.is_leader() {
                _ = self.raft.trigger().heartbeat().await;
            }
        }
    }

    /// Stands for election when nobody leads and a majority would have it.
    pub(super) async fn elect(self: Arc<Self>) {
        loop {
            let (leads, leader) = {
                let metrics = self.metrics.borrow();
                (metrics.state.is_leader(), metrics.current_leader)
            };
            leader.into_iter().for_each(|leader| self.counts.led_by(leader));
            if leads {
                self.elector().heard(self.now());
            }
            let number = self.rounds.fetch_add(1, Ordering::Relaxed) + 1;
            let act = self.elector().tick(self.now(), number);
            match act {
                Act::Wait(until) => sleep(until.saturating_sub(self.now()).min(self.settings.election / 10)).await,
                Act::Ask(round) => self.ask(round).await,
            }
        }
    }

    /// Asks all voters whether they would vote for this member, and stands if enough say so.
    async fn ask(self: &Arc<Self>, round: u64) {
        let voters = self.voters();
        let ids: BTreeSet<_> = voters.iter().map(|(id, _)| *id).collect();
        if !ids.contains(&self.me()) {
            return;
        }
        let Ok(last) = self.log.last() else { return };
        let Some(needed) = self.voice().stands(last, &ids) else { return };
        let mut asked = JoinSet::new();
        for (id, place) in voters {
            let (this, within) = (Arc::clone(self), asking(self.settings.election));
            asked.spawn(async move {
                if id == this.me() {
                    return (id, true);
                }
                let link = this.links.to(id, &place.peer, Lane::Raft);
                (id, link.ask(Message::Would { last }, within).await == Ok(Message::WouldVote(true)))
            });
        }
        while let Some(answer) = asked.join_next().await {
            let Ok((from, yes)) = answer else { continue };
            if self.elector().answered(round, from, yes, &ids, needed) && self.is_whole_now() {
                tracing::info!(member = %self.identity.name, "nobody leads, and enough would vote for this member: it stands");
                _ = self.raft.trigger().elect().await;
                return;
            }
        }
    }

    /// Asks the others for whom they voted last, until enough have told or this member needs not know.
    pub(super) async fn recall(self: Arc<Self>) {
        // What was asked of an earlier life of this member has run out by then.
        sleep(self.settings.election).await;
        while !self.voice().knows_enough(&self.voter_ids()) {
            for (id, place) in self.voters() {
                if id == self.me() {
                    continue;
                }
                let link = self.links.to(id, &place.peer, Lane::Raft);
                if let Ok(Message::LastVoteWas(vote)) =
                    link.ask(Message::LastVote, asking(self.settings.election)).await
                {
                    self.voice().told(id, vote);
                }
            }
            sleep(self.settings.election / 10).await;
        }
    }

    /// Counts the time of leases in the term in which this member leads, from the first moment that it matters; in which
    /// term, if it leads.
    pub(super) fn counts_leases(&self) -> Option<u64> {
        // Held from before the look at who leads: a later look is never overtaken by an earlier one.
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let (leads, term) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            (metrics.state.is_leader(), metrics.current_term)
        };
        if !leads {
            if counted.take().is_some() {
                self.data.leases().follow();
            }
        } else if *counted != Some(term) {
            let store = self.data.read();
            self.data.leases().lead(self.data.instant(), store.leases());
            *counted = Some(term);
        }
        leads.then_some(term)
    }

    /// Has leases end that nobody has kept alive.
    pub(super) async fn expire(self: Arc<Self>) {
        loop {
            sleep(LEASES).await;
            let Some(term) = self.counts_leases() else { continue };
            let due = self.data.leases().due(self.data.instant(), EXPIRE);
            if due.is_empty() {
                continue;
            }
            let command = Command::Expire(due.clone());
            match self.propose_own(term, &command).await {
                Ok(_) => {}
                Err(Failure::Timeout) => self.data.leases().unknown(&due),
                Err(_) => self.data.leases().failed(&due),
            }
        }
    }

    /// Lets go of revisions that are older than is kept.
    pub(super) async fn compact(self: Arc<Self>) {
        let Some(keep) = self.settings.keep else { return };
        let mut past: VecDeque<Revision> = VecDeque::new();
        loop {
            sleep(keep / SAMPLES).await;
            past.push_back(self.data.read().revision());
            if past.len() <= SAMPLES as usize {
                continue;
            }
            let Some(revision) = past.pop_front() else { continue };
            if self.leads() && revision > self.data.read().compacted() {
                let command = Command::Compact(revision);
                let term = self.metrics.borrow().current_term;
                _ = self.propose_own(term, &command).await;
            }
        }
    }

    /// Forgets what was compacted, a little at a time, and makes snapshots when the log has grown.
    pub(super) async fn tidy(self: Arc<Self>) {
        loop {
            let (more, bytes) = {
                let mut store = self.data.write();
                (store.tidy(TIDY), store.bytes())
            };
            if self.keeper.wants_snapshot(bytes) && self.raft.trigger().snapshot().await.is_ok() {
                self.keeper.snapshot_began();
            }
            sleep(if more { Duration::from_millis(1) } else { Duration::from_millis(200) }).await;
        }
    }

    /// Looks what becomes of the disk.
    pub(super) async fn look_at_disk(self: Arc<Self>) {
        loop {
            let keeper = self.keeper.clone();
            _ = tokio::task::spawn_blocking(move || keeper.look_at_disk()).await;
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Hands leadership to a member, or to the one whose log is longest.
    pub(crate) async fn hand_over(&self, to: Option<MemberId>) -> Result<(), Failure> {
        if !self.leads() {
            return Err(Failure::NoLeader);
        }
        let heir = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            let voters: BTreeSet<_> = metrics.membership_config.voter_ids().filter(|id| *id != self.me()).collect();
            let progress = metrics.replication.iter().flatten().filter(|(id, _)| voters.contains(id));
            let longest = progress.max_by_key(|(_, log)| log.map(|log| log.index)).map(|(id, _)| *id);
            match to {
                Some(to) => voters.get(&to).copied(),
                None => longest,
            }
        };
        let Some((heir, place)) = self.voters().into_iter().find(|(id, _)| Some(*id) == heir) else {
            return Err(Failure::NoLeader);
        };
        // Nobody votes before the lease of this leader has run out: from here on nothing renews it.
        let Some(_yields) = Yields::begin(&self.yielding) else { return Err(Failure::NoLeader) };
        let within = 4 * self.settings.election;
        let handed = timeout(within, async {
            sleep(crate::elector::lease(self.settings.election)).await;
            let link = self.links.to(heir, &place.peer, Lane::Raft);
            while self.raft.metrics().borrow().current_leader != Some(heir) {
                _ = link.ask(Message::Stand, self.settings.election).await;
                sleep(self.settings.election / 5).await;
            }
        });
        handed.await.map_err(|_| Failure::Timeout)
    }
}

/// For as long as a leader hands its part over; also when nobody waits for that any more.
struct Yields<'a>(&'a AtomicBool);

impl<'a> Yields<'a> {
    /// Nothing if it does already.
    fn begin(yielding: &'a AtomicBool) -> Option<Self> {
        (!yielding.swap(true, Ordering::Relaxed)).then(|| Self(yielding))
    }
}

impl Drop for Yields<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// How long an answer is waited for whether another would vote for this member.
pub(super) fn asking(election: Duration) -> Duration {
    election / 2
}

/// How much is forgotten at once: a fraction of a millisecond's work, so that no command waits for it.
const TIDY: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_that_hands_over_once_takes_up_its_work_also_when_nobody_waits_for_the_end() {
        let yielding = AtomicBool::new(false);
        let first = Yields::begin(&yielding).unwrap();
        assert!(Yields::begin(&yielding).is_none() && yielding.load(Ordering::Relaxed), "one at a time");
        drop(first);
        assert!(!yielding.load(Ordering::Relaxed));
    }
}
