//! `mainstay drill --compare`: prediction and fact, side by side.

use std::fmt;

use mainstay_drill::compare::{Comparison, POINTS, SHARE};
use mainstay_sim::report::{Report, Second};

use crate::print::Table;

/// A comparison for people.
pub(super) struct Told<'a>(pub(super) &'a Comparison);

/// A figure of a report, in words.
type Figure = fn(&Report) -> String;

fn ms(millis: Option<f64>) -> String {
    millis.map_or_else(|| "-".to_owned(), |millis| format!("{millis:.1}"))
}

fn percent(share: f64) -> String {
    format!("{:.3}", share * 100.0)
}

fn seconds(recovery: Option<f64>) -> String {
    recovery.map_or_else(|| "never".to_owned(), |seconds| format!("{seconds:.1}"))
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(comparison) = self;
        let Comparison { simulated, real, latency } = comparison;
        writeln!(f, "\nprediction and fact; a way takes {} here\n", latency)?;
        let mut table = Table::new(&["", "SIMULATED", "REAL"]);
        let rows: [(&str, Figure); 9] = [
            ("calls", |report| report.requests.to_string()),
            ("good %", |report| percent(report.good_ratio)),
            ("p50 ms", |report| ms(report.p50_ms)),
            ("p99 ms", |report| ms(report.p99_ms)),
            ("p99.9 ms", |report| ms(report.p999_ms)),
            ("attempts per call", |report| format!("{:.3}", report.attempts_per_request)),
            ("recovery s", |report| seconds(report.recovery_seconds)),
            ("wasted %", |report| percent(report.wasted_ratio)),
            ("POSTs twice", |report| report.duplicated_posts.to_string()),
        ];
        for (name, of) in rows {
            table.row([name.to_owned(), of(simulated), of(real)]);
        }
        writeln!(f, "{table}\n")?;
        timeline(f, simulated, real)?;
        let share = comparison.p99_share().map_or_else(|| "-".to_owned(), |share| format!("{:+.0} %", share * 100.0));
        let near = if comparison.is_near() { "as near as it is to be" } else { "FURTHER OFF than it is to be" };
        let (points, most) = (comparison.points(), SHARE * 100.0);
        writeln!(f, "\ngood differs by {points:+.2} points and p99 by {share}: {near} ({POINTS} points, {most:.0} %)")
    }
}

fn timeline(f: &mut fmt::Formatter<'_>, simulated: &Report, real: &Report) -> fmt::Result {
    let mut table = Table::new(&[
        "SECOND",
        "GOOD % SIM",
        "REAL",
        "P99 MS SIM",
        "REAL",
        "RETRIES SIM",
        "REAL",
        "USABLE SIM",
        "REAL",
    ]);
    let good = |second: &Second| {
        if second.requests == 0 {
            "-".to_owned()
        } else {
            format!("{:.1}", second.good as f64 / second.requests as f64 * 100.0)
        }
    };
    for (one, other) in simulated.timeline.iter().zip(&real.timeline) {
        table.row([
            one.second.to_string(),
            good(one),
            good(other),
            ms(one.p99_ms),
            ms(other.p99_ms),
            one.retries.to_string(),
            other.retries.to_string(),
            one.usable.to_string(),
            other.usable.to_string(),
        ]);
    }
    writeln!(f, "{table}")
}
