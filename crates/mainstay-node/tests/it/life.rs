//! The life of a node from its start to its end.

use mainstay_node::Ending;
use rustix::process::{Signal, getpid, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use crate::world::{At, File, ask, at, get, instance, json, ready_instance, text, until};

/// The value of the sample that begins with `series`.
fn sample(metrics: &str, series: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_through_and_metrics_story_and_services_tell_the_same() {
    let shop = ready_instance().await;
    let node = File::new(&text(&[shop], "")).start().await.unwrap();
    let at = at(&node);
    assert_eq!(get(at.web, "/cart?token=secret").await, (200, "ok".to_owned()));

    let (_, metrics) = get(at.probe, "/metrics").await;
    let attempts = format!("mainstay_attempts_total{{service=\"shop\",endpoint=\"{shop}\",result=\"success\"}}");
    assert_eq!(sample(&metrics, &attempts), Some(1.0), "{metrics}");
    assert_eq!(sample(&metrics, "mainstay_ready"), Some(1.0));

    let services = json(at.admin, "/v1/services").await;
    let endpoint = &services["services"][0]["endpoints"][0];
    assert_eq!((&endpoint["address"], &endpoint["state"]), (&json!(shop.to_string()), &json!("ready")));

    let found = json(at.admin, "/v1/requests/test-0GET").await;
    assert_eq!(found["records"][0]["path"], "/cart");
    assert_eq!(found["records"][0]["endpoints"], json!([shop.to_string()]));
    let (_, story) = get(at.admin, "/v1/requests/test-0GET?format=text").await;
    assert!(story.contains(&format!("attempt 1 to {shop}")), "{story}");
    assert!(!story.contains("secret"));
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_drains_the_only_endpoint_and_gives_it_back() {
    let shop = ready_instance().await;
    let node = File::new(&text(&[shop], "")).start().await.unwrap();
    let at = at(&node);
    let path = format!("/v1/services/shop/endpoints/{shop}/state");
    let (status, body) = ask(at.admin, "PUT", &path, r#"{"state":"draining"}"#).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["endpoints"][0]["state"], "draining");
    assert_eq!(get(at.web, "/").await.0, 503);
    assert_eq!(ask(at.admin, "PUT", &path, r#"{"state":"ready"}"#).await.0, 200);
    assert_eq!(get(at.web, "/").await.0, 200);

    let breaker = "/v1/services/shop/breaker";
    assert_eq!(ask(at.admin, "PUT", breaker, r#"{"state":"open"}"#).await.0, 200);
    assert_eq!(get(at.web, "/").await.0, 503);
    assert_eq!(json(at.admin, "/v1/services/shop").await["breaker"]["forced"], true);
    assert_eq!(ask(at.admin, "PUT", breaker, r#"{"state":"auto"}"#).await.0, 200);
    assert_eq!(get(at.web, "/").await.0, 200);
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_file_changes_nothing_and_a_right_one_is_taken_on() {
    let (one, two) = (ready_instance().await, ready_instance().await);
    let file = File::new(&text(&[one], ""));
    let node = file.start().await.unwrap();
    let at = at(&node);
    assert_eq!(get(at.web, "/").await.0, 200);

    file.write(&text(&[two], "balanse = \"random\"\n"));
    let (status, body) = ask(at.admin, "POST", "/v1/reload", "").await;
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 422, "{body}");
    assert_eq!(problem["problems"][0]["path"], "service.shop.balanse", "{body}");
    assert!(problem["problems"][0]["line"].as_u64().is_some());
    let endpoint = || async { json(at.admin, "/v1/services/shop").await["endpoints"][0]["address"].clone() };
    assert_eq!(endpoint().await, one.to_string());
    assert_eq!(get(at.web, "/").await.0, 200);

    file.write(&text(&[two], ""));
    assert_eq!(ask(at.admin, "POST", "/v1/reload", "").await.0, 200);
    assert_eq!(endpoint().await, two.to_string());
    let (_, metrics) = get(at.probe, "/metrics").await;
    let attempts = format!("mainstay_attempts_total{{service=\"shop\",endpoint=\"{one}\",result=\"success\"}}");
    assert_eq!(sample(&metrics, &attempts), Some(2.0), "counters outlive a reload: {metrics}");
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_file_is_noticed() {
    let (one, two) = (ready_instance().await, ready_instance().await);
    let file = File::new(&text(&[one], ""));
    let node = file.start().await.unwrap();
    let at = at(&node);
    file.write(&text(&[one, two], ""));
    until("the new endpoint", async || {
        json(at.admin, "/v1/services/shop").await["endpoints"].as_array().unwrap().len() == 2
    })
    .await;
    let (_, metrics) = get(at.probe, "/metrics").await;
    assert_eq!(sample(&metrics, "mainstay_config_reloads_total{result=\"success\"}"), Some(1.0));
    assert_eq!(sample(&metrics, "mainstay_config_reloads_total{result=\"failure\"}"), Some(0.0));
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_node_fails_its_readiness_and_finishes_what_runs() {
    let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let shop = instance(gate).await;
    let node = File::new(&text(&[shop], "")).start().await.unwrap();
    let at = at(&node);
    let call = tokio::spawn(get(at.web, "/slow"));
    until("the call to run", async || json(at.admin, "/v1/services/shop").await["in_use"] == 1).await;

    let end = tokio::spawn(node.drain());
    until("readiness to fail", async || get(at.probe, "/health/ready").await.0 == 503).await;
    assert!(!end.is_finished(), "a call still runs");
    gate.add_permits(1);
    assert_eq!(call.await.unwrap(), (200, "ok".to_owned()));
    end.await.unwrap();
}

/// Signals go to the whole process: one test at a time.
static SIGNALS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn send(what: Signal) {
    kill_process(getpid(), what).unwrap();
}

/// Sends SIGHUP until it has come to a reload: the node listens to signals from then on. Whoever calls this listens
/// first, so that a signal that comes too early does not end the test.
async fn until_it_heeds_signals(at: At) {
    until("a reload", async || {
        send(Signal::HUP);
        let (_, metrics) = get(at.probe, "/metrics").await;
        sample(&metrics, "mainstay_config_reloads_total{result=\"success\"}").unwrap() >= 1.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_reload_and_stop() {
    let _alone = SIGNALS.lock().await;
    let _hangup = signal(SignalKind::hangup()).unwrap();
    let file = File::new(&text(&[ready_instance().await], ""));
    let node = file.start().await.unwrap();
    let at = at(&node);
    let run = tokio::spawn(node.run_until_stopped());
    until_it_heeds_signals(at).await;
    assert_eq!(get(at.web, "/").await.0, 200);
    send(Signal::TERM);
    assert_eq!(run.await.unwrap().unwrap(), Ending::Drained);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once() {
    let _alone = SIGNALS.lock().await;
    let _hangup = signal(SignalKind::hangup()).unwrap();
    let gate: &'static Semaphore = Box::leak(Box::new(Semaphore::new(0)));
    let file = File::new(&text(&[instance(gate).await], ""));
    let node = file.start().await.unwrap();
    let at = at(&node);
    let call = tokio::spawn(exchange(at.web));
    until("the call to run", async || json(at.admin, "/v1/services/shop").await["in_use"] == 1).await;
    let run = tokio::spawn(node.run_until_stopped());
    until_it_heeds_signals(at).await;
    send(Signal::INT);
    until("the drain to begin", async || get(at.probe, "/health/ready").await.0 == 503).await;
    send(Signal::INT);
    assert_eq!(run.await.unwrap().unwrap(), Ending::AtOnce);
    assert!(call.await.unwrap().is_empty(), "the call was cut off");
}

/// What comes back on a connection before it ends, whatever that is.
async fn exchange(to: std::net::SocketAddr) -> Vec<u8> {
    let mut stream = tokio::net::TcpStream::connect(to).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A reset ends it as well as an end.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_address_ends_the_start_and_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let shop = ready_instance().await;
    let admin = text(&[shop], "").replacen("127.0.0.1:0", &address.to_string(), 1);
    let error = File::new(&admin).start().await.unwrap_err();
    assert_eq!(error.to_string(), format!("admin.address cannot listen on {address}"));

    let listener = text(&[shop], "")
        .replace("name = \"web\"\naddress = \"127.0.0.1:0\"", &format!("name = \"web\"\naddress = \"{address}\""));
    let error = File::new(&listener).start().await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), format!("listener \"web\" cannot listen on {address}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_is_shown_without_its_secrets() {
    let shop = ready_instance().await;
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("token");
    std::fs::write(&secret, "s3cret-word\n").unwrap();
    let token = format!("[admin]\ntoken = {{ file = \"{}\" }}\n", secret.display());
    let node = File::new(&text(&[shop], "").replacen("[admin]\n", &token, 1)).start().await.unwrap();
    let at = at(&node);
    assert_eq!(get(at.admin, "/v1/config").await.0, 401);
    let (status, body) = ask_with_token(at.admin, "/v1/config", "s3cret-word").await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("service.shop.endpoints") && !body.contains("s3cret-word"), "{body}");
    node.drain().await;
}

/// A request that shows a token: the field rides in behind the path, where the head is written.
async fn ask_with_token(to: std::net::SocketAddr, path: &str, token: &str) -> (u16, String) {
    ask(to, "GET", &format!("{path} HTTP/1.1\r\nauthorization: Bearer {token}\r\nx-rest:"), "").await
}
