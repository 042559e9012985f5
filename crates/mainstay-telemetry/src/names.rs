//! Labels as dense keys, handed out once per reload.
//!
//! A worker counts by key, which is an index into a table; the text is looked up when metrics are rendered. A label has
//! the same key for as long as the process lives and a key is never given to another label, so a reload that renumbers
//! routes, or takes a service away and brings it back, loses no counter. The price is that the tables only grow; each
//! has a ceiling, and a label that finds no room counts under [`OTHER`], so the number of series is bounded whatever
//! discovery brings.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use mainstay_policy::LimitId;

/// The label of everything that found no room.
pub const OTHER: &str = "_OTHER";

const ROUTES_MAX: usize = 4096;
const SERVICES_MAX: usize = 4096;
const LIMITS_MAX: usize = 1024;
const LISTENERS_MAX: usize = 256;
const ENDPOINTS_MAX: usize = 16_384;
const ENDPOINTS_PER_SERVICE_MAX: u32 = 1024;

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub(crate) u32);

        impl $name {
            /// No label at all.
            pub const NONE: Self = Self(0);

            pub(crate) const fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

keys! {
    /// The label of a route, which routes with one path share.
    RouteKey,
    /// The label of a service.
    ServiceKey,
    /// The label of an endpoint, which belongs to one service.
    EndpointKey,
    /// The label of a rate limit.
    LimitKey,
    /// The label of a listener.
    ListenerKey
}

/// The name of a route, which no other route has: for records, and no label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RouteNameKey(u32);

impl RouteNameKey {
    /// No name at all.
    pub const NONE: Self = Self(0);
}

impl LimitKey {
    /// The key of the limit that a call's record names.
    #[must_use]
    pub const fn of(limit: LimitId) -> Self {
        Self(limit.0)
    }

    /// How a call's record names the limit.
    #[must_use]
    pub const fn id(&self) -> LimitId {
        LimitId(self.0)
    }
}

/// Every label that was given a key. One for the whole process; asked at reloads, by discovery and for rendering, never
/// by a request.
#[derive(Debug, Default)]
pub struct Names {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    routes: Labels,
    route_names: Labels,
    services: Labels,
    limits: Labels,
    listeners: Labels,
    endpoints: Endpoints,
}

impl Names {
    /// No label yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The key of the route that is called `text` in `http_route`.
    #[must_use]
    pub fn route(&self, text: &str) -> RouteKey {
        RouteKey(self.write().routes.key(text, ROUTES_MAX))
    }

    /// The key of the route that is called `text` in records.
    #[must_use]
    pub fn route_name(&self, text: &str) -> RouteNameKey {
        RouteNameKey(self.write().route_names.key(text, ROUTES_MAX))
    }

    /// The key of the service `text`.
    #[must_use]
    pub fn service(&self, text: &str) -> ServiceKey {
        ServiceKey(self.write().services.key(text, SERVICES_MAX))
    }

    /// The key of the rate limit `text`.
    #[must_use]
    pub fn limit(&self, text: &str) -> LimitKey {
        LimitKey(self.write().limits.key(text, LIMITS_MAX))
    }

    /// The key of the listener `text`.
    #[must_use]
    pub fn listener(&self, text: &str) -> ListenerKey {
        ListenerKey(self.write().listeners.key(text, LISTENERS_MAX))
    }

    /// The key of the endpoint of `service` at `address`.
    #[must_use]
    pub fn endpoint(&self, service: ServiceKey, address: &str) -> EndpointKey {
        EndpointKey(self.write().endpoints.key(service, address))
    }

    /// The text of a route.
    #[must_use]
    pub fn route_text(&self, key: RouteKey) -> String {
        self.read().routes.text(key.0).to_owned()
    }

    /// The name of a route in records.
    #[must_use]
    pub fn route_name_text(&self, key: RouteNameKey) -> String {
        self.read().route_names.text(key.0).to_owned()
    }

    /// The text of a service.
    #[must_use]
    pub fn service_text(&self, key: ServiceKey) -> String {
        self.read().services.text(key.0).to_owned()
    }

    /// The text of a rate limit.
    #[must_use]
    pub fn limit_text(&self, key: LimitKey) -> String {
        self.read().limits.text(key.0).to_owned()
    }

    /// The text of a listener.
    #[must_use]
    pub fn listener_text(&self, key: ListenerKey) -> String {
        self.read().listeners.text(key.0).to_owned()
    }

    /// The address of an endpoint.
    #[must_use]
    pub fn endpoint_text(&self, key: EndpointKey) -> String {
        self.read().endpoints.address(key).to_owned()
    }

    /// The service that an endpoint belongs to.
    #[must_use]
    pub fn service_of(&self, key: EndpointKey) -> ServiceKey {
        self.read().endpoints.service(key)
    }

    // A thread that panicked while it held the lock left whole tables behind: each is changed by one push.
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Texts by key; the empty text has the key 0.
#[derive(Debug)]
struct Labels {
    texts: Vec<String>,
    keys: HashMap<String, u32>,
}

impl Default for Labels {
    fn default() -> Self {
        Self { texts: vec![String::new()], keys: HashMap::from([(String::new(), 0)]) }
    }
}

impl Labels {
    fn key(&mut self, text: &str, max: usize) -> u32 {
        if let Some(key) = self.keys.get(text) {
            return *key;
        }
        if self.texts.len() >= max && text != OTHER {
            return self.key(OTHER, max);
        }
        let key = self.texts.len() as u32;
        self.texts.push(text.to_owned());
        self.keys.insert(text.to_owned(), key);
        key
    }

    fn text(&self, key: u32) -> &str {
        self.texts.get(key as usize).map_or(OTHER, String::as_str)
    }
}

/// Addresses by key, each under its service.
#[derive(Debug)]
struct Endpoints {
    rows: Vec<(ServiceKey, String)>,
    keys: HashMap<(ServiceKey, String), u32>,
    of_service: HashMap<ServiceKey, u32>,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self {
            rows: vec![(ServiceKey::NONE, String::new())],
            keys: HashMap::from([((ServiceKey::NONE, String::new()), 0)]),
            of_service: HashMap::new(),
        }
    }
}

impl Endpoints {
    fn key(&mut self, service: ServiceKey, address: &str) -> u32 {
        let row = (service, address.to_owned());
        if let Some(key) = self.keys.get(&row) {
            return *key;
        }
        let count = self.of_service.entry(service).or_default();
        if (*count >= ENDPOINTS_PER_SERVICE_MAX || self.rows.len() >= ENDPOINTS_MAX) && address != OTHER {
            return self.key(service, OTHER);
        }
        *count += 1;
        let key = self.rows.len() as u32;
        self.rows.push(row.clone());
        self.keys.insert(row, key);
        key
    }

    fn address(&self, key: EndpointKey) -> &str {
        self.rows.get(key.index()).map_or(OTHER, |(_, address)| address)
    }

    fn service(&self, key: EndpointKey) -> ServiceKey {
        self.rows.get(key.index()).map_or(ServiceKey::NONE, |(service, _)| *service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_keeps_its_key_through_every_reload() {
        let names = Names::new();
        let (cart, home) = (names.route("/cart"), names.route("/"));
        assert_ne!(cart, home);
        assert_eq!(names.route("/cart"), cart);
        assert_eq!(names.route_text(cart), "/cart");
        assert_eq!(names.route(""), RouteKey::NONE);
    }

    #[test]
    fn one_address_in_two_services_is_two_endpoints() {
        let names = Names::new();
        let (shop, search) = (names.service("shop"), names.service("search"));
        let in_shop = names.endpoint(shop, "127.0.0.1:9101");
        assert_ne!(in_shop, names.endpoint(search, "127.0.0.1:9101"));
        assert_eq!(names.service_of(in_shop), shop);
        assert_eq!(names.endpoint_text(in_shop), "127.0.0.1:9101");
    }

    #[test]
    fn however_many_endpoints_discovery_brings_the_series_are_bounded() {
        let names = Names::new();
        let shop = names.service("shop");
        let mut last = EndpointKey::NONE;
        for port in 0..3000 {
            last = names.endpoint(shop, &format!("10.0.0.1:{port}"));
        }
        assert_eq!(names.endpoint_text(last), OTHER);
        assert!(last.0 <= ENDPOINTS_PER_SERVICE_MAX + 1);
        let mut route = RouteKey::NONE;
        for number in 0..10_000 {
            route = names.route(&format!("/r{number}"));
        }
        assert_eq!(names.route_text(route), OTHER);
        assert_eq!(route.index(), ROUTES_MAX);
    }
}
