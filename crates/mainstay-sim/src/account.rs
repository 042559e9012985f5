//! What is counted while a scenario is played: of each call once, when it is over, under the second in which it was due.

use std::collections::BTreeMap;

use mainstay_config::scenario::Scenario;
use mainstay_core::{Duration, Instant, Origin};
use mainstay_policy::Refusal;

use crate::hist::Histogram;
use crate::report::{Event, Second};
use crate::verdict::{STEP, Step};

/// Events that are kept; a fleet that flaps for an hour has more, and nobody reads them.
const EVENTS_MAX: usize = 2_000;
const SECOND: u64 = 1_000_000_000;

/// What became of a call that was not good.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Failed {
    /// An instance's answer, with this status.
    Answered(u16),
    /// 200, and false.
    False,
    /// We refused it, or every attempt failed.
    Refused(Refusal),
    /// A fixed answer stood in, with this status.
    Fixed(u16),
    /// Its caller had no answer in time.
    Left,
    /// No gateway was there.
    Nobody,
}

impl Failed {
    /// Whether it was our own doing.
    fn is_ours(self) -> bool {
        match self {
            Self::Refused(Refusal::RateLimited) => true,
            Self::Refused(refusal) => refusal.origin() == Origin::Us,
            _ => false,
        }
    }

    /// What tells it from others, without a word of its own for each call.
    fn kind(self) -> Kind {
        match self {
            Self::Answered(status) => (0, status, ""),
            Self::False => (1, 0, "false answer"),
            Self::Fixed(_) => (2, 0, "fixed answer"),
            Self::Left => (3, 0, "no answer in time"),
            Self::Nobody => (4, 0, "no gateway"),
            Self::Refused(refusal) => (5, 0, refusal.as_str()),
        }
    }
}

/// Its place in the list, a status where it has one, and else its words.
type Kind = (u8, u16, &'static str);

/// What a report calls it.
pub(crate) fn words((_, status, words): Kind) -> String {
    if words.is_empty() { format!("answered {status}") } else { words.to_owned() }
}

/// What everything looks like at the end of a second.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    pub(crate) in_flight: u64,
    pub(crate) usable: u64,
    pub(crate) running: Option<u64>,
    pub(crate) breakers: Vec<String>,
}

/// The sums of some callers' calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) good: u64,
    pub(crate) attempts: u64,
    pub(crate) latencies: Histogram,
}

impl Tally {
    fn good(&mut self, length: Duration) {
        self.good += 1;
        self.latencies.count(length);
    }
}

/// The books.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Nothing before is counted.
    begins: Instant,
    /// The longest that a call can take: then a second is closed.
    patience: Duration,
    pub(crate) all: Tally,
    /// By workload; nothing where there is one, which has all.
    pub(crate) of_workload: Vec<Tally>,
    pub(crate) failures: BTreeMap<Kind, u64>,
    pub(crate) steps: Vec<Step>,
    pub(crate) seconds: Vec<Second>,
    of_second: Vec<Histogram>,
    /// Seconds before this one are closed.
    closed: usize,
    pub(crate) work: Duration,
    pub(crate) wasted: Duration,
    pub(crate) duplicated: u64,
    pub(crate) events: Vec<Event>,
    /// No fault has begun yet.
    calm: bool,
    pub(crate) ended: Instant,
}

impl Ledger {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let patience = scenario.workloads.iter().map(|workload| workload.deadline).max();
        let several = if scenario.workloads.len() > 1 { scenario.workloads.len() } else { 0 };
        Self {
            begins: Instant::ORIGIN + scenario.warmup,
            patience: patience.unwrap_or_default(),
            all: Tally::default(),
            of_workload: vec![Tally::default(); several],
            failures: BTreeMap::new(),
            steps: Vec::new(),
            seconds: Vec::new(),
            of_second: Vec::new(),
            closed: 0,
            work: Duration::ZERO,
            wasted: Duration::ZERO,
            duplicated: 0,
            events: Vec::new(),
            calm: true,
            ended: Instant::ORIGIN,
        }
    }

    fn counts(&self, at: Instant) -> bool {
        at >= self.begins
    }

    fn second_of(&mut self, at: Instant) -> usize {
        let place = (at.as_nanos() / SECOND) as usize;
        while self.seconds.len() <= place {
            self.seconds.push(Second { second: self.seconds.len() as u64, ..Second::default() });
            self.of_second.push(Histogram::default());
        }
        place
    }

    fn step_of(&mut self, at: Instant) -> &mut Step {
        let place = (at.as_nanos() / STEP.as_nanos()) as usize;
        if self.steps.len() <= place {
            self.steps.resize(place + 1, Step::default());
        }
        &mut self.steps[place]
    }

    /// Counts something of all calls, and of those of a workload.
    fn tally(&mut self, workload: u16, mut count: impl FnMut(&mut Tally)) {
        count(&mut self.all);
        if let Some(own) = self.of_workload.get_mut(usize::from(workload)) {
            count(own);
        }
    }

    /// A call is due.
    pub(crate) fn due(&mut self, now: Instant, workload: u16) {
        let second = self.second_of(now);
        self.seconds[second].requests += 1;
        self.step_of(now).due += 1;
        if self.counts(now) {
            self.tally(workload, |tally| tally.requests += 1);
        }
    }

    /// A call is over.
    pub(crate) fn over(&mut self, due: Instant, now: Instant, workload: u16, good: bool, failed: Failed) {
        let second = self.second_of(due);
        if good {
            let length = now.since(due);
            self.seconds[second].good += 1;
            self.of_second[second].count(length);
            self.step_of(due).good += 1;
            if self.counts(due) {
                self.tally(workload, |tally| tally.good(length));
            }
            return;
        }
        self.seconds[second].refused += u64::from(failed.is_ours());
        if self.counts(due) {
            *self.failures.entry(failed.kind()).or_default() += 1;
        }
    }

    /// An attempt is made, of a caller's call to a workload, or of one that an instance makes.
    pub(crate) fn attempt(&mut self, now: Instant, retry: bool, workload: Option<u16>) {
        let second = self.second_of(now);
        self.seconds[second].attempts += 1;
        self.seconds[second].retries += u64::from(retry);
        // Amplification is told of the callers' own calls; what they cause further down stands in the instances' lines.
        if let Some(workload) = workload.filter(|_| self.counts(now)) {
            self.tally(workload, |tally| tally.attempts += 1);
        }
    }

    /// Work has come to an end, and somebody waited for it or not.
    pub(crate) fn worked(&mut self, work: Duration, wanted: bool) {
        self.work = self.work + work;
        if !wanted {
            self.wasted = self.wasted + work;
        }
    }

    /// A request that must not be repeated was.
    pub(crate) fn duplicated(&mut self) {
        self.duplicated += 1;
    }

    pub(crate) fn event(&mut self, now: Instant, what: String) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(Event { second: seconds(now), what });
        }
    }

    /// A fault begins: from now on nothing is calm.
    pub(crate) fn stir(&mut self) {
        self.calm = false;
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm
    }

    /// A second is over.
    pub(crate) fn second(&mut self, now: Instant, sample: Sample) {
        let place = self.second_of(now - Duration::from_nanos(1));
        let second = &mut self.seconds[place];
        (second.in_flight, second.usable) = (sample.in_flight, sample.usable);
        (second.running, second.breakers) = (sample.running, sample.breakers);
        // What is due in a second has ended when the longest patience after it has.
        let whole = (now.since(Instant::ORIGIN + self.patience).as_nanos() / SECOND) as usize;
        self.settle(whole.saturating_sub(1));
    }

    fn settle(&mut self, before: usize) {
        while self.closed < before.min(self.seconds.len()) {
            let histogram = &mut self.of_second[self.closed];
            let second = &mut self.seconds[self.closed];
            second.p50_ms = histogram.quantile(0.5).map(millis);
            second.p99_ms = histogram.quantile(0.99).map(millis);
            histogram.forget();
            self.closed += 1;
        }
    }

    /// Everything is over.
    pub(crate) fn close(&mut self, now: Instant) {
        self.settle(usize::MAX);
        self.ended = now;
    }
}

/// Milliseconds, in thousandths.
pub(crate) fn millis(length: Duration) -> f64 {
    (length.as_nanos() as f64 / 1e3).round() / 1e3
}

/// Seconds since the beginning, in thousandths.
pub(crate) fn seconds(at: Instant) -> f64 {
    (at.as_nanos() as f64 / 1e6).round() / 1e3
}
