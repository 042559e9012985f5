use expect_test::expect;
use mainstay_core::Failure;
use mainstay_policy::{Cause, FallbackKind, FaultKind, KeyFigures, NoRetry, Refusal, StaleFigures};

use super::*;
use crate::{AttemptResult, HedgeResult, KeyResult, Method, MirrorResult, Priority, RecordRing, Recorder};

/// Two endpoints, one of which refuses; a queue that was full; one route.
fn example() -> (Names, Snapshot, Figures) {
    let names = Names::new();
    let shop = names.service("shop");
    let (one, two) = (names.endpoint(shop, "127.0.0.1:9101"), names.endpoint(shop, "[::1]:9102"));
    let mut recorder = Recorder::new();
    recorder.request(names.route("/cart"), Method::Get, 200, Duration::from_millis(12));
    recorder.request(RouteKey::NONE, Method::Other, 400, Duration::from_millis(1));
    recorder.attempt(one, Method::Get, AttemptResult::Failed(Failure::Refused), Duration::from_millis(2));
    recorder.attempt(two, Method::Get, AttemptResult::Success(200), Duration::from_millis(10));
    recorder.retry(shop, Failure::Refused);
    recorder.no_retry(shop, NoRetry::Budget);
    recorder.hedge(shop, HedgeResult::Won);
    recorder.mirrored(shop, MirrorResult::Answered);
    recorder.no_hedge(shop, NoRetry::NoPermit);
    recorder.ejection(one, Cause::Check(Failure::Refused.into()));
    recorder.refused(shop, Priority::Normal, Refusal::QueueFull);
    recorder.rate_limited(names.limit("per-caller"));
    recorder.fallback(shop, FallbackKind::Respond);
    recorder.fault(shop, FaultKind::Reset);
    recorder.key(shop, KeyResult::Replayed);
    recorder.accepted(names.listener("web"));
    (names, recorder.snapshot(), figures())
}

fn figures() -> Figures {
    let endpoint = |address: &str, state, inflight| EndpointFigures {
        address: address.to_owned(),
        state,
        limping: state == "ready",
        inflight,
    };
    Figures {
        services: vec![ServiceFigures {
            name: "shop".to_owned(),
            breaker: "closed",
            retry_budget_tokens: Some(99.5),
            concurrency_limit: Some(1024),
            queued: 3,
            stale: Some(StaleFigures { answers: 7, bytes: 4096, evicted: 5 }),
            keys: Some(KeyFigures { keys: 40, bytes: 10_240, lent: 2_432, dropped: 2, forgotten: 1 }),
            endpoints: vec![endpoint("127.0.0.1:9101", "ejected", 0), endpoint("[::1]:9102", "ready", 2)],
        }],
        connections: vec![("web".to_owned(), 64)],
        node: NodeFigures { version: "0.1.0", reloads_succeeded: 20, ready: true, ..NodeFigures::default() },
        process: ProcessFigures { cpu_seconds: Some(1.25), open_fds: Some(7), ..ProcessFigures::default() },
    }
}

fn text() -> String {
    let (names, snapshot, figures) = example();
    render(&names, &snapshot, &figures)
}

#[test]
fn what_happened_reads_so() {
    let text = text();
    let shown: String = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("_bucket") && !line.contains("_log_events_"))
        .map(|line| format!("{line}\n"))
        .collect();
    expect![[r#"
        http_server_request_duration_seconds_sum{http_request_method="_OTHER",http_response_status_code="400"} 0.001000000
        http_server_request_duration_seconds_count{http_request_method="_OTHER",http_response_status_code="400"} 1
        http_server_request_duration_seconds_sum{http_request_method="GET",http_response_status_code="200",http_route="/cart"} 0.012000000
        http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/cart"} 1
        http_client_request_duration_seconds_sum{service="shop",server_address="127.0.0.1",server_port="9101",http_request_method="GET",error_type="refused"} 0.002000000
        http_client_request_duration_seconds_count{service="shop",server_address="127.0.0.1",server_port="9101",http_request_method="GET",error_type="refused"} 1
        http_client_request_duration_seconds_sum{service="shop",server_address="::1",server_port="9102",http_request_method="GET",http_response_status_code="200"} 0.010000000
        http_client_request_duration_seconds_count{service="shop",server_address="::1",server_port="9102",http_request_method="GET",http_response_status_code="200"} 1
        process_cpu_seconds_total 1.25
        process_open_fds 7
        mainstay_attempts_total{service="shop",endpoint="127.0.0.1:9101",result="refused"} 1
        mainstay_attempts_total{service="shop",endpoint="[::1]:9102",result="success"} 1
        mainstay_retries_total{service="shop",reason="refused"} 1
        mainstay_retries_denied_total{service="shop",reason="budget"} 1
        mainstay_hedges_total{service="shop",result="won"} 1
        mainstay_hedges_denied_total{service="shop",reason="no_permit"} 1
        mainstay_retry_budget_tokens{service="shop"} 99.5
        mainstay_breaker_state{service="shop",state="closed"} 1
        mainstay_breaker_state{service="shop",state="open"} 0
        mainstay_breaker_state{service="shop",state="half_open"} 0
        mainstay_endpoint_state{service="shop",endpoint="127.0.0.1:9101",state="ready"} 0
        mainstay_endpoint_state{service="shop",endpoint="127.0.0.1:9101",state="ejected"} 1
        mainstay_endpoint_state{service="shop",endpoint="127.0.0.1:9101",state="probing"} 0
        mainstay_endpoint_state{service="shop",endpoint="127.0.0.1:9101",state="draining"} 0
        mainstay_endpoint_state{service="shop",endpoint="[::1]:9102",state="ready"} 1
        mainstay_endpoint_state{service="shop",endpoint="[::1]:9102",state="ejected"} 0
        mainstay_endpoint_state{service="shop",endpoint="[::1]:9102",state="probing"} 0
        mainstay_endpoint_state{service="shop",endpoint="[::1]:9102",state="draining"} 0
        mainstay_endpoint_limping{service="shop",endpoint="127.0.0.1:9101"} 0
        mainstay_endpoint_limping{service="shop",endpoint="[::1]:9102"} 1
        mainstay_ejections_total{service="shop",endpoint="127.0.0.1:9101",reason="check"} 1
        mainstay_shed_total{service="shop",priority="normal",reason="queue_full"} 1
        mainstay_refused_total{service="shop",reason="queue_full",origin="us"} 1
        mainstay_rate_limited_total{limit="per-caller"} 1
        mainstay_fallback_total{service="shop",kind="respond"} 1
        mainstay_faults_injected_total{service="shop",kind="reset"} 1
        mainstay_stale_answers{service="shop"} 7
        mainstay_stale_bytes{service="shop"} 4096
        mainstay_stale_evicted_total{service="shop"} 5
        mainstay_idempotency_total{service="shop",result="replayed"} 1
        mainstay_idempotency_keys{service="shop"} 40
        mainstay_idempotency_bytes{service="shop"} 10240
        mainstay_idempotency_lent_bytes{service="shop"} 2432
        mainstay_idempotency_evicted_total{service="shop",what="answer"} 2
        mainstay_idempotency_evicted_total{service="shop",what="key"} 1
        mainstay_mirrored_total{service="shop",result="answered"} 1
        mainstay_inflight{service="shop",endpoint="127.0.0.1:9101"} 0
        mainstay_inflight{service="shop",endpoint="[::1]:9102"} 2
        mainstay_queued{service="shop"} 3
        mainstay_concurrency_limit{service="shop"} 1024
        mainstay_connections{listener="web"} 64
        mainstay_connections_accepted_total{listener="web"} 1
        mainstay_config_reloads_total{result="success"} 20
        mainstay_config_reloads_total{result="failure"} 0
        mainstay_ready 1
        mainstay_access_log_dropped_total 0
        mainstay_build_info{version="0.1.0"} 1
    "#]]
    .assert_eq(&shown);
}

#[test]
fn the_records_are_shown_where_there_are_any() {
    assert!(!text().contains("mainstay_records"));
    let ring = RecordRing::new(100_000, Duration::from_secs(60));
    let mut both = Snapshot::default().with_records(&ring);
    both.merge(&Snapshot::default().with_records(&ring));
    let text = render(&Names::new(), &both, &Figures::default());
    assert!(text.contains(&format!("\nmainstay_records_bytes {}\n", 2 * ring.memory())), "{text}");
}

#[test]
fn buckets_are_cumulative_and_end_in_everything() {
    let text = text();
    let buckets: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("http_server_request_duration_seconds_bucket") && line.contains("/cart"))
        .filter_map(|line| line.split_once("le=\""))
        .map(|(_, rest)| rest)
        .collect();
    assert_eq!(
        buckets,
        [
            "0.005\"} 0",
            "0.01\"} 0",
            "0.025\"} 1",
            "0.05\"} 1",
            "0.075\"} 1",
            "0.1\"} 1",
            "0.25\"} 1",
            "0.5\"} 1",
            "0.75\"} 1",
            "1\"} 1",
            "2.5\"} 1",
            "5\"} 1",
            "7.5\"} 1",
            "10\"} 1",
            "+Inf\"} 1",
        ]
    );
}

/// What `promtool check metrics` looks at: every sample belongs to a family with HELP and TYPE before it, a counter's
/// name ends in `_total` and no other's does, no name holds a unit that is not a base unit, no family comes twice.
#[test]
fn a_linter_finds_nothing() {
    let text = text();
    let mut families: Vec<(String, String)> = Vec::new();
    let mut helped = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty(), "{name}");
            helped.push(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(helped.last().unwrap(), name);
            assert!(families.iter().all(|(known, _)| known != name), "{name} comes twice");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
            families.push((name.to_owned(), kind.to_owned()));
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let (family, kind) = families.last().unwrap();
            let base = if kind == "histogram" {
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap()
            } else {
                name
            };
            assert_eq!(base, family, "{line}");
            line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
        }
    }
    for (name, _) in &families {
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert!(!["_ms", "_millis", "_kib", "_minutes", "_percent"].iter().any(|unit| name.contains(unit)), "{name}");
    }
}

#[test]
fn no_sample_comes_twice() {
    let text = text();
    let mut series: Vec<_> =
        text.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap().0).collect();
    let all = series.len();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), all);
}
