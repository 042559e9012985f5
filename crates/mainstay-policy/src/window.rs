//! How many outcomes were good and how many bad in the last while.
//!
//! The while is cut into ten buckets and slides by one of them at a time, so it covers nine to ten tenths of its length.
//! A count per bucket costs 160 bytes whatever the load; a list of the calls themselves would grow with it. A moving
//! average would be smaller still, but a rate "of at least a hundred calls" needs to know how many they were (Hystrix
//! counts in ten buckets for the same reasons).
//!
//! Time that goes backwards counts as the newest bucket, so no outcome is lost and none is counted twice.

use mainstay_core::{Duration, Instant};

const BUCKETS: u64 = 10;

/// Good and bad outcomes of the last `length`, in ten buckets.
#[derive(Debug, Clone)]
pub struct Window {
    width: u64,
    /// The number of the newest bucket, counted from the origin of time.
    newest: u64,
    /// When it ends, in nanoseconds.
    ends: u64,
    buckets: [Counts; BUCKETS as usize],
    total: Counts,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    good: u64,
    bad: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.good = self.good.saturating_add(other.good);
        self.bad = self.bad.saturating_add(other.bad);
    }

    fn take_away(&mut self, other: Self) {
        self.good = self.good.saturating_sub(other.good);
        self.bad = self.bad.saturating_sub(other.bad);
    }
}

impl Window {
    /// An empty window over `length`.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        let width = width(length);
        Self { width, newest: 0, ends: width, buckets: Default::default(), total: Counts::default() }
    }

    /// Counts `good` and `bad` outcomes at `now`.
    pub fn add(&mut self, now: Instant, good: u64, bad: u64) {
        self.slide(now);
        let counts = Counts { good, bad };
        self.buckets[index(self.newest)].add(counts);
        self.total.add(counts);
    }

    /// The good and the bad outcomes that the window still covers at `now`.
    #[must_use]
    pub fn totals(&self, now: Instant) -> (u64, u64) {
        let mut total = self.total;
        if now.as_nanos() >= self.ends {
            self.expired(now).for_each(|bucket| total.take_away(self.buckets[bucket]));
        }
        (total.good, total.bad)
    }

    /// Forgets every outcome.
    pub fn reset(&mut self) {
        self.buckets = Default::default();
        self.total = Counts::default();
    }

    /// Changes the length. What was counted stays, as if it had all come just now.
    pub fn set_length(&mut self, now: Instant, length: Duration) {
        if width(length) == self.width {
            return;
        }
        let (good, bad) = self.totals(now);
        *self = Self::new(length);
        self.add(now, good, bad);
    }

    fn slide(&mut self, now: Instant) {
        if now.as_nanos() < self.ends {
            return;
        }
        for bucket in self.expired(now) {
            self.total.take_away(std::mem::take(&mut self.buckets[bucket]));
        }
        self.newest = self.number(now);
        self.ends = self.newest.saturating_add(1).saturating_mul(self.width);
    }

    /// The buckets that `now` has pushed out of the window, by index.
    fn expired(&self, now: Instant) -> impl Iterator<Item = usize> + use<> {
        let newest = self.newest;
        let steps = self.number(now).saturating_sub(newest).min(BUCKETS);
        (1..=steps).map(move |step| index(newest + step))
    }

    fn number(&self, now: Instant) -> u64 {
        now.as_nanos() / self.width
    }
}

fn width(length: Duration) -> u64 {
    (length.as_nanos() / BUCKETS).max(1)
}

fn index(number: u64) -> usize {
    (number % BUCKETS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(millis)
    }

    #[test]
    fn an_outcome_counts_for_a_window_and_no_longer() {
        let mut window = Window::new(Duration::from_secs(10));
        window.add(at(100_500), 3, 1);
        assert_eq!(window.totals(at(100_500)), (3, 1));
        assert_eq!(window.totals(at(109_999)), (3, 1), "nine tenths at least");
        assert_eq!(window.totals(at(110_500)), (0, 0), "ten tenths at most");
    }

    #[test]
    fn buckets_leave_one_by_one() {
        let mut window = Window::new(Duration::from_secs(10));
        for second in 0..10 {
            window.add(at(second * 1_000), 1, 2);
        }
        assert_eq!(window.totals(at(9_000)), (10, 20));
        assert_eq!(window.totals(at(12_000)), (7, 14));
        window.add(at(12_000), 0, 1);
        assert_eq!(window.totals(at(12_000)), (7, 15));
    }

    #[test]
    fn a_clock_that_goes_back_loses_nothing() {
        let mut window = Window::new(Duration::from_secs(1));
        window.add(at(5_000), 1, 0);
        window.add(at(1_000), 0, 1);
        assert_eq!(window.totals(at(500)), (1, 1));
        assert_eq!(window.totals(at(5_000)), (1, 1));
        assert_eq!(window.totals(at(6_500)), (0, 0));
    }

    #[test]
    fn another_length_keeps_what_was_learned() {
        let mut window = Window::new(Duration::from_secs(10));
        window.add(at(1_000), 4, 5);
        window.set_length(at(3_000), Duration::from_secs(1));
        assert_eq!(window.totals(at(3_500)), (4, 5));
        assert_eq!(window.totals(at(4_500)), (0, 0));
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        let mut window = Window::new(Duration::ZERO);
        window.add(Instant::FAR_FUTURE, u64::MAX, 1);
        window.add(Instant::FAR_FUTURE, u64::MAX, 1);
        assert_eq!(window.totals(Instant::FAR_FUTURE), (u64::MAX, 2));
    }

    proptest! {
        /// Law: it is the plain sum over the outcomes whose tenth is among the last ten.
        #[test]
        fn it_is_the_sum_of_the_last_ten_tenths(
            steps in prop::collection::vec((0u64..400, 0u64..5, 0u64..5), 1..100),
        ) {
            let mut window = Window::new(Duration::from_millis(1_000));
            let (mut now, mut all) = (0, Vec::new());
            for (step, good, bad) in steps {
                now += step;
                all.push((now / 100, good, bad));
                window.add(at(now), good, bad);
                let covered = || all.iter().filter(|(tenth, ..)| tenth + 10 > now / 100);
                let want = (covered().map(|c| c.1).sum::<u64>(), covered().map(|c| c.2).sum::<u64>());
                prop_assert_eq!(window.totals(at(now)), want);
            }
        }
    }
}
