//! A copy of a call to another service, whose answer nobody waits for.
//!
//! In: what a call was asked with, once it is over and its caller has the answer. Out: figures, and nothing else: it can
//! neither delay nor fail nor cost a caller anything. What holds:
//!
//! - It is a [`Call`] of its own to its own service, so that service's breaker, ejections and bulkhead stand before it;
//!   but it waits for nothing: without a permit or a connection at once it is given up.
//! - One attempt, no fallback, the time of the route; of an answer [`DISCARD_MAX`] bytes are read and thrown away.
//! - At most [`MIRRORS_MAX`] run at once on a worker; more are not begun. A copied body stays in the memory of
//!   `limits.buffers`, where it was kept already.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use mainstay_core::{Certainty, Failure, Instant};
use mainstay_http1::{BodyLength, OutgoingRequest};
use mainstay_policy::{AnswerFacts, AttemptOrder, Call, Facts, Freshness, Input, Output};
use mainstay_telemetry::{AttemptResult, Method, MirrorResult};

use crate::forward::FieldRules;
use crate::message::{Body, Reset};
use crate::timer::Timer;
use crate::upstream::{AnswerNews, Attempt, AttemptNews};
use crate::worker::{Found, ServiceCell, Worker};

/// Copies that one worker has under way at the most.
pub(crate) const MIRRORS_MAX: u32 = 32;

/// How much of an answer is read, so that its connection can be used again; a longer one is cut off.
const DISCARD_MAX: usize = 64 * 1024;

/// What tells an instance that nobody waits for its answer.
pub(crate) const MARK: &[u8] = b"x-mainstay-mirror";

/// What a call was asked with.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    /// `None`: the endpoint's address.
    pub(crate) host: Option<Vec<u8>>,
    /// The lines of the fields.
    pub(crate) fields: Vec<u8>,
    pub(crate) length: BodyLength,
    /// Which of the body's trailers go on.
    pub(crate) rules: FieldRules,
    pub(crate) body: Body,
}

/// A copy under way.
struct Mirror {
    worker: Rc<Worker>,
    service: Rc<ServiceCell>,
    copied: Copied,
    word: Method,
    freshness: Freshness,
    call: Call,
    attempt: Option<Attempt>,
    timer: Timer,
    now: Instant,
    /// The answer is being read.
    discards: bool,
    discarded: usize,
    result: MirrorResult,
    is_over: bool,
}

/// Sends a copy, for which [`Worker::begin_mirror`] has found room.
pub(crate) async fn send(worker: Rc<Worker>, service: Rc<ServiceCell>, copied: Copied, word: Method, facts: Facts) {
    let now = worker.clock.now();
    let mut call = service.call(now, worker.next_call(), facts, worker.record());
    service.set_retry(&mut call, now, &Arc::new(None));
    let mut mirror = Mirror {
        copied,
        word,
        freshness: Freshness::of(facts.method),
        call,
        attempt: None,
        timer: Timer::new(worker.clock),
        now,
        discards: false,
        discarded: 0,
        result: MirrorResult::Refused,
        is_over: false,
        worker,
        service,
    };
    mirror.input(Input::Begin);
    poll_fn(|cx| mirror.poll(cx)).await;
    mirror.end();
}

impl Mirror {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.now = self.worker.clock.now();
        loop {
            self.carry_out(cx);
            if self.is_over || self.call.has_ended() || self.call.is_queued() {
                return Poll::Ready(());
            }
            if self.poll_attempt(cx) {
                continue;
            }
            let deadline = self.call.poll_timeout().map(|deadline| deadline.at);
            if self.timer.poll(cx, self.now, deadline).is_pending() {
                return Poll::Pending;
            }
            self.now = self.worker.clock.now();
            self.service.time(&mut self.call, self.now);
        }
    }

    fn input(&mut self, input: Input) {
        self.service.input(&mut self.call, self.now, input);
    }

    fn carry_out(&mut self, cx: &mut Context<'_>) {
        while let Some(output) = self.call.poll_output() {
            match output {
                Output::Attempt(order) => self.begin_attempt(cx, order),
                Output::Cancel { .. } => {
                    let status = self.attempt.as_ref().and_then(|attempt| attempt.status);
                    self.end_attempt(AttemptResult::Failed(status.map_or(Failure::Timeout, Failure::Status)));
                }
                Output::Forward { .. } => self.discards = true,
                _ => self.is_over = true,
            }
        }
        self.service.admit(self.now);
    }

    fn begin_attempt(&mut self, cx: &mut Context<'_>, order: AttemptOrder) {
        self.result = MirrorResult::Failed;
        let number = order.attempt;
        let Some((address, key)) = self.service.destination(order.endpoint) else {
            return self.input(Input::Unable { attempt: number });
        };
        let mut attempt = Attempt::new(order, address, key, self.now);
        match self.service.checkout(self.now, order.endpoint, self.freshness, cx.waker()) {
            Some(Found::Reuse(connection)) => attempt.reuse(connection),
            Some(Found::Connect(id)) => attempt.connect(id),
            Some(Found::Wait) | None => self.result = MirrorResult::Refused,
        }
        let (waits, connects) = (attempt.is_waiting(), attempt.is_connecting());
        self.attempt = Some(attempt);
        if waits {
            self.unable(number);
        } else if !connects {
            self.input(Input::Connected { attempt: number });
        }
    }

    fn unable(&mut self, number: u8) {
        self.end_attempt(AttemptResult::Cancelled);
        self.input(Input::Unable { attempt: number });
    }

    fn fail(&mut self, number: u8, reset: Reset) {
        self.end_attempt(AttemptResult::Failed(reset.failure));
        self.input(Input::Failed { attempt: number, failure: reset.failure, certainty: reset.certainty });
    }

    /// Counts the attempt and gives its connection back.
    fn end_attempt(&mut self, result: AttemptResult) {
        let Some(mut attempt) = self.attempt.take() else { return };
        let lasted = self.now.since(attempt.began);
        self.worker.counters.borrow_mut().attempt(attempt.key, self.word, result, lasted);
        if let Some((id, connection)) = attempt.close(&self.worker.buffers) {
            self.service.checkin(self.now, attempt.order.endpoint, id, connection);
        }
    }

    fn poll_attempt(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(attempt) = &mut self.attempt else { return false };
        let number = attempt.order.attempt;
        if attempt.is_connecting() {
            match attempt.poll_connect(cx) {
                Poll::Pending => return false,
                Poll::Ready(AttemptNews::Failed(reset)) => self.fail(number, reset),
                Poll::Ready(AttemptNews::Unable) => self.unable(number),
                Poll::Ready(_) => self.input(Input::Connected { attempt: number }),
            }
            return true;
        }
        if !self.write_request(cx) {
            self.fail(number, Reset { failure: Failure::Malformed, certainty: Certainty::NotSent });
            return true;
        }
        if self.discards { self.discard(cx) } else { self.poll_head(cx, number) }
    }

    /// Writes what can be written; false when it cannot be put into HTTP.
    fn write_request(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(attempt) = &mut self.attempt else { return true };
        let number = attempt.order.attempt;
        let endpoint = address_text(attempt.address, self.copied.host.is_none());
        if let Some((machine, out)) = attempt.unwritten_head(&self.worker.buffers) {
            let head = OutgoingRequest {
                method: &self.copied.method,
                target: &self.copied.target,
                host: self.copied.host.as_deref().unwrap_or(endpoint.as_bytes()),
                body: self.copied.length,
                upgrade: false,
            };
            let written = machine.start_request(head, out).and_then(|()| {
                out.extend_from_slice(&self.copied.fields);
                machine.end_head(out)
            });
            if written.is_err() {
                return false;
            }
        }
        loop {
            attempt.take_body(&self.copied.body, &self.copied.rules, &self.worker.buffers);
            if !attempt.wants_to_write() {
                return true;
            }
            if !attempt.has_written() {
                let sent = Input::Sent { attempt: number };
                self.service.input(&mut self.call, self.now, sent);
            }
            if attempt.poll_write(cx).is_pending() {
                return true;
            }
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, number: u8) -> bool {
        let Some(attempt) = &mut self.attempt else { return false };
        match attempt.poll_head(cx, &self.worker.buffers) {
            Poll::Pending => return false,
            Poll::Ready(AttemptNews::Head(_)) => {
                let status = attempt.status.unwrap_or_default();
                attempt.head_done();
                self.result = if status < 500 { MirrorResult::Answered } else { MirrorResult::Failed };
                let head = AnswerFacts { status, retry_after: None, retries_used: false, replaceable: false };
                self.input(Input::Head { attempt: number, head });
            }
            Poll::Ready(AttemptNews::Interim(_)) => attempt.head_done(),
            Poll::Ready(AttemptNews::Failed(reset)) => self.fail(number, reset),
            Poll::Ready(AttemptNews::Connected | AttemptNews::Unable) => {}
        }
        true
    }

    /// Reads on in an answer that nobody wants.
    fn discard(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(attempt) = &mut self.attempt else { return false };
        let status = attempt.status.unwrap_or_default();
        let discarded = &mut self.discarded;
        let piece = attempt.poll_answer(cx, &self.worker.buffers, |news| match news {
            AnswerNews::Data(data) => {
                *discarded += data.len();
                (*discarded > DISCARD_MAX).then_some(true)
            }
            AnswerNews::End(..) => Some(true),
            AnswerNews::Broken => Some(false),
        });
        let Poll::Ready(end) = piece else { return false };
        if let Some(clean) = end {
            self.end_attempt(match (clean, status < 500) {
                (false, _) => AttemptResult::Interrupted(status),
                (true, true) => AttemptResult::Success(status),
                (true, false) => AttemptResult::Failed(Failure::Status(status)),
            });
            self.input(Input::Finished { clean });
        }
        true
    }

    fn end(mut self) {
        self.input(Input::CallerLeft);
        while self.call.poll_output().is_some() {}
        self.end_attempt(AttemptResult::Cancelled);
        self.service.admit(self.now);
        self.copied.body.release(&self.worker.buffers, &mut self.worker.purse());
        self.worker.give_back_record(self.call.take_record());
        self.worker.counters.borrow_mut().mirrored(self.service.key, self.result);
        self.worker.end_mirror();
    }
}

fn address_text(address: SocketAddr, is_wanted: bool) -> String {
    if is_wanted { address.to_string() } else { String::new() }
}
