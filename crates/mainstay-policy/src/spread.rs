//! How the latencies of a service are spread: the percentiles after which a hedge is worth its price.
//!
//! In: the time to the head of each good answer, and of each attempt that was outrun the time for which it was waited
//! for. Out: the 50th, 90th, 95th and 99th percentile, once there are enough samples.
//!
//! A histogram with buckets that grow by an eighth of a power of two, so that a percentile is too large by less than
//! 13 %, in a kilobyte and without a list of samples. Two of them, the older of which is forgotten after ten seconds or
//! when the younger has enough, whichever is later: a service that changes its pace is followed, and one with few calls
//! is not forgotten. Moving estimates in a word each, as [`crate::latency`] has them for the median, follow the 99th
//! percentile only over thousands of samples.
//!
//! What was outrun counts where it waited for longer than the lowest percentile that is asked for. It is a lower bound,
//! and a short one says nothing; but left out, the slow answers that hedges cut short would make the percentile smaller
//! and smaller, and the hedges more and more.

use mainstay_core::{Duration, Instant};

use crate::Percentile;

/// How long samples are counted at the least.
const WINDOW: Duration = Duration::from_secs(10);

/// Buckets for each doubling.
const PARTS_LOG2: u32 = 3;
/// What is shorter than 2^15 ns (33 µs) is counted with it...
const SHORTEST_LOG2: u32 = 15;
/// ...and what is longer than 2^36 ns (69 s) with that.
const LONGEST_LOG2: u32 = 36;
const BUCKETS: usize = ((LONGEST_LOG2 - SHORTEST_LOG2) << PARTS_LOG2) as usize;

/// Samples that have to lie above a percentile before it is believed.
const BEYOND: u32 = 5;

/// The percentiles are calculated anew after so many samples.
const STEP: u32 = 16;

/// What was learned, in the order of [`Percentile::ALL`].
pub(crate) type Percentiles = [Option<Duration>; Percentile::ALL.len()];

/// The spread of one service's latencies. It costs nothing until somebody asks.
#[derive(Debug, Default)]
pub struct Spread {
    counts: Option<Box<Counts>>,
    /// The lowest percentile that anybody asks for.
    asked: Option<Percentile>,
    learned: Percentiles,
}

#[derive(Debug)]
struct Counts {
    /// The older window and the younger.
    windows: [Window; 2],
    since: Instant,
}

#[derive(Debug)]
struct Window {
    buckets: [u32; BUCKETS],
    total: u32,
}

impl Window {
    const EMPTY: Self = Self { buckets: [0; BUCKETS], total: 0 };
}

impl Spread {
    /// An answer took so long.
    pub fn observe(&mut self, now: Instant, latency: Duration) {
        let Some(counts) = &mut self.counts else { return };
        counts.count(now, bucket_of(latency));
        if counts.windows[1].total.is_multiple_of(STEP) {
            self.learn();
        }
    }

    /// An answer would have taken so long or longer.
    pub fn observe_at_least(&mut self, now: Instant, waited: Duration) {
        let patience = self.asked.and_then(|percentile| self.learned[percentile as usize]);
        if patience.is_some_and(|patience| waited >= patience) {
            self.observe(now, waited);
        }
    }

    /// The percentile, once it is known. From the first time that it is asked for, samples are counted.
    pub fn get(&mut self, percentile: Percentile) -> Option<Duration> {
        if self.counts.is_none() {
            let windows = [Window::EMPTY, Window::EMPTY];
            self.counts = Some(Box::new(Counts { windows, since: Instant::ORIGIN }));
        }
        self.asked = Some(self.asked.map_or(percentile, |asked| asked.min(percentile)));
        self.learned[percentile as usize]
    }

    /// What is known, for another worker.
    pub(crate) fn learned(&self) -> Option<Percentiles> {
        (self.learned != Percentiles::default()).then_some(self.learned)
    }

    /// What another worker knows fills the gaps in what this one does.
    pub(crate) fn adopt(&mut self, others: Percentiles) {
        for (own, other) in self.learned.iter_mut().zip(others) {
            *own = own.or(other);
        }
    }

    fn learn(&mut self) {
        let Some(counts) = &self.counts else { return };
        for (known, (_, percentile)) in self.learned.iter_mut().zip(Percentile::ALL) {
            *known = counts.percentile(percentile).or(*known);
        }
    }
}

impl Counts {
    fn count(&mut self, now: Instant, bucket: usize) {
        let young = &self.windows[1];
        if now.since(self.since) >= WINDOW && young.total >= needed(Percentile::P99) {
            self.windows.swap(0, 1);
            self.windows[1] = Window::EMPTY;
            self.since = now;
        }
        self.windows[1].buckets[bucket] += 1;
        self.windows[1].total += 1;
    }

    fn percentile(&self, percentile: Percentile) -> Option<Duration> {
        let [old, young] = &self.windows;
        let total = old.total + young.total;
        if total < needed(percentile) {
            return None;
        }
        let mut beyond = u64::from(total) * u64::from(percentile.slower_in_100()) / 100;
        let counts = old.buckets.iter().zip(&young.buckets).map(|(old, young)| u64::from(old + young));
        let slowest_first = counts.enumerate().rev();
        for (bucket, count) in slowest_first {
            if count > beyond {
                return Some(end_of(bucket));
            }
            beyond -= count;
        }
        None
    }
}

/// Samples after which a percentile is believed.
const fn needed(percentile: Percentile) -> u32 {
    BEYOND * 100 / percentile.slower_in_100()
}

fn bucket_of(latency: Duration) -> usize {
    let nanos = latency.as_nanos().clamp(1 << SHORTEST_LOG2, (1 << LONGEST_LOG2) - 1);
    let power = nanos.ilog2();
    let part = (nanos >> (power - PARTS_LOG2)) - (1 << PARTS_LOG2);
    (((power - SHORTEST_LOG2) << PARTS_LOG2) as usize) + part as usize
}

/// Where a bucket ends.
fn end_of(bucket: usize) -> Duration {
    let power = SHORTEST_LOG2 + (bucket >> PARTS_LOG2) as u32;
    let part = (bucket as u64 & ((1 << PARTS_LOG2) - 1)) + 1;
    Duration::from_nanos((1 << power) + (part << (power - PARTS_LOG2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(millis)
    }

    /// Milliseconds 1 to 100 in a mixed order, `rounds` times, one sample a millisecond.
    fn spread_after(rounds: u64) -> Spread {
        let mut spread = Spread::default();
        assert_eq!(spread.get(Percentile::P50), None);
        for n in 0..rounds * 100 {
            spread.observe(at(n), Duration::from_millis(n * 37 % 100 + 1));
        }
        spread
    }

    fn millis(spread: &mut Spread, percentile: Percentile) -> Option<u64> {
        spread.get(percentile).map(Duration::as_millis)
    }

    #[test]
    fn each_percentile_is_found_within_an_eighth() {
        let mut spread = spread_after(30);
        for (percentile, exact) in
            [(Percentile::P50, 50), (Percentile::P90, 90), (Percentile::P95, 95), (Percentile::P99, 99)]
        {
            let found = millis(&mut spread, percentile).unwrap();
            assert!((exact..=exact * 9 / 8).contains(&found), "{percentile:?}: {found}");
        }
    }

    #[test]
    fn the_further_out_the_more_samples_are_needed() {
        let mut spread = spread_after(1);
        assert!(spread.get(Percentile::P90).is_some());
        assert_eq!(spread.get(Percentile::P99), None, "a hundred samples say nothing of the slowest in a hundred");
        assert!(spread_after(6).get(Percentile::P99).is_some());
    }

    #[test]
    fn another_pace_is_followed_within_two_windows_and_a_quiet_night_forgets_nothing() {
        let mut spread = spread_after(200);
        for n in 20_000..45_000 {
            spread.observe(at(n), Duration::from_millis(2));
        }
        assert_eq!(millis(&mut spread, Percentile::P99), Some(2));
        for hour in 1..20 {
            spread.observe(at(45_000 + hour * 3_600_000), Duration::from_millis(2));
        }
        assert_eq!(millis(&mut spread, Percentile::P99), Some(2));
    }

    #[test]
    fn hedges_that_cut_the_slow_short_do_not_make_the_percentile_smaller() {
        let mut spread = spread_after(30);
        let before = spread.get(Percentile::P95).unwrap();
        for n in 3_000..40_000 {
            let latency = Duration::from_millis(n * 37 % 100 + 1);
            let patience = spread.get(Percentile::P95).unwrap();
            if latency > patience {
                spread.observe_at_least(at(n), patience + Duration::from_millis(1));
            } else {
                spread.observe(at(n), latency);
            }
        }
        let after = spread.get(Percentile::P95).unwrap();
        assert!(after.as_nanos() * 8 >= before.as_nanos() * 7, "{before} became {after}");
    }

    #[test]
    fn a_worker_that_has_learned_nothing_believes_another() {
        let (one, mut other) = (spread_after(10), Spread::default());
        other.adopt(one.learned().unwrap());
        assert!(other.get(Percentile::P95).is_some());
        assert_eq!(Spread::default().learned(), None);
    }

    #[test]
    fn every_latency_has_a_bucket_that_ends_after_it() {
        for shift in 0..63 {
            for nanos in [1_u64 << shift, (1 << shift) + 1, (1 << shift) * 3 / 2] {
                let bucket = bucket_of(Duration::from_nanos(nanos));
                assert!(bucket < BUCKETS);
                let is_within = (1 << SHORTEST_LOG2..1 << LONGEST_LOG2).contains(&nanos);
                assert!(!is_within || end_of(bucket).as_nanos() > nanos, "{nanos}");
            }
        }
    }
}
