//! What a play comes to, from the books of its world.

use mainstay_core::{Duration, Instant};

use crate::account::{Ledger, millis, seconds, words};
use crate::report::{Counted, FaultSpan, InstanceLine, Played, Report, Second};
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
