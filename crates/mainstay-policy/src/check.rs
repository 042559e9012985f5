//! When each endpoint of a service is checked next.
//!
//! In: the endpoints, the time, and word that a check is over. Out: the endpoint that is due, and when the next one is.
//! How a check is made, and how often it may fail, is decided elsewhere.
//!
//! Checks are spread over time: the first ones over one interval (at once where they are few), the later ones by a
//! jitter of their own, so that many endpoints, and many gateways before one endpoint, do not march in step. The next
//! check is counted from the end of the one before, so an endpoint has one check at a time and a slow one is not asked
//! more.
//!
//! Invariants: an endpoint runs one check at a time; one that has left is never due.

use std::collections::BTreeMap;
use std::fmt;

use mainstay_core::{Deadline, Duration, EndpointId, Failure, Instant, Purpose, Seed, unit};

use crate::HealthSettings;

/// So many first checks may start in the same moment; with more endpoints they are spread.
const AT_ONCE: u64 = 16;

/// How an active check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    /// As it should.
    Pass,
    /// Otherwise.
    Fail(CheckFailure),
}

/// How an active check failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckFailure {
    /// As an attempt of a call can fail.
    Attempt(Failure),
    /// It was answered with a status that passes, and a body that has not what it must have.
    Body,
}

impl CheckFailure {
    /// Whether no connection came about.
    #[must_use]
    pub const fn is_connect(self) -> bool {
        matches!(self, Self::Attempt(failure) if failure.is_connect())
    }
}

impl From<Failure> for CheckFailure {
    fn from(failure: Failure) -> Self {
        Self::Attempt(failure)
    }
}

impl fmt::Display for CheckFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attempt(failure) => failure.fmt(f),
            Self::Body => f.write_str("the answer did not contain what expect_body asks for"),
        }
    }
}

/// Why a schedule of checks wakes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckTimer {
    /// A check is due.
    Due,
}

/// The checks of one service.
#[derive(Debug)]
pub struct CheckSchedule {
    seed: Seed,
    interval: Duration,
    jitter: f64,
    checks: BTreeMap<EndpointId, Check>,
    /// The waiting ones, by when they are due. Both maps have one entry per endpoint at the most.
    due: BTreeMap<(Instant, EndpointId), ()>,
}

#[derive(Debug, Clone, Copy)]
struct Check {
    /// When it is due; `None` while it runs.
    at: Option<Instant>,
    /// How many have run.
    count: u32,
}

impl CheckSchedule {
    /// A schedule without endpoints.
    #[must_use]
    pub fn new(settings: &HealthSettings, seed: Seed) -> Self {
        let (checks, due) = (BTreeMap::new(), BTreeMap::new());
        Self { seed, interval: settings.interval, jitter: settings.jitter.get(), checks, due }
    }

    /// Takes on other settings. A check that would come later than the new interval is brought forward.
    pub fn configure(&mut self, now: Instant, settings: &HealthSettings) {
        self.interval = settings.interval;
        self.jitter = settings.jitter.get();
        let latest = now + settings.interval;
        let late: Vec<_> = self.due.keys().copied().filter(|(at, _)| *at > latest).collect();
        for (_, endpoint) in late {
            self.plan(endpoint, latest);
        }
    }

    /// Makes `endpoints` the ones that are checked. New ones have their first check soon; the others keep their time.
    pub fn update(&mut self, now: Instant, endpoints: &[EndpointId]) {
        let mut before = std::mem::take(&mut self.checks);
        self.due.clear();
        let new = endpoints.iter().filter(|endpoint| !before.contains_key(endpoint)).count() as u64;
        let mut place = 0;
        for endpoint in endpoints {
            let check = before.remove(endpoint);
            self.checks.entry(*endpoint).or_insert(check.unwrap_or(Check { at: None, count: 0 }));
            let at = match check {
                Some(check) => check.at,
                None => {
                    place += 1;
                    Some(now + first_wait(self.interval, place - 1, new))
                }
            };
            if let Some(at) = at {
                self.plan(*endpoint, at);
            }
        }
    }

    /// The next endpoint whose check is due. Its check runs from now on, until [`CheckSchedule::done`].
    pub fn poll_due(&mut self, now: Instant) -> Option<EndpointId> {
        let (at, endpoint) = *self.due.first_key_value()?.0;
        if at > now {
            return None;
        }
        self.due.pop_first();
        if let Some(check) = self.checks.get_mut(&endpoint) {
            check.at = None;
            check.count = check.count.wrapping_add(1);
        }
        Some(endpoint)
    }

    /// The check of `endpoint` is over: the next is planned. Means nothing when none was running, or when it has left.
    pub fn done(&mut self, now: Instant, endpoint: EndpointId) {
        if let Some(Check { at: None, count }) = self.checks.get(&endpoint).copied() {
            let wait = self.wait(endpoint, count);
            self.plan(endpoint, now + wait);
        }
    }

    /// When the next check is due; `None` when none waits.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline<CheckTimer>> {
        self.due.first_key_value().map(|((at, _), ())| Deadline::new(*at, CheckTimer::Due))
    }

    fn plan(&mut self, endpoint: EndpointId, at: Instant) {
        let Some(check) = self.checks.get_mut(&endpoint) else { return };
        if let Some(before) = check.at.replace(at) {
            self.due.remove(&(before, endpoint));
        }
        self.due.insert((at, endpoint), ());
    }

    /// The interval, shortened or lengthened by up to the jitter.
    fn wait(&self, endpoint: EndpointId, count: u32) -> Duration {
        let name = u64::from(endpoint.generation) << 32 | u64::from(endpoint.slot);
        let luck = unit(self.seed.draw(name, count, Purpose::CheckJitter));
        self.interval.mul_f64(1.0 + self.jitter * (2.0 * luck - 1.0))
    }
}

/// How long the first check of the `place`-th of `count` new endpoints waits.
fn first_wait(interval: Duration, place: u64, count: u64) -> Duration {
    if count <= AT_ONCE {
        return Duration::ZERO;
    }
    interval.mul_f64(place as f64 / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Probe;
    use proptest::prelude::*;

    fn ids(count: u32) -> Vec<EndpointId> {
        (0..count).map(|slot| EndpointId { slot, generation: 0 }).collect()
    }

    fn at(millis: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(millis)
    }

    fn schedule(count: u32) -> CheckSchedule {
        let mut schedule = CheckSchedule::new(&HealthSettings::new(Probe::Tcp), Seed::new(3));
        schedule.update(at(0), &ids(count));
        schedule
    }

    fn due(schedule: &mut CheckSchedule, now: Instant) -> Vec<u32> {
        std::iter::from_fn(|| schedule.poll_due(now)).map(|endpoint| endpoint.slot).collect()
    }

    #[test]
    fn a_few_are_checked_at_once_and_then_each_interval() {
        let mut schedule = schedule(3);
        assert_eq!(due(&mut schedule, at(0)), [0, 1, 2]);
        assert_eq!(schedule.poll_timeout(), None, "all are running");
        ids(3).iter().for_each(|endpoint| schedule.done(at(100), *endpoint));
        assert_eq!(due(&mut schedule, at(1_899)), [], "never before nine tenths of the interval");
        let mut all = due(&mut schedule, at(2_300));
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2], "always within eleven tenths");
    }

    #[test]
    fn many_are_spread_over_the_first_interval() {
        let mut schedule = schedule(100);
        assert_eq!(due(&mut schedule, at(0)).len(), 1);
        assert_eq!(due(&mut schedule, at(990)).len(), 49);
        assert_eq!(due(&mut schedule, at(1_999)).len(), 50);
    }

    #[test]
    fn who_leaves_is_not_checked_and_who_stays_keeps_its_time() {
        let mut schedule = schedule(3);
        due(&mut schedule, at(0));
        schedule.done(at(100), ids(3)[0]);
        let next = schedule.poll_timeout();
        let [first, second, _] = ids(3)[..] else { unreachable!() };
        schedule.update(at(200), &[first, second]);
        assert_eq!(schedule.poll_timeout(), next);
        schedule.done(at(300), ids(3)[2]);
        assert_eq!(due(&mut schedule, at(10_000)), [0], "the second is still running, the third is gone");
        schedule.done(at(10_000), first);
        schedule.done(at(10_000), first);
        assert_eq!(due(&mut schedule, at(20_000)), [0], "told twice is planned once");
    }

    #[test]
    fn a_shorter_interval_brings_the_next_check_forward() {
        let mut schedule = schedule(1);
        due(&mut schedule, at(0));
        schedule.done(at(0), ids(1)[0]);
        let faster = HealthSettings { interval: Duration::from_millis(500), ..HealthSettings::new(Probe::Tcp) };
        schedule.configure(at(100), &faster);
        assert_eq!(schedule.poll_timeout(), Some(Deadline::new(at(600), CheckTimer::Due)));
    }

    proptest! {
        /// Law: over any sequence of lists, ends and times, an endpoint never runs two checks, one that has left is never
        /// due, and each that is not running has a time.
        #[test]
        fn one_check_at_a_time(steps in prop::collection::vec((any::<u8>(), 0u32..8, 0u64..2_000), 1..200)) {
            let mut schedule = schedule(0);
            let (mut now, mut known, mut running) = (at(0), Vec::new(), Vec::new());
            for (mask, slot, millis) in steps {
                now += Duration::from_millis(millis);
                if millis % 5 == 0 {
                    known = ids(8).into_iter().filter(|id| mask >> id.slot & 1 == 1).collect();
                    running.retain(|id| known.contains(id));
                    schedule.update(now, &known);
                }
                let id = EndpointId { slot, generation: 0 };
                running.retain(|other| *other != id);
                schedule.done(now, id);
                while let Some(endpoint) = schedule.poll_due(now) {
                    prop_assert!(known.contains(&endpoint) && !running.contains(&endpoint));
                    running.push(endpoint);
                }
                prop_assert_eq!(schedule.due.len() + running.len(), known.len());
            }
        }
    }
}
