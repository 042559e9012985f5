//! What the word of a member counts for that may have lost its data.
//!
//! In: whether it was whole once, what others say of their votes, and who wants what of it. Out: whether it may vote, stand,
//! and take entries from a leader.
//!
//! A member without data is new or has forgotten, and cannot tell which. What it forgot, for whom it voted and what it
//! acknowledged, others counted on. So until it is whole:
//! - It votes for nobody and does not stand.
//! - It takes nothing from a leader before it knows a vote as late as any that it may have given: so many members that are
//!   whole have told theirs that one of them was in every majority. An earlier leader gets no acknowledgement from it that
//!   would make it one again (Liskov and Cowling, "Viewstamped Replication Revisited", section 4.3). It asks once every
//!   question for a vote from before its start has run out.
//! - It becomes whole with all that a leader whom it may hear had agreed on, if the leader had some of it agreed on itself:
//!   then nothing that was acknowledged before is missing.
//!
//! In a new cluster nobody is whole. There one member alone may stand, the same for all, and only after all have said that
//! their logs are empty, each of them up since before it was asked: then nothing was ever agreed on that a minority could
//! have forgotten, and whoever votes for it is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::elector::Now;
use crate::raft::{LogId, MemberId, Vote};

/// What the word of a member counts for.
#[derive(Debug)]
pub(crate) struct Voice {
    me: MemberId,
    whole: bool,
    /// It has said that its log is empty, to the one that may be the first to lead.
    vouched: bool,
    /// The votes of others that are whole.
    told: BTreeMap<MemberId, Vote>,
}

impl Voice {
    pub(crate) fn new(me: MemberId, whole: bool) -> Self {
        Self { me, whole, vouched: false, told: BTreeMap::new() }
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.whole
    }

    /// It is known to have all that it ever acknowledged.
    pub(crate) fn is_whole_now(&mut self) {
        self.whole = true;
    }

    /// Whether it would vote for a member whose log ends there, as far as its own memory goes. It has been `up` for so
    /// long, and nobody waits for longer than `asking` for its answer.
    pub(crate) fn would_vote(
        &mut self,
        candidate: MemberId,
        last: Option<LogId>,
        voters: &BTreeSet<MemberId>,
        up: Now,
        asking: Duration,
    ) -> bool {
        if self.whole {
            return true;
        }
        let vouches = may_begin(candidate, last, voters) && up >= asking;
        self.vouched |= vouches;
        vouches
    }

    /// Whether it may give its vote. One that is not whole is so by then.
    pub(crate) fn may_vote(&self, candidate: MemberId, last: Option<LogId>, voters: &BTreeSet<MemberId>) -> bool {
        self.whole || (self.vouched && may_begin(candidate, last, voters))
    }

    /// How many must say that they would vote for it before it stands; none if it may not.
    pub(crate) fn stands(&self, last: Option<LogId>, voters: &BTreeSet<MemberId>) -> Option<usize> {
        if is_empty(last) {
            may_begin(self.me, last, voters).then_some(voters.len())
        } else {
            self.whole.then(|| majority(voters))
        }
    }

    /// Another member has told its vote, or that it is not whole itself.
    pub(crate) fn told(&mut self, from: MemberId, vote: Option<Vote>) {
        if let Some(vote) = vote.filter(|_| from != self.me) {
            self.told.insert(from, vote);
        }
    }

    /// Whether enough have told their votes.
    pub(crate) fn knows_enough(&self, voters: &BTreeSet<MemberId>) -> bool {
        let told = self.told.keys().filter(|member| voters.contains(member)).count();
        self.whole || told + majority(voters) > voters.len()
    }

    /// Whether it may take entries or a snapshot from a leader with this vote. Nobody counts on who does not vote.
    pub(crate) fn hears(&self, leader: &Vote, voters: &BTreeSet<MemberId>) -> bool {
        let is_late = || self.told.values().all(|vote| leader >= vote);
        self.whole || !voters.contains(&self.me) || (self.knows_enough(voters) && is_late())
    }

    /// Whether it is whole with what a leader whom it hears says was agreed on, having carried out so much.
    pub(crate) fn becomes_whole(&self, leader: &Vote, committed: Option<LogId>, applied: Option<LogId>) -> bool {
        let own = committed.is_some_and(|last| leader.is_committed() && leader.leader_id == voted(last));
        !self.whole && own && applied >= committed
    }
}

/// The leader that an entry is of.
fn voted(entry: LogId) -> openraft::LeaderId<MemberId> {
    openraft::LeaderId::new(entry.leader_id.term, entry.leader_id.node_id)
}

/// Whether a log has no more than the members that the cluster began with.
fn is_empty(last: Option<LogId>) -> bool {
    last.is_none_or(|last| last.index == 0)
}

/// Whether a member may be the first to lead.
fn may_begin(candidate: MemberId, last: Option<LogId>, voters: &BTreeSet<MemberId>) -> bool {
    is_empty(last) && voters.first() == Some(&candidate)
}

fn majority(voters: &BTreeSet<MemberId>) -> usize {
    voters.len() / 2 + 1
}

#[cfg(test)]
mod tests;
