//! The parts of `[service.NAME]` that the decisions depend on.

use mainstay_core::{Bytes, Duration, Limit, Ratio};
use mainstay_policy::{
    Adaptive, Balance, BreakerSettings, BulkheadSettings, HealthSettings, IdempotencySettings, OutlierSettings,
    PoolSettings, Probe, ServiceSettings, TimeoutSettings,
};

use super::attempts;
use super::matching::canonical;
use crate::model::{BodyMatch, HashOn};
use crate::raw::{Raw, Tree};
use crate::section::Section;
use crate::value::{Count, Fault, Positive, Read, Value};

/// A length of time above zero.
type Length = Positive<Duration>;

/// Less would hold no answer worth the name.
const MEMORY_MIN: Bytes = Bytes::mib(1);

/// What a service's part of the configuration says about its calls.
pub(super) struct Policy {
    pub(super) settings: ServiceSettings,
    pub(super) hash_on: HashOn,
    pub(super) expect_body: Option<BodyMatch>,
    pub(super) zone_aware: bool,
}

pub(super) fn policy(s: &mut Section<'_>, zone: &str) -> Policy {
    let default = ServiceSettings::default();
    let balance = s.choice("balance", "adaptive", &Balance::ALL, &[]).unwrap_or(default.balance);
    let hash_on = s.get("hash_on", "client_ip");
    let hash_load: Limit<HashLoad> = s.get("hash_load", "200%");
    let slow_start: Option<Length> = s.get("slow_start", "10s");
    let panic: Ratio = s.get("panic", "50%");
    let zone_aware = s.get("zone_aware", "true");
    let (health, expect_body) = s.off_unless_given("health", health).flatten().unzip();
    let settings = ServiceSettings {
        balance,
        hash_load: match hash_load {
            Limit::At(load) => Limit::At(load.0),
            Limit::Unlimited => Limit::Unlimited,
        },
        slow_start: slow_start.map(|length| length.0),
        panic,
        zone: if zone_aware { zone.into() } else { default.zone },
        health,
        outlier: s.on_unless_off("outlier", outlier),
        breaker: s.on_unless_off("breaker", breaker),
        timeout: s.table("timeout", timeout),
        pool: s.table("pool", pool),
        retry: s.on_unless_off("retry", attempts::retry),
        bulkhead: s.table("bulkhead", bulkhead),
        idempotency: s.off_unless_given("idempotency", idempotency),
        fallback: default.fallback,
    };
    Policy { settings, hash_on, expect_body: expect_body.flatten(), zone_aware }
}

/// How many times the average an endpoint may have, in hundredths.
struct HashLoad(u32);

impl Value for HashLoad {
    fn read(node: &Tree) -> Read<Self> {
        let hundredths = node.text().and_then(|text| text.strip_suffix('%')).and_then(|number| number.parse().ok());
        let found = hundredths.filter(|hundredths| (101..=10_000).contains(hundredths)).map(Self);
        found.ok_or_else(|| {
            let fault = Fault::wanted("a part of the average from 101% to 10000%, as in \"200%\"", node);
            vec![fault.help("at 100% each call would go wherever fewest run; for no bound, write \"unlimited\"")]
        })
    }
}

/// The checks, and what a body must have to pass.
fn health(s: &mut Section<'_>) -> Option<(HealthSettings, Option<BodyMatch>)> {
    let http: Option<CheckPath> = s.item_or_off("http").and_then(|item| item.read());
    let tcp: bool = s.get("tcp", "false");
    s.later("grpc", "off");
    let interval: Length = s.get("interval", "2s");
    let shorter = interval.0.min(Duration::from_secs(1));
    let timeout: Length = s.get("timeout", &shorter.to_string());
    let healthy_threshold: Count = s.get("healthy_threshold", "2");
    let unhealthy_threshold: Count = s.get("unhealthy_threshold", "3");
    let expect: Vec<Expected> = s.get("expect", r#"["2xx"]"#);
    let expect_body: Option<BodyMatch> = s.get("expect_body", "off");
    let jitter: Ratio = s.get("jitter", "10%");
    if expect.is_empty() {
        s.fault("expect", Fault::new("no status would pass").help("leave it away for \"2xx\""));
    }
    let expect = expect.into_iter().map(|expected| expected.0).collect();
    let probe = probe(s, http, tcp, expect)?;
    let settings = HealthSettings {
        probe,
        interval: interval.0,
        timeout: timeout.0,
        healthy_threshold: healthy_threshold.0,
        unhealthy_threshold: unhealthy_threshold.0,
        jitter,
    };
    Some((settings, expect_body))
}

/// Exactly one thing to ask.
fn probe(s: &Section<'_>, http: Option<CheckPath>, tcp: bool, expect: Vec<(u16, u16)>) -> Option<Probe> {
    match (http, tcp) {
        (Some(_), true) => {
            s.fault("tcp", Fault::new("a check asks by http or by tcp, not by both").help("leave one of them away"));
            None
        }
        (Some(path), false) => Some(Probe::Http { path: path.0, expect }),
        (None, true) => {
            if s.given("expect").is_some() {
                s.fault("expect", Fault::new("a check by tcp sees no status").help("use http, or leave expect away"));
            }
            if s.given("expect_body").is_some_and(|entry| !entry.node.says("off")) {
                let fault = Fault::new("a check by tcp sees no body");
                s.fault("expect_body", fault.help("use http, or leave expect_body away"));
            }
            Some(Probe::Tcp)
        }
        (None, false) => {
            if s.given("http").is_none() && s.given("grpc").is_none() {
                let fault = Fault::new("nothing says what a check asks").help("add http = \"/health\", or tcp = true");
                s.sink.error(s.at().as_ref(), s.path(), fault);
            }
            None
        }
    }
}

/// What a check asks for: a path, and a query where the service wants one.
struct CheckPath(String);

impl Value for CheckPath {
    fn read(node: &Tree) -> Read<Self> {
        let text = String::read(node)?;
        let (path, query) = text.split_once('?').unwrap_or((&text, ""));
        canonical(path)?;
        if !query.bytes().all(|b| (b'!'..0x7f).contains(&b) && b != b'#') {
            return Err(vec![Fault::new("spaces and what is not ASCII are percent-encoded in a query")]);
        }
        Ok(Self(text))
    }
}

/// Statuses that pass.
struct Expected((u16, u16));

impl Value for Expected {
    fn read(node: &Tree) -> Read<Self> {
        let text = match node.raw {
            Raw::Integer(number) => number.to_string(),
            _ => node.text().unwrap_or_default().to_owned(),
        };
        let wanted = "a status, a class or a range of them, as in \"200\", \"2xx\" or \"200-299\"";
        attempts::statuses(&text).map(Self).ok_or_else(|| vec![Fault::wanted(wanted, node)])
    }
}

fn outlier(s: &mut Section<'_>) -> OutlierSettings {
    let consecutive_failures: Option<Count> = s.get("consecutive_failures", "5");
    let failure_rate: Option<Positive<Ratio>> = s.get("failure_rate", "50%");
    let success_rate_deviation: Option<Deviations> = s.get("success_rate_deviation", "off");
    let window: Length = s.get("window", "10s");
    let minimum_calls: Count = s.get("minimum_calls", "20");
    let base: Length = s.get("base_ejection_time", "2s");
    let max: Length = s.get("max_ejection_time", "60s");
    let max_ejected = s.get("max_ejected", "50%");
    s.not_below("max_ejection_time", &max.0, "base_ejection_time", &base.0);
    OutlierSettings {
        consecutive_failures: consecutive_failures.map(|count| count.0),
        failure_rate: failure_rate.map(|rate| rate.0),
        success_rate_deviation: success_rate_deviation.map(|deviations| deviations.0),
        window: window.0,
        minimum_calls: minimum_calls.0,
        base_ejection_time: base.0,
        max_ejection_time: max.0,
        max_ejected,
    }
}

/// A number of standard deviations, in hundredths.
struct Deviations(u32);

impl Value for Deviations {
    fn read(node: &Tree) -> Read<Self> {
        let number = match &node.raw {
            Raw::Integer(number) => Some(*number as f64),
            Raw::Float(number) => Some(*number),
            _ => node.text().and_then(|text| text.parse().ok()),
        };
        let found = number.filter(|number| (1.0..=10.0).contains(number));
        found.map(|number| Self((number * 100.0).round() as u32)).ok_or_else(|| {
            let fault = Fault::wanted("a number of standard deviations from 1 to 10, as in 1.9", node);
            vec![fault.help("below 1, a sixth of a well fleet would stand out")]
        })
    }
}

fn breaker(s: &mut Section<'_>) -> BreakerSettings {
    let failure_rate: Option<Positive<Ratio>> = s.get("failure_rate", "50%");
    let window: Length = s.get("window", "10s");
    let minimum_calls: Count = s.get("minimum_calls", "100");
    let slow_call: Option<Length> = s.get("slow_call", "off");
    let slow_rate: Positive<Ratio> = s.get("slow_rate", "100%");
    let open_for: Length = s.get("open_for", "1s");
    let open_max: Length = s.get("open_max", "10s");
    let half_open_calls: Count = s.get("half_open_calls", "5");
    s.not_below("open_max", &open_max.0, "open_for", &open_for.0);
    BreakerSettings {
        failure_rate: failure_rate.map(|rate| rate.0),
        window: window.0,
        minimum_calls: minimum_calls.0,
        slow_call: slow_call.map(|length| length.0),
        slow_rate: slow_rate.0,
        open_for: open_for.0,
        open_max: open_max.0,
        half_open_calls: half_open_calls.0,
    }
}

fn timeout(s: &mut Section<'_>) -> TimeoutSettings {
    let connect: Length = s.get("connect", "1s");
    let attempt: Length = s.get("attempt", "5s");
    TimeoutSettings { connect: connect.0, attempt: attempt.0 }
}

fn pool(s: &mut Section<'_>) -> PoolSettings {
    let idle: Length = s.get("idle", "4s");
    PoolSettings { idle: idle.0, size: ceiling(s.get("size", "unlimited")) }
}

fn bulkhead(s: &mut Section<'_>) -> BulkheadSettings {
    let concurrency = s.get("concurrency", "1024");
    let adaptive = s.choice("adaptive", "gradient", &Adaptive::ALL, &[]).unwrap_or_default();
    let queue: Option<Count> = s.get("queue", "128");
    let queue_timeout: Length = s.get("queue_timeout", "500ms");
    BulkheadSettings {
        concurrency: ceiling(concurrency),
        adaptive,
        queue: queue.map_or(0, |queue| queue.0),
        queue_timeout: queue_timeout.0,
        per_endpoint: ceiling(s.get("per_endpoint", "unlimited")),
    }
}

fn idempotency(s: &mut Section<'_>) -> IdempotencySettings {
    let ttl: Length = s.get("ttl", "24h");
    IdempotencySettings { ttl: ttl.0, memory: memory(s, "memory", "64MiB", "leave the table away") }
}

/// Memory for answers that are kept.
pub(super) fn memory(s: &mut Section<'_>, key: &'static str, default: &str, without: &str) -> Bytes {
    let memory: Bytes = s.get(key, default);
    if memory < MEMORY_MIN {
        let fault = Fault::new(format!("{} bytes are too few to keep answers in", memory.0));
        s.fault(key, fault.help(format!("write at least \"1MiB\", or {without}")));
    }
    memory
}

fn ceiling(limit: Limit<Count>) -> Limit<u32> {
    match limit {
        Limit::Unlimited => Limit::Unlimited,
        Limit::At(count) => Limit::At(count.0),
    }
}
