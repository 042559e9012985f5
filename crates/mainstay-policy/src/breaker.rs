//! Whether calls may go to a service at all: closed admits, open refuses, half-open lets a few through to find out.
//!
//! It counts *calls*, after their retries, of the whole service; one bad endpoint is the affair of its ejection. In:
//! how each admitted call ended and how long it took, passing active checks, an operator's order. Out: a permit or a
//! refusal, and an event for each change of state with the figures that caused it.
//!
//! - Each change of state begins a new generation, and what was admitted in an earlier one is not counted: calls that
//!   began before an outage was over must not open the breaker again, nor close it.
//! - **Half-open cannot be stuck.** Every permit comes back ([`crate::Call`] records its own when it is dropped), and one
//!   that comes back with [`CallOutcome::Nothing`] makes room for another probe. Breakers that waited for a permit which
//!   a cancelled call had taken along refused for days (resilience4j#903, Polly#216).
//! - **It must not slow recovery.** Half-open ends as soon as the probes that are still out cannot change the verdict, so
//!   one that hangs does not keep everybody else outside; a passing check ends open at once. Probes that fail open it for
//!   as long again and no longer, so however long an outage was, it is found to be over within the time of one opening; it
//!   is open for twice as long only when it had closed and the load of all brought the service down again, for that is
//!   what a longer rest can spare it. And a window tells that it
//!   was bad, not that it still is: after an outage of half a window the share of failures stays at a half while all
//!   goes well again. So it opens only when the latest calls say the same as the window (as alerts want a short window
//!   beside the long one: "The Site Reliability Workbook", chapter 5).
//! - An operator's order stands above everything, and nothing is counted under it. When it is lifted the breaker begins
//!   closed and empty.
//!
//! The pattern is M. Nygard's ("Release It!", 2007); the minimum of calls and the slow-call rate are as in Resilience4j.

use std::collections::VecDeque;

mod words;

use mainstay_core::{Duration, Instant, Ratio};

use crate::{BreakerSettings, window::Window};

/// What a refused caller is told to wait while all probes are out: about as long as they take.
const PROBES_OUT: Duration = Duration::from_millis(100);

/// What a refused caller is told to wait under an order: nobody knows, and a person needs longer than this.
const FORCED: Duration = Duration::from_secs(10);

/// The latest calls, which must be as bad as the window is.
const LATEST: u32 = 16;

/// Events kept until somebody polls them; each method causes one at most.
const EVENTS_MAX: usize = 8;

/// Whether a breaker admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// It admits and counts.
    Closed,
    /// It refuses.
    Open {
        /// When it becomes half-open, unless a check passes before.
        until: Instant,
    },
    /// It lets a few calls through, whose outcomes decide.
    HalfOpen,
    /// It refuses because an operator said so.
    ForcedOpen,
    /// It admits because an operator said so.
    ForcedClosed,
}

/// What an operator wants of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BreakerOrder {
    /// It decides by itself.
    #[default]
    Auto,
    /// It refuses.
    Open,
    /// It admits.
    Closed,
}

/// Leave for one call. It must come back through [`Breaker::record`] exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a permit that is not recorded keeps a half-open breaker from deciding"]
pub struct BreakerPermit {
    generation: u32,
    probe: bool,
}

impl BreakerPermit {
    /// Whether the call is one of those that decide a half-open breaker.
    #[must_use]
    pub const fn probe(self) -> bool {
        self.probe
    }
}

/// A breaker does not let a call through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerRefusal {
    /// When it is worth asking again.
    pub retry_after: Duration,
    /// By an operator's order.
    pub forced: bool,
}

/// What an admitted call says about the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// The service did its work.
    Good,
    /// It did not.
    Failed,
    /// Nothing: we refused the call ourselves, or the caller left. It counts neither way.
    Nothing,
}

/// What was counted when a breaker decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BreakerFigures {
    /// Calls that say something.
    pub calls: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were slow, good or failed.
    pub slow: u64,
}

/// Why a breaker changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerCause {
    /// Too large a share failed, in the window or of the probes.
    FailureRate(BreakerFigures),
    /// Too large a share was slow, in the window or of the probes.
    SlowRate(BreakerFigures),
    /// It was open long enough.
    OpenLongEnough,
    /// An active check passed.
    CheckPassed,
    /// The probes went well.
    ProbesPassed(BreakerFigures),
    /// An operator said so.
    Ordered,
    /// It was switched off.
    SwitchedOff,
}

/// A breaker changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerEvent {
    /// When.
    pub at: Instant,
    /// What it was.
    pub from: BreakerState,
    /// What it is.
    pub to: BreakerState,
    /// Why.
    pub why: BreakerCause,
}

/// The breaker of one service.
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: Option<BreakerSettings>,
    order: BreakerOrder,
    /// Closed while an order stands.
    phase: Phase,
    generation: u32,
    /// Good and failed calls.
    outcomes: Window,
    /// Quick and slow calls.
    speeds: Window,
    latest: Latest,
    /// How long it was last open.
    length: Duration,
    events: VecDeque<BreakerEvent>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed { since: Instant },
    Open { until: Instant },
    HalfOpen(Trial),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Trial {
    out: u32,
    counted: BreakerFigures,
}

/// The latest calls, a bit each.
#[derive(Debug, Clone, Copy, Default)]
struct Latest {
    failed: u16,
    slow: u16,
    calls: u32,
}

impl Latest {
    fn add(&mut self, counted: BreakerFigures) {
        self.failed = self.failed << 1 | u16::from(counted.failed > 0);
        self.slow = self.slow << 1 | u16::from(counted.slow > 0);
        self.calls = (self.calls + 1).min(LATEST);
    }

    fn figures(self) -> BreakerFigures {
        let (failed, slow) = (self.failed.count_ones(), self.slow.count_ones());
        BreakerFigures { calls: self.calls.into(), failed: failed.into(), slow: slow.into() }
    }
}

impl Breaker {
    /// A closed breaker that has counted nothing; without settings it stays closed unless an operator orders otherwise.
    #[must_use]
    pub fn new(settings: Option<&BreakerSettings>) -> Self {
        let window = Window::new(settings.map_or(Duration::ZERO, |settings| settings.window));
        Self {
            settings: settings.cloned(),
            order: BreakerOrder::Auto,
            phase: Phase::Closed { since: Instant::ORIGIN },
            generation: 0,
            outcomes: window.clone(),
            speeds: window,
            latest: Latest::default(),
            length: Duration::ZERO,
            events: VecDeque::with_capacity(EVENTS_MAX),
        }
    }

    /// Changes the settings. What was counted, the state and an operator's order stay.
    pub fn configure(&mut self, now: Instant, settings: Option<&BreakerSettings>) {
        self.settings = settings.cloned();
        let Some(settings) = settings else {
            self.forget();
            if !matches!(self.phase, Phase::Closed { .. }) {
                self.change(now, Phase::Closed { since: now }, BreakerCause::SwitchedOff);
            }
            return;
        };
        self.outcomes.set_length(now, settings.window);
        self.speeds.set_length(now, settings.window);
        if let Phase::Open { until } = &mut self.phase {
            *until = (*until).min(now + settings.open_max);
        }
        // Fewer probes may be wanted now than have been counted.
        self.judge_probes(now);
    }

    /// Asks for leave for one call.
    ///
    /// # Errors
    /// [`BreakerRefusal`] while it is open, or half-open with all its probes out.
    pub fn admit(&mut self, now: Instant) -> Result<BreakerPermit, BreakerRefusal> {
        match self.state(now) {
            BreakerState::Closed | BreakerState::ForcedClosed => {
                Ok(BreakerPermit { generation: self.generation, probe: false })
            }
            BreakerState::HalfOpen => self.admit_probe(),
            BreakerState::Open { until } => Err(BreakerRefusal { retry_after: until.since(now), forced: false }),
            BreakerState::ForcedOpen => Err(BreakerRefusal { retry_after: FORCED, forced: true }),
        }
    }

    fn admit_probe(&mut self) -> Result<BreakerPermit, BreakerRefusal> {
        let wanted = self.probes_wanted();
        match &mut self.phase {
            Phase::HalfOpen(trial) if u64::from(trial.out) + trial.counted.calls < wanted => {
                trial.out += 1;
                Ok(BreakerPermit { generation: self.generation, probe: true })
            }
            _ => Err(BreakerRefusal { retry_after: PROBES_OUT, forced: false }),
        }
    }

    /// Takes a permit back and counts how its call ended and that it `took` so long. True when that has closed it: the
    /// service is back.
    pub fn record(&mut self, now: Instant, permit: BreakerPermit, outcome: CallOutcome, took: Duration) -> bool {
        let before = self.generation;
        self.count(now, permit, outcome, took);
        self.generation != before && matches!(self.phase, Phase::Closed { .. })
    }

    fn count(&mut self, now: Instant, permit: BreakerPermit, outcome: CallOutcome, took: Duration) {
        let Some(settings) = &self.settings else { return };
        if permit.generation != self.generation || self.order != BreakerOrder::Auto {
            return;
        }
        let counted = match outcome {
            CallOutcome::Nothing => BreakerFigures::default(),
            CallOutcome::Good | CallOutcome::Failed => BreakerFigures {
                calls: 1,
                failed: (outcome == CallOutcome::Failed).into(),
                slow: settings.slow_call.is_some_and(|slow| took >= slow).into(),
            },
        };
        match self.phase {
            Phase::Closed { .. } => self.record_call(now, counted),
            Phase::HalfOpen(_) => self.record_probe(now, counted),
            Phase::Open { .. } => {}
        }
    }

    fn record_call(&mut self, now: Instant, counted: BreakerFigures) {
        let Some(settings) = &self.settings else { return };
        if counted.calls == 0 {
            return;
        }
        self.outcomes.add(now, counted.calls - counted.failed, counted.failed);
        let (good, failed) = self.outcomes.totals(now);
        let mut slow = 0;
        if settings.slow_call.is_some() {
            self.speeds.add(now, counted.calls - counted.slow, counted.slow);
            slow = self.speeds.totals(now).1;
        }
        self.latest.add(counted);
        let figures = BreakerFigures { calls: good + failed, failed, slow };
        if figures.calls < u64::from(settings.minimum_calls) || tripped(settings, self.latest.figures()).is_none() {
            return;
        }
        if let Some(why) = tripped(settings, figures) {
            self.open(now, why);
        }
    }

    fn record_probe(&mut self, now: Instant, counted: BreakerFigures) {
        let Phase::HalfOpen(trial) = &mut self.phase else { return };
        trial.out = trial.out.saturating_sub(1);
        trial.counted.calls += counted.calls;
        trial.counted.failed += counted.failed;
        trial.counted.slow += counted.slow;
        self.judge_probes(now);
    }

    /// Decides a half-open breaker once the outcomes that are still wanted could not change the verdict.
    fn judge_probes(&mut self, now: Instant) {
        let (Some(settings), Phase::HalfOpen(Trial { counted, .. })) = (&self.settings, self.phase) else { return };
        let wanted = self.probes_wanted().max(counted.calls);
        let missing = wanted - counted.calls;
        let best = BreakerFigures { calls: wanted, ..counted };
        let worst = BreakerFigures { calls: wanted, failed: counted.failed + missing, slow: counted.slow + missing };
        match tripped(settings, best) {
            Some(BreakerCause::SlowRate(_)) => self.open(now, BreakerCause::SlowRate(counted)),
            Some(_) => self.open(now, BreakerCause::FailureRate(counted)),
            None if tripped(settings, worst).is_none() => {
                self.forget();
                self.change(now, Phase::Closed { since: now }, BreakerCause::ProbesPassed(counted));
            }
            None => {}
        }
    }

    /// An active check of the service passed: an open breaker becomes half-open at once.
    pub fn check_passed(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Open { .. }) {
            self.change(now, Phase::HalfOpen(Trial::default()), BreakerCause::CheckPassed);
        }
    }

    /// Carries out an operator's order. One that stands already changes nothing.
    pub fn order(&mut self, now: Instant, order: BreakerOrder) {
        if order == self.order {
            return;
        }
        let from = self.shown();
        self.order = order;
        self.phase = Phase::Closed { since: now };
        self.forget();
        self.tell(now, from, BreakerCause::Ordered);
    }

    /// What it does with a call at `now`.
    pub fn state(&mut self, now: Instant) -> BreakerState {
        if let Phase::Open { until } = self.phase
            && until <= now
        {
            self.change(now, Phase::HalfOpen(Trial::default()), BreakerCause::OpenLongEnough);
        }
        self.shown()
    }

    /// Whether it admits, whatever time it is.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.shown(), BreakerState::Closed | BreakerState::ForcedClosed)
    }

    /// The next change of state that nobody has been told of; the oldest are lost when nobody asks.
    pub fn poll_event(&mut self) -> Option<BreakerEvent> {
        self.events.pop_front()
    }

    fn shown(&self) -> BreakerState {
        match (self.order, self.phase) {
            (BreakerOrder::Open, _) => BreakerState::ForcedOpen,
            (BreakerOrder::Closed, _) => BreakerState::ForcedClosed,
            (BreakerOrder::Auto, Phase::Closed { .. }) => BreakerState::Closed,
            (BreakerOrder::Auto, Phase::Open { until }) => BreakerState::Open { until },
            (BreakerOrder::Auto, Phase::HalfOpen(_)) => BreakerState::HalfOpen,
        }
    }

    fn open(&mut self, now: Instant, why: BreakerCause) {
        let Some(settings) = &self.settings else { return };
        let length = match self.phase {
            // A whole window in the closed state: every call that counts now was made after the last trouble.
            Phase::Closed { since } if now.since(since) >= settings.window => Duration::ZERO,
            Phase::Closed { .. } => self.length.saturating_mul(2),
            Phase::HalfOpen(_) | Phase::Open { .. } => self.length,
        };
        self.length = length.max(settings.open_for).min(settings.open_max);
        self.change(now, Phase::Open { until: now + self.length }, why);
    }

    fn change(&mut self, now: Instant, to: Phase, why: BreakerCause) {
        let from = self.shown();
        self.phase = to;
        self.tell(now, from, why);
    }

    /// Begins a new generation and keeps the news.
    fn tell(&mut self, now: Instant, from: BreakerState, why: BreakerCause) {
        self.generation = self.generation.wrapping_add(1);
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(BreakerEvent { at: now, from, to: self.shown(), why });
    }

    fn forget(&mut self) {
        self.outcomes.reset();
        self.speeds.reset();
        self.latest = Latest::default();
    }

    fn probes_wanted(&self) -> u64 {
        self.settings.as_ref().map_or(1, |settings| settings.half_open_calls.max(1).into())
    }
}

/// Why `figures` are too bad, if they are. A rate of nothing is one that a single call reaches.
fn tripped(settings: &BreakerSettings, figures: BreakerFigures) -> Option<BreakerCause> {
    let reached = |rate: Ratio, part| part > 0 && rate.is_reached_by(part, figures.calls);
    if settings.failure_rate.is_some_and(|rate| reached(rate, figures.failed)) {
        return Some(BreakerCause::FailureRate(figures));
    }
    let slow = settings.slow_call.is_some() && reached(settings.slow_rate, figures.slow);
    slow.then_some(BreakerCause::SlowRate(figures))
}

#[cfg(test)]
mod tests;
