//! How lengths of time are spread, within a part of 128, in memory that does not grow with their number.

use mainstay_core::Duration;

/// So many parts of each power of two.
const PARTS: u32 = 128;
const PART_BITS: u32 = PARTS.trailing_zeros();

/// Lengths that were counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    /// By [`place`], as far as any was counted.
    counts: Vec<u32>,
    total: u64,
}

impl Histogram {
    pub(crate) fn count(&mut self, length: Duration) {
        let place = place(length.as_nanos() / 1_000);
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        self.counts[place] += 1;
        self.total += 1;
    }

    /// The length that this share of all does not exceed; none where nothing was counted.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let wanted = ((self.total as f64 * share) as u64).min(self.total.checked_sub(1)?);
        let mut before = 0;
        for (place, count) in self.counts.iter().enumerate() {
            before += u64::from(*count);
            if before > wanted {
                return Some(Duration::from_nanos(middle(place).saturating_mul(1_000)));
            }
        }
        None
    }

    /// Its memory is given back.
    pub(crate) fn forget(&mut self) {
        self.counts = Vec::new();
    }
}

/// Where a number of microseconds is counted.
fn place(micros: u64) -> usize {
    let Some(shift) = (u64::BITS - micros.leading_zeros()).checked_sub(PART_BITS + 1) else { return micros as usize };
    (u64::from(shift * PARTS) + (micros >> shift)) as usize
}

/// The number in the middle of those that are counted there.
fn middle(place: usize) -> u64 {
    let place = place as u64;
    let shift = (place / u64::from(PARTS)).saturating_sub(1);
    let least = (place - shift * u64::from(PARTS)) << shift;
    least + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_comes_back_within_a_part_of_128() {
        for micros in (0..400).chain([1_000, 123_456, 1_000_000, 3_600_000_000]) {
            let back = middle(place(micros));
            assert!(back.abs_diff(micros) * 128 <= micros.max(1), "{micros}: {back}");
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_counted() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        (1..=1000).for_each(|millis| histogram.count(Duration::from_millis(millis)));
        for (share, millis) in [(0.0, 1), (0.5, 500), (0.99, 990), (1.0, 1000)] {
            let found = histogram.quantile(share).unwrap().as_nanos() as f64 / 1e6;
            assert!((found / f64::from(millis) - 1.0).abs() < 0.02, "{share}: {found}");
        }
    }
}
