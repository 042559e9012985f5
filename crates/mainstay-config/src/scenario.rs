//! Text to a scenario that cannot be wrong in itself: who calls, what meets the calls, what goes wrong, what must hold.
//!
//! It is read as a configuration is, by the same sections: every problem at once, each with its place, and no key that
//! nobody knows. What only a player can tell (whether a service of that name is configured, whether a fault can be
//! played at all) is for the player to say; everything has its line for that.

mod autoscale;
mod faults;
mod guard;
mod holds;
mod instances;
mod model;
mod values;
mod workload;

use mainstay_core::Duration;

pub use model::*;

use crate::effective::Effective;
use crate::problem::Problems;
use crate::raw::Tree;
use crate::section::Section;
use crate::sink::Sink;
use crate::source::Source;
use crate::value::{Count, Fault as Wrong, Positive};

/// Reads a scenario. `name` is what messages call its text.
///
/// ```
/// let text = r#"
///     name = "one instance dies"
///     [workload]
///     service = "shop"
///     rate = "1000/s"
///     [[fault]]
///     at = "10s"
///     for = "10s"
///     kind = "crash"
///     target = "shop/0"
///     [hold]
///     good = "99.9%"
/// "#;
/// let scenario = mainstay_config::load_scenario("crash.toml", text).unwrap();
/// assert_eq!(scenario.faults[0].kind.word(), "crash");
/// ```
///
/// # Errors
/// [`Problems`] when it cannot be used: every error, not only the first.
pub fn load_scenario(name: &str, text: &str) -> Result<Scenario, Problems> {
    load_scenario_and_settings(name, text).map(|(scenario, _)| scenario)
}

/// As [`load_scenario`], with every value and whether it was given.
///
/// # Errors
/// As [`load_scenario`].
pub fn load_scenario_and_settings(name: &str, text: &str) -> Result<(Scenario, Effective), Problems> {
    let source = Source::new(name, text);
    crate::read(&source, |_, _| {}, scenario).map(|(scenario, _, effective)| (scenario, effective))
}

/// `None` when there is a problem, which the sink has.
fn scenario(sink: &Sink<'_>, tree: &Tree) -> Option<Scenario> {
    let scenario = Section::root(sink, tree, |root| {
        let (name, duration, warmup, seed) = beginning(root);
        let workloads = root.one_or_several("workload", |section| workload::workload(section, duration));
        if workloads.is_empty() {
            let wrong = Wrong::new("nobody calls").help("add [workload] with service = \"shop\" and rate = \"1000/s\"");
            root.fault("workload", wrong);
        }
        let instances = root.one_or_several("instance", instances::instances);
        let network = root.table("network", instances::network);
        let gateways = root.table("gateways", instances::gateways);
        let workloads: Option<Vec<Workload>> = workloads.into_iter().collect();
        let first = workloads.iter().flatten().next().map(|workload| workload.service.clone()).unwrap_or_default();
        let faults = root.repeated("fault", |section| faults::fault(section, &first, duration));
        let holds = root.table("hold", holds::holds);
        let guard = root.table("guard", guard::guard);
        let instances: Vec<Instances> = instances.into_iter().collect::<Option<_>>()?;
        refuse_doubles(root, &instances);
        let faults = faults.into_iter().collect::<Option<_>>()?;
        let (name, workloads) = (name?, workloads?);
        Some(Scenario { name, duration, warmup, seed, workloads, instances, network, gateways, faults, holds, guard })
    });
    scenario.filter(|_| !sink.has_errors())
}

fn beginning(s: &mut Section<'_>) -> (Option<String>, Duration, Duration, u64) {
    let name = s.need("name", "\"one instance hangs\"");
    let duration: Positive<Duration> = s.get("duration", "60s");
    let warmup: Duration = s.get("warmup", "0s");
    let seed: Count = s.get("seed", "1");
    if warmup >= duration.0 {
        s.fault("warmup", Wrong::new(format!("the scenario is over ({}) before anything is counted", duration.0)));
    }
    (name, duration.0, warmup, u64::from(seed.0))
}

/// A service has one description of its instances, and so have those that have none of their own.
fn refuse_doubles(root: &Section<'_>, instances: &[Instances]) {
    for (number, one) in instances.iter().enumerate() {
        if instances[..number].iter().any(|other| other.service == one.service) {
            let of = one.service.as_ref().map_or("all services".to_owned(), |service| format!("{service:?}"));
            root.fault("instance", Wrong::new(format!("the instances of {of} are described twice")));
        }
    }
}
