//! The time of leases, as whoever leads counts it.
//!
//! In: leases that are made, renewed and ended, and the time. Out: those whose time is over, to be ended by an entry of the
//! log, and nothing else: no lease ends because a clock says so. Whoever comes to lead gives each its whole length again:
//! it cannot know when its predecessor last renewed it, and may lengthen a lease but never shorten one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mainstay_mvcc::LeaseId;

/// A time on the member's clock: how long it has been up.
type Now = Duration;

/// The time of leases.
#[derive(Debug, Default)]
pub(crate) struct LeaseClock {
    leases: BTreeMap<LeaseId, Counted>,
    ends: BTreeSet<(Now, LeaseId)>,
}

#[derive(Debug, Clone, Copy)]
struct Counted {
    ttl: i64,
    end: Now,
    /// Its end was proposed and is under way.
    ending: bool,
}

impl LeaseClock {
    /// Counts these leases from now on, each with its whole length.
    pub(crate) fn lead(&mut self, now: Now, all: impl IntoIterator<Item = (LeaseId, i64)>) {
        *self = Self::default();
        for (id, ttl) in all {
            self.granted(id, ttl, now);
        }
    }

    /// A lease was made.
    pub(crate) fn granted(&mut self, id: LeaseId, ttl: i64, now: Now) {
        self.ended(&[id]);
        let end = now + length(ttl);
        self.leases.insert(id, Counted { ttl, end, ending: false });
        self.ends.insert((end, id));
    }

    /// Leases are gone.
    pub(crate) fn ended(&mut self, ids: &[LeaseId]) {
        for id in ids {
            if let Some(counted) = self.leases.remove(id) {
                self.ends.remove(&(counted.end, *id));
            }
        }
    }

    /// A sign of life: the length that the lease has again, in seconds; none for one that is gone or about to be.
    pub(crate) fn renewed(&mut self, id: LeaseId, now: Now) -> Option<i64> {
        let counted = self.leases.get_mut(&id).filter(|counted| !counted.ending)?;
        self.ends.remove(&(counted.end, id));
        counted.end = now + length(counted.ttl);
        self.ends.insert((counted.end, id));
        Some(counted.ttl)
    }

    /// Leases whose time is over, at most so many, the longest over first. Until [`failed`](Self::failed) says otherwise
    /// they are about to end.
    pub(crate) fn due(&mut self, now: Now, limit: usize) -> Vec<LeaseId> {
        let over = self.ends.iter().take_while(|(end, _)| *end <= now).take(limit);
        let due: Vec<_> = over.copied().collect();
        for entry @ (_, id) in &due {
            self.ends.remove(entry);
            if let Some(counted) = self.leases.get_mut(id) {
                counted.ending = true;
            }
        }
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// These leases were not ended after all.
    pub(crate) fn failed(&mut self, ids: &[LeaseId]) {
        for id in ids {
            if let Some(counted) = self.leases.get_mut(id) {
                counted.ending = false;
                self.ends.insert((counted.end, *id));
            }
        }
    }

    /// What is left of a lease.
    pub(crate) fn left(&self, id: LeaseId, now: Now) -> Option<Duration> {
        Some(self.leases.get(&id)?.end.saturating_sub(now))
    }
}

fn length(ttl: i64) -> Duration {
    Duration::from_secs(u64::try_from(ttl).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_is_due_once_when_nobody_has_renewed_it() {
        let mut clock = LeaseClock::default();
        clock.granted(1, 10, at(0));
        clock.granted(2, 10, at(0));
        assert_eq!(clock.renewed(1, at(9)), Some(10));
        assert_eq!(clock.due(at(10), 9), [2]);
        assert!(clock.due(at(10), 9).is_empty(), "its end is under way");
        assert_eq!(clock.renewed(2, at(10)), None, "what is about to end is not kept alive");
        clock.ended(&[2]);
        assert_eq!(clock.left(1, at(10)), Some(at(9)));
        assert_eq!(clock.due(at(19), 9), [1]);
    }

    #[test]
    fn an_end_that_was_not_agreed_on_is_no_end() {
        let mut clock = LeaseClock::default();
        clock.granted(1, 10, at(0));
        assert_eq!(clock.due(at(10), 9), [1]);
        clock.failed(&[1]);
        assert_eq!(clock.renewed(1, at(11)), Some(10));
        assert!(clock.due(at(20), 9).is_empty());
        assert_eq!(clock.due(at(21), 9), [1]);
    }

    #[test]
    fn who_comes_to_lead_gives_each_lease_its_whole_length() {
        let mut clock = LeaseClock::default();
        clock.granted(1, 10, at(0));
        clock.lead(at(9), [(1, 10), (2, 5)]);
        assert!(clock.due(at(13), 9).is_empty());
        assert_eq!(clock.due(at(19), 1), [2], "at most as many as are wanted, the longest over first");
        assert_eq!(clock.due(at(19), 1), [1]);
    }
}
