//! The life of a call, from its arrival to the settling of its outcome, as one machine.
//!
//! The order is the same for everybody and is the order of this file; the part in brackets stands in `call/attempts.rs`:
//!
//! deadline → rate limits → idempotency look-up → service breaker → bulkhead queue → [ choose an endpoint → fault of a
//! drill → attempt → classify → retry or hedge, if the budget allows ] → fallback → settle.
//!
//! - A permit of the bulkhead belongs to an attempt and is free during a backoff. A retry never queues: one that finds
//!   no permit is not made, and the call ends with the outcome that it has. Nor does a hedge: the call then waits for
//!   what runs.
//! - What was certainly not sent is sent elsewhere at once, whatever its method and outside the budget; what may have
//!   been applied is repeated only when that is the same as doing it once (RFC 9110, section 9.2.2).
//! - Several attempts may run at once (a first one and its hedges). The first good head is the answer, and the others are
//!   given up; one that fails ends the call only when no other runs.
//! - An attempt has one outcome, fixed by the head of its answer or by its failure, and each observer (the endpoint, the
//!   breaker, the budget) learns it once. An answer that breaks off after its head amends the endpoint's outcome.
//! - What we lack ourselves (a descriptor, a port, a connection of the pool) blames nobody: no endpoint, breaker or budget
//!   learns of it, and no other attempt is made, since it would lack the same.
//! - Of the calls with one `Idempotency-Key` the first is carried out. When its caller leaves after something was sent, it
//!   goes on for the answer that the repeats are to get.
//! - A fallback never answers a rate limit, nor what a key forbids. A fallback service is a call of its own on what is left of the deadline.
//! - A call that is dropped before its end gives back whatever it holds, so that no permit, probe or place in a queue
//!   is ever lost to a caller that vanished.

use std::sync::Arc;

use mainstay_core::{CallId, Certainty, Deadline, Duration, EndpointId, Instant, Limit, Origin, Purpose, earliest};

use crate::service::{Held, LostAndFound};
use crate::{
    Ask, AttemptReason, BreakerPermit, BreakerState, CallOutcome, Choice, Decision, End, FallbackKind,
    FallbackSettings, HedgeAfter, HedgeSettings, KeyEnd, KeyRefusal, LimitId, LimitVerdict, NoEndpoint, NoPlace,
    NoRetry, Record, Refusal, Report, RetrySettings, Sample, Service, Turn, Usable, WholeAnswer, Wish, invites_repeat,
    key_end, pause,
};

mod attempts;
mod faults;
mod messages;
mod running;
pub use messages::*;
pub use running::HEDGES_MAX;
use running::{Running, RunningSet};

/// Attempts that one call can make at the most; a configuration may ask for fewer.
pub const ATTEMPTS_MAX: u32 = 16;

/// Outputs that one input can cause at the most: giving up all attempts that run, and what follows them.
pub const OUTPUTS_MAX: usize = 2 + HEDGES_MAX as usize;

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
    /// How many of them there are.
    outputs_waiting: u8,
    began: Instant,
    /// From the beginning to the deadline, or from the body's last move.
    allowed: Duration,
    /// The route's own rule for retries, where it has one.
    retry: Option<Arc<Option<RetrySettings>>>,
    /// Its own fallbacks, where it brings some.
    fallback: Option<FallbackSettings>,
    /// Of its attempts nothing is known but their ends.
    opaque: bool,
    /// Its driver always tells it when its caller has left.
    is_kept: bool,
    breaker: Option<BreakerPermit>,
    /// It is the first with its key, and nobody has learned yet what became of it.
    holds_key: bool,
    running: RunningSet,
    tried: [EndpointId; ATTEMPTS_MAX as usize],
    made: u8,
    /// The attempt whose answer goes down.
    answering: Option<u8>,
    /// Hedges made so far, and retries that a failure brought forward in the place of one.
    hedges: u8,
    /// When the next hedge is due; far away when there is none to come.
    hedge_at: Instant,
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
    /// Over a limit, and its place is reserved.
    Delayed {
        until: Instant,
    },
    AskingKey,
    /// The first call of its key is under way.
    AwaitingKey,
    Queued {
        until: Instant,
    },
    Attempting,
    Pausing {
        until: Instant,
        why: AttemptReason,
    },
    Streaming {
        status: u16,
    },
    AskingStale,
    Delegated,
    Ended,
}

impl Call {
    /// A call that has not begun. `record` is emptied at [`Input::Begin`]; a driver hands in one that was used before
    /// to save its memory.
    #[must_use]
    #[inline]
    pub fn new(id: CallId, facts: Facts, record: Record) -> Self {
        Self {
            id,
            facts,
            record,
            stage: Stage::Arriving,
            outputs: [None; OUTPUTS_MAX],
            outputs_waiting: 0,
            began: Instant::ORIGIN,
            allowed: Duration::ZERO,
            retry: None,
            fallback: None,
            opaque: false,
            is_kept: false,
            breaker: None,
            holds_key: false,
            running: RunningSet::default(),
            tried: [EndpointId { slot: 0, generation: 0 }; ATTEMPTS_MAX as usize],
            made: 0,
            answering: None,
            hedges: 0,
            hedge_at: Instant::FAR_FUTURE,
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

    /// Gives the call fallbacks of its own in place of the service's. To be said before [`Input::Begin`].
    pub fn set_fallback(&mut self, fallback: FallbackSettings) {
        self.fallback = Some(fallback);
    }

    /// Says that nothing is known of an attempt but its end: it counts as sent from its beginning, and an answer is over with
    /// its head. To be said before [`Input::Begin`].
    pub fn know_only_ends(&mut self) {
        self.opaque = true;
    }

    /// Says that the call is never dropped before its end without [`Input::CallerLeft`], so that nothing is done for the case
    /// that it vanishes. To be said before [`Input::Begin`].
    pub fn never_vanishes(&mut self) {
        self.is_kept = true;
    }

    /// Tells the call what happened. News that comes too late (of an attempt that was given up) changes nothing.
    pub fn handle_input(&mut self, service: &mut Service, now: Instant, input: Input) {
        service.recover_lost(now);
        match input {
            Input::Begin => self.begin(service, now),
            Input::Limits { limit, verdict } => self.limits(service, now, limit, verdict),
            Input::Key(verdict) => self.key(service, now, verdict),
            Input::Admitted { turn } => self.admitted(service, now, turn),
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
            Input::Stale(found) => self.stale(service, now, found),
            Input::StaleIsKept { attempt, kept } => self.stale_is_kept(service, now, attempt, kept),
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
            (Stage::Delayed { .. }, _) => self.ask_limits(),
            (Stage::Queued { .. }, _) => {
                service.bulkhead.leave(self.id);
                self.left_queue(service, now, due.why);
            }
            (Stage::AwaitingKey, _) => self.refuse_key(now, KeyRefusal::InProgress),
            (Stage::Attempting, why) => self.late(service, now, why),
            (Stage::Streaming { .. }, _) => self.cut_stream(service, now),
            (
                Stage::Arriving
                | Stage::AskingLimits
                | Stage::AskingKey
                | Stage::AskingStale
                | Stage::Delegated
                | Stage::Ended,
                _,
            ) => {}
        }
    }

    /// The next thing to do, until there is none. Changes with every input and every time-out.
    #[must_use]
    #[inline]
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.has_output() { self.next_output() } else { None }
    }

    fn next_output(&mut self) -> Option<Output> {
        self.outputs_waiting -= 1;
        self.outputs.iter_mut().find_map(Option::take)
    }

    /// Whether there is something to do.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.outputs_waiting > 0
    }

    /// The outputs that wait to be polled, each in a place of its own: what is there after an input and was not before
    /// came of it.
    #[must_use]
    pub fn outputs(&self) -> &[Option<Output>; OUTPUTS_MAX] {
        &self.outputs
    }

    /// When to call [`Call::handle_timeout`] at the latest, and why. Changes with every input and every time-out.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline<Timer>> {
        let call = Deadline::new(self.facts.deadline, Timer::Call);
        let earlier = |at, why| if at < call.at { Deadline::new(at, why) } else { call };
        match self.stage {
            Stage::Delayed { until } => Some(earlier(until, Timer::Limit)),
            Stage::AwaitingKey => Some(Deadline::new(call.at, Timer::Key)),
            Stage::Queued { until } => Some(earlier(until, Timer::Queue)),
            Stage::Pausing { until, .. } => Some(earlier(until, Timer::Backoff)),
            Stage::Attempting => {
                let next = earliest(self.running.next_due(), Some(Deadline::new(self.hedge_at, Timer::Hedge)))?;
                Some(earlier(next.at, next.why))
            }
            Stage::Streaming { .. } => self.facts.covers_body.then_some(call),
            Stage::Arriving
            | Stage::AskingLimits
            | Stage::AskingKey
            | Stage::AskingStale
            | Stage::Delegated
            | Stage::Ended => None,
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

    /// The endpoint that answered, or else the one that was tried last.
    #[must_use]
    pub fn last_endpoint(&self) -> Option<EndpointId> {
        let last = self.made.checked_sub(1)?;
        self.tried().get(usize::from(self.answering.unwrap_or(last))).copied()
    }

    /// Whether it waits for a permit, so that [`crate::Service::poll_admitted`] may name it.
    #[must_use]
    pub fn is_queued(&self) -> bool {
        matches!(self.stage, Stage::Queued { .. })
    }

    /// Whether it waits for the place that a rate limit has reserved for it.
    #[must_use]
    pub fn is_delayed(&self) -> bool {
        matches!(self.stage, Stage::Delayed { .. })
    }

    /// Whether nothing more will come of it.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Why there is no answer of an instance, where there is none: what [`Output::Refuse`] says when nothing else answers.
    #[must_use]
    pub fn refused(&self) -> Option<RefuseOrder> {
        let (refusal, retry_after) = self.refusal?;
        Some(RefuseOrder { refusal, retry_after, attempts: self.made })
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

/// Before the attempts: deadline, rate limits, key, breaker, bulkhead.
impl Call {
    fn begin(&mut self, service: &mut Service, now: Instant) {
        if self.stage != Stage::Arriving {
            return;
        }
        self.allowed = self.facts.deadline.since(now);
        self.record.begin(now);
        self.lost = (!self.is_kept).then(|| service.lost_and_found());
        if now >= self.facts.deadline {
            self.refuse(now, Refusal::DeadlinePassed, None);
        } else if self.facts.limited {
            self.ask_limits();
        } else {
            self.ask_key(service, now);
        }
    }

    /// Asks those that were not asked yet: limits stand one behind another, and who waited for one then asks the next.
    fn ask_limits(&mut self) {
        self.stage = Stage::AskingLimits;
        self.output(Output::AskLimits);
    }

    fn limits(&mut self, service: &mut Service, now: Instant, limit: LimitId, verdict: LimitVerdict) {
        if self.stage != Stage::AskingLimits {
            return;
        }
        let LimitVerdict { wait, remaining, percent, .. } = verdict;
        let until = now + wait;
        if !verdict.admitted || (!wait.is_zero() && until >= self.facts.deadline) {
            let retry_after = verdict.refused().retry_after;
            self.record.push(now, Decision::OverLimit { limit, retry_after, percent });
            self.refuse(now, Refusal::RateLimited, Some(retry_after));
        } else if wait.is_zero() {
            self.record.push(now, Decision::WithinLimit { limit, remaining });
            self.ask_key(service, now);
        } else {
            self.record.push(now, Decision::Delayed { limit, wait, percent });
            self.stage = Stage::Delayed { until };
        }
    }

    fn ask_key(&mut self, service: &mut Service, now: Instant) {
        if self.facts.keyed {
            self.stage = Stage::AskingKey;
            self.output(Output::AskKey);
        } else {
            self.enter_breaker(service, now);
        }
    }

    fn key(&mut self, service: &mut Service, now: Instant, verdict: KeyVerdict) {
        if !matches!(self.stage, Stage::AskingKey | Stage::AwaitingKey) {
            return;
        }
        match verdict {
            KeyVerdict::First => {
                self.record.push(now, Decision::KeyFirst);
                self.holds_key = true;
                self.enter_breaker(service, now);
            }
            KeyVerdict::Waits if self.stage == Stage::AwaitingKey => {}
            KeyVerdict::Waits => {
                self.record.push(now, Decision::KeyWaits);
                self.stage = Stage::AwaitingKey;
            }
            KeyVerdict::Replay { status, age } => {
                self.record.push(now, Decision::Replayed { status, age });
                self.end(now, End::Replayed { status });
                self.output(Output::Replay);
            }
            KeyVerdict::NotKept { status, age } => {
                self.record.push(now, Decision::AnswerNotKept { status, age });
                self.refuse_key(now, KeyRefusal::NotKept);
            }
            KeyVerdict::Refused(why) => self.refuse_key(now, why),
        }
    }

    fn refuse_key(&mut self, now: Instant, why: KeyRefusal) {
        let later = matches!(why, KeyRefusal::InProgress | KeyRefusal::Full).then_some(Duration::from_secs(1));
        self.refuse(now, Refusal::Key(why), later);
    }

    fn enter_breaker(&mut self, service: &mut Service, now: Instant) {
        // What a limit made it wait is not the service's slowness.
        self.began = now;
        match service.breaker.admit(now) {
            Ok(permit) => {
                if permit.probe() {
                    self.record.push(now, Decision::BreakerProbe);
                }
                self.breaker = Some(permit);
                self.enter_bulkhead(service, now);
            }
            Err(refusal) => {
                self.record
                    .push(now, Decision::BreakerRefused { forced: refusal.forced, retry_after: refusal.retry_after });
                self.fall_back(service, now, Refusal::BreakerOpen, Some(refusal.retry_after));
            }
        }
    }

    fn enter_bulkhead(&mut self, service: &mut Service, now: Instant) {
        if service.bulkhead.try_enter(self.facts.priority) {
            return self.attempt(service, now, AttemptReason::First);
        }
        let (priority, deadline, served) = (self.facts.priority, self.facts.deadline, service.served());
        let until = (now + service.settings().bulkhead.queue_timeout).min(deadline);
        match service.bulkhead.enqueue(now, &Wish { call: self.id, priority, until, deadline, served }) {
            Ok(ahead) => {
                self.record.push(now, Decision::Queued { ahead });
                self.stage = Stage::Queued { until };
            }
            Err(NoPlace::LongWait { expected, accepted }) => {
                self.record.push(now, Decision::long_wait(expected, accepted));
                self.shed(service, now, Refusal::LongWait);
            }
            Err(NoPlace::Full) => self.shed(service, now, Refusal::QueueFull),
            Err(NoPlace::Hopeless) => self.shed(service, now, Refusal::Hopeless),
        }
    }

    fn admitted(&mut self, service: &mut Service, now: Instant, turn: Turn) {
        let waits = matches!(self.stage, Stage::Queued { .. });
        match turn {
            Turn::Granted if waits => {
                self.record.push(now, Decision::Admitted);
                self.attempt(service, now, AttemptReason::First);
            }
            Turn::Granted => service.bulkhead.release(now),
            Turn::Late if waits => self.shed(service, now, Refusal::QueueTimeout),
            Turn::Displaced if waits => self.shed(service, now, Refusal::Displaced),
            Turn::Hopeless if waits => self.shed(service, now, Refusal::Hopeless),
            Turn::Late | Turn::Displaced | Turn::Hopeless => {}
        }
    }

    fn left_queue(&mut self, service: &mut Service, now: Instant, why: Timer) {
        self.shed(service, now, if why == Timer::Call { Refusal::Deadline } else { Refusal::QueueTimeout });
    }

    /// Refuses it because not all can be served.
    fn shed(&mut self, service: &mut Service, now: Instant, refusal: Refusal) {
        let bulkhead = &service.bulkhead;
        let limit = if let Limit::At(limit) = bulkhead.limit() { limit } else { u32::MAX };
        let (in_flight, waiting) = (bulkhead.in_flight(), bulkhead.waiting());
        self.record.push(now, Decision::Overload { limit, in_flight, waiting });
        // Nothing was asked of the service, so even a deadline that passed here does not speak against it.
        self.settle(service, now, CallOutcome::Nothing);
        let after = service.retry_after(self.id);
        self.fall_back(service, now, refusal, Some(after));
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
        if self.facts.stale && refusal.is_failure_of_service() {
            self.stage = Stage::AskingStale;
            self.output(Output::AskStale);
        } else {
            self.ask_another(service, now);
        }
    }

    fn stale(&mut self, service: &Service, now: Instant, found: Option<Usable>) {
        if self.stage != Stage::AskingStale {
            return;
        }
        let (Some(usable), Some((why, _))) = (found, self.refusal) else { return self.ask_another(service, now) };
        let seconds = |length: Duration| u32::try_from(length.as_millis() / 1000).unwrap_or(u32::MAX);
        let (age_secs, stale_secs) = (seconds(usable.age), seconds(usable.stale_for));
        self.record.push(now, Decision::Stale { why, age_secs, stale_secs });
        self.end(now, End::Fallback(FallbackKind::Stale));
        self.output(Output::RespondStale(StaleOrder { refusal: why, attempts: self.made, usable }));
    }

    fn ask_another(&mut self, service: &Service, now: Instant) {
        if self.fallbacks(service).service && now < self.facts.deadline {
            self.record.push(now, Decision::Fallback { kind: FallbackKind::Service });
            self.stage = Stage::Delegated;
            self.output(Output::FallbackService);
        } else {
            self.answer_ourselves(service, now);
        }
    }

    fn has_fallback(&self, service: &Service) -> bool {
        let fallback = self.fallbacks(service);
        fallback.service || fallback.respond
    }

    fn fallbacks(&self, service: &Service) -> FallbackSettings {
        self.fallback.unwrap_or(service.settings().fallback)
    }

    fn fallback_ended(&mut self, service: &mut Service, now: Instant, answered: bool) {
        match (self.stage, answered) {
            (Stage::Delegated, true) => self.end(now, End::Fallback(FallbackKind::Service)),
            (Stage::Delegated, false) => self.answer_ourselves(service, now),
            _ => {}
        }
    }

    fn answer_ourselves(&mut self, service: &Service, now: Instant) {
        if self.fallbacks(service).respond {
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
        if !clean && let Some(running) = self.running.any() {
            self.record.push(now, Decision::Interrupted { attempt: running.attempt });
        }
        self.release_all(service, now, clean);
        let broken = End::Interrupted { status, origin: Origin::Upstream };
        self.end(now, if clean { End::Answered { status } } else { broken });
    }

    /// The caller's own deadline came while the answer was going down.
    fn cut_stream(&mut self, service: &mut Service, now: Instant) {
        let Stage::Streaming { status } = self.stage else { return };
        self.release_all(service, now, true);
        self.end(now, End::Interrupted { status, origin: Origin::Client });
        self.output(Output::Abort);
    }

    fn caller_left(&mut self, service: &mut Service, now: Instant) {
        match self.stage {
            Stage::Ended => return,
            Stage::Queued { .. } => service.bulkhead.leave(self.id),
            Stage::Attempting => {
                while let Some(running) = self.running.any() {
                    self.cancel(now, running);
                    let silent = self.silent(now, running);
                    self.report_impatience(service, now, running, silent);
                    self.release(service, now, running, true);
                }
            }
            Stage::Streaming { status } => {
                self.release_all(service, now, true);
                return self.end(now, End::Interrupted { status, origin: Origin::Client });
            }
            Stage::Arriving
            | Stage::AskingLimits
            | Stage::Delayed { .. }
            | Stage::AskingKey
            | Stage::AwaitingKey
            | Stage::Pausing { .. }
            | Stage::AskingStale
            | Stage::Delegated => {}
        }
        self.release_all(service, now, true);
        self.settle(service, now, CallOutcome::Nothing);
        self.end(now, End::CallerLeft);
    }

    /// Asked when the caller leaves after its whole request has come, in place of [`Input::CallerLeft`]: whether the call
    /// goes on without it, because something was sent and the repeats of its key are to get the answer.
    pub fn go_on_alone(&mut self, now: Instant) -> bool {
        let sent = self.running.iter().any(|running| running.sent) || self.may_be_applied();
        let goes_on = self.holds_key && sent && self.stage != Stage::Ended;
        if goes_on {
            self.record.push(now, Decision::GoesOn);
        }
        goes_on
    }

    /// Whether one of its attempts may have had an effect, as far as their ends are known; an answer that says that
    /// nothing was done had none.
    #[must_use]
    pub fn may_be_applied(&self) -> bool {
        self.record.entries().iter().any(|entry| may_be_applied(entry.what))
    }

    /// Decides, once, what becomes of the key of a call that was the first with it. `answer` is what an instance gave the
    /// caller whole, said before [`Input::Finished`]; `applied` says that a call made in this one's place may have had an
    /// effect beside it. `None` for any other call.
    #[must_use]
    pub fn release_key(&mut self, service: &Service, answer: Option<WholeAnswer>, applied: bool) -> Option<KeyEnd> {
        if !std::mem::take(&mut self.holds_key) {
            return None;
        }
        let entries = self.record.entries();
        // The answer speaks for the attempt that gave it, which is the last one when it is this call's own.
        let own = answer.is_some() && matches!(self.stage, Stage::Streaming { .. });
        let last = entries.iter().rposition(|entry| own && matches!(entry.what, Decision::Head { .. }));
        let others = &entries[..last.unwrap_or(entries.len())];
        let applied = applied || others.iter().any(|entry| may_be_applied(entry.what));
        let honoured = self.retry_rule(service).is_some_and(|retry| retry.idempotency_key);
        Some(key_end(answer, applied, honoured))
    }

    /// Writes down what became of the key.
    pub fn tell_key(&mut self, now: Instant, end: KeyEnd) {
        self.record.push(now, Decision::Key(end));
    }

    /// Tells the breaker and the budget how the call went. The first word counts.
    fn settle(&mut self, service: &mut Service, now: Instant, outcome: CallOutcome) {
        let Some(permit) = self.breaker.take() else { return };
        if service.breaker.record(now, permit, outcome, now.since(self.began)) {
            service.fleet.outage_is_over(now);
        }
        if outcome == CallOutcome::Good {
            service.budget.success(now);
        }
    }

    /// Gives back what an attempt holds: it runs no more.
    fn release(&mut self, service: &mut Service, now: Instant, running: Running, clean: bool) {
        self.running.remove(running.attempt);
        service.fleet.finish(now, running.choice, clean);
        service.bulkhead.release(now);
    }

    fn release_all(&mut self, service: &mut Service, now: Instant, clean: bool) {
        while let Some(running) = self.running.any() {
            self.release(service, now, running, clean);
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
            self.outputs_waiting += 1;
        }
    }

    /// What the call would leave behind if it vanished now.
    fn held(&self) -> Option<Held> {
        let queued = matches!(self.stage, Stage::Queued { .. }).then_some(self.id);
        let is_anything = self.breaker.is_some() || !self.running.is_empty() || queued.is_some();
        is_anything.then(|| Held { breaker: self.breaker, attempts: self.running.choices(), queued })
    }
}

fn may_be_applied(what: Decision) -> bool {
    match what {
        Decision::Head { status, .. } => !invites_repeat(status, false),
        Decision::Failed { certainty, .. } | Decision::Cancelled { certainty, .. } => certainty != Certainty::NotSent,
        _ => false,
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
