//! When a drill may begin, and when it is broken off.
//!
//! In: how many calls were due in each second and how many were good. Out: whether the steady state holds, or that the
//! drill is to end now. A second counts when its deadline has passed, because calls that were due in it may still end.

use mainstay_core::Ratio;

use crate::load::Count;

/// What a drill may not do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guard {
    /// The drill is broken off when less than this share of the calls is good; none for never.
    pub good: Option<Ratio>,
    /// For so many seconds one after the other. Default 3.
    pub seconds: u32,
    /// Share of a service's instances that may be struck at one time; one always may. Default 50 %.
    pub max_victims: Ratio,
    /// How long the steady state is looked at before anything is broken. Default 3 s.
    pub steady: std::time::Duration,
}

impl Default for Guard {
    fn default() -> Self {
        let steady = std::time::Duration::from_secs(3);
        Self { good: None, seconds: 3, max_victims: Ratio::percent(50), steady }
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

    /// Takes the seconds that are over; why the drill is to end, when it is.
    pub(crate) fn look(&mut self, over: &[Count]) -> Option<String> {
        let floor = self.guard.good?;
        for (second, count) in over.iter().enumerate().skip(self.looked_at) {
            self.looked_at = second + 1;
            let low = count.requests > 0 && !floor.is_reached_by(count.good, count.requests);
            self.bad = if low { self.bad + 1 } else { 0 };
            if self.bad >= self.guard.seconds.max(1) {
                let Count { requests, good } = *count;
                return Some(format!(
                    "in second {second} {good} of {requests} calls were good, under the guard's {floor} for {} s",
                    self.bad
                ));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(good: u64) -> Count {
        Count { requests: 100, good }
    }

    #[test]
    fn it_ends_the_drill_when_it_is_bad_for_long_enough_and_not_before() {
        let guard = Guard { good: Some(Ratio::percent(90)), seconds: 2, ..Guard::default() };
        let mut watchman = Watchman::new(guard);
        assert_eq!(watchman.look(&[count(100), count(50), count(95)]), None);
        assert_eq!(watchman.look(&[count(100), count(50), count(95), count(89)]), None);
        let told = watchman.look(&[count(100), count(50), count(95), count(89), count(10)]).unwrap();
        assert!(told.contains("10 of 100") && told.contains("90%"), "{told}");
    }

    #[test]
    fn without_a_floor_and_without_calls_it_says_nothing() {
        assert_eq!(Watchman::new(Guard::default()).look(&[count(0); 10]), None);
        let guard = Guard { good: Some(Ratio::ONE), ..Guard::default() };
        assert_eq!(Watchman::new(guard).look(&[Count::default(); 10]), None);
    }
}
