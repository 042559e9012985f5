//! The attempts of a call: choose an endpoint, send, classify what came, try again.
//!
//! The part of the order in [`super`] that may happen more than once. A call comes here with a permit for its first
//! attempt and leaves with an answer to forward, or with a reason for which there is none.

use mainstay_core::{Certainty, Duration, Failure, Instant, Purpose};

use super::*;

/// The attempts: choose, send, classify, try again.
impl Call {
    /// Makes an attempt with the permit that the call has just been given.
    pub(super) fn attempt(&mut self, service: &mut Service, now: Instant, why: AttemptReason) {
        let attempt = self.made;
        let ask = Ask {
            call: self.id,
            attempt: u32::from(attempt),
            hash: self.facts.hash,
            idempotent: self.facts.method.is_idempotent(),
            tried: &self.tried[..usize::from(attempt)],
        };
        let choice = match service.fleet.choose(now, &ask) {
            Ok(choice) => choice,
            Err(none) => {
                service.bulkhead.release(now);
                return self.no_endpoint(service, now, why, none);
            }
        };
        self.tried[usize::from(attempt)] = choice.endpoint;
        self.made += 1;
        let head_by = self.head_by(service, now);
        let connect_by = (now + service.settings().timeout.connect).min(head_by);
        let (connected, waits, sent) = (false, false, false);
        self.running = Some(Running { choice, attempt, began: now, connected, waits, sent, connect_by, head_by });
        self.stage = Stage::Attempting;
        let Choice { endpoint, probe, panic } = choice;
        self.record.push(now, Decision::Attempt { attempt, endpoint, why, probe, panic });
        self.output(Output::Attempt(AttemptOrder { attempt, endpoint, why, deadline: self.facts.deadline }));
    }

    fn no_endpoint(&mut self, service: &mut Service, now: Instant, why: AttemptReason, none: NoEndpoint) {
        match (why, none) {
            (AttemptReason::Retry | AttemptReason::Resend, _) => self.no_retry(service, now, NoRetry::NoEndpoint),
            // A limit that we set says nothing about the service.
            (AttemptReason::First, NoEndpoint::AllBusy) => {
                self.fall_back(service, now, Refusal::Exhausted, Some(Duration::from_secs(1)));
            }
            (AttemptReason::First, _) => self.conclude(service, now, Refusal::NoEndpoint, None),
        }
    }

    /// An attempt is cut short only where another may follow; the last one has the rest of the deadline.
    fn head_by(&self, service: &mut Service, now: Instant) -> Instant {
        let another =
            self.may_repeat(service, Failure::Timeout, Certainty::Unknown).is_ok() && service.budget.tokens(now) >= 1.0;
        let length = if another { service.settings().timeout.attempt } else { Duration::MAX };
        (now + length).min(self.facts.deadline)
    }

    pub(super) fn waits(&mut self, attempt: u8) {
        if let Some(running) = self.running.as_mut().filter(|running| running.attempt == attempt) {
            running.waits = !running.connected;
        }
    }

    pub(super) fn connected(&mut self, attempt: u8) {
        if let Some(running) = self.running.as_mut().filter(|running| running.attempt == attempt) {
            running.connected = true;
            running.waits = false;
        }
    }

    pub(super) fn sent(&mut self, attempt: u8) {
        if let Some(running) = self.running.as_mut().filter(|running| running.attempt == attempt) {
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
        if !worth_another && (good || !self.has_fallback(service)) {
            return self.forward(service, now, running, head.status, false);
        }
        match self.plan_retry(service, now, failure, Certainty::Applied, Some(head)) {
            Ok((pause, why)) => {
                self.refusal = Some((Refusal::Failed(failure), head.retry_after));
                self.output(Output::Cancel { attempt });
                self.release(service, now, true);
                self.pause(service, now, pause, why);
            }
            Err(why) => {
                self.record.push(now, Decision::NoRetry { why });
                if !good && self.has_fallback(service) {
                    self.output(Output::Cancel { attempt });
                    self.release(service, now, true);
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
        self.output(Output::Forward { attempt: running.attempt, retries_used });
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
        self.record.push(now, Decision::Failed { attempt, failure, certainty });
        let latency = now.since(running.began);
        service.fleet.report(now, running.choice, Report::Failed { failure, certainty, latency });
        self.release(service, now, true);
        self.refusal = Some((Refusal::Failed(failure), None));
        match self.plan_retry(service, now, failure, certainty, None) {
            Ok((pause, why)) => self.pause(service, now, pause, why),
            Err(why) => self.no_retry(service, now, why),
        }
    }

    /// As [`Call::failed`], for an attempt whose driver still works on it.
    pub(super) fn give_up(&mut self, service: &mut Service, now: Instant, failure: Failure, certainty: Certainty) {
        let Some(running) = self.running else { return };
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
        } else if service.bulkhead.try_acquire() {
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

    /// The deadline of the call came while an attempt was running.
    pub(super) fn out_of_time(&mut self, service: &mut Service, now: Instant) {
        let Some(running) = self.running else { return };
        let (attempt, certainty) = (running.attempt, running.certainty());
        self.record.push(now, Decision::Failed { attempt, failure: Failure::Timeout, certainty });
        self.output(Output::Cancel { attempt });
        self.report_impatience(service, now, running);
        self.release(service, now, true);
        self.conclude(service, now, Refusal::Deadline, None);
    }

    /// The attempt could not be made, for what we lack ourselves.
    pub(super) fn unable(&mut self, service: &mut Service, now: Instant, attempt: u8, pool: bool) {
        let Some(running) = self.current(attempt) else { return };
        self.record.push(now, Decision::Unable { attempt, pool });
        service.fleet.report(now, running.choice, Report::Nothing);
        self.release(service, now, true);
        self.fall_back(service, now, Refusal::Exhausted, Some(Duration::from_secs(1)));
    }

    /// No connection of the pool came free in time.
    pub(super) fn tired_of_waiting(&mut self, service: &mut Service, now: Instant) {
        let Some(running) = self.running else { return };
        self.output(Output::Cancel { attempt: running.attempt });
        self.unable(service, now, running.attempt, true);
    }

    /// The request did not come in time, so nobody could answer it.
    pub(super) fn tired_of_caller(&mut self, service: &mut Service, now: Instant) {
        let Some(running) = self.running else { return };
        self.cancel(now, running);
        service.fleet.report(now, running.choice, Report::Nothing);
        self.release(service, now, true);
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
        let head_by = self.head_by(service, now);
        if let Some(running) = &mut self.running {
            running.head_by = head_by;
        }
    }

    /// No other attempt can follow, so the one that runs has the rest of the deadline.
    pub(super) fn body_not_kept(&mut self) {
        self.body_kept = false;
        if let Some(running) = &mut self.running {
            running.head_by = self.facts.deadline;
        }
    }

    /// Somebody would not wait longer. Whether that speaks against the endpoint depends on how long they did.
    pub(super) fn report_impatience(&self, service: &mut Service, now: Instant, running: Running) {
        let waited = now.since(running.began);
        let median = service.fleet.median_latency().unwrap_or(Duration::ZERO);
        let long = waited > IMPATIENCE_MIN && waited > median.saturating_mul(IMPATIENCE_MEDIANS);
        let speaks = !running.waits && (long || waited >= service.settings().timeout.attempt);
        let report = if speaks {
            Report::Failed { failure: Failure::Timeout, certainty: running.certainty(), latency: waited }
        } else {
            Report::Nothing
        };
        service.fleet.report(now, running.choice, report);
    }

    fn current(&self, attempt: u8) -> Option<Running> {
        self.running.filter(|running| running.attempt == attempt && self.stage == Stage::Attempting)
    }

    pub(super) fn tried(&self) -> &[EndpointId] {
        &self.tried[..usize::from(self.made)]
    }
}

/// Whether another attempt may follow.
impl Call {
    fn retry_rule<'a>(&'a self, service: &'a Service) -> Option<&'a RetrySettings> {
        self.retry.as_deref().unwrap_or(&service.settings().retry).as_ref()
    }

    /// What does not depend on the moment: attempts, condition, certainty, the kept body.
    fn may_repeat(&self, service: &Service, failure: Failure, certainty: Certainty) -> Result<(), NoRetry> {
        let Some(retry) = self.retry_rule(service) else { return Err(NoRetry::Off) };
        let idempotent = self.facts.method.is_idempotent()
            || (retry.idempotency_key && self.facts.idempotency_key)
            || !retry.idempotent_only;
        if u32::from(self.made) >= retry.attempts.min(ATTEMPTS_MAX) {
            Err(NoRetry::AttemptsUsed)
        } else if !retry.on.includes(failure) {
            Err(NoRetry::Condition)
        } else if !self.body_kept {
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
        self.pause = pause;
        Ok((pause, AttemptReason::Retry))
    }
}
