//! What retries cost where each attempt fails with the same probability, whatever the load, and what a budget makes of it.
//!
//! M. Brooker: "Fixing retries with token buckets and circuit breakers", 2022. With n retries and no budget, a call makes
//! Σ pᵏ attempts (k from 0 to n) and ends well with 1 - pⁿ⁺¹. A budget that gains r with each success allows r retries for
//! each call that went well: with as many tries as there are tokens for, s = (1 - p) / (1 - r (1 - p)) of the calls go well
//! and 1 + r s attempts are made, until p falls to r / (1 + r) and the budget no longer binds. One that gains r with each
//! request allows 1 + r attempts whatever happens: it is not in the product, and is played here by a gain each second that
//! is r times the load, which is even. At the knee a bucket of finite size loses a little; 2 % are allowed.

use super::table::{Row, hold};
use super::world::{bare, play};

/// Attempts for each call, and the share of calls that went well.
fn fails(share: f64, retry: &str) -> (f64, f64) {
    let report = play(
        &bare(&format!("balance = \"random\"\nretry = {retry}")),
        &format!(
            r#"
            name = "some fail"
            duration = "60s"
            [workload]
            service = "shop"
            rate = "1000/s"
            arrivals = "uniform"
            [instance]
            count = 10
            concurrency = "unlimited"
            service_time = "1ms"
            [[fault]]
            at = "0s"
            for = "60s"
            kind = "errors"
            target = "shop"
            calls = {share}
            "#
        ),
    )
    .report;
    (report.attempts_per_request, report.good_ratio)
}

const AT_ONCE: &str = r#"backoff = { kind = "fixed", base = "0s", jitter = "none" }"#;
const SHARES: [f64; 8] = [0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0];

#[test]
fn retries_without_a_budget_multiply() {
    let row = |share: f64| {
        let (attempts, good) = fails(share, &format!("{{ attempts = 4, budget = \"off\", {AT_ONCE} }}"));
        let theirs = 1.0 + share + share * share + share * share * share;
        let well = 1.0 - share * share * share * share;
        Row::new(format!("{share}")).within(0.02, theirs, attempts).near(0.01, well, good)
    };
    hold("retries", &SHARES.map(row));
}

#[test]
fn a_budget_that_successes_feed_ebbs_with_them() {
    let row = |share: f64| {
        let retry = "{ attempts = 16, budget = { share = \"10%\", per_second = 0, cap = 5 }, ";
        let (attempts, good) = fails(share, &format!("{retry}{AT_ONCE} }}"));
        let binds = share > 0.1 / 1.1;
        let well = if binds { (1.0 - share) / (1.0 - 0.1 * (1.0 - share)) } else { 1.0 };
        let theirs = if binds { 1.0 + 0.1 * well } else { 1.0 / (1.0 - share) };
        Row::new(format!("{share}")).within(0.02, theirs, attempts).near(0.01, well, good)
    };
    hold("retries-per-success", &SHARES.map(row));
}

#[test]
fn a_budget_that_requests_feed_does_not() {
    let row = |share: f64| {
        let retry = "{ attempts = 16, budget = { share = \"0%\", per_second = 100, cap = 5 }, ";
        let (attempts, good) = fails(share, &format!("{retry}{AT_ONCE} }}"));
        let binds = share > 0.1 / 1.1;
        let well = if binds { 1.1 * (1.0 - share) } else { 1.0 };
        let theirs = if binds { 1.1 } else { 1.0 / (1.0 - share) };
        Row::new(format!("{share}")).within(0.02, theirs, attempts).near(0.01, well, good)
    };
    hold("retries-per-request", &SHARES.map(row));
}
