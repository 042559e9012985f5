//! Callers who wait for their answer before they call again: the repairman's problem.
//!
//! N clients think for Z in the mean and are served one at a time, S each, both exponential. The server is busy unless
//! all think: X = (1 - P₀) / S with 1 / P₀ = Σ N! / (N - k)! · (S / Z)ᵏ (L. Kleinrock: "Queueing Systems", volume 1, 1975,
//! section 3.8). It is never more than N / (Z + S) and 1 / S. A run of some ten thousand calls is good to 1 %.

use super::table::{Row, hold};
use super::world::{bare, play};

/// Calls a second that N clients bring about; lengths in milliseconds.
fn throughput(clients: u32, think: f64, work: f64) -> f64 {
    let (sum, _) = (0..=clients)
        .fold((0.0, 1.0), |(sum, term), served| (sum + term, term * f64::from(clients - served) * work / think));
    (1.0 - 1.0 / sum) / work * 1_000.0
}

#[test]
fn clients_that_wait_bring_as_much_as_they_are_served() {
    let row = |(clients, think): (u32, u32)| {
        let outcome = play(
            &bare("retry = \"off\""),
            &format!(
                r#"
                name = "clients that wait"
                duration = "620s"
                warmup = "20s"
                [workload]
                service = "shop"
                arrivals = "closed"
                clients = {clients}
                think = {{ distribution = "exponential", mean = "{think}ms" }}
                deadline = "1h"
                [instance]
                count = 1
                concurrency = 1
                service_time = {{ distribution = "exponential", mean = "10ms" }}
                queue = "unlimited"
                [network]
                latency = "0s"
                "#
            ),
        );
        let theirs = throughput(clients, f64::from(think), 10.0);
        Row::new(format!("{clients} clients, {think} ms")).within(0.01, theirs, outcome.report.requests as f64 / 600.0)
    };
    hold("closed", &[(2, 50), (5, 50), (10, 100), (20, 100)].map(row));
}

#[test]
fn the_formula_keeps_to_the_bounds() {
    for (clients, think) in [(1, 50.0), (5, 50.0), (100, 10.0)] {
        let bound = (f64::from(clients) / (think + 10.0) * 1_000.0).min(100.0);
        let found = throughput(clients, think, 10.0);
        assert!(found <= bound * (1.0 + 1e-9) && found > bound * 0.75, "{clients}: {found} of {bound}");
    }
}
