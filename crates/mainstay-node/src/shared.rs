//! The node as its parts see it: the gateway, the configuration in force, and what was counted.
//!
//! Reloads go one after the other. Each is whole or not at all: the file is read, the gateway takes it on, and only then
//! is it the configuration in force; at any failure before that, nothing has changed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_config::{Config, Loaded};
use mainstay_core::Instant;
use mainstay_gateway::{Gateway, OrderError, ServiceState};
use mainstay_policy::{BreakerOrder, FaultOrder, Order};
use mainstay_telemetry::{
    AccessLog, EndpointFigures, Figures, FoundRecord, NodeFigures, ProcessFigures, ServiceFigures,
};
use serde_json::{Value, json};

use crate::admin::{Guard, views};
use crate::file::{ConfigError, ConfigFile};
use crate::running::{OrderRefused, ReloadRefused, Running, ServicesNow, Soon};

/// What all parts of a node share.
pub(crate) struct Shared {
    pub(crate) gateway: Gateway,
    pub(crate) access: AccessLog,
    /// When the gateway's clock began.
    began: std::time::Instant,
    file: ConfigFile,
    guard: Guard,
    in_force: Mutex<Arc<Loaded>>,
    /// Held for as long as a reload runs.
    reloading: tokio::sync::Mutex<()>,
    succeeded: AtomicU64,
    failed: AtomicU64,
    stopping: AtomicBool,
}

impl Shared {
    pub(crate) fn new(
        (gateway, began): (Gateway, std::time::Instant),
        access: AccessLog,
        file: ConfigFile,
        guard: Guard,
        loaded: Arc<Loaded>,
    ) -> Self {
        Self {
            gateway,
            access,
            began,
            file,
            guard,
            in_force: Mutex::new(loaded),
            reloading: tokio::sync::Mutex::new(()),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    /// What the node calls itself.
    pub(crate) fn name(&self) -> String {
        let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        self.loaded().config.node.name.clone().unwrap_or_else(host)
    }

    /// The configuration in force.
    pub(crate) fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.in_force.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What time it is on the gateway's clock, which begins at its start.
    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Readiness fails from now on.
    pub(crate) fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn file(&self) -> &ConfigFile {
        &self.file
    }

    /// Reads the file and takes it on, and says in the log what came of it.
    pub(crate) async fn reload(&self) -> Result<Value, ReloadRefused> {
        let _one_at_a_time = self.reloading.lock().await;
        let result = self.take_on().await;
        match &result {
            Ok(done) => {
                self.succeeded.fetch_add(1, Ordering::Relaxed);
                let at_next_start = words(&done["at_next_start"]);
                if at_next_start.is_empty() {
                    tracing::info!(file = %self.file.path().display(), "the configuration was reloaded");
                } else {
                    tracing::warn!(
                        at_next_start,
                        "the configuration was reloaded; some of it counts from the next start"
                    );
                }
            }
            Err(refused) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!("the new configuration is not used, the old one stays:\n{}", refused.why.trim_end());
            }
        }
        result
    }

    async fn take_on(&self) -> Result<Value, ReloadRefused> {
        let file = self.file.clone();
        let reading = tokio::task::spawn_blocking(move || file.load()).await;
        let loaded = reading.map_err(|_| plainly("reading the file was cut short"))?.map_err(refused)?;
        self.gateway.reload(Arc::new(loaded.config.clone())).await.map_err(|error| plainly(chain(&error)))?;
        if !loaded.warnings.is_empty() {
            tracing::warn!("the new configuration can be used, but:\n{}", loaded.warnings.render(false).trim_end());
        }
        let before = self.loaded();
        self.guard.change_token(loaded.config.admin.token.clone());
        let done = json!({
            "result": "success",
            "warnings": loaded.warnings.to_json(),
            "at_next_start": needs_start(&before.config, &loaded.config),
        });
        *self.in_force.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        Ok(done)
    }

    fn node_figures(&self) -> NodeFigures {
        NodeFigures {
            version: env!("CARGO_PKG_VERSION"),
            reloads_succeeded: self.succeeded.load(Ordering::Relaxed),
            reloads_failed: self.failed.load(Ordering::Relaxed),
            access_log_dropped: self.access.dropped(),
            ready: self.ready(),
        }
    }
}

/// The texts of a list, side by side.
fn words(list: &Value) -> String {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// The keys that differ and that only a start takes on.
fn needs_start(before: &Config, after: &Config) -> Vec<&'static str> {
    let changed = [
        ("node.name", before.node.name != after.node.name),
        ("node.workers", before.node.workers != after.node.workers),
        ("node.data_dir", before.node.data_dir != after.node.data_dir),
        ("admin.address", before.admin.address != after.admin.address),
        ("admin.probe", before.admin.probe != after.admin.probe),
        ("log", before.log != after.log),
        ("explain", before.explain != after.explain),
        ("store", before.store != after.store),
    ];
    changed.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

fn plainly(why: impl Into<String>) -> ReloadRefused {
    ReloadRefused { why: why.into(), problems: json!([]) }
}

fn refused(error: ConfigError) -> ReloadRefused {
    let why = chain(&error);
    match error {
        ConfigError::Wrong(problems) => ReloadRefused { why, problems: problems.to_json() },
        ConfigError::Read { .. } => plainly(why),
    }
}

/// An error and what it came from, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

impl Running for Shared {
    fn services(&self) -> Soon<'_, ServicesNow> {
        Box::pin(async move {
            let services = self.gateway.services().await;
            let now = self.now();
            ServicesNow { now, services: services.into_iter().map(|state| (state.name, state.view)).collect() }
        })
    }

    fn order_endpoint<'a>(
        &'a self,
        service: &'a str,
        address: SocketAddr,
        order: Order,
    ) -> Soon<'a, Result<(), OrderRefused>> {
        Box::pin(async move { self.gateway.order_endpoint(service, address, order).await.map_err(order_refused) })
    }

    fn order_breaker<'a>(&'a self, service: &'a str, order: BreakerOrder) -> Soon<'a, Result<(), OrderRefused>> {
        Box::pin(async move { self.gateway.order_breaker(service, order).await.map_err(order_refused) })
    }

    fn order_fault<'a>(&'a self, service: &'a str, order: Option<FaultOrder>) -> Soon<'a, Result<(), OrderRefused>> {
        Box::pin(async move { self.gateway.order_fault(service, order).await.map_err(order_refused) })
    }

    fn configuration(&self) -> Value {
        json!({ "settings": self.loaded().effective.to_json() })
    }

    fn reload(&self) -> Soon<'_, Result<Value, ReloadRefused>> {
        Box::pin(Self::reload(self))
    }

    fn explain<'a>(&'a self, request_id: &'a str) -> Soon<'a, Vec<FoundRecord>> {
        Box::pin(async move { self.gateway.explain(request_id).await })
    }

    fn recent(&self, only_unhappy: bool, max: usize) -> Soon<'_, Vec<FoundRecord>> {
        Box::pin(self.gateway.recent(only_unhappy, max))
    }

    fn setting(&self, key: &str, route: &str) -> Option<String> {
        let loaded = self.loaded();
        match key.strip_prefix("route.") {
            Some(rest) => {
                let index = loaded.config.route_names().iter().position(|name| name == route)?;
                loaded.effective.tell(&format!("route[{index}].{rest}"))
            }
            None => loaded.effective.tell(key),
        }
    }

    fn metrics(&self) -> Soon<'_, String> {
        Box::pin(async move {
            let (counted, services) = (self.gateway.metrics().await, self.gateway.services().await);
            let process = tokio::task::spawn_blocking(ProcessFigures::read).await.unwrap_or_default();
            let services = services.iter().map(service_figures).collect();
            let connections = self.gateway.connections().await;
            let figures = Figures { services, connections, node: self.node_figures(), process };
            mainstay_telemetry::render(self.gateway.names(), &counted, &figures)
        })
    }

    fn ready(&self) -> bool {
        !self.stopping.load(Ordering::Relaxed) && self.gateway.ready()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in a map_err")]
fn order_refused(error: OrderError) -> OrderRefused {
    match error {
        OrderError::NoService(_) => OrderRefused::NoService,
        OrderError::NoEndpoint { .. } => OrderRefused::NoEndpoint,
    }
}

fn service_figures(state: &ServiceState) -> ServiceFigures {
    let view = &state.view;
    let endpoint = |endpoint: &mainstay_policy::EndpointView| EndpointFigures {
        address: endpoint.address.to_string(),
        state: endpoint.state.as_str(),
        limping: endpoint.limping.is_some(),
        inflight: u64::from(endpoint.in_flight),
    };
    ServiceFigures {
        name: state.name.clone(),
        breaker: views::breaker_word(view.breaker),
        retry_budget_tokens: view.budget,
        concurrency_limit: match view.limit {
            mainstay_core::Limit::Unlimited => None,
            mainstay_core::Limit::At(limit) => Some(u64::from(limit)),
        },
        queued: u64::from(view.waiting),
        keys: state.keys,
        stale: state.stale,
        endpoints: view.endpoints.iter().map(endpoint).collect(),
    }
}

#[cfg(test)]
mod tests {
    use mainstay_config::{Source, load};

    use super::*;

    /// The page of the configuration, which names the keys that only a start takes on.
    const PAGE: &str = include_str!("../../../docs/reference/configuration.md");

    fn config(text: &str) -> Config {
        load(&Source::new("mainstay.toml", text)).unwrap().config
    }

    #[test]
    fn what_only_a_start_takes_on_is_told_and_stands_in_the_reference() {
        let before = config("[store]");
        assert!(needs_start(&before, &before).is_empty());
        let after = config(
            "node = { name = 'n2', workers = 3, data_dir = '/srv' }\n\
             admin = { address = '127.0.0.1:9901', probe = '127.0.0.1:9902' }\n\
             log = { level = 'warn' }\n\
             explain = { keep = 'off' }\n\
             store = { quota = '1GiB' }\n",
        );
        let told = needs_start(&before, &after);
        let listed = PAGE.split("These are read at the start only;").nth(1).unwrap().split("\n\n").next().unwrap();
        for key in &told {
            assert!(listed.contains(&format!("`{key}`")) || listed.contains(&format!("`[{key}]`")), "{key}: {listed}");
        }
        assert_eq!(listed.matches('`').count(), 2 * told.len(), "{told:?}: {listed}");
    }

    #[test]
    fn a_store_that_comes_or_goes_waits_for_a_start() {
        let (with, without) = (config("[store]"), config("[[listener]]\nname = 'web'\naddress = '127.0.0.1:8080'"));
        assert_eq!(needs_start(&without, &with), ["store"]);
        assert_eq!(needs_start(&with, &without), ["store"]);
    }
}
