//! The attempts of a call: choose an endpoint, send, classify what came, try again, or try beside.
//!
//! The part of the order in [`super`] that may happen more than once. A call comes here with a permit for its first
//! attempt and leaves with an answer to forward, or with a reason for which there is none.
//!
//! A **hedge** is an attempt beside those that run, at an endpoint that was not tried, because no answer has come for as
//! long as nearly all take (J. Dean, L. A. Barroso: "The Tail at Scale", CACM 56(2), 2013). It is made only for a call
//! that may be sent twice, is paid for from the budget of retries, takes a permit only if one is free, counts against
//! the attempts in all, and comes at once when an attempt fails (gRPC's proposal A6 does the same). When it is due and
//! cannot be made the call hedges no more, so that it never comes back to the same question.
//!
//! Whom another attempt has outrun has not failed, and is not as quick as it seems by being given up early: its endpoint
//! learns how long it was waited for there, and no more than that.

use mainstay_core::{Certainty, Duration, Failure, Instant};

use super::*;

/// The attempts: choose, send, classify, try again.
impl Call {
    /// Makes an attempt with the permit that the call has just been given.
    pub(super) fn attempt(&mut self, service: &mut Service, now: Instant, why: AttemptReason) {
        match self.choose(service, now) {
            Ok(choice) => self.send(service, now, why, choice),
            Err(none) => {
                service.bulkhead.release(now);
                self.no_endpoint(service, now, why, none);
            }
        }
    }

    fn choose(&self, service: &mut Service, now: Instant) -> Result<Choice, NoEndpoint> {
        service.fleet.choose(
            now,
            &Ask {
                call: self.id,
                attempt: u32::from(self.made),
                hash: self.facts.hash,
                idempotent: self.facts.method.is_idempotent(),
                tried: self.tried(),
            },
        )
    }

    fn send(&mut self, service: &mut Service, now: Instant, why: AttemptReason, choice: Choice) {
        let attempt = self.made;
        self.tried[usize::from(attempt)] = choice.endpoint;
        self.made += 1;
        let (head_by, half_by) = (self.head_by(service, now), self.half_by(service, now));
        let connect_by = (now + service.settings().timeout.connect).min(head_by);
        let (connected, waits, sent) = (self.opaque, false, self.opaque);
        let in_flight = service.bulkhead.in_flight();
        let (began, held_until) = (now, None);
        self.running.add(Running {
            choice,
            attempt,
            why,
            began,
            in_flight,
            connected,
            waits,
            sent,
            connect_by,
            head_by,
            half_by,
            held_until,
        });
        self.hedge_at = self.next_hedge(service, now);
        self.stage = Stage::Attempting;
        let Choice { endpoint, probe, panic, trial, crossing, passed_over } = choice;
        self.record.push(now, Decision::Attempt { attempt, endpoint, why, probe, panic, trial, crossing, passed_over });
        self.send_or_suffer(service, now, attempt);
    }

    fn no_endpoint(&mut self, service: &mut Service, now: Instant, why: AttemptReason, none: NoEndpoint) {
        match (why, none) {
            (AttemptReason::Retry | AttemptReason::Resend | AttemptReason::Hedge, _) => {
                self.no_retry(service, now, NoRetry::NoEndpoint);
            }
            // A limit that we set says nothing about the service.
            (AttemptReason::First, NoEndpoint::AllBusy) => {
                self.tell_no_endpoint(service, now, none);
                let after = service.retry_after(self.id);
                self.fall_back(service, now, Refusal::Exhausted, Some(after));
            }
            (AttemptReason::First, _) => {
                self.tell_no_endpoint(service, now, none);
                self.conclude(service, now, Refusal::NoEndpoint, None);
            }
        }
    }

    fn tell_no_endpoint(&mut self, service: &Service, now: Instant, why: NoEndpoint) {
        let passed_over = service.fleet.passed_over();
        self.record.push(now, Decision::NoEndpoint { why, passed_over });
    }

    /// An attempt is cut short only where another may follow, or another service stands ready to answer; the last one
    /// has the rest of the deadline.
    fn head_by(&self, service: &mut Service, now: Instant) -> Instant {
        let another = self.has_fallback_service(service)
            || (self.may_repeat(service, Failure::Timeout, Certainty::Unknown).is_ok()
                && service.budget.has_token(now));
        let deadline = self.facts.deadline;
        if another { deadline.min(now + service.settings().timeout.attempt) } else { deadline }
    }

    /// Where something may stand in for the service, half of what is left is kept for it each time: it takes its time
    /// too, and at the deadline the caller may have gone.
    fn half_by(&self, service: &Service, now: Instant) -> Instant {
        let left = self.facts.deadline.since(now);
        let stands_in = self.facts.stale || self.has_fallback_service(service);
        if stands_in { now + Duration::from_nanos(left.as_nanos() / 2) } else { Instant::FAR_FUTURE }
    }

    fn has_fallback_service(&self, service: &Service) -> bool {
        self.fallbacks(service).service && self.body_kept
    }

    pub(super) fn waits(&mut self, attempt: u8) {
        if let Some(running) = self.running.get_mut(attempt) {
            running.waits = !running.connected;
        }
    }

    pub(super) fn connected(&mut self, attempt: u8) {
        if let Some(running) = self.running.get_mut(attempt) {
            running.connected = true;
            running.waits = false;
        }
    }

    pub(super) fn sent(&mut self, attempt: u8) {
        if let Some(running) = self.running.get_mut(attempt) {
            running.connected = true;
            running.waits = false;
            running.sent = true;
        }
    }

    pub(super) fn head(&mut self, service: &mut Service, now: Instant, attempt: u8, head: AnswerFacts) {
        let Some(running) = self.current(attempt) else { return };
        self.record.push(now, Decision::Head { attempt, status: head.status });
        let failure = Failure::Status(head.status);
        let latency = now.since(running.began);
        let good = head.status < 500;
        // A refusal is no measure of how long answers take.
        if good && head.status != 429 {
            service.bulkhead.observe(running.in_flight, Sample::Answered(latency));
        }
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
        let others = self.running.are_several();
        let fallback = self.has_fallback(service)
            || (head.replaceable && self.facts.stale && Refusal::Failed(failure).is_failure_of_service());
        if !worth_another && (good || !(others || fallback)) {
            return self.forward(service, now, running, head.status, false);
        }
        if others {
            self.refusal = Some((Refusal::Failed(failure), head.retry_after));
            self.output(Output::Cancel { attempt });
            self.release(service, now, running, true);
            return self.hasten(service, now, failure, Certainty::Applied, Some(head));
        }
        match self.plan_retry(service, now, failure, Certainty::Applied, Some(head)) {
            Ok((pause, why)) => {
                self.refusal = Some((Refusal::Failed(failure), head.retry_after));
                self.output(Output::Cancel { attempt });
                self.release(service, now, running, true);
                self.pause(service, now, pause, why);
            }
            Err(why) => {
                self.record.push(now, Decision::NoRetry { why });
                if !good && fallback {
                    self.output(Output::Cancel { attempt });
                    self.release(service, now, running, true);
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
        self.answering = Some(running.attempt);
        self.output(Output::Forward { attempt: running.attempt, retries_used });
        self.outrun(service, now, running.attempt);
        if self.opaque {
            self.finished(service, now, true);
        }
    }

    /// `by` has answered: the others are given up.
    fn outrun(&mut self, service: &mut Service, now: Instant, by: u8) {
        while let Some(loser) = self.running.other_than(by) {
            let (attempt, certainty) = (loser.attempt, loser.certainty());
            self.record.push(now, Decision::Outpaced { attempt, by, certainty });
            self.output(Output::Cancel { attempt });
            self.report_impatience(service, now, loser, Report::Outpaced { waited: now.since(loser.began) });
            self.release(service, now, loser, true);
        }
    }

    pub(super) fn failed(
        &mut self,
        service: &mut Service,
        now: Instant,
        attempt: u8,
        failure: Failure,
        certainty: Certainty,
    ) {
        let Some(running) = self.current(attempt) else { return };
        self.record.push(now, Decision::Failed { attempt, failure, certainty, makes_way_for: None });
        let latency = now.since(running.began);
        service.fleet.report(now, running.choice, Report::Failed { failure, certainty, latency });
        if matches!(failure, Failure::Timeout | Failure::ConnectTimeout) {
            service.bulkhead.observe(running.in_flight, Sample::GivenUp(latency));
        }
        self.release(service, now, running, true);
        self.after_failure(service, now, failure, certainty);
    }

    fn after_failure(&mut self, service: &mut Service, now: Instant, failure: Failure, certainty: Certainty) {
        self.refusal = Some((Refusal::Failed(failure), None));
        if !self.running.is_empty() {
            return self.hasten(service, now, failure, certainty, None);
        }
        match self.plan_retry(service, now, failure, certainty, None) {
            Ok((pause, why)) => self.pause(service, now, pause, why),
            Err(why) => self.no_retry(service, now, why),
        }
    }

    /// The time of an attempt is over, or of the call, or there has been no answer for so long that a hedge is due.
    pub(super) fn late(&mut self, service: &mut Service, now: Instant, why: Timer) {
        let Some((_, running)) = self.running.first_due() else { return };
        match why {
            Timer::Hedge => self.hedge(service, now),
            Timer::Fault => self.let_go(service, now, running.attempt),
            Timer::Call if !self.running.iter().all(|running| running.waits) && !self.awaits_body => {
                self.out_of_time(service, now);
            }
            Timer::Fallback => self.half_is_over(service, now, running),
            _ if running.waits => self.tired_of_waiting(service, now, running),
            Timer::Call | Timer::Attempt if self.awaits_body => self.tired_of_caller(service, now),
            Timer::Connect => self.give_up(service, now, running, Failure::ConnectTimeout, Certainty::NotSent),
            _ => self.give_up(service, now, running, Failure::Timeout, running.certainty()),
        }
    }

    /// What is left is for what stands in: another service is there, and of a kept answer it is asked.
    fn half_is_over(&mut self, service: &mut Service, now: Instant, running: Running) {
        if self.has_fallback_service(service) {
            return match self.awaits_body && !running.waits {
                true => self.tired_of_caller(service, now),
                false => self.make_way(service, now, running, FallbackKind::Service),
            };
        }
        let attempt = running.attempt;
        if let Some(running) = self.running.get_mut(attempt) {
            running.half_by = Instant::FAR_FUTURE;
        }
        self.output(Output::LookForStale { attempt });
    }

    pub(super) fn stale_is_kept(&mut self, service: &mut Service, now: Instant, attempt: u8, kept: bool) {
        if let Some(running) = self.current(attempt).filter(|_| kept) {
            self.make_way(service, now, running, FallbackKind::Stale);
        }
    }

    /// The attempt is given up so that something else can still answer. It did not have the time of an attempt, so
    /// whether that speaks against its endpoint depends on how long it had.
    fn make_way(&mut self, service: &mut Service, now: Instant, running: Running, kind: FallbackKind) {
        if running.waits {
            return self.tired_of_waiting(service, now, running);
        }
        let (attempt, failure, certainty) = (running.attempt, Failure::Timeout, running.certainty());
        self.record.push(now, Decision::Failed { attempt, failure, certainty, makes_way_for: Some(kind) });
        self.output(Output::Cancel { attempt });
        self.lose_patience(service, now, running);
        self.after_failure(service, now, failure, certainty);
    }

    /// As [`Call::failed`], for an attempt whose driver still works on it.
    fn give_up(
        &mut self,
        service: &mut Service,
        now: Instant,
        running: Running,
        failure: Failure,
        certainty: Certainty,
    ) {
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

    pub(super) fn retry(&mut self, service: &mut Service, now: Instant, why: AttemptReason) {
        if matches!(service.breaker.state(now), BreakerState::Open { .. } | BreakerState::ForcedOpen) {
            self.no_retry(service, now, NoRetry::BreakerOpen);
        } else if service.bulkhead.try_again(self.facts.priority) {
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

    /// The deadline of the call came while attempts were running.
    fn out_of_time(&mut self, service: &mut Service, now: Instant) {
        while let Some(running) = self.running.any() {
            let (attempt, certainty) = (running.attempt, running.certainty());
            self.record.push(
                now,
                if running.waits {
                    Decision::Unable { attempt, pool: true }
                } else {
                    Decision::Failed { attempt, failure: Failure::Timeout, certainty, makes_way_for: None }
                },
            );
            self.output(Output::Cancel { attempt });
            self.lose_patience(service, now, running);
        }
        self.conclude(service, now, Refusal::Deadline, None);
    }

    /// An attempt is given up because the call has no more time for it.
    fn lose_patience(&mut self, service: &mut Service, now: Instant, running: Running) {
        let silent = self.silent(now, running);
        self.report_impatience(service, now, running, silent);
        // Who had less time than answers usually take says nothing of how long they take.
        let waited = now.since(running.began);
        if !running.waits && service.fleet.median_latency().is_some_and(|median| waited > median) {
            service.bulkhead.observe(running.in_flight, Sample::GivenUp(waited));
        }
        self.release(service, now, running, true);
    }

    /// The attempt could not be made, for what we lack ourselves.
    pub(super) fn unable(&mut self, service: &mut Service, now: Instant, attempt: u8, pool: bool) {
        let Some(running) = self.current(attempt) else { return };
        self.record.push(now, Decision::Unable { attempt, pool });
        service.fleet.report(now, running.choice, Report::Nothing);
        self.release(service, now, running, true);
        if self.running.is_empty() {
            let after = service.retry_after(self.id);
            self.fall_back(service, now, Refusal::Exhausted, Some(after));
        }
    }

    /// No connection of the pool came free in time.
    fn tired_of_waiting(&mut self, service: &mut Service, now: Instant, running: Running) {
        self.output(Output::Cancel { attempt: running.attempt });
        self.unable(service, now, running.attempt, true);
    }

    /// The request did not come in time, so nobody could answer it.
    fn tired_of_caller(&mut self, service: &mut Service, now: Instant) {
        while let Some(running) = self.running.any() {
            self.cancel(now, running);
            service.fleet.report(now, running.choice, Report::Nothing);
            self.release(service, now, running, true);
        }
        self.settle(service, now, CallOutcome::Nothing);
        self.refuse(now, Refusal::SlowRequest, None);
    }

    /// Nobody waits for the attempt any more, and how it would have ended is not known.
    pub(super) fn cancel(&mut self, now: Instant, running: Running) {
        let Running { attempt, .. } = running;
        self.record.push(now, Decision::Cancelled { attempt, certainty: running.certainty() });
        self.output(Output::Cancel { attempt });
    }

    pub(super) fn body_moved(&mut self, service: &mut Service, now: Instant) {
        if self.facts.covers_body
            || !matches!(self.stage, Stage::Queued { .. } | Stage::Attempting | Stage::Pausing { .. })
        {
            return;
        }
        self.facts.deadline = now + self.allowed;
        let (head_by, half_by) = (self.head_by(service, now), self.half_by(service, now));
        for running in self.running.iter_mut() {
            (running.head_by, running.half_by) = (head_by, half_by);
        }
    }

    /// No other attempt can follow, so those that run have the rest of the deadline.
    pub(super) fn body_not_kept(&mut self) {
        self.body_kept = false;
        self.hedge_at = Instant::FAR_FUTURE;
        for running in self.running.iter_mut() {
            (running.head_by, running.half_by) = (self.facts.deadline, Instant::FAR_FUTURE);
        }
    }

    /// Somebody would not wait longer. Whether that speaks against the endpoint depends on how long they did; where it
    /// does not, the endpoint learns what `otherwise` says.
    pub(super) fn report_impatience(&self, service: &mut Service, now: Instant, running: Running, otherwise: Report) {
        let waited = now.since(running.began);
        let median = service.fleet.median_latency().unwrap_or(Duration::ZERO);
        let long = waited > IMPATIENCE_MIN && waited > median.saturating_mul(IMPATIENCE_MEDIANS);
        let speaks = !running.waits && (long || waited >= service.settings().timeout.attempt);
        let report = if speaks {
            Report::Failed { failure: Failure::Timeout, certainty: running.certainty(), latency: waited }
        } else if running.waits {
            Report::Nothing
        } else {
            otherwise
        };
        service.fleet.report(now, running.choice, report);
    }

    /// What is said of an attempt that nobody waits for any longer, where the wait was not the caller's fault.
    pub(super) fn silent(&self, now: Instant, running: Running) -> Report {
        if self.awaits_body { Report::Nothing } else { Report::Silent { waited: now.since(running.began) } }
    }

    fn current(&self, attempt: u8) -> Option<Running> {
        self.running.get(attempt).filter(|_| self.stage == Stage::Attempting)
    }

    pub(super) fn tried(&self) -> &[EndpointId] {
        &self.tried[..usize::from(self.made)]
    }
}

/// Attempts beside others.
impl Call {
    /// When the next hedge is due, if an attempt begins now.
    fn next_hedge(&self, service: &mut Service, now: Instant) -> Instant {
        let Some(hedge) = self.hedge_rule(service).filter(|_| self.may_hedge(service).is_ok()) else {
            return Instant::FAR_FUTURE;
        };
        let after = match hedge.after {
            HedgeAfter::Fixed(after) => after,
            HedgeAfter::Percentile(percentile) => service.fleet.percentile(percentile).unwrap_or(Duration::MAX),
        };
        now + after
    }

    /// What does not depend on the moment.
    fn may_hedge(&self, service: &Service) -> Result<(), NoRetry> {
        self.may_send_again(self.rule_with_attempts_left(service)?, Certainty::Unknown)
    }

    /// The rule for hedges, while one is left.
    fn hedge_rule(&self, service: &Service) -> Option<HedgeSettings> {
        self.retry_rule(service)?.hedge.filter(|hedge| u32::from(self.hedges) < hedge.max.min(HEDGES_MAX))
    }

    fn hedge(&mut self, service: &mut Service, now: Instant) {
        self.hedge_at = Instant::FAR_FUTURE;
        let median = service.fleet.median_latency().unwrap_or(Duration::ZERO);
        let made = if self.awaits_body {
            Err(NoRetry::BodyNotKept)
        } else if now + median > self.facts.deadline {
            Err(NoRetry::Deadline)
        } else {
            self.may_hedge(service).and_then(|()| self.send_beside(service, now, AttemptReason::Hedge))
        };
        if let Err(why) = made {
            self.record.push(now, Decision::NoHedge { why });
            self.hedges = u8::MAX;
        }
    }

    /// One of several attempts has failed. What was not sent is sent elsewhere, a hedge that is left comes at once, and
    /// otherwise the call waits for those that run.
    fn hasten(
        &mut self,
        service: &mut Service,
        now: Instant,
        failure: Failure,
        certainty: Certainty,
        answer: Option<AnswerFacts>,
    ) {
        if self.may_repeat(service, failure, certainty).is_err() || answer.is_some_and(|answer| answer.retries_used) {
            return;
        }
        if certainty == Certainty::NotSent {
            // There may be no other place, or no permit; what runs has the word then.
            let _ = self.send_beside(service, now, AttemptReason::Resend);
        } else if self.hedge_rule(service).is_some() {
            self.hedge(service, now);
        }
    }

    /// Makes an attempt beside those that run, if it has a place, an endpoint that was not tried, and pays for itself.
    fn send_beside(&mut self, service: &mut Service, now: Instant, why: AttemptReason) -> Result<(), NoRetry> {
        let pays = why == AttemptReason::Hedge;
        if matches!(service.breaker.state(now), BreakerState::Open { .. } | BreakerState::ForcedOpen) {
            Err(NoRetry::BreakerOpen)
        } else if !self.running.has_room() || !service.fleet.has_other(now, self.tried()) {
            Err(NoRetry::NoEndpoint)
        } else if pays && !service.budget.has_token(now) {
            Err(NoRetry::Budget)
        } else if !service.bulkhead.try_again(self.facts.priority) {
            Err(NoRetry::NoPermit)
        } else {
            let Ok(choice) = self.choose(service, now) else {
                service.bulkhead.release(now);
                return Err(NoRetry::NoEndpoint);
            };
            if pays {
                let paid = service.budget.withdraw(now);
                debug_assert!(paid, "there was a token just now");
                self.hedges += 1;
            }
            self.send(service, now, why, choice);
            Ok(())
        }
    }
}

/// Whether another attempt may follow.
impl Call {
    pub(super) fn retry_rule<'a>(&'a self, service: &'a Service) -> Option<&'a RetrySettings> {
        self.retry.as_deref().unwrap_or(&service.settings().retry).as_ref()
    }

    /// What does not depend on the moment: attempts, condition, certainty, the kept body.
    fn may_repeat(&self, service: &Service, failure: Failure, certainty: Certainty) -> Result<(), NoRetry> {
        let retry = self.rule_with_attempts_left(service)?;
        if !retry.on.includes(failure) {
            return Err(NoRetry::Condition);
        }
        self.may_send_again(retry, certainty)
    }

    fn rule_with_attempts_left<'a>(&'a self, service: &'a Service) -> Result<&'a RetrySettings, NoRetry> {
        let retry = self.retry_rule(service).ok_or(NoRetry::Off)?;
        let are_left = u32::from(self.made) < retry.attempts.min(ATTEMPTS_MAX);
        are_left.then_some(retry).ok_or(NoRetry::AttemptsUsed)
    }

    fn may_send_again(&self, retry: &RetrySettings, certainty: Certainty) -> Result<(), NoRetry> {
        let idempotent = self.facts.method.is_idempotent()
            || (retry.idempotency_key && self.facts.idempotency_key)
            || !retry.idempotent_only;
        if !self.body_kept {
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
        // A hedge would have gone there beside this attempt, so nothing is won by waiting now.
        let hastened = elsewhere && self.hedge_rule(service).is_some();
        if hastened {
            pause = Duration::ZERO;
        }
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
        self.hedges = self.hedges.saturating_add(u8::from(hastened));
        self.pause = pause;
        Ok((pause, AttemptReason::Retry))
    }
}
