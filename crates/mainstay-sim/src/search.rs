//! Where a system stops to recover by itself: how much load it may carry, and how long an outage may last.
//!
//! A play says yes or no: the calls are as good again after the cause as they were before it, or they are not. Between a
//! load that recovers and one that does not lies an edge, which is found by halving; and so with the length of the outage.
//! Then the same edge is looked for under one other setting at a time: what moves it is what matters.

use std::ops::Range;

use mainstay_config::scenario::{Load, Scenario};
use mainstay_config::{Config, Endpoints};
use mainstay_core::{Duration, Limit, Rate};
use serde::{Deserialize, Serialize};

use crate::{Unplayable, play};

/// Loads that are tried, as shares of what the instances can do.
const LOADS: Range<f64> = 0.05..1.0;
/// An edge in the load is known within this.
const LOAD_STEP: f64 = 0.01;
/// Outages that are tried, in seconds.
const OUTAGES: Range<f64> = 0.25..120.0;
/// An edge in the length is known within this part of it.
const OUTAGE_STEP: f64 = 0.05;
/// How long is watched after the cause is gone, at the least.
const AFTER: Duration = Duration::from_secs(30);
/// An edge that moves by less has not moved.
const MOVED: f64 = 0.025;

/// Where recovery by itself ends.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edge {
    /// Not even the least that was tried recovers.
    Never,
    /// Up to here.
    UpTo(f64),
    /// All that was tried recovers; so far was tried.
    Always(f64),
}

impl Edge {
    /// As a number, to compare: what recovers for certain.
    #[must_use]
    pub fn get(self) -> f64 {
        match self {
            Self::Never => 0.0,
            Self::UpTo(edge) | Self::Always(edge) => edge,
        }
    }
}

/// Another setting, and where the edge lies with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// The setting: `service.shop.retry=off`.
    pub setting: String,
    /// The edge in the load.
    pub load: Edge,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edges {
    /// The scenario's name.
    pub scenario: String,
    /// Where its luck came from.
    pub seed: u64,
    /// Calls a second that the instances of the first workload's service can do, with all that there may come to be.
    pub capacity_per_second: f64,
    /// The scenario's own load, as a share of that.
    pub load: f64,
    /// Up to which load the scenario's outage is recovered from.
    pub load_edge: Edge,
    /// The outages' length that is recovered from at the scenario's load, in seconds; none where the scenario has no fault
    /// that lasts.
    pub outage_edge: Option<Edge>,
    /// Settings that move the edge in the load, the most helpful first.
    pub moves: Vec<Move>,
}

/// How far a search has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looking<'a> {
    /// What it looks for: the edge in the load or in the outage, or the one under another setting.
    pub at: &'a str,
    /// Which of all those this is, from 1.
    pub place: usize,
    /// How many there are.
    pub of: usize,
    /// Plays so far.
    pub plays: u64,
}

/// Looks for the edges of a scenario under `config`, and under each of the `others`, which have one setting different.
/// Before each play it tells how far it has come.
///
/// # Errors
/// As [`play`]; and when nothing tells what the instances can do, or the load has no rate.
pub fn search(
    config: &Config,
    others: &[(String, Config)],
    scenario: &Scenario,
    seed: u64,
    tell: &mut dyn FnMut(Looking<'_>),
) -> Result<Edges, Vec<Unplayable>> {
    let (capacity, rate) = measure(config, scenario).map_err(|message| vec![Unplayable { line: None, message }])?;
    let load = rate / capacity;
    // Whatever cannot be played is told before anything is searched.
    play(config, &changed(scenario, 1.0, None), seed, "")?;
    let lasts = scenario.faults.iter().any(|fault| !fault.length.is_zero());
    let of = 1 + usize::from(lasts) + others.len();
    let mut search = Search { scenario, seed, place: 0, of, plays: 0, tell };
    let load_edge = search.edge_in_load("the load", config, load);
    let outage_edge = lasts.then(|| search.edge_in_outage(config));
    let moved = |(setting, other): &(String, Config)| {
        let load = search.edge_in_load(setting, other, load);
        ((load.get() - load_edge.get()).abs() >= MOVED).then(|| Move { setting: setting.clone(), load })
    };
    let mut moves: Vec<Move> = others.iter().filter_map(moved).collect();
    moves.sort_by(|a, b| b.load.get().total_cmp(&a.load.get()).then_with(|| a.setting.cmp(&b.setting)));
    Ok(Edges {
        scenario: scenario.name.clone(),
        seed,
        capacity_per_second: capacity,
        load,
        load_edge,
        outage_edge,
        moves,
    })
}

/// What the instances of the first workload's service can do in a second, and what is asked of them at first.
fn measure(config: &Config, scenario: &Scenario) -> Result<(f64, f64), String> {
    let Some(workload) = scenario.workloads.first() else { return Err("nobody calls".to_owned()) };
    let of = |name: Option<&str>| scenario.instances.iter().find(|one| one.service.as_deref() == name);
    let described = of(Some(&workload.service)).or(of(None)).cloned().unwrap_or_default();
    let listed = config.services.iter().find(|service| service.name == workload.service);
    let listed = listed.map_or(0, |service| match &service.endpoints {
        Endpoints::Fixed(endpoints) => endpoints.len() as u32,
        Endpoints::Dns { .. } | Endpoints::File(_) => 0,
    });
    let count = f64::from(described.at_most(listed));
    let Limit::At(slots) = described.concurrency else {
        return Err("instances without an end of slots have no load that is full: give them a concurrency".to_owned());
    };
    let capacity = count * f64::from(slots) / described.service_time.mean().as_secs_f64().max(1e-9);
    match &workload.load {
        Load::Open { steps, .. } => {
            let rate = steps.iter().find_map(|step| step.rate);
            let rate = rate.map(|rate| rate.count() as f64 / rate.per().as_secs_f64());
            rate.map(|rate| (capacity, rate)).ok_or_else(|| "nothing says how often calls come".to_owned())
        }
        Load::Closed { .. } => {
            Err("clients that wait for their answers slow down with the system, and have no edge in \
                                    the load: use a rate"
                .to_owned())
        }
    }
}

/// A search while it goes on.
struct Search<'a> {
    scenario: &'a Scenario,
    seed: u64,
    place: usize,
    of: usize,
    plays: u64,
    tell: &'a mut dyn FnMut(Looking<'_>),
}

impl Search<'_> {
    fn edge_in_load(&mut self, at: &str, config: &Config, load: f64) -> Edge {
        self.place += 1;
        let recovers = |share: f64| self.recovers(at, config, &changed(self.scenario, share / load, None));
        edge(LOADS, |least, most| most - least <= LOAD_STEP, recovers)
    }

    fn edge_in_outage(&mut self, config: &Config) -> Edge {
        self.place += 1;
        let recovers = |seconds| self.recovers("the outage", config, &changed(self.scenario, 1.0, Some(seconds)));
        edge(OUTAGES, |least, most| most - least <= OUTAGE_STEP * most, recovers)
    }

    fn recovers(&mut self, at: &str, config: &Config, scenario: &Scenario) -> bool {
        (self.tell)(Looking { at, place: self.place, of: self.of, plays: self.plays });
        self.plays += 1;
        let outcome = play(config, scenario, self.seed, "");
        outcome.is_ok_and(|outcome| outcome.report.recovery_seconds.is_some())
    }
}

/// The edge within a range, by halving.
fn edge(range: Range<f64>, is_near: impl Fn(f64, f64) -> bool, mut recovers: impl FnMut(f64) -> bool) -> Edge {
    if recovers(range.end) {
        return Edge::Always(range.end);
    }
    if !recovers(range.start) {
        return Edge::Never;
    }
    let (mut least, mut most) = (range.start, range.end);
    while !is_near(least, most) {
        let middle = (least + most) / 2.0;
        if recovers(middle) { least = middle } else { most = middle }
    }
    Edge::UpTo((least * 1e3).round() / 1e3)
}

/// The scenario with so many times the load and faults of another length, and time enough to see what comes of it.
fn changed(scenario: &Scenario, load: f64, outage: Option<f64>) -> Scenario {
    let mut scenario = scenario.clone();
    for workload in &mut scenario.workloads {
        match &mut workload.load {
            Load::Open { steps, .. } => steps.iter_mut().for_each(|step| step.rate = step.rate.map(|r| times(r, load))),
            Load::Closed { clients, .. } => *clients = ((f64::from(*clients) * load) as u32).max(1),
        }
    }
    if let Some(seconds) = outage {
        let length = Duration::from_nanos((seconds * 1e9) as u64);
        scenario.faults.iter_mut().for_each(|fault| fault.length = length);
    }
    let last = scenario.faults.iter().map(mainstay_config::scenario::Fault::end).max().unwrap_or_default();
    scenario.duration = scenario.duration.max(last + AFTER);
    scenario
}

/// So many times the rate, to a thousandth of a call.
fn times(rate: Rate, factor: f64) -> Rate {
    let count = (rate.count() as f64 * factor * 1e3).round().max(1.0) as u64;
    Rate::new(count, rate.per().saturating_mul(1_000)).unwrap_or(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_is_found_by_halving() {
        let near = |least: f64, most: f64| most - least < 0.01;
        let at = |recovers_to: f64| edge(0.0..1.0, near, |x| x <= recovers_to);
        assert_eq!((at(2.0), at(-1.0)), (Edge::Always(1.0), Edge::Never));
        assert!((at(0.62).get() - 0.62).abs() < 0.01);
    }

    #[test]
    fn a_rate_is_multiplied_to_a_thousandth() {
        let rate: Rate = "3/s".parse().unwrap();
        let more = times(rate, 1.5);
        assert!((more.count() as f64 / more.per().as_secs_f64() - 4.5).abs() < 1e-9);
    }
}
