//! What the next attempt at an endpoint is likely to cost: how long answers take there, and how much runs there already.
//!
//! The estimate is a peak-sensitive moving average (Finagle's and Linkerd's peak EWMA): a slower answer than expected is
//! believed at once, a faster one by and by. What is not measured fades: an estimate above the service's median returns
//! to the median, so that a slow endpoint that is left alone is asked again after a while.
//!
//! A failure says nothing of how long an answer takes, so the adaptive balancer gives it a price instead. It is limited
//! against the median of the moment whenever it is read, not only when it is set: a first failure before anything else
//! is known would otherwise exile an endpoint for many time constants.

use mainstay_core::math::decay;
use mainstay_core::{Duration, Instant};

/// What an endpoint of which nothing is known yet is taken to need, in nanoseconds: 30 ms, Linkerd's choice.
const UNKNOWN: f64 = 30e6;

/// A failure costs no more than this many medians, so that a stray one exiles nobody.
const FAILURE_MEDIANS: f64 = 10.0;

/// How fast estimates fade and what a failure costs, for all endpoints of a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Time constant of every estimate.
    pub(crate) fade: Duration,
    /// The service's median in nanoseconds.
    pub(crate) median: Option<f64>,
    /// By how much one sample raises an estimate at the most; `None` for as much as it says.
    pub(crate) step: Option<f64>,
    /// The longest that an attempt may take.
    pub(crate) attempt: Duration,
}

impl Scale {
    /// What is held against an endpoint at the most for what was not measured.
    pub(crate) fn most(&self) -> Duration {
        Duration::from_nanos(self.failure() as u64)
    }

    /// What a failure costs, in nanoseconds.
    fn failure(&self) -> f64 {
        let attempt = self.attempt.as_nanos() as f64;
        self.median.map_or(attempt, |median| attempt.min(median * FAILURE_MEDIANS))
    }
}

/// The moving average of one endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Latency {
    /// Nanoseconds.
    estimate: Option<f64>,
    at: Instant,
    /// The estimate is the price of a failure, not a time that was measured.
    is_price: bool,
}

impl Latency {
    /// An answer took so long.
    pub(crate) fn observe(&mut self, now: Instant, sample: Duration, scale: &Scale) {
        let sample = sample.as_nanos() as f64;
        let next = match self.estimate {
            None => sample,
            Some(_) => {
                let kept = decay(now.since(self.at), scale.fade);
                let expected = self.expected(scale, || kept);
                let sample =
                    scale.step.map_or(sample, |step| sample.min(step * expected.max(scale.median.unwrap_or(0.0))));
                sample.max(expected * kept + sample * (1.0 - kept))
            }
        };
        self.is_price &= self.estimate.is_some() && next > sample;
        self.set(now, next);
    }

    /// An answer was given up after `waited`: it would have taken that long or longer.
    pub(crate) fn observe_at_least(&mut self, now: Instant, waited: Duration, scale: &Scale) {
        if waited.as_nanos() as f64 > self.predicted(now, scale) {
            self.observe(now, waited, scale);
        }
    }

    /// An attempt failed: the next one is expected to cost as much as a failure may.
    pub(crate) fn penalise(&mut self, now: Instant, scale: &Scale) {
        let price = scale.failure();
        if price >= self.predicted(now, scale) {
            self.is_price = true;
            self.set(now, price);
        }
    }

    /// What an attempt is expected to take at `now`, in nanoseconds.
    pub(crate) fn predicted(&self, now: Instant, scale: &Scale) -> f64 {
        self.expected(scale, || decay(now.since(self.at), scale.fade))
    }

    /// The same; `kept` says what is left of an estimate.
    fn expected(&self, scale: &Scale, kept: impl FnOnce() -> f64) -> f64 {
        let rest = scale.median.unwrap_or(UNKNOWN);
        let Some(estimate) = self.estimate else { return rest };
        let estimate = if self.is_price { estimate.min(scale.failure()) } else { estimate };
        if estimate <= rest {
            return estimate;
        }
        rest + (estimate - rest) * kept()
    }

    /// Whether anything was ever measured.
    pub(crate) fn is_known(&self) -> bool {
        self.estimate.is_some()
    }

    fn set(&mut self, now: Instant, estimate: f64) {
        self.estimate = Some(estimate);
        self.at = self.at.max(now);
    }
}

/// What runs at one endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    in_flight: u32,
    /// In flight from other workers, as far as they have told.
    elsewhere: u32,
    /// Of those in flight here, the ones that have no head and no failure yet.
    waiting: u32,
    /// Since when nothing has come back while some were waiting.
    silent_since: Instant,
    /// How long attempts were waited for in vain since something came back, in sum.
    unanswered: Duration,
}

impl Load {
    pub(crate) fn begin(&mut self, now: Instant) {
        if self.waiting == 0 {
            self.silent_since = now;
        }
        self.waiting += 1;
        self.in_flight += 1;
    }

    /// An attempt waits no longer; `alive` when the endpoint itself ended its wait.
    pub(crate) fn reported(&mut self, now: Instant, alive: bool) {
        self.waiting = self.waiting.saturating_sub(1);
        if alive {
            self.silent_since = now;
            self.unanswered = Duration::ZERO;
        }
    }

    /// An attempt was given up after `waited`, because another endpoint answered first.
    pub(crate) fn outpaced(&mut self, now: Instant, waited: Duration) {
        self.reported(now, false);
        self.unanswered = self.unanswered + waited;
    }

    /// The best guess at the latency of an endpoint that was only ever outpaced since its last answer: the time that it
    /// had in all, over the one answer that is still to come. Else an endpoint that hangs would look no slower than the
    /// patience that it is shown.
    pub(crate) fn unanswered(&self) -> Duration {
        self.unanswered
    }

    pub(crate) fn finish(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.waiting = self.waiting.min(self.in_flight);
    }

    /// Other workers began (or, below zero, ended) so many attempts there.
    pub(crate) fn change_elsewhere(&mut self, change: i64) {
        self.elsewhere = u32::try_from((i64::from(self.elsewhere) + change).max(0)).unwrap_or(u32::MAX);
    }

    /// Attempts under way here.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Attempts under way, here and elsewhere.
    pub(crate) fn total(&self) -> u32 {
        self.in_flight.saturating_add(self.elsewhere)
    }

    /// For how long nothing has come back, although something should: a lower bound of the oldest wait, at the price of
    /// two words instead of a list.
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        if self.waiting == 0 { Duration::ZERO } else { now.since(self.silent_since) }
    }

    /// What the estimate comes to when the endpoint has been silent for longer than that: a hung endpoint never
    /// delivers the measurement that would tell.
    pub(crate) fn at_least_silence(&self, now: Instant, predicted: f64, scale: &Scale) -> f64 {
        predicted.max((self.silence(now).as_nanos() as f64).min(scale.failure()))
    }
}

/// A length for people.
pub(crate) fn nanos(length: f64) -> Duration {
    Duration::from_nanos(length as u64)
}

/// A quantile of a stream in constant memory: each sample moves it a step towards itself, as in the "frugal" estimators
/// (Ma, Muthukrishnan, Sandler: "Frugal Streaming for Estimating Quantiles", 2013). Steps are shares of the value, large
/// at first and then a few per cent, so that it follows a service that changes its pace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quantile {
    value: f64,
    samples: u32,
    /// The length of a step up once there were many samples.
    up: f64,
    /// How much shorter the steps down are than those up.
    down: f64,
}

/// Samples from which on every step is the last one's length.
const SETTLED: u32 = 64;

impl Quantile {
    pub(crate) const fn median() -> Self {
        Self { value: 0.0, samples: 0, up: 0.02, down: 1.0 }
    }

    /// What 98 of 100 samples keep to. Its steps are longer, because so few samples lead up to it.
    pub(crate) const fn tail() -> Self {
        Self { value: 0.0, samples: 0, up: 0.1, down: 2.0 / 98.0 }
    }

    pub(crate) fn observe(&mut self, sample: Duration) {
        let sample = sample.as_nanos().max(1) as f64;
        self.samples = self.samples.saturating_add(1);
        if self.samples == 1 {
            self.value = sample;
            return;
        }
        let step = if self.samples < SETTLED { (1.0 / f64::from(self.samples)).max(self.up) } else { self.up };
        // A step never passes the sample, so that a constant stream has a constant quantile.
        self.value = if sample > self.value {
            (self.value * (1.0 + step)).min(sample)
        } else {
            (self.value / (1.0 + step * self.down)).max(sample)
        };
    }

    pub(crate) fn samples(&self) -> u32 {
        self.samples
    }

    /// In nanoseconds, once there was a sample.
    pub(crate) fn nanos(&self) -> Option<f64> {
        (self.samples > 0).then_some(self.value)
    }

    pub(crate) fn get(&self) -> Option<Duration> {
        self.nanos().map(|nanos| Duration::from_nanos(nanos as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEDIAN: f64 = 10e6;

    fn scale() -> Scale {
        Scale { fade: Duration::from_secs(10), median: Some(MEDIAN), step: None, attempt: Duration::from_secs(5) }
    }

    fn at(millis: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(millis)
    }

    fn millis(latency: &Latency, now: Instant) -> f64 {
        latency.predicted(now, &scale()) / 1e6
    }

    #[test]
    fn slower_is_believed_at_once_and_faster_by_and_by() {
        let mut latency = Latency::default();
        latency.observe(at(0), Duration::from_millis(5), &scale());
        latency.observe(at(10), Duration::from_millis(80), &scale());
        assert_eq!(millis(&latency, at(10)), 80.0);
        latency.observe(at(20), Duration::from_millis(5), &scale());
        assert!(millis(&latency, at(20)) > 79.0);
        latency.observe(at(30_020), Duration::from_millis(5), &scale());
        assert!(millis(&latency, at(30_020)) < 6.0);
    }

    #[test]
    fn a_slow_endpoint_that_nobody_asks_returns_to_the_median_and_a_fast_one_stays_fast() {
        let mut latency = Latency::default();
        latency.observe(at(0), Duration::from_millis(500), &scale());
        assert!((100.0..250.0).contains(&millis(&latency, at(10_000))));
        assert!((10.0..10.5).contains(&millis(&latency, at(100_000))));
        let mut fast = Latency::default();
        fast.observe(at(0), Duration::from_millis(2), &scale());
        assert_eq!(millis(&fast, at(100_000)), 2.0);
    }

    #[test]
    fn a_failure_costs_a_whole_attempt_but_ten_medians_at_most() {
        let unknown = Scale { median: None, ..scale() };
        let mut latency = Latency::default();
        latency.penalise(at(0), &unknown);
        assert_eq!(latency.predicted(at(0), &unknown), 5e9);
        assert_eq!(millis(&latency, at(0)), 100.0, "as soon as the median is known");
        let mut slow = Latency::default();
        slow.observe(at(0), Duration::from_millis(400), &scale());
        slow.penalise(at(0), &scale());
        assert_eq!(millis(&slow, at(0)), 400.0, "a failure makes nobody cheaper");
    }

    #[test]
    fn silence_counts_only_while_something_is_waiting() {
        let mut load = Load::default();
        let seen = |load: &Load, now| load.at_least_silence(now, 10e6, &scale()) / 1e6;
        load.begin(at(0));
        assert_eq!(seen(&load, at(5)), 10.0);
        assert_eq!(seen(&load, at(50)), 50.0);
        load.begin(at(60));
        load.reported(at(70), true);
        assert_eq!(seen(&load, at(75)), 10.0, "a head came, so it is alive");
        load.reported(at(80), false);
        load.finish();
        assert_eq!(seen(&load, at(5_000)), 10.0, "a body that streams is no silence");
        load.finish();
        load.finish();
        assert_eq!(load.total(), 0);
    }

    #[test]
    fn the_median_is_found_and_followed() {
        let mut median = Quantile::median();
        assert_eq!(median.get(), None);
        // One in three is a hundred times slower: the median does not care.
        for n in 0..3_000u64 {
            let spread = n * 7 % 11;
            median.observe(Duration::from_millis(if n % 3 == 0 { 2_000 } else { 15 + spread }));
        }
        let got = median.get().unwrap().as_millis();
        assert!((17..=28).contains(&got), "{got}");
        for _ in 0..300 {
            median.observe(Duration::from_millis(2));
        }
        assert!(median.get().unwrap() < Duration::from_millis(3));
    }
}
