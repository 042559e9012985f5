//! A server that slows down with what it has to do, and what a burst makes of it.
//!
//! M. Brooker: "What is backoff for?", 2022, and the simulation published with it. Work takes 1 s and 1 % more for each
//! other call that is there; a message is on its way for 0.1 s in the mean; a caller tries three times, 3 s each. At 40
//! calls a second it carries the load. From second 20 to 25 there are 80. Without a pause the retries keep it down; with
//! pauses of 20 s and 40 s, of which anything from nothing to all is taken, it recovers. Nothing helps against a load that
//! is too high for good: with 80 calls a second both end at none, since there is no balance at 100 attempts a second.
//!
//! Good calls a second from second 70 to 80 (after the ramp, from 190 to 200). 15 % and three calls are allowed. Theirs
//! still answers a third of the calls while it is down, ours none: the row asks for no more than that it stays down.
//!
//! The last of three attempts would have the rest of the call's time, if no other service stood behind the first: so one
//! does, which answers nothing.

use super::table::{Row, hold};
use super::world::{bare, mean, play};

fn good(backoff: &str, steps: &str, from: usize) -> f64 {
    let retry = format!("{{ attempts = 3, budget = \"off\", backoff = {backoff} }}");
    let shop = format!(
        "retry = {retry}\ntimeout = {{ attempt = \"3s\", connect = \"1h\" }}\nfallback = {{ service = \"nobody\" }}"
    );
    let nobody = r#"
        [service.nobody]
        endpoints = ["198.18.0.2:80"]
        outlier = "off"
        breaker = "off"
        retry = "off"
        bulkhead = { concurrency = "unlimited", adaptive = "off", queue = "off" }
    "#;
    let report = play(
        &(bare(&shop) + nobody),
        &format!(
            r#"
            name = "a collapse"
            duration = "{}s"
            [workload]
            service = "shop"
            steps = {steps}
            deadline = "10m"
            [[instance]]
            service = "shop"
            count = 1
            concurrency = "unlimited"
            service_time = "1s"
            slowdown = "1%"
            [[instance]]
            service = "nobody"
            count = 1
            [network]
            latency = {{ distribution = "exponential", mean = "100ms" }}
            [[fault]]
            at = "0s"
            for = "1h"
            kind = "errors"
            target = "nobody"
            "#,
            from + 10,
        ),
    )
    .report;
    mean(&report.timeline[from..from + 10], |second| second.good)
}

const NONE: &str = r#"{ kind = "fixed", base = "0s", jitter = "none" }"#;
const LONG: &str = r#"{ base = "20s", max = "80s", jitter = "full" }"#;
const BURST: &str = r#"[{ rate = "40/s" }, { at = "20s", rate = "80/s" }, { at = "25s", rate = "40/s" }]"#;
const RAMP: &str = r#"[{ rate = "40/s" }, { at = "20s", rate = "80/s", over = "20s" }]"#;

#[test]
fn a_pause_lets_a_server_recover_from_a_burst_and_not_from_a_load() {
    let rows = [
        Row::new("a burst, no pause").near(14.0, 13.0, good(NONE, BURST, 70)),
        Row::new("a burst, long pauses").near(0.15 * 40.0, 40.0, good(LONG, BURST, 70)),
        Row::new("a ramp, no pause").near(3.0, 0.0, good(NONE, RAMP, 190)),
        Row::new("a ramp, long pauses").near(3.0, 0.0, good(LONG, RAMP, 190)),
    ];
    hold("collapse", &rows);
}
