//! What a service looks like, and one picture of it from what each worker or shard sees.
//!
//! Counts are added up. A state is the most serious that anybody has, because that is what an operator looks for.

use mainstay_core::Limit;

use crate::{BreakerState, EndpointState, EndpointView, Fault};

/// What a service looks like at one moment.
#[derive(Debug, Clone)]
pub struct ServiceView {
    /// Its endpoints, by slot.
    pub endpoints: Vec<EndpointView>,
    /// Its breaker.
    pub breaker: BreakerState,
    /// What is left of the retry budget; `None` when there is no limit.
    pub budget: Option<f64>,
    /// Calls that wait for a permit.
    pub waiting: u32,
    /// Attempts under way.
    pub in_use: u32,
    /// Attempts allowed at once now.
    pub limit: Limit<u32>,
    /// Attempts allowed at once at the most.
    pub ceiling: Limit<u32>,
    /// What an operator lets it have on purpose.
    pub fault: Option<Fault>,
}

impl ServiceView {
    /// Takes in what another worker sees of the same service. An endpoint that only the other knows comes last.
    pub fn merge(&mut self, other: Self) {
        if severity(other.breaker) > severity(self.breaker) {
            self.breaker = other.breaker;
        }
        self.budget = self.budget.zip(other.budget).map(|(a, b)| a + b);
        self.waiting += other.waiting;
        self.in_use += other.in_use;
        self.fault = self.fault.or(other.fault);
        for endpoint in other.endpoints {
            match self.endpoints.iter_mut().find(|known| known.address == endpoint.address) {
                Some(known) => known.merge(&endpoint),
                None => self.endpoints.push(endpoint),
            }
        }
    }
}

impl EndpointView {
    fn merge(&mut self, other: &Self) {
        if gravity(other.state) > gravity(self.state) {
            (self.state, self.cause, self.until) = (other.state, other.cause, other.until);
        }
        self.in_flight += other.in_flight;
        self.successes += other.successes;
        self.failures += other.failures;
        self.ejections += other.ejections;
        self.warming = self.warming.min(other.warming).or(self.warming).or(other.warming);
        self.limping = self.limping.or(other.limping);
        self.latency = self.latency.max(other.latency);
        if other.last_check.map(|(at, _)| at) > self.last_check.map(|(at, _)| at) {
            self.last_check = other.last_check;
        }
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

#[cfg(test)]
mod tests {
    use mainstay_core::{Instant, Seed};

    use super::*;
    use crate::{EndpointSpec, Order, PermitPool, Service, ServiceSettings};

    fn service(ports: &[u16]) -> Service {
        let settings = ServiceSettings::default();
        let permits = PermitPool::new(settings.bulkhead.concurrency, 2);
        let mut service = Service::new(&settings, permits, Seed::new(1), Instant::ORIGIN);
        let at = |port: &u16| ([10, 0, 0, 1], *port).into();
        let spec = |port| EndpointSpec { address: at(port), weight: 1, zone: "".into(), backup: false };
        service.update(Instant::ORIGIN, &ports.iter().map(spec).collect::<Vec<_>>());
        service
    }

    #[test]
    fn a_state_is_the_most_serious_that_anybody_has_and_an_endpoint_that_one_knows_is_there() {
        let (mut one, mut other) = (service(&[1, 2]), service(&[2, 3]));
        other.order(Instant::ORIGIN, ([10, 0, 0, 1], 2).into(), Order::Draining);
        let mut view = one.view(Instant::ORIGIN);
        let budget = view.budget;
        view.merge(other.view(Instant::ORIGIN));
        let states: Vec<_> = view.endpoints.iter().map(|endpoint| (endpoint.address.port(), endpoint.state)).collect();
        assert_eq!(states, [(1, EndpointState::Ready), (2, EndpointState::Draining), (3, EndpointState::Ready)]);
        assert_eq!(view.budget, budget.map(|tokens| 2.0 * tokens));
    }
}
