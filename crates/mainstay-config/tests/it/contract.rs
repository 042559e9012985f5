//! Every key of the contract is either in this version or says that it is not.

use std::collections::BTreeSet;

use super::{LEAST, load, load_with};

/// What this version makes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is in force.
    Built,
    /// "known, not in this version".
    Later,
}
use Fate::{Built, Later};

/// Each key with a value that is not its default, so that nothing passes by being what it would be anyway.
const KEYS: &[(&str, &str, Fate)] = &[
    ("node.name", "host-a", Built),
    ("node.region", "eu", Built),
    ("node.zone", "a", Built),
    ("node.data_dir", "/var/lib/mainstay", Built),
    ("node.workers", "2", Built),
    ("node.drain", "10s", Built),
    ("node.drain_delay", "5s", Built),
    ("admin.address", "127.0.0.1:9999", Built),
    ("admin.probe", "0.0.0.0:9901", Built),
    ("admin.token", "{ env = \"TOKEN\" }", Built),
    ("admin.tls", "{ certificate = \"c.pem\", key = \"k.pem\" }", Later),
    ("log.level", "debug", Built),
    ("log.format", "json", Built),
    ("log.access", "false", Built),
    ("explain.keep", "1m", Built),
    ("explain.memory", "1MiB", Built),
    ("trace.otlp", "http://127.0.0.1:4318", Later),
    ("trace.sample", "1%", Later),
    ("limits.connections", "100", Built),
    ("limits.request_head", "8KiB", Built),
    ("limits.headers", "50", Built),
    ("limits.header_timeout", "5s", Built),
    ("limits.keep_alive", "30s", Built),
    ("limits.body", "1MiB", Built),
    ("limits.buffers", "1MiB", Built),
    ("listener.0.name", "front", Built),
    ("listener.0.address", "127.0.0.1:8081", Built),
    ("listener.0.protocol", "tcp", Later),
    ("listener.0.protocol", "udp", Later),
    ("listener.0.tls", "{ certificate = \"c.pem\", key = \"k.pem\" }", Later),
    ("listener.0.proxy_protocol", "true", Later),
    ("listener.0.trusted_proxies", "[\"10.0.0.0/8\"]", Built),
    ("route.0.listener", "web", Built),
    ("route.0.host", "*.example", Built),
    ("route.0.path", "=/exact", Built),
    ("route.0.method", "[\"GET\"]", Built),
    ("route.0.header", "{ x-beta = \"~^1\" }", Built),
    ("route.0.query", "{ beta = \"1\" }", Built),
    ("route.0.cookie", "{ beta = \"1\" }", Built),
    ("route.0.service", "lite", Built),
    ("route.1.split", "[{ service = \"shop\", weight = 95 }, { service = \"lite\", weight = 5 }]", Built),
    ("route.0.mirror", "{ service = \"lite\", share = \"1%\" }", Built),
    ("route.0.timeout", "5s", Built),
    ("route.0.stream_idle", "1m", Built),
    ("route.0.priority", "critical", Built),
    ("route.0.priority", "sheddable", Built),
    ("route.0.rate_limit", "[\"per-caller\"]", Built),
    ("route.0.host_header", "endpoint", Built),
    ("route.0.strip_prefix", "/api", Built),
    ("route.0.rewrite", "{ path = \"/v2{rest}\" }", Built),
    ("route.0.request_headers.set", "{ x-a = \"1\" }", Built),
    ("route.0.request_headers.add", "{ x-a = \"1\" }", Built),
    ("route.0.request_headers.remove", "[\"x-a\"]", Built),
    ("route.0.response_headers.set", "{ x-a = \"1\" }", Built),
    ("route.0.response_headers.add", "{ x-a = \"1\" }", Built),
    ("route.0.response_headers.remove", "[\"x-a\"]", Built),
    ("route.1.redirect", "{ to = \"https://{host}{path}\", status = 308 }", Built),
    ("route.0.retry", "off", Built),
    ("service.shop.endpoints", "[{ address = \"[::1]:1\", weight = 2, zone = \"a\", backup = true }]", Built),
    ("service.lite.discover", "{ dns = \"shop.internal:80\" }", Built),
    ("service.lite.discover", "{ file = \"shop.toml\" }", Built),
    ("service.lite.discover", "{ registry = \"shop\" }", Later),
    ("service.shop.protocol", "h1", Built),
    ("service.shop.protocol", "h2", Later),
    ("service.shop.tls", "{ ca = \"ca.pem\" }", Later),
    ("service.shop.balance", "ring_hash", Built),
    ("service.shop.balance", "maglev", Built),
    ("service.shop.hash_on", "cookie:session", Built),
    ("service.shop.hash_load", "150%", Built),
    ("service.shop.slow_start", "30s", Built),
    ("service.shop.panic", "0%", Built),
    ("service.shop.zone_aware", "false", Built),
    ("service.shop.health.http", "/ready", Built),
    ("service.lite.health", "{ tcp = true }", Built),
    ("service.shop.health.grpc", "package.Service", Later),
    ("service.shop.health.interval", "1s", Built),
    ("service.shop.health.timeout", "100ms", Built),
    ("service.shop.health.healthy_threshold", "1", Built),
    ("service.shop.health.unhealthy_threshold", "1", Built),
    ("service.shop.health.expect", "[\"200\", \"300-399\"]", Built),
    ("service.shop.health.expect_body", "ok", Built),
    ("service.shop.health.jitter", "0%", Built),
    ("service.shop.outlier", "off", Built),
    ("service.shop.outlier.consecutive_failures", "off", Built),
    ("service.shop.outlier.failure_rate", "20%", Built),
    ("service.shop.outlier.success_rate_deviation", "1.9", Built),
    ("service.shop.outlier.window", "5s", Built),
    ("service.shop.outlier.minimum_calls", "5", Built),
    ("service.shop.outlier.base_ejection_time", "1s", Built),
    ("service.shop.outlier.max_ejection_time", "30s", Built),
    ("service.shop.outlier.max_ejected", "100%", Built),
    ("service.shop.breaker", "off", Built),
    ("service.shop.breaker.failure_rate", "off", Built),
    ("service.shop.breaker.window", "5s", Built),
    ("service.shop.breaker.minimum_calls", "5", Built),
    ("service.shop.breaker.slow_call", "1s", Built),
    ("service.shop.breaker.slow_rate", "50%", Built),
    ("service.shop.breaker.open_for", "2s", Built),
    ("service.shop.breaker.open_max", "20s", Built),
    ("service.shop.breaker.half_open_calls", "1", Built),
    ("service.shop.timeout.connect", "250ms", Built),
    ("service.shop.timeout.attempt", "600ms", Built),
    ("service.shop.pool.idle", "1s", Built),
    ("service.shop.pool.size", "10", Built),
    ("service.shop.retry", "off", Built),
    ("service.shop.retry.attempts", "2", Built),
    ("service.shop.retry.on", "[\"connect\", \"5xx\", \"429\"]", Built),
    ("service.shop.retry.on", "[\"grpc:unavailable\"]", Later),
    ("service.shop.retry.idempotent_only", "false", Built),
    ("service.shop.retry.idempotency_key", "upstream", Built),
    ("service.shop.retry.buffer", "1KiB", Built),
    ("service.shop.retry.backoff", "{ kind = \"fixed\", base = \"1ms\", max = \"2s\", jitter = \"none\" }", Built),
    ("service.shop.retry.budget", "{ share = \"10%\", per_second = 1, cap = 10 }", Built),
    ("service.shop.retry.hedge", "{ after = \"p95\", max = 1 }", Built),
    ("service.shop.bulkhead.concurrency", "unlimited", Built),
    ("service.shop.bulkhead.adaptive", "off", Built),
    ("service.shop.bulkhead.adaptive", "aimd", Built),
    ("service.shop.bulkhead.adaptive", "vegas", Built),
    ("service.shop.bulkhead.queue", "off", Built),
    ("service.shop.bulkhead.queue_timeout", "1s", Built),
    ("service.shop.bulkhead.per_endpoint", "8", Built),
    ("service.shop.idempotency", "{ ttl = \"1h\", memory = \"1MiB\" }", Built),
    ("service.shop.fallback.stale_if_error", "10m", Built),
    ("service.shop.fallback.stale_memory", "1MiB", Built),
    ("service.shop.fallback.service", "lite", Built),
    ("service.shop.fallback.queue", "on", Later),
    ("service.shop.fallback.respond", "{ status = 200, body = \"[]\", content_type = \"application/json\" }", Built),
    ("rate_limit.per-caller.key", "[\"header:x-team\", \"path\"]", Built),
    ("rate_limit.per-caller.key", "api_key", Later),
    ("rate_limit.per-caller.key", "jwt:sub", Later),
    ("rate_limit.per-caller.rate", "6000/m", Built),
    ("rate_limit.per-caller.key", "[\"query:user\", \"cookie:session\"]", Built),
    ("rate_limit.per-caller.burst", "200", Built),
    ("rate_limit.per-caller.algorithm", "leaky_bucket", Built),
    ("rate_limit.per-caller.algorithm", "fixed_window", Built),
    ("rate_limit.per-caller.algorithm", "sliding_window", Built),
    ("rate_limit.per-caller.on_exceeded", "queue", Built),
    ("rate_limit.per-caller.queue_timeout", "2s", Built),
    ("rate_limit.per-caller.queue", "10", Built),
    ("rate_limit.per-caller.tiers", "{ gold = \"1000/s\", silver = { rate = \"500/s\", burst = 5 } }", Built),
    ("rate_limit.per-caller.tier_from", "header:x-tier", Built),
    ("rate_limit.per-caller.tier_from", "jwt:plan", Later),
    ("rate_limit.per-caller.scope", "cluster", Later),
    ("rate_limit.per-caller.adaptive", "true", Built),
    ("rate_limit.per-caller.max_keys", "1000", Built),
    ("store", "{ client = \"127.0.0.1:2379\", peer = \"127.0.0.1:2380\" }", Built),
    ("store.members", "{ n1 = \"10.0.0.1:2380\", n2 = \"10.0.0.2:2380\", n3 = \"10.0.0.3:2380\" }", Built),
    ("store.join", "[\"10.0.0.1:2380\"]", Built),
    ("store.election", "300ms", Built),
    ("store.quota", "1GiB", Built),
    ("store.compact", "{ keep = \"10m\" }", Built),
    ("store.endpoints", "[\"http://etcd:2379\"]", Later),
];

/// A configuration in which each of the keys has a place.
pub(super) const BASE: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:8080"

[[route]]
path = "/api"
service = "shop"

[[route]]

[service.shop]
endpoints = ["127.0.0.1:9101"]

[service.shop.health]
http = "/health"

[service.lite]

[rate_limit.per-caller]
"#;

/// What a key needs beside it, so that nothing else is wrong.
fn beside(key: &str) -> Vec<(&str, &str)> {
    let mut beside = Vec::new();
    if key != "route.1.split" && key != "route.1.redirect" {
        beside.push(("route.1.service", "lite"));
    }
    if key != "service.lite.discover" {
        beside.push(("service.lite.endpoints", "[\"127.0.0.1:9103\"]"));
    }
    match key {
        "rate_limit.per-caller.queue_timeout" | "rate_limit.per-caller.queue" => {
            beside.push(("rate_limit.per-caller.on_exceeded", "queue"));
        }
        "rate_limit.per-caller.tiers" => beside.push(("rate_limit.per-caller.tier_from", "header:x-plan")),
        "rate_limit.per-caller.tier_from" => beside.push(("rate_limit.per-caller.tiers", "{ free = \"1/s\" }")),
        "service.shop.zone_aware" => beside.push(("node.zone", "a")),
        _ => {}
    }
    beside
}

#[test]
fn every_key_is_built_or_says_that_it_is_not() {
    for (key, value, fate) in KEYS {
        let mut flags = beside(key);
        flags.push((key, value));
        match (fate, load_with(BASE, &[], &flags)) {
            (Built, Ok(_)) => {}
            (Later, Err(problems)) => {
                let [problem] = problems.list() else { panic!("{key} = {value}: {problems}") };
                assert!(problem.message.ends_with("is known, but not in this version"), "{key} = {value}: {problems}");
                assert_eq!(problem.given_by.as_deref(), Some(format!("flag {key}").as_str()));
            }
            (Built, Err(problems)) => panic!("{key} = {value} is not accepted:\n{problems}"),
            (Later, Ok(_)) => panic!("{key} = {value} is accepted and ignored"),
        }
    }
}

#[test]
fn a_value_that_is_in_force_changes_what_comes_out() {
    for (key, value, _) in KEYS.iter().filter(|(.., fate)| *fate == Built) {
        // These say what the base says in other words.
        if ["route.0.listener", "service.shop.protocol"].contains(key) {
            continue;
        }
        let plain = load_with(BASE, &[], &beside(key)).ok();
        let mut flags = beside(key);
        flags.push((key, value));
        let changed = load_with(BASE, &[], &flags).unwrap();
        assert_ne!(plain.map(|loaded| loaded.config), Some(changed.config), "{key} = {value} is accepted and ignored");
    }
}

#[test]
fn every_key_that_is_read_stands_in_the_list_above() {
    let flags = [("route.1.service", "lite"), ("service.lite.endpoints", "[\"127.0.0.1:9103\"]")];
    let loaded = load_with(BASE, &[], &flags).unwrap();
    let listed: BTreeSet<String> =
        KEYS.iter().map(|(key, ..)| key.replace("lite", "shop").replace("route.1", "route.0")).collect();
    for setting in loaded.effective.settings() {
        let key = setting.path.replace("lite", "shop").replace("[0]", ".0").replace("[1]", ".0");
        let within = |listed: &String| key.starts_with(&format!("{listed}."));
        let known = listed.contains(&key) || listed.iter().any(within) || key == "service.shop.health.tcp";
        assert!(known, "{key} is read and not in the contract's list");
    }
}

#[test]
fn what_is_not_built_may_be_switched_off_in_words() {
    for (key, value) in [
        ("admin.tls", "off"),
        ("trace.otlp", "off"),
        ("listener.0.tls", "off"),
        ("listener.0.proxy_protocol", "false"),
        ("service.shop.tls", "off"),
        ("service.shop.health.expect_body", "off"),
        ("service.shop.bulkhead.adaptive", "off"),
        ("service.shop.fallback.stale_if_error", "off"),
        ("service.shop.fallback.queue", "off"),
        ("rate_limit.per-caller.scope", "node"),
        ("rate_limit.per-caller.adaptive", "false"),
    ] {
        let mut flags = beside(key);
        flags.push((key, value));
        assert!(load_with(BASE, &[], &flags).is_ok(), "{key} = {value}");
    }
}

#[test]
fn the_least_configuration_runs_on_the_defaults_and_without_a_warning() {
    let loaded = load(LEAST).unwrap();
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    let [service] = loaded.config.services.as_slice() else { panic!("one service") };
    assert_eq!(service.policy, mainstay_policy::ServiceSettings::default());
    assert_eq!(loaded.config.admin.address.to_string(), "127.0.0.1:9900");
    assert_eq!(loaded.config.routes[0].listeners.len(), 1);
}

#[test]
fn the_defaults_of_active_checks_are_the_policys() {
    let loaded = load(&format!("{LEAST}health = {{ http = \"/health\" }}\n")).unwrap();
    let probe = mainstay_policy::Probe::Http { path: "/health".to_owned(), expect: vec![(200, 299)] };
    assert_eq!(loaded.config.services[0].policy.health, Some(mainstay_policy::HealthSettings::new(probe)));
}
