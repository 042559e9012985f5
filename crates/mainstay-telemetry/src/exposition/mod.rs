//! Metrics as text for Prometheus.
//!
//! OpenTelemetry's HTTP metrics first, then the process, then ours. Families and samples come in a fixed order, units
//! are base units, counters end in `_total`, and a state is one series per word with the value 1 for the one that holds,
//! so that a dashboard can sum over it. A label that does not apply is left out.

mod figures;
mod process;
mod text;

use mainstay_core::Duration;
use mainstay_policy::{FaultKind, KeyFigures};

pub use figures::{EndpointFigures, Figures, NodeFigures, ServiceFigures};
pub use process::ProcessFigures;
use text::{Kind, Labels, Text};

use crate::hedges::HEDGES;
use crate::metrics::{
    CAUSES, FAILURES, FALLBACKS, Histogram, KEYS, MIRRORED, NO_RETRY, OTHER_OUTCOME, PRIORITIES, REFUSALS, RESULTS,
    SHED, ServiceCounters,
};
use crate::{EndpointKey, LimitKey, ListenerKey, Names, OTHER, RouteKey, ServiceKey, Snapshot};

/// The `Content-Type` of what [`render`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const BREAKER_STATES: [&str; 3] = ["closed", "open", "half_open"];
const ENDPOINT_STATES: [&str; 4] = ["ready", "ejected", "probing", "draining"];

/// Everything as text.
#[must_use]
pub fn render(names: &Names, snapshot: &Snapshot, figures: &Figures) -> String {
    let mut out = String::with_capacity(64 * 1024);
    let mut text = Text::new(&mut out);
    server(&mut text, names, snapshot);
    client(&mut text, names, snapshot);
    figures.process.write(&mut text);
    attempts(&mut text, names, snapshot);
    retries(&mut text, names, snapshot);
    hedges(&mut text, names, snapshot);
    budgets(&mut text, figures);
    states(&mut text, figures);
    limping(&mut text, figures);
    ejections(&mut text, names, snapshot);
    refusals(&mut text, names, snapshot);
    limits(&mut text, names, snapshot);
    fallbacks(&mut text, names, snapshot);
    faults(&mut text, names, snapshot);
    stale(&mut text, figures);
    keys(&mut text, names, snapshot, figures);
    mirrored(&mut text, names, snapshot);
    load(&mut text, figures);
    connections(&mut text, names, snapshot, figures);
    records(&mut text, snapshot);
    node(&mut text, &figures.node);
    out
}

/// Services alone, as text: for a program that calls them and is no node.
#[must_use]
pub fn render_services(names: &Names, snapshot: &Snapshot, services: Vec<ServiceFigures>) -> String {
    let figures = Figures { services, ..Figures::default() };
    let mut out = String::with_capacity(8 * 1024);
    let mut text = Text::new(&mut out);
    client(&mut text, names, snapshot);
    attempts(&mut text, names, snapshot);
    retries(&mut text, names, snapshot);
    hedges(&mut text, names, snapshot);
    budgets(&mut text, &figures);
    states(&mut text, &figures);
    limping(&mut text, &figures);
    ejections(&mut text, names, snapshot);
    refusals(&mut text, names, snapshot);
    limits(&mut text, names, snapshot);
    fallbacks(&mut text, names, snapshot);
    load(&mut text, &figures);
    out
}

fn server(text: &mut Text<'_>, names: &Names, snapshot: &Snapshot) {
    const NAME: &str = "http_server_request_duration_seconds";
    text.family(NAME, Kind::Histogram, "From the first byte of a request to the last of its answer.");
    for (route, method, outcome, durations) in snapshot.server.iter() {
        let (route, status) = (names.route_text(RouteKey(route as u32)), status_text(outcome));
        let labels = [
            ("http_request_method", method.as_str()),
            ("http_response_status_code", status.as_str()),
            ("http_route", route.as_str()),
        ];
        histogram(text, NAME, &labels, durations);
    }
}

fn client(text: &mut Text<'_>, names: &Names, snapshot: &Snapshot) {
    const NAME: &str = "http_client_request_duration_seconds";
    text.family(NAME, Kind::Histogram, "From the choice of an endpoint to the end of the attempt.");
    for (endpoint, method, outcome, durations) in snapshot.client.iter() {
        let key = EndpointKey(endpoint as u32);
        let (service, address) = (names.service_text(names.service_of(key)), names.endpoint_text(key));
        let (host, port) = address.rsplit_once(':').unwrap_or((&address, ""));
        let status = if outcome < 100 { String::new() } else { status_text(outcome) };
        let error = if outcome < 100 { RESULTS.get(usize::from(outcome)).copied().unwrap_or(OTHER) } else { "" };
        let labels = [
            ("service", service.as_str()),
            ("server_address", host.trim_matches(['[', ']'])),
            ("server_port", port),
            ("http_request_method", method.as_str()),
            ("http_response_status_code", status.as_str()),
            ("error_type", error),
        ];
        histogram(text, NAME, &labels, durations);
    }
}

fn status_text(outcome: u16) -> String {
    match outcome {
        0 => String::new(),
        OTHER_OUTCOME => OTHER.to_owned(),
        status => status.to_string(),
    }
}

fn histogram(text: &mut Text<'_>, name: &str, labels: Labels<'_>, durations: &Histogram) {
    let bucket = format!("{name}_bucket");
    for (bound, count) in durations.cumulative() {
        text.sample(&bucket, &[labels, &[("le", &bound.to_string())]].concat(), count);
    }
    text.sample(&bucket, &[labels, &[("le", "+Inf")]].concat(), durations.count());
    text.sample(&format!("{name}_sum"), labels, Seconds(durations.sum()));
    text.sample(&format!("{name}_count"), labels, durations.count());
}

/// Seconds to the nanosecond, by whole numbers.
struct Seconds(Duration);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let nanos = self.0.as_nanos();
        write!(f, "{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
    }
}

fn attempts(text: &mut Text<'_>, names: &Names, snapshot: &Snapshot) {
    const NAME: &str = "mainstay_attempts_total";
    text.family(NAME, Kind::Counter, "Attempts that ended, by how.");
    for (index, row) in snapshot.attempts.iter().enumerate() {
        let key = EndpointKey(index as u32);
        let (service, address) = (names.service_text(names.service_of(key)), names.endpoint_text(key));
        for (result, count) in counted(&RESULTS, row) {
            text.sample(NAME, &[("service", &service), ("endpoint", &address), ("result", result)], count);
        }
    }
}

/// The words whose count is not zero.
fn counted<'a>(words: &'a [&'static str], counts: &'a [u64]) -> impl Iterator<Item = (&'static str, u64)> + 'a {
    words.iter().copied().zip(counts.iter().copied()).filter(|(_, count)| *count > 0)
}

fn each_service<'a>(
    names: &'a Names,
    snapshot: &'a Snapshot,
) -> impl Iterator<Item = (String, &'a ServiceCounters)> + 'a {
    snapshot.services.iter().enumerate().map(|(index, row)| (names.service_text(ServiceKey(index as u32)), row))
}

fn retries(text: &mut Text<'_>, names: &Names, snapshot: &Snapshot) {
    const MADE: &str = "mainstay_retries_total";
    text.family(MADE, Kind::Counter, "Further attempts, by the failure before them.");
    for (service, row) in each_service(names, snapshot) {
        for (reason, count) in counted(&FAILURES, &row.retries) {
            text.sample(MADE, &[("service", &service), ("reason", reason)], count);
        }
    }
    const NOT_MADE: &str = "mainstay_retries_denied_total";
    text.family(NOT_MADE, Kind::Counter, "Failed attempts that no other followed, by the reason.");
    for (service, row) in each_service(names, snapshot) {
        for (reason, count) in counted(&NO_RETRY, &row.not_retried) {
            text.sample(NOT_MADE, &[("service", &service), ("reason", reason)], count);
        }
    }
}

fn hedges(text: &mut Text<'_>, names: &Names, snapshot: &Snapshot) {
    const MADE: &str = "mainstay_hedges_total";
    text.family(MADE, Kind::Counter, "Attempts beside others that were slow, by what became of them.");
    for (service, row) in each_service(names, snapshot) {
        for (result, count) in counted(&HEDGES, &row.hedges) {
            text.sample(MADE, &[("service", &service), ("result", result)], count);
        }
    }
    const NOT_MADE: &str = "mainstay_hedges_denied_total";
    text.family(NOT_MADE, Kind::Counter, "Hedges that were due and not made, by the reason.");
    for (service, row) in each_service(names, snapshot) {
        for (reason, count) in counted(&NO_RETRY, &row.not_hedged) {
            text.sample(NOT_MADE, &[("service", &service), ("reason", reason)], count);
        }
    }
}

fn budgets(text: &mut Text<'_>, figures: &Figures) {
    const NAME: &str = "mainstay_retry_budget_tokens";
    text.family(NAME, Kind::Gauge, "Retries that the budget would pay for now.");
    for service in &figures.services {
        if let Some(tokens) = service.retry_budget_tokens {
            text.sample(NAME, &[("service", &service.name)], tokens);
        }
    }
}

fn states(text: &mut Text<'_>, figures: &Figures) {
    const BREAKER: &str = "mainstay_breaker_state";
    text.family(BREAKER, Kind::Gauge, "1 for the state that the breaker of the service is in.");
    for service in figures.services.iter().filter(|service| !service.breaker.is_empty()) {
        for state in BREAKER_STATES {
            let labels = [("service", service.name.as_str()), ("state", state)];
            text.sample(BREAKER, &labels, u8::from(state == service.breaker));
        }
    }
    const ENDPOINT: &str = "mainstay_endpoint_state";
    text.family(ENDPOINT, Kind::Gauge, "1 for the state that the endpoint is in.");
    for service in &figures.services {
        for endpoint in &service.endpoints {
            for state in ENDPOINT_STATES {
                let labels = [("service", service.name.as_str()), ("endpoint", &endpoint.address), ("state", state)];
                text.sample(ENDPOINT, &labels, u8::from(state == endpoint.state));
            }
        }
    }
}

fn limping(text: &mut Text<'_>, figures: &Figures) {
    const NAME: &str = "mainstay_endpoint_limping";
    text.family(NAME, Kind::Gauge, "1 while the endpoint is left alone because it does not keep pace with the others.");
    for service in &figures.services {
        for endpoint in &service.endpoints {
            let labels = [("service", service.name.as_str()), ("endpoint", &endpoint.address)];
            text.sample(NAME, &labels, u8::from(endpoint.limping));
        }
    }
}

fn ejections(text: &mut Text<'_>, names: &Names, snapshot: &Snapshot) {
    const NAME: &str = "mainstay_ejections_total";
    text.family(NAME, Kind::Counter, "Times that an endpoint was ejected, by the cause.");
    for (index, row) in snapshot.ejections.iter().enumerate() {
        let key = EndpointKey(index as u32);
        let (service, address) = (names.service_text(names.service_of(key)), names.endpoint_text(key));
        for (cause, count) in counted(&CAUSES, row) {
            text.sample(NAME, &[("service", &service), ("endpoint", &address), ("reason", cause)], count);
        }
    }
}

fn refusals(text: &mut Text<'_>, names: &Names, snapshot: &Snapshot) {
    const SHED_NAME: &str = "mainstay_shed_total";
    text.family(SHED_NAME, Kind::Counter, "Calls that were shed because not all could be served.");
    for (service, row) in each_service(names, snapshot) {
        for (priority, counts) in PRIORITIES.iter().zip(&row.shed) {
            for (reason, count) in counted(&SHED, counts) {
                let labels = [("service", service.as_str()), ("priority", priority), ("reason", reason)];
                text.sample(SHED_NAME, &labels, count);
            }
        }
    }
    const REFUSED: &str = "mainstay_refused_total";
    text.family(REFUSED, Kind::Counter, "Calls without an answer of an instance, by reason and by whose it was.");
    for (service, row) in each_service(names, snapshot) {
        for ((reason, origin), count) in REFUSALS.iter().zip(row.refused).filter(|(_, count)| *count > 0) {
            text.sample(REFUSED, &[("service", &service), ("reason", reason), ("origin", origin)], count);
        }
    }
}

fn limits(text: &mut Text<'_>, names: &Names, snapshot: &Snapshot) {
    const NAME: &str = "mainstay_rate_limited_total";
    text.family(NAME, Kind::Counter, "Calls that a rate limit refused.");
    for (index, count) in snapshot.limits.iter().enumerate().filter(|(_, count)| **count > 0) {
        text.sample(NAME, &[("limit", &names.limit_text(LimitKey(index as u32)))], count);
    }
}

fn fallbacks(text: &mut Text<'_>, names: &Names, snapshot: &Snapshot) {
    const NAME: &str = "mainstay_fallback_total";
    text.family(NAME, Kind::Counter, "Calls that a fallback answered.");
    for (service, row) in each_service(names, snapshot) {
        for (kind, count) in counted(&FALLBACKS, &row.fallbacks) {
            text.sample(NAME, &[("service", &service), ("kind", kind)], count);
        }
    }
}

fn faults(text: &mut Text<'_>, names: &Names, snapshot: &Snapshot) {
    const NAME: &str = "mainstay_faults_injected_total";
    text.family(NAME, Kind::Counter, "Attempts that a drill's fault hit.");
    for (service, row) in each_service(names, snapshot) {
        for (kind, count) in counted(&FaultKind::WORDS, &row.faults) {
            text.sample(NAME, &[("service", &service), ("kind", kind)], count);
        }
    }
}

fn stale(text: &mut Text<'_>, figures: &Figures) {
    let kept = || figures.services.iter().filter_map(|service| Some((&service.name, service.stale?)));
    const ANSWERS: &str = "mainstay_stale_answers";
    text.family(ANSWERS, Kind::Gauge, "Answers that are kept to stand in for their service.");
    for (service, stale) in kept() {
        text.sample(ANSWERS, &[("service", service)], stale.answers);
    }
    const BYTES: &str = "mainstay_stale_bytes";
    text.family(BYTES, Kind::Gauge, "Memory that they count for.");
    for (service, stale) in kept() {
        text.sample(BYTES, &[("service", service)], stale.bytes);
    }
    const EVICTED: &str = "mainstay_stale_evicted_total";
    text.family(EVICTED, Kind::Counter, "Answers that had to make room for others.");
    for (service, stale) in kept() {
        text.sample(EVICTED, &[("service", service)], stale.evicted);
    }
}

fn keys(text: &mut Text<'_>, names: &Names, snapshot: &Snapshot, figures: &Figures) {
    const RESULTS: &str = "mainstay_idempotency_total";
    text.family(
        RESULTS,
        Kind::Counter,
        "Calls with an Idempotency-Key that were not refused for it, by what they got.",
    );
    for (service, row) in each_service(names, snapshot) {
        for (result, count) in counted(&KEYS, &row.keys) {
            text.sample(RESULTS, &[("service", &service), ("result", result)], count);
        }
    }
    let kept = || figures.services.iter().filter_map(|service| Some((&service.name, service.keys?)));
    let mut family = |name, kind, help, value: fn(&KeyFigures) -> u64| {
        text.family(name, kind, help);
        for (service, keys) in kept() {
            text.sample(name, &[("service", service)], value(&keys));
        }
    };
    family("mainstay_idempotency_keys", Kind::Gauge, "Idempotency-Keys that are remembered.", |keys| keys.keys);
    family("mainstay_idempotency_bytes", Kind::Gauge, "Memory that they and their answers count for.", |keys| {
        keys.bytes
    });
    family("mainstay_idempotency_lent_bytes", Kind::Gauge, "Of them what calls under way hold.", |keys| keys.lent);
    const MADE_ROOM: &str = "mainstay_idempotency_evicted_total";
    text.family(MADE_ROOM, Kind::Counter, "What had to make room before its time.");
    for (service, keys) in kept() {
        for (what, count) in [("answer", keys.dropped), ("key", keys.forgotten)] {
            text.sample(MADE_ROOM, &[("service", service), ("what", what)], count);
        }
    }
}

fn mirrored(text: &mut Text<'_>, names: &Names, snapshot: &Snapshot) {
    const NAME: &str = "mainstay_mirrored_total";
    text.family(NAME, Kind::Counter, "Copies of calls for another service, by what became of them.");
    for (service, row) in each_service(names, snapshot) {
        for (result, count) in counted(&MIRRORED, &row.mirrored) {
            text.sample(NAME, &[("service", &service), ("result", result)], count);
        }
    }
}

fn load(text: &mut Text<'_>, figures: &Figures) {
    const INFLIGHT: &str = "mainstay_inflight";
    text.family(INFLIGHT, Kind::Gauge, "Attempts that run.");
    for service in &figures.services {
        for endpoint in &service.endpoints {
            let labels = [("service", service.name.as_str()), ("endpoint", &endpoint.address)];
            text.sample(INFLIGHT, &labels, endpoint.inflight);
        }
    }
    const QUEUED: &str = "mainstay_queued";
    text.family(QUEUED, Kind::Gauge, "Calls that wait for a permit.");
    for service in &figures.services {
        text.sample(QUEUED, &[("service", &service.name)], service.queued);
    }
    const LIMIT: &str = "mainstay_concurrency_limit";
    text.family(LIMIT, Kind::Gauge, "Attempts that may run at once now.");
    for service in &figures.services {
        let labels = [("service", service.name.as_str())];
        match service.concurrency_limit {
            Some(limit) => text.sample(LIMIT, &labels, limit),
            None => text.sample(LIMIT, &labels, "+Inf"),
        }
    }
}

fn connections(text: &mut Text<'_>, names: &Names, snapshot: &Snapshot, figures: &Figures) {
    const OPEN: &str = "mainstay_connections";
    text.family(OPEN, Kind::Gauge, "Open connections of callers.");
    for (listener, count) in &figures.connections {
        text.sample(OPEN, &[("listener", listener)], count);
    }
    const ACCEPTED: &str = "mainstay_connections_accepted_total";
    text.family(ACCEPTED, Kind::Counter, "Connections that were accepted.");
    for (key, count) in (0_u32..).zip(&snapshot.accepted).filter(|(_, count)| **count > 0) {
        text.sample(ACCEPTED, &[("listener", &names.listener_text(ListenerKey(key)))], count);
    }
}

/// Left out where nothing is remembered.
fn records(text: &mut Text<'_>, snapshot: &Snapshot) {
    let rings = snapshot.records;
    if rings.bytes > 0 {
        text.single("mainstay_records", Kind::Gauge, "Requests that can be explained.", rings.records);
        text.single("mainstay_records_bytes", Kind::Gauge, "Memory for the records of requests.", rings.bytes);
        let help = "Memory for the records of requests that has been used so far.";
        text.single("mainstay_records_used_bytes", Kind::Gauge, help, rings.used);
    }
}

fn node(text: &mut Text<'_>, node: &NodeFigures) {
    const RELOADS: &str = "mainstay_config_reloads_total";
    text.family(RELOADS, Kind::Counter, "Reloads of the configuration.");
    text.sample(RELOADS, &[("result", "success")], node.reloads_succeeded);
    text.sample(RELOADS, &[("result", "failure")], node.reloads_failed);
    text.single("mainstay_ready", Kind::Gauge, "1 when the node is ready for traffic.", u8::from(node.ready));
    const DROPPED: &str = "mainstay_access_log_dropped_total";
    text.single(DROPPED, Kind::Counter, "Lines that the access log dropped.", node.access_log_dropped);
    #[cfg(feature = "logs")]
    log_events(text);
    text.family("mainstay_build_info", Kind::Gauge, "1, with the version that runs.");
    text.sample("mainstay_build_info", &[("version", node.version)], 1);
}

#[cfg(feature = "logs")]
fn log_events(text: &mut Text<'_>) {
    const EVENTS: &str = "mainstay_log_events_total";
    text.family(EVENTS, Kind::Counter, "Errors and warnings in the log.");
    for (level, count) in crate::logs::LEVELS.iter().zip(crate::logs::events()) {
        text.sample(EVENTS, &[("level", level)], count);
    }
}

#[cfg(test)]
mod tests;
