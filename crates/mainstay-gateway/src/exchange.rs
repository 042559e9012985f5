//! One call between a caller and the instances that are tried for it: the driver of [`Call`] on sockets.
//!
//! In: a [`Plan`] and the caller's connection. Out: an answer on that connection, a line in the log, a record, counters.
//! [`Call`] decides everything; here its outputs are carried out and it is told what happened. It is one future, polled
//! by hand, because a call waits for several things at once (the rest of the request, an instance, the caller's leaving,
//! a turn in the queue, a deadline) and each of them may change what the others mean.
//!
//! - A call begins when its body is there, so that a slow caller holds nothing that others wait for ([`arriving`]).
//! - In steady state a request costs two reads, two writes and no allocation: everything it needs was used before.
//! - Several attempts may run side by side; each writes the request anew from the body that is kept, and from the moment
//!   that one of them is forwarded there is no other.
//! - Neither direction holds more than [`crate::message::CAPACITY`] bytes that its reader has not taken.
//! - Whatever way it ends, each attempt is counted once, and the call gives back what it held.

mod arriving;
mod asking;
mod attempts;
mod keeping;
mod mirroring;
mod own;
mod relay;
mod settle;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use mainstay_core::{CallId, Duration, Failure, Instant};
use mainstay_http1::ResponseFacts;
use mainstay_policy::{
    AttemptOrder, Call, Decision, Facts, Input, KeepTerms, LimitId, LimitVerdict, Output, RefuseOrder, RetrySettings,
    Turn,
};
use mainstay_telemetry::LimitKey;

use crate::answer::Problem;
use crate::caller::CallerSide;
use crate::clock::Clock;
use crate::forward::{Peer, RateLimitTold};
use crate::idempotency::HeldKey;
use crate::kept::Taking;
use crate::limits::{Asking, Hearing};
use crate::message::Body;
use crate::plan::{Plan, Scratch, has_stale, hash_for};
use crate::timer::Timer;
use crate::worker::{Local, ServiceCell, Worker};

use attempts::Attempts;
use keeping::{Giving, kept_for_key};
pub(crate) use own::answer_alone;
use settle::Told;

/// How often a caller that has ended its sending side is looked after (see [`CallerSide::poll_gone`]).
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// How long an answer of our own may take to be read.
const FLUSH_MAX: Duration = Duration::from_secs(10);

/// What an exchange uses of its connection and its worker.
pub(crate) struct Parts<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) local: &'a Local,
    pub(crate) caller: &'a mut CallerSide,
    pub(crate) timer: &'a mut Timer,
    pub(crate) body: &'a mut Body,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) peer: &'a Peer,
}

/// A call and the service that it is made to.
struct Leg {
    call: Call,
    service: Rc<ServiceCell>,
    /// Its position in [`Local::services`].
    index: usize,
    /// It stands in the service's queue.
    queued: bool,
    last_failure: Option<Failure>,
    /// The attempts that came here to be made, by their bits: a drill ends others before.
    ordered: u16,
    clock: Clock,
}

/// What the caller has of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Nothing,
    /// The head of an instance's answer, and its body is passing.
    Relaying,
    /// All of it is written, though perhaps not flushed.
    Written,
    /// It was broken off.
    Aborted,
}

/// One call on sockets.
pub(crate) struct Exchange<'a> {
    parts: Parts<'a>,
    plan: Plan<'a>,
    leg: Leg,
    /// Calls whose fallback the current one is, the caller's own first.
    outer: Vec<Leg>,
    attempts: Attempts,
    /// Which attempt's answer goes down, and what its head says of its framing.
    relayed: Option<(u8, ResponseFacts)>,
    answer: Answer,
    now: Instant,
    /// When a byte last passed.
    moved: Instant,
    /// What the rate limits said.
    hearing: Hearing,
    /// The status that went down.
    status: u16,
    /// Bytes of the answer's body.
    sent: u64,
    /// The attempt before broke on a used connection.
    stale: bool,
    told_not_kept: bool,
    /// What the call was told last of whom it waits for.
    awaits_body: bool,
    /// It was waited for the body before the call began.
    waited: bool,
    /// It was asked in this poll whether the caller has gone. The runtime learns nothing new before the next one.
    watched: bool,
    /// What was wrong with the request, where its caller could be told.
    problem: Option<Problem>,
    /// The attempts of the calls that were made in place of the caller's own.
    told: Vec<Told>,
    /// The key of the request, where its first answer is kept; what the call holds is taken from its memory.
    key: Option<Box<HeldKey>>,
    /// The status of the first answer of the key, where that is not kept.
    first_status: Option<u16>,
    /// The answer that passes, for those to whom it is to be given again.
    taking: Option<Box<Taking>>,
    /// The terms on which it may stand in for its service.
    terms: Option<KeepTerms>,
    /// A kept answer that is given.
    giving: Option<Giving>,
    /// A call in place of the caller's own may have had an effect.
    applied: bool,
    /// The caller left, having got this status, and the call goes on.
    alone: Option<u16>,
}

impl<'a> Exchange<'a> {
    /// A call that has not begun.
    pub(crate) fn new(parts: Parts<'a>, plan: Plan<'a>, now: Instant) -> Self {
        Self {
            leg: Leg::new(&parts, plan.service, plan.asker.call, plan.facts, now),
            parts,
            plan,
            outer: Vec::new(),
            attempts: Attempts::default(),
            relayed: None,
            answer: Answer::Nothing,
            now,
            moved: now,
            hearing: Hearing::default(),
            status: 0,
            sent: 0,
            stale: false,
            told_not_kept: false,
            awaits_body: false,
            waited: false,
            watched: false,
            problem: None,
            told: Vec::new(),
            key: None,
            first_status: None,
            taking: None,
            terms: None,
            giving: None,
            applied: false,
            alone: None,
        }
    }

    /// Says what applies to the call and its body before either begins. Not a part of [`Exchange::new`], whose result
    /// would be moved once more for it.
    fn prepare(&mut self) {
        self.set_retry();
        self.key = self.read_key();
        let keep = self.kept_for_retries();
        self.parts.body.begin(if self.plan.facts.keyed { kept_for_key(keep) } else { keep });
        if self.parts.caller.machine.request_complete() {
            self.parts.body.finish(&[], &[]);
        }
    }

    /// How much of the request's body is kept for another attempt.
    fn kept_for_retries(&self) -> usize {
        match &self.plan.route.retry {
            Some(rule) => kept_of_body(rule.as_ref().as_ref()),
            None => kept_of_body(self.leg.service.settings().settings().retry.as_ref()),
        }
    }

    fn set_retry(&mut self) {
        if let Some(rule) = &self.plan.route.retry {
            self.leg.service.set_retry(&mut self.leg.call, self.now, rule);
        }
    }

    /// Makes the call; false when the connection is to close.
    ///
    /// By reference, for it is far too large to be moved for each request.
    pub(crate) async fn run(&mut self) -> bool {
        self.prepare();
        let (mut awaits, mut begun) = (false, false);
        poll_fn(|cx| {
            if std::mem::replace(&mut awaits, true) {
                self.now = self.parts.worker.clock.now();
            }
            if !begun {
                ready!(self.poll_begin(cx));
                begun = true;
            }
            self.poll(cx)
        })
        .await;
        self.settle();
        self.answer == Answer::Written && !self.parts.caller.is_broken()
    }

    /// When it was over.
    pub(crate) fn ended(&self) -> Instant {
        self.now
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.watched = false;
        loop {
            self.carry_out(cx);
            let mut moved = self.poll_caller(cx);
            moved |= self.poll_attempts(cx);
            moved |= self.poll_answer(cx);
            moved |= self.poll_queue(cx);
            moved |= self.poll_key(cx);
            // Only then, for a caller whose answer has come need not be looked after.
            moved = moved || self.poll_gone(cx);
            self.take_turns(cx);
            if moved {
                self.moved = self.now;
            }
            if self.is_over() {
                return Poll::Ready(());
            }
            if moved {
                continue;
            }
            self.tell_awaiting();
            if self.poll_timer(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn is_over(&self) -> bool {
        let caller = &self.parts.caller;
        self.leg.call.has_ended()
            && !self.leg.call.has_output()
            && self.outer.is_empty()
            && match self.answer {
                Answer::Nothing | Answer::Aborted => true,
                Answer::Relaying => false,
                Answer::Written => caller.is_flushed() || caller.is_broken(),
            }
    }

    fn input(&mut self, input: Input) {
        self.leg.service.input(&mut self.leg.call, self.now, input);
    }

    /// Does what the call says until it says no more.
    fn carry_out(&mut self, cx: &mut Context<'_>) {
        while let Some(output) = self.leg.call.poll_output() {
            match output {
                Output::AskLimits => self.ask_limits(),
                Output::AskKey => self.ask_key(cx),
                Output::Replay => self.replay(),
                Output::Attempt(order) => {
                    self.leg.note(&order);
                    self.begin_attempt(cx, order);
                }
                Output::Cancel { attempt } => self.cancel(attempt),
                Output::Forward { attempt, retries_used } => self.forward(attempt, retries_used),
                Output::AskStale => self.ask_stale(),
                Output::LookForStale { attempt } => self.look_for_stale(attempt),
                Output::RespondStale(order) => self.respond_stale(&order),
                Output::FallbackService => self.enter_fallback(),
                Output::Respond => self.respond(),
                Output::Refuse(order) => self.refuse(&order),
                Output::Abort => self.abort(),
            }
        }
    }

    /// Lets the calls go on whose wait for the service is over.
    fn take_turns(&mut self, cx: &mut Context<'_>) {
        if !self.leg.queued && self.leg.call.is_queued() {
            self.leg.queued = true;
            self.leg.service.wait(self.leg.call.id(), cx.waker());
        }
        // Only now: a permit that comes free on another worker this moment is declined for a call that nobody knows.
        self.leg.service.admit(self.now);
    }

    fn ask_limits(&mut self) {
        let asking = Asking {
            request: self.parts.caller.request(),
            path: &self.parts.scratch.canonical,
            client: self.plan.asker.client,
            trusted: self.parts.peer.trusted,
            deadline: self.plan.facts.deadline,
        };
        let shared = &self.parts.local.shared;
        let said = shared.rate_limits.ask(self.now, &self.plan.route.rate_limits, &asking, &mut self.hearing);
        // A route whose limits are all gone has none.
        let (limit, verdict) = said.map_or((LimitId::NONE, LimitVerdict::FREE), |said| {
            (shared.limit_keys.get(said.id.0).map_or(LimitId::NONE, LimitKey::id), said.verdict)
        });
        self.input(Input::Limits { limit, verdict });
    }

    /// The limit that refused the call, or is nearest to it.
    fn limit_told(&self) -> Option<RateLimitTold<'a>> {
        let said = self.hearing.strictest()?;
        let name = &self.parts.local.shared.rate_limits.get(said.id)?.name;
        Some(RateLimitTold { name, verdict: said.verdict, since: self.now.since(said.at) })
    }

    fn refuse(&mut self, order: &RefuseOrder) {
        if self.outer.is_empty() {
            self.write_refusal(order);
        } else {
            self.leave_fallback(false);
        }
    }

    fn respond(&mut self) {
        let answer = self.parts.local.shared.config.services.get(self.leg.index);
        match answer.and_then(|service| service.fallback.respond.as_ref()) {
            Some(answer) => self.write_fixed(answer),
            // A reload took it away while the call ran on settings that had it.
            None => self.abort(),
        }
        while !self.outer.is_empty() {
            self.leave_fallback(true);
        }
    }

    /// Lets the service that answers in this one's place be called.
    fn enter_fallback(&mut self) {
        let service = self.parts.local.shared.config.services.get(self.leg.index);
        let next = service.and_then(|service| service.fallback.service).map(|id| id.0);
        let next = next.filter(|index| *index < self.parts.local.services.len());
        let body = &self.parts.body;
        let Some(index) = next.filter(|_| body.is_kept()) else {
            return self.input(Input::FallbackEnded { answered: false });
        };
        let request = self.parts.caller.request();
        let path = &self.parts.scratch.canonical;
        let hash = hash_for(self.parts.local, index, request, path, self.plan.asker.client);
        let stale = has_stale(self.parts.local, index, request);
        let facts = Facts { hash, limited: false, keyed: false, stale, ..self.plan.facts };
        let leg = Leg::new(&self.parts, index, self.parts.worker.next_call(), facts, self.now);
        self.outer.push(std::mem::replace(&mut self.leg, leg));
        self.input(Input::Begin);
    }

    /// The fallback's call is over; the call before it goes on.
    fn leave_fallback(&mut self, answered: bool) {
        if let Some(outer) = self.outer.pop() {
            let inner = std::mem::replace(&mut self.leg, outer);
            self.settle_leg(inner);
            self.input(Input::FallbackEnded { answered });
        }
    }

    fn poll_queue(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.leg.queued {
            return false;
        }
        match self.leg.service.admission(self.leg.call.id()) {
            Some(turn) => {
                self.leg.queued = false;
                self.input(Input::Admitted { turn });
                true
            }
            None => {
                self.leg.service.wait(self.leg.call.id(), cx.waker());
                false
            }
        }
    }

    /// Ready when a deadline came and something may be different now.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let stream = match self.answer {
            Answer::Nothing | Answer::Aborted => None,
            Answer::Relaying => Some(self.moved + self.plan.route.stream_idle),
            Answer::Written if self.leg.call.has_ended() => Some(self.moved + FLUSH_MAX),
            Answer::Written => Some(self.moved + self.plan.route.stream_idle),
        };
        let watched = self.alone.is_none() && self.parts.body.is_complete();
        let look = (watched && self.parts.caller.has_ended()).then(|| self.now + LOOK_AGAIN);
        let call = self.leg.call.poll_timeout().map(|deadline| deadline.at);
        let deadline = [stream, look, call].into_iter().flatten().min();
        let due = self.parts.timer.poll(cx, self.now, deadline);
        if due.is_ready() {
            self.now = self.parts.worker.clock.now();
            self.leg.service.time(&mut self.leg.call, self.now);
            if stream.is_some_and(|at| at <= self.now) {
                self.silence();
            }
            if !self.leg.call.is_queued() {
                self.leave_queue();
            }
        }
        due
    }

    /// The call stands in the queue no longer; a permit that was on its way to it goes to somebody else.
    fn leave_queue(&mut self) {
        if std::mem::take(&mut self.leg.queued) && self.leg.service.forget(self.leg.call.id()) {
            self.input(Input::Admitted { turn: Turn::Granted });
        }
    }
}

/// How much of a request's body is kept for another attempt.
fn kept_of_body(rule: Option<&RetrySettings>) -> usize {
    rule.map_or(0, |rule| rule.buffer.as_usize())
}

impl Leg {
    #[inline]
    fn new(parts: &Parts<'_>, index: usize, id: CallId, facts: Facts, now: Instant) -> Self {
        let service = Rc::clone(&parts.local.services[index]);
        Self {
            call: service.call(now, id, facts, parts.worker.record()),
            service,
            index,
            queued: false,
            last_failure: None,
            ordered: 0,
            clock: parts.worker.clock,
        }
    }

    /// An attempt is to be made. What failed before it is read from the record, which knows of drills too.
    fn note(&mut self, order: &AttemptOrder) {
        self.ordered |= 1 << order.attempt;
        if order.attempt > 0 {
            let failed = self.call.record().entries().iter().rev().find_map(|entry| match entry.what {
                Decision::Failed { failure, .. } => Some(failure),
                Decision::Head { status, .. } => Some(Failure::Status(status)),
                _ => None,
            });
            self.last_failure = failed.or(self.last_failure);
        }
    }
}
