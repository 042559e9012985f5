//! One picture of the services from what each worker sees.
//!
//! Counts are added up. A state is the most serious that any worker has, because that is what an operator looks for.

use std::sync::Arc;

use mainstay_policy::{BreakerState, EndpointState, EndpointView, ServiceView};

type Named = (Arc<str>, ServiceView);

/// Merges the workers' lists, each in the order of the configuration.
pub(crate) fn merge(views: Vec<Vec<Named>>) -> Vec<Named> {
    let mut all: Vec<Named> = Vec::new();
    for (name, view) in views.into_iter().flatten() {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, merged)) => merge_service(merged, view),
            None => all.push((name, view)),
        }
    }
    all
}

fn merge_service(into: &mut ServiceView, other: ServiceView) {
    if severity(other.breaker) > severity(into.breaker) {
        into.breaker = other.breaker;
    }
    into.budget = into.budget.zip(other.budget).map(|(a, b)| a + b);
    into.waiting += other.waiting;
    into.in_use += other.in_use;
    into.fault = into.fault.or(other.fault);
    for endpoint in other.endpoints {
        match into.endpoints.iter_mut().find(|known| known.address == endpoint.address) {
            Some(known) => merge_endpoint(known, &endpoint),
            None => into.endpoints.push(endpoint),
        }
    }
}

fn merge_endpoint(into: &mut EndpointView, other: &EndpointView) {
    if gravity(other.state) > gravity(into.state) {
        (into.state, into.cause, into.until) = (other.state, other.cause, other.until);
    }
    into.in_flight += other.in_flight;
    into.successes += other.successes;
    into.failures += other.failures;
    into.ejections += other.ejections;
    into.warming = into.warming.min(other.warming).or(into.warming).or(other.warming);
    into.limping = into.limping.or(other.limping);
    into.latency = into.latency.max(other.latency);
    if other.last_check.map(|(at, _)| at) > into.last_check.map(|(at, _)| at) {
        into.last_check = other.last_check;
    }
}

const fn severity(state: BreakerState) -> u8 {
    match state {
        BreakerState::Closed => 0,
        BreakerState::ForcedClosed => 1,
        BreakerState::HalfOpen => 2,
        BreakerState::Open { .. } => 3,
        BreakerState::ForcedOpen => 4,
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
