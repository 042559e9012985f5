//! One of two that are drawn, the one with less to do.
//!
//! M. Mitzenmacher: "The power of two choices in randomized load balancing", IEEE TPDS 12(10), 2001, and N. Vvedenskaya,
//! R. Dobrushin, F. Karpelevich, 1996: with very many servers and load ρ a call stays Σ ρ^(2ⁱ - 2) times its service time,
//! i from 1, and 1 / (1 - ρ) times where it goes anywhere. Ours are 200 servers: what is left of the limit then is about
//! 1 / 200 of the figure, and the run's own noise; 3 % are allowed, and 5 % at a load of 0.95.

use super::table::{Row, hold};
use super::world::{bare, play};

const SERVERS: f64 = 200.0;

/// How long a call stays, in service times.
fn stay(balance: &str, load: f64, calls: f64) -> f64 {
    let rate = (load * SERVERS * 100.0).round();
    let seconds = (calls / rate).ceil().max(10.0);
    let nodes = play(
        &bare(&format!("retry = \"off\"\nbalance = \"{balance}\"")),
        &format!(
            r#"
            name = "many servers"
            duration = "{}s"
            warmup = "{}s"
            [workload]
            service = "shop"
            rate = "{rate}/s"
            deadline = "1h"
            [instance]
            count = {SERVERS}
            concurrency = 1
            service_time = {{ distribution = "exponential", mean = "10ms" }}
            queue = "unlimited"
            [network]
            latency = "0s"
            "#,
            seconds + 5.0,
            5,
        ),
    )
    .nodes;
    let done: u64 = nodes.iter().map(|node| node.done).sum();
    let waited: f64 = nodes.iter().map(|node| node.mean_wait * node.done as f64).sum();
    1.0 + waited / done as f64 * 100.0
}

fn limit(load: f64) -> f64 {
    let (mut sum, mut power) = (0.0, 1.0);
    // ρ^(2ⁱ - 2): the exponents are 0, 2, 6, 14, …, each twice the one before and 2 more.
    while power > 1e-12 {
        sum += power;
        power = power * power * load * load;
    }
    sum
}

fn rows(cases: &[(f64, f64, f64)]) {
    let row = |&(load, calls, within): &(f64, f64, f64)| {
        Row::new(format!("{load}")).within(within, 1.0 / (1.0 - load), stay("random", load, calls)).within(
            within,
            limit(load),
            stay("least_request", load, calls),
        )
    };
    hold("two-choices", &cases.iter().map(row).collect::<Vec<_>>());
}

#[test]
fn the_less_busy_of_two_is_enough() {
    rows(&[(0.5, 3e5, 0.03), (0.7, 3e5, 0.03)]);
}

#[test]
#[ignore = "long: cargo xtask validate"]
fn the_less_busy_of_two_is_enough_at_every_load() {
    rows(&[(0.5, 1e6, 0.03), (0.7, 2e6, 0.03), (0.8, 4e6, 0.03), (0.9, 8e6, 0.03), (0.95, 2e7, 0.05)]);
}

#[test]
fn the_limit_is_that_of_the_literature() {
    for (load, stays) in [(0.5, 1.2657), (0.7, 1.6145), (0.9, 2.6141), (0.95, 3.3830), (0.99, 5.4320)] {
        assert!((limit(load) - stays).abs() < 1e-4, "{load}: {}", limit(load));
    }
}
