//! Keeps the workers informed of who answers for each service and how they are.
//!
//! In: a configuration, and another one at each reload. Out: sets of endpoints and results of checks in the workers'
//! mailboxes. One [`Discovery`] for each service whose endpoints do not stand in the configuration, and one [`Checks`]
//! for each that has active checks; both run on the control runtime.
//!
//! - A service whose source did not change is not looked up anew by a reload, and its checks go on.
//! - Workers know an endpoint before it is checked, so that no result is nobody's.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mainstay_config::{Config, Endpoints};
use mainstay_core::Seed;
use mainstay_discover::Discovery;
use mainstay_policy::EndpointSpec;

use crate::clock::Clock;
use crate::health::{Asked, Checks};
use crate::worker::Workers;

/// The watch over all services.
#[derive(Debug)]
pub(crate) struct Watch {
    workers: Workers,
    clock: Clock,
    seed: Seed,
    services: Vec<Watched>,
}

/// The watch over one service.
#[derive(Debug)]
struct Watched {
    name: Arc<str>,
    source: Endpoints,
    /// `None` for endpoints that stand in the configuration.
    _discovery: Option<Discovery>,
    health: Arc<Health>,
}

/// The checks of one service, whose endpoints may become known before or after it is to be checked.
#[derive(Debug, Default)]
struct Health(Mutex<HealthState>);

#[derive(Debug, Default)]
struct HealthState {
    endpoints: Vec<SocketAddr>,
    checks: Option<Checks>,
}

impl Watch {
    /// A watch over nothing yet.
    pub(crate) fn new(workers: Workers, clock: Clock, seed: Seed) -> Self {
        Self { workers, clock, seed: seed.derive("checks"), services: Vec::new() }
    }

    /// Ends what `config` no longer wants. To be called before the workers take it on, so that no look-up of the old
    /// source overtakes the new one.
    pub(crate) fn retire(&mut self, config: &Config) {
        self.services.retain(|watched| {
            config.services.iter().any(|service| {
                *service.name == *watched.name
                    && (is_fixed(&service.endpoints) || service.endpoints == watched.source)
                    && is_fixed(&service.endpoints) == is_fixed(&watched.source)
            })
        });
    }

    /// Watches the services of `config`, once the workers know it.
    pub(crate) fn follow(&mut self, config: &Config) {
        for service in &config.services {
            let known = self.services.iter().position(|watched| *watched.name == *service.name);
            let at = known.unwrap_or_else(|| {
                self.services.push(self.watch(service));
                self.services.len() - 1
            });
            let watched = &mut self.services[at];
            watched.source.clone_from(&service.endpoints);
            if let Endpoints::Fixed(fixed) = &service.endpoints {
                watched.health.set_endpoints(fixed);
            }
            let (workers, name) = (self.workers.clone(), Arc::clone(&watched.name));
            let seed = self.seed.derive(&service.name);
            let asked = service.policy.health.clone();
            let asked = asked.map(|settings| Asked { settings, body: service.expect_body.clone() });
            watched.health.set_checks(asked, |asked, endpoints| {
                Checks::start(asked, endpoints, seed, self.clock, move |address, result| {
                    let (workers, name) = (workers.clone(), Arc::clone(&name));
                    async move { workers.check(&name, address, result).await }
                })
            });
        }
    }

    fn watch(&self, service: &mainstay_config::Service) -> Watched {
        let name: Arc<str> = service.name.as_str().into();
        let health = Arc::<Health>::default();
        let discovery = (!is_fixed(&service.endpoints)).then(|| {
            let (workers, name, health) = (self.workers.clone(), Arc::clone(&name), Arc::clone(&health));
            Discovery::start(&service.name, &service.endpoints, move |endpoints| {
                let (workers, name, health) = (workers.clone(), Arc::clone(&name), Arc::clone(&health));
                async move {
                    let endpoints: Arc<[EndpointSpec]> = endpoints.into();
                    workers.endpoints(&name, &endpoints).await;
                    health.set_endpoints(&endpoints);
                }
            })
        });
        Watched { name, source: service.endpoints.clone(), _discovery: discovery, health }
    }
}

impl Health {
    fn set_endpoints(&self, endpoints: &[EndpointSpec]) {
        let mut state = self.lock();
        state.endpoints = endpoints.iter().map(|endpoint| endpoint.address).collect();
        if let Some(checks) = &state.checks {
            checks.update(state.endpoints.clone());
        }
    }

    fn set_checks(&self, asked: Option<Asked>, start: impl FnOnce(Asked, Vec<SocketAddr>) -> Checks) {
        let mut state = self.lock();
        match (asked, &state.checks) {
            (Some(asked), Some(checks)) => checks.configure(asked),
            (Some(asked), None) => state.checks = Some(start(asked, state.endpoints.clone())),
            (None, _) => state.checks = None,
        }
    }

    // Each change is one assignment, so what a panic would leave behind is whole.
    fn lock(&self) -> MutexGuard<'_, HealthState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fixed(endpoints: &Endpoints) -> bool {
    matches!(endpoints, Endpoints::Fixed(_))
}
