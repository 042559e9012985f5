//! Queues that have a closed form: Erlang's two, and that of Pollaczek and Khinchine.
//!
//! A. K. Erlang: "Solution of some problems in the theory of probabilities of significance in automatic telephone
//! exchanges", 1917; F. Pollaczek, 1930, and A. Khinchine, 1932, as in L. Kleinrock: "Queueing Systems", volume 1, 1975.
//!
//! One instance with so many slots, nothing on the way, a caller who waits for ever. Waits in a queue hang together, so
//! their mean settles slowly: at load 0.5 a run of 300,000 calls has a standard error of 1 %, at 0.9 one of 4.4 million.
//! The short rows keep to 2 % of a wait and 1 % of a share; where waits are rare, five in ten thousand are allowed.

use mainstay_sim::{Node, Outcome};

use super::table::{Row, hold};
use super::world::{bare, play};

const EXPONENTIAL: &str = r#"{ distribution = "exponential", mean = "1ms" }"#;

/// `calls` calls at an instance with so many slots whose work takes a millisecond in the mean.
fn queue(servers: u32, load: f64, time: &str, room: &str, calls: f64) -> Outcome {
    let rate = (load * f64::from(servers) * 1_000.0).round();
    let seconds = (calls / rate).ceil();
    play(
        &bare("retry = \"off\""),
        &format!(
            r#"
            name = "a queue"
            duration = "{seconds}s"
            [workload]
            service = "shop"
            rate = "{rate}/s"
            deadline = "1h"
            [instance]
            count = 1
            concurrency = {servers}
            service_time = {time}
            queue = {room}
            [network]
            latency = "0s"
            "#
        ),
    )
}

/// How long work waited in the mean, in its own mean length.
fn wait(node: &Node) -> f64 {
    node.mean_wait * 1_000.0
}

/// The share of calls that find no free server where none waits (Erlang B).
fn erlang_b(servers: u32, offered: f64) -> f64 {
    (1..=servers).fold(1.0, |blocked, server| offered * blocked / (f64::from(server) + offered * blocked))
}

/// The share of calls that wait (Erlang C).
fn erlang_c(servers: u32, load: f64) -> f64 {
    let blocked = erlang_b(servers, load * f64::from(servers));
    blocked / (1.0 - load * (1.0 - blocked))
}

fn erlang(cases: &[(u32, f64, f64)]) {
    let row = |&(servers, load, calls): &(u32, f64, f64)| {
        let node = queue(servers, load, EXPONENTIAL, "\"unlimited\"", calls).nodes[0];
        let waits = erlang_c(servers, load);
        let length = waits / (f64::from(servers) * (1.0 - load));
        Row::new(format!("{servers} × {load}")).near(0.01 * waits + 0.0005, waits, node.waited).near(
            0.02 * length + 0.0005,
            length,
            wait(&node),
        )
    };
    hold("erlang-c", &cases.iter().map(row).collect::<Vec<_>>());
}

#[test]
fn calls_wait_as_erlang_says() {
    erlang(&[(1, 0.5, 6e5), (2, 0.5, 6e5), (4, 0.7, 6e5), (8, 0.7, 6e5), (16, 0.7, 6e5), (64, 0.7, 6e5)]);
}

#[test]
#[ignore = "long: cargo xtask validate"]
fn calls_wait_as_erlang_says_at_every_load() {
    for servers in [1, 2, 4, 8, 16, 64] {
        erlang(&[(servers, 0.5, 1e6), (servers, 0.7, 2e6), (servers, 0.8, 4e6), (servers, 0.9, 1.6e7)]);
    }
}

/// The coefficient of variation of each kind of work, squared.
const KINDS: [(&str, &str, f64); 4] = [
    ("fixed", r#""1ms""#, 0.0),
    ("exponential", EXPONENTIAL, 1.0),
    // e^0.64 - 1
    ("lognormal, σ 0.8", r#"{ distribution = "lognormal", mean = "1ms", sigma = 0.8 }"#, 0.896_480_879_3),
    // (0.9 · 0.5² + 0.1 · 5.5²) - 1
    (
        "bimodal, 0.5 and 5.5 ms",
        r#"{ distribution = "bimodal", fast = "500us", slow = "5500us", share = "10%" }"#,
        2.25,
    ),
];

fn general(load: f64, calls: f64) {
    let row = |(name, time, variation): &(&str, &str, f64)| {
        let node = queue(1, load, time, "\"unlimited\"", calls).nodes[0];
        let length = load / (1.0 - load) * (1.0 + variation) / 2.0;
        Row::new(format!("{name}, load {load}")).within(0.02, length, wait(&node))
    };
    hold("m-g-1", &KINDS.iter().map(row).collect::<Vec<_>>());
}

#[test]
fn work_that_varies_waits_as_pollaczek_and_khinchine_say() {
    general(0.5, 6e5);
}

#[test]
#[ignore = "long: cargo xtask validate"]
fn work_that_varies_waits_as_pollaczek_and_khinchine_say_at_every_load() {
    [(0.5, 1e6), (0.7, 4e6), (0.8, 8e6)].into_iter().for_each(|(load, calls)| general(load, calls));
}

#[test]
fn without_room_to_wait_so_many_are_lost_as_erlang_says() {
    let row = |(servers, load): (u32, f64)| {
        let report = queue(servers, load, EXPONENTIAL, "\"off\"", 2e5).report;
        let lost = erlang_b(servers, load * f64::from(servers));
        Row::new(format!("{servers} × {load}")).near(0.02 * lost, lost, 1.0 - report.good_ratio)
    };
    hold("erlang-b", &[(2, 0.5), (4, 0.8), (8, 0.9)].map(row));
}

/// J. D. C. Little: "A proof for the queuing formula L = λW", Operations Research 9(3), 1961.
#[test]
fn as_many_are_there_as_come_while_one_is_there() {
    let row = |(servers, load): (u32, f64)| {
        let node = queue(servers, load, EXPONENTIAL, "\"unlimited\"", 2e5).nodes[0];
        let coming = node.done as f64 / node.time;
        Row::new(format!("{servers} × {load}")).within(0.001, coming * node.mean_stay, node.mean_there)
    };
    hold("little", &[(4, 0.7), (16, 0.8)].map(row));
}

#[test]
fn the_formulas_are_those_of_the_literature() {
    for (servers, load, waits) in [(2, 0.5, 0.333_33), (4, 0.7, 0.428_65), (16, 0.8, 0.304_88), (64, 0.95, 0.588_01)] {
        assert!((erlang_c(servers, load) - waits).abs() < 1e-5, "{servers}, {load}");
    }
    assert!((erlang_b(4, 3.2) - 0.228_14).abs() < 1e-5);
}
