//! What came of the requests: counts by kind, latencies whole and per second, and the first failures one by one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::{Value, json};

use crate::wire::WireError;

/// Failures kept one by one; more are only counted.
const FAILURES_MAX: usize = 1000;
/// Seconds that have a line of their own (a day); what is due later counts with the last.
const SECONDS_MAX: usize = 86_400;
/// Seconds whose latencies are kept whole, because requests that were due in them may still end.
const OPEN_SECONDS: usize = 60;
/// Longest latency told apart, in microseconds: a minute.
const LATENCY_MAX: u64 = 60_000_000;

/// What came of one request.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Its `x-request-id`.
    pub id: String,
    /// Its method.
    pub method: String,
    /// When it was due, since the beginning.
    pub due: Duration,
    /// How long after that the end came.
    pub took: Duration,
    /// What the end was.
    pub end: End,
}

impl Sample {
    /// It for programs, among the failures and in a file of all.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "method": self.method,
            "due_ms": self.due.as_secs_f64() * 1e3,
            "took_ms": self.took.as_secs_f64() * 1e3,
            "end": self.end.word(),
        })
    }
}

/// How one request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// An answer in time that says what it should.
    Good,
    /// An answer in time with a status other than 2xx.
    Status(u16),
    /// A 2xx answer that does not say what it should.
    Wrong,
    /// A right answer, too late.
    Late,
    /// No answer.
    Failed(WireError),
    /// The load itself could not send it while an answer would still have been in time.
    Unsent,
}

impl End {
    /// The word for a table.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Good => "good".to_owned(),
            Self::Status(status) => format!("status {status}"),
            Self::Wrong => "wrong answer".to_owned(),
            Self::Late => "late".to_owned(),
            Self::Failed(error) => error.as_str().to_owned(),
            Self::Unsent => "not sent".to_owned(),
        }
    }
}

/// Requests and how many of them were good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Requests that were due and have ended.
    pub requests: u64,
    /// Those that ended well.
    pub good: u64,
}

impl Count {
    fn add(&mut self, good: bool) {
        self.requests += 1;
        self.good += u64::from(good);
    }

    /// Requests that did not end well.
    #[must_use]
    pub fn bad(self) -> u64 {
        self.requests - self.good
    }
}

/// The requests that were due within one second.
#[derive(Debug, Clone)]
pub struct Second {
    /// How many, and how many good.
    pub count: Count,
    latency: Latency,
}

/// The latencies of one second: all of them while requests may still end, then what is told of them.
#[derive(Debug, Clone)]
enum Latency {
    Open(Box<Histogram<u32>>),
    Told { p50_ms: f64, p99_ms: f64 },
}

impl Second {
    fn new() -> Self {
        Self { count: Count::default(), latency: Latency::Open(Box::new(histogram(2))) }
    }

    fn add(&mut self, good: bool, micros: u64) {
        self.count.add(good);
        if let Latency::Open(latency) = &mut self.latency {
            latency.saturating_record(micros);
        }
    }

    fn add_unsent(&mut self, micros: u64, requests: u64) {
        self.count.requests += requests;
        if let Latency::Open(latency) = &mut self.latency {
            latency.saturating_record_n(micros, u32::try_from(requests).unwrap_or(u32::MAX));
        }
    }

    fn close(&mut self) {
        if matches!(self.latency, Latency::Open(_)) {
            self.latency = Latency::Told { p50_ms: self.p50_ms(), p99_ms: self.p99_ms() };
        }
    }

    /// Half were answered within this many milliseconds.
    #[must_use]
    pub fn p50_ms(&self) -> f64 {
        match &self.latency {
            Latency::Open(latency) => latency.value_at_quantile(0.5) as f64 / 1e3,
            Latency::Told { p50_ms, .. } => *p50_ms,
        }
    }

    /// 99 of 100 were answered within this many milliseconds.
    #[must_use]
    pub fn p99_ms(&self) -> f64 {
        match &self.latency {
            Latency::Open(latency) => latency.value_at_quantile(0.99) as f64 / 1e3,
            Latency::Told { p99_ms, .. } => *p99_ms,
        }
    }
}

/// What came of a load between two moments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Since {
    /// How much.
    pub count: Count,
    /// 99 of 100 were answered within this many milliseconds.
    pub p99_ms: f64,
    /// All were.
    pub worst_ms: f64,
}

/// Everything that came of a load, so far.
#[derive(Debug, Clone)]
pub struct Tally {
    methods: BTreeMap<String, Count>,
    /// Requests that have no line among the methods, because not even that was looked at.
    given_up: u64,
    kinds: BTreeMap<String, u64>,
    latency: Histogram<u64>,
    seconds: Vec<Second>,
    failures: Vec<Sample>,
}

/// An empty histogram of microseconds up to [`LATENCY_MAX`], to so many significant figures (1 to 5).
pub(crate) fn histogram<C: hdrhistogram::Counter>(figures: u8) -> Histogram<C> {
    Histogram::new_with_bounds(1, LATENCY_MAX, figures)
        .expect("one to five figures between these two constants are always a histogram")
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl Tally {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            methods: ["GET", "POST"].map(|method| (method.to_owned(), Count::default())).into(),
            given_up: 0,
            kinds: BTreeMap::new(),
            latency: histogram(3),
            seconds: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// An empty one that several may write.
    #[must_use]
    pub fn shared() -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self::new()))
    }

    /// Counts what came of a request.
    pub fn add(&mut self, sample: Sample) {
        let good = sample.end == End::Good;
        let micros = u64::try_from(sample.took.as_micros()).unwrap_or(LATENCY_MAX);
        match self.methods.get_mut(&sample.method) {
            Some(count) => count.add(good),
            None => self.methods.entry(sample.method.clone()).or_default().add(good),
        }
        *self.kinds.entry(sample.end.word()).or_default() += 1;
        self.latency.saturating_record(micros.max(1));
        let second = self.second(sample.due);
        second.add(good, micros.max(1));
        if !good && self.failures.len() < FAILURES_MAX {
            self.failures.push(sample);
        }
    }

    /// Counts so many requests that were due from `due` on and were never sent, each as one that waits out its deadline.
    pub(super) fn add_unsent(&mut self, due: Duration, deadline: Duration, requests: u64) {
        let micros = u64::try_from(deadline.as_micros()).unwrap_or(LATENCY_MAX).max(1);
        self.given_up += requests;
        *self.kinds.entry(End::Unsent.word()).or_default() += requests;
        self.latency.saturating_record_n(micros, requests);
        self.second(due).add_unsent(micros, requests);
    }

    /// Requests that were due and that the load itself could not send in time.
    #[must_use]
    pub fn unsent(&self) -> u64 {
        self.kinds.get(&End::Unsent.word()).copied().unwrap_or(0)
    }

    fn second(&mut self, due: Duration) -> &mut Second {
        let at = usize::try_from(due.as_secs()).unwrap_or(SECONDS_MAX).min(SECONDS_MAX - 1);
        if at >= self.seconds.len() {
            self.seconds.resize_with(at + 1, Second::new);
            // A day of whole histograms would fill the memory; nothing takes longer than this to end.
            let ended = at.saturating_sub(OPEN_SECONDS);
            self.seconds[ended.saturating_sub(OPEN_SECONDS)..ended].iter_mut().for_each(Second::close);
        }
        &mut self.seconds[at]
    }

    /// How many ended how, by their words.
    #[must_use]
    pub fn kinds(&self) -> &BTreeMap<String, u64> {
        &self.kinds
    }

    /// All requests that have ended.
    #[must_use]
    pub fn count(&self) -> Count {
        let of = |count: fn(&Count) -> u64| self.methods.values().map(count).sum();
        Count { requests: of(|count| count.requests) + self.given_up, good: of(|count| count.good) }
    }

    /// What has come since `earlier`, which was taken of the same load.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Since {
        let (now, then) = (self.count(), earlier.count());
        let mut latency = self.latency.clone();
        // Both have the same bounds, and every count has only grown.
        let _ = latency.subtract(&earlier.latency);
        let count = Count { requests: now.requests - then.requests, good: now.good - then.good };
        let at = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
        Since { count, p99_ms: at(0.99), worst_ms: at(1.0) }
    }

    /// The seconds since the beginning.
    #[must_use]
    pub fn seconds(&self) -> &[Second] {
        &self.seconds
    }

    /// The latency in milliseconds that the share `quantile` of all stays under.
    #[must_use]
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }

    /// How many requests took how long: the upper end of each step in milliseconds, and how many came to lie in it. Steps
    /// grow by a tenth, as the precision that is left does.
    #[must_use]
    pub fn latencies(&self) -> Vec<(f64, u64)> {
        let steps = self.latency.iter_log(100, 1.1).filter(|step| step.count_since_last_iteration() > 0);
        steps.map(|step| (step.value_iterated_to() as f64 / 1e3, step.count_since_last_iteration())).collect()
    }

    /// The share of good ones; of nothing, everything is good.
    #[must_use]
    pub fn good_ratio(&self) -> f64 {
        let count = self.count();
        if count.requests == 0 { 1.0 } else { count.good as f64 / count.requests as f64 }
    }

    /// The report that tests and people's scripts read.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let count = self.count();
        let latencies = self.latencies().into_iter().map(|(upto_ms, n)| json!({ "upto_ms": upto_ms, "requests": n }));
        json!({
            "requests": count.requests,
            "good": count.good,
            "bad": count.bad(),
            "not_sent": self.unsent(),
            "good_ratio": self.good_ratio(),
            "p50_ms": self.quantile_ms(0.5),
            "p99_ms": self.quantile_ms(0.99),
            "p999_ms": self.quantile_ms(0.999),
            "max_ms": self.latency.max() as f64 / 1e3,
            "kinds": self.kinds,
            "latencies": latencies.collect::<Vec<_>>(),
            "methods": self.methods,
            "failures": self.failures.iter().map(Sample::to_json).collect::<Vec<_>>(),
            "failures_not_listed": count.bad() - self.failures.len() as u64,
            "seconds": self.seconds.iter().map(second_json).collect::<Vec<_>>(),
        })
    }
}

fn second_json(second: &Second) -> Value {
    json!({
        "requests": second.count.requests,
        "good": second.count.good,
        "p50_ms": second.p50_ms(),
        "p99_ms": second.p99_ms(),
    })
}

/// The tally, whoever wrote it last and however that ended: its counts are whole between any two of its lines.
pub fn locked(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(due_ms: u64, end: End) -> Sample {
        let took = Duration::from_millis(10);
        Sample { id: "a-1".to_owned(), method: "GET".to_owned(), due: Duration::from_millis(due_ms), took, end }
    }

    #[test]
    fn every_request_is_counted_once_in_its_second_and_by_its_kind() {
        let mut tally = Tally::new();
        tally.add(sample(100, End::Good));
        tally.add(sample(1_100, End::Status(503)));
        tally.add(sample(1_200, End::Failed(WireError::Timeout)));
        assert_eq!(tally.count(), Count { requests: 3, good: 1 });
        assert_eq!(tally.seconds()[1].count, Count { requests: 2, good: 0 });
        let json = tally.to_json();
        assert_eq!(json["kinds"], json!({ "good": 1, "status 503": 1, "timeout": 1 }));
        assert_eq!(json["failures"][0]["end"], "status 503");
        assert_eq!(json["methods"]["GET"]["requests"], 3);
    }

    #[test]
    fn a_flood_of_failures_is_counted_and_not_kept() {
        let mut tally = Tally::new();
        for _ in 0..FAILURES_MAX + 5 {
            tally.add(sample(0, End::Late));
        }
        let json = tally.to_json();
        assert_eq!(json["failures"].as_array().unwrap().len(), FAILURES_MAX);
        assert_eq!(json["failures_not_listed"], 5);
    }
}
