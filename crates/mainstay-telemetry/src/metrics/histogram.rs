//! A histogram of durations with the boundaries that OpenTelemetry advises for HTTP.
//!
//! Fixed boundaries make an observation one short loop over constants, and make histograms of workers, and of nodes,
//! add up.

use mainstay_core::Duration;

/// The upper boundaries in nanoseconds, each included in its bucket: 5 ms to 10 s
/// (OpenTelemetry, "Semantic conventions for HTTP metrics").
pub(crate) const BOUNDS: [u64; 14] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];

/// Counts of durations by boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Histogram {
    /// One for each boundary and one for what is longer than all; not cumulative.
    buckets: [u64; BOUNDS.len() + 1],
    sum_nanos: u64,
}

impl Histogram {
    /// Counts `duration`.
    pub fn observe(&mut self, duration: Duration) {
        let nanos = duration.as_nanos();
        // From the shortest up, because most requests are short.
        let bucket = BOUNDS.iter().position(|bound| nanos <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket] += 1;
        self.sum_nanos = self.sum_nanos.saturating_add(nanos);
    }

    /// Adds what another worker counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.sum_nanos = self.sum_nanos.saturating_add(other.sum_nanos);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All of them together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_nanos)
    }

    /// For each boundary, in seconds, how many were not longer.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let mut below = 0;
        BOUNDS.iter().zip(self.buckets).map(move |(bound, count)| {
            below += count;
            (*bound as f64 / 1e9, below)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_belongs_to_its_bucket_and_what_is_longer_does_not() {
        let mut histogram = Histogram::default();
        histogram.observe(Duration::from_millis(5));
        histogram.observe(Duration::from_nanos(5_000_001));
        histogram.observe(Duration::from_secs(60));
        let at: Vec<_> = histogram.cumulative().collect();
        assert_eq!(at[0], (0.005, 1));
        assert_eq!(at[1], (0.01, 2));
        assert_eq!(at[13], (10.0, 2));
        assert_eq!(histogram.count(), 3);
        assert_eq!(histogram.sum().as_nanos(), 60_010_000_001);
    }

    #[test]
    fn two_workers_together_counted_what_each_counted() {
        let (mut one, mut other, mut both) = (Histogram::default(), Histogram::default(), Histogram::default());
        for millis in [1, 7, 80, 12_000] {
            one.observe(Duration::from_millis(millis));
            other.observe(Duration::from_millis(millis * 2));
            both.observe(Duration::from_millis(millis));
            both.observe(Duration::from_millis(millis * 2));
        }
        one.merge(&other);
        assert_eq!(one, both);
    }
}
