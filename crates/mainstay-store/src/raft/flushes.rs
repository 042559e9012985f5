//! How the disk has flushed the log: the buckets of etcd's histograms of its disk, 1 ms and twice as much up to 8.192 s.

use std::time::Duration;

/// How the disk has flushed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flushes {
    /// How often.
    pub count: u64,
    /// How long it took altogether.
    pub total: Duration,
    /// How often it took no longer than the bound of the same place, and longer than the one before.
    within: [u64; BOUNDS],
}

/// How many bounds there are.
const BOUNDS: usize = 14;

impl Flushes {
    pub(crate) fn add(&mut self, took: Duration) {
        self.count += 1;
        self.total += took;
        if let Some(place) = bounds().position(|bound| took <= bound) {
            self.within[place] += 1;
        }
    }

    /// Each bound, and how often it took no longer.
    pub fn up_to(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut sum = 0;
        bounds().zip(self.within).map(move |(bound, within)| {
            sum += within;
            (bound, sum)
        })
    }
}

fn bounds() -> impl Iterator<Item = Duration> {
    (0..BOUNDS as u32).map(|place| Duration::from_millis(1 << place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flush_counts_below_every_bound_that_it_kept() {
        let mut flushes = Flushes::default();
        for ms in [0, 1, 3, 4, 5, 8_192, 9_000] {
            flushes.add(Duration::from_millis(ms));
        }
        let counts: Vec<_> = flushes.up_to().map(|(bound, count)| (bound.as_millis(), count)).collect();
        assert_eq!(counts[..5], [(1, 2), (2, 2), (4, 4), (8, 5), (16, 5)]);
        assert_eq!(counts[13], (8_192, 6));
        assert_eq!((flushes.count, flushes.total.as_millis()), (7, 17_205));
    }
}
