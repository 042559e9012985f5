//! The books balance: what the log, the metrics and the instances say about attempts is the same, one by one.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::faults::Fleet;
use crate::support::{Load, Metrics, alone, http, pass};

/// Results of attempts whose request was never written.
const NOT_WRITTEN: [&str; 3] = ["refused", "unreachable", "connect_timeout"];

fn attempts(metrics: &Metrics) -> f64 {
    metrics.sum("mainstay_attempts_total", &[("service", "shop")])
}

fn not_written(metrics: &Metrics) -> f64 {
    let of = |result| metrics.sum("mainstay_attempts_total", &[("service", "shop"), ("result", result)]);
    NOT_WRITTEN.into_iter().map(of).sum()
}

/// What was decided about a request.
fn recorded(fleet: &Fleet, id: &str) -> Value {
    let answer = http::get(fleet.node.admin, &format!("/v1/requests/{id}"));
    assert_eq!(answer.status, 200, "no record of {id}: {answer:?}");
    let mut answer = answer.json();
    answer["records"][0].take()
}

/// Attempts of a record of which nothing was sent.
fn not_sent(record: &Value) -> u64 {
    let decisions = record["decisions"].as_array().unwrap();
    let failed = decisions.iter().filter(|decision| decision["event"] == "failed");
    failed.filter(|decision| decision["text"].as_str().is_some_and(|text| text.contains("nothing was sent"))).count()
        as u64
}

#[test]
fn every_attempt_is_in_the_log_in_the_metrics_and_at_the_instance_that_it_reached() {
    let _stage = alone();
    let mut fleet = Fleet::start();
    let before = fleet.node.metrics();
    let load = Load::start(fleet.node.web, &["--rate", "400/s", "--duration", "12s", "--post", "5%"]);
    pass(2.0);
    fleet.instances[1].kill();
    pass(3.0);
    fleet.instances[1].restart();
    pass(1.0);
    fleet.instances[2].hang();
    pass(3.0);
    fleet.instances[2].go_on();
    let report = load.end();
    let log = fleet.node.access_log("load-1-", report.requests());
    assert_eq!(log.len() as u64, report.requests(), "a request is in the log once");

    let logged: u64 = log.iter().map(|line| line["attempts"].as_u64().unwrap()).sum();
    let after = fleet.node.metrics();
    assert_eq!(logged as f64, attempts(&after) - attempts(&before), "attempts in the log and in the metrics");

    let mut reached: BTreeMap<String, u64> = BTreeMap::new();
    for ((id, _), times) in fleet.reached() {
        *reached.entry(id).or_default() += u64::from(times);
    }
    let books = compare(&fleet, &log, &reached);
    for (id, count) in &books.open {
        eprintln!("{id}: {count} attempt(s) open on an instance while it was killed or stopped");
    }
    let written = logged - books.not_sent;
    let lines: u64 = reached.values().sum();
    assert_eq!(written, lines + books.open.values().sum::<u64>(), "written requests and lines of the instances");
    // Besides refused connections, a kept connection may have been found closed before anything was written to it.
    let refused = not_written(&after) - not_written(&before);
    assert!(refused <= books.not_sent as f64, "{refused} refused, {} not sent", books.not_sent);
    assert!(log.iter().any(|line| line["attempts"].as_u64() > Some(1)), "nothing was tried again: no fault was felt");
}

/// Where the attempts of a request and the lines of the instances differ.
#[derive(Default)]
struct Books {
    /// Attempts of which nothing was sent.
    not_sent: u64,
    /// Requests with attempts that may have been written and left no line.
    open: BTreeMap<String, u64>,
}

fn compare(fleet: &Fleet, log: &[Value], reached: &BTreeMap<String, u64>) -> Books {
    let victims = [1, 2].map(|number: usize| fleet.instances[number].address.to_string());
    let mut books = Books::default();
    for line in log {
        let id = line["request_id"].as_str().unwrap();
        let (attempts, lines) = (line["attempts"].as_u64().unwrap(), reached.get(id).copied().unwrap_or(0));
        if attempts == lines {
            continue;
        }
        let record = recorded(fleet, id);
        let not_sent = not_sent(&record);
        assert!(lines + not_sent <= attempts, "{id}: {lines} lines and {not_sent} not sent: {record:#}");
        books.not_sent += not_sent;
        if lines + not_sent < attempts {
            let at_a_victim = victims.iter().any(|victim| record.to_string().contains(victim));
            assert!(at_a_victim, "{id}: an attempt at a well instance left no line: {record:#}");
            books.open.insert(id.to_owned(), attempts - lines - not_sent);
        }
    }
    books
}
