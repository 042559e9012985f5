//! How long each lease still lives, as the member counts it that leads.
//!
//! Time ends no lease by itself: what is due is proposed as a command, and the lease is gone when the members have agreed
//! on that. So the clock may err on one side only: a lease may live longer than its length and never shorter.
//!
//! - Who comes to lead gives every lease its full length again, for it cannot know what was left of it.
//! - Time in which nobody attended to the clock does not count. A process that was stopped for a minute could take no sign
//!   of life in it, and would else end every lease in the moment it goes on (etcd#12528, #15247). The clock therefore goes
//!   forward by a second at the most between two looks at it; who leads looks several times a second.
//! - Once its end has been proposed, a lease is not kept alive any more: whoever asked would be told that it lives, and
//!   the command would end it. If the proposal fails it can be again; if nobody knows what became of it, its end is
//!   proposed once more, and until that is agreed on it is not kept alive.
//!
//! A sign of life costs a look-up. The order of the deadlines is mended only when an outdated one comes up.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_core::{Duration, Instant};

use crate::command::LeaseId;

/// The most that the clock goes forward between two looks.
const STEP_MAX: Duration = Duration::from_millis(1_000);

/// The time of the leases, on the member that leads.
#[derive(Debug, Default)]
pub struct LeaseClock {
    leases: BTreeMap<LeaseId, Life>,
    /// When a lease is to be looked at: no later than it is due. Those whose end has been proposed are not here.
    queue: BTreeSet<(Instant, LeaseId)>,
    /// The time that counted so far.
    time: Instant,
    /// When somebody last looked, by the time of the world.
    looked: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Life {
    length: Duration,
    seconds: i64,
    due: Instant,
    queued: Instant,
    proposed: bool,
}

impl LeaseClock {
    /// One that knows no lease: that of a member that does not lead.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The member comes to lead. Every lease, with its length in seconds, has it in full from now on.
    pub fn lead(&mut self, now: Instant, leases: impl IntoIterator<Item = (LeaseId, i64)>) {
        *self = Self { looked: now, ..Self::default() };
        for (id, ttl) in leases {
            self.granted(id, ttl, now);
        }
    }

    /// The member leads no more: another one counts.
    pub fn follow(&mut self) {
        *self = Self::default();
    }

    /// A lease was made, of so many seconds.
    pub fn granted(&mut self, id: LeaseId, ttl: i64, now: Instant) {
        self.ended(id);
        self.look(now);
        let length = Duration::from_secs(u64::try_from(ttl).unwrap_or(0));
        let due = self.time + length;
        self.leases.insert(id, Life { length, seconds: ttl, due, queued: due, proposed: false });
        self.queue.insert((due, id));
    }

    /// A lease showed a sign of life: its length in seconds, which it has in full again. `None` if there is no such
    /// lease, or its end has been proposed.
    pub fn renewed(&mut self, id: LeaseId, now: Instant) -> Option<i64> {
        self.look(now);
        let life = self.leases.get_mut(&id).filter(|life| !life.proposed)?;
        life.due = self.time + life.length;
        Some(life.seconds)
    }

    /// A lease was ended, by whatever command.
    pub fn ended(&mut self, id: LeaseId) {
        if let Some(life) = self.leases.remove(&id) {
            self.queue.remove(&(life.queued, id));
        }
    }

    /// Leases whose time is over, at most so many, to be proposed for their end.
    pub fn due(&mut self, now: Instant, limit: usize) -> Vec<LeaseId> {
        self.look(now);
        let mut due = Vec::new();
        while due.len() < limit
            && let Some(&(queued, id)) = self.queue.first().filter(|(queued, _)| *queued <= self.time)
        {
            self.queue.remove(&(queued, id));
            let Some(life) = self.leases.get_mut(&id) else { continue };
            if life.due <= self.time {
                life.proposed = true;
                due.push(id);
            } else {
                life.queued = life.due;
                self.queue.insert((life.due, id));
            }
        }
        due
    }

    /// Their end was not agreed on: they live on until they are due, which may be at once.
    pub fn failed(&mut self, ids: &[LeaseId]) {
        for id in ids {
            if let Some(life) = self.leases.get_mut(id).filter(|life| life.proposed) {
                life.proposed = false;
                life.queued = life.due;
                self.queue.insert((life.due, *id));
            }
        }
    }

    /// Nobody knows whether their end was agreed on: they are due once more, and take no sign of life.
    pub fn unknown(&mut self, ids: &[LeaseId]) {
        for id in ids {
            if let Some(life) = self.leases.get(id).filter(|life| life.proposed) {
                self.queue.insert((life.queued, *id));
            }
        }
    }

    /// What is left of a lease; `None` if there is no such lease.
    #[must_use]
    pub fn left(&self, id: LeaseId, now: Instant) -> Option<Duration> {
        let life = self.leases.get(&id)?;
        Some(life.due.since(self.time + self.counts(now)))
    }

    fn look(&mut self, now: Instant) {
        self.time += self.counts(now);
        self.looked = self.looked.max(now);
    }

    /// How much of the time since the last look counts.
    fn counts(&self, now: Instant) -> Duration {
        now.since(self.looked).min(STEP_MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(millis)
    }

    /// How often whoever leads looks.
    const EVERY: Duration = Duration::from_millis(100);

    /// Looks as whoever leads does, up to then.
    fn attend(clock: &mut LeaseClock, until: Instant) -> Vec<LeaseId> {
        let mut due = Vec::new();
        let mut next = clock.looked + EVERY;
        while next < until {
            due.extend(clock.due(next, 100));
            next += EVERY;
        }
        due.extend(clock.due(until, 100));
        due
    }

    #[test]
    fn a_lease_lives_its_length_from_its_last_sign_of_life() {
        let mut clock = LeaseClock::new();
        clock.lead(at(0), []);
        clock.granted(1, 5, at(0));
        clock.granted(2, 7, at(0));
        assert_eq!(attend(&mut clock, at(4_000)), [0; 0]);
        assert_eq!(clock.renewed(1, at(4_000)), Some(5));
        assert_eq!(clock.left(1, at(4_000)), Some(Duration::from_secs(5)));
        assert_eq!(attend(&mut clock, at(6_999)), [0; 0]);
        assert_eq!(attend(&mut clock, at(7_000)), [2]);
        assert_eq!(attend(&mut clock, at(8_999)), [0; 0]);
        assert_eq!(attend(&mut clock, at(9_000)), [1]);
        assert_eq!((clock.renewed(3, at(9_000)), clock.left(3, at(9_000))), (None, None));
    }

    #[test]
    fn a_lease_whose_end_was_proposed_is_not_kept_alive_unless_that_failed() {
        let mut clock = LeaseClock::new();
        clock.lead(at(0), [(1, 1), (2, 1)]);
        assert_eq!(attend(&mut clock, at(1_000)), [1, 2]);
        assert_eq!((clock.renewed(1, at(1_000)), clock.due(at(1_100), 9)), (None, vec![]));
        clock.failed(&[1, 2, 3]);
        assert_eq!(clock.renewed(1, at(1_200)), Some(1));
        assert_eq!(clock.due(at(1_200), 9), [2]);
        clock.ended(2);
        clock.failed(&[2]);
        assert_eq!(attend(&mut clock, at(2_199)), [0; 0]);
        assert_eq!(attend(&mut clock, at(2_200)), [1]);
    }

    #[test]
    fn a_lease_whose_end_may_have_been_agreed_on_takes_no_sign_of_life_and_is_due_again() {
        let mut clock = LeaseClock::new();
        clock.lead(at(0), [(1, 1)]);
        assert_eq!(attend(&mut clock, at(1_000)), [1]);
        clock.unknown(&[1, 2]);
        assert_eq!(clock.renewed(1, at(1_050)), None);
        assert_eq!((clock.due(at(1_100), 9), clock.renewed(1, at(1_150))), (vec![1], None));
        clock.ended(1);
        clock.unknown(&[1]);
        assert_eq!(attend(&mut clock, at(3_000)), [0; 0]);
    }

    #[test]
    fn a_new_leader_shortens_no_lease() {
        let mut clock = LeaseClock::new();
        clock.lead(at(0), [(1, 10)]);
        attend(&mut clock, at(9_999));
        clock.follow();
        assert_eq!(clock.left(1, at(10_000)), None);
        clock.lead(at(20_000), [(1, 10)]);
        assert_eq!(attend(&mut clock, at(29_999)), [0; 0]);
        assert_eq!(attend(&mut clock, at(30_000)), [1]);
    }

    #[test]
    fn a_leader_that_stood_still_ends_nothing_for_it() {
        let mut clock = LeaseClock::new();
        clock.lead(at(0), [(1, 10), (2, 3)]);
        attend(&mut clock, at(1_000));
        assert_eq!(clock.due(at(61_000), 9), [0; 0], "a minute in which nobody could be heard");
        assert_eq!(clock.renewed(1, at(61_000)), Some(10));
        assert_eq!(attend(&mut clock, at(62_000)), [2], "who says nothing now is over");
    }

    #[test]
    fn so_many_at_most_are_due_at_once() {
        let mut clock = LeaseClock::new();
        clock.lead(at(0), (1..=10).map(|id| (id, 1)));
        clock.due(at(900), 9);
        assert_eq!(clock.due(at(1_000), 4), [1, 2, 3, 4]);
        assert_eq!(clock.due(at(1_000), 99).len(), 6);
    }

    proptest! {
        #[test]
        fn no_lease_is_due_before_its_length_and_each_is_soon_after(
            steps in prop::collection::vec((0..900u64, 0..4i64, 0..3usize, 1..4i64), 1..100),
        ) {
            let mut clock = LeaseClock::new();
            clock.lead(at(0), []);
            let mut alive: BTreeMap<LeaseId, (u64, i64)> = BTreeMap::new();
            let mut now = 0;
            for (pause, id, what, ttl) in steps {
                now += pause;
                match what {
                    0 => {
                        clock.granted(id, ttl, at(now));
                        alive.insert(id, (now, ttl));
                    }
                    1 => {
                        prop_assert_eq!(clock.renewed(id, at(now)), alive.get(&id).map(|(_, ttl)| *ttl));
                        alive.entry(id).and_modify(|(since, _)| *since = now);
                    }
                    _ => {
                        clock.ended(id);
                        alive.remove(&id);
                    }
                }
                let mut due = clock.due(at(now), 99);
                due.sort_unstable();
                let over: Vec<_> =
                    alive.iter().filter(|(_, (since, ttl))| now >= since + *ttl as u64 * 1_000).map(|(id, _)| *id).collect();
                prop_assert_eq!(&due, &over);
                for id in due {
                    alive.remove(&id);
                    clock.ended(id);
                }
            }
        }
    }
}
