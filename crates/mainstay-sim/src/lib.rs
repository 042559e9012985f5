//! A world in virtual time, in which the decisions of `mainstay-policy` are played without sockets.
//!
//! In: a configuration as the gateway reads it, a scenario, a seed. Out: a [`report::Report`], the same bytes for the
//! same seed. What is modelled, and what is not, stands in `docs/decisions/0009-what-the-simulator-models.md`.
//!
//! ```
//! use mainstay_config::{Source, load, load_scenario};
//!
//! let config = load(&Source::new("mainstay.toml", r#"
//!     [[listener]]
//!     name = "web"
//!     address = "127.0.0.1:8080"
//!     [[route]]
//!     service = "shop"
//!     [service.shop]
//!     endpoints = ["127.0.0.1:9101", "127.0.0.1:9102"]
//! "#)).unwrap().config;
//! let scenario = load_scenario("steady.toml", r#"
//!     name = "a steady load"
//!     duration = "5s"
//!     [workload]
//!     service = "shop"
//!     rate = "100/s"
//! "#).unwrap();
//! let outcome = mainstay_sim::play(&config, &scenario, scenario.seed, "").unwrap();
//! assert_eq!(outcome.report.good, outcome.report.requests);
//! ```
//!
//! A report is shown as a [`picture`], as a page ([`html`]) or on a terminal ([`summary`]); one alone, or two side by side
//! ([`shown`]).

mod account;
mod bounds;
mod desk;
#[cfg(test)]
mod examples;
mod hist;
pub mod html;
mod judge;
mod luck;
pub mod picture;
mod queue;
pub mod replay;
pub mod report;
pub mod scenarios;
pub mod search;
pub mod shown;
mod slab;
mod stage;
pub mod summary;
pub mod verdict;
mod words;
mod world;

use mainstay_config::{Config, Endpoints, Scenario};

pub use luck::{CallersLuck, VictimsLuck};
pub use stage::Unplayable;

use luck::Luck;
use report::Report;
use world::World;

/// What a play came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// For people and programs.
    pub report: Report,
    /// What queueing theory asks of each instance, in the order of the report's.
    pub nodes: Vec<Node>,
    /// What was still held at the end, by whoever: calls, permits, probes, places in queues. None of it may be left when
    /// the last call has ended and no instance works for nobody.
    pub left: Left,
}

/// One instance, as queueing theory sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node {
    /// Pieces of work that were done.
    pub done: u64,
    /// Share of them that had to wait for a slot.
    pub waited: f64,
    /// How long all of them waited in the mean, in seconds.
    pub mean_wait: f64,
    /// How long all of them were there in the mean, in seconds.
    pub mean_stay: f64,
    /// How many were there in the mean over all of the time.
    pub mean_there: f64,
    /// Those that were refused for want of a place.
    pub refused: u64,
    /// How long it was watched, in seconds.
    pub time: f64,
}

/// What was not given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// Calls under way.
    pub calls: u64,
    /// Requests at instances or on their way.
    pub jobs: u64,
    /// Permits in use.
    pub permits: u64,
    /// Calls in queues.
    pub queued: u64,
    /// Attempts at endpoints.
    pub attempts: u64,
}

/// What of a configuration is not simulated, or not as it stands there, in a sentence each.
#[must_use]
pub fn left_out(config: &Config, scenario: &Scenario) -> Vec<String> {
    let mut told = Vec::new();
    let scaled = |name: &str| {
        let of = |name: Option<&str>| scenario.instances.iter().find(|one| one.service.as_deref() == name);
        of(Some(name)).or(of(None)).is_some_and(|described| described.autoscale.is_some())
    };
    for service in config.services.iter().filter(|service| scaled(&service.name)) {
        if matches!(service.endpoints, Endpoints::Fixed(_)) {
            told.push(format!(
                "service.{} lists its endpoints and would hear of no other; it is played as if it discovered them",
                service.name
            ));
        }
    }
    for service in &config.services {
        if service.fallback.stale_if_error.is_some() {
            told.push(format!("service.{}.fallback.stale_if_error is not simulated: no answer is kept", service.name));
        }
        if service.policy.idempotency.is_some() {
            told.push(format!("service.{}.idempotency is not simulated: no request carries a key", service.name));
        }
    }
    if config.routes.iter().any(|route| route.mirror.is_some()) {
        told.push("mirrors are not simulated: no copy is sent".to_owned());
    }
    told
}

/// How far a play has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Of the scenario's duration, from 0 to 1; what is under way at its end is followed after that.
    pub share: f64,
    /// Calls that were due so far.
    pub calls: u64,
}

/// Plays a scenario under a configuration. `replay` is the line that plays it again, for the report.
///
/// # Errors
/// Every part of the scenario that does not fit the configuration or cannot be simulated.
pub fn play(config: &Config, scenario: &Scenario, seed: u64, replay: &str) -> Result<Outcome, Vec<Unplayable>> {
    play_and_tell(config, scenario, seed, replay, &mut |_| {})
}

/// As [`play`], and tells at the end of each second of the play how far it has come.
///
/// # Errors
/// As [`play`].
pub fn play_and_tell(
    config: &Config,
    scenario: &Scenario,
    seed: u64,
    replay: &str,
    tell: &mut dyn FnMut(Progress),
) -> Result<Outcome, Vec<Unplayable>> {
    let root = luck::root(seed);
    let stage = stage::lay_out(config, scenario, Luck::new(root, luck::VICTIMS))?;
    bounds::refuse(scenario, &stage)?;
    let mut world = World::new(config, scenario, stage, root);
    world.run(tell);
    let report = judge::judge(&world, seed, replay);
    let nodes = world.nodes();
    Ok(Outcome { report, nodes, left: world.left() })
}
