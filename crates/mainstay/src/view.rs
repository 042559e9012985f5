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
    let merged = parts.reduce(|(mut names, mut merged), (own, part)| {
        let known = |endpoint: &Part| merged.endpoints.iter().any(|known| known.address == endpoint.address);
        let fresh = own.into_iter().zip(&part.endpoints).filter(|(_, endpoint)| !known(endpoint));
        names.extend(fresh.map(|(name, _)| name));
        merged.merge(part);
        (names, merged)
    });
    let (names, merged) = merged.expect("a service has a shard");
    view_of(now, names, merged)
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
