//! What is counted of calls, and said of changes.
//!
//! Each shard counts into a recorder of its own, under the lock that it holds anyway; names become dense keys once, when
//! endpoints change. Everything is read from the call's own record, so that the counters cannot tell another story than the
//! gateway's. What changes about a service is said to `tracing` once the lock is free, for a subscriber is code of others.

use std::sync::OnceLock;

use mainstay_core::{EndpointId, Failure};
use mainstay_policy::{
    AttemptReason, BreakerEvent, Decision, End, Entry, FleetEvent, LimitId, Priority, Service, ServiceEvent,
};
use mainstay_telemetry::{
    AttemptResult, EndpointFigures, EndpointKey, LimitKey, Method, Names, Recorder, ServiceFigures, ServiceKey,
    Snapshot, all_tries, hedge_results, render_services,
};

use crate::view::{BreakerView, View};

/// Events that are taken at once; the rest comes the next time.
const EVENTS_MAX: usize = 64;

/// The labels of this process.
fn names() -> &'static Names {
    static NAMES: OnceLock<Names> = OnceLock::new();
    NAMES.get_or_init(Names::new)
}

/// How an endpoint is called where it is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label(EndpointKey);

impl Label {
    /// Of an endpoint that has left.
    pub(crate) const NONE: Self = Self(EndpointKey::NONE);

    pub(crate) fn of(service: &str, endpoint: &str) -> Self {
        Self(names().endpoint(names().service(service), endpoint))
    }
}

/// How a rate limit is called in a call's record.
pub(crate) fn limit_id(name: Option<&str>) -> LimitId {
    name.map_or(LimitId::NONE, |name| names().limit(name).id())
}

/// What one shard has counted.
#[derive(Debug)]
pub(crate) struct Counters {
    service: ServiceKey,
    recorder: Recorder,
}

impl Counters {
    pub(crate) fn new(service: &str) -> Self {
        Self { service: names().service(service), recorder: Recorder::new() }
    }

    /// Counts a call that is over.
    pub(crate) fn call(&mut self, entries: &[Entry], priority: Priority, label: impl Fn(EndpointId) -> Label) {
        // As nearly all calls go.
        if let [first, _, last] = entries
            && let (Decision::Attempt { endpoint, .. }, Decision::Ended(End::Answered { status: status @ ..500 })) =
                (first.what, last.what)
        {
            let result = AttemptResult::Success(status);
            return self.recorder.attempt(label(endpoint).0, Method::Other, result, last.after - first.after);
        }
        for tried in all_tries(entries, true) {
            let took = tried.ended - tried.began;
            self.recorder.attempt(label(tried.endpoint).0, Method::Other, tried.result, took);
        }
        hedge_results(entries).for_each(|result| self.recorder.hedge(self.service, result));
        let mut failed = None;
        for entry in entries {
            match entry.what {
                Decision::Failed { failure, .. } => failed = Some(failure),
                Decision::Head { status, .. } => failed = Some(Failure::Status(status)),
                Decision::Attempt { why: AttemptReason::Retry | AttemptReason::Resend, .. } => {
                    failed.into_iter().for_each(|failure| self.recorder.retry(self.service, failure));
                }
                Decision::NoHedge { why } => self.recorder.no_hedge(self.service, why),
                Decision::NoRetry { why } => self.recorder.no_retry(self.service, why),
                Decision::Fallback { kind } => self.recorder.fallback(self.service, kind),
                Decision::OverLimit { limit, .. } => self.recorder.rate_limited(LimitKey::of(limit)),
                Decision::Ended(End::Refused(refusal)) => self.recorder.refused(self.service, priority, refusal),
                _ => {}
            }
        }
    }

    /// Takes what has changed, counts it, and keeps it to be said.
    pub(crate) fn events(&mut self, core: &mut Service, label: impl Fn(EndpointId) -> Label) -> Events {
        let events: Vec<_> = std::iter::from_fn(|| core.poll_event()).take(EVENTS_MAX).collect();
        for event in &events {
            if let ServiceEvent::Fleet(FleetEvent::Ejected { endpoint, cause, .. }) = event {
                self.recorder.ejection(label(*endpoint).0, *cause);
            }
        }
        Events(events)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.recorder.snapshot()
    }
}

/// Changes that nobody was told of yet.
#[derive(Debug, Default)]
pub(crate) struct Events(Vec<ServiceEvent>);

impl Events {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says them. `name_of` is how an address is called.
    pub(crate) fn tell(self, service: &str) {
        for event in self.0 {
            match event {
                ServiceEvent::Breaker(BreakerEvent { from, to, why, .. }) => {
                    tracing::warn!(service, %from, %to, %why, "the breaker changed its state");
                }
                ServiceEvent::Fleet(FleetEvent::Ejected { address, cause, .. }) => {
                    tracing::warn!(service, endpoint = %address, %cause, "an endpoint is ejected");
                }
                ServiceEvent::Fleet(FleetEvent::Probing { address, .. }) => {
                    tracing::info!(service, endpoint = %address, "an ejected endpoint is probed");
                }
                ServiceEvent::Fleet(FleetEvent::Restored { address, by, .. }) => {
                    tracing::info!(service, endpoint = %address, by = by.as_str(), "an endpoint is back");
                }
                ServiceEvent::Fleet(FleetEvent::Limping { address, latency, others, .. }) => {
                    tracing::warn!(service, endpoint = %address, %latency, %others, "an endpoint limps and is left alone");
                }
                ServiceEvent::Fleet(FleetEvent::Draining { address, .. }) => {
                    tracing::info!(service, endpoint = %address, "an endpoint is drained");
                }
                ServiceEvent::Fleet(FleetEvent::Panic { on }) => {
                    tracing::warn!(service, on, "too few endpoints are usable: health and ejection are ignored");
                }
                // No checks are made here.
                ServiceEvent::Fleet(FleetEvent::CheckFailed { .. } | FleetEvent::CheckPassed { .. }) => {}
            }
        }
    }
}

/// What one service has to show.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) name: String,
    pub(crate) view: View,
    pub(crate) has_breaker: bool,
    pub(crate) counted: Snapshot,
}

/// Services as text for Prometheus.
pub(crate) fn text(shown: Vec<Shown>) -> String {
    let mut counted = Snapshot::default();
    let figures = shown.into_iter().map(|one| {
        counted.merge(&one.counted);
        figures_of(one)
    });
    let figures = figures.collect();
    render_services(names(), &counted, figures)
}

fn figures_of(shown: Shown) -> ServiceFigures {
    let Shown { name, view, has_breaker, .. } = shown;
    let breaker = match view.breaker {
        _ if !has_breaker => "",
        BreakerView::Closed | BreakerView::ForcedClosed => "closed",
        BreakerView::Open(_) | BreakerView::ForcedOpen => "open",
        BreakerView::HalfOpen => "half_open",
    };
    let endpoint = |endpoint: &crate::EndpointView| EndpointFigures {
        address: endpoint.name.to_string(),
        state: endpoint.state.as_str(),
        limping: endpoint.limping,
        inflight: endpoint.in_flight.into(),
    };
    ServiceFigures {
        breaker,
        retry_budget_tokens: view.budget,
        concurrency_limit: match view.limit {
            mainstay_core::Limit::At(limit) => Some(limit.into()),
            mainstay_core::Limit::Unlimited => None,
        },
        queued: view.waiting.into(),
        endpoints: view.endpoints.iter().map(endpoint).collect(),
        name,
        keys: None,
        stale: None,
    }
}
