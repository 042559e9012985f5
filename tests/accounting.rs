//! The books balance: what the log, the metrics and the instances say about attempts is the same, one by one.

use crate::faults::Fleet;
use crate::support::{Load, alone, pass};

#[test]
fn every_attempt_is_in_the_log_in_the_metrics_and_at_the_instance_that_it_reached() {
    let _stage = alone();
    let mut fleet = Fleet::start();
    let load = Load::start(fleet.node.web, &["--rate", "600/s", "--duration", "12s", "--post", "20%"]);
    pass(2.0);
    fleet.kill(1);
    pass(3.0);
    fleet.restart(1);
    pass(1.0);
    fleet.hang(2);
    pass(3.0);
    fleet.go_on(2);
    let report = load.end();
    let books = fleet.every_attempt_is_accounted_for(&report);
    assert_eq!(books.logged, books.counted);
    assert!(books.logged > report.requests(), "nothing was tried again: no fault was felt");
    assert!(!books.open.is_empty(), "nothing was under way when an instance stood still");
    for open in &books.open {
        let line = if open.arrived { "read" } else { "not read" };
        eprintln!("open while its instance was down: {} ({line})", open.attempt);
    }
}

/// Callers that have no patience leave at any moment: before an answer, between two attempts, in the middle of one.
#[test]
fn attempts_that_nobody_waits_for_are_accounted_for_as_well() {
    let _stage = alone();
    let mut fleet = Fleet::start();
    fleet.instances[0].fault(r#"{"kind":"reset","share":"40%"}"#);
    fleet.instances[1].fault(r#"{"kind":"errors","status":503,"share":"60%"}"#);
    fleet.instances[2].fault(r#"{"kind":"garbage","share":"30%"}"#);
    fleet.hang(3);
    let arguments = ["--rate", "500/s", "--duration", "4s", "--post", "30%", "--deadline", "13ms"];
    let report = Load::start(fleet.node.web, &arguments).end();
    fleet.go_on(3);
    let books = fleet.every_attempt_that_began_is_accounted_for(&report);
    let cancelled = books.open.iter().filter(|open| open.attempt.result == "cancelled").count();
    assert!(cancelled > 0, "no caller left while an attempt was under way");
    assert_eq!(books.without_line(), 0, "the instance reads what was sent to it when it runs again");
}
