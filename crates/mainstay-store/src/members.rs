//! Which changes of the members are right.
//!
//! In: the members as the leader sees them, and what is wanted. Out: the one step that brings it about, or why it is not
//! taken. The rules are etcd's (its strict reconfiguration check), because operators and their tools rely on them:
//! whatever would leave fewer than a majority of voters at work is refused.
//!
//! Unlike etcd nobody votes before it has all that is agreed on. Who is added learns first, and one that is meant to vote
//! is promoted by the leader once it has caught up: adding a member never makes a majority harder to reach, whether it
//! comes or not.

use serde::{Deserialize, Serialize};

use crate::raft::{MemberId, Place};

/// How many members only learn, as in etcd (`--max-learners`): those that are meant to vote do not count.
const LEARNERS: usize = 1;

/// How many members there may be of all kinds. More than seven voters make nothing safer and each write slower.
const MEMBERS: usize = 16;

/// How many entries one that is promoted by the leader may be behind: those that are sent in a moment.
const BEHIND: u64 = 1000;

/// What somebody wants of the members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    /// One more, under this number and at this address; one that only learns, or that votes once it has caught up.
    Add { id: MemberId, peer: String, learner: bool },
    /// One less.
    Remove(MemberId),
    /// A learner votes.
    Promote(MemberId),
    /// One is reached at another address.
    Move { id: MemberId, peer: String },
    /// One says how it is called and where clients reach it.
    Introduce { id: MemberId, name: String, client: String },
}

/// Why the members stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Unchanged {
    /// There is no such member.
    #[error("there is no such member")]
    Unknown,
    /// Another member is there already.
    #[error("another member has this address")]
    AddressTaken,
    /// There are as many learners, or members, as there may be.
    #[error("there are as many learners as there may be: promote or remove one")]
    TooManyLearners,
    /// It votes already.
    #[error("only a learner can be promoted")]
    NotALearner,
    /// The learner has not caught up.
    #[error("the learner has not caught up with the leader")]
    NotReady,
    /// Too few voters that have ever started would be left.
    #[error("fewer than a majority of the voters that are left have started")]
    TooFewStarted,
    /// Too few voters that answer would be left.
    #[error("fewer than a majority of the voters that are left answer")]
    Unhealthy,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: MemberId,
    pub(crate) place: Place,
    pub(crate) votes: bool,
    /// It has answered of late.
    pub(crate) answers: bool,
    /// How far its log is known to go.
    pub(crate) reached: u64,
}

impl Seen {
    /// It has told its name, which is the first that it does.
    fn has_started(&self) -> bool {
        !self.place.name.is_empty()
    }
}

/// All members as the leader sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Members {
    pub(crate) all: Vec<Seen>,
    /// How far the leader's log goes.
    pub(crate) last: u64,
}

/// What to have agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing: it is so.
    None,
    /// A learner comes, or a member changes its place.
    Place(MemberId, Place),
    /// A learner votes.
    Vote(MemberId),
    /// A voter is no member any more.
    Dismiss(MemberId),
    /// A learner is no member any more.
    Forget(MemberId),
}

impl Members {
    /// The step that brings a change about.
    pub(crate) fn step(&self, change: &Change) -> Result<Step, Unchanged> {
        match change {
            Change::Add { id, peer, learner } => self.add(*id, peer, *learner),
            Change::Remove(id) => self.remove(*id),
            Change::Promote(id) => self.promote(*id),
            Change::Move { id, peer } => self.relocate(*id, peer),
            Change::Introduce { id, name, client } => {
                let known = self.get(*id)?;
                let place = Place { name: name.clone(), client: client.clone(), ..known.place.clone() };
                Ok(if place == known.place { Step::None } else { Step::Place(*id, place) })
            }
        }
    }

    /// A learner that is meant to vote and has caught up.
    pub(crate) fn due(&self) -> Option<MemberId> {
        let due = |seen: &&Seen| {
            let caught_up = seen.answers && seen.reached + BEHIND >= self.last;
            !seen.votes && seen.place.votes && caught_up && self.promote(seen.id).is_ok()
        };
        self.all.iter().find(due).map(|seen| seen.id)
    }

    fn get(&self, id: MemberId) -> Result<&Seen, Unchanged> {
        self.all.iter().find(|seen| seen.id == id).ok_or(Unchanged::Unknown)
    }

    fn voters(&self) -> impl Iterator<Item = &Seen> {
        self.all.iter().filter(|seen| seen.votes)
    }

    fn at(&self, peer: &str) -> Option<MemberId> {
        self.all.iter().find(|seen| seen.place.peer == peer).map(|seen| seen.id)
    }

    fn add(&self, id: MemberId, peer: &str, learner: bool) -> Result<Step, Unchanged> {
        match self.at(peer) {
            // Asked a second time, because the first answer was lost.
            Some(there) if there == id => return Ok(Step::None),
            Some(_) => return Err(Unchanged::AddressTaken),
            None => {}
        }
        let only_learn = self.all.iter().filter(|seen| !seen.votes && !seen.place.votes).count();
        if self.all.len() >= MEMBERS || learner && only_learn >= LEARNERS {
            return Err(Unchanged::TooManyLearners);
        }
        if !learner && self.voters().any(|seen| !seen.answers) {
            return Err(Unchanged::Unhealthy);
        }
        Ok(Step::Place(id, Place { peer: peer.to_owned(), votes: !learner, ..Place::default() }))
    }

    fn remove(&self, id: MemberId) -> Result<Step, Unchanged> {
        let gone = self.get(id)?;
        if !gone.votes {
            return Ok(Step::Forget(id));
        }
        let left = || self.voters().filter(|seen| seen.id != id);
        let majority = left().count() / 2 + 1;
        if left().filter(|seen| seen.has_started()).count() < majority {
            return Err(Unchanged::TooFewStarted);
        }
        // Who is gone already is no loss, however few the others are.
        if gone.answers && left().filter(|seen| seen.answers).count() < majority {
            return Err(Unchanged::Unhealthy);
        }
        Ok(Step::Dismiss(id))
    }

    fn promote(&self, id: MemberId) -> Result<Step, Unchanged> {
        let learner = self.get(id)?;
        if learner.votes {
            return Err(Unchanged::NotALearner);
        }
        // Nine tenths of the leader's log, as etcd has it.
        if !learner.has_started() || !learner.answers || learner.reached < self.last - self.last / 10 {
            return Err(Unchanged::NotReady);
        }
        let with_it = self.voters().count() + 1;
        let majority = with_it / 2 + 1;
        if 1 + self.voters().filter(|seen| seen.has_started()).count() < majority {
            return Err(Unchanged::TooFewStarted);
        }
        if self.voters().any(|seen| !seen.answers) {
            return Err(Unchanged::Unhealthy);
        }
        Ok(Step::Vote(id))
    }

    fn relocate(&self, id: MemberId, peer: &str) -> Result<Step, Unchanged> {
        let known = self.get(id)?;
        match self.at(peer) {
            Some(there) if there == id => Ok(Step::None),
            Some(_) => Err(Unchanged::AddressTaken),
            None => Ok(Step::Place(id, Place { peer: peer.to_owned(), ..known.place.clone() })),
        }
    }
}

/// Who was added at this address and has not started yet. One that listens everywhere does not know its own address: it is
/// the one that is awaited, if only one is.
pub(crate) fn awaited<'a>(
    places: impl Iterator<Item = (&'a MemberId, &'a Place)>,
    peer: &str,
) -> Result<MemberId, Unchanged> {
    let awaited: Vec<_> = places.filter(|(_, place)| place.name.is_empty()).collect();
    let everywhere = ["0.0.0.0:", "[::]:"].iter().any(|host| peer.starts_with(host));
    match awaited.iter().find(|(_, place)| place.peer == peer) {
        Some((id, _)) => Ok(**id),
        None if everywhere && awaited.len() == 1 => Ok(*awaited[0].0),
        None => Err(Unchanged::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, peer: &str, votes: bool) -> Place {
        Place { name: name.to_owned(), peer: peer.to_owned(), votes, ..Place::default() }
    }

    /// Voters `v`, learners `l`, those that will vote `w`; one that is gone has a `-` behind it.
    fn members(kinds: &str) -> Members {
        let mut all: Vec<Seen> = Vec::new();
        for kind in kinds.chars() {
            if kind == '-' {
                all.last_mut().unwrap().answers = false;
                continue;
            }
            let (id, name) = (all.len() as u64 + 1, format!("n{}", all.len() + 1));
            let place = place(&name, &format!("{name}:2380"), kind != 'l');
            all.push(Seen { id, place, votes: kind == 'v', answers: true, reached: 10_000 });
        }
        Members { all, last: 10_000 }
    }

    #[allow(clippy::needless_pass_by_value, reason = "a row of a table reads better without references")]
    fn check(kinds: &str, change: Change, outcome: Result<Step, Unchanged>) {
        assert_eq!(members(kinds).step(&change), outcome, "{kinds}: {change:?}");
    }

    fn add(peer: &str, learner: bool) -> Change {
        Change::Add { id: 9, peer: peer.to_owned(), learner }
    }

    #[test]
    fn who_comes_learns_first_and_has_an_address_of_its_own() {
        check("vvv", add("n4:2380", false), Ok(Step::Place(9, place("", "n4:2380", true))));
        check("vvv-", add("n4:2380", true), Ok(Step::Place(9, place("", "n4:2380", false))));
        check("vvv-", add("n4:2380", false), Err(Unchanged::Unhealthy));
        check("vvv", add("n3:2380", false), Err(Unchanged::AddressTaken));
        check("vl", add("n4:2380", true), Err(Unchanged::TooManyLearners));
        check("vlw", add("n4:2380", false), Ok(Step::Place(9, place("", "n4:2380", true))));
        check("vwwwwwwwwwwwwwww", add("x:1", false), Err(Unchanged::TooManyLearners));
    }

    #[test]
    fn a_majority_of_those_that_are_left_must_be_at_work() {
        check("vvv", Change::Remove(3), Ok(Step::Dismiss(3)));
        check("vvv-", Change::Remove(3), Ok(Step::Dismiss(3)));
        check("vvv-", Change::Remove(2), Err(Unchanged::Unhealthy));
        check("vv", Change::Remove(1), Ok(Step::Dismiss(1)));
        check("v", Change::Remove(1), Err(Unchanged::TooFewStarted));
        check("vl-", Change::Remove(2), Ok(Step::Forget(2)));
        check("vl", Change::Remove(1), Err(Unchanged::TooFewStarted));
        check("vvv", Change::Remove(9), Err(Unchanged::Unknown));
    }

    #[test]
    fn a_learner_votes_once_it_has_nine_tenths_of_the_log() {
        check("vl", Change::Promote(2), Ok(Step::Vote(2)));
        check("vv", Change::Promote(2), Err(Unchanged::NotALearner));
        check("vv", Change::Promote(9), Err(Unchanged::Unknown));
        check("vl-", Change::Promote(2), Err(Unchanged::NotReady));
        check("vvv-l", Change::Promote(4), Err(Unchanged::Unhealthy));
        let mut late = members("vl");
        late.all[1].reached = 9000;
        assert_eq!(late.step(&Change::Promote(2)), Ok(Step::Vote(2)));
        late.all[1].reached = 8999;
        assert_eq!(late.step(&Change::Promote(2)), Err(Unchanged::NotReady));
    }

    #[test]
    fn one_that_is_meant_to_vote_is_promoted_when_it_is_all_but_there() {
        assert_eq!(members("vvw").due(), Some(3));
        assert_eq!(members("vvl").due(), None, "who only learns waits to be told");
        assert_eq!(members("vvw-").due(), None);
        assert_eq!(members("vv-w").due(), None, "not while another is missing");
        let mut late = members("vw");
        (late.last, late.all[1].reached) = (100_000, 98_999);
        assert_eq!(late.due(), None);
    }

    #[test]
    fn a_member_moves_to_an_address_that_nobody_has() {
        let to = |id, peer: &str| Change::Move { id, peer: peer.to_owned() };
        check("vv", to(2, "new:2380"), Ok(Step::Place(2, place("n2", "new:2380", true))));
        check("vv", to(2, "n2:2380"), Ok(Step::None));
        check("vv", to(2, "n1:2380"), Err(Unchanged::AddressTaken));
        check("vv", to(9, "new:2380"), Err(Unchanged::Unknown));
    }

    #[test]
    fn what_is_said_again_changes_nothing() {
        let says = |client: &str| Change::Introduce { id: 2, name: "n2".to_owned(), client: client.to_owned() };
        check("vv", says(""), Ok(Step::None));
        let place = Place { client: "n2:2379".to_owned(), ..place("n2", "n2:2380", true) };
        check("vv", says("n2:2379"), Ok(Step::Place(2, place)));
    }

    #[test]
    fn who_joins_is_the_one_that_was_added_at_its_address_and_has_not_been_there() {
        let places = [(1, place("n1", "n1:1", true)), (2, place("", "n2:1", true)), (3, place("", "n3:1", false))];
        let who = |among: &[(MemberId, Place)], peer: &str| awaited(among.iter().map(|(id, place)| (id, place)), peer);
        assert_eq!(who(&places, "n3:1"), Ok(3));
        assert_eq!(who(&places, "n1:1"), Err(Unchanged::Unknown), "it was there, and has forgotten what it said");
        assert_eq!(who(&places, "n4:1"), Err(Unchanged::Unknown));
        assert_eq!(who(&places, "0.0.0.0:1"), Err(Unchanged::Unknown), "two are awaited");
        assert_eq!(who(&places[..2], "0.0.0.0:1"), Ok(2));
    }
}
