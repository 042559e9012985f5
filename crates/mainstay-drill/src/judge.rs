//! Whether what a scenario asks for held.

use mainstay_config::scenario::{HoldSpec, HoldWhat};
use mainstay_core::Ratio;
use mainstay_sim::report::{Hold, Report, Second};

/// Calls are as good as before when the share of good ones is no more than this below what it was.
const AS_GOOD: f64 = 0.005;
/// Seconds that must be bad at the end before a system is said to hold itself down.
const DOWN: u64 = 5;

/// Seconds from the end of the last fault until calls are as good again as before the first, and whether they stay bad
/// though the cause is gone.
pub(crate) fn recovery(timeline: &[Second], first: f64, last: f64) -> (Option<f64>, bool) {
    let ratio = |second: &Second| second.good as f64 / second.requests as f64;
    let before = timeline.iter().filter(|second| second.requests > 0 && ((second.second + 1) as f64) <= first);
    let (good, requests) =
        before.fold((0, 0), |(good, requests), second| (good + second.good, requests + second.requests));
    let was = if requests == 0 { 1.0 } else { good as f64 / requests as f64 };
    let after = timeline.iter().filter(|second| second.requests > 0 && (second.second + 1) as f64 > last);
    let bad = after.clone().filter(|second| ratio(second) < was - AS_GOOD);
    let (end, worst) = (after.map(|second| second.second).max(), bad.map(|second| second.second).max());
    match (end, worst) {
        (Some(end), Some(worst)) if worst >= end => (None, (end + 1) as f64 - last >= DOWN as f64),
        (_, Some(worst)) => (Some(((worst + 1) as f64 - last).max(0.0)), false),
        _ => (Some(0.0), false),
    }
}

/// Holds what was asked against what came.
pub(crate) fn judge(asked: &[HoldSpec], report: &Report, warmup: f64) -> Vec<Hold> {
    asked.iter().map(|spec| hold(spec, report, warmup)).collect()
}

fn hold(spec: &HoldSpec, report: &Report, warmup: f64) -> Hold {
    let least = |wanted: Ratio, came: f64| (percent(came), came >= wanted.get());
    let most = |wanted: f64, came: f64, told: String| (told, came <= wanted);
    let within = |wanted: mainstay_core::Duration, came: Option<f64>| match came {
        Some(millis) => most(wanted.as_secs_f64() * 1e3, millis, format!("{millis:.1}ms")),
        None => ("no good answer".to_owned(), false),
    };
    let (measured, held) = match spec.what {
        HoldWhat::Good(wanted) => least(wanted, report.good_ratio),
        HoldWhat::GoodEverySecond(wanted) => {
            let counted = report.timeline.iter().filter(|s| s.requests > 0 && s.second as f64 >= warmup);
            least(wanted, counted.map(|s| s.good as f64 / s.requests as f64).fold(1.0, f64::min))
        }
        HoldWhat::P50(wanted) => within(wanted, report.p50_ms),
        HoldWhat::P99(wanted) => within(wanted, report.p99_ms),
        HoldWhat::P999(wanted) => within(wanted, report.p999_ms),
        HoldWhat::Recovery(wanted) => match report.recovery_seconds {
            Some(seconds) => most(wanted.as_secs_f64(), seconds, format!("{seconds:.1}s")),
            None => ("never".to_owned(), false),
        },
        HoldWhat::Amplification(wanted) => {
            most(wanted, report.attempts_per_request, format!("{:.3}", report.attempts_per_request))
        }
        HoldWhat::DuplicatedPosts(wanted) => (report.duplicated_posts.to_string(), report.duplicated_posts <= wanted),
        HoldWhat::Wasted(wanted) => most(wanted.get(), report.wasted_ratio, percent(report.wasted_ratio)),
        HoldWhat::Fairness(wanted) => least(wanted, report.fairness),
        HoldWhat::Metastable(may) => (report.metastable.to_string(), may || !report.metastable),
    };
    Hold { what: spec.key.to_owned(), wanted: spec.written.clone(), measured, held }
}

fn percent(share: f64) -> String {
    format!("{}%", (share * 1e5).floor() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(good: &[u64]) -> Vec<Second> {
        let second = |(second, good): (usize, &u64)| Second {
            second: second as u64,
            requests: 100,
            good: *good,
            ..Second::default()
        };
        good.iter().enumerate().map(second).collect()
    }

    #[test]
    fn recovery_is_counted_from_the_end_of_the_last_fault_to_the_last_second_that_was_worse() {
        assert_eq!(recovery(&timeline(&[100, 100, 50, 50, 80, 100, 100]), 2.0, 4.0), (Some(1.0), false));
        assert_eq!(recovery(&timeline(&[100, 100, 50, 50, 100, 90, 100]), 2.0, 4.0), (Some(2.0), false));
        assert_eq!(recovery(&timeline(&[100, 100, 100]), 1.0, 2.0), (Some(0.0), false));
    }

    #[test]
    fn what_stays_down_when_the_cause_is_gone_holds_itself_down() {
        assert_eq!(recovery(&timeline(&[100, 50, 50, 50, 50, 50, 50]), 1.0, 2.0), (None, true));
        assert_eq!(recovery(&timeline(&[100, 50, 50]), 1.0, 2.0), (None, false), "it had no time to come back");
    }
}
