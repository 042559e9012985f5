//! A running node is steered, reloaded and stopped under load, and no caller notices.

use std::net::SocketAddr;

use rustix::process::Signal;

use crate::support::{Instance, Load, Node, alone, eventually, http, mainstay, pass};

fn reloads(node: &Node) -> f64 {
    node.metrics().sum("mainstay_config_reloads_total", &[])
}

#[test]
fn ten_thousand_requests_pass_while_the_configuration_is_reloaded_twenty_times() {
    let _stage = alone();
    // 64 callers and 40 ms make at least 6 s of 10,000 requests: the reloads are among them, not behind.
    let instances: Vec<Instance> =
        (0..2).map(|_| Instance::with(&["--service-time", "40ms", "--concurrency", "64"])).collect();
    let addresses: Vec<_> = instances.iter().map(|instance| instance.address).collect();
    let node = Node::start(&addresses, "");
    let mut load =
        Load::start(node.web, &["--closed", "64", "--requests", "10000", "--duration", "60s", "--deadline", "10s"]);
    let answered = || node.metrics().sum("mainstay_attempts_total", &[("result", "success")]);
    eventually("the first answers", || (answered() > 64.0).then_some(()));
    for number in 0..20 {
        let before = reloads(&node);
        node.write(&addresses, &format!("[service.shop.timeout]\nattempt = \"{}ms\"\n", 4000 + number));
        node.signal(Signal::HUP);
        eventually("a reload", || (reloads(&node) > before).then_some(()));
        pass(0.1);
    }
    assert!(load.is_running(), "the load had ended before the last reload");
    let report = load.end();
    assert_eq!(report.requests(), 10_000);
    report.all_good();
    let connections = node.metrics().sum("mainstay_connections_accepted_total", &[("listener", "web")]);
    assert_eq!(connections, 64.0, "every caller kept its connection through all reloads");
    assert_eq!(node.metrics().sum("mainstay_config_reloads_total", &[("result", "failure")]), 0.0);
    // No counter began anew, and nothing was tried twice.
    eventually("every request to be counted", || (answered() == 10_000.0).then_some(()));
    let reached: usize = instances.iter().map(|instance| instance.reached().len()).sum();
    assert_eq!(reached, 10_000, "each request came to an instance once");
}

#[test]
fn a_hundred_endpoints_are_drained_and_restored_one_after_the_other_under_load() {
    let _stage = alone();
    // Every address of 127/8 leads to this machine, so one process can be a hundred endpoints.
    let instance = Instance::on("0.0.0.0:0", &["--service-time", "1ms", "--concurrency", "64"]);
    let port = instance.address.port();
    let endpoints: Vec<SocketAddr> = (1..=100).map(|host| SocketAddr::from(([127, 0, 0, host], port))).collect();
    let node = Node::start(&endpoints, "");
    let mut load = Load::start(node.web, &["--rate", "300/s", "--duration", "14s"]);
    let mut drained = 0;
    for endpoint in &endpoints {
        steer(&node, endpoint, "draining");
        drained += state_of(&node, endpoint, "draining");
        steer(&node, endpoint, "ready");
        drained -= state_of(&node, endpoint, "draining");
    }
    assert_eq!(drained, 100, "each endpoint was drained and was not any more");
    assert!(load.is_running(), "the load ended before the last endpoint was restored");
    load.end().all_good();
}

/// 1 when every worker has the endpoint in this state.
fn state_of(node: &Node, endpoint: &SocketAddr, state: &str) -> i32 {
    let labels = [("endpoint", endpoint.to_string()), ("state", state.to_owned())];
    let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
    i32::from(node.metrics().sum("mainstay_endpoint_state", &labels) > 0.0)
}

#[track_caller]
fn steer(node: &Node, endpoint: &SocketAddr, state: &str) {
    let path = format!("/v1/services/shop/endpoints/{endpoint}/state");
    let answer = http::put(node.admin, &path, &format!("{{\"state\":\"{state}\"}}"));
    assert!((200..300).contains(&answer.status), "{answer:?}");
}

#[test]
fn an_operator_drains_an_endpoint_and_gives_it_back() {
    let _stage = alone();
    let instances = [Instance::with(&["--service-time", "0ms"]), Instance::with(&["--service-time", "0ms"])];
    let node = Node::start(&instances.each_ref().map(|instance| instance.address), "");
    let command = |words: &[&str]| {
        let output = mainstay().args(words).args(["--admin", &node.admin.to_string()]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{words:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    };
    let drained = instances[0].address.to_string();
    assert!(command(&["services"]).contains("shop"));
    assert!(command(&["endpoints", "shop"]).contains(&drained));
    command(&["drain", "shop", &drained]);
    eventually("the drained endpoint to be shown so", || {
        let text = command(&["endpoints", "shop"]);
        text.lines().any(|line| line.contains(&drained) && line.contains("draining")).then_some(())
    });
    let before = instances[0].reached().len();
    Load::start(node.web, &["--closed", "4", "--requests", "100"]).end().all_good();
    assert_eq!(instances[0].reached().len(), before, "a drained endpoint gets nothing new");
    command(&["restore", "shop", &drained]);
    Load::start(node.web, &["--closed", "4", "--requests", "200"]).end().all_good();
    assert!(instances[0].reached().len() > before, "a restored endpoint gets its share again");
    command(&["breaker", "shop", "open"]);
    eventually("a breaker that refuses", || (http::get(node.web, "/").status == 503).then_some(()));
    command(&["breaker", "shop", "auto"]);
    eventually("a breaker that admits", || (http::get(node.web, "/").status == 200).then_some(()));
}

#[test]
fn a_wrong_configuration_changes_nothing_and_the_error_says_where() {
    let _stage = alone();
    let instance = Instance::with(&["--service-time", "0ms"]);
    let node = Node::start(&[instance.address], "");
    node.write(&[instance.address], "[service.shop.retry]\natempts = 5\n");
    let answer = http::ask(node.admin, "POST", "/v1/reload", "").unwrap();
    assert!((400..500).contains(&answer.status), "{answer:?}");
    assert!(answer.body.contains("atempts") && answer.body.contains("attempts"), "{answer:?}");
    assert_eq!(http::get(node.web, "/").status, 200, "the old configuration still serves");
    assert!(node.metrics().sum("mainstay_config_reloads_total", &[("result", "failure")]) >= 1.0);
    node.write(&[instance.address], "[service.shop.retry]\nattempts = 5\n");
    let answer = http::ask(node.admin, "POST", "/v1/reload", "").unwrap();
    assert!((200..300).contains(&answer.status), "{answer:?}");
}

#[test]
fn a_node_that_is_asked_to_stop_finishes_what_runs() {
    let _stage = alone();
    let instance = Instance::with(&["--service-time", "1500ms", "--concurrency", "64"]);
    let mut node = Node::start(&[instance.address], "");
    let load = Load::start(node.web, &["--closed", "16", "--requests", "16", "--deadline", "15s"]);
    eventually("16 requests at the instance", || (instance.reached().len() == 16).then_some(()));
    node.signal(Signal::TERM);
    load.end().all_good();
    assert!(node.ended_well(), "{}", node.output());
    assert!(http::ask(node.web, "GET", "/", "").is_err(), "nothing new is accepted");
}
