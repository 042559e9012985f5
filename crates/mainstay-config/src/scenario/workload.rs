//! `[workload]`: who calls, what, and when.

use mainstay_core::{Duration, Limit, Rate, Ratio};

use super::model::{Arrivals, Load, Step, Workload};
use super::values::Number;
use crate::item::Item;
use crate::section::Section;
use crate::value::{Count, Fault, Name, Positive, Weight};

/// More would take more memory than anybody wants to give them.
const MANY: u32 = 1_000_000;

/// The scenario ends at `end`.
pub(super) fn workload(s: &mut Section<'_>, end: Duration) -> Option<Workload> {
    let service: Option<Name> = s.need("service", "\"shop\"");
    let named = service.as_ref().map(|service| service.0.clone()).unwrap_or_default();
    let name: Option<Name> = s.find("name", "the service's");
    let path: Option<String> = s.find("path", "that of the first route to the service");
    if path.as_ref().is_some_and(|path| !path.starts_with('/')) {
        s.fault("path", Fault::new("a path begins with a slash"));
    }
    let load = load(s, end);
    let deadline: Positive<Duration> = s.get("deadline", "2s");
    let tells_deadline = s.get("tells_deadline", "false");
    let methods = methods(s);
    let callers = many(s, "callers", "100");
    let retries: Option<Count> = s.get("retries", "off");
    let keys = many(s, "keys", "1000");
    let skew: Number<0, 10_000> = s.get("skew", "1");
    Some(Workload {
        name: name.map_or(named, |name| name.0),
        service: service?.0,
        path,
        load: load?,
        deadline: deadline.0,
        tells_deadline,
        methods,
        callers,
        retries: retries.map_or(0, |retries| retries.0.min(16)),
        keys,
        skew: skew.0,
        line: s.line(),
    })
}

fn many(s: &mut Section<'_>, key: &'static str, default: &str) -> u32 {
    let count: Count = s.get(key, default);
    if count.0 > MANY {
        s.fault(key, Fault::new(format!("more than {MANY} are not kept apart")));
    }
    count.0.min(MANY)
}

fn load(s: &mut Section<'_>, end: Duration) -> Option<Load> {
    let rate: Option<Rate> = s.find("rate", "what steps or clients say");
    let steps = steps(s, end);
    let arrivals = s.choice(
        "arrivals",
        "poisson",
        &[("poisson", Some(Arrivals::Poisson)), ("uniform", Some(Arrivals::Uniform)), ("closed", None)],
        &[],
    );
    let clients: Option<Count> = s.find("clients", "only for closed arrivals");
    let think = s.get("think", "0s");
    let (rated, stepped) = (s.given("rate").is_some(), s.given("steps").is_some());
    match arrivals? {
        None => {
            if rated || stepped {
                let fault = Fault::new("closed arrivals come as fast as they are answered, not at a rate");
                s.fault(if rated { "rate" } else { "steps" }, fault.help("leave it away, or the arrivals"));
            }
            let Some(clients) = clients else {
                if s.given("clients").is_none() {
                    s.fault("clients", Fault::new("clients is missing").help("add clients = 50"));
                }
                return None;
            };
            Some(Load::Closed { clients: clients.0.min(MANY), think })
        }
        Some(arrivals) => {
            for key in ["clients", "think"].into_iter().filter(|key| s.given(key).is_some()) {
                s.fault(key, Fault::new("only closed arrivals have it").help("add arrivals = \"closed\""));
            }
            let steps = match (rate, rated, stepped) {
                (_, true, true) => {
                    s.fault("steps", Fault::new("there is a rate or there are steps, not both"));
                    return None;
                }
                (Some(rate), ..) => vec![Step { at: Duration::ZERO, rate: Some(rate), over: Duration::ZERO }],
                (None, false, false) => {
                    s.fault("rate", Fault::new("nothing says how often").help("add rate = \"1000/s\""));
                    return None;
                }
                (None, true, false) => return None,
                (None, false, true) => from_the_beginning(s, steps?)?,
            };
            Some(Load::Open { steps, arrivals })
        }
    }
}

/// None where one of them is wrong, which is said of it.
fn steps(s: &mut Section<'_>, end: Duration) -> Option<Vec<Step>> {
    let steps = s.items("steps", |item| Some(step(item, end)));
    steps.into_iter().collect()
}

fn step(item: &Item<'_>, end: Duration) -> Option<Step> {
    if !item.is_table() {
        item.fault(Fault::wanted("a table, as in { at = \"10s\", rate = \"6000/s\" }", item.node));
        return None;
    }
    item.table(|step| {
        let at: Duration = step.get("at", "0s");
        let rate: Option<Option<Rate>> = step.need("rate", "\"6000/s\"");
        let over: Duration = step.get("over", "0s");
        if at >= end {
            step.fault("at", Fault::new(format!("the scenario is over ({end}) before it begins")));
        }
        Some(Step { at, rate: rate?, over })
    })
}

/// Steps in the order of time, of which the first is at 0.
fn from_the_beginning(s: &Section<'_>, mut steps: Vec<Step>) -> Option<Vec<Step>> {
    let ordered = steps.is_sorted_by(|a, b| a.at + a.over <= b.at && a.at < b.at);
    if steps.is_empty() || !ordered {
        let fault =
            if steps.is_empty() { "there is no step" } else { "a step begins before the one before it is over" };
        s.fault("steps", Fault::new(fault));
        return None;
    }
    if !steps[0].at.is_zero() {
        steps.insert(0, Step { at: Duration::ZERO, rate: None, over: Duration::ZERO });
    }
    Some(steps)
}

fn methods(s: &mut Section<'_>) -> Vec<(String, u32)> {
    let methods = s.pairs("methods", |method, item| {
        if method.is_empty() || method.len() > 20 || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
            item.fault(Fault::new(format!("{method:?} is no method")).help("methods are written in capitals, as GET"));
        }
        item.read::<Weight>().map(|weight| (method.to_owned(), weight.0))
    });
    if methods.is_empty() && s.given("methods").is_none() {
        return vec![("GET".to_owned(), 1)];
    }
    if methods.iter().all(|(_, weight)| *weight == 0) {
        s.fault("methods", Fault::new("no method has a weight").help("write { GET = 1 }, or leave it away"));
    }
    methods
}

/// A share that is not everything.
pub(super) fn ceiling(limit: Limit<Count>) -> Limit<u32> {
    match limit {
        Limit::Unlimited => Limit::Unlimited,
        Limit::At(count) => Limit::At(count.0),
    }
}

/// A share above nothing.
pub(super) fn some(s: &mut Section<'_>, key: &'static str, default: &str) -> Ratio {
    let share: Positive<Ratio> = s.get(key, default);
    share.0
}
