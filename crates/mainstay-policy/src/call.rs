//! The life of a call, from its arrival to the settling of its outcome, as one machine.
//!
//! The order is the same for everybody and is the order of this file:
//!
//! deadline → rate limit → service breaker → bulkhead queue → [ choose an endpoint → attempt → classify → retry, if the
//! budget allows ] → fallback → settle.
//!
//! - A permit of the bulkhead belongs to an attempt and is free during a backoff. A retry never queues: one that finds
//!   no permit is not made, and the call ends with the outcome that it has.
//! - What was certainly not sent is sent elsewhere at once, whatever its method and outside the budget; what may have
//!   been applied is repeated only when that is the same as doing it once (RFC 9110, section 9.2.2).
//! - An attempt has one outcome, fixed by the head of its answer or by its failure, and each observer (the endpoint, the
//!   breaker, the budget) learns it once. An answer that breaks off after its head amends the endpoint's outcome.
//! - What we lack ourselves (a descriptor, a port, a connection of the pool) blames nobody: no endpoint, breaker or budget
//!   learns of it, and no other attempt is made, since it would lack the same.
//! - A fallback never answers a rate limit. A fallback service is a call of its own on what is left of the deadline.
//! - A call that is dropped before its end gives back whatever it holds, so that no permit, probe or place in a queue
//!   is ever lost to a caller that vanished.

use std::sync::Arc;

use mainstay_core::{CallId, Certainty, Deadline, Duration, EndpointId, Failure, Instant, Origin, Purpose};

use crate::service::{Held, LostAndFound};
use crate::{
    Ask, AttemptReason, BreakerPermit, BreakerState, CallOutcome, Choice, Decision, End, FallbackKind, LimitVerdict,
    NoEndpoint, NoRetry, Record, Refusal, Report, RetrySettings, Service, pause,
};

mod messages;
pub use messages::*;

/// Attempts that one call can make at the most; a configuration may ask for fewer.
pub const ATTEMPTS_MAX: u32 = 16;

/// Outputs that one input can cause at the most: giving an attempt up and what follows it.
const OUTPUTS_MAX: usize = 2;

/// An attempt cut short by somebody's impatience speaks against the endpoint only past this length...
const IMPATIENCE_MIN: Duration = Duration::from_secs(1);
/// ...and past this many times the service's median latency.
const IMPATIENCE_MEDIANS: u64 = 10;

/// One call on its way.
#[derive(Debug)]
pub struct Call {
    id: CallId,
    facts: Facts,
    record: Record,
    stage: Stage,
    outputs: [Option<Output>; OUTPUTS_MAX],
    began: Instant,
    /// From the beginning to the deadline, or from the body's last move.
    allowed: Duration,
    /// The route's own rule for retries, where it has one.
    retry: Option<Arc<Option<RetrySettings>>>,
    breaker: Option<BreakerPermit>,
    running: Option<Running>,
    tried: [EndpointId; ATTEMPTS_MAX as usize],
    made: u8,
    body_kept: bool,
    awaits_body: bool,
    pause: Duration,
    /// What to answer when nothing better comes.
    refusal: Option<(Refusal, Option<Duration>)>,
    lost: Option<Arc<LostAndFound>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Arriving,
    AskingLimits,
    Queued { until: Instant },
    Attempting,
    Pausing { until: Instant, why: AttemptReason },
    Streaming { status: u16 },
    Delegated,
    Ended,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    choice: Choice,
    attempt: u8,
    began: Instant,
    connected: bool,
    /// It waits, or waited before it connects, for a connection that our own limit holds back.
    waits: bool,
    sent: bool,
    connect_by: Instant,
    head_by: Instant,
}

impl Running {
    fn certainty(&self) -> Certainty {
        if self.sent { Certainty::Unknown } else { Certainty::NotSent }
    }
}

impl Call {
    /// A call that has not begun. `record` is emptied at [`Input::Begin`]; a driver hands in one that was used before
    /// to save its memory.
    #[must_use]
    pub fn new(id: CallId, facts: Facts, record: Record) -> Self {
        Self {
            id,
            facts,
            record,
            stage: Stage::Arriving,
            outputs: [None; OUTPUTS_MAX],
            began: Instant::ORIGIN,
            allowed: Duration::ZERO,
            retry: None,
            breaker: None,
            running: None,
            tried: [EndpointId { slot: 0, generation: 0 }; ATTEMPTS_MAX as usize],
            made: 0,
            body_kept: true,
            awaits_body: false,
            pause: Duration::ZERO,
            refusal: None,
            lost: None,
        }
    }

    /// Gives the call a rule for retries of its own (`None` in it: none) in place of the service's. The budget that pays
    /// for them stays the service's. To be said before [`Input::Begin`].
    pub fn set_retry(&mut self, retry: Arc<Option<RetrySettings>>) {
        self.retry = Some(retry);
    }

    /// Tells the call what happened. News that comes too late (of an attempt that was given up) changes nothing.
    pub fn handle_input(&mut self, service: &mut Service, now: Instant, input: Input) {
        service.recover_lost(now);
        match input {
            Input::Begin => self.begin(service, now),
            Input::Limits(verdict) => self.limits(service, now, verdict),
            Input::Admitted { granted } => self.admitted(service, now, granted),
            Input::Waits { attempt } => self.waits(attempt),
            Input::Unable { attempt } => self.unable(service, now, attempt, false),
            Input::Connected { attempt } => self.connected(attempt),
            Input::Sent { attempt } => self.sent(attempt),
            Input::BodyMoved => self.body_moved(service, now),
            Input::AwaitsBody(awaits) => self.awaits_body = awaits,
            Input::BodyNotKept => self.body_not_kept(),
            Input::Head { attempt, head } => self.head(service, now, attempt, head),
            Input::Failed { attempt, failure, certainty } => self.failed(service, now, attempt, failure, certainty),
            Input::Finished { clean } => self.finished(service, now, clean),
            Input::FallbackEnded { answered } => self.fallback_ended(service, now, answered),
            Input::CallerLeft => self.caller_left(service, now),
        }
    }

    /// Tells the call that its deadline may have come. Harmless when it has not.
    pub fn handle_timeout(&mut self, service: &mut Service, now: Instant) {
        service.recover_lost(now);
        let Some(due) = self.poll_timeout().filter(|deadline| deadline.at <= now) else { return };
        match (self.stage, due.why) {
            (Stage::Pausing { why, .. }, _) => self.retry(service, now, why),
            (Stage::Queued { .. }, _) => {
                service.bulkhead.leave(self.id);
                self.left_queue(service, now, due.why);
            }
            (Stage::Attempting, _) if self.running.is_some_and(|running| running.waits) => {
                self.tired_of_waiting(service, now);
            }
            (Stage::Attempting, Timer::Call | Timer::Attempt) if self.awaits_body => self.tired_of_caller(service, now),
            (Stage::Attempting, Timer::Call) => self.out_of_time(service, now),
            (Stage::Attempting, Timer::Connect) => {
                self.give_up(service, now, Failure::ConnectTimeout, Certainty::NotSent);
            }
            (Stage::Attempting, _) => {
                let certainty = self.running.map_or(Certainty::NotSent, |running| running.certainty());
                self.give_up(service, now, Failure::Timeout, certainty);
            }
            (Stage::Streaming { .. }, _) => self.cut_stream(service, now),
            (Stage::Arriving | Stage::AskingLimits | Stage::Delegated | Stage::Ended, _) => {}
        }
    }

    /// The next thing to do, until there is none. Changes with every input and every time-out.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.iter_mut().find_map(Option::take)
    }

    /// When to call [`Call::handle_timeout`] at the latest, and why. Changes with every input and every time-out.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline<Timer>> {
        let call = Deadline::new(self.facts.deadline, Timer::Call);
        let earlier = |at, why| if at < call.at { Deadline::new(at, why) } else { call };
        match self.stage {
            Stage::Queued { until } => Some(earlier(until, Timer::Queue)),
            Stage::Pausing { until, .. } => Some(earlier(until, Timer::Backoff)),
            Stage::Attempting => {
                let running = self.running.as_ref()?;
                Some(if !running.connected && running.connect_by < running.head_by {
                    earlier(running.connect_by, Timer::Connect)
                } else {
                    earlier(running.head_by, Timer::Attempt)
                })
            }
            Stage::Streaming { .. } => self.facts.covers_body.then_some(call),
            Stage::Arriving | Stage::AskingLimits | Stage::Delegated | Stage::Ended => None,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> CallId {
        self.id
    }

    /// Attempts made so far.
    #[must_use]
    pub fn attempts(&self) -> u8 {
        self.made
    }

    /// The endpoint that was tried last.
    #[must_use]
    pub fn last_endpoint(&self) -> Option<EndpointId> {
        self.tried().last().copied()
    }

    /// Whether it waits for a permit, so that [`crate::Service::poll_admitted`] may name it.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        matches!(self.stage, Stage::Queued { .. })
    }

    /// Whether nothing more will come of it.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// What was decided so far.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Takes the record out, to be stored and used again.
    #[must_use]
    pub fn take_record(&mut self) -> Record {
        std::mem::take(&mut self.record)
    }
}

/// Before the attempts: deadline, rate limit, breaker, bulkhead.
impl Call {
    fn begin(&mut self, service: &mut Service, now: Instant) {
        if self.stage != Stage::Arriving || self.lost.is_some() {
            return;
        }
        self.began = now;
        self.allowed = self.facts.deadline.since(now);
        self.record.begin(now);
        self.lost = Some(service.lost_and_found());
        if now >= self.facts.deadline {
            self.refuse(now, Refusal::DeadlinePassed, None);
        } else if self.facts.limited {
            self.stage = Stage::AskingLimits;
            self.output(Output::AskLimits);
        } else {
            self.enter_breaker(service, now);
        }
    }

    fn limits(&mut self, service: &mut Service, now: Instant, verdict: LimitVerdict) {
        if self.stage != Stage::AskingLimits {
            return;
        }
        if verdict.admitted {
            self.record.push(now, Decision::WithinLimit);
            self.enter_breaker(service, now);
        } else {
            self.record.push(now, Decision::OverLimit { retry_after: verdict.retry_after });
            self.refuse(now, Refusal::RateLimited, Some(verdict.retry_after));
        }
    }

    fn enter_breaker(&mut self, service: &mut Service, now: Instant) {
        match service.breaker.admit(now) {
            Ok(permit) => {
                if permit.probe() {
                    self.record.push(now, Decision::BreakerProbe);
                }
                self.breaker = Some(permit);
                self.enter_bulkhead(service, now);
            }
            Err(refusal) => {
                self.record.push(now, Decision::BreakerRefused { forced: refusal.forced });
                self.fall_back(service, now, Refusal::BreakerOpen, Some(refusal.retry_after));
            }
        }
    }

    fn enter_bulkhead(&mut self, service: &mut Service, now: Instant) {
        if service.bulkhead.try_enter() {
            return self.attempt(service, now, AttemptReason::First);
        }
        let until = (now + service.settings().bulkhead.queue_timeout).min(self.facts.deadline);
        match service.bulkhead.enqueue(now, self.id, until) {
            Ok(ahead) => {
                self.record.push(now, Decision::Queued { ahead });
                self.stage = Stage::Queued { until };
            }
            Err(_full) => self.fall_back(service, now, Refusal::QueueFull, Some(Duration::from_secs(1))),
        }
    }

    fn admitted(&mut self, service: &mut Service, now: Instant, granted: bool) {
        match (self.stage, granted) {
            (Stage::Queued { .. }, true) => {
                self.record.push(now, Decision::Admitted);
                self.attempt(service, now, AttemptReason::First);
            }
            (Stage::Queued { .. }, false) => self.left_queue(service, now, Timer::Queue),
            (_, true) => service.bulkhead.release(now),
            (_, false) => {}
        }
    }

    fn left_queue(&mut self, service: &mut Service, now: Instant, why: Timer) {
        let refusal = if why == Timer::Call { Refusal::Deadline } else { Refusal::QueueTimeout };
        // Nothing was asked of the service, so even a deadline that passed here does not speak against it.
        self.settle(service, now, CallOutcome::Nothing);
        self.fall_back(service, now, refusal, Some(Duration::from_secs(1)));
    }
}

/// The attempts: choose, send, classify, try again.
impl Call {
    /// Makes an attempt with the permit that the call has just been given.
    fn attempt(&mut self, service: &mut Service, now: Instant, why: AttemptReason) {
        let attempt = self.made;
        let ask = Ask {
            call: self.id,
            attempt: u32::from(attempt),
            hash: self.facts.hash,
            idempotent: self.facts.method.is_idempotent(),
            tried: &self.tried[..usize::from(attempt)],
        };
        let choice = match service.fleet.choose(now, &ask) {
            Ok(choice) => choice,
            Err(none) => {
                service.bulkhead.release(now);
                return self.no_endpoint(service, now, why, none);
            }
        };
        self.tried[usize::from(attempt)] = choice.endpoint;
        self.made += 1;
        let head_by = self.head_by(service, now);
        let connect_by = (now + service.settings().timeout.connect).min(head_by);
        let (connected, waits, sent) = (false, false, false);
        self.running = Some(Running { choice, attempt, began: now, connected, waits, sent, connect_by, head_by });
        self.stage = Stage::Attempting;
        let Choice { endpoint, probe, panic } = choice;
        self.record.push(now, Decision::Attempt { attempt, endpoint, why, probe, panic });
        self.output(Output::Attempt(AttemptOrder { attempt, endpoint, why, deadline: self.facts.deadline }));
    }

    fn no_endpoint(&mut self, service: &mut Service, now: Instant, why: AttemptReason, none: NoEndpoint) {
        match (why, none) {
            (AttemptReason::Retry | AttemptReason::Resend, _) => self.no_retry(service, now, NoRetry::NoEndpoint),
            // A limit that we set says nothing about the service.
            (AttemptReason::First, NoEndpoint::AllBusy) => {
                self.fall_back(service, now, Refusal::Exhausted, Some(Duration::from_secs(1)));
            }
            (AttemptReason::First, _) => self.conclude(service, now, Refusal::NoEndpoint, None),
        }
    }

    /// An attempt is cut short only where another may follow; the last one has the rest of the deadline.
    fn head_by(&self, service: &mut Service, now: Instant) -> Instant {
        let another =
            self.may_repeat(service, Failure::Timeout, Certainty::Unknown).is_ok() && service.budget.tokens(now) >= 1.0;
        let length = if another { service.settings().timeout.attempt } else { Duration::MAX };
        (now + length).min(self.facts.deadline)
    }

    fn waits(&mut self, attempt: u8) {
        if let Some(running) = self.running.as_mut().filter(|running| running.attempt == attempt) {
            running.waits = !running.connected;
        }
    }

    fn connected(&mut self, attempt: u8) {
        if let Some(running) = self.running.as_mut().filter(|running| running.attempt == attempt) {
            running.connected = true;
            running.waits = false;
        }
    }

    fn sent(&mut self, attempt: u8) {
        if let Some(running) = self.running.as_mut().filter(|running| running.attempt == attempt) {
            running.connected = true;
            running.waits = false;
            running.sent = true;
        }
    }

    fn head(&mut self, service: &mut Service, now: Instant, attempt: u8, head: AnswerFacts) {
        let Some(running) = self.current(attempt) else { return };
        self.record.push(now, Decision::Head { attempt, status: head.status });
        let failure = Failure::Status(head.status);
        let latency = now.since(running.began);
        let good = head.status < 500;
        service.fleet.report(
            now,
            running.choice,
            if good {
                Report::Good { latency }
            } else {
                Report::Failed { failure, certainty: Certainty::Applied, latency }
            },
        );
        let worth_another = self.retry_rule(service).is_some_and(|retry| retry.on.includes(failure));
        if !worth_another && (good || !self.has_fallback(service)) {
            return self.forward(service, now, running, head.status, false);
        }
        match self.plan_retry(service, now, failure, Certainty::Applied, Some(head)) {
            Ok((pause, why)) => {
                self.refusal = Some((Refusal::Failed(failure), head.retry_after));
                self.output(Output::Cancel { attempt });
                self.release(service, now, true);
                self.pause(service, now, pause, why);
            }
            Err(why) => {
                self.record.push(now, Decision::NoRetry { why });
                if !good && self.has_fallback(service) {
                    self.output(Output::Cancel { attempt });
                    self.release(service, now, true);
                    self.conclude(service, now, Refusal::Failed(failure), head.retry_after);
                } else {
                    let used = matches!(why, NoRetry::AttemptsUsed | NoRetry::Budget | NoRetry::Forbidden);
                    self.forward(service, now, running, head.status, used);
                }
            }
        }
    }

    fn forward(&mut self, service: &mut Service, now: Instant, running: Running, status: u16, retries_used: bool) {
        let outcome = if status < 500 { CallOutcome::Good } else { CallOutcome::Failed };
        self.settle(service, now, outcome);
        self.stage = Stage::Streaming { status };
        self.output(Output::Forward { attempt: running.attempt, retries_used });
    }

    fn failed(&mut self, service: &mut Service, now: Instant, attempt: u8, failure: Failure, certainty: Certainty) {
        let Some(running) = self.current(attempt) else { return };
        self.record.push(now, Decision::Failed { attempt, failure, certainty });
        let latency = now.since(running.began);
        service.fleet.report(now, running.choice, Report::Failed { failure, certainty, latency });
        self.release(service, now, true);
        self.refusal = Some((Refusal::Failed(failure), None));
        match self.plan_retry(service, now, failure, certainty, None) {
            Ok((pause, why)) => self.pause(service, now, pause, why),
            Err(why) => self.no_retry(service, now, why),
        }
    }

    /// As [`Call::failed`], for an attempt whose driver still works on it.
    fn give_up(&mut self, service: &mut Service, now: Instant, failure: Failure, certainty: Certainty) {
        let Some(running) = self.running else { return };
        self.output(Output::Cancel { attempt: running.attempt });
        self.failed(service, now, running.attempt, failure, certainty);
    }

    fn pause(&mut self, service: &mut Service, now: Instant, pause: Duration, why: AttemptReason) {
        if pause.is_zero() {
            return self.retry(service, now, why);
        }
        self.record.push(now, Decision::Backoff { pause });
        self.stage = Stage::Pausing { until: now + pause, why };
    }

    fn retry(&mut self, service: &mut Service, now: Instant, why: AttemptReason) {
        if matches!(service.breaker.state(now), BreakerState::Open { .. } | BreakerState::ForcedOpen) {
            self.no_retry(service, now, NoRetry::BreakerOpen);
        } else if service.bulkhead.try_acquire() {
            self.attempt(service, now, why);
        } else {
            self.no_retry(service, now, NoRetry::NoPermit);
        }
    }

    fn no_retry(&mut self, service: &mut Service, now: Instant, why: NoRetry) {
        self.record.push(now, Decision::NoRetry { why });
        let (refusal, retry_after) = self.refusal.unwrap_or((Refusal::NoEndpoint, None));
        self.conclude(service, now, refusal, retry_after);
    }

    /// The deadline of the call came while an attempt was running.
    fn out_of_time(&mut self, service: &mut Service, now: Instant) {
        let Some(running) = self.running else { return };
        let (attempt, certainty) = (running.attempt, running.certainty());
        self.record.push(now, Decision::Failed { attempt, failure: Failure::Timeout, certainty });
        self.output(Output::Cancel { attempt });
        self.report_impatience(service, now, running);
        self.release(service, now, true);
        self.conclude(service, now, Refusal::Deadline, None);
    }

    /// The attempt could not be made, for what we lack ourselves.
    fn unable(&mut self, service: &mut Service, now: Instant, attempt: u8, pool: bool) {
        let Some(running) = self.current(attempt) else { return };
        self.record.push(now, Decision::Unable { attempt, pool });
        service.fleet.report(now, running.choice, Report::Nothing);
        self.release(service, now, true);
        self.fall_back(service, now, Refusal::Exhausted, Some(Duration::from_secs(1)));
    }

    /// No connection of the pool came free in time.
    fn tired_of_waiting(&mut self, service: &mut Service, now: Instant) {
        let Some(running) = self.running else { return };
        self.output(Output::Cancel { attempt: running.attempt });
        self.unable(service, now, running.attempt, true);
    }

    /// The request did not come in time, so nobody could answer it.
    fn tired_of_caller(&mut self, service: &mut Service, now: Instant) {
        let Some(running) = self.running else { return };
        self.cancel(now, running);
        service.fleet.report(now, running.choice, Report::Nothing);
        self.release(service, now, true);
        self.settle(service, now, CallOutcome::Nothing);
        self.refuse(now, Refusal::SlowRequest, None);
    }

    /// Nobody waits for the attempt any more, and how it would have ended is not known.
    fn cancel(&mut self, now: Instant, running: Running) {
        let Running { attempt, .. } = running;
        self.record.push(now, Decision::Cancelled { attempt, certainty: running.certainty() });
        self.output(Output::Cancel { attempt });
    }

    fn body_moved(&mut self, service: &mut Service, now: Instant) {
        if self.facts.covers_body
            || !matches!(self.stage, Stage::Queued { .. } | Stage::Attempting | Stage::Pausing { .. })
        {
            return;
        }
        self.facts.deadline = now + self.allowed;
        let head_by = self.head_by(service, now);
        if let Some(running) = &mut self.running {
            running.head_by = head_by;
        }
    }

    /// No other attempt can follow, so the one that runs has the rest of the deadline.
    fn body_not_kept(&mut self) {
        self.body_kept = false;
        if let Some(running) = &mut self.running {
            running.head_by = self.facts.deadline;
        }
    }

    /// Somebody would not wait longer. Whether that speaks against the endpoint depends on how long they did.
    fn report_impatience(&self, service: &mut Service, now: Instant, running: Running) {
        let waited = now.since(running.began);
        let median = service.fleet.median_latency().unwrap_or(Duration::ZERO);
        let long = waited > IMPATIENCE_MIN && waited > median.saturating_mul(IMPATIENCE_MEDIANS);
        let speaks = !running.waits && (long || waited >= service.settings().timeout.attempt);
        let report = if speaks {
            Report::Failed { failure: Failure::Timeout, certainty: running.certainty(), latency: waited }
        } else {
            Report::Nothing
        };
        service.fleet.report(now, running.choice, report);
    }

    fn current(&self, attempt: u8) -> Option<Running> {
        self.running.filter(|running| running.attempt == attempt && self.stage == Stage::Attempting)
    }

    fn tried(&self) -> &[EndpointId] {
        &self.tried[..usize::from(self.made)]
    }
}

/// Whether another attempt may follow.
impl Call {
    fn retry_rule<'a>(&'a self, service: &'a Service) -> Option<&'a RetrySettings> {
        self.retry.as_deref().unwrap_or(&service.settings().retry).as_ref()
    }

    /// What does not depend on the moment: attempts, condition, certainty, the kept body.
    fn may_repeat(&self, service: &Service, failure: Failure, certainty: Certainty) -> Result<(), NoRetry> {
        let Some(retry) = self.retry_rule(service) else { return Err(NoRetry::Off) };
        let idempotent = self.facts.method.is_idempotent()
            || (retry.idempotency_key && self.facts.idempotency_key)
            || !retry.idempotent_only;
        if u32::from(self.made) >= retry.attempts.min(ATTEMPTS_MAX) {
            Err(NoRetry::AttemptsUsed)
        } else if !retry.on.includes(failure) {
            Err(NoRetry::Condition)
        } else if !self.body_kept {
            Err(NoRetry::BodyNotKept)
        } else if certainty != Certainty::NotSent && !idempotent {
            Err(NoRetry::NotIdempotent)
        } else {
            Ok(())
        }
    }

    /// After which pause another attempt is made, paying for it from the budget where it has to be paid.
    fn plan_retry(
        &mut self,
        service: &mut Service,
        now: Instant,
        failure: Failure,
        certainty: Certainty,
        answer: Option<AnswerFacts>,
    ) -> Result<(Duration, AttemptReason), NoRetry> {
        self.may_repeat(service, failure, certainty)?;
        if answer.is_some_and(|answer| answer.retries_used) {
            return Err(NoRetry::Forbidden);
        }
        let elsewhere = service.fleet.has_other(now, self.tried());
        if certainty == Certainty::NotSent && elsewhere {
            return Ok((Duration::ZERO, AttemptReason::Resend));
        }
        let draw = service.seed().draw(self.id.0, u32::from(self.made), Purpose::Backoff);
        let backoff = self.retry_rule(service).map(|retry| retry.backoff).unwrap_or_default();
        let mut pause = pause(&backoff, u32::from(self.made), self.pause, draw);
        // An instance that asks for patience speaks for itself alone.
        if !elsewhere && let Some(asked) = answer.and_then(|answer| answer.retry_after) {
            pause = pause.max(asked);
        }
        if now + pause >= self.facts.deadline {
            return Err(NoRetry::Deadline);
        }
        if !service.budget.withdraw(now) {
            return Err(NoRetry::Budget);
        }
        self.pause = pause;
        Ok((pause, AttemptReason::Retry))
    }
}

/// The end: fallback, settle, give back.
impl Call {
    /// The service has not answered: its breaker learns so, and a fallback may.
    fn conclude(&mut self, service: &mut Service, now: Instant, refusal: Refusal, retry_after: Option<Duration>) {
        self.settle(service, now, CallOutcome::Failed);
        self.fall_back(service, now, refusal, retry_after);
    }

    fn fall_back(&mut self, service: &mut Service, now: Instant, refusal: Refusal, retry_after: Option<Duration>) {
        // A call that was refused by ourselves counts neither way; settling twice changes nothing.
        self.settle(service, now, CallOutcome::Nothing);
        self.refusal = Some((refusal, retry_after));
        if service.settings().fallback.service && now < self.facts.deadline {
            self.record.push(now, Decision::Fallback { kind: FallbackKind::Service });
            self.stage = Stage::Delegated;
            self.output(Output::FallbackService);
        } else {
            self.answer_ourselves(service, now);
        }
    }

    fn has_fallback(&self, service: &Service) -> bool {
        let fallback = service.settings().fallback;
        fallback.service || fallback.respond
    }

    fn fallback_ended(&mut self, service: &mut Service, now: Instant, answered: bool) {
        match (self.stage, answered) {
            (Stage::Delegated, true) => self.end(now, End::Fallback(FallbackKind::Service)),
            (Stage::Delegated, false) => self.answer_ourselves(service, now),
            _ => {}
        }
    }

    fn answer_ourselves(&mut self, service: &Service, now: Instant) {
        if service.settings().fallback.respond {
            self.record.push(now, Decision::Fallback { kind: FallbackKind::Respond });
            self.end(now, End::Fallback(FallbackKind::Respond));
            self.output(Output::Respond);
        } else {
            let (refusal, retry_after) = self.refusal.unwrap_or((Refusal::NoEndpoint, None));
            self.refuse(now, refusal, retry_after);
        }
    }

    fn refuse(&mut self, now: Instant, refusal: Refusal, retry_after: Option<Duration>) {
        self.end(now, End::Refused(refusal));
        self.output(Output::Refuse(RefuseOrder { refusal, retry_after, attempts: self.made }));
    }

    fn finished(&mut self, service: &mut Service, now: Instant, clean: bool) {
        let Stage::Streaming { status } = self.stage else { return };
        if !clean && let Some(running) = self.running {
            self.record.push(now, Decision::Interrupted { attempt: running.attempt });
        }
        self.release(service, now, clean);
        let broken = End::Interrupted { status, origin: Origin::Upstream };
        self.end(now, if clean { End::Answered { status } } else { broken });
    }

    /// The caller's own deadline came while the answer was going down.
    fn cut_stream(&mut self, service: &mut Service, now: Instant) {
        let Stage::Streaming { status } = self.stage else { return };
        self.release(service, now, true);
        self.end(now, End::Interrupted { status, origin: Origin::Client });
        self.output(Output::Abort);
    }

    fn caller_left(&mut self, service: &mut Service, now: Instant) {
        match self.stage {
            Stage::Ended => return,
            Stage::Queued { .. } => service.bulkhead.leave(self.id),
            Stage::Attempting => {
                if let Some(running) = self.running {
                    self.cancel(now, running);
                    self.report_impatience(service, now, running);
                }
            }
            Stage::Streaming { status } => {
                self.release(service, now, true);
                return self.end(now, End::Interrupted { status, origin: Origin::Client });
            }
            Stage::Arriving | Stage::AskingLimits | Stage::Pausing { .. } | Stage::Delegated => {}
        }
        self.release(service, now, true);
        self.settle(service, now, CallOutcome::Nothing);
        self.end(now, End::CallerLeft);
    }

    /// Tells the breaker and the budget how the call went. The first word counts.
    fn settle(&mut self, service: &mut Service, now: Instant, outcome: CallOutcome) {
        let Some(permit) = self.breaker.take() else { return };
        service.breaker.record(now, permit, outcome, now.since(self.began));
        if outcome == CallOutcome::Good {
            service.budget.success(now);
        }
    }

    /// Gives back what the running attempt holds.
    fn release(&mut self, service: &mut Service, now: Instant, clean: bool) {
        if let Some(running) = self.running.take() {
            service.fleet.finish(now, running.choice, clean);
            service.bulkhead.release(now);
        }
    }

    fn end(&mut self, now: Instant, end: End) {
        self.record.push(now, Decision::Ended(end));
        self.stage = Stage::Ended;
    }

    fn output(&mut self, output: Output) {
        let free = self.outputs.iter_mut().find(|slot| slot.is_none());
        debug_assert!(free.is_some(), "outputs are polled after each input: {output:?}");
        if let Some(slot) = free {
            *slot = Some(output);
        }
    }

    /// What the call would leave behind if it vanished now.
    fn held(&self) -> Option<Held> {
        let queued = matches!(self.stage, Stage::Queued { .. }).then_some(self.id);
        let attempt = self.running.map(|running| running.choice);
        let held = Held { breaker: self.breaker, attempt, queued };
        (!held.is_empty()).then_some(held)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let (Some(lost), Some(held)) = (&self.lost, self.held()) {
            lost.leave(held);
        }
    }
}

#[cfg(test)]
mod tests;
