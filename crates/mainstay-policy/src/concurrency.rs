//! How much may run at once: the limit under the ceiling, found from how long answers take.
//!
//! In: what attempts measured (how long an answer took to its head, how many attempts were in flight when it was asked
//! for), a window at a time. Out: the limit. Nothing is ever held back in order to measure.
//!
//! **gradient**, the default, after the idea of Netflix's concurrency-limits: what answers take now is compared with what
//! they took over a long time. While they take no more than is tolerated, a limit that is in use grows. When they take
//! longer, the limit goes to what the service carries in the tolerated time. By Little's law (J. Little, 1961) a service
//! that answers in `latency` while `in_flight` are under way carries `in_flight × tolerated / latency` of them in the
//! tolerated time; because each latency is paired with what was in flight when its own attempt began, a queue that is
//! already there does not make the limit overshoot. On top comes a slack of four times the square root of the limit: what
//! keeps a busy station busy although arrivals are random (S. Halfin, W. Whitt, 1981).
//!
//! - **No ratchet.** A limit that is not half used does not change, unless most attempts are given up for their time. Answers that are slow for another reason than ours
//!   (a new version, a slow database) must not starve a service: when fewer in flight do not make answers quicker, or more
//!   do not make them slower, then they do not wait for each other, and the long-term latency follows at once. Under a
//!   long overload the limit is lifted by a half for a moment every two seconds, so that this is noticed; load is never
//!   taken away for it (as Envoy does, envoy#8337).
//! - **One bad endpoint is not overload.** The latency of a window is its median over all endpoints: one limping or hung
//!   endpoint of four, to which the balancer sends less than its share, does not move it. Quick failures say nothing of
//!   how long answers take and are left out. An attempt that was given up for its time counts with the time it had.
//! - **Small waits are no overload.** 20 ms more than usual are always tolerated: nobody is refused for them.
//!
//! **aimd** and **vegas** are those of concurrency-limits over the same windows: additive increase, and a tenth less when
//! most attempts are given up; a queue of a few times the logarithm of the limit against the shortest latency seen. Both
//! take small steps, so they need many seconds for what `gradient` does in two windows
//! (`docs/decisions/` has the figures).
//!
//! **Workers.** Each collects [`Samples`] of its own; every few milliseconds it hands them over to the one
//! [`Concurrency`] of the node, which closes a window when it is full. So there is one limit, found from all samples, and
//! an attempt touches memory of its own worker only.

use mainstay_core::{Duration, Instant, Limit};

use crate::Adaptive;

/// The lowest limit, unless the ceiling is lower: few enough to protect any service, enough for its bursts.
const FLOOR: u32 = 64;
/// The limit before anything is known, unless the ceiling is lower.
const START: u32 = 1024;

/// A window lasts at least so long...
const WINDOW: Duration = Duration::from_millis(100);
/// ...and has so many samples, unless it is old.
const SAMPLES: u32 = 50;
/// A window is old after this; with fewer than [`SAMPLES_MIN`] it says nothing.
const WINDOW_OLD: Duration = Duration::from_secs(1);
const SAMPLES_MIN: u32 = 10;

/// Answers may take this many times as long as over the long term...
const TOLERANCE: f64 = 2.0;
/// ...and always so many nanoseconds longer.
const TOLERATED: f64 = 20e6;
/// How far one window moves the limit towards what it says.
const SMOOTHING: f64 = 0.5;

/// When most are given up for their time, no more is carried than this share of what was in flight.
const BLIND: f64 = 0.5;

/// The long-term latency falls to shorter ones with this time constant...
const FALL: Duration = Duration::from_secs(2);
/// ...rises to longer ones with this one while the limit is not the reason...
const RISE: Duration = Duration::from_secs(60);
/// ...and with this one while it may be.
const RISE_BUSY: Duration = Duration::from_secs(600);

/// When so much less (or its inverse more) was in flight, the latencies are compared.
const LESS: f64 = 0.75;
/// Congested windows from one look upwards to the next, and how many of them a look lasts.
const LOOK_EVERY: u32 = 20;
const LOOK_FOR: u32 = 3;
/// How far up it looks.
const LOOK_UP: f64 = 1.5;

/// What an attempt says of how long answers take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// The head of an answer came after so long.
    Answered(Duration),
    /// It was given up after so long.
    GivenUp(Duration),
}

/// The smallest latency that is told from none, as a power of two of nanoseconds: 16 µs.
const FIRST: u32 = 14;
/// Steps in each power of two.
const STEPS: usize = 8;
/// Up to 2³⁸ ns, four and a half minutes.
const BUCKETS: usize = 24 * STEPS;

/// What one worker has measured since it told the others.
#[derive(Debug, Clone)]
pub struct Samples {
    latencies: [u32; BUCKETS],
    count: u32,
    given_up: u32,
    in_flight: u64,
    peak: u32,
}

impl Default for Samples {
    fn default() -> Self {
        Self { latencies: [0; BUCKETS], count: 0, given_up: 0, in_flight: 0, peak: 0 }
    }
}

impl Samples {
    /// An attempt told how long it took; `in_flight` were under way when it began, itself included.
    pub fn add(&mut self, in_flight: u32, sample: Sample) {
        let (Sample::Answered(latency) | Sample::GivenUp(latency)) = sample;
        self.latencies[bucket(latency)] += 1;
        self.count += 1;
        self.given_up += u32::from(matches!(sample, Sample::GivenUp(_)));
        self.in_flight += u64::from(in_flight);
    }

    /// So many are under way now.
    pub fn saw(&mut self, in_flight: u32) {
        self.peak = self.peak.max(in_flight);
    }

    fn take(&mut self, other: &mut Self) {
        for (mine, theirs) in self.latencies.iter_mut().zip(&other.latencies) {
            *mine += theirs;
        }
        self.count += other.count;
        self.given_up += other.given_up;
        self.in_flight += other.in_flight;
        self.peak = self.peak.max(other.peak);
        *other = Self::default();
    }

    fn is_empty(&self) -> bool {
        self.count == 0 && self.peak == 0
    }

    /// The median in nanoseconds, within a few per cent.
    fn median(&self) -> f64 {
        let half = f64::from(self.count) / 2.0;
        let mut below = 0.0;
        for (index, count) in self.latencies.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = f64::from(*count);
            if below + count >= half {
                let (from, to) = (bound(index), bound(index + 1));
                return from + (to - from) * (half - below) / count;
            }
            below += count;
        }
        0.0
    }

    fn reading(&self) -> Reading {
        Reading {
            latency: self.median(),
            in_flight: self.in_flight as f64 / f64::from(self.count.max(1)),
            peak: self.peak,
            samples: self.count,
            given_up: self.given_up,
        }
    }
}

fn bucket(latency: Duration) -> usize {
    let nanos = latency.as_nanos().max(1 << FIRST);
    let power = nanos.ilog2();
    let step = (nanos >> (power - 3)) as usize % STEPS;
    ((power - FIRST) as usize * STEPS + step).min(BUCKETS - 1)
}

/// The least that falls into a bucket, in nanoseconds.
fn bound(index: usize) -> f64 {
    let (power, step) = (FIRST + (index / STEPS) as u32, index % STEPS);
    (1_u64 << power) as f64 * (1.0 + step as f64 / STEPS as f64)
}

/// What the samples of one window come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// The median time to a head, in nanoseconds; what was given up counts with the time that it had.
    pub latency: f64,
    /// How many were in flight when these began, on average.
    pub in_flight: f64,
    /// How many were in flight at most.
    pub peak: u32,
    /// Attempts that said how long they took.
    pub samples: u32,
    /// Those of them that were given up.
    pub given_up: u32,
}

impl Reading {
    /// Most did not even get an answer: their latency is not known but for being long.
    fn is_blind(&self) -> bool {
        self.given_up.saturating_mul(2) >= self.samples
    }
}

/// Finds the limit of one service on one node.
#[derive(Debug)]
pub struct Concurrency {
    rule: Adaptive,
    ceiling: u32,
    limit: f64,
    gathered: Samples,
    opened: Option<Instant>,
    /// What answers take over the long term (the shortest that they took, for vegas), in nanoseconds.
    usual: Option<f64>,
    /// In flight and latency of an earlier congested window, to compare with.
    mark: Option<(f64, f64)>,
    /// Congested windows in a row.
    congested: u32,
}

impl Concurrency {
    /// Nothing known yet.
    #[must_use]
    pub fn new(rule: Adaptive, ceiling: Limit<u32>) -> Self {
        let ceiling = whole(ceiling);
        Self {
            rule,
            ceiling,
            limit: start(rule, ceiling),
            gathered: Samples::default(),
            opened: None,
            usual: None,
            mark: None,
            congested: 0,
        }
    }

    /// Follows other settings. A limit that was learned stays.
    pub fn configure(&mut self, rule: Adaptive, ceiling: Limit<u32>) {
        let ceiling = whole(ceiling);
        if rule != self.rule || self.limit >= f64::from(self.ceiling) {
            self.limit = start(rule, ceiling);
        }
        if rule != self.rule {
            (self.usual, self.mark, self.congested) = (None, None, 0);
        }
        (self.rule, self.ceiling) = (rule, ceiling);
        self.keep_within();
    }

    /// The ceiling.
    #[must_use]
    pub fn ceiling(&self) -> u32 {
        self.ceiling
    }

    /// The limit; `u32::MAX` is none.
    #[must_use]
    pub fn limit(&self) -> u32 {
        if self.rule == Adaptive::Off { self.ceiling } else { self.limit as u32 }
    }

    /// Takes a worker's samples and leaves none behind. When they fill a window, the limit moves.
    pub fn gather(&mut self, now: Instant, samples: &mut Samples) {
        if self.rule == Adaptive::Off {
            *samples = Samples::default();
            return;
        }
        if samples.is_empty() {
            return;
        }
        let opened = *self.opened.get_or_insert(now);
        self.gathered.take(samples);
        let age = now.since(opened);
        let is_full = age >= WINDOW && self.gathered.count >= SAMPLES;
        if !is_full && age < WINDOW_OLD {
            return;
        }
        if self.gathered.count >= SAMPLES_MIN {
            self.learn(age, &self.gathered.reading());
        }
        self.gathered = Samples::default();
        self.opened = Some(now);
    }

    /// What a window of length `lasted` says.
    pub fn learn(&mut self, lasted: Duration, window: &Reading) {
        match self.rule {
            Adaptive::Off => {}
            Adaptive::Gradient => self.gradient(lasted, window),
            Adaptive::Aimd => self.aimd(window),
            Adaptive::Vegas => self.vegas(window),
        }
        self.keep_within();
    }

    fn gradient(&mut self, lasted: Duration, window: &Reading) {
        let usual = *self.usual.get_or_insert(window.latency);
        let tolerated = (usual * TOLERANCE).max(usual + TOLERATED);
        let is_busy = self.is_used(window);
        if window.is_blind() {
            // Callers whose deadlines are short give up before half of a high limit is ever used.
            let carried = window.in_flight * (tolerated / window.latency).min(BLIND) + slack(self.limit);
            (self.mark, self.congested) = (None, 0);
            self.approach(carried.min(self.limit));
            return;
        }
        if window.latency <= tolerated || !is_busy {
            (self.mark, self.congested) = (None, 0);
            self.remember(lasted, window.latency, is_busy);
            if is_busy {
                self.limit += slack(self.limit);
            }
            return;
        }
        self.congested += 1;
        if self.is_not_ours(window) {
            self.usual = Some(usual.max(window.latency / TOLERANCE));
            self.mark = None;
            return;
        }
        let carried = window.in_flight * tolerated / window.latency + slack(self.limit);
        self.approach(carried);
        let turn = self.congested % LOOK_EVERY;
        if turn == 0 {
            self.limit *= LOOK_UP;
        } else if turn < LOOK_FOR && self.congested > LOOK_EVERY {
            self.limit = self.limit.max(carried * LOOK_UP);
        }
    }

    fn approach(&mut self, carried: f64) {
        self.limit += (carried - self.limit) * SMOOTHING;
    }

    /// Whether answers are as slow with fewer in flight, or no slower with more: then they do not wait for each other.
    fn is_not_ours(&mut self, window: &Reading) -> bool {
        let Some((in_flight, latency)) = self.mark else {
            self.mark = Some((window.in_flight, window.latency));
            return false;
        };
        let share = window.in_flight / in_flight;
        if (LESS..1.0 / LESS).contains(&share) {
            return false;
        }
        // In a queue the latency goes with what is in flight; else it stays. The border is half way between.
        let half_way = f64::midpoint(1.0, share);
        let change = window.latency / latency;
        self.mark = Some((window.in_flight, window.latency));
        if share < 1.0 { change > half_way } else { change < half_way }
    }

    fn remember(&mut self, lasted: Duration, latency: f64, is_busy: bool) {
        let Some(usual) = self.usual else { return };
        let tau = match (latency < usual, is_busy) {
            (true, _) => FALL,
            (false, false) => RISE,
            (false, true) => RISE_BUSY,
        };
        self.usual = Some(latency + (usual - latency) * mainstay_core::math::decay(lasted, tau));
    }

    fn aimd(&mut self, window: &Reading) {
        if window.is_blind() {
            self.limit *= 0.9;
        } else if self.is_used(window) {
            self.limit += 1.0;
        }
    }

    fn vegas(&mut self, window: &Reading) {
        if window.is_blind() {
            self.limit -= log10(self.limit);
            return;
        }
        let shortest = self.usual.map_or(window.latency, |shortest| shortest.min(window.latency));
        self.usual = Some(shortest);
        if !self.is_used(window) {
            return;
        }
        let queue = (self.limit * (1.0 - shortest / window.latency)).ceil();
        let step = log10(self.limit);
        if queue <= step {
            self.limit += 6.0 * step;
        } else if queue < 3.0 * step {
            self.limit += step;
        } else if queue > 6.0 * step {
            self.limit -= step;
        }
    }

    fn is_used(&self, window: &Reading) -> bool {
        f64::from(window.peak) * 2.0 >= self.limit
    }

    fn keep_within(&mut self) {
        self.limit = self.limit.max(f64::from(FLOOR)).min(f64::from(self.ceiling));
    }
}

fn whole(ceiling: Limit<u32>) -> u32 {
    match ceiling {
        Limit::Unlimited => u32::MAX,
        Limit::At(ceiling) => ceiling,
    }
}

fn start(rule: Adaptive, ceiling: u32) -> f64 {
    f64::from(if rule == Adaptive::Off { ceiling } else { ceiling.min(START) })
}

/// What may be in flight beyond what is carried in the tolerated time.
fn slack(limit: f64) -> f64 {
    4.0 * limit.sqrt()
}

/// The whole decimal logarithm, at least 1, as concurrency-limits takes it.
fn log10(limit: f64) -> f64 {
    f64::from((limit as u32).checked_ilog10().unwrap_or(0).max(1))
}

#[cfg(test)]
mod tests;
