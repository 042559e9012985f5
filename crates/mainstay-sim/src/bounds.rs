//! How much is played at most: what nobody would wait for, or what would fill the memory, is refused before it begins.
//!
//! In: a scenario and its stage. Out: nothing, or what is too much, each part with its line in the scenario.

use mainstay_config::scenario::{Fault, FaultKind, Load, Scenario};
use mainstay_core::{Duration, Instant};

use crate::stage::{Calls, Stage, Strike, Unplayable};
use crate::world;

/// Every second is kept for the report.
const LONGEST: Duration = Duration::from_secs(86_400);
/// What takes some minutes.
const CALLS: f64 = 1e8;
/// Each has something planned at any time.
const CLIENTS: f64 = 1e6;
/// Each crash of a fault is planned at the beginning.
const CRASHES: u64 = 100_000;

/// What a worker knows of an instance takes about two kilobytes.
const WATCHED: u64 = 500_000;

/// Refuses what is too much.
pub(crate) fn refuse(scenario: &Scenario, stage: &Stage) -> Result<(), Vec<Unplayable>> {
    let mut wrong = Vec::new();
    if scenario.duration > LONGEST {
        let message = format!("the scenario lasts {}; one day is played at most", scenario.duration);
        wrong.push(Unplayable { line: None, message });
    }
    wrong.extend(too_many_watched(scenario, stage));
    wrong.extend(too_many_callers(stage, Instant::ORIGIN + scenario.duration));
    wrong.extend(scenario.faults.iter().zip(&stage.faults).filter_map(too_many_crashes));
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Every worker of every gateway knows every instance.
fn too_many_watched(scenario: &Scenario, stage: &Stage) -> Option<Unplayable> {
    let instances: u64 =
        stage.services.iter().map(|behind| u64::from(behind.instances.end - behind.instances.start)).sum();
    let workers = u64::from(scenario.gateways.count) * u64::from(scenario.gateways.workers);
    let watched = workers.saturating_mul(instances);
    let message =
        || format!("{workers} workers would know {instances} instances each; {WATCHED} in all are played at most");
    (watched > WATCHED).then(|| Unplayable { line: None, message: message() })
}

/// Of all workloads together; the one is named with which it was too much.
fn too_many_callers(stage: &Stage, ends: Instant) -> Option<Unplayable> {
    let (mut calls, mut clients) = (0.0, 0.0);
    for workload in &stage.workloads {
        calls += world::expected(workload, &stage.faults, ends);
        clients += clients_of(workload, &stage.faults);
        let line = workload.described.line;
        if calls > CALLS {
            let message = format!("{calls:.0} calls would come; {CALLS:.0} are played at most");
            return Some(Unplayable { line, message });
        }
        if clients > CLIENTS {
            let message = format!("{clients:.0} clients would call; {CLIENTS:.0} are played at most");
            return Some(Unplayable { line, message });
        }
    }
    None
}

/// With those that come with each surge.
fn clients_of(calls: &Calls, faults: &[Strike]) -> f64 {
    let Load::Closed { clients, .. } = calls.described.load else { return 0.0 };
    let more = faults.iter().filter(|strike| strike.service == Some(calls.service)).map(|strike| match strike.kind {
        FaultKind::Surge(factor) => (factor - 1.0).max(0.0),
        _ => 0.0,
    });
    f64::from(clients) * (1.0 + more.sum::<f64>())
}

fn too_many_crashes((fault, strike): (&Fault, &Strike)) -> Option<Unplayable> {
    let (FaultKind::Flap(period) | FaultKind::Memory(period)) = strike.kind else { return None };
    let crashes = strike.to.since(strike.from).as_nanos() / period.as_nanos().max(1);
    let message = || format!("a crash every {period} comes to {crashes}; {CRASHES} of a fault are played at most");
    (crashes > CRASHES).then(|| Unplayable { line: fault.line, message: message() })
}
