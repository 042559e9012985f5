//! Whether one endpoint takes calls: one state, with active checks, passive observation and an operator as its causes.
//!
//! In: outcomes of attempts and of checks, orders, and the time. Out: ready, ejected, probing or draining, with the
//! cause and, where time ends it, the end.
//!
//! How an ejection ends depends on what is known of it:
//!
//! - an operator's ends by an operator;
//! - failed checks end by passing ones: `healthy_threshold` in a row, or a single one when the endpoint had refused
//!   connections in the meantime or never passed before. A process that refused and now answers is another process;
//!   what the old one did wrong, in its answers too, does not count against it;
//! - failures that were not sent (refused, unreachable, connect timeout) end with the first passing check, because a
//!   check shows just what had been missing: a connection;
//! - bad answers end only by a good probe, since an instance may pass its checks and fail its work. So does every passive
//!   ejection where nothing checks. When its time is over, one call at a time is risked: an idempotent one that can be
//!   repeated elsewhere, or any call once no such call has come for as long as the ejection lasted (a service that only
//!   knows POST must get its endpoints back too).
//!
//! Each ejection lasts twice as long as the one before, up to a maximum; for each such maximum that the endpoint then
//! stays in, one doubling is forgotten. Nor does what grew while the whole service was out say anything of an endpoint: when
//! that is over, which the breaker finds out, the time of each ejection ends at once.
//!
//! The idea of passive ejection with growing times is Envoy's outlier detection. There an active check un-ejects
//! whatever the cause; here it does not, for the reason above.

mod words;

pub use words::{Cause, EndpointState, Order, Recovery};

use mainstay_core::{Duration, Failure, Instant};

use crate::recording::coded;
use crate::{CheckFailure, CheckResult, HealthSettings, OutlierSettings, Window};

/// A passive ejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ejection {
    pub(crate) cause: Cause,
    pub(crate) since: Instant,
    pub(crate) until: Instant,
    /// No failure behind it reached the endpoint, so a check can tell when it is over.
    pub(crate) not_sent: bool,
}

coded! { struct Ejection { cause, since, until, not_sent } }

/// A reason for a passive ejection, which the fleet allows or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Suspicion {
    cause: Cause,
    not_sent: bool,
}

/// A failed attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed {
    pub(crate) probe: bool,
    pub(crate) failure: Failure,
    /// Nothing of it reached the endpoint.
    pub(crate) not_sent: bool,
    pub(crate) began: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passive {
    In,
    Ejected(Ejection),
    Probing(Ejection),
}

/// What active checks have found.
#[derive(Debug, Clone, Copy, Default)]
struct Checks {
    /// The last failure, while they keep the endpoint out.
    failing: Option<CheckFailure>,
    passes: u32,
    failures: u32,
    has_passed: bool,
    /// A connection was refused or failed since the last pass.
    had_no_connection: bool,
}

/// What attempts have found.
#[derive(Debug, Clone)]
struct Outcomes {
    /// Failures before a head since the last good one.
    failed: u32,
    /// Answers that broke off after their head since the last that was whole.
    broken: u32,
    /// One of the failures in a row reached the endpoint.
    reached: bool,
    last_reached: Option<Instant>,
    /// Failed attempts that are not finished yet: their end is no whole answer.
    failed_open: u32,
    /// Attempts in the place of the good, failures among them in the place of the bad: an answer that breaks off after
    /// its head makes a failure of an attempt that is counted already.
    window: Window,
}

/// How an endpoint stands, as far as anything follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) state: EndpointState,
    /// The passive ejection, also while its end is being probed.
    pub(crate) ejection: Option<Ejection>,
    pub(crate) is_ordered_out: bool,
}

/// The state of one endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Availability {
    order: Order,
    checks: Checks,
    passive: Passive,
    outcomes: Outcomes,
    /// How often the next ejection's time is doubled.
    doublings: u32,
    in_since: Instant,
    probe_taken: bool,
    /// Probes whose outcome is known and that still run.
    probes_open: u32,
}

impl Availability {
    pub(crate) fn new(now: Instant, outlier: Option<&OutlierSettings>) -> Self {
        let window = outlier.map_or(Duration::from_secs(10), |outlier| outlier.window);
        Self {
            order: Order::Ready,
            checks: Checks::default(),
            passive: Passive::In,
            outcomes: Outcomes {
                failed: 0,
                broken: 0,
                reached: false,
                last_reached: None,
                failed_open: 0,
                window: Window::new(window),
            },
            doublings: 0,
            in_since: now,
            probe_taken: false,
            probes_open: 0,
        }
    }

    pub(crate) fn state(&self) -> EndpointState {
        match (self.order, self.checks.failing, self.passive) {
            (Order::Draining, ..) => EndpointState::Draining,
            (Order::Ejected, ..) | (_, Some(_), _) | (.., Passive::Ejected(_)) => EndpointState::Ejected,
            (.., Passive::Probing(_)) => EndpointState::Probing,
            (.., Passive::In) => EndpointState::Ready,
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        Standing { state: self.state(), ejection: self.ejection(), is_ordered_out: self.is_ordered_out() }
    }

    /// Why it is not ready.
    pub(crate) fn cause(&self) -> Option<Cause> {
        if self.order != Order::Ready {
            return Some(Cause::Operator);
        }
        self.checks.failing.map(Cause::Check).or_else(|| self.ejection().map(|ejection| ejection.cause))
    }

    /// When time ends the ejection, if nothing else stands in the way.
    pub(crate) fn until(&self) -> Option<Instant> {
        match self.passive {
            Passive::Ejected(ejection) if self.order == Order::Ready && self.checks.failing.is_none() => {
                Some(ejection.until)
            }
            _ => None,
        }
    }

    /// An operator has taken it out.
    pub(crate) fn is_ordered_out(&self) -> bool {
        self.order != Order::Ready
    }

    /// It is out for a passive cause, whatever else.
    pub(crate) fn is_passively_out(&self) -> bool {
        self.passive != Passive::In
    }

    /// The passive ejection, also while its end is being probed.
    pub(crate) fn ejection(&self) -> Option<Ejection> {
        match self.passive {
            Passive::In => None,
            Passive::Ejected(ejection) | Passive::Probing(ejection) => Some(ejection),
        }
    }

    /// When the passive ejection's time is over.
    pub(crate) fn due(&self) -> Instant {
        match self.passive {
            Passive::Ejected(ejection) => ejection.until,
            Passive::In | Passive::Probing(_) => Instant::FAR_FUTURE,
        }
    }

    /// Lets the time act.
    pub(crate) fn handle_time(&mut self, now: Instant) {
        if let Passive::Ejected(ejection) = self.passive
            && ejection.until <= now
        {
            self.passive = Passive::Probing(ejection);
        }
    }
}

/// Probes.
impl Availability {
    /// It waits for a call that decides.
    pub(crate) fn wants_probe(&self) -> bool {
        self.state() == EndpointState::Probing && !self.probe_taken
    }

    /// No call that could be risked has come for so long that any call may be the probe.
    pub(crate) fn wants_any_probe(&self, now: Instant) -> bool {
        self.ejection().is_some_and(|ejection| now.since(ejection.until) >= ejection.until.since(ejection.since))
    }

    pub(crate) fn take_probe(&mut self) {
        self.probe_taken = true;
    }

    /// A probe's outcome is known, or it never will be: another may be taken.
    pub(crate) fn probe_reported(&mut self) {
        self.probe_taken = false;
        self.probes_open += 1;
    }

    /// A probe's attempt is over. One that was never reported gives its place back here.
    pub(crate) fn probe_finished(&mut self) {
        match self.probes_open.checked_sub(1) {
            Some(open) => self.probes_open = open,
            None => self.probe_taken = false,
        }
    }
}

/// Outcomes of attempts.
impl Availability {
    /// An attempt went well up to its head.
    pub(crate) fn good(&mut self, now: Instant, probe: bool) {
        if probe && self.state() == EndpointState::Probing {
            self.restore(now);
        }
        self.outcomes.window.add(now, 1, 0);
        self.outcomes.failed = 0;
        self.outcomes.reached = self.outcomes.broken > 0;
    }

    /// An attempt failed. What follows from it is a suspicion, for the fleet to act upon.
    ///
    /// One that began before the endpoint came back says how it was then: attempts that hung with the old process may
    /// time out long after the new one answers.
    pub(crate) fn failed(
        &mut self,
        now: Instant,
        failed: Failed,
        outlier: Option<&OutlierSettings>,
    ) -> Option<Suspicion> {
        let (outlier, Failed { probe, failure, not_sent, began }) = (outlier?, failed);
        self.outcomes.failed_open += 1;
        if probe && self.state() == EndpointState::Probing {
            self.eject(now, Suspicion { cause: Cause::Probe(failure), not_sent }, outlier);
            return None;
        }
        if began < self.in_since {
            return None;
        }
        self.outcomes.window.add(now, 1, 1);
        self.outcomes.failed += 1;
        if !not_sent {
            self.outcomes.reached = true;
            self.outcomes.last_reached = Some(now);
        }
        self.suspect(now, failure, outlier)
    }

    /// An attempt is over, with a whole answer or one that broke off after its head: the outcome that was good is none.
    pub(crate) fn finished(
        &mut self,
        now: Instant,
        clean: bool,
        outlier: Option<&OutlierSettings>,
    ) -> Option<Suspicion> {
        let outlier = outlier?;
        if clean {
            match self.outcomes.failed_open.checked_sub(1) {
                Some(open) => self.outcomes.failed_open = open,
                None => self.outcomes.broken = 0,
            }
            return None;
        }
        self.outcomes.window.add(now, 0, 1);
        self.outcomes.broken += 1;
        self.outcomes.reached = true;
        self.outcomes.last_reached = Some(now);
        self.suspect(now, Failure::Reset, outlier)
    }

    /// Other workers made so many attempts, of which so many failed.
    pub(crate) fn learn(&mut self, now: Instant, attempts: u64, failed: u64) {
        self.outcomes.window.add(now, attempts, failed);
    }

    fn suspect(&self, now: Instant, failure: Failure, outlier: &OutlierSettings) -> Option<Suspicion> {
        if self.state() != EndpointState::Ready {
            return None;
        }
        let in_a_row = self.outcomes.failed + self.outcomes.broken;
        if outlier.consecutive_failures.is_some_and(|allowed| in_a_row >= allowed) {
            return Some(Suspicion { cause: Cause::ConsecutiveFailures(failure), not_sent: !self.outcomes.reached });
        }
        let (failed, calls) = self.failed_of(now);
        let enough = calls >= u64::from(outlier.minimum_calls);
        if enough && outlier.failure_rate.is_some_and(|rate| failed > 0 && rate.is_reached_by(failed, calls)) {
            let not_sent = !self.has_reached(now, outlier);
            return Some(Suspicion { cause: Cause::FailureRate { failed, calls }, not_sent });
        }
        None
    }

    /// Failures and attempts in the window.
    pub(crate) fn failed_of(&self, now: Instant) -> (u64, u64) {
        let (calls, failed) = self.outcomes.window.totals(now);
        (failed.min(calls), calls)
    }

    /// The suspicion that it does worse than the others, of whom this share of successes is asked.
    pub(crate) fn stands_out(&self, now: Instant, least: f64, outlier: &OutlierSettings) -> Suspicion {
        let (failed, calls) = self.failed_of(now);
        let cause = Cause::SuccessRate { failed, calls, least: (least * 10_000.0) as u32 };
        Suspicion { cause, not_sent: !self.has_reached(now, outlier) }
    }

    /// Whether a failure in the window reached the endpoint.
    fn has_reached(&self, now: Instant, outlier: &OutlierSettings) -> bool {
        self.outcomes.last_reached.is_some_and(|at| now.since(at) <= outlier.window)
    }

    pub(crate) fn eject(&mut self, now: Instant, suspicion: Suspicion, outlier: &OutlierSettings) {
        let longest = outlier.max_ejection_time.max(outlier.base_ejection_time);
        if self.passive == Passive::In {
            let quiet = now.since(self.in_since).as_nanos() / longest.as_nanos().max(1);
            self.doublings = self.doublings.saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX));
        }
        let factor = 1u64.checked_shl(self.doublings).unwrap_or(u64::MAX);
        let length = outlier.base_ejection_time.saturating_mul(factor).min(longest);
        if length < longest {
            self.doublings += 1;
        }
        let Suspicion { cause, not_sent } = suspicion;
        self.passive = Passive::Ejected(Ejection { cause, since: now, until: now + length, not_sent });
    }

    /// Another worker ejected it.
    pub(crate) fn adopt(&mut self, ejection: Ejection, doublings: u32) {
        self.doublings = self.doublings.max(doublings);
        self.passive = Passive::Ejected(ejection);
    }

    /// Ends the time of a passive ejection: the next call that can be risked decides. What it has grown to is forgotten.
    pub(crate) fn reconsider(&mut self, now: Instant) {
        if let Passive::Ejected(ejection) = &mut self.passive {
            ejection.until = ejection.until.min(now);
            self.doublings = 0;
        }
    }

    /// How often the next ejection's time is doubled.
    pub(crate) fn doublings(&self) -> u32 {
        self.doublings
    }

    /// Lifts a passive ejection; what led to it is forgotten.
    pub(crate) fn restore(&mut self, now: Instant) {
        self.passive = Passive::In;
        self.in_since = now;
        self.forget_outcomes();
    }

    fn forget_outcomes(&mut self) {
        self.outcomes.failed = 0;
        self.outcomes.broken = 0;
        self.outcomes.reached = false;
        self.outcomes.last_reached = None;
        self.outcomes.window.reset();
    }
}

/// Checks, orders and settings.
impl Availability {
    /// An active check ended.
    pub(crate) fn checked(&mut self, now: Instant, result: CheckResult, health: &HealthSettings) {
        match result {
            CheckResult::Pass => self.check_passed(now, health),
            CheckResult::Fail(failure) => self.check_failed(failure, health),
        }
    }

    fn check_passed(&mut self, now: Instant, health: &HealthSettings) {
        let checks = &mut self.checks;
        checks.failures = 0;
        checks.passes = checks.passes.saturating_add(1);
        let is_new_process = checks.failing.is_some() && checks.had_no_connection;
        let needed = if is_new_process || !checks.has_passed { 1 } else { health.healthy_threshold };
        checks.has_passed = true;
        checks.had_no_connection = false;
        if checks.passes >= needed {
            checks.failing = None;
        }
        let not_sent = self.ejection().is_some_and(|ejection| ejection.not_sent);
        if self.is_passively_out() && (is_new_process || not_sent) {
            self.restore(now);
        }
    }

    fn check_failed(&mut self, failure: CheckFailure, health: &HealthSettings) {
        let checks = &mut self.checks;
        checks.passes = 0;
        checks.failures = checks.failures.saturating_add(1);
        checks.had_no_connection |= failure.is_connect();
        if checks.failures >= health.unhealthy_threshold {
            checks.failing = Some(failure);
        }
    }

    /// Whether the check that has just ended differs from the one before it, or is the first.
    pub(crate) fn is_first_of_its_kind(&self) -> bool {
        self.checks.passes.max(self.checks.failures) == 1
    }

    /// An operator's word.
    pub(crate) fn ordered(&mut self, now: Instant, order: Order) {
        self.order = order;
        if order == Order::Ready {
            self.checks.failing = None;
            self.doublings = 0;
            self.restore(now);
        }
    }

    /// Other settings: what they no longer watch ends.
    pub(crate) fn configure(&mut self, now: Instant, health: bool, outlier: Option<&OutlierSettings>) {
        if !health {
            self.checks = Checks::default();
        }
        match outlier {
            Some(outlier) => self.outcomes.window.set_length(now, outlier.window),
            None => {
                self.outcomes.failed_open = 0;
                self.restore(now);
            }
        }
    }
}
