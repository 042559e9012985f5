//! Before the call: the request's body comes, and nobody is asked for anything yet.
//!
//! A call holds a permit of its service while it runs, so a body that trickles in must not be waited for inside of it:
//! a thousand slow callers would shut out everybody else. So the call begins once the body is complete, or no more of it
//! fits what may be kept. Where nothing is kept the call begins at once and waits for the body itself.
//!
//! In: the caller's bytes and the clock. Out: a call that begins, or 408. What holds: the wait ends `route.timeout` after
//! the last byte, and after [`GRACE`] times `limits.header_timeout` for each [`CAPACITY`] bytes that have come or begun to
//! come, whichever is first; a caller's own deadline counts from the arrival; and nobody learns anything from a request
//! that did not come.

use std::task::{Context, Poll, ready};

use mainstay_core::Instant;
use mainstay_policy::{Facts, Input, Refusal};

use super::{Answer, Exchange};
use crate::answer::Problem;
use crate::message::CAPACITY;

/// How many times `limits.header_timeout` a piece of the body may take: a minute by default, about 1 KB a second.
const GRACE: u64 = 6;

impl Exchange<'_> {
    /// Ready when the call has begun, or never will.
    ///
    /// What has already come of the body is looked at first, so that a short one waits for nothing and goes upstream in
    /// one write with its head.
    pub(super) fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.answer == Answer::Nothing && !self.parts.body.is_complete() && self.poll_caller(cx) {
            self.moved = self.now;
        }
        if self.answer != Answer::Nothing {
            return Poll::Ready(());
        }
        if !self.parts.body.is_awaited() {
            self.begin();
            return Poll::Ready(());
        }
        self.waited = true;
        if self.parts.caller.machine.expects_continue() {
            self.send_continue(cx);
        }
        let slow = self.slow_at();
        let own = self.plan.facts.covers_body.then_some(self.plan.facts.deadline);
        let deadline = own.map_or(slow, |own| own.min(slow));
        ready!(self.parts.timer.poll(cx, self.now, Some(deadline)));
        self.now = self.parts.worker.clock.now();
        if deadline < slow {
            // The call itself finds its deadline passed.
            self.begin();
        } else {
            self.moved = self.now;
            self.bad_request(Problem::Refused(Refusal::SlowRequest));
        }
        Poll::Ready(())
    }

    fn slow_at(&self) -> Instant {
        let pieces = 1 + self.parts.body.end() / CAPACITY as u64;
        let piece = self.parts.local.shared.config.limits.header_timeout.saturating_mul(GRACE);
        let whole = self.plan.asker.began + piece.saturating_mul(pieces);
        whole.min(self.moved + self.plan.route.timeout)
    }

    fn begin(&mut self) {
        if self.waited && !self.plan.facts.covers_body {
            self.put_off();
        }
        self.input(Input::Begin);
    }

    /// The body has kept coming, so the time for the answer counts from its last byte.
    fn put_off(&mut self) {
        self.plan.facts = Facts { deadline: self.moved + self.plan.allowed, ..self.plan.facts };
        let record = self.leg.call.take_record();
        self.leg.call = self.leg.service.call(self.now, self.leg.call.id(), self.plan.facts, record);
        self.set_retry();
        if !self.parts.body.is_kept() {
            self.input(Input::BodyNotKept);
        }
    }
}
