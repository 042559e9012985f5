//! The retry storm that outlives its cause.
//!
//! N. Bronson, A. Aghayev, A. Charapko, T. Zhu: "Metastable failures in distributed systems", HotOS 2021. A database
//! serves 300 queries a second, first come first served, with all the room in the world; an answer is on its way for
//! 0.1 s; whoever has none after 1 s asks once more; what nobody waits for any more is served all the same. From second 20
//! on the link is down for 10 s, and then delivers what was sent meanwhile. An instance that stands still for so long, and
//! then goes on with what has come, is the same to everybody.
//!
//! Where λ (1 + R) > 300 the queue never shrinks again once it is longer than a second: the system holds itself down. Below
//! that it takes about (λ (1 + R) D - 300 · 0.9) / (300 - λ (1 + R)) seconds. Goodput and attempts are means of the last
//! 20 s of 320; theirs are single runs, so 15 % of an attempt rate and of a recovery are allowed, 5 s at least, and 2 % of
//! the load of a goodput.
//!
//! The callers ask again by themselves, but where a budget pays: there the gateway does it for them. Where late work is
//! dropped, the whole way lies before the queue: a server that drops what is 1 s old, and whose answer is then under way,
//! answers nobody. The queue stays at that border for long, and luck decides when it leaves it: 30 s are allowed.

use super::table::{Row, hold};
use super::world::{bare, mean, play, recovery};

#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    rate: u32,
    /// How often a caller asks again by itself.
    again: u32,
    /// What pays for retries of the gateway, where it makes them.
    budget: Option<&'static str>,
    instance: &'static str,
    latency: &'static str,
    outage: &'static str,
    goodput: f64,
    attempts: f64,
    recovery: Option<f64>,
    /// How much a recovery may be off.
    allowed: f64,
}

const fn case(name: &'static str, rate: u32, goodput: f64, attempts: f64, recovery: Option<f64>) -> Case {
    let allowed = match recovery {
        Some(length) if length > 34.0 => length * 0.15,
        _ => 5.0,
    };
    let (again, budget, instance) = (1, None, "queue = \"unlimited\"");
    let (latency, outage) = ("50ms", "10s");
    Case { name, rate, again, budget, instance, latency, outage, goodput, attempts, recovery, allowed }
}

const CASES: [Case; 14] = [
    case("100/s, one retry", 100, 98.0, 98.0, Some(17.0)),
    case("140/s, one retry", 140, 140.0, 140.0, Some(120.0)),
    case("155/s, one retry", 155, 0.0, 306.0, None),
    case("200/s, one retry", 200, 0.0, 390.0, None),
    case("280/s, one retry", 280, 0.0, 560.0, None),
    Case { again: 0, ..case("280/s, no retry", 280, 280.0, 279.0, Some(120.0)) },
    Case {
        again: 0,
        budget: Some("share = \"0%\", per_second = 28, cap = 1"),
        ..case("280/s, a budget of 10 % of the requests", 280, 0.0, 307.0, None)
    },
    Case {
        again: 0,
        budget: Some("share = \"10%\", per_second = 0, cap = 1"),
        ..case("280/s, a budget of 10 % of the successes", 280, 280.0, 279.0, Some(120.0))
    },
    Case {
        instance: "queue = \"unlimited\"\ndrop_expired = true",
        latency: "1ms",
        allowed: 30.0,
        ..case("280/s, late work is dropped", 280, 280.0, 279.0, Some(87.0))
    },
    Case {
        instance: "queue = \"unlimited\"\ndiscipline = \"lifo\"",
        ..case("280/s, last come first served", 280, 280.0, 280.0, Some(0.0))
    },
    Case { instance: "queue = 150", ..case("280/s, room for 0.5 s", 280, 280.0, 279.0, Some(1.0)) },
    Case { instance: "queue = 300", ..case("280/s, room for 1 s", 280, 0.0, 560.0, None) },
    Case { outage: "500ms", ..case("280/s, down for 0.5 s", 280, 280.0, 279.0, Some(0.0)) },
    Case { outage: "1s", ..case("280/s, down for 1 s", 280, 0.0, 560.0, None) },
];

fn row(case: &Case) -> Row {
    let Case { rate, again, instance, latency, outage, .. } = case;
    let retry = case.budget.map_or("\"off\"".to_owned(), |budget| {
        let at_once = "kind = \"fixed\", base = \"0s\", jitter = \"none\"";
        format!("{{ attempts = 2, budget = {{ {budget} }}, backoff = {{ {at_once} }} }}")
    });
    // Who asks again by itself gives each try a second of the gateway's time.
    let (timeout, deadline) = match (again, case.budget) {
        (0, None) => ("1s", 1),
        (_, None) => ("1s", 1 + again),
        (_, Some(_)) => ("1h", 2),
    };
    let again = if *again > 0 { format!("retries = {again}") } else { String::new() };
    let config = bare(&format!("retry = {retry}\ntimeout = {{ attempt = \"1s\", connect = \"1h\" }}"));
    let report = play(
        &config.replace("timeout = \"1h\"", &format!("timeout = \"{timeout}\"")),
        &format!(
            r#"
            name = "a retry storm"
            duration = "320s"
            [workload]
            service = "shop"
            rate = "{rate}/s"
            deadline = "{deadline}s"
            {again}
            [instance]
            count = 1
            concurrency = 1
            service_time = "3333us"
            {instance}
            [network]
            latency = "{latency}"
            [[fault]]
            at = "20s"
            for = "{outage}"
            kind = "hang"
            target = "shop"
            "#
        ),
    )
    .report;
    let last = &report.timeline[300..320];
    let heal = if *outage == "10s" { 30 } else { 21 };
    Row::new(case.name)
        .near(f64::from(*rate) * 0.02 + 3.0, case.goodput, mean(last, |second| second.good))
        .near(case.attempts * 0.15, case.attempts, mean(last, |second| second.attempts))
        .near(case.allowed, case.recovery, recovery(&report, heal))
}

#[test]
fn a_storm_outlives_its_cause_where_it_is_said_to() {
    hold("storm", &CASES.iter().map(row).collect::<Vec<_>>());
}
