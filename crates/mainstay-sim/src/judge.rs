//! What a play comes to: how good it was, whether it recovered and when, and whether that is what was asked for.
//!
//! **Recovery.** Before the cause a certain share of the calls is good; after it, the calls are as good again when from
//! some moment on that share is reached in every second of half a minute. A second's share is an estimate, so it may lie under the share
//! of before by three of its standard deviations, and by one call in a hundred. The last call that was not good in a
//! second that is worse marks the moment.
//!
//! **Metastable** is what has not recovered although its cause is gone and there was time enough: at least five seconds,
//! and all of them up to the end are worse (N. Bronson et al.: "Metastable Failures in Distributed Systems", HotOS 2021).
//! A cause is a fault, or a step of the load that comes back to where it began.

use mainstay_config::scenario::{HoldSpec, HoldWhat, Load, Scenario};
use mainstay_core::{Duration, Instant};

use crate::account::{Ledger, STEP, Step, millis, seconds, words};
use crate::report::{Counted, FaultSpan, Hold, InstanceLine, Played, Report, Second};
use crate::stage::Strike;
use crate::world::{Books, World};

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

/// When something was wrong with the world.
#[derive(Debug, Clone, Copy)]
struct Cause {
    begins: Instant,
    ends: Instant,
}

/// What is known of recovery.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Recovery {
    /// From the end of the cause; none where it has not come.
    pub(crate) seconds: Option<f64>,
    pub(crate) metastable: bool,
}

fn cause(scenario: &Scenario, strikes: &[Strike]) -> Option<Cause> {
    let faults = strikes.iter().map(|strike| (strike.from, strike.to));
    let spikes = scenario.workloads.iter().filter_map(|workload| match &workload.load {
        Load::Open { steps, .. } => {
            let (first, last) = (steps.first()?, steps.last()?);
            let per_second = |step: &mainstay_config::scenario::Step| {
                step.rate.map_or(0.0, |rate| rate.count() as f64 / rate.per().as_secs_f64())
            };
            let comes_back = steps.len() > 2 && per_second(last) <= per_second(first);
            comes_back.then(|| (Instant::ORIGIN + steps[1].at, Instant::ORIGIN + last.at))
        }
        Load::Closed { .. } => None,
    });
    let all = faults.chain(spikes);
    all.map(|(begins, ends)| Cause { begins, ends })
        .reduce(|a, b| Cause { begins: a.begins.min(b.begins), ends: a.ends.max(b.ends) })
}

fn recovery(steps: &[Step], cause: Option<Cause>, begins: Instant, ends: Instant) -> Recovery {
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

/// Writes the report.
pub(crate) fn judge(world: &World<'_>, seed: u64, replay: &str) -> Report {
    let (ledger, scenario) = (&world.ledger, world.scenario);
    let begins = Instant::ORIGIN + scenario.warmup;
    let found = recovery(&ledger.steps, cause(scenario, &world.faults.strikes), begins, world.ends);
    let requests = ledger.requests.max(1) as f64;
    let mut report = Report {
        scenario: scenario.name.clone(),
        played: Played::Simulated,
        seed,
        replay: replay.to_owned(),
        requests: ledger.requests,
        good: ledger.good,
        good_ratio: rounded(ledger.good as f64 / requests),
        attempts_per_request: rounded(ledger.attempts as f64 / requests),
        p50_ms: ledger.latencies.quantile(0.5).map(millis),
        p99_ms: ledger.latencies.quantile(0.99).map(millis),
        p999_ms: ledger.latencies.quantile(0.999).map(millis),
        recovery_seconds: found.seconds,
        metastable: found.metastable,
        duplicated_posts: ledger.duplicated,
        wasted_ratio: rounded(share(ledger.wasted, ledger.work)),
        fairness: rounded(world.fairness()),
        failures: failures(ledger),
        faults: world.faults.strikes.iter().map(span).collect(),
        instances: world.books().map(|(name, books)| line(world, name, &books)).collect(),
        held: true,
        holds: Vec::new(),
        timeline: timeline(world),
        events: ledger.events.clone(),
    };
    report.holds = scenario.holds.iter().map(|spec| held(spec, &report)).collect();
    report.held = report.holds.iter().all(|hold| hold.held);
    report
}

/// Parts in a million: more digits are the platform's and nobody's interest.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn share(part: Duration, whole: Duration) -> f64 {
    part.as_nanos() as f64 / whole.as_nanos().max(1) as f64
}

/// The seconds in which calls were due.
fn timeline(world: &World<'_>) -> Vec<Second> {
    let last = world.ends.as_nanos().div_ceil(1_000_000_000) as usize;
    world.ledger.seconds.iter().take(last).cloned().collect()
}

fn failures(ledger: &Ledger) -> Vec<Counted> {
    let mut all: Vec<Counted> =
        ledger.failures.iter().map(|(kind, count)| Counted { what: words(*kind), count: *count }).collect();
    all.sort_by(|a, b| (std::cmp::Reverse(a.count), &a.what).cmp(&(std::cmp::Reverse(b.count), &b.what)));
    all
}

fn span(strike: &Strike) -> FaultSpan {
    FaultSpan {
        kind: strike.kind.word().to_owned(),
        target: strike.target.clone(),
        from_second: seconds(strike.from),
        to_second: seconds(strike.to),
    }
}

fn line(world: &World<'_>, name: String, books: &Books) -> InstanceLine {
    let time = world.ledger.ended.as_nanos().max(1) as f64;
    let slots = books.slots.map_or(1.0, f64::from);
    InstanceLine {
        name,
        attempts: books.reached,
        busy_ratio: rounded(books.busy.as_nanos() as f64 / time / slots),
        queued_ratio: rounded(books.waited as f64 / books.done.max(1) as f64),
        queue_ms: rounded(books.waits.as_secs_f64() * 1e3 / books.done.max(1) as f64),
    }
}

fn held(spec: &HoldSpec, report: &Report) -> Hold {
    let percent = |ratio: f64| format!("{}%", (ratio * 1e5).round() / 1e3);
    let length = |millis: f64| format!("{millis}ms");
    let within = |most: Duration, found: Option<f64>| match found {
        Some(found) => (length(found), found <= most.as_nanos() as f64 / 1e6),
        None => ("no good answer".to_owned(), false),
    };
    let (measured, holds) = match spec.what {
        HoldWhat::Good(least) => (percent(report.good_ratio), report.good_ratio >= least.get()),
        HoldWhat::GoodEverySecond(least) => {
            let shares = report.timeline.iter().filter(|second| second.requests > 0);
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
        HoldWhat::Metastable(may) => (report.metastable.to_string(), may || !report.metastable),
    };
    Hold { what: spec.key.to_owned(), wanted: spec.written.clone(), measured, held: holds }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn without_a_cause_there_is_nothing_to_recover_from() {
        let found = recovery(&steps(&[(400, 10)]), None, at(0), at(40));
        assert_eq!(found, Recovery { seconds: Some(0.0), metastable: false });
        let never_ends = Some(Cause { begins: at(10), ends: at(40) });
        let found = recovery(&steps(&[(400, 100)]), never_ends, at(0), at(40));
        assert_eq!(found, Recovery { seconds: None, metastable: false });
    }
}
