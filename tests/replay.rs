//! What a gateway decided under faults is decided again, one by one, by the simulator's driver.

use std::path::Path;
use std::process::Output;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Instance, Load, Node, alone, eventually, http, mainstay, pass};

/// Two workers, and everything that decides something: limits, a queue before an adaptive bulkhead, hedges, checks.
const SETTINGS: &str = "\
[node]
workers = 2

[service.shop.timeout]
connect = \"250ms\"
attempt = \"600ms\"

[service.shop.health]
http = \"/health\"
interval = \"500ms\"

[service.shop.retry]
hedge = { after = \"p95\", max = 1 }

[service.shop.bulkhead]
concurrency = 48
adaptive = \"gradient\"

[rate_limit.all]
key = \"global\"
rate = \"1200/s\"
burst = 300
";

const ROUTES: &str = "[[route]]\nservice = \"shop\"\nrate_limit = [\"all\"]\n\n";

fn recorded(addresses: &[std::net::SocketAddr], settings: &str, into: &Path) -> Node {
    Node::recorded(addresses, ROUTES, settings, into)
}

fn replay(directory: &Path, more: &[&str]) -> Output {
    mainstay().args(["simulate", "--json", "--replay"]).arg(directory).args(more).output().unwrap()
}

fn told(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn every_decision_under_faults_is_made_again_and_another_limit_of_retries_is_found() {
    let _stage = alone();
    let mut instances: Vec<Instance> = (0..4).map(|_| Instance::with(&[])).collect();
    let addresses: Vec<_> = instances.iter().map(|instance| instance.address).collect();
    let directory = TempDir::new().unwrap();
    let mut node = recorded(&addresses, SETTINGS, directory.path());
    let load = Load::start(
        node.web,
        &["--rate", "700/s", "--duration", "14s", "--post", "10%", "--step", "4s=1500/s", "--step", "6s=700/s"],
    );
    pass(1.0);
    instances[0].kill();
    instances[1].fault("{\"kind\":\"errors\",\"status\":503}");
    pass(2.0);
    instances[2].hang();
    pass(2.0);
    node.write_routed(&addresses, ROUTES, &SETTINGS.replace("attempt = \"600ms\"", "attempt = \"500ms\""));
    node.signal(Signal::HUP);
    pass(1.0);
    instances[2].go_on();
    instances[0].restart();
    let order = format!("/v1/services/shop/endpoints/{}/state", addresses[3]);
    assert!(http::put(node.admin, &order, "{\"state\":\"draining\"}").status < 300);
    pass(2.0);
    assert!(http::put(node.admin, &order, "{\"state\":\"ready\"}").status < 300);
    instances[1].fault("{\"kind\":\"off\"}");
    let report = load.end();
    let answered = |what: &str, labels: &[(&str, &str)]| node.metrics().sum(what, labels);
    for (what, least) in [
        ("mainstay_retries_total", 100.0),
        ("mainstay_rate_limited_total", 1.0),
        ("mainstay_ejections_total", 1.0),
        ("mainstay_hedges_total", 1.0),
    ] {
        let sum = answered(what, &[]);
        assert!(sum >= least, "the faults have not struck: {what} is {sum}");
    }
    let attempts = answered("mainstay_attempts_total", &[]);
    node.signal(Signal::TERM);
    assert!(node.ended_well(), "{}", node.output());

    let output = replay(directory.path(), &[]);
    let all = told(&output);
    assert!(output.status.success(), "{all:#}");
    assert_eq!((&all["same"], &all["missing"]), (&true.into(), &0.into()), "{all:#}");
    let workers = all["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 2);
    assert!(workers.iter().all(|worker| worker["end"]["why"] == "stopped"), "{all:#}");
    assert!(workers.iter().all(|worker| worker["calls"].as_u64().unwrap() > 1_000), "{all:#}");
    assert_eq!(all["calls"].as_u64().unwrap(), report.requests(), "each request is a call of the recording");
    let decisions = all["decisions"].as_u64().unwrap();
    assert!(decisions > 10_000 && decisions as f64 > attempts, "{decisions} decisions, {attempts} attempts");

    // The configuration that the node had, but for its retries.
    let file = node.file();
    let other = ["-c", file.to_str().unwrap(), "--set", "service.shop.retry.attempts=1"];
    let output = replay(directory.path(), &other);
    let all = told(&output);
    assert_eq!(output.status.code(), Some(1), "{all:#}");
    let difference = &all["workers"][0]["difference"];
    assert!(difference["call"].is_u64() && difference["told"].is_string(), "{difference:#}");
    // Another attempt was made, a pause before one, or something else than their number forbade it.
    let gateway = difference["gateway"].to_string();
    let went_on = ["Attempt { attempt: 1", "Backoff", "NoRetry"];
    assert!(went_on.iter().any(|decision| gateway.contains(decision)), "{difference:#}");
    assert!(!gateway.contains("AttemptsUsed"), "{difference:#}");
    let replayed = difference["replay"].to_string();
    assert!(!replayed.contains(went_on[0]) && !replayed.contains(went_on[1]), "{difference:#}");
    assert!(!difference["differs"].as_array().unwrap().is_empty(), "{difference:#}");
}

#[test]
fn a_node_that_is_killed_leaves_what_can_be_replayed_and_its_end_is_told() {
    let _stage = alone();
    let instances: Vec<Instance> = (0..2).map(|_| Instance::with(&[])).collect();
    let addresses: Vec<_> = instances.iter().map(|instance| instance.address).collect();
    let directory = TempDir::new().unwrap();
    let node = recorded(&addresses, SETTINGS, directory.path());
    Load::start(node.web, &["--rate", "500/s", "--duration", "3s"]).end();
    let file = directory.path().join("worker-0.rec");
    eventually("the recording to have come to the disk", || {
        (std::fs::metadata(&file).unwrap().len() > 10_000).then_some(())
    });
    node.signal(Signal::KILL);
    drop(node);

    let output = replay(directory.path(), &[]);
    let all = told(&output);
    assert!(output.status.success(), "{all:#}");
    let end = &all["workers"][0]["end"];
    assert_eq!(end["why"], "torn", "{all:#}");
    assert!(end["at"].as_u64().unwrap() <= std::fs::metadata(&file).unwrap().len());

    let mut bytes = std::fs::read(&file).unwrap();
    bytes[5_000] ^= 0x10;
    std::fs::write(&file, &bytes).unwrap();
    let output = replay(directory.path(), &[]);
    let all = told(&output);
    assert_eq!(output.status.code(), Some(1), "{all:#}");
    let end = &all["workers"][0]["end"];
    assert_eq!(end["why"], "damaged", "{all:#}");
    assert!(end["at"].as_u64().unwrap() <= 5_000, "the place is where the damage is: {end}");

    bytes[8] = 0xff;
    std::fs::write(&file, &bytes).unwrap();
    let all = told(&replay(directory.path(), &[]));
    assert_eq!(all["workers"][0]["end"]["why"], "other_format", "{all:#}");
}

#[test]
fn a_recording_ends_when_it_is_full_and_the_node_goes_on() {
    let _stage = alone();
    let instance = Instance::with(&[]);
    let directory = TempDir::new().unwrap();
    let node = Node::watched(&[instance.address], SETTINGS, |command| {
        command.arg("--record").arg(directory.path()).args(["--record-max", "400KiB"]);
    });
    Load::start(node.web, &["--closed", "16", "--requests", "12000", "--duration", "60s"]).end();
    assert!(node.output().contains("the recording of a worker ends"), "{}", node.output());
    let size = |worker: u32| std::fs::metadata(directory.path().join(format!("worker-{worker}.rec"))).unwrap().len();
    assert!(size(0) + size(1) <= 400 * 1024, "{} and {} bytes", size(0), size(1));
    let all = told(&replay(directory.path(), &[]));
    assert_eq!((&all["same"], &all["workers"][0]["end"]["why"]), (&true.into(), &"full".into()), "{all:#}");
    // What is there already is kept: it may tell why there is another start.
    let before = std::fs::read(directory.path().join("worker-0.rec")).unwrap();
    drop(node);
    let node = Node::watched(&[instance.address], SETTINGS, |command| {
        command.arg("--record").arg(directory.path());
    });
    assert!(node.output().contains("nothing is recorded"), "{}", node.output());
    drop(node);
    assert!(std::fs::read(directory.path().join("worker-0.rec")).unwrap() == before, "the first recording was kept");
}
