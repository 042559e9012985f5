//! Attempts, from the call's order to the head of an answer or a failure.
//!
//! Each has a place of its own and goes its own way; what one of them tells the call may end another, so what the call
//! says is carried out before the next one is looked at.

use std::task::{Context, Poll};

use mainstay_core::{Certainty, Failure};
use mainstay_policy::{AttemptOrder, AttemptReason, Decision, Entry, Freshness, HEDGES_MAX, Input};
use mainstay_telemetry::AttemptResult;

use super::Exchange;
use crate::message::Reset;
use crate::upstream::{Attempt, AttemptNews};
use crate::worker::Found;

/// Attempts of one call that can run at once.
const PLACES: usize = 1 + HEDGES_MAX as usize;

/// The attempts under way.
#[derive(Debug, Default)]
pub(super) struct Attempts([Option<Attempt>; PLACES]);

impl Attempts {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Attempt> {
        self.0.iter().filter_map(Option::as_ref)
    }

    pub(super) fn get(&self, number: u8) -> Option<&Attempt> {
        self.iter().find(|attempt| attempt.order.attempt == number)
    }

    pub(super) fn get_mut(&mut self, number: u8) -> Option<&mut Attempt> {
        self.0.iter_mut().filter_map(Option::as_mut).find(|attempt| attempt.order.attempt == number)
    }

    pub(super) fn are_several(&self) -> bool {
        self.iter().nth(1).is_some()
    }

    /// The number of the attempt at a place.
    fn number_at(&self, place: usize) -> Option<u8> {
        self.0[place].as_ref().map(|attempt| attempt.order.attempt)
    }

    fn add(&mut self, attempt: Attempt) {
        // The call runs no more at once than there are places.
        if let Some(free) = self.0.iter_mut().find(|place| place.is_none()) {
            *free = Some(attempt);
        }
    }

    fn take(&mut self, number: u8) -> Option<Attempt> {
        self.0.iter_mut().find_map(|place| place.take_if(|attempt| attempt.order.attempt == number))
    }
}

impl Exchange<'_> {
    pub(super) fn begin_attempt(&mut self, cx: &mut Context<'_>, order: AttemptOrder) {
        if let (AttemptReason::Retry | AttemptReason::Resend, Some(failure)) = (order.why, self.leg.last_failure) {
            self.parts.worker.counters.borrow_mut().retry(self.leg.service.key, failure);
        }
        // The endpoint was chosen in this very step, so it is there.
        let Some((address, key)) = self.leg.service.destination(order.endpoint) else {
            return self.fail(order.attempt, Reset { failure: Failure::Unreachable, certainty: Certainty::NotSent });
        };
        self.attempts.add(Attempt::new(order, address, key, self.now));
        self.find_connection(cx, order.attempt);
    }

    fn find_connection(&mut self, cx: &mut Context<'_>, number: u8) {
        let Some(attempt) = self.attempts.get_mut(number) else { return };
        let needs = if self.stale { Freshness::New } else { Freshness::of(self.plan.facts.method) };
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
        self.stale = self.attempts.get(number).is_some_and(Attempt::was_reused) && reset.failure == Failure::Reset;
        self.end_attempt(number, AttemptResult::Failed(reset.failure));
        let Reset { failure, certainty } = reset;
        self.input(Input::Failed { attempt: number, failure, certainty });
    }

    /// The attempt cannot be made, for what we lack ourselves.
    fn unable(&mut self, number: u8) {
        self.end_attempt(number, AttemptResult::Cancelled);
        self.input(Input::Unable { attempt: number });
    }

    /// The call gives the attempt up.
    pub(super) fn cancel(&mut self, number: u8) {
        if let Some(attempt) = self.attempts.get_mut(number) {
            attempt.skim();
            let result = result_of_cancelled(self.leg.call.record().entries(), number);
            self.end_attempt(number, result);
        }
    }

    /// Counts the attempt and gives its connection back.
    pub(super) fn end_attempt(&mut self, number: u8, result: AttemptResult) {
        let Some(mut attempt) = self.attempts.take(number) else { return };
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

    /// Nobody waits for any of them any more, and the call has no word for it.
    pub(super) fn end_all_attempts(&mut self) {
        for place in 0..PLACES {
            let Some(attempt) = &self.attempts.0[place] else { continue };
            let result = attempt.status.map_or(AttemptResult::Cancelled, AttemptResult::Interrupted);
            self.end_attempt(attempt.order.attempt, result);
        }
    }

    pub(super) fn poll_attempts(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        for place in 0..PLACES {
            if moved && self.attempts.number_at(place).is_some() {
                self.carry_out(cx);
            }
            if let Some(number) = self.attempts.number_at(place) {
                moved |= self.poll_attempt(cx, number);
            }
        }
        if moved {
            self.carry_out(cx);
        }
        moved
    }

    fn poll_attempt(&mut self, cx: &mut Context<'_>, number: u8) -> bool {
        let Some(attempt) = self.attempts.get_mut(number) else { return false };
        if attempt.is_waiting() {
            self.find_connection(cx, number);
            return !self.attempts.get(number).is_some_and(Attempt::is_waiting);
        }
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
        if !attempt.is_out() {
            self.write_request(cx, number);
        }
        let Some(attempt) = self.attempts.get_mut(number) else { return true };
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
                self.interim(cx, number, status);
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
