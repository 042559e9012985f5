//! What a service looks like at one moment, put together from its shards.

use std::sync::Arc;

use mainstay_core::{Duration, Instant, Limit};
use mainstay_policy::{BreakerState, Cause, EndpointState, EndpointView as Part, ServiceView};

/// What a service looks like.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// What its breaker does. Where the shards differ, the most serious.
    pub breaker: BreakerView,
    /// Retries that could be paid for now; `None` when there is no limit.
    pub budget: Option<f64>,
    /// Calls that wait for a permit.
    pub waiting: u32,
    /// Attempts that run.
    pub in_flight: u32,
    /// Attempts that may run at once now.
    pub limit: Limit<u32>,
    /// Its endpoints.
    pub endpoints: Vec<EndpointView>,
}

/// What a breaker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerView {
    /// It admits and counts.
    Closed,
    /// It refuses, and for how long still.
    Open(Duration),
    /// It lets a few calls through, whose outcomes decide.
    HalfOpen,
    /// It refuses because it was told to.
    ForcedOpen,
    /// It admits because it was told to.
    ForcedClosed,
}

impl BreakerView {
    pub(crate) fn of(now: Instant, state: BreakerState) -> Self {
        match state {
            BreakerState::Closed => Self::Closed,
            BreakerState::Open { until } => Self::Open(until.since(now)),
            BreakerState::HalfOpen => Self::HalfOpen,
            BreakerState::ForcedOpen => Self::ForcedOpen,
            BreakerState::ForcedClosed => Self::ForcedClosed,
        }
    }
}

/// What an endpoint looks like.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointView {
    /// Its name, or its address as text.
    pub name: Arc<str>,
    /// What it is to the choice.
    pub state: EndpointState,
    /// Why it is not ready.
    pub cause: Option<Cause>,
    /// Attempts that run there.
    pub in_flight: u32,
    /// What an attempt is expected to take; `None` before the first.
    pub latency: Option<Duration>,
    /// It is far slower than the others and left alone but for trials.
    pub limping: bool,
    /// Attempts that went well.
    pub successes: u64,
    /// Attempts that failed by its fault.
    pub failures: u64,
    /// How often it was ejected.
    pub ejections: u64,
}

/// Puts the parts together, each with the names of its endpoints.
pub(crate) fn merge(now: Instant, parts: impl Iterator<Item = (Vec<Arc<str>>, ServiceView)>) -> View {
    let mut merged: Option<View> = None;
    for (names, part) in parts {
        let view = view_of(now, names, part);
        match &mut merged {
            Some(merged) => add(merged, view),
            None => merged = Some(view),
        }
    }
    merged.expect("a service has a shard")
}

fn view_of(now: Instant, names: Vec<Arc<str>>, part: ServiceView) -> View {
    let breaker = BreakerView::of(now, part.breaker);
    let endpoints = names.into_iter().zip(part.endpoints).map(|(name, endpoint)| endpoint_of(name, &endpoint));
    View {
        breaker,
        budget: part.budget,
        waiting: part.waiting,
        in_flight: part.in_use,
        limit: part.limit,
        endpoints: endpoints.collect(),
    }
}

fn endpoint_of(name: Arc<str>, part: &Part) -> EndpointView {
    EndpointView {
        name,
        state: part.state,
        cause: part.cause,
        in_flight: part.in_flight,
        latency: part.latency,
        limping: part.limping.is_some(),
        successes: part.successes,
        failures: part.failures,
        ejections: part.ejections,
    }
}

fn add(into: &mut View, other: View) {
    if severity(other.breaker) > severity(into.breaker) {
        into.breaker = other.breaker;
    }
    into.budget = into.budget.zip(other.budget).map(|(a, b)| a + b);
    into.waiting += other.waiting;
    into.in_flight += other.in_flight;
    for (known, endpoint) in into.endpoints.iter_mut().zip(other.endpoints) {
        if gravity(endpoint.state) > gravity(known.state) {
            (known.state, known.cause) = (endpoint.state, endpoint.cause);
        }
        known.in_flight += endpoint.in_flight;
        known.latency = known.latency.max(endpoint.latency);
        known.limping |= endpoint.limping;
        known.successes += endpoint.successes;
        known.failures += endpoint.failures;
        known.ejections += endpoint.ejections;
    }
}

const fn severity(breaker: BreakerView) -> u8 {
    match breaker {
        BreakerView::Closed => 0,
        BreakerView::ForcedClosed => 1,
        BreakerView::HalfOpen => 2,
        BreakerView::Open(_) => 3,
        BreakerView::ForcedOpen => 4,
    }
}

const fn gravity(state: EndpointState) -> u8 {
    match state {
        EndpointState::Ready => 0,
        EndpointState::Probing => 1,
        EndpointState::Ejected => 2,
        EndpointState::Draining => 3,
    }
}
