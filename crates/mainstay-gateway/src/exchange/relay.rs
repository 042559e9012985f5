//! What is written: the request to an instance, and its answer to the caller.

use std::task::{Context, Poll};

use mainstay_core::{Certainty, Duration, Failure, UnixTime};
use mainstay_http1::{BodyKind, BodyLength, Known, OutgoingRequest, ResponseFacts, ResponseView, Version};
use mainstay_policy::{AnswerFacts, Input};
use mainstay_telemetry::AttemptResult;

use super::keeping::purse;
use super::{Answer, Exchange};
use crate::clock::unix_time;
use crate::forward::{
    RequestContext, ResponseContext, decimal, host_value, parse_date, write_interim_fields, write_request_fields,
    write_response_fields,
};
use crate::message::Reset;
use crate::upstream::AnswerNews;

impl Exchange<'_> {
    /// Writes what can be written of the request: its head, and the body as far as it has come, in one write where they
    /// fit.
    pub(super) fn write_request(&mut self, cx: &mut Context<'_>, number: u8) {
        let buffers = &self.parts.worker.buffers;
        let Some(attempt) = self.attempts.get_mut(number) else { return };
        let (address, deadline) = (attempt.address, attempt.order.deadline);
        if let Some((machine, out)) = attempt.unwritten_head(buffers) {
            let request = self.parts.caller.request();
            let head = OutgoingRequest {
                method: request.method(),
                target: &self.parts.scratch.target,
                host: host_value(&self.plan.route.host_header, request, address, &mut self.parts.scratch.host),
                body: self.plan.body,
                upgrade: false,
            };
            let context = RequestContext {
                rules: &self.plan.route.request_fields,
                peer: self.parts.peer,
                request_id: &self.parts.scratch.id,
                trace: &self.plan.trace,
                left: deadline.since(self.now),
                chunked: self.plan.body == BodyLength::Unknown,
            };
            let written = machine.start_request(head, out).and_then(|()| {
                write_request_fields(request, &context, &mut self.parts.scratch.forwarding, out);
                machine.end_head(out)
            });
            if written.is_err() {
                // Nothing of it went out, and no instance is to blame; but none can be asked either.
                return self.fail(number, Reset { failure: Failure::Malformed, certainty: Certainty::NotSent });
            }
        }
        loop {
            let Some(attempt) = self.attempts.get_mut(number) else { return };
            attempt.take_body(self.parts.body, &self.plan.route.request_fields, buffers);
            if !attempt.wants_to_write() {
                return;
            }
            if !attempt.has_written() {
                self.leg.service.input(&mut self.leg.call, self.now, Input::Sent { attempt: number });
            }
            if attempt.poll_write(cx).is_pending() {
                return;
            }
        }
    }

    /// The head of an answer came: the call decides what becomes of it.
    pub(super) fn head(&mut self, number: u8, framing: ResponseFacts) {
        let Some(attempt) = self.attempts.get_mut(number) else { return };
        attempt.framing = Some(framing);
        let Some(head) = attempt.answer_head().map(|view| facts_of(view, unix_time)) else { return };
        let replaceable = head.status >= 500 && self.find_stale().is_some();
        let head = AnswerFacts { replaceable, ..head };
        self.input(Input::Head { attempt: number, head });
    }

    /// An interim answer goes on to a caller that understands it, unless the answer may come from somebody else.
    pub(super) fn interim(&mut self, cx: &mut Context<'_>, number: u8, status: u16) {
        let is_alone = !self.attempts.are_several();
        let Some(attempt) = self.attempts.get_mut(number) else { return };
        if let Some(view) = attempt.answer_head().filter(|_| status != 100 && is_alone) {
            let (_, machine, out) = self.parts.caller.answer(&self.parts.worker.buffers);
            if machine.start_interim(status, out) {
                write_interim_fields(view, out);
                mainstay_http1::end_of_head(out);
                // What does not go out at once goes with the answer.
                let _ = self.parts.caller.poll_flush(cx);
            }
        }
        attempt.head_done();
    }

    /// Writes the head of the answer down: from here on there is no other answer.
    pub(super) fn forward(&mut self, number: u8, retries_used: bool) {
        self.begin_taking(number);
        let limit = self.limit_told();
        let Some(attempt) = self.attempts.get_mut(number) else { return };
        let (Some(framing), Some(view)) = (attempt.framing, attempt.answer_head()) else { return };
        self.relayed = Some((number, framing));
        let length = length_of(framing);
        if !self.parts.caller.machine.request_complete() || self.parts.worker.is_draining() {
            // Nobody knows whether the rest of the request will come, so this connection is not promised to go on.
            self.parts.caller.machine.close_after_response();
        }
        let (request, machine, out) = self.parts.caller.answer(&self.parts.worker.buffers);
        let date = self.parts.worker.date.borrow();
        let context = ResponseContext {
            rules: &self.plan.route.response_fields,
            request_id: &self.parts.scratch.id,
            date: date.value(),
            limit,
            retries_used,
            chunked: length == BodyLength::Unknown && request.version() == Version::Http11,
            again: None,
        };
        let written = machine.start_response(view.status(), length, out).and_then(|()| {
            write_response_fields(view, &context, out);
            machine.end_head(out)
        });
        self.status = view.status();
        attempt.head_done();
        self.answer = Answer::Relaying;
        drop(date);
        if written.is_err() {
            self.broken();
        }
    }

    /// Passes the answer's body on as fast as the caller takes it.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while self.answer == Answer::Relaying {
            if self.parts.caller.capacity() == 0 && self.parts.caller.poll_flush(cx).is_pending() {
                return moved;
            }
            if self.parts.caller.is_broken() && self.alone.is_none() {
                return self.caller_left();
            }
            match self.poll_piece(cx) {
                Poll::Pending => break,
                Poll::Ready(Piece::Passed) => {}
                Poll::Ready(Piece::Last) => self.answered(),
                Poll::Ready(Piece::Broken) => self.broken(),
            }
            moved = true;
        }
        moved | self.poll_flush(cx)
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        if let Some(piece) = self.give_piece() {
            return Poll::Ready(piece);
        }
        let (worker, buffers) = (self.parts.worker, &self.parts.worker.buffers);
        let (taking, key) = (&mut self.taking, &mut self.key);
        let relayed = self.relayed.and_then(|(number, _)| self.attempts.get_mut(number));
        let Some(attempt) = relayed else { return Poll::Ready(Piece::Broken) };
        let (_, machine, out) = self.parts.caller.answer(buffers);
        let (sent, rules) = (&mut self.sent, &self.plan.route.response_fields);
        attempt.poll_answer(cx, buffers, |news| {
            let written = match news {
                AnswerNews::Data(data) => {
                    *sent += data.len() as u64;
                    if let Some(taking) = taking {
                        taking.push(data, &mut purse(key, worker));
                    }
                    machine.data(data, out).map(|()| Piece::Passed)
                }
                AnswerNews::End(fields, bytes) => {
                    let trailers = fields.iter().map(|field| (field.name.of(bytes), field.value.of(bytes)));
                    machine.finish(trailers.filter(|(name, _)| rules.lets_trail(name)), out).map(|()| Piece::Last)
                }
                AnswerNews::Broken => Ok(Piece::Broken),
            };
            written.unwrap_or(Piece::Broken)
        })
    }

    /// Flushes what was written; when all of a forwarded answer is out the call is told.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> bool {
        let waiting = !self.parts.caller.is_flushed();
        if waiting && self.parts.caller.poll_flush(cx).is_pending() {
            return false;
        }
        if self.parts.caller.is_broken() && self.alone.is_none() && !self.leg.call.has_ended() {
            return self.caller_left();
        }
        if self.answer == Answer::Written && !self.leg.call.has_ended() {
            self.input(Input::Finished { clean: true });
            while !self.outer.is_empty() {
                self.leave_fallback(true);
            }
            return true;
        }
        waiting
    }

    /// The answer is complete: the instance's part is done, whether or not the caller has all of it yet.
    fn answered(&mut self) {
        let status = self.status;
        self.answer = Answer::Written;
        self.keep_answer();
        self.end_relayed(if status < 500 {
            AttemptResult::Success(status)
        } else {
            AttemptResult::Failed(Failure::Status(status))
        });
    }

    /// The instance broke its answer off, and the caller must not take what it has for the whole.
    fn broken(&mut self) {
        let status = self.status;
        self.end_relayed(AttemptResult::Interrupted(status));
        self.input(Input::Finished { clean: false });
        while !self.outer.is_empty() {
            self.leave_fallback(true);
        }
        self.abort();
    }

    /// Breaks the caller's connection off.
    pub(super) fn abort(&mut self) {
        self.end_relayed(AttemptResult::Interrupted(self.status));
        self.answer = Answer::Aborted;
        // A body that ends with the connection would look whole; any other shows that a part is missing.
        let until_close = self.parts.caller.request().version() == Version::Http10
            && self.relayed.is_some_and(|(_, framing)| length_of(framing) == BodyLength::Unknown);
        self.parts.caller.break_off(until_close);
    }

    fn end_relayed(&mut self, result: AttemptResult) {
        if let Some((number, _)) = self.relayed {
            self.end_attempt(number, result);
        }
    }

    /// Nothing has passed for as long as may be: whose silence is it?
    pub(super) fn silence(&mut self) {
        if self.parts.caller.is_flushed() {
            self.broken();
        } else if !self.goes_on_alone() {
            self.caller_left();
            // What it has not read is lost, so the end of the connection must not look like that of the answer.
            self.abort();
        }
    }
}

/// What became of a piece of an answer.
pub(super) enum Piece {
    Passed,
    Last,
    Broken,
}

fn length_of(framing: ResponseFacts) -> BodyLength {
    match (framing.body, framing.content_length) {
        (BodyKind::Length(length), _) | (BodyKind::None, Some(length)) => BodyLength::Exactly(length),
        (BodyKind::None, None) => BodyLength::Empty,
        (BodyKind::Chunked | BodyKind::UntilClose, _) => BodyLength::Unknown,
    }
}

/// What the head says to the decisions.
fn facts_of(view: ResponseView<'_>, now: impl Fn() -> UnixTime) -> AnswerFacts {
    let until = |date: u64| date.saturating_sub(now().as_nanos() / 1_000_000_000);
    let wait = view.get(Known::RetryAfter);
    let seconds = wait.and_then(|value| decimal(value, 9).or_else(|| parse_date(value).map(until)));
    AnswerFacts {
        status: view.status(),
        retry_after: seconds.map(Duration::from_secs),
        retries_used: view.get(Known::XMainstayRetries).is_some_and(|value| value == b"used"),
        replaceable: false,
    }
}

#[cfg(test)]
mod tests {
    use mainstay_http1::{Limits, ResponseHead, ResponseParser};

    use super::*;

    fn retry_after(value: &str) -> Option<Duration> {
        let bytes = format!("HTTP/1.1 503 Service Unavailable\r\nRetry-After: {value}\r\n\r\n");
        let mut head = ResponseHead::default();
        ResponseParser::new(Limits::default()).parse(bytes.as_bytes(), false, &mut head).unwrap().unwrap();
        let now = || UnixTime::from_nanos(784_111_777_000_000_000);
        facts_of(head.view(bytes.as_bytes()), now).retry_after
    }

    #[test]
    fn an_instance_may_name_a_length_of_time_or_a_date() {
        assert_eq!(retry_after("3"), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:39 GMT"), Some(Duration::from_secs(2)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:30 GMT"), Some(Duration::ZERO), "that has passed");
        assert_eq!(retry_after("soon"), None);
    }
}
