//! How long active checks take to find an instance that is gone, and what that costs.
//!
//! A fault falls anywhere between two checks. The first of them that fails comes half an interval later in the mean; then
//! as many as are asked for have to fail in a row, each an interval after the end of the one before, and each takes as long
//! as it takes to fail: nothing where the connection is refused, the timeout where nobody answers. So it is found after
//! interval · (fall - ½) + timeout · fall seconds in the mean, and meanwhile the instance's share of the calls fails. Twenty
//! faults lie evenly over an interval; 1 % is allowed, for what lies between two calls.

use super::table::{Row, hold};
use super::world::{bare, play};

const FAULTS: u32 = 20;

/// Seconds of its share of the calls that an instance of four costs, in the mean.
fn found_after(kind: &str) -> f64 {
    let health = "health = { http = \"/health\", interval = \"1s\", timeout = \"500ms\", jitter = \"0%\" }";
    let config = bare(&format!("retry = \"off\"\nbalance = \"round_robin\"\n{health}"));
    let failed = |number: u32| {
        let at = 10_000 + number * 1_000 / FAULTS;
        let scenario = format!(
            r#"
            name = "one is gone"
            duration = "30s"
            [workload]
            service = "shop"
            rate = "400/s"
            arrivals = "uniform"
            [instance]
            count = 4
            [[fault]]
            at = "{at}ms"
            for = "1h"
            kind = "{kind}"
            target = "shop/0"
            "#
        );
        let report = play(&config, &scenario).report;
        report.requests - report.good
    };
    (0..FAULTS).map(failed).sum::<u64>() as f64 / f64::from(FAULTS) / 100.0
}

#[test]
fn checks_find_a_fault_after_as_long_as_their_schedule_says() {
    let rows = [("refused", "crash", 2.5), ("answered with an error", "errors", 2.5), ("silent", "hang", 4.0)];
    let row = |(name, kind, theirs): (&str, &str, f64)| Row::new(name).within(0.01, theirs, found_after(kind));
    hold("checks", &rows.map(row));
}
