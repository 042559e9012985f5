//! What is left of a call when it is over: counters, a record, a line in the access log.
//!
//! All of it is read from the call's own record, so that none of them can tell another story.

use std::sync::Arc;

use mainstay_core::{Instant, Origin};
use mainstay_http1::RequestView;
use mainstay_policy::{Decision, End, Entry, FallbackKind, Input, Turn};
use mainstay_telemetry::{
    AttemptResult, EndpointKey, KeyResult, LimitKey, Line, RequestFacts, RouteKey, RouteNameKey, TRIES_MAX, Tried, Try,
    all_tries, hedge_results, tries as tries_of,
};

use super::keeping::purse;
use super::{Exchange, Leg};
use crate::answer::Problem;
use crate::caller::CallerSide;
use crate::clock::unix_time;
use crate::plan::Asker;
use crate::worker::Worker;

/// Attempts whose endpoint is kept with a record.
const ATTEMPTS_KEPT: usize = 8;

/// What the access log says beside what every request has.
pub(super) struct Story<'a> {
    pub(super) request_id: &'a [u8],
    pub(super) route: &'a str,
    pub(super) service: &'a str,
    pub(super) endpoint: &'a str,
    pub(super) attempts: u32,
    pub(super) status: u16,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) end: &'static str,
    pub(super) origin: Option<Origin>,
}

/// An attempt, with its times since the request began, and where it went.
#[derive(Debug, Clone)]
pub(super) struct Told {
    tried: Tried,
    endpoint: Option<Arc<str>>,
}

impl Exchange<'_> {
    /// Counts, records and logs the call, and gives back what it held.
    pub(super) fn settle(&mut self) {
        let worker = self.parts.worker;
        self.now = worker.clock.now();
        self.drop_taking();
        self.release_key(None);
        // What went down after the caller had left came to nobody.
        let status = self.alone.unwrap_or(self.status);
        let key = self.parts.local.shared.route_keys.get(self.plan.route.index).copied().unwrap_or(RouteKey::NONE);
        let lasted = self.now.since(self.plan.asker.began);
        worker.counters.borrow_mut().request(key, self.plan.asker.method, status, lasted);
        if worker.access.borrow().is_on() {
            let (end, origin) = match self.problem {
                Some(problem) => (problem.facts().reason, Some(Origin::Client)),
                None if self.alone.is_some() => ("caller_left", Some(Origin::Client)),
                None => end_of(self.leg.call.record().entries()),
            };
            let answered = self.told.iter().rfind(|told| told.tried.result != AttemptResult::Cancelled);
            let endpoint = match answered.or(self.told.last()) {
                Some(told) => told.endpoint.clone(),
                None => self.leg.call.last_endpoint().and_then(|last| self.leg.service.endpoint_text(last)),
            };
            let story = Story {
                request_id: &self.parts.scratch.id,
                route: &self.plan.route.label,
                service: &self.leg.service.name,
                endpoint: endpoint.as_deref().unwrap_or_default(),
                attempts: u32::from(self.leg.call.attempts()) + self.told.len() as u32,
                status,
                received: self.parts.body.end(),
                sent: self.sent,
                end,
                origin,
            };
            self.write_story(&story);
        }
        self.mirror();
        self.parts.body.release(&worker.buffers, &mut purse(&mut self.key, worker));
        self.tell_limits();
        self.count_and_record(&self.leg);
        worker.give_back_record(self.leg.call.take_record());
    }

    /// Writes the line, with the attempts one by one where the rest of it does not tell what became of each.
    fn write_story(&self, story: &Story<'_>) {
        let (caller, asker) = (&*self.parts.caller, &self.plan.asker);
        let record = self.leg.call.record();
        let whole = caller.machine.response_complete();
        if self.told.is_empty() && tries_of(record.entries(), whole).next().is_none() {
            return write_line(self.parts.worker, caller, asker, self.now, story);
        }
        let own = tries_of(record.entries(), whole).map(|tried| self.told_of(&self.leg, tried));
        let mut told = [const { None }; TRIES_MAX];
        let mut count = 0;
        for (slot, attempt) in told.iter_mut().zip(own.chain(self.told.iter().cloned())) {
            *slot = Some(attempt);
            count += 1;
        }
        let mut tries = [Try::default(); TRIES_MAX];
        for (slot, Told { tried, endpoint }) in tries.iter_mut().zip(told.iter().flatten()) {
            let Tried { began, ended, result, certainty, .. } = *tried;
            *slot = Try { endpoint: endpoint.as_deref().unwrap_or_default(), result, certainty, began, ended };
        }
        write_line_with(self.parts.worker, caller, asker, self.now, story, &tries[..count]);
    }

    fn told_of(&self, leg: &Leg, tried: Tried) -> Told {
        let before = leg.call.record().began().since(self.plan.asker.began);
        let endpoint = leg.service.endpoint_text(tried.endpoint);
        Told { tried: Tried { began: before + tried.began, ended: before + tried.ended, ..tried }, endpoint }
    }

    /// Tells the rate limits that let the call through how the service fared with it.
    fn tell_limits(&self) {
        let limits = &self.plan.route.rate_limits;
        let went_well = self.leg.call.record().entries().iter().rev().find_map(|entry| match entry.what {
            Decision::Ended(end) => end.went_well(),
            _ => None,
        });
        if let Some(went_well) = went_well.filter(|_| !limits.is_empty()) {
            self.parts.local.shared.rate_limits.tell(self.now, limits, went_well);
        }
    }

    /// As [`Exchange::settle`] for the call of a fallback.
    pub(super) fn settle_leg(&mut self, mut leg: Leg) {
        self.applied |= leg.call.may_be_applied();
        if self.parts.worker.access.borrow().is_on() {
            let whole = self.parts.caller.machine.response_complete();
            let tries = all_tries(leg.call.record().entries(), whole);
            // The fallback of a fallback is settled before it, and was called after it.
            let told: Vec<_> = tries.map(|tried| self.told_of(&leg, tried)).collect();
            self.told.splice(0..0, told);
        }
        self.count_and_record(&leg);
        self.parts.worker.give_back_record(leg.call.take_record());
    }

    fn count_and_record(&self, leg: &Leg) {
        let worker = self.parts.worker;
        let entries = leg.call.record().entries();
        let refused = self.refused_before_call(entries);
        let entries = refused.as_ref().map_or(entries, |refused| &refused[..]);
        self.count(leg, entries);
        let mut attempts = [EndpointKey::NONE; ATTEMPTS_KEPT];
        let endpoints = entries.iter().filter_map(|entry| match entry.what {
            Decision::Attempt { endpoint, .. } => Some(leg.service.key_of(endpoint)),
            _ => None,
        });
        let made = attempts.iter_mut().zip(endpoints).map(|(slot, key)| *slot = key).count();
        if let Some(ring) = worker.records.borrow_mut().as_mut() {
            let names = &self.parts.local.shared.route_name_keys;
            let facts = RequestFacts {
                id: &self.parts.scratch.id,
                route: names.get(self.plan.route.index).copied().unwrap_or(RouteNameKey::NONE),
                service: leg.service.key,
                method: self.plan.asker.method,
                path: &self.parts.scratch.canonical,
                began: self.plan.asker.began,
                ended: self.now,
                allowed: self.plan.allowed,
                attempts: &attempts[..made],
            };
            ring.push(&facts, entries, leg.call.record().dropped());
        }
    }

    /// What is told of a request that was refused before its call began, in place of the call's own record: that knows
    /// of nothing but an end.
    fn refused_before_call(&self, entries: &[Entry]) -> Option<[Entry; 1]> {
        match (self.problem, entries) {
            (Some(Problem::Refused(refusal)), [end]) => {
                Some([Entry { what: Decision::Ended(End::Refused(refusal)), ..*end }])
            }
            _ => None,
        }
    }

    /// Counts the attempts that a drill ended before they came here to be made, as the record has them.
    fn count_drilled(&self, leg: &Leg, entries: &[Entry]) {
        if leg.ordered.count_ones() >= u32::from(leg.call.attempts()) {
            return;
        }
        let mut counters = self.parts.worker.counters.borrow_mut();
        let drilled = all_tries(entries, true).enumerate().filter(|(number, _)| leg.ordered >> number & 1 == 0);
        for (_, Tried { endpoint, began, ended, result, .. }) in drilled {
            counters.attempt(leg.service.key_of(endpoint), self.plan.asker.method, result, ended - began);
        }
    }

    fn count(&self, leg: &Leg, entries: &[Entry]) {
        self.count_drilled(leg, entries);
        let mut counters = self.parts.worker.counters.borrow_mut();
        hedge_results(entries).for_each(|result| counters.hedge(leg.service.key, result));
        for entry in entries {
            match entry.what {
                Decision::NoHedge { why } => counters.no_hedge(leg.service.key, why),
                Decision::NoRetry { why } => counters.no_retry(leg.service.key, why),
                Decision::Fallback { kind } => counters.fallback(leg.service.key, kind),
                Decision::Fault { kind, .. } => counters.fault(leg.service.key, kind),
                Decision::Stale { .. } => counters.fallback(leg.service.key, FallbackKind::Stale),
                Decision::KeyFirst => counters.key(leg.service.key, KeyResult::First),
                Decision::Replayed { .. } => counters.key(leg.service.key, KeyResult::Replayed),
                Decision::Ended(End::Refused(refusal)) => {
                    counters.refused(leg.service.key, self.plan.facts.priority, refusal);
                }
                Decision::OverLimit { limit, .. } => counters.rate_limited(LimitKey::of(limit)),
                _ => {}
            }
        }
    }
}

/// A call that is dropped on its way (its worker ends) leaves no permit behind and is counted nowhere.
impl Drop for Leg {
    fn drop(&mut self) {
        if self.queued && self.service.forget(self.call.id()) {
            let now = self.clock.now();
            self.service.input(&mut self.call, now, Input::Admitted { turn: Turn::Granted });
        }
        self.service.gone(&self.call, || self.clock.now());
    }
}

/// Writes a line without a list of attempts, if lines are written.
pub(super) fn write_line(worker: &Worker, caller: &CallerSide, asker: &Asker, now: Instant, story: &Story<'_>) {
    write_line_with(worker, caller, asker, now, story, &[]);
}

fn write_line_with(
    worker: &Worker,
    caller: &CallerSide,
    asker: &Asker,
    now: Instant,
    story: &Story<'_>,
    tries: &[Try<'_>],
) {
    let mut access = worker.access.borrow_mut();
    if !access.is_on() {
        return;
    }
    // Without an id the head could not be read, and there is nothing to show of it.
    let request = (!story.request_id.is_empty()).then(|| caller.request());
    access.line(&Line {
        at: unix_time(),
        request_id: story.request_id,
        caller: asker.client,
        method: request.map_or(b"", |request| request.method()),
        host: request.and_then(RequestView::authority).unwrap_or_default(),
        path: request.map_or(b"", |request| request.path()),
        route: story.route,
        service: story.service,
        endpoint: story.endpoint,
        attempts: story.attempts,
        status: story.status,
        duration: now.since(asker.began),
        received: story.received,
        sent: story.sent,
        end: story.end,
        origin: story.origin,
        tries,
    });
}

/// How a call ended, in the log's words.
fn end_of(entries: &[Entry]) -> (&'static str, Option<Origin>) {
    let end = entries.iter().rev().find_map(|entry| match entry.what {
        Decision::Ended(end) => Some(end),
        _ => None,
    });
    match end {
        Some(End::Answered { .. }) => ("answered", None),
        Some(End::Interrupted { origin, .. }) => ("interrupted", Some(origin)),
        Some(End::Replayed { .. }) => ("replayed", None),
        Some(End::Fallback(FallbackKind::Stale)) => ("fallback_stale", None),
        Some(End::Fallback(FallbackKind::Service)) => ("fallback_service", None),
        Some(End::Fallback(FallbackKind::Respond)) => ("fallback_respond", None),
        Some(End::Refused(refusal)) => (refusal.as_str(), Some(refusal.origin())),
        Some(End::CallerLeft) => ("caller_left", Some(Origin::Client)),
        None => ("", None),
    }
}
