//! What came of each request, as the load wrote it down, and sums that can be added up over runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One request.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Sample {
    pub(super) id: String,
    pub(super) method: String,
    /// When it was due, in milliseconds of civil time.
    #[serde(rename = "due_ms")]
    pub(super) due: f64,
    /// How long after that its end came, in milliseconds.
    #[serde(rename = "took_ms")]
    pub(super) took: f64,
    /// What callers got: `good`, `status 503`, `wrong answer`, `late`, `timeout`, …
    pub(super) end: String,
}

impl Sample {
    /// Reads a line of a load that began at this civil time.
    pub(super) fn read(line: &str, began: f64) -> Result<Self, String> {
        let sample: Self = serde_json::from_str(line).map_err(|error| format!("a sample: {error}: {line}"))?;
        Ok(Self { due: sample.due + began, ..sample })
    }

    pub(super) fn is_good(&self) -> bool {
        self.end == "good"
    }

    /// Whether a status came that says no.
    pub(super) fn is_refused(&self) -> bool {
        self.end.starts_with("status ")
    }
}

/// Requests and how many of them were good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Count {
    pub(super) requests: u64,
    pub(super) good: u64,
}

impl Count {
    /// Counts those that `which` picks.
    pub(super) fn of(samples: &[Sample], which: impl Fn(&Sample) -> bool) -> Self {
        let mut count = Self::default();
        for sample in samples.iter().filter(|sample| which(sample)) {
            count.requests += 1;
            count.good += u64::from(sample.is_good());
        }
        count
    }

    pub(super) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.good += other.good;
    }

    /// In percent; of nothing, nothing is known.
    pub(super) fn percent(self) -> f64 {
        self.good as f64 * 100.0 / self.requests as f64
    }
}

/// Latencies in buckets a hundredth wide, so that those of several runs can be added up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Latencies(BTreeMap<i32, u64>);

impl Latencies {
    const WIDTH: f64 = 1.01;

    /// Those of the requests that `which` picks.
    pub(super) fn of(samples: &[Sample], which: impl Fn(&Sample) -> bool) -> Self {
        let mut latencies = Self::default();
        for sample in samples.iter().filter(|sample| which(sample)) {
            let bucket = (sample.took.max(0.001).ln() / Self::WIDTH.ln()).round() as i32;
            *latencies.0.entry(bucket).or_default() += 1;
        }
        latencies
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (&bucket, count) in &other.0 {
            *self.0.entry(bucket).or_default() += count;
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// The share `quantile` of all took no longer than these milliseconds.
    pub(super) fn quantile(&self, quantile: f64) -> Option<f64> {
        let rank = (self.count() as f64 * quantile).ceil().max(1.0) as u64;
        let mut seen = 0;
        let (bucket, _) = self.0.iter().find(|(_, count)| {
            seen += **count;
            seen >= rank
        })?;
        Some(Self::WIDTH.powi(*bucket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(took: f64, end: &str) -> Sample {
        Sample { id: "a".to_owned(), method: "GET".to_owned(), due: 0.0, took, end: end.to_owned() }
    }

    #[test]
    fn a_quantile_is_right_to_a_hundredth_also_of_sums() {
        let samples: Vec<Sample> = (1..=1000).map(|n| sample(f64::from(n), "good")).collect();
        let (low, high) = samples.split_at(500);
        let mut latencies = Latencies::of(low, Sample::is_good);
        latencies.add(&Latencies::of(high, Sample::is_good));
        for (quantile, exact) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let got = latencies.quantile(quantile).unwrap();
            assert!((got / exact - 1.0).abs() < 0.01, "{quantile}: {got}");
        }
        assert_eq!(Latencies::default().quantile(0.5), None);
    }

    #[test]
    fn a_sample_is_read_with_the_time_at_which_it_was_due() {
        let line = r#"{"id":"storm-1","method":"POST","due_ms":1500.0,"took_ms":10.5,"end":"status 503"}"#;
        let sample = Sample::read(line, 1_000_000.0).unwrap();
        assert_eq!((sample.due, sample.is_good(), sample.is_refused()), (1_001_500.0, false, true));
        assert_eq!(Count::of(&[sample], |_| true), Count { requests: 1, good: 0 });
    }
}
