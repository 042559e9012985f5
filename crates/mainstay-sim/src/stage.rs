//! What a scenario comes to beside a configuration: names become positions, and what cannot be played is refused.
//!
//! In: the configuration and the scenario. Out: a [`Stage`], or everything that does not fit, each with its line in the
//! scenario.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use mainstay_config::scenario::{Fault, FaultKind, Instances, Pick, Scenario, Victims, Workload};
use mainstay_config::{Config, Endpoints, PathMatch, Route, Target};
use mainstay_core::{Duration, Instant, MethodClass};
use mainstay_policy::EndpointSpec;

use crate::luck::Luck;

/// A part of a scenario that cannot be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplayable {
    /// Where it begins in the scenario's file.
    pub line: Option<u32>,
    /// What does not fit, and what would.
    pub message: String,
}

/// A scenario whose names are positions.
#[derive(Debug)]
pub(crate) struct Stage {
    /// By [`mainstay_config::ServiceId`].
    pub(crate) services: Vec<Behind>,
    pub(crate) workloads: Vec<Calls>,
    pub(crate) faults: Vec<Strike>,
}

/// What stands behind a service.
#[derive(Debug)]
pub(crate) struct Behind {
    pub(crate) name: String,
    /// Its position.
    pub(crate) place: u32,
    /// Which of all instances. Where their number changes there are twice as many as there may be at once: those that
    /// leave still stand while others come.
    pub(crate) instances: Range<u32>,
    /// How many of them there are at the beginning.
    pub(crate) at_first: u32,
    /// An address for each.
    pub(crate) endpoints: Vec<EndpointSpec>,
    pub(crate) described: Instances,
    /// Services that are called for each piece of work, in the order of the description.
    pub(crate) calls: Vec<usize>,
}

/// A workload and where it comes in.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) described: Workload,
    pub(crate) service: usize,
    pub(crate) route: usize,
    /// Somebody asks what they are for: a cache, a balance or a limit that goes by it.
    pub(crate) are_told_apart: bool,
    /// Each with the sum of the weights up to it.
    pub(crate) methods: Vec<(MethodClass, bool, u64)>,
}

/// A fault and whom it strikes.
#[derive(Debug)]
pub(crate) struct Strike {
    pub(crate) kind: FaultKind,
    pub(crate) from: Instant,
    pub(crate) to: Instant,
    /// What a report calls its target.
    pub(crate) target: String,
    pub(crate) instances: Vec<u32>,
    /// The service whose calls surge.
    pub(crate) service: Option<usize>,
    /// The zone that is gone.
    pub(crate) zone: Option<String>,
}

/// Lays a scenario out.
///
/// # Errors
/// Everything that does not fit.
pub(crate) fn lay_out(config: &Config, scenario: &Scenario, luck: Luck) -> Result<Stage, Vec<Unplayable>> {
    let mut wrong = Vec::new();
    let services = services(config, scenario, &mut wrong);
    let caches = services.iter().any(|behind| behind.described.cache.is_some());
    let by_key = config.services.iter().any(|service| service.policy.balance.goes_by_key());
    let limits = !config.rate_limits.is_empty();
    let told_apart = caches || by_key || limits;
    let laid =
        |workload: &Workload| calls(config, workload, told_apart).map_err(|unplayable| wrong.push(unplayable)).ok();
    let workloads: Vec<Calls> = scenario.workloads.iter().filter_map(laid).collect();
    let mut faults = Vec::new();
    for (number, fault) in scenario.faults.iter().enumerate() {
        match strike(&services, fault, luck.of(number as u64)) {
            Ok(strike) => faults.push(strike),
            Err(message) => wrong.push(Unplayable { line: fault.line, message }),
        }
    }
    if wrong.is_empty() { Ok(Stage { services, workloads, faults }) } else { Err(wrong) }
}

fn services(config: &Config, scenario: &Scenario, wrong: &mut Vec<Unplayable>) -> Vec<Behind> {
    let position = |name: &str| config.services.iter().position(|service| service.name == name);
    for described in &scenario.instances {
        let named = described.service.iter().chain(described.calls.iter().map(|call| &call.service));
        for name in named.filter(|name| position(name).is_none()) {
            wrong.push(Unplayable { line: described.line, message: no_service(config, name) });
        }
    }
    let mut first = 0;
    let mut behind = Vec::new();
    for (place, service) in config.services.iter().enumerate() {
        let of = |name: Option<&str>| scenario.instances.iter().find(|one| one.service.as_deref() == name);
        let described = of(Some(&service.name)).or(of(None)).cloned().unwrap_or_default();
        let listed: &[EndpointSpec] = match &service.endpoints {
            Endpoints::Fixed(endpoints) => endpoints,
            Endpoints::Dns { .. } | Endpoints::File(_) => &[],
        };
        let at_first = described.at_first(listed.len() as u32);
        let count = described.autoscale.map_or(at_first, |autoscale| 2 * autoscale.policy.max);
        let endpoint = |number: u32| {
            let mut spec = listed.get(number as usize).cloned().unwrap_or_else(|| invented(place, number));
            if let Some(zone) = described.zones.get(number as usize % described.zones.len().max(1)) {
                spec.zone = zone.as_str().into();
            }
            spec
        };
        let endpoints = (0..count).map(endpoint).collect();
        let calls = described.calls.iter().filter_map(|call| position(&call.service)).collect();
        let (name, instances) = (service.name.clone(), first..first + count);
        behind.push(Behind { name, place: place as u32, instances, at_first, endpoints, described, calls });
        first += count;
    }
    behind
}

/// An endpoint that no configuration lists: addresses of 198.18.0.0/15, which is kept for tests (RFC 2544).
pub(crate) fn invented(service: usize, number: u32) -> EndpointSpec {
    let address = Ipv4Addr::from_bits(0xc612_0000 | (number & 0xffff));
    let port = 10_000 + (service % 50_000) as u16;
    EndpointSpec { address: SocketAddr::new(IpAddr::V4(address), port), weight: 1, zone: "".into(), backup: false }
}

fn no_service(config: &Config, name: &str) -> String {
    let known: Vec<&str> = config.services.iter().map(|service| service.name.as_str()).collect();
    format!("the configuration has no service {name:?}; it has {}", known.join(", "))
}

fn calls(config: &Config, workload: &Workload, are_told_apart: bool) -> Result<Calls, Unplayable> {
    let fault = |message| Unplayable { line: workload.line, message };
    let service = config.services.iter().position(|service| service.name == workload.service);
    let Some(service) = service else { return Err(fault(no_service(config, &workload.service))) };
    let leads = |route: &&Route| match &route.target {
        Target::Service(id) => id.0 == service,
        Target::Split(parts) => parts.iter().any(|(id, weight)| id.0 == service && *weight > 0),
        Target::Redirect(_) => false,
    };
    let path = workload.path.as_deref();
    let fits = |route: &&Route| path.is_none_or(|path| takes(&route.path, path));
    let Some(route) = config.routes.iter().position(|route| leads(&route) && fits(&route)) else {
        let of = path.map_or_else(String::new, |path| format!(" for {path}"));
        return Err(fault(format!("no route leads to the service {:?}{of}", workload.service)));
    };
    let mut sum = 0;
    let methods = workload.methods.iter().filter(|(_, weight)| *weight > 0).map(|(method, weight)| {
        sum += u64::from(*weight);
        (MethodClass::of(method.as_bytes()), method == "POST", sum)
    });
    let methods = methods.collect();
    Ok(Calls { described: workload.clone(), service, route, are_told_apart, methods })
}

fn takes(rule: &PathMatch, path: &str) -> bool {
    match rule {
        PathMatch::Prefix(prefix) if prefix == "/" => true,
        PathMatch::Prefix(prefix) => {
            path.strip_prefix(&**prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        PathMatch::Exact(exact) => path == exact,
        PathMatch::Pattern(pattern) => pattern.is_match(path.as_bytes()),
    }
}

fn strike(services: &[Behind], fault: &Fault, luck: Luck) -> Result<Strike, String> {
    if let FaultKind::DiskFull | FaultKind::DiskSlow(_) = fault.kind {
        return Err(format!("{} cannot be simulated: a simulated instance has no disk", fault.kind.word()));
    }
    let find = |name: &str| {
        let known = || services.iter().map(|service| service.name.as_str()).collect::<Vec<_>>().join(", ");
        let place = services.iter().position(|service| service.name == name);
        place.ok_or_else(|| format!("the configuration has no service {name:?}; it has {}", known()))
    };
    let (mut service, mut zone) = (None, None);
    let (target, instances) = match &fault.victims {
        Victims::One(name, number) => {
            let behind = &services[find(name)?];
            let most = behind.described.at_most(behind.instances.len() as u32);
            if *number >= most {
                return Err(format!("{name} has {most} instances, counted from 0: there is no {name}/{number}"));
            }
            (format!("{name}/{number}"), vec![behind.instances.start + number])
        }
        Victims::All(name) => {
            let place = find(name)?;
            service = matches!(fault.kind, FaultKind::Surge(_)).then_some(place);
            (name.clone(), services[place].instances.clone().collect())
        }
        Victims::Share { service: name, share, pick } => {
            let behind = &services[find(name)?];
            let there = behind.instances.start..behind.instances.start + behind.at_first;
            (format!("{share} of {name}"), some_of(there, share.get(), *pick, luck))
        }
        Victims::Zone(name) => {
            zone = Some(name.clone());
            let standing = services.iter().flat_map(|service| service.instances.clone().zip(&service.endpoints));
            let there: Vec<u32> = standing.filter(|(_, spec)| *spec.zone == **name).map(|(number, _)| number).collect();
            if there.is_empty() {
                return Err(format!("no instance stands in the zone {name:?}"));
            }
            (format!("zone:{name}"), there)
        }
    };
    let from = Instant::ORIGIN + fault.at;
    let to = from + fault.length.max(Duration::from_nanos(1));
    Ok(Strike { kind: fault.kind.clone(), from, to, target, instances, service, zone })
}

/// A share of them, at least one.
fn some_of(all: Range<u32>, share: f64, pick: Pick, luck: Luck) -> Vec<u32> {
    let count = ((f64::from(all.len() as u32) * share + 0.5) as usize).clamp(1, all.len().max(1));
    let mut struck: Vec<u32> = all.collect();
    if pick == Pick::Random {
        struck.sort_by_key(|number| luck.bits(u64::from(*number), 0));
    }
    struck.truncate(count);
    struck.sort_unstable();
    struck
}
