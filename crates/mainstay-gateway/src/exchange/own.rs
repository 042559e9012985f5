//! Answers that Mainstay gives itself, with and without a call.

use std::future::poll_fn;
use std::task::Poll;

use mainstay_config::FixedAnswer;
use mainstay_core::Origin;
use mainstay_policy::{KeyRefusal, Refusal, RefuseOrder};
use mainstay_telemetry::RouteKey;

use super::settle::{Story, write_line};
use super::{Answer, Exchange, FLUSH_MAX, Parts};
use crate::answer::{AnswerContext, Problem, ProblemAnswer, write_fixed, write_redirect};
use crate::plan::{Asker, Own, OwnAnswer};

impl Exchange<'_> {
    /// Says why the call has no other answer.
    pub(super) fn write_refusal(&mut self, order: &RefuseOrder) {
        let limit = self.limit_told().filter(|limit| !limit.verdict.admitted);
        let is_known = order.refusal == Refusal::Key(KeyRefusal::NotKept);
        let first = self.first_status.filter(|_| is_known);
        self.write_answer(&ProblemAnswer { first, ..ProblemAnswer::of(order, limit) });
    }

    /// Says what is wrong with the request.
    pub(super) fn write_problem(&mut self, problem: Problem) {
        self.write_answer(&ProblemAnswer::new(problem));
    }

    fn write_answer(&mut self, answer: &ProblemAnswer<'_>) {
        self.status = answer.problem.facts().status;
        let worker = self.parts.worker;
        self.announce_close();
        let (_, machine, out) = self.parts.caller.answer(&worker.buffers);
        let date = worker.date.borrow();
        let rules = Some(&self.plan.route.response_fields);
        let context = AnswerContext { request_id: &self.parts.scratch.id, date: date.value(), rules };
        let written = answer.write(machine, &context, &mut self.parts.scratch.answer, out);
        self.answer = if written.is_ok() { Answer::Written } else { Answer::Aborted };
    }

    /// Writes the answer that stands in the configuration.
    pub(super) fn write_fixed(&mut self, answer: &FixedAnswer) {
        self.status = answer.status;
        let worker = self.parts.worker;
        self.announce_close();
        let (_, machine, out) = self.parts.caller.answer(&worker.buffers);
        let date = worker.date.borrow();
        let rules = Some(&self.plan.route.response_fields);
        let context = AnswerContext { request_id: &self.parts.scratch.id, date: date.value(), rules };
        let written = write_fixed(answer, machine, &context, out);
        self.answer = if written.is_ok() { Answer::Written } else { Answer::Aborted };
        self.sent = answer.body.len() as u64;
    }

    /// An answer before the end of the request ends the connection.
    pub(super) fn announce_close(&mut self) {
        if !self.parts.caller.machine.request_complete() || self.parts.worker.is_draining() {
            self.parts.caller.machine.close_after_response();
        }
    }
}

/// Answers a request that leads to no call; false when the connection is to close.
pub(crate) async fn answer_alone(mut parts: Parts<'_>, asker: Asker, own: &OwnAnswer<'_>) -> bool {
    let Some((status, end)) = write_alone(&mut parts, own) else { return false };
    let worker = parts.worker;
    let deadline = worker.clock.now() + FLUSH_MAX;
    poll_fn(|cx| match parts.caller.poll_flush(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => parts.timer.poll(cx, worker.clock.now(), Some(deadline)),
    })
    .await;
    let key = own.route.and_then(|route| parts.local.shared.route_keys.get(route.index));
    let now = worker.clock.now();
    let key = key.copied().unwrap_or(RouteKey::NONE);
    worker.counters.borrow_mut().request(key, asker.method, status, now.since(asker.began));
    let story = Story {
        request_id: &parts.scratch.id,
        route: own.route.map_or("", |route| &*route.label),
        service: "",
        endpoint: "",
        attempts: 0,
        status,
        received: 0,
        sent: 0,
        end,
        origin: matches!(own.what, Own::Problem(_)).then_some(Origin::Client),
    };
    write_line(worker, parts.caller, &asker, now, &story);
    parts.caller.is_flushed() && !parts.caller.is_broken()
}

/// The status, and the word for the log; `None` when nothing can be answered.
fn write_alone(parts: &mut Parts<'_>, own: &OwnAnswer<'_>) -> Option<(u16, &'static str)> {
    let worker = parts.worker;
    let (_, machine, out) = parts.caller.answer(&worker.buffers);
    // A body that is still to come is read with the next request when it is short and already here, else it ends the
    // connection.
    if !machine.request_complete() {
        machine.close_after_response();
    }
    let date = worker.date.borrow();
    let rules = own.route.map(|route| &route.response_fields);
    let context = AnswerContext { request_id: &parts.scratch.id, date: date.value(), rules };
    match own.what {
        Own::Problem(problem) => {
            let answer = ProblemAnswer::new(problem);
            answer.write(machine, &context, &mut parts.scratch.answer, out).ok()?;
            let facts = problem.facts();
            Some((facts.status, facts.reason))
        }
        Own::Redirect(status) => {
            write_redirect(status, &parts.scratch.target, machine, &context, out).ok()?;
            Some((status, "redirected"))
        }
    }
}
