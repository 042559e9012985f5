//! Elections of members that forget: the decisions themselves, played over many seeds with a world of messages that are
//! late, lost and of an earlier life.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::elector::{lease, would};

const ELECTION: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
enum Said {
    Would(u64, Option<LogId>),
    Yes(u64),
    Vote(Vote, Option<LogId>),
    Voted(Vote),
    LastVote,
    LastVoteWas(Option<Vote>),
    Append(Vote, Vec<LogId>, Option<LogId>),
    Appended(Vote, usize),
}

/// What a member keeps on disk, and what it knows besides.
#[derive(Debug)]
struct Member {
    log: Vec<LogId>,
    vote: Vote,
    voice: Voice,
    born: u64,
    round: (u64, BTreeSet<MemberId>),
    needed: usize,
    votes: BTreeSet<MemberId>,
    acknowledged: BTreeMap<MemberId, usize>,
    committed: Option<LogId>,
    heard: u64,
}

impl Member {
    fn new(me: MemberId, now: u64) -> Self {
        let log = vec![LogId::default()];
        Self::with(log, Vote::new(1, me), Voice::new(me, false), now)
    }

    fn with(log: Vec<LogId>, vote: Vote, voice: Voice, born: u64) -> Self {
        let (round, needed, votes, acknowledged) = Default::default();
        Self { log, vote, voice, born, round, needed, votes, acknowledged, committed: None, heard: born }
    }

    fn last(&self) -> Option<LogId> {
        self.log.last().copied()
    }
}

struct World {
    seed: u64,
    luck: u64,
    now: u64,
    members: BTreeMap<MemberId, Member>,
    way: Vec<(u64, MemberId, MemberId, Said)>,
    agreed: BTreeMap<u64, LogId>,
    forgot: BTreeSet<MemberId>,
    led: u64,
}

impl World {
    fn new(count: u64, seed: u64) -> Self {
        let members = (1..=count).map(|me| (me, Member::new(me, 0))).collect();
        let luck = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { seed, luck, now: 0, members, way: Vec::new(), agreed: BTreeMap::new(), forgot: BTreeSet::new(), led: 0 }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.luck ^= self.luck << 13;
        self.luck ^= self.luck >> 7;
        self.luck ^= self.luck << 17;
        (self.luck >> 20) % below
    }

    fn voters(&self) -> BTreeSet<MemberId> {
        self.members.keys().copied().collect()
    }

    /// Two of three arrive, within the time in which they are waited for.
    fn say(&mut self, from: MemberId, to: MemberId, said: Said) {
        if self.draw(3) > 0 {
            let at = self.now + self.draw(lease(ELECTION).as_millis() as u64);
            self.way.push((at, from, to, said));
        }
    }

    fn say_all(&mut self, from: MemberId, said: &Said) {
        for to in self.voters() {
            if to != from {
                self.say(from, to, said.clone());
            }
        }
    }

    fn step(&mut self) {
        self.now += 1 + self.draw(10);
        let late = self.way.iter().position(|(at, ..)| *at <= self.now);
        if let Some(next) = late {
            let (_, from, to, said) = self.way.swap_remove(next);
            return self.arrives(from, to, said);
        }
        let count = self.members.len() as u64;
        let who = 1 + self.draw(count);
        match self.draw(40) {
            0 => self.restart(who),
            1 => self.lose(who),
            2..12 => self.ask(who),
            12..18 if self.now - self.members[&who].born >= ELECTION.as_millis() as u64 => {
                self.say_all(who, &Said::LastVote);
            }
            _ => self.lead(who),
        }
    }

    fn restart(&mut self, who: MemberId) {
        let now = self.now;
        let member = self.members.get_mut(&who).unwrap();
        let vote = Vote { committed: false, ..member.vote };
        let voice = Voice::new(who, member.voice.is_whole());
        let committed = member.committed;
        *member = Member { committed, ..Member::with(member.log.clone(), vote, voice, now) };
    }

    fn lose(&mut self, who: MemberId) {
        let whole: BTreeSet<_> =
            self.members.iter().filter(|(_, member)| member.voice.is_whole()).map(|(id, _)| *id).collect();
        self.forgot.retain(|id| !whole.contains(id));
        self.forgot.insert(who);
        if self.forgot.len() > (self.members.len() - 1) / 2 {
            self.forgot.remove(&who);
            return;
        }
        self.members.insert(who, Member::new(who, self.now));
    }

    fn ask(&mut self, who: MemberId) {
        let (voters, now) = (self.voters(), self.now);
        let member = self.members.get_mut(&who).unwrap();
        let last = member.last();
        if member.vote.committed && member.vote.leader_id.node_id == who || member.heard + 50 > now {
            return;
        }
        let Some(needed) = member.voice.stands(last, &voters) else { return };
        (member.round, member.needed) = ((now, BTreeSet::from([who])), needed);
        self.say_all(who, &Said::Would(now, last));
    }

    fn lead(&mut self, who: MemberId) {
        let member = self.members.get_mut(&who).unwrap();
        if !member.vote.committed || member.vote.leader_id.node_id != who {
            return;
        }
        let vote = member.vote;
        let leader = openraft::CommittedLeaderId::new(vote.leader_id.term, who);
        member.log.push(LogId::new(leader, member.log.len() as u64));
        let said = Said::Append(vote, member.log.clone(), member.committed);
        self.say_all(who, &said);
    }

    fn arrives(&mut self, from: MemberId, me: MemberId, said: Said) {
        let (voters, now) = (self.voters(), self.now);
        let member = self.members.get_mut(&me).unwrap();
        let up = Duration::from_millis(now - member.born);
        match said {
            Said::Would(round, last) => {
                let follows = member.heard + 50 > now && member.heard > member.born;
                if would(last, member.last(), follows)
                    && member.voice.would_vote(from, last, &voters, up, lease(ELECTION))
                {
                    self.say(me, from, Said::Yes(round));
                }
            }
            Said::Yes(round) if member.round.0 == round && round + 50 > now => {
                member.round.1.insert(from);
                if member.round.1.len() == member.needed {
                    member.voice.is_whole_now();
                    member.vote = Vote::new(member.vote.leader_id.term + 1, me);
                    member.votes = BTreeSet::from([me]);
                    let said = Said::Vote(member.vote, member.last());
                    self.say_all(me, &said);
                }
            }
            Said::Vote(vote, last) => {
                if member.voice.may_vote(from, last, &voters) && last >= member.last() && vote >= member.vote {
                    member.voice.is_whole_now();
                    member.vote = vote;
                    self.say(me, from, Said::Voted(vote));
                }
            }
            Said::Voted(vote) if member.vote == vote => {
                member.votes.insert(from);
                if member.votes.len() == majority(&voters) {
                    member.vote.committed = true;
                    member.acknowledged.clear();
                    self.elected(me);
                    self.lead(me);
                }
            }
            Said::LastVote => {
                let vote = member.voice.is_whole().then_some(member.vote);
                self.say(me, from, Said::LastVoteWas(vote));
            }
            Said::LastVoteWas(vote) => {
                if !member.voice.knows_enough(&voters) {
                    member.voice.told(from, vote);
                }
            }
            Said::Append(vote, log, committed) => {
                if !member.voice.hears(&vote, &voters) || vote < member.vote {
                    return;
                }
                (member.vote, member.heard) = (vote, now);
                // One that is late and has nothing new takes nothing back.
                if !member.log.starts_with(&log) {
                    member.log = log.clone();
                }
                let carried_out = committed.min(log.last().copied());
                member.committed = member.committed.max(carried_out);
                if member.voice.becomes_whole(&vote, committed, carried_out) {
                    member.voice.is_whole_now();
                }
                self.say(me, from, Said::Appended(vote, log.len()));
            }
            Said::Appended(vote, length) if member.vote == vote => {
                let known = member.acknowledged.entry(from).or_default();
                *known = length.max(*known);
                let mut lengths: Vec<_> = member.acknowledged.values().copied().chain([member.log.len()]).collect();
                lengths.sort_unstable_by(|a, b| b.cmp(a));
                let Some(length) = lengths.get(majority(&voters) - 1) else { return };
                let last = member.log[length - 1];
                if voted(last) == vote.leader_id && member.committed < Some(last) {
                    member.committed = Some(last);
                    for entry in &member.log[..*length] {
                        let agreed = *self.agreed.entry(entry.index).or_insert(*entry);
                        assert_eq!(agreed, *entry, "two agreements about one place: seed {}", self.seed);
                    }
                }
            }
            Said::Yes(_) | Said::Voted(_) | Said::Appended(..) => {}
        }
    }

    /// Whoever leads has everything that was ever agreed on.
    fn elected(&mut self, who: MemberId) {
        self.led += 1;
        for (index, agreed) in &self.agreed {
            assert_eq!(
                self.members[&who].log.get(*index as usize),
                Some(agreed),
                "member {who} leads without it: seed {}",
                self.seed
            );
        }
    }
}

#[test]
fn nothing_that_was_agreed_on_is_lost_while_no_more_than_a_minority_has_forgotten_it() {
    let (mut led, mut agreed) = (0, 0);
    for count in [3, 5] {
        for seed in 0..1_500 {
            let mut world = World::new(count, seed);
            (0..6_000).for_each(|_| world.step());
            (led, agreed) = (led + world.led, agreed + world.agreed.len());
        }
    }
    assert!(led > 1_000 && agreed > 10_000, "something happens in it: {led} elections, {agreed} agreed on");
}

fn entry(term: u64, leader: MemberId, index: u64) -> Option<LogId> {
    Some(LogId::new(openraft::CommittedLeaderId::new(term, leader), index))
}

#[test]
fn who_may_have_forgotten_does_not_stand_however_long_its_log_is() {
    let voters = BTreeSet::from([1, 2, 3]);
    let mut voice = Voice::new(1, false);
    assert_eq!(voice.stands(entry(2, 3, 9), &voters), None);
    assert_eq!(voice.stands(entry(0, 0, 0), &voters), Some(3), "the first of a new cluster, if all agree");
    assert_eq!(Voice::new(2, false).stands(entry(0, 0, 0), &voters), None);
    voice.is_whole_now();
    assert_eq!(voice.stands(entry(2, 3, 9), &voters), Some(2));
}

#[test]
fn only_what_a_leader_had_agreed_on_itself_and_is_carried_out_makes_whole() {
    let voice = Voice::new(1, false);
    let leader = Vote::new_committed(5, 2);
    assert!(!voice.becomes_whole(&leader, entry(4, 3, 7), entry(4, 3, 7)), "an earlier leader's");
    assert!(!voice.becomes_whole(&leader, entry(5, 2, 9), entry(5, 2, 8)), "not carried out yet");
    assert!(!voice.becomes_whole(&leader, None, entry(5, 2, 9)));
    assert!(!voice.becomes_whole(&Vote::new(5, 2), entry(5, 2, 9), entry(5, 2, 9)), "nobody has elected it");
    assert!(voice.becomes_whole(&leader, entry(5, 2, 9), entry(5, 2, 9)));
}
