//! Decides which route a request takes: the first in the file's order that matches.
//!
//! In: a configuration, once; then a request with its canonical [`normalise`]d path and the listener that it came by.
//! Out: the route, with all that it means for the request already compiled: where it leads, how the path and the fields
//! change, which limits stand before it.
//!
//! - The order of the file decides, and nothing else does: no route is better for being longer or more exact.
//! - The cost does not grow with the number of routes (see `index`), and no request allocates.
//! - What a route sees is what goes upstream: both are the canonical path.

mod condition;
mod hash;
mod index;
mod path;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use mainstay_config::{
    Config, HashOn, HostHeader, HostMatch, ListenerId, Mirror, PathMatch, RateLimitId, Route, RouteRetry, ServiceId,
    Target,
};
use mainstay_core::{Duration, below};
use mainstay_http1::{Known, RequestView};
use mainstay_policy::{Priority, RetrySettings};

pub(crate) use hash::stable_hash;
pub(crate) use path::{BadPath, normalise};

use crate::forward::{FieldRules, PathChange, RedirectRule, escaped};
use condition::Conditions;
pub(crate) use condition::{cookies, parameters};
use index::{HostRule, Index, PathPlace};

/// All routes of a configuration.
#[derive(Debug)]
pub(crate) struct RouteTable {
    routes: Vec<CompiledRoute>,
    index: Index,
}

/// One route, ready for use.
#[derive(Debug)]
pub(crate) struct CompiledRoute {
    /// Its place in the file's order, from 0.
    pub(crate) index: usize,
    /// What metrics and logs call it: the path that it is for, as the file has it without `=` and `~`.
    pub(crate) label: Box<str>,
    /// Where it leads.
    pub(crate) target: RouteTarget,
    /// Of the call, up to the response's head.
    pub(crate) timeout: Duration,
    /// After the head: the longest silence.
    pub(crate) stream_idle: Duration,
    /// What is shed first.
    pub(crate) priority: Priority,
    /// All must admit a call.
    pub(crate) rate_limits: Vec<RateLimitId>,
    /// Its own rule for retries; `None`: the service's.
    pub(crate) retry: Option<Arc<Option<RetrySettings>>>,
    /// Which `Host` goes upstream.
    pub(crate) host_header: HostHeader,
    /// How the path changes on the way up.
    pub(crate) path_change: PathChange,
    /// How the fields change on the way up.
    pub(crate) request_fields: FieldRules,
    /// How the fields change on the way down.
    pub(crate) response_fields: FieldRules,
    /// Where a copy of a share of the calls goes.
    pub(crate) mirror: Option<Mirror>,
    conditions: Conditions,
}

/// Where a route leads.
#[derive(Debug)]
pub(crate) enum RouteTarget {
    /// To one service.
    Service(ServiceId),
    /// To several: each with the sum of the weights up to and with its own.
    Split(Vec<(ServiceId, u64)>),
    /// Elsewhere, by an answer of our own.
    Redirect(RedirectRule),
}

impl RouteTarget {
    fn new(route: &Route) -> Self {
        match &route.target {
            Target::Service(service) => Self::Service(*service),
            Target::Redirect(redirect) => Self::Redirect(RedirectRule::new(redirect, &route.path)),
            Target::Split(parts) => Self::Split(
                parts
                    .iter()
                    .scan(0, |sum, (service, weight)| {
                        *sum += u64::from(*weight);
                        Some((*service, *sum))
                    })
                    .collect(),
            ),
        }
    }

    /// The service that a call takes by its draw for [`mainstay_core::Purpose::Split`]; `None` for a redirect.
    #[must_use]
    pub(crate) fn service(&self, draw: u64) -> Option<ServiceId> {
        match self {
            Self::Service(service) => Some(*service),
            Self::Redirect(_) => None,
            Self::Split(parts) => {
                let place = below(draw, parts.last()?.1);
                parts.iter().find(|(_, sum)| place < *sum).map(|(service, _)| *service)
            }
        }
    }
}

impl RouteTable {
    /// Compiles the routes of `config`.
    #[must_use]
    pub(crate) fn compile(config: &Config) -> Self {
        let mut index = Index::default();
        let routes = config.routes.iter().enumerate().map(|(at, route)| {
            index.add(at as u32, &host_rule(&route.host), &path_place(&route.path));
            CompiledRoute::new(at, route)
        });
        let routes = routes.collect();
        Self { routes, index }
    }

    /// The first route that matches; `path` is the canonical path of `request`.
    #[must_use]
    pub(crate) fn find(&self, request: RequestView<'_>, path: &[u8], listener: ListenerId) -> Option<&CompiledRoute> {
        let host = request.authority().unwrap_or_default();
        let holds = |route: u32| self.routes[route as usize].conditions.hold(request, path, listener);
        self.index.first(host, path, holds).map(|route| &self.routes[route as usize])
    }

    /// The routes in the file's order.
    #[must_use]
    pub(crate) fn routes(&self) -> &[CompiledRoute] {
        &self.routes
    }
}

impl CompiledRoute {
    fn new(index: usize, route: &Route) -> Self {
        Self {
            index,
            label: route.label().into(),
            target: RouteTarget::new(route),
            timeout: route.timeout,
            stream_idle: route.stream_idle,
            priority: route.priority,
            rate_limits: route.rate_limits.clone(),
            retry: match &route.retry {
                RouteRetry::Service => None,
                RouteRetry::Own(rule) => Some(Arc::new(rule.clone())),
            },
            host_header: route.host_header.clone(),
            path_change: PathChange::new(route),
            request_fields: FieldRules::new(&route.request_headers),
            response_fields: FieldRules::new(&route.response_headers),
            mirror: route.mirror,
            conditions: Conditions::new(route),
        }
    }
}

fn host_rule(host: &HostMatch) -> HostRule {
    let bytes = |name: &str| name.to_ascii_lowercase().into_bytes().into();
    match host {
        HostMatch::Any => HostRule::Any,
        HostMatch::Exact(name) => HostRule::Exact(bytes(name)),
        HostMatch::Suffix(name) => HostRule::Suffix(bytes(name)),
    }
}

/// A configured path may be written in another way than the canonical one; one that has no canonical form is nobody's.
fn path_place(path: &PathMatch) -> PathPlace {
    let mut scratch = Vec::new();
    let mut canonical = |path: &str| normalise(&escaped(path), &mut scratch).ok().map(Box::from);
    match path {
        PathMatch::Pattern(_) => PathPlace::Anywhere,
        PathMatch::Prefix(path) => canonical(path).map_or(PathPlace::Nowhere, PathPlace::Prefix),
        PathMatch::Exact(path) => canonical(path).map_or(PathPlace::Nowhere, PathPlace::Exact),
    }
}

/// The hash by which a service's balancing sends a call to the same endpoint again. What a call lacks counts as empty.
#[must_use]
pub(crate) fn balance_hash(on: &HashOn, request: RequestView<'_>, path: &[u8], client: IpAddr) -> u64 {
    match on {
        HashOn::ClientIp => hash_address(client),
        HashOn::Path => stable_hash(path),
        HashOn::Header(name) => stable_hash(header(request, name)),
        HashOn::Query(name) => stable_hash(&parameters(request, name.as_bytes()).next().unwrap_or_default()),
        HashOn::Cookie(name) => stable_hash(cookies(request, name.as_bytes()).next().unwrap_or_default()),
    }
}

fn hash_address(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => stable_hash(&address.octets()),
        IpAddr::V6(address) => stable_hash(&address.octets()),
    }
}

/// The value of the first field called `name`, or nothing.
pub(crate) fn header<'a>(request: RequestView<'a>, name: &str) -> &'a [u8] {
    match Known::of(name.as_bytes()) {
        Known::Other => request.get_named(name),
        known => request.get(known),
    }
    .unwrap_or_default()
}
