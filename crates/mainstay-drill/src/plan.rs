//! What a scenario's faults come to here: which member is struck when, by what, and until when.
//!
//! In: a scenario, the members of the stage, and how many of them may be struck at once. Out: the spells, in the order
//! in which they begin; or every reason why the scenario cannot be played, before anything has been started. Nothing of
//! a scenario is left out in silence.

use std::collections::BTreeSet;

use mainstay_config::scenario::{
    Abandoned, Discipline, Fault, FaultKind, Hits, HitsOf, Instances, Load, Pick, Scenario, Slower, Step, Victims, Way,
    Workload,
};
use mainstay_core::{Duration, Limit, Ratio};
use mainstay_sim::VictimsLuck;
use serde_json::{Value, json};

use crate::proxy::Ill;

/// How long an instance is down that is ended and started again at once.
const BLINK: Duration = Duration::from_millis(100);

/// One instance that can be struck.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// `shop/0`
    pub(crate) name: String,
    /// `shop`
    pub(crate) service: String,
    /// Where it stands; empty where that is not told.
    pub(crate) zone: String,
    /// It can be told to have faults.
    pub(crate) has_switch: bool,
    /// It can be started again when it has been ended.
    pub(crate) can_start: bool,
    /// A process of this machine, that can be sent a signal.
    pub(crate) has_process: bool,
    /// A proxy can stand before it.
    pub(crate) has_way: bool,
}

/// A time in which a member is struck.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spell {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    /// Position among the members.
    pub(crate) member: usize,
    pub(crate) deed: Deed,
    /// The position of its fault in the scenario.
    pub(crate) fault: usize,
}

/// What is done to a member, and undone at the end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Deed {
    /// It is ended as by a power cut, and started again.
    Down,
    /// It stands still, and goes on.
    Still,
    /// It gets this share of its processor.
    Throttled(Ratio),
    /// It has no descriptor for another connection.
    NoDescriptors,
    /// It is told to have a fault of its own.
    Told(Value),
    /// The way to it has a fault.
    Way(Ill),
    /// The gateway lets attempts at it have a fault.
    Hooked(Value),
}

/// What the way to a member must be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Nothing,
    /// What only a proxy can.
    Proxy,
    /// What the kernel can: drop all of what is sent, or some.
    Link,
}

/// What the way to the `at`-th member must be able to do for its spells.
pub(crate) fn wanted(spells: &[Spell], members: &[Member], at: usize) -> Wanted {
    let ills = spells.iter().filter(|spell| spell.member == at).filter_map(|spell| match spell.deed {
        Deed::Way(ill) => Some(ill),
        _ => None,
    });
    let mut wanted = Wanted::Nothing;
    for ill in ills {
        // Whoever else's instance may need what is not in the namespace with it.
        let by_link = matches!(ill, Ill::Cut { .. } | Ill::Lossy(_)) && members[at].has_switch;
        wanted = if by_link && wanted != Wanted::Proxy { Wanted::Link } else { Wanted::Proxy };
    }
    wanted
}

/// That a proxy plays what the network could, and before whom, if it does.
pub(crate) fn stand_ins(spells: &[Spell], members: &[Member], wanted: &[Wanted]) -> Option<String> {
    let of_network = |spell: &&Spell| matches!(spell.deed, Deed::Way(Ill::Cut { .. } | Ill::Lossy(_)));
    let played = spells.iter().filter(of_network).map(|spell| spell.member);
    let played: BTreeSet<usize> = played.filter(|at| wanted[*at] == Wanted::Proxy).collect();
    let names: Vec<&str> = played.into_iter().map(|at| members[at].name.as_str()).collect();
    let why = "an instance of your own stays where what it needs is, and only a proxy can do what else befalls the way";
    (!names.is_empty()).then(|| format!("a proxy stands in for the network before {}: {why}", names.join(", ")))
}

impl Deed {
    fn is_of_the_way(&self) -> bool {
        matches!(self, Self::Way(_))
    }
}

/// The spells of a scenario.
///
/// # Errors
/// Every reason why it cannot be played, one sentence each.
pub(crate) fn spells(scenario: &Scenario, members: &[Member], most: Ratio) -> Result<Vec<Spell>, Vec<String>> {
    let too_much = too_much(scenario, members);
    if !too_much.is_empty() {
        return Err(too_much);
    }
    let mut plan = Plan { scenario, members, spells: Vec::new(), refused: refusals(scenario) };
    for (number, fault) in scenario.faults.iter().enumerate() {
        plan.take(number, fault);
    }
    plan.refuse_overlaps();
    plan.refuse_hooks_at_once();
    plan.refuse_too_many(most);
    plan.spells.sort_by_key(|spell| (spell.from, spell.member));
    if plan.refused.is_empty() { Ok(plan.spells) } else { Err(plan.refused) }
}

/// Processes of a drill that one machine carries.
const INSTANCES: usize = 200;
/// Each has its line in the books.
const CALLS: f64 = 1e7;
/// A process takes some milliseconds to start.
const CRASHES: u64 = 1_000;

/// What would fill the machine on which it is played.
fn too_much(scenario: &Scenario, members: &[Member]) -> Vec<String> {
    let mut refused = Vec::new();
    if members.len() > INSTANCES {
        refused.push(format!("{} instances are more than a drill has: {INSTANCES} at most", members.len()));
    }
    let surges = scenario.faults.iter().filter_map(|fault| match fault.kind {
        FaultKind::Surge(factor) => Some(factor * fault.length.as_secs_f64() / scenario.duration.as_secs_f64()),
        _ => None,
    });
    let calls = scenario.workloads.iter().map(|workload| calls_of(workload, scenario.duration)).sum::<f64>();
    let calls = calls * (1.0 + surges.sum::<f64>());
    if calls > CALLS {
        refused.push(format!("about {calls:.0} calls are more than a drill makes: {CALLS:.0} at most"));
    }
    for fault in &scenario.faults {
        let (FaultKind::Flap(period) | FaultKind::Memory(period)) = fault.kind else { continue };
        let crashes = fault.length.as_nanos() / period.as_nanos().max(1);
        if crashes > CRASHES {
            let at = place(fault.line);
            refused.push(format!("{at}a crash every {period} comes to {crashes}: {CRASHES} of a fault at most"));
        }
    }
    refused
}

/// How many come at the rates that are reached; of closed arrivals nobody can tell.
fn calls_of(workload: &Workload, duration: Duration) -> f64 {
    let Load::Open { steps, .. } = &workload.load else { return 0.0 };
    let until = |number: usize| steps.get(number + 1).map_or(duration, |next| next.at).as_secs_f64();
    let of = |(number, step): (usize, &Step)| {
        let rate = step.rate.map_or(0.0, |rate| rate.count() as f64 / rate.per().as_secs_f64());
        rate * (until(number) - step.at.as_secs_f64()).max(0.0)
    };
    steps.iter().enumerate().map(of).sum()
}

/// What of a scenario, its faults aside, no process of ours can do.
fn refusals(scenario: &Scenario) -> Vec<String> {
    let mut refused = Vec::new();
    for instances in &scenario.instances {
        let at = place(instances.line);
        let cannot = instance_refusals(instances);
        refused.extend(cannot.into_iter().map(|what| format!("{at}{what} cannot be played with `mainstay instance`")));
    }
    for workload in &scenario.workloads {
        let at = place(workload.line);
        if workload.retries > 0 {
            refused.push(format!("{at}callers who retry by themselves cannot be played; retries are the gateway's"));
        }
        if matches!(workload.load, Load::Closed { .. }) && scenario.workloads.len() > 1 {
            refused.push(format!("{at}callers who wait for their answers are played alone, not beside others"));
        }
    }
    if scenario.gateways.count > 1 {
        let count = scenario.gateways.count;
        refused.push(format!("gateways.count = {count}: a drill plays one gateway"));
    }
    if scenario.network.loss.get() > 0.0 {
        refused
            .push("network.loss: losing messages for ever cannot be played; a fault of kind \"loss\" can".to_owned());
    }
    refused
}

fn instance_refusals(instances: &Instances) -> Vec<&'static str> {
    let all = [
        ("instance.discipline", instances.discipline != Discipline::Fifo),
        ("instance.drop_expired", instances.drop_expired),
        ("instance.abandoned", instances.abandoned != Abandoned::Done),
        ("instance.slowdown", instances.slowdown.get() > 0.0),
        ("instance.warm_up", instances.warm_up.is_some()),
        ("instance.cache", instances.cache.is_some()),
        ("instance.calls", !instances.calls.is_empty()),
        ("instance.autoscale", instances.autoscale.is_some()),
        ("instance.queue = \"unlimited\"", instances.queue == Limit::Unlimited),
        ("instance.concurrency = \"unlimited\"", instances.concurrency == Limit::Unlimited),
    ];
    all.into_iter().filter(|(_, is)| *is).map(|(what, _)| what).collect()
}

/// `line 12: `, where that is known.
fn place(line: Option<u32>) -> String {
    line.map_or(String::new(), |line| format!("line {line}: "))
}

struct Plan<'a> {
    scenario: &'a Scenario,
    members: &'a [Member],
    spells: Vec<Spell>,
    refused: Vec<String>,
}

impl Plan<'_> {
    fn refuse(&mut self, fault: &Fault, why: &str) {
        self.refused.push(format!("{}a fault of kind {:?} {why}", place(fault.line), fault.kind.word()));
    }

    fn take(&mut self, number: usize, fault: &Fault) {
        if matches!(fault.kind, FaultKind::Surge(_)) {
            // It is the load's.
            return;
        }
        let victims = victims(fault, number, self.members, self.scenario.seed);
        if victims.is_empty() {
            self.refuse(fault, &nobody(&fault.victims, self.members));
        }
        for (place, &member) in victims.iter().enumerate() {
            match deeds(fault, place, victims.len(), &self.members[member]) {
                Ok(deeds) => self.spells.extend(deeds.into_iter().map(|(from, to, deed)| Spell {
                    from,
                    to,
                    member,
                    deed,
                    fault: number,
                })),
                Err(why) => {
                    self.refuse(fault, &why);
                    return;
                }
            }
        }
    }

    /// Two faults of one process at once would undo each other. One of its way beside one of its own is well.
    fn refuse_overlaps(&mut self) {
        let mut told = BTreeSet::new();
        for (number, one) in self.spells.iter().enumerate() {
            for other in &self.spells[..number] {
                let same = one.member == other.member && one.deed.is_of_the_way() == other.deed.is_of_the_way();
                if same && one.fault != other.fault && one.from < other.to && other.from < one.to {
                    told.insert((other.fault, one.fault, one.member));
                }
            }
        }
        for (first, second, member) in told {
            let word = |fault: usize| self.scenario.faults[fault].kind.word();
            self.refused.push(format!(
                "{}{:?} and {:?} strike {} at the same time, and the end of one would end the other",
                place(self.scenario.faults[second].line),
                word(first),
                word(second),
                self.members[member].name
            ));
        }
    }

    /// A gateway has one fault for each service at a time.
    fn refuse_hooks_at_once(&mut self) {
        let hooked = |spell: &&Spell| matches!(spell.deed, Deed::Hooked(_));
        let mut told = BTreeSet::new();
        for (number, one) in self.spells.iter().enumerate().filter(|(_, spell)| hooked(spell)) {
            for other in self.spells[..number].iter().filter(hooked) {
                let service = &self.members[one.member].service;
                let same = *service == self.members[other.member].service;
                if same && one.from < other.to && other.from < one.to {
                    told.insert((one.fault, service.clone()));
                }
            }
        }
        for (fault, service) in told {
            self.refuse(
                &self.scenario.faults[fault].clone(),
                &format!("is played by the gateway, which has one fault at a time for the service {service}"),
            );
        }
    }

    /// No more than the share `most` of a service's instances may be struck at one time; one always may.
    fn refuse_too_many(&mut self, most: Ratio) {
        let mut told = BTreeSet::new();
        for spell in &self.spells {
            let service = &self.members[spell.member].service;
            let all = self.members.iter().filter(|member| member.service == *service).count();
            let at_once = self.spells.iter().filter(|other| other.from <= spell.from && spell.from < other.to);
            let struck: BTreeSet<usize> = at_once.map(|other| other.member).collect();
            let struck = struck.iter().filter(|member| self.members[**member].service == *service).count();
            if struck > 1 && struck as f64 > most.get() * all as f64 {
                told.insert((spell.fault, service.clone(), struck, all));
            }
        }
        for (fault, service, struck, all) in told {
            let fault = &self.scenario.faults[fault];
            self.refused.push(format!(
                "{}{:?} would strike {struck} of {all} instances of {service} at once, and guard.max_victims is {most}",
                place(fault.line),
                fault.kind.word()
            ));
        }
    }
}

/// Whom a fault strikes, by position.
fn victims(fault: &Fault, number: usize, members: &[Member], seed: u64) -> Vec<usize> {
    let of = |wanted: &dyn Fn(&Member) -> bool| -> Vec<usize> {
        members.iter().enumerate().filter(|(_, member)| wanted(member)).map(|(at, _)| at).collect()
    };
    match &fault.victims {
        Victims::One(service, index) => of(&|member| member.name == format!("{service}/{index}")),
        Victims::All(service) => of(&|member| member.service == *service),
        Victims::Zone(zone) => of(&|member| member.zone == *zone),
        Victims::Share { service, share, pick } => {
            let mut all = of(&|member| member.service == *service);
            let count = ((share.get() * all.len() as f64).round() as usize).clamp(1, all.len().max(1));
            if *pick == Pick::Random {
                // The same that a simulation strikes.
                let luck = VictimsLuck::new(seed, number);
                all.sort_by_key(|member| luck.place(*member));
            }
            all.truncate(count);
            all.sort_unstable();
            all
        }
    }
}

/// Why it strikes no instance.
fn nobody(victims: &Victims, members: &[Member]) -> String {
    match victims {
        Victims::One(service, index) => {
            let count = members.iter().filter(|member| member.service == *service).count();
            format!("strikes nobody: {service} has {count} instances, counted from 0, and so no {service}/{index}")
        }
        Victims::All(service) | Victims::Share { service, .. } => {
            format!("strikes nobody: the configuration has no instance of a service {service:?}")
        }
        Victims::Zone(zone) => format!("strikes nobody: no instance stands in the zone {zone:?}"),
    }
}

type Deeds = Vec<(Duration, Duration, Deed)>;

/// What is done to `member`, the `place`-th of `count` victims, and when.
fn deeds(fault: &Fault, place: usize, count: usize, member: &Member) -> Result<Deeds, String> {
    let whole = |deed: Deed| vec![(fault.at, fault.end(), deed)];
    match &fault.kind {
        FaultKind::Crash | FaultKind::Zone => down(member, whole(Deed::Down)),
        FaultKind::Flap(period) => down(member, again(fault, *period, period.mul_f64(0.5))),
        FaultKind::Memory(period) => down(member, again(fault, *period, BLINK)),
        FaultKind::Hang => signalled(member, whole(Deed::Still)),
        FaultKind::Cpu(share) => signalled(member, whole(Deed::Throttled(*share))),
        FaultKind::Descriptors => signalled(member, whole(Deed::NoDescriptors)),
        FaultKind::BadDeploy(share) => {
            let hits = Hits { share: *share, of: HitsOf::Requests };
            let value = hit(json!({ "kind": "gray", "status": 500 }), hits);
            let later = roll(fault, place, count);
            let deed = told(member, value, None)?;
            Ok(vec![(fault.at + later, fault.end() + later, deed)])
        }
        FaultKind::Partition { way, delivered } => {
            let (there, back) = (*way != Way::Back, *way != Way::There);
            Ok(whole(on_its_way(member, Ill::Cut { there, back, delivered: *delivered }, None)?))
        }
        FaultKind::Loss(share) => Ok(whole(on_its_way(member, Ill::Lossy(*share), None)?)),
        FaultKind::Delay(delay) => {
            // Both ways in one: what the gateway can do is let an attempt begin later.
            let hook = json!({ "kind": "delay", "delay": (*delay + *delay).to_string() });
            Ok(whole(on_its_way(member, Ill::Late(*delay), Some(hook))?))
        }
        FaultKind::Cold => Err("cannot be played: `mainstay instance` has no cache".to_owned()),
        FaultKind::DiskFull | FaultKind::DiskSlow(_) => {
            Err("cannot be played: `mainstay instance` writes nothing that it needs".to_owned())
        }
        FaultKind::ExpiredCertificate => Err("cannot be played: instances are asked without TLS".to_owned()),
        FaultKind::Surge(_) => Ok(Vec::new()),
        other => Ok(whole(own_fault(member, other)?)),
    }
}

/// A fault that an instance can be told to have, or that something before it plays in its place.
fn own_fault(member: &Member, kind: &FaultKind) -> Result<Deed, String> {
    match kind {
        FaultKind::Slow(Slower::By(delay), hits) => {
            told(member, hit(json!({ "kind": "slow", "delay": delay.to_string() }), *hits), None)
        }
        FaultKind::Slow(Slower::Times(times), hits) => {
            told(member, hit(json!({ "kind": "slow", "times": times }), *hits), None)
        }
        FaultKind::Limp(delay, hits) => {
            let hook = hook(json!({ "kind": "delay", "delay": delay.to_string() }), *hits);
            told(member, hit(json!({ "kind": "limp", "delay": delay.to_string() }), *hits), hook)
        }
        FaultKind::Errors(status, hits) => {
            let hook = hook(json!({ "kind": "abort", "status": status }), *hits).filter(|_| *status >= 500);
            told(member, hit(json!({ "kind": "errors", "status": status }), *hits), hook)
        }
        FaultKind::Gray(status, hits) => told(member, hit(json!({ "kind": "gray", "status": status }), *hits), None),
        FaultKind::Sick => told(member, json!({ "kind": "sick" }), None),
        FaultKind::Reset(hits) => {
            let way = whole_way(member, *hits, Ill::Reset);
            way.map_or_else(
                || told(member, hit(json!({ "kind": "reset" }), *hits), hook(json!({ "kind": "reset" }), *hits)),
                Ok,
            )
        }
        FaultKind::Stall(hits) => {
            let way = whole_way(member, *hits, Ill::Stall);
            way.map_or_else(|| told(member, hit(json!({ "kind": "stall" }), *hits), None), Ok)
        }
        FaultKind::Garbage(hits) => {
            let way = whole_way(member, *hits, Ill::Garbage);
            way.map_or_else(|| told(member, hit(json!({ "kind": "garbage" }), *hits), None), Ok)
        }
        FaultKind::Wrong(hits) => told(member, hit(json!({ "kind": "wrong" }), *hits), None),
        other => Err(format!("cannot be played: {} is unknown here", other.word())),
    }
}

/// What a proxy plays in the place of an instance that cannot be told, where everything is hit.
fn whole_way(member: &Member, hits: Hits, ill: Ill) -> Option<Deed> {
    (!member.has_switch && member.has_way && hits.share == Ratio::ONE).then_some(Deed::Way(ill))
}

fn told(member: &Member, fault: Value, hook: Option<Value>) -> Result<Deed, String> {
    match hook {
        _ if member.has_switch => Ok(Deed::Told(fault)),
        Some(hook) => Ok(Deed::Hooked(hook)),
        None => {
            Err(format!("needs an instance that can be told of it, as `mainstay instance` can; {} cannot", member.name))
        }
    }
}

/// A fault of the gateway that hits as much; there is none for a share of the connections.
fn hook(mut fault: Value, hits: Hits) -> Option<Value> {
    fault["share"] = json!(hits.share.to_string());
    (hits.of == HitsOf::Requests).then_some(fault)
}

fn on_its_way(member: &Member, ill: Ill, hook: Option<Value>) -> Result<Deed, String> {
    match hook {
        _ if member.has_way => Ok(Deed::Way(ill)),
        Some(hook) => Ok(Deed::Hooked(hook)),
        None => Err(format!(
            "needs a proxy before {}, and the gateway that runs goes there without one: let the drill start the gateway",
            member.name
        )),
    }
}

fn signalled(member: &Member, deeds: Deeds) -> Result<Deeds, String> {
    if member.has_process {
        return Ok(deeds);
    }
    Err(format!("needs the process of {}, and no process of this machine that we may see listens there", member.name))
}

fn down(member: &Member, deeds: Deeds) -> Result<Deeds, String> {
    if member.can_start {
        return signalled(member, deeds);
    }
    Err(format!("would end {}, and nobody has said how it is started again: say it with --restart", member.name))
}

/// How much later the one after the other is struck in a roll-out that takes half of the fault's length.
fn roll(fault: &Fault, place: usize, count: usize) -> Duration {
    fault.length.mul_f64(0.5 * place as f64 / count.max(1) as f64)
}

/// Down for `length` at the beginning of each period.
fn again(fault: &Fault, period: Duration, length: Duration) -> Deeds {
    let mut deeds = Vec::new();
    let mut from = fault.at;
    while from < fault.end() && !period.is_zero() {
        let to = (from + length).min(fault.end());
        deeds.push((from, to, Deed::Down));
        from = from + period;
    }
    deeds
}

fn hit(mut fault: Value, hits: Hits) -> Value {
    fault["share"] = json!(hits.share.to_string());
    if hits.of == HitsOf::Connections {
        fault["of"] = json!("connections");
    }
    fault
}

#[cfg(test)]
mod tests;
