//! A scenario's workloads as loads: what is asked where, when, and what a right answer looks like.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mainstay_config::scenario::{self, Distribution, FaultKind, Load, Scenario, Victims, Workload};
use mainstay_config::{Config, HostMatch, PathMatch, Route, Target as RouteTarget};

use crate::load::{Arrivals, CallersLuck, Methods, Pace, Plan, Profile, Samples, Schedule, Step, Target};
use crate::stage::Stage;
use crate::trouble::{Outcome, Trouble, while_doing};

/// What the ids of a play begin with, and those of the look at the steady state.
pub(crate) const IDS: &str = "drill";
const STEADY_IDS: &str = "steady";
/// Connections of callers at once, at most, over all workloads.
const CONNECTIONS: usize = 8192;

/// Whether a workload can be played with a configuration.
///
/// # Errors
/// Why not, in a sentence.
pub(crate) fn check(config: &Config, workload: &Workload) -> Result<(), String> {
    let at = workload.line.map_or(String::new(), |line| format!("line {line}: "));
    let service = &workload.service;
    if !config.services.iter().any(|known| known.name == *service) {
        let known: Vec<&str> = config.services.iter().map(|known| known.name.as_str()).collect();
        return Err(format!("{at}the configuration has no service {service:?}; it has {}", known.join(", ")));
    }
    let Some(route) = route(config, service) else {
        return Err(format!("{at}no route leads to the service {service:?}, so nobody can call it"));
    };
    if workload.path.is_none() && matches!(route.path, PathMatch::Pattern(_)) {
        return Err(format!(
            "{at}the route to {service:?} has a pattern for a path: say which one is called with path"
        ));
    }
    match workload.load {
        Load::Closed { think: Distribution::Fixed(_), .. } | Load::Open { .. } => Ok(()),
        Load::Closed { .. } => Err(format!("{at}callers here think for a fixed time, as in think = \"100ms\"")),
    }
}

/// The first route to a service.
fn route<'a>(config: &'a Config, service: &str) -> Option<&'a Route> {
    let leads = |id: &mainstay_config::ServiceId| config.service(*id).is_some_and(|known| known.name == service);
    config.routes.iter().find(|route| match &route.target {
        RouteTarget::Service(id) => leads(id),
        RouteTarget::Split(parts) => parts.iter().any(|(id, _)| leads(id)),
        RouteTarget::Redirect(_) => false,
    })
}

/// The load of the `number`-th workload.
pub(crate) fn plan(config: &Config, scenario: &Scenario, number: usize, stage: &Stage) -> Outcome<Plan> {
    let workload = &scenario.workloads[number];
    let prefix = format!("{IDS}{number}");
    let duration = Duration::from_nanos(scenario.duration.as_nanos());
    let profile = profile(scenario, workload)?;
    let samples = Samples::create(&samples_file(stage.dir(), number)).map_err(while_doing("making a file"))?;
    let luck = CallersLuck::new(scenario.seed, number);
    let plan = base(config, scenario, workload, stage, (luck, profile), prefix, duration)?;
    Ok(Plan { samples: Some(Arc::new(samples)), ..plan })
}

/// The same as it begins, for a look at the steady state.
pub(crate) fn steady(
    config: &Config,
    scenario: &Scenario,
    number: usize,
    stage: &Stage,
    lasts: Duration,
) -> Outcome<Plan> {
    let workload = &scenario.workloads[number];
    // Calls of another luck: the play's own come when it is played.
    let luck = CallersLuck::new(!scenario.seed, number);
    base(config, scenario, workload, stage, (luck, steps(workload)?), format!("{STEADY_IDS}{number}"), lasts)
}

/// Where the samples of a workload are.
pub(crate) fn samples_file(dir: &Path, number: usize) -> std::path::PathBuf {
    dir.join(format!("samples-{number}"))
}

fn base(
    config: &Config,
    scenario: &Scenario,
    workload: &Workload,
    stage: &Stage,
    (luck, profile): (CallersLuck, Profile),
    prefix: String,
    duration: Duration,
) -> Outcome<Plan> {
    let route = route(config, &workload.service).ok_or_else(|| Trouble::wrong("no route leads there"))?;
    let listener = route.listeners.first().map_or(0, |id| id.0);
    let address = stage.listeners.get(listener).ok_or_else(|| Trouble::wrong("no listener takes it"))?;
    let path = path(route, workload);
    let deadline = Duration::from_nanos(workload.deadline.as_nanos());
    let (pace, arrivals) = match &workload.load {
        Load::Open { arrivals, .. } => (Pace::Open, *arrivals),
        Load::Closed { clients, think } => {
            let think = if let Distribution::Fixed(think) = think { think.as_nanos() } else { 0 };
            let pace = Pace::Closed { clients: *clients as usize, think: Duration::from_nanos(think) };
            (pace, scenario::Arrivals::Uniform)
        }
    };
    let arrivals = match arrivals {
        scenario::Arrivals::Poisson => Arrivals::Poisson,
        scenario::Arrivals::Uniform => Arrivals::Uniform,
    };
    let tells = workload.tells_deadline;
    let fields = if tells { format!("x-mainstay-deadline-ms: {}\r\n", deadline.as_millis()) } else { String::new() };
    let methods = Methods::of(workload.methods.clone());
    Ok(Plan {
        targets: vec![Target {
            address: address.to_string(),
            host: host(route, address.to_string()),
            path: path.clone(),
        }],
        pace,
        duration,
        requests: u64::MAX,
        deadline,
        connections: CONNECTIONS / scenario.workloads.len().max(1),
        fields,
        expect: expected(config, route, &path, stage),
        schedule: Schedule::new(luck, profile, arrivals, methods, prefix),
        samples: None,
    })
}

fn host(route: &Route, address: String) -> String {
    match &route.host {
        HostMatch::Any => address,
        HostMatch::Exact(host) => host.clone(),
        HostMatch::Suffix(suffix) => format!("drill.{suffix}"),
    }
}

fn path(route: &Route, workload: &Workload) -> String {
    match (&workload.path, &route.path) {
        (Some(path), _) | (None, PathMatch::Exact(path) | PathMatch::Prefix(path)) => path.clone(),
        (None, PathMatch::Pattern(_)) => "/".to_owned(),
    }
}

/// What an instance of ours answers, so that a false answer is told from a right one; and what a fallback says instead.
fn expected(config: &Config, route: &Route, path: &str, stage: &Stage) -> Vec<String> {
    let ours = stage.instances.iter().all(|instance| instance.member.has_switch);
    if !ours || route.rewrite.is_some() {
        return Vec::new();
    }
    let stripped = route.strip_prefix.as_deref().and_then(|prefix| path.strip_prefix(prefix)).unwrap_or(path);
    let stripped = if stripped.starts_with('/') { stripped.to_owned() } else { format!("/{stripped}") };
    let fixed = config.services.iter().filter_map(|service| service.fallback.respond.as_ref());
    let fixed = fixed.map(|answer| answer.body.clone());
    std::iter::once(format!("\"path\":\"{stripped}\"")).chain(fixed).collect()
}

/// The rate over time, surges included.
fn profile(scenario: &Scenario, workload: &Workload) -> Outcome<Profile> {
    let surges = scenario.faults.iter().filter_map(|fault| match (&fault.kind, &fault.victims) {
        (FaultKind::Surge(times), Victims::All(service)) if *service == workload.service => {
            Some((fault.at, fault.end(), *times))
        }
        _ => None,
    });
    let steady = steps(workload)?;
    Ok(surges.fold(steady, |profile, (from, to, times)| profile.surge(from, to, times)))
}

fn steps(workload: &Workload) -> Outcome<Profile> {
    let Load::Open { steps, .. } = &workload.load else {
        // Only the methods and ids of a schedule without arrivals are used.
        let one = mainstay_core::Rate::new(1, mainstay_core::Duration::from_secs(1));
        return Ok(Profile::steady(one.map_err(while_doing("a rate"))?));
    };
    let a_second = |rate: mainstay_core::Rate| rate.count() as f64 / rate.per().as_secs_f64();
    let step = |step: &scenario::Step| Step { at: step.at, rate: step.rate.map_or(0.0, a_second), over: step.over };
    Profile::of(&steps.iter().map(step).collect::<Vec<_>>()).map_err(|error| Trouble::wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_config::{Source, load, load_scenario};

    const CONFIGURATION: &str = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n[[route]]\nservice = \"shop\"\n\
        [service.shop]\nendpoints = [\"127.0.0.1:9101\"]\n";
    const SCENARIO: &str = "name = \"t\"\nduration = \"6s\"\nseed = 7\n[workload]\nservice = \"shop\"\n\
        steps = [{ rate = \"200/s\" }, { at = \"2s\", rate = \"400/s\", over = \"1s\" }]\nmethods = { GET = 9, POST = 1 }\n\
        [[fault]]\nkind = \"surge\"\nat = \"4s\"\nfor = \"1s\"\n";

    #[test]
    fn a_drill_and_a_simulation_have_the_same_calls() {
        let config = load(&Source::new("mainstay.toml", CONFIGURATION)).unwrap().config;
        let scenario = load_scenario("t.toml", SCENARIO).unwrap();
        let simulated = mainstay_sim::play(&config, &scenario, scenario.seed, "").unwrap().report;
        let workload = &scenario.workloads[0];
        let methods = Methods::of(workload.methods.clone());
        let luck = CallersLuck::new(scenario.seed, 0);
        let profile = profile(&scenario, workload).unwrap();
        let schedule = Schedule::new(luck, profile, Arrivals::Poisson, methods, String::new());
        let mut seconds = vec![0; 6];
        let (mut number, mut due) = (0, schedule.due(0, 0));
        while let Some(second) = seconds.get_mut((due / 1_000_000_000) as usize) {
            *second += 1;
            number += 1;
            due = schedule.due(number, due);
        }
        let of_simulation: Vec<u64> = simulated.timeline.iter().map(|second| second.requests).collect();
        assert_eq!(seconds, of_simulation);
    }
}
