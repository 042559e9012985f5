//! When a drill may begin, and when it is broken off.
//!
//! In: how many calls were due in each second, how many were good and how long they took. Out: that the steady state does
//! not hold, or that the drill is to end now. A second counts when its deadline has passed, because calls that were due in
//! it may still end.

use mainstay_config::scenario::Guard;
use mainstay_core::{Duration, Ratio};

use crate::load::Count;

/// What came of the calls of a while: of a second, or of the steady state.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct While {
    pub(crate) count: Count,
    /// 99 of 100 were answered within this.
    pub(crate) p99_ms: f64,
}

impl While {
    /// These and those; of two loads the slower one counts.
    pub(crate) fn add(&mut self, count: Count, p99_ms: f64) {
        self.count.requests += count.requests;
        self.count.good += count.good;
        self.p99_ms = self.p99_ms.max(p99_ms);
    }

    /// What of it is not as it is to be, if it is not.
    pub(crate) fn fault(&self, good: Option<Ratio>, p99: Option<Duration>) -> Option<String> {
        let Self { count: Count { requests, good: were }, p99_ms } = *self;
        if requests == 0 {
            return None;
        }
        if let Some(good) = good.filter(|good| !good.is_reached_by(were, requests)) {
            let share = were as f64 / requests as f64 * 100.0;
            return Some(format!("{were} of {requests} calls were good ({share:.2} %), and {good} have to be"));
        }
        let most = p99.filter(|most| p99_ms > most.as_secs_f64() * 1e3)?;
        Some(format!("99 of 100 calls were answered within {p99_ms:.1} ms, and have to be within {most}"))
    }
}

/// Looks at one second after the other.
#[derive(Debug, Clone)]
pub(crate) struct Watchman {
    guard: Guard,
    looked_at: usize,
    bad: u32,
}

impl Watchman {
    pub(crate) fn new(guard: Guard) -> Self {
        Self { guard, looked_at: 0, bad: 0 }
    }

    /// The first second that has not been looked at.
    pub(crate) fn next(&self) -> usize {
        self.looked_at
    }

    /// Takes the next seconds that are over; why the drill is to end, when it is.
    pub(crate) fn look(&mut self, over: &[While]) -> Option<String> {
        for one in over {
            let (second, fault) = (self.looked_at, one.fault(self.guard.good, self.guard.p99));
            self.looked_at += 1;
            self.bad = if fault.is_some() { self.bad + 1 } else { 0 };
            if let Some(fault) = fault.filter(|_| self.bad >= self.guard.seconds.max(1)) {
                return Some(format!("in second {second} {fault}: under the guard for {} s", self.bad));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(good: u64, p99_ms: f64) -> While {
        While { count: Count { requests: 100, good }, p99_ms }
    }

    #[test]
    fn it_ends_the_drill_when_it_is_bad_for_long_enough_and_not_before() {
        let guard = Guard { good: Some(Ratio::percent(90)), seconds: 2, ..Guard::default() };
        let mut watchman = Watchman::new(guard);
        assert_eq!(watchman.look(&[second(100, 1.0), second(50, 1.0), second(95, 1.0)]), None);
        assert_eq!((watchman.look(&[second(89, 1.0)]), watchman.next()), (None, 4));
        let told = watchman.look(&[second(10, 1.0)]).unwrap();
        assert_eq!(
            told,
            "in second 4 10 of 100 calls were good (10.00 %), and 90% have to be: under the guard for 2 s"
        );
    }

    #[test]
    fn it_ends_the_drill_when_calls_wait_too_long() {
        let guard = Guard { p99: Some(Duration::from_millis(200)), seconds: 1, ..Guard::default() };
        let mut watchman = Watchman::new(guard);
        assert_eq!(watchman.look(&[second(100, 200.0)]), None);
        assert!(watchman.look(&[second(100, 200.5)]).unwrap().contains("within 200.5 ms, and have to be within 200ms"));
    }

    #[test]
    fn without_a_floor_and_without_calls_it_says_nothing() {
        assert_eq!(Watchman::new(Guard::default()).look(&[second(0, 1e6); 10]), None);
        let guard = Guard { good: Some(Ratio::ONE), ..Guard::default() };
        assert_eq!(Watchman::new(guard).look(&[While::default(); 10]), None);
    }
}
