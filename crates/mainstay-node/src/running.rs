//! What the admin API needs of a running node, and no more.
//!
//! The API is tested against a stand-in that answers the same questions, so that its rules (who may ask, what is
//! refused, what is written down) do not need sockets to instances.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use mainstay_core::Instant;
use mainstay_policy::{BreakerOrder, FaultOrder, Order, ServiceView};
use mainstay_telemetry::FoundRecord;
use serde_json::Value;

/// An answer that takes a moment.
pub(crate) type Soon<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A running node as its operators see it.
pub(crate) trait Running: Send + Sync + 'static {
    /// Every service, in the order of the configuration, and the moment at which it looked so.
    fn services(&self) -> Soon<'_, ServicesNow>;
    /// Carries out an operator's word about one endpoint.
    fn order_endpoint<'a>(
        &'a self,
        service: &'a str,
        address: SocketAddr,
        order: Order,
    ) -> Soon<'a, Result<(), OrderRefused>>;
    /// Carries out an operator's word about a breaker.
    fn order_breaker<'a>(&'a self, service: &'a str, order: BreakerOrder) -> Soon<'a, Result<(), OrderRefused>>;
    /// Lets a service have a fault on purpose until its lease ends; `None` ends it.
    fn order_fault<'a>(&'a self, service: &'a str, order: Option<FaultOrder>) -> Soon<'a, Result<(), OrderRefused>>;
    /// The effective configuration; a secret as the place where it is kept.
    fn configuration(&self) -> Value;
    /// Reads the configuration again.
    fn reload(&self) -> Soon<'_, Result<Value, ReloadRefused>>;
    /// What was decided about the request with this id; empty when it is not remembered.
    fn explain<'a>(&'a self, request_id: &'a str) -> Soon<'a, Vec<FoundRecord>>;
    /// What was decided about the last `max` requests, or the last that were unhappy, the newest first.
    fn recent(&self, only_unhappy: bool, max: usize) -> Soon<'_, Vec<FoundRecord>>;
    /// What `key` of the configuration is set to now and where; `route` is the name of the route that keys under `route.`
    /// are meant for. `None` when that is not known.
    fn setting(&self, key: &str, route: &str) -> Option<String>;
    /// All metrics as Prometheus text.
    fn metrics(&self) -> Soon<'_, String>;
    /// Whether the node takes traffic.
    fn ready(&self) -> bool;
}

/// The services at one moment.
#[derive(Debug)]
pub(crate) struct ServicesNow {
    /// On the clock of the views.
    pub(crate) now: Instant,
    /// Name and state.
    pub(crate) services: Vec<(String, ServiceView)>,
}

/// An order names something that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OrderRefused {
    /// There is no such service.
    NoService,
    /// The service has no such endpoint.
    NoEndpoint,
}

/// The old configuration stays.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReloadRefused {
    /// Why, for a person.
    pub(crate) why: String,
    /// Each problem, for a program; empty when the file could not be read or used at all.
    pub(crate) problems: Value,
}
