//! The caller's side of a call: the request's body, and whether anybody waits for the answer.

use std::task::{Context, Poll};

use mainstay_core::{Duration, Limit};
use mainstay_policy::{AttemptOrder, AttemptReason, Input, Output};
use mainstay_telemetry::AttemptResult;

use super::keeping::purse;
use super::{Answer, Exchange};
use crate::answer::Problem;
use crate::message::BodyNews;
use crate::upstream::Attempt;

impl Exchange<'_> {
    /// Takes what comes of the request's body.
    pub(super) fn poll_caller(&mut self, cx: &mut Context<'_>) -> bool {
        if self.parts.body.is_complete() || !self.is_waited_for() {
            return false;
        }
        let is_connected = self.attempts.iter().any(|attempt| !attempt.is_connecting());
        if is_connected && self.parts.caller.machine.expects_continue() {
            self.send_continue(cx);
        }
        // What the slowest has not sent must not be dropped.
        let sent = self.attempts.iter().map(Attempt::sent).min();
        let worker = self.parts.worker;
        let news = self.parts.caller.poll_body(cx, self.parts.body, sent, &worker.buffers);
        self.parts.body.pay(&mut purse(&mut self.key, worker));
        match news {
            Poll::Pending => false,
            Poll::Ready(BodyNews::Data | BodyNews::End) => self.body_came(),
            Poll::Ready(BodyNews::Refused(reject)) => self.bad_request(Problem::Rejected(reject)),
            Poll::Ready(BodyNews::Left) => self.caller_left(),
        }
    }

    /// Looks after a caller who has sent everything and waits.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> bool {
        let gone = self.parts.body.is_complete()
            && self.is_waited_for()
            && !std::mem::replace(&mut self.watched, true)
            && self.parts.caller.poll_gone(cx, &self.parts.worker.buffers).is_ready();
        gone && self.caller_left()
    }

    /// Whether the caller waits for more of the answer than is written.
    fn is_waited_for(&self) -> bool {
        let over = matches!(self.answer, Answer::Written | Answer::Aborted) || self.leg.call.has_ended();
        !over && self.alone.is_none()
    }

    fn body_came(&mut self) -> bool {
        if let Limit::At(limit) = self.parts.local.shared.config.limits.body
            && self.parts.body.end() > limit.0
        {
            return self.bad_request(Problem::BodyTooLarge);
        }
        if !self.parts.body.is_kept() && !std::mem::replace(&mut self.told_not_kept, true) {
            self.input(Input::BodyNotKept);
        }
        self.input(Input::BodyMoved);
        true
    }

    /// Tells the call whether a caller who is slow to send its body is what it waits for.
    pub(super) fn tell_awaiting(&mut self) {
        let body = &self.parts.body;
        let has_all = |attempt: &Attempt| attempt.has_written() && attempt.sent() == body.end();
        let awaits = !body.is_complete() && self.attempts.iter().any(has_all);
        if awaits != self.awaits_body {
            self.awaits_body = awaits;
            self.input(Input::AwaitsBody(awaits));
        }
    }

    pub(super) fn send_continue(&mut self, cx: &mut Context<'_>) {
        let (_, machine, out) = self.parts.caller.answer(&self.parts.worker.buffers);
        if machine.send_continue(out) {
            // What does not go out at once goes with the answer.
            let _ = self.parts.caller.poll_flush(cx);
        }
    }

    /// Nobody waits for the answer any more.
    pub(super) fn caller_left(&mut self) -> bool {
        if !self.goes_on_alone() {
            self.leave_call();
            self.answer = Answer::Aborted;
        }
        true
    }

    /// What the caller sends cannot be passed on. It is told so while it can be.
    pub(super) fn bad_request(&mut self, problem: Problem) -> bool {
        self.leave_call();
        if self.answer == Answer::Nothing {
            self.parts.caller.machine.close_after_response();
            self.write_problem(problem);
            self.problem = Some(problem);
        } else {
            self.abort();
        }
        true
    }

    /// Ends this call, and those whose fallback it is, without an outcome.
    fn leave_call(&mut self) {
        self.hearing.leave();
        loop {
            self.leave_queue();
            self.input(Input::CallerLeft);
            while let Some(output) = self.leg.call.poll_output() {
                match output {
                    Output::Cancel { attempt } => self.cancel(attempt),
                    Output::Attempt(order) => {
                        self.leg.note(&order);
                        self.forgo(&order);
                    }
                    _ => {}
                }
            }
            self.end_all_attempts();
            let Some(outer) = self.outer.pop() else { return };
            let inner = std::mem::replace(&mut self.leg, outer);
            self.settle_leg(inner);
        }
    }

    /// Counts an attempt that was ordered and is not made any more, as its record has it.
    fn forgo(&self, order: &AttemptOrder) {
        let mut counters = self.parts.worker.counters.borrow_mut();
        if let (AttemptReason::Retry | AttemptReason::Resend, Some(failure)) = (order.why, self.leg.last_failure) {
            counters.retry(self.leg.service.key, failure);
        }
        let key = self.leg.service.key_of(order.endpoint);
        counters.attempt(key, self.plan.asker.method, AttemptResult::Cancelled, Duration::ZERO);
    }
}
