//! The API over a real socket, in front of a stand-in for the node.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use mainstay_core::{Duration as Length, EndpointId, Failure, Instant, Limit};
use mainstay_policy::{
    BreakerOrder, BreakerState, Cause, Decision, End, EndpointState, EndpointView, Entry, FaultOrder, Order,
    ServiceView,
};
use mainstay_telemetry::FoundRecord;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::running::{OrderRefused, ReloadRefused, ServicesNow, Soon};

/// A node with one service, one endpoint and one remembered request.
#[derive(Default)]
struct StandIn {
    orders: Mutex<Vec<String>>,
    draining: AtomicBool,
    broken_file: AtomicBool,
}

impl StandIn {
    fn order(&self, known: bool, text: String, refused: OrderRefused) -> Result<(), OrderRefused> {
        if known {
            self.orders.lock().unwrap().push(text);
            return Ok(());
        }
        Err(refused)
    }
}

impl Running for StandIn {
    fn services(&self) -> Soon<'_, ServicesNow> {
        let now = Instant::ORIGIN + Length::from_secs(5);
        Box::pin(async move { ServicesNow { now, services: vec![("shop".to_owned(), shop(now))] } })
    }

    fn order_endpoint<'a>(
        &'a self,
        service: &'a str,
        address: SocketAddr,
        order: Order,
    ) -> Soon<'a, Result<(), OrderRefused>> {
        let known = service == "shop" && address.port() == 9101;
        Box::pin(async move { self.order(known, format!("{address} {order:?}"), OrderRefused::NoEndpoint) })
    }

    fn order_breaker<'a>(&'a self, service: &'a str, order: BreakerOrder) -> Soon<'a, Result<(), OrderRefused>> {
        Box::pin(async move { self.order(service == "shop", format!("{order:?}"), OrderRefused::NoService) })
    }

    fn order_fault<'a>(&'a self, service: &'a str, order: Option<FaultOrder>) -> Soon<'a, Result<(), OrderRefused>> {
        let is_there = order.and_then(|order| order.endpoint).is_none_or(|address| address.port() == 9101);
        let refused = if service == "shop" { OrderRefused::NoEndpoint } else { OrderRefused::NoService };
        Box::pin(async move { self.order(service == "shop" && is_there, format!("{order:?}"), refused) })
    }

    fn configuration(&self) -> Value {
        json!({ "admin": { "token": { "env": "TOKEN" } } })
    }

    fn reload(&self) -> Soon<'_, Result<Value, ReloadRefused>> {
        let problems = json!([{ "line": 3, "message": "unknown key \"listner\"" }]);
        let broken = self.broken_file.load(Ordering::Relaxed);
        Box::pin(async move {
            if broken { Err(ReloadRefused { why: "1 problem".to_owned(), problems }) } else { Ok(json!({})) }
        })
    }

    fn explain<'a>(&'a self, request_id: &'a str) -> Soon<'a, Vec<FoundRecord>> {
        Box::pin(async move { if request_id == "r/1" { vec![record()] } else { Vec::new() } })
    }

    fn recent(&self, only_unhappy: bool, max: usize) -> Soon<'_, Vec<FoundRecord>> {
        let unhappy = FoundRecord {
            entries: vec![Entry {
                after: Length::from_millis(5),
                what: Decision::Ended(End::Answered { status: 503 }),
            }],
            ..record()
        };
        let all = if only_unhappy { vec![unhappy] } else { vec![record(), unhappy] };
        Box::pin(async move { all.into_iter().take(max).collect() })
    }

    fn setting(&self, key: &str, route: &str) -> Option<String> {
        (key == "route.timeout").then(|| format!("timeout of {route} = \"15s\", mainstay.toml:7"))
    }

    fn metrics(&self) -> Soon<'_, String> {
        Box::pin(async { "mainstay_ready 1\n".to_owned() })
    }

    fn ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }
}

fn shop(now: Instant) -> ServiceView {
    let endpoint = EndpointView {
        id: EndpointId { slot: 0, generation: 0 },
        address: SocketAddr::from(([127, 0, 0, 1], 9101)),
        weight: 1,
        zone: "".into(),
        backup: false,
        state: EndpointState::Ejected,
        cause: Some(Cause::ConsecutiveFailures(Failure::Refused)),
        until: Some(now + Length::from_secs(2)),
        in_flight: 0,
        latency: Some(Length::from_micros(1_500)),
        warming: None,
        limping: None,
        zone_keeps: None,
        successes: 90,
        failures: 5,
        ejections: 1,
        last_check: None,
    };
    ServiceView {
        endpoints: vec![endpoint],
        breaker: BreakerState::Closed,
        budget: Some(100.0),
        waiting: 0,
        in_use: 1,
        limit: Limit::Unlimited,
        fault: None,
        ceiling: Limit::Unlimited,
    }
}

fn record() -> FoundRecord {
    let ended = Decision::Ended(End::Answered { status: 200 });
    FoundRecord {
        request_id: "r/1".to_owned(),
        route: "/".to_owned(),
        service: "shop".to_owned(),
        method: "GET",
        path: "/".to_owned(),
        path_cut: false,
        age: Length::from_secs(1),
        lasted: Length::from_millis(5),
        allowed: Length::from_secs(15),
        endpoints: Vec::new(),
        limits: Vec::new(),
        entries: vec![Entry { after: Length::from_millis(5), what: ended }],
        dropped: 0,
        same_id: Some(1),
    }
}

/// The two addresses of a node.
struct Api {
    node: Arc<StandIn>,
    admin: SocketAddr,
    probe: SocketAddr,
    _stop: watch::Sender<bool>,
}

async fn api(token: Option<&str>) -> Api {
    let node = Arc::new(StandIn::default());
    let (stop, stopped) = watch::channel(false);
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (admin, probe) = (TcpListener::bind(any).await.unwrap(), TcpListener::bind(any).await.unwrap());
    let addresses = (admin.local_addr().unwrap(), probe.local_addr().unwrap());
    let guard = Guard::new(any.ip(), token.map(mainstay_config::Secret::new));
    tokio::spawn(serve_admin(admin, guard, Arc::<StandIn>::clone(&node), stopped.clone()));
    tokio::spawn(serve_probe(probe, Arc::<StandIn>::clone(&node), stopped));
    Api { node, admin: addresses.0, probe: addresses.1, _stop: stop }
}

/// One exchange; the status, the head and the body.
async fn ask(to: SocketAddr, method: &str, path: &str, fields: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let length = body.len();
    let host = if fields.contains("host:") { String::new() } else { format!("host: {to}\r\n") };
    let text = format!(
        "{method} {path} HTTP/1.1\r\n{host}{fields}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

async fn get(to: SocketAddr, path: &str) -> (u16, Value) {
    let (status, _, body) = ask(to, "GET", path, "", "").await;
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

#[tokio::test]
async fn an_operator_sees_why_an_endpoint_is_out() {
    let api = api(None).await;
    let (status, body) = get(api.admin, "/v1/services").await;
    assert_eq!(status, 200);
    let endpoint = &body["services"][0]["endpoints"][0];
    assert_eq!(endpoint["state"], "ejected");
    assert_eq!(endpoint["cause"], "consecutive_failures");
    assert!(endpoint["why"].as_str().unwrap().ends_with("the last: refused"));
    assert_eq!(endpoint["until_ms"], 2000);
    assert_eq!(endpoint["latency_ms"], 1.5);
    assert_eq!(body["services"][0]["concurrency_limit"], "unlimited");
    assert_eq!(get(api.admin, "/v1/services/shop").await, (200, body["services"][0].clone()));
}

#[tokio::test]
async fn orders_reach_the_node_and_wrong_ones_say_how_to_mend_them() {
    let api = api(None).await;
    let state = "/v1/services/shop/endpoints/127.0.0.1:9101/state";
    let put = async |path: &str, body: &str| ask(api.admin, "PUT", path, "", body).await;
    assert_eq!(put(state, r#"{"state":"draining"}"#).await.0, 200);
    assert_eq!(put("/v1/services/shop/breaker", r#"{"state":"open"}"#).await.0, 200);
    assert_eq!(*api.node.orders.lock().unwrap(), ["127.0.0.1:9101 Draining", "Open"]);

    for (path, body, status, reason, mend) in [
        (state, r#"{"state":"off"}"#, 400, "bad_body", "ejected"),
        (state, "{", 400, "bad_body", "draining"),
        ("/v1/services/shop/breaker", r#"{"state":"open","x":1}"#, 400, "bad_body", "auto"),
        ("/v1/services/shop/endpoints/127.0.0.1:1/state", r#"{"state":"ready"}"#, 404, "no_endpoint", "127.0.0.1:9101"),
        ("/v1/services/shop/endpoints/nonsense/state", r#"{"state":"ready"}"#, 404, "no_endpoint", "127.0.0.1:9101"),
        ("/v1/services/ship/breaker", r#"{"state":"open"}"#, 404, "no_service", "shop"),
    ] {
        let (answered, head, text) = put(path, body).await;
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((answered, &problem["reason"]), (status, &json!(reason)), "{path} {body}");
        assert_eq!(problem["status"], status);
        assert!(problem["mend"].as_str().unwrap().contains(mend), "{text}");
        assert!(head.contains("content-type: application/problem+json"));
    }
    assert_eq!(api.node.orders.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_wrong_file_is_told_with_its_place() {
    let api = api(None).await;
    assert_eq!(ask(api.admin, "POST", "/v1/reload", "", "").await.0, 200);
    api.node.broken_file.store(true, Ordering::Relaxed);
    let (status, _, body) = ask(api.admin, "POST", "/v1/reload", "", "").await;
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 422);
    assert_eq!(problem["problems"][0]["line"], 3);
}

#[tokio::test]
async fn a_request_is_explained_as_json_and_as_a_story() {
    let api = api(None).await;
    let (status, body) = get(api.admin, "/v1/requests/r%2F1").await;
    assert_eq!((status, &body["records"][0]["decisions"][0]["event"]), (200, &json!("ended")));
    let (_, story) = get(api.admin, "/v1/requests/r%2F1?format=text").await;
    assert!(story.as_str().unwrap().contains("ended: answered whole"), "{story}");
    let (_, head, text) = ask(api.admin, "GET", "/v1/requests/r%2F1", "accept: text/plain\r\n", "").await;
    assert!(text.starts_with("request r/1, 1 s ago\n") && head.contains("text/plain"));
    assert!(text.contains("[timeout of / = \"15s\", mainstay.toml:7]"), "what a key is set to stands with it: {text}");
    assert_eq!(get(api.admin, "/v1/requests/unknown").await.0, 404);
}

#[tokio::test]
async fn the_last_requests_are_listed_and_the_unhappy_ones_alone_on_demand() {
    let api = api(None).await;
    let records = |body: &Value| body["records"].as_array().unwrap().len();
    let (status, all) = get(api.admin, "/v1/requests").await;
    assert_eq!((status, records(&all)), (200, 2));
    assert_eq!(records(&get(api.admin, "/v1/requests?limit=1").await.1), 1);
    let (_, unhappy) = get(api.admin, "/v1/requests?unhappy=true&limit=5").await;
    assert_eq!(unhappy["records"][0]["decisions"][0]["text"], "ended: answered whole with status 503");
    let (_, story) = get(api.admin, "/v1/requests?unhappy=true&format=text").await;
    assert!(story.as_str().unwrap().starts_with("request r/1, 1 s ago\n"), "{story}");
    for wrong in ["limit=0", "limit=129", "limit=many", "unhappy=maybe", "format=xml"] {
        let (status, problem) = get(api.admin, &format!("/v1/requests?{wrong}")).await;
        assert_eq!((status, &problem["reason"]), (400, &json!("bad_request")), "{wrong}");
    }
}

#[tokio::test]
async fn a_drill_has_a_lease_and_what_is_wrong_with_it_is_told() {
    let api = api(None).await;
    let path = "/v1/services/shop/fault";
    let put = |path: &'static str, body: &'static str| async move {
        let (status, _, answer) = ask(api.admin, "PUT", path, "", body).await;
        (status, answer)
    };
    let delay = r#"{"kind":"delay","delay":"200ms","share":"10%","lease":"30s","endpoint":"127.0.0.1:9101"}"#;
    assert_eq!(put(path, delay).await.0, 200);
    for (body, part) in [
        (r#"{"kind":"reset"}"#, "lease"),
        (r#"{"kind":"reset","lease":"2h"}"#, "lease: it is from 1ms to 1h"),
        (r#"{"kind":"delay","lease":"30s"}"#, "a delay needs its length"),
        (r#"{"kind":"delay","delay":"0s","lease":"30s"}"#, "delay: it is from 1ms to 5m"),
        (r#"{"kind":"abort","status":404,"lease":"30s"}"#, "404 is no failure"),
        (r#"{"kind":"reset","status":503,"lease":"30s"}"#, "status with"),
        (r#"{"kind":"hang","lease":"30s"}"#, "no fault is called"),
        (r#"{"kind":"reset","share":"200%","lease":"30s"}"#, "share"),
    ] {
        let (status, answer) = put(path, body).await;
        assert_eq!(status, 400, "{body}");
        assert!(answer.contains(part), "{body}: {answer}");
    }
    let elsewhere = r#"{"kind":"reset","lease":"30s","endpoint":"127.0.0.1:1"}"#;
    let (status, answer) = put(path, elsewhere).await;
    assert!(status == 404 && answer.contains("no_endpoint"), "{answer}");
    assert_eq!(put("/v1/services/ship/fault", delay).await.0, 404);
    assert_eq!(ask(api.admin, "DELETE", path, "", "").await.0, 200);
    let orders = api.node.orders.lock().unwrap();
    assert!(orders[0].contains("Delay { millis: 200 }") && orders[1] == "None", "{orders:?}");
}

#[tokio::test]
async fn the_probe_address_shows_health_and_metrics_and_nothing_else() {
    let api = api(Some("s3cret")).await;
    let (_, head, text) = ask(api.probe, "GET", "/metrics", "host: anything\r\n", "").await;
    assert_eq!(text, "mainstay_ready 1\n");
    assert!(head.contains("content-type: text/plain; version=0.0.4"));
    assert_eq!(get(api.probe, "/health/live").await, (200, json!({ "live": true })));
    assert_eq!(get(api.probe, "/health/ready").await, (200, json!({ "ready": true })));
    api.node.draining.store(true, Ordering::Relaxed);
    assert_eq!(get(api.probe, "/health/ready").await, (503, json!({ "ready": false })));
    for path in ["/v1/services", "/v1/config", "/openapi.json", "/v1/requests/r%2F1"] {
        assert_eq!(get(api.probe, path).await.0, 404, "{path}");
    }
    assert_eq!(ask(api.probe, "POST", "/v1/reload", "", "").await.0, 404);
    assert_eq!(ask(api.probe, "POST", "/metrics", "", "").await.0, 405);
}

#[tokio::test]
async fn half_requests_do_not_keep_a_probe_from_its_answer() {
    let api = api(None).await;
    for address in [api.probe, api.admin] {
        let mut halves = Vec::new();
        for _ in 0..3 * places::CONNECTIONS {
            let mut half = TcpStream::connect(address).await.unwrap();
            half.write_all(b"GET /health/ready HTTP/1.1\r\nhost: 127.0.0.1\r\n").await.unwrap();
            halves.push(half);
        }
        assert_eq!(get(address, "/health/ready").await.0, 200);
        // It was not time that made room: who came last still has its place, and who came first has not.
        let mut last = halves.pop().unwrap();
        last.write_all(b"connection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        last.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(!matches!(halves[0].read(&mut [0; 16]).await, Ok(1..)));
    }
}

#[tokio::test]
async fn a_crowd_that_comes_at_once_is_served_whole() {
    let api = api(None).await;
    let asked: Vec<_> = (0..4 * places::CONNECTIONS)
        .map(|_| tokio::spawn(async move { get(api.probe, "/health/live").await.0 }))
        .collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn a_token_guards_everything_but_health() {
    let api = api(Some("s3cret")).await;
    assert_eq!(get(api.admin, "/health/live").await.0, 200);
    for path in ["/v1/services", "/metrics", "/openapi.json", "/nothing"] {
        let (status, head, _) = ask(api.admin, "GET", path, "", "").await;
        assert_eq!(status, 401, "{path}");
        assert!(head.contains("www-authenticate: bearer"));
    }
    let shown = "authorization: Bearer s3cret\r\n";
    assert_eq!(ask(api.admin, "GET", "/v1/services", shown, "").await.0, 200);
    let (_, _, body) = ask(api.admin, "GET", "/v1/config", shown, "").await;
    assert!(!body.contains("s3cret"));
}

#[tokio::test]
async fn a_page_in_a_browser_cannot_steer_the_node() {
    let api = api(None).await;
    for fields in ["origin: http://evil.example\r\n", "host: evil.example\r\n", "sec-fetch-site: cross-site\r\n"] {
        let (status, _, _) = ask(api.admin, "POST", "/v1/reload", fields, "").await;
        assert!(matches!(status, 403 | 421), "{fields}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused() {
    let api = api(None).await;
    let long = " ".repeat(BODY_MAX + 1);
    let (status, _, body) = ask(api.admin, "PUT", "/v1/services/shop/breaker", "", &long).await;
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &problem["reason"]), (413, &json!("long_body")));
}

#[tokio::test]
async fn a_path_that_is_not_text_is_a_problem_like_any_other() {
    let api = api(None).await;
    let (status, problem) = get(api.admin, "/v1/services/%ff").await;
    assert_eq!((status, &problem["reason"]), (400, &json!("bad_request")));
}

#[test]
fn every_route_is_described_and_nothing_else_is() {
    let description = openapi::description();
    let mut described: Vec<_> = description["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let mut routed: Vec<_> = routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    described.sort();
    routed.sort();
    assert_eq!(described, routed);
}

#[test]
fn every_parameter_of_a_path_is_described_and_every_reference_leads_somewhere() {
    let description = openapi::description();
    for (path, item) in description["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            let named: Vec<_> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap()))
                .collect();
            let wanted: Vec<_> = path.split('/').filter(|part| part.starts_with('{')).collect();
            assert_eq!(named, wanted, "{path}");
        }
    }
    for reference in description.to_string().split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(description.pointer(pointer).is_some(), "{pointer}");
    }
}

/// The views and their schemas name the same members.
#[test]
fn the_views_have_the_members_that_are_described() {
    let description = openapi::description();
    let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let schema = |name: &str| members(&description["components"]["schemas"][name]["properties"]);
    let now = Instant::ORIGIN;
    let service = serde_json::to_value(views::Service::of("shop", &shop(now), now)).unwrap();
    assert_eq!(members(&service), schema("Service"));
    assert_eq!(members(&service["endpoints"][0]), schema("Endpoint"));
    let record: Value = serde_json::from_str(&record().to_json(|_| None)).unwrap();
    assert_eq!(members(&record), schema("Record"));
}
