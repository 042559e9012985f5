//! One configuration, compiled for the workers, and what the workers share beside it.
//!
//! In: a configuration that cannot be wrong. Out: a [`Snapshot`] that nobody changes: a reload makes another one, and
//! calls that run keep theirs until they end. What has to be exact over all workers lives in it as a handle that the
//! next snapshot takes over by name: a service's permits and the answers that are kept for it, the keys of the rate
//! limits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use mainstay_config::{Config, ListenerId, Service};
use mainstay_core::{Instant, Seed};
use mainstay_http1::Limits;
use mainstay_policy::{IdempotencySettings, PermitPool};
use mainstay_telemetry::{LimitKey, ListenerKey, Names, RouteKey, RouteNameKey};

use crate::idempotency::KeyStore;
use crate::limits::Limits as RateLimits;
use crate::listener::ListenerNumber;
use crate::route::RouteTable;
use crate::stale::StaleStore;

/// What lives as long as the gateway.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) names: Arc<Names>,
    pub(crate) seed: Seed,
    /// Threads that carry calls.
    pub(crate) workers: usize,
    /// What is left of `limits.buffers`.
    pub(crate) buffers: Arc<AtomicU64>,
    /// What is left of the part of it that bodies may hold while they arrive.
    pub(crate) arriving: Arc<AtomicU64>,
}

/// A compiled configuration.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) config: Arc<Config>,
    pub(crate) routes: RouteTable,
    /// By [`mainstay_config::ServiceId`].
    pub(crate) services: Vec<ServiceBase>,
    pub(crate) rate_limits: RateLimits,
    /// The labels of the routes, in their order.
    pub(crate) route_keys: Vec<RouteKey>,
    /// Their names in records.
    pub(crate) route_name_keys: Vec<RouteNameKey>,
    /// The labels of the rate limits, in their order.
    pub(crate) limit_keys: Vec<LimitKey>,
    /// Which listener of the configuration each listening socket is.
    listeners: HashMap<ListenerNumber, (ListenerId, ListenerKey)>,
    /// How large a head may be.
    pub(crate) heads: Limits,
}

/// What the workers share of one service.
#[derive(Debug, Clone)]
pub(crate) struct ServiceBase {
    pub(crate) name: Arc<str>,
    pub(crate) permits: PermitPool,
    /// The first answers of `Idempotency-Key`s, where they are kept.
    pub(crate) keys: Option<Arc<KeyStore>>,
    /// Answers that may stand in for the service, where they are kept.
    pub(crate) stale: Option<Arc<StaleStore>>,
}

impl ServiceBase {
    /// What is kept under a table that stands in both configurations stays.
    fn new(service: &Service, before: Option<&Self>, workers: u32, now: Instant) -> Self {
        let policy = &service.policy;
        let keys = |settings: &IdempotencySettings| match before.and_then(|before| before.keys.as_ref()) {
            Some(kept) => {
                kept.configure(now, settings);
                Arc::clone(kept)
            }
            None => Arc::new(KeyStore::new(settings)),
        };
        let stale = || match before.and_then(|before| before.stale.as_ref()) {
            Some(kept) => {
                kept.configure(&policy.fallback);
                Arc::clone(kept)
            }
            None => Arc::new(StaleStore::new(&policy.fallback)),
        };
        Self {
            name: before.map_or_else(|| service.name.as_str().into(), |before| Arc::clone(&before.name)),
            permits: before
                .map_or_else(|| PermitPool::new(policy.bulkhead.concurrency, workers), |base| base.permits.clone()),
            keys: policy.idempotency.as_ref().map(keys),
            stale: policy.fallback.stale_if_error.map(|_| stale()),
        }
    }
}

impl Snapshot {
    /// Compiles `config`; `listeners` are its listening sockets in its order, `before` is what was in force.
    pub(crate) fn new(
        config: Arc<Config>,
        listeners: &[ListenerNumber],
        before: Option<&Self>,
        common: &Common,
        now: Instant,
    ) -> Self {
        let names = &common.names;
        let routes = RouteTable::compile(&config);
        let services = config.services.iter().map(|service| {
            let kept = before.and_then(|before| before.services.iter().find(|base| *base.name == *service.name));
            ServiceBase::new(service, kept, common.workers as u32, now)
        });
        let listeners = listeners.iter().zip(&config.listeners).enumerate();
        Self {
            services: services.collect(),
            rate_limits: RateLimits::compile(
                &config,
                before.map_or(&RateLimits::default(), |before| &before.rate_limits),
                now,
            ),
            route_keys: routes.routes().iter().map(|route| names.route(&route.label)).collect(),
            route_name_keys: config.route_names().iter().map(|name| names.route_name(name)).collect(),
            limit_keys: config.rate_limits.iter().map(|limit| names.limit(&limit.name)).collect(),
            listeners: listeners
                .map(|(at, (number, listener))| (*number, (ListenerId(at), names.listener(&listener.name))))
                .collect(),
            heads: Limits { head: config.limits.request_head.as_usize(), headers: config.limits.headers as usize },
            routes,
            config,
        }
    }

    /// The listener that a connection came by; `None` when the configuration has it no longer.
    pub(crate) fn listener(&self, number: ListenerNumber) -> Option<(ListenerId, ListenerKey)> {
        self.listeners.get(&number).copied()
    }
}
