//! When a member stands for election, and when it would vote for another.
//!
//! In: signs of life of a leader, answers to "would you vote for me?", and the time. Out: when to ask, and when to stand.
//!
//! A member stands only after a majority has said that it would vote for it (Ongaro's thesis, section 9.6, PreVote):
//! one that cannot reach a majority, or that reaches it while a leader does well, raises no term and disturbs nobody when
//! it comes back. The question changes nothing at whom it is asked.
//!
//! A dead leader is noticed after the lease, in which nobody votes for another, and a wait that is drawn anew for each
//! round, so that two members seldom stand at once. Both together are at most the configured `election`.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::raft::{LogId, MemberId};

/// A time on the clock of who drives: how long the member has been up.
pub(crate) type Now = Duration;

/// When to stand.
#[derive(Debug)]
pub(crate) struct Elector {
    lease: Duration,
    /// The longest that is waited behind the lease.
    spread: Duration,
    luck: u64,
    /// When there last was a sign of a leader, or a round of questions began.
    heard: Now,
    wait: Duration,
    round: Option<Round>,
    /// Nothing was heard of a leader for as long as it takes to ask for votes.
    lost: bool,
}

/// A question to all, and who has said yes.
#[derive(Debug)]
struct Round {
    number: u64,
    yes: BTreeSet<MemberId>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Nothing until then, if nothing happens.
    Wait(Now),
    /// Ask all voters, and hand in their answers under this number.
    Ask(u64),
}

impl Elector {
    /// Who stands after `election` at the latest when a leader dies. The first wait begins at `now`.
    pub(crate) fn new(election: Duration, seed: u64, now: Now) -> Self {
        let lease = lease(election);
        let mut elector = Self {
            lease,
            spread: election - lease,
            luck: seed | 1,
            heard: now,
            wait: Duration::ZERO,
            round: None,
            lost: true,
        };
        elector.draw();
        elector
    }

    /// The leader has given a sign of life.
    pub(crate) fn heard(&mut self, now: Now) {
        (self.heard, self.round, self.lost) = (now, None, false);
    }

    /// Whether the leader that was last heard is taken for one that leads: until this member asks for votes itself.
    pub(crate) fn is_led(&self) -> bool {
        !self.lost
    }

    /// Whether the leader was heard within the lease.
    pub(crate) fn follows(&self, now: Now) -> bool {
        now < self.heard + self.lease
    }

    /// What to do now. `number` tells rounds apart; it is that of the round that begins, if one does.
    pub(crate) fn tick(&mut self, now: Now, number: u64) -> Act {
        let due = self.heard + self.lease + self.wait;
        if now < due {
            return Act::Wait(due);
        }
        (self.heard, self.lost) = (now - self.lease, true);
        self.draw();
        self.round = Some(Round { number, yes: BTreeSet::new() });
        Act::Ask(number)
    }

    /// An answer: whether as many voters as are needed have now said yes in this round for the first time, and the member
    /// is to stand.
    pub(crate) fn answered(
        &mut self,
        number: u64,
        from: MemberId,
        yes: bool,
        voters: &BTreeSet<MemberId>,
        needed: usize,
    ) -> bool {
        let Some(round) = self.round.as_mut().filter(|round| round.number == number) else { return false };
        if yes && voters.contains(&from) {
            round.yes.insert(from);
        }
        let enough = round.yes.len() >= needed;
        if enough {
            self.round = None;
        }
        enough
    }

    fn draw(&mut self) {
        // Marsaglia's xorshift: it only keeps two members apart.
        self.luck ^= self.luck << 13;
        self.luck ^= self.luck >> 7;
        self.luck ^= self.luck << 17;
        let share = u32::try_from(self.luck >> 40 & 0xff).unwrap_or(0);
        self.wait = self.spread * share / 256;
    }
}

/// How long nobody votes for another after the leader was heard: half of what a dead leader may go unnoticed.
pub(crate) fn lease(election: Duration) -> Duration {
    election / 2
}

/// Whether a member would vote for one whose log ends at `theirs`: if its own goes no further, and it follows nobody.
pub(crate) fn would(theirs: Option<LogId>, ours: Option<LogId>, follows: bool) -> bool {
    !follows && theirs >= ours
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELECTION: Duration = Duration::from_secs(1);

    fn voters() -> BTreeSet<MemberId> {
        BTreeSet::from([1, 2, 3])
    }

    fn at(ms: u64) -> Now {
        Duration::from_millis(ms)
    }

    /// Goes on until the elector asks, and says when that was.
    fn asks(elector: &mut Elector, mut now: Now, number: u64) -> Now {
        loop {
            match elector.tick(now, number) {
                Act::Wait(until) => now = until,
                Act::Ask(_) => return now,
            }
        }
    }

    #[test]
    fn a_dead_leader_is_noticed_within_the_time_for_it_and_not_within_the_lease() {
        for seed in 0..1000 {
            let mut elector = Elector::new(ELECTION, seed, at(0));
            elector.heard(at(700));
            let asked = asks(&mut elector, at(700), 1);
            assert!(asked >= at(700) + lease(ELECTION) && asked <= at(700) + ELECTION, "seed {seed}: {asked:?}");
        }
    }

    #[test]
    fn whoever_hears_a_leader_never_asks() {
        let mut elector = Elector::new(ELECTION, 7, at(0));
        for ms in (0..100_000).step_by(100) {
            elector.heard(at(ms));
            assert!(matches!(elector.tick(at(ms + 99), ms), Act::Wait(_)));
        }
    }

    #[test]
    fn a_majority_of_the_voters_must_say_yes_in_one_round() {
        let mut elector = Elector::new(ELECTION, 7, at(0));
        let asked = asks(&mut elector, at(0), 1);
        assert!(!elector.answered(1, 1, true, &voters(), 2), "itself alone");
        assert!(!elector.answered(1, 9, true, &voters(), 2), "a learner has no vote");
        assert!(!elector.answered(1, 2, false, &voters(), 2));
        let again = asks(&mut elector, asked, 2);
        assert!(again > asked);
        assert!(!elector.answered(1, 2, true, &voters(), 2), "an answer of an earlier round");
        assert!(!elector.answered(2, 1, true, &voters(), 2));
        assert!(elector.answered(2, 3, true, &voters(), 2));
        assert!(!elector.answered(2, 2, true, &voters(), 2), "once is enough");
    }

    #[test]
    fn a_leader_that_is_heard_in_the_midst_of_a_round_ends_it() {
        let mut elector = Elector::new(ELECTION, 7, at(0));
        let asked = asks(&mut elector, at(0), 1);
        elector.answered(1, 1, true, &voters(), 2);
        elector.heard(asked);
        assert!(!elector.answered(1, 2, true, &voters(), 2));
    }

    #[test]
    fn nobody_votes_for_a_shorter_log_or_while_following() {
        let log = |term, index| Some(LogId::new(openraft::CommittedLeaderId::new(term, 1), index));
        assert!(would(log(1, 5), log(1, 5), false));
        assert!(would(log(2, 3), log(1, 5), false), "a later term goes before more entries");
        assert!(!would(log(1, 4), log(1, 5), false));
        assert!(!would(log(1, 9), log(1, 5), true));
    }
}
