//! Attempts, from the call's order to the head of an answer or a failure.

use std::task::{Context, Poll};

use mainstay_core::{Certainty, Failure};
use mainstay_policy::{AttemptOrder, AttemptReason, Decision, Entry, Freshness, Input};
use mainstay_telemetry::AttemptResult;

use super::Exchange;
use crate::message::Reset;
use crate::upstream::{Attempt, AttemptNews};
use crate::worker::Found;

impl Exchange<'_> {
    pub(super) fn begin_attempt(&mut self, cx: &mut Context<'_>, order: AttemptOrder) {
        if let (AttemptReason::Retry | AttemptReason::Resend, Some(failure)) = (order.why, self.leg.last_failure) {
            self.parts.worker.counters.borrow_mut().retry(self.leg.service.key, failure);
        }
        // The endpoint was chosen in this very step, so it is there.
        let Some((address, key)) = self.leg.service.destination(order.endpoint) else {
            return self.fail(order.attempt, Reset { failure: Failure::Unreachable, certainty: Certainty::NotSent });
        };
        self.framing = None;
        self.attempt = Some(Attempt::new(order, address, key, self.now));
        self.find_connection(cx);
    }

    fn find_connection(&mut self, cx: &mut Context<'_>) {
        let Some(attempt) = &mut self.attempt else { return };
        let needs = if self.stale { Freshness::New } else { Freshness::of(self.plan.facts.method) };
        let number = attempt.order.attempt;
        match self.leg.service.checkout(self.now, attempt.order.endpoint, needs, cx.waker()) {
            Some(Found::Reuse(connection)) => {
                attempt.reuse(connection);
                self.input(Input::Connected { attempt: number });
            }
            Some(Found::Connect(id)) => attempt.connect(id),
            Some(Found::Wait) => self.input(Input::Waits { attempt: number }),
            None => self.fail(number, Reset { failure: Failure::Unreachable, certainty: Certainty::NotSent }),
        }
    }

    /// The attempt is over without an answer.
    pub(super) fn fail(&mut self, number: u8, reset: Reset) {
        self.stale = self.attempt.as_ref().is_some_and(Attempt::was_reused) && reset.failure == Failure::Reset;
        self.end_attempt(AttemptResult::Failed(reset.failure));
        let Reset { failure, certainty } = reset;
        self.input(Input::Failed { attempt: number, failure, certainty });
    }

    /// The attempt cannot be made, for what we lack ourselves.
    fn unable(&mut self, number: u8) {
        self.end_attempt(AttemptResult::Cancelled);
        self.input(Input::Unable { attempt: number });
    }

    /// The call gives the attempt up.
    pub(super) fn cancel(&mut self, number: u8) {
        if let Some(attempt) = self.attempt.as_mut().filter(|attempt| attempt.order.attempt == number) {
            attempt.skim();
            let result = result_of_cancelled(self.leg.call.record().entries(), number);
            self.end_attempt(result);
        }
    }

    /// Counts the attempt and gives its connection back.
    pub(super) fn end_attempt(&mut self, result: AttemptResult) {
        let Some(mut attempt) = self.attempt.take() else { return };
        if let AttemptResult::Failed(failure) = result {
            self.leg.last_failure = Some(failure);
        }
        let lasted = self.now.since(attempt.began);
        self.parts.worker.counters.borrow_mut().attempt(attempt.key, self.plan.asker.method, result, lasted);
        let endpoint = attempt.order.endpoint;
        if let Some((id, connection)) = attempt.close(&self.parts.worker.buffers) {
            self.leg.service.checkin(self.now, endpoint, id, connection);
        }
    }

    pub(super) fn poll_attempt(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(attempt) = &mut self.attempt else { return false };
        if attempt.is_waiting() {
            self.find_connection(cx);
            return !self.attempt.as_ref().is_some_and(Attempt::is_waiting);
        }
        let number = attempt.order.attempt;
        if attempt.is_connecting() {
            return match attempt.poll_connect(cx) {
                Poll::Ready(AttemptNews::Failed(reset)) => {
                    self.fail(number, reset);
                    true
                }
                Poll::Ready(AttemptNews::Unable) => {
                    self.unable(number);
                    true
                }
                Poll::Ready(_) => {
                    self.input(Input::Connected { attempt: number });
                    true
                }
                Poll::Pending => false,
            };
        }
        let before = attempt.sent();
        self.write_request(cx);
        let Some(attempt) = &mut self.attempt else { return true };
        let moved = attempt.sent() > before;
        if attempt.status.is_some() {
            return moved;
        }
        match attempt.poll_head(cx, &self.parts.worker.buffers) {
            Poll::Pending => moved,
            Poll::Ready(AttemptNews::Head(framing)) => {
                self.head(number, framing);
                true
            }
            Poll::Ready(AttemptNews::Interim(status)) => {
                self.interim(cx, status);
                true
            }
            Poll::Ready(AttemptNews::Failed(reset)) => {
                self.fail(number, reset);
                true
            }
            Poll::Ready(AttemptNews::Connected | AttemptNews::Unable) => true,
        }
    }
}

/// Why an attempt was given up, as the call's record has it.
fn result_of_cancelled(entries: &[Entry], number: u8) -> AttemptResult {
    let of_it = entries.iter().rev().find_map(|entry| match entry.what {
        Decision::Failed { attempt, failure, .. } if attempt == number => Some(AttemptResult::Failed(failure)),
        Decision::Head { attempt, status } if attempt == number => Some(AttemptResult::Failed(Failure::Status(status))),
        _ => None,
    });
    of_it.unwrap_or(AttemptResult::Cancelled)
}
