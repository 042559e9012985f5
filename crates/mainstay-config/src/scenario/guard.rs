//! `[guard]`: when a drill begins, and when it is broken off.

use mainstay_core::{Duration, Ratio};

use super::model::Guard;
use crate::section::Section;
use crate::value::{Count, Positive};

/// What the calls of the steady state are held to without a line.
const AS_HELD: &str = "hold.good, or 99%";

pub(super) fn guard(s: &mut Section<'_>) -> Guard {
    let steady: Positive<Duration> = s.get("steady", "3s");
    let steady_good: Option<Ratio> = s.find("steady_good", AS_HELD);
    let steady_p99: Option<Positive<Duration>> = s.get("steady_p99", "off");
    let good: Option<Ratio> = s.get("good", "off");
    let p99: Option<Positive<Duration>> = s.get("p99", "off");
    let seconds: Count = s.get("seconds", "3");
    Guard {
        steady: steady.0,
        steady_good,
        steady_p99: steady_p99.map(|p99| p99.0),
        good,
        p99: p99.map(|p99| p99.0),
        seconds: seconds.0,
        max_victims: s.get("max_victims", "50%"),
    }
}
