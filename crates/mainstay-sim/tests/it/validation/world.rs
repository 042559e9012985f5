//! Worlds in which a gateway decides as little as it can, so that what is left is the world.

use mainstay_sim::Outcome;
use mainstay_sim::report::{Report, Second};

/// What a scenario comes to on a configuration.
pub(super) fn play(config: &str, scenario: &str) -> Outcome {
    crate::play(config, scenario, 1)
}

/// A configuration for the service `shop` with every guard off, and `more` lines in its table.
pub(super) fn bare(more: &str) -> String {
    format!(
        r#"
        [[listener]]
        name = "web"
        address = "127.0.0.1:8080"
        [[route]]
        service = "shop"
        timeout = "1h"
        [service.shop]
        endpoints = ["198.18.0.1:80"]
        slow_start = "off"
        outlier = "off"
        breaker = "off"
        bulkhead = {{ concurrency = "unlimited", adaptive = "off", queue = "off" }}
        {more}
        "#
    )
}

/// The mean of a figure over some seconds.
pub(super) fn mean(seconds: &[Second], of: impl Fn(&Second) -> u64) -> f64 {
    seconds.iter().map(of).sum::<u64>() as f64 / seconds.len() as f64
}

/// After how many seconds from `heal` on nine in ten calls are good and stay so; `None` where they never do.
pub(super) fn recovery(report: &Report, heal: usize) -> Option<f64> {
    let is_good = |second: &Second| second.good * 10 >= second.requests * 9;
    let last_bad = report.timeline.iter().rposition(|second| !is_good(second));
    let after = last_bad.map_or(heal, |second| second + 1).max(heal);
    (after + 5 < report.timeline.len()).then_some((after - heal) as f64)
}
