//! The verdict on a play, simulated or real: whether it recovered and when, and whether that is what was asked for.
//!
//! **Recovery.** Before the cause a certain share of the calls is good; after it, the calls are as good again when from
//! some moment on that share is reached in every second of half a minute. A second's share is an estimate, so it may lie
//! under the share of before by three of its standard deviations, and by one call in a hundred. The last call that was not
//! good in a second that is worse marks the moment.
//!
//! **Metastable** is what has not recovered although its cause is gone and there was time enough: at least five seconds,
//! and all of them up to the end are worse (N. Bronson et al.: "Metastable Failures in Distributed Systems", HotOS 2021).
//! A cause is a fault, or a step of the load that comes back to where it began.

use mainstay_config::scenario::{self, HoldSpec, HoldWhat, Load, Scenario};
use mainstay_core::{Duration, Instant};

use crate::report::{Hold, Report};

/// Calls are good or not in steps of this length; recovery is measured in them.
pub const STEP: Duration = Duration::from_millis(100);
/// Steps of a second.
const WINDOW: usize = 10;
/// A second may be worse by this much and count as well.
const TOLERANCE: f64 = 0.01;
/// Standard deviations of a second's share.
const DEVIATIONS: f64 = 3.0;
/// Steps for which calls must stay good: what comes later has another cause, be it a bad hour of the world's luck.
const STAYS: usize = 300;
/// Less time after the cause says nothing.
const AFTER: Duration = Duration::from_secs(5);

/// Calls due within [`STEP`], and the good ones among them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Step {
    /// How many were due.
    pub due: u32,
    /// How many of them were good.
    pub good: u32,
}

/// When something was wrong with the world: from the beginning of the first cause to the end of the last.
#[derive(Debug, Clone, Copy)]
pub struct Cause {
    /// When the first began.
    pub begins: Instant,
    /// When the last ended.
    pub ends: Instant,
}

/// What is known of recovery.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recovery {
    /// From the end of the cause; none where it has not come.
    pub seconds: Option<f64>,
    /// It has not come although its cause is gone and there was time enough.
    pub metastable: bool,
}

impl Cause {
    /// Of a scenario whose faults lasted from and to these times.
    pub fn of(scenario: &Scenario, faults: impl Iterator<Item = (Instant, Instant)>) -> Option<Self> {
        let spikes = scenario.workloads.iter().filter_map(|workload| match &workload.load {
            Load::Open { steps, .. } => {
                let (first, last) = (steps.first()?, steps.last()?);
                let per_second = |step: &scenario::Step| {
                    step.rate.map_or(0.0, |rate| rate.count() as f64 / rate.per().as_secs_f64())
                };
                let comes_back = steps.len() > 2 && per_second(last) <= per_second(first);
                comes_back.then(|| (Instant::ORIGIN + steps[1].at, Instant::ORIGIN + last.at))
            }
            Load::Closed { .. } => None,
        });
        let all = faults.chain(spikes);
        all.map(|(begins, ends)| Self { begins, ends })
            .reduce(|a, b| Self { begins: a.begins.min(b.begins), ends: a.ends.max(b.ends) })
    }
}

/// When the calls of a play that is counted from `begins` to `ends` were as good again as before `cause`. `steps` begin at
/// the play's beginning.
#[must_use]
pub fn recovery(steps: &[Step], cause: Option<Cause>, begins: Instant, ends: Instant) -> Recovery {
    let Some(cause) = cause.filter(|cause| cause.ends < ends) else {
        return Recovery { seconds: if cause.is_none() { Some(0.0) } else { None }, metastable: false };
    };
    let place = |at: Instant| (at.as_nanos() / STEP.as_nanos()) as usize;
    let sum = |part: &[Step]| {
        part.iter().fold((0_u64, 0_u64), |(due, good), step| (due + u64::from(step.due), good + u64::from(step.good)))
    };
    let before = sum(&steps[place(begins).min(steps.len())..place(cause.begins).min(steps.len())]);
    let usual = if before.0 == 0 { 1.0 } else { before.1 as f64 / before.0 as f64 };
    let over = place(cause.ends).min(steps.len());
    // The last second of a play is not whole.
    let last = place(ends).min(steps.len());
    let is_worse = |from: usize| {
        let (due, good) = sum(&steps[from..(from + WINDOW).min(last)]);
        let deviation = (usual * (1.0 - usual) / due.max(1) as f64).sqrt();
        due > 0 && (good as f64) < due as f64 * (usual - TOLERANCE - DEVIATIONS * deviation)
    };
    let Some(window) = last_worse(over..last.saturating_sub(WINDOW - 1), is_worse) else {
        return Recovery { seconds: Some(0.0), metastable: false };
    };
    let bad = (window..(window + WINDOW).min(last)).rev().find(|place| steps[*place].good < steps[*place].due);
    let until = bad.unwrap_or(window) + 1;
    let recovered = until + WINDOW <= last;
    let took = ((until as u64 * STEP.as_nanos()).saturating_sub(cause.ends.as_nanos())) as f64 / 1e9;
    let long_enough = ends.since(cause.ends) >= AFTER;
    let tail = last.saturating_sub(AFTER.as_nanos() as usize / STEP.as_nanos() as usize).max(over);
    let stays = (tail..last.saturating_sub(WINDOW - 1)).all(is_worse);
    Recovery {
        seconds: recovered.then_some((took * 10.0).round() / 10.0),
        metastable: !recovered && long_enough && stays,
    }
}

/// The last second that is worse before all of them have been well for [`STAYS`], or are up to the end.
fn last_worse(windows: std::ops::Range<usize>, is_worse: impl Fn(usize) -> bool) -> Option<usize> {
    let mut last = None;
    for from in windows.clone() {
        if is_worse(from) {
            last = Some(from);
        } else if from - last.unwrap_or(windows.start) >= STAYS {
            return last;
        }
    }
    last
}

/// What a scenario asks for, and what came; the seconds before `warmup` are not counted.
#[must_use]
pub fn hold(spec: &HoldSpec, report: &Report, warmup: Duration) -> Hold {
    let percent = |ratio: f64| format!("{}%", (ratio * 1e5).round() / 1e3);
    let length = |millis: f64| format!("{millis}ms");
    let within = |most: Duration, found: Option<f64>| match found {
        Some(found) => (length(found), found <= most.as_nanos() as f64 / 1e6),
        None => ("no good answer".to_owned(), false),
    };
    let (measured, holds) = match spec.what {
        HoldWhat::Good(least) => (percent(report.good_ratio), report.good_ratio >= least.get()),
        HoldWhat::GoodEverySecond(least) => {
            let shares = report
                .timeline
                .iter()
                .filter(|second| second.requests > 0 && second.second as f64 >= warmup.as_secs_f64());
            let worst = shares.map(|second| second.good as f64 / second.requests as f64).fold(1.0, f64::min);
            (percent(worst), worst >= least.get())
        }
        HoldWhat::P50(most) => within(most, report.p50_ms),
        HoldWhat::P99(most) => within(most, report.p99_ms),
        HoldWhat::P999(most) => within(most, report.p999_ms),
        HoldWhat::Recovery(most) => match report.recovery_seconds {
            Some(took) => (format!("{took}s"), took <= most.as_secs_f64()),
            None => ("it does not recover".to_owned(), false),
        },
        HoldWhat::Amplification(most) => {
            let found = (report.attempts_per_request * 1e3).round() / 1e3;
            (found.to_string(), report.attempts_per_request <= most)
        }
        HoldWhat::DuplicatedPosts(most) => (report.duplicated_posts.to_string(), report.duplicated_posts <= most),
        HoldWhat::Wasted(most) => (percent(report.wasted_ratio), report.wasted_ratio <= most.get()),
        HoldWhat::Fairness(least) => (percent(report.fairness), report.fairness >= least.get()),
        HoldWhat::WorkloadFairness(least) => {
            // One workload fares as it does itself.
            let found = report.workload_fairness.unwrap_or(1.0);
            (percent(found), found >= least.get())
        }
        HoldWhat::Metastable(may) => (report.metastable.to_string(), may || !report.metastable),
    };
    Hold { what: spec.key.to_owned(), wanted: spec.written.clone(), measured, held: holds }
}

#[cfg(test)]
mod tests {
    use mainstay_core::Ratio;

    use super::*;
    use crate::report::Second;

    /// A hundred calls in each step; so many of them good, from step to step.
    fn steps(parts: &[(usize, u32)]) -> Vec<Step> {
        parts.iter().flat_map(|(count, good)| std::iter::repeat_n(Step { due: 100, good: *good }, *count)).collect()
    }

    fn at(second: u64) -> Instant {
        Instant::ORIGIN + Duration::from_secs(second)
    }

    fn judged(parts: &[(usize, u32)]) -> Recovery {
        let cause = Some(Cause { begins: at(10), ends: at(20) });
        recovery(&steps(parts), cause, at(0), at(40))
    }

    #[test]
    fn recovery_counts_from_the_end_of_the_cause() {
        for (parts, seconds, metastable) in [
            (&[(400, 100)][..], Some(0.0), false),
            (&[(100, 100), (100, 50), (200, 100)], Some(0.0), false),
            (&[(100, 100), (130, 50), (170, 100)], Some(3.0), false),
            // A blip on the way counts to its end.
            (&[(100, 100), (130, 50), (10, 100), (5, 50), (155, 100)], Some(4.5), false),
            // What was never good cannot be worse.
            (&[(200, 50), (200, 50)], Some(0.0), false),
            (&[(100, 100), (300, 0)], None, true),
            (&[(100, 100), (100, 0), (100, 100), (100, 99)], Some(0.0), false),
        ] {
            assert_eq!(judged(parts), Recovery { seconds, metastable }, "{parts:?}");
        }
    }

    #[test]
    fn the_worst_second_is_looked_for_after_the_warm_up() {
        let mut report = crate::examples::one_hangs();
        let second = |second, good| Second { second, requests: 100, good, ..Second::default() };
        report.timeline = vec![second(0, 10), second(1, 98), second(2, 100)];
        let what = HoldWhat::GoodEverySecond(Ratio::percent(98));
        let spec = HoldSpec { key: "good_every_second", written: "98%".to_owned(), what };
        assert!(!hold(&spec, &report, Duration::ZERO).held);
        assert_eq!(hold(&spec, &report, Duration::from_secs(1)).measured, "98%");
    }

    #[test]
    fn without_a_cause_there_is_nothing_to_recover_from() {
        let found = recovery(&steps(&[(400, 10)]), None, at(0), at(40));
        assert_eq!(found, Recovery { seconds: Some(0.0), metastable: false });
        let never_ends = Some(Cause { begins: at(10), ends: at(40) });
        let found = recovery(&steps(&[(400, 100)]), never_ends, at(0), at(40));
        assert_eq!(found, Recovery { seconds: None, metastable: false });
    }
}
