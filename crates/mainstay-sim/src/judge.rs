//! What a play comes to, from the books of its world.

use mainstay_config::Scenario;
use mainstay_core::{Duration, Instant};

use crate::account::{Ledger, Tally, millis, seconds, words};
use crate::report::{Counted, FaultSpan, InstanceLine, Played, Report, Second, WorkloadLine};
use crate::stage::Strike;
use crate::verdict::{Cause, hold, recovery};
use crate::world::{Books, World};

/// Writes the report.
pub(crate) fn judge(world: &World<'_>, seed: u64, replay: &str) -> Report {
    let (ledger, scenario) = (&world.ledger, world.scenario);
    let struck = world.faults.strikes.iter().map(|strike| (strike.from, strike.to));
    let cause = Cause::of(scenario, struck);
    let begins = Instant::ORIGIN + scenario.warmup;
    let found = recovery(&ledger.steps, cause, begins, world.ends);
    let all = told(scenario.name.clone(), &ledger.all);
    let workloads = workloads(scenario, ledger);
    let mut report = Report {
        scenario: scenario.name.clone(),
        played: Played::Simulated,
        seed,
        replay: replay.to_owned(),
        requests: all.requests,
        good: all.good,
        good_ratio: all.good_ratio,
        attempts_per_request: all.attempts_per_request,
        p50_ms: all.p50_ms,
        p99_ms: all.p99_ms,
        p999_ms: all.p999_ms,
        recovery_seconds: found.seconds,
        metastable: found.metastable,
        duplicated_posts: ledger.duplicated,
        wasted_ratio: rounded(share(ledger.wasted, ledger.work)),
        fairness: rounded(world.fairness()),
        workload_fairness: (workloads.len() > 1).then(|| fairness(&workloads)),
        workloads,
        failures: failures(ledger),
        faults: world.faults.strikes.iter().map(span).collect(),
        instances: world.books().map(|(name, books)| line(name, &books)).collect(),
        held: true,
        holds: Vec::new(),
        timeline: timeline(world),
        events: ledger.events.clone(),
    };
    report.holds = scenario.holds.iter().map(|spec| hold(spec, &report, scenario.warmup)).collect();
    report.held = report.holds.iter().all(|hold| hold.held);
    report
}

fn told(name: String, tally: &Tally) -> WorkloadLine {
    let requests = tally.requests.max(1) as f64;
    let quantile = |share| tally.latencies.quantile(share).map(millis);
    WorkloadLine {
        name,
        requests: tally.requests,
        good: tally.good,
        good_ratio: rounded(tally.good as f64 / requests),
        attempts_per_request: rounded(tally.attempts as f64 / requests),
        p50_ms: quantile(0.5),
        p99_ms: quantile(0.99),
        p999_ms: quantile(0.999),
    }
}

/// One after the other; the second of one name has a number.
fn workloads(scenario: &Scenario, ledger: &Ledger) -> Vec<WorkloadLine> {
    let tallies = if ledger.of_workload.is_empty() { std::slice::from_ref(&ledger.all) } else { &ledger.of_workload };
    let line = |(place, tally): (usize, &Tally)| {
        let name = &scenario.workloads[place].name;
        let before = scenario.workloads[..place].iter().filter(|other| other.name == *name).count();
        told(if before == 0 { name.clone() } else { format!("{name} {}", before + 1) }, tally)
    };
    tallies.iter().enumerate().map(line).collect()
}

/// The least share of good calls of the greatest, of the workloads that called.
fn fairness(workloads: &[WorkloadLine]) -> f64 {
    let called = workloads.iter().filter(|workload| workload.requests > 0);
    let (least, most) =
        called.fold((1.0_f64, 0.0_f64), |(least, most), one| (least.min(one.good_ratio), most.max(one.good_ratio)));
    if most > 0.0 { rounded(least / most) } else { 1.0 }
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

fn line(name: String, books: &Books) -> InstanceLine {
    let time = books.lived.as_nanos().max(1) as f64;
    let slots = books.slots.map_or(1.0, f64::from);
    InstanceLine {
        name,
        attempts: books.reached,
        busy_ratio: rounded(books.busy.as_nanos() as f64 / time / slots),
        queued_ratio: rounded(books.waited as f64 / books.done.max(1) as f64),
        queue_ms: rounded(books.waits.as_secs_f64() * 1e3 / books.done.max(1) as f64),
    }
}
