//! What a gateway does when nobody asks: its workers look after themselves and tell each other what they learned, its
//! endpoints are checked, and once a second somebody looks at everything.

use std::collections::BTreeMap;

use mainstay_config::scenario::FaultKind;
use mainstay_core::{Duration, EndpointId, Failure, Instant, Seed};
use mainstay_policy::{
    BreakerState, CheckFailure, CheckResult, CheckSchedule, EndpointState, FleetEvent, Probe, ServiceEvent,
};

use super::network::Direction;
use super::{Checked, Connect, Event, World};
use crate::account::Sample;

/// While calls wait for permits, or the workers have news for each other.
const BUSY: Duration = Duration::from_millis(5);
/// Otherwise.
const QUIET: Duration = Duration::from_millis(100);

/// The checks of one service at one gateway.
#[derive(Debug)]
pub(super) struct Checks {
    schedule: CheckSchedule,
    /// Those that run, by instance, and when each began.
    running: BTreeMap<u32, Instant>,
    made: u64,
    /// When somebody looks after them next.
    planned: Instant,
}

impl World<'_> {
    pub(super) fn checks(&self, seed: Seed) -> Vec<Option<Checks>> {
        let of_service = |(place, service): (usize, &mainstay_config::Service)| {
            let health = service.policy.health.as_ref()?;
            let mut schedule = CheckSchedule::new(health, seed.derive(&service.name).derive("checks"));
            let listed = self.services[place].instances.clone().filter(|number| self.is_listed(*number));
            schedule.update(self.now, &listed.map(id_of).collect::<Vec<_>>());
            Some(Checks { schedule, running: BTreeMap::new(), made: 0, planned: Instant::FAR_FUTURE })
        };
        self.config.services.iter().enumerate().map(of_service).collect()
    }

    pub(super) fn plan_checks(&mut self) {
        for gateway in 0..self.gateways.len() as u16 {
            for service in 0..self.services.len() as u16 {
                self.plan_check(gateway, service);
            }
        }
    }

    fn plan_check(&mut self, gateway: u16, service: u16) {
        let Some(checks) = self.gateways[usize::from(gateway)].checks[usize::from(service)].as_mut() else { return };
        let due = checks.schedule.poll_timeout().map_or(Instant::FAR_FUTURE, |due| due.at.max(self.now));
        if due < checks.planned {
            checks.planned = due;
            self.queue.push(due, Event::CheckDue { gateway, service });
        }
    }

    /// A gateway knows another list of a service's endpoints.
    pub(super) fn check_others(&mut self, gateway: u16, service: u16) {
        let known = &self.gateways[usize::from(gateway)].listings;
        let all = self.services[usize::from(service)].instances.clone();
        let ids: Vec<_> = all.filter(|number| known[*number as usize] % 2 == 1).map(id_of).collect();
        if let Some(checks) = self.gateways[usize::from(gateway)].checks[usize::from(service)].as_mut() {
            checks.schedule.update(self.now, &ids);
        }
        self.plan_check(gateway, service);
    }

    pub(super) fn check_due(&mut self, gateway: u16, service: u16) {
        let planned = self.gateways[usize::from(gateway)].checks[usize::from(service)].as_mut();
        match planned {
            // One that was planned earlier has overtaken this one.
            Some(checks) if checks.planned != self.now => return,
            Some(checks) => checks.planned = Instant::FAR_FUTURE,
            None => return,
        }
        while let Some(checks) = self.gateways[usize::from(gateway)].checks[usize::from(service)].as_mut() {
            let Some(id) = checks.schedule.poll_due(self.now) else { break };
            checks.running.insert(id.slot, self.now);
            checks.made += 1;
            let whose = checks.made;
            self.begin_check(gateway, service, id.slot, whose);
        }
        self.plan_check(gateway, service);
    }

    /// A check opens a connection of its own and asks.
    fn begin_check(&mut self, gateway: u16, service: u16, instance: u32, whose: u64) {
        let timeout = self.check_timeout(service);
        let end = |how| Event::CheckEnd { gateway, service, instance, how };
        let takes = self.there_and_back(gateway, instance, whose);
        let (opened, how) = match (takes, self.instances[instance as usize].connect()) {
            (Some(takes), Some(how)) if takes < timeout => (takes, how),
            _ => return self.plan(timeout, end(Checked::ConnectTimeout)),
        };
        match how {
            Connect::Refused => self.plan(opened, end(Checked::Refused)),
            Connect::Unreachable => self.plan(opened, end(Checked::Unreachable)),
            Connect::Stands => match self.pass(gateway, instance, Direction::There, whose, 0) {
                Some(after) => self.plan(opened + after, Event::CheckReach { gateway, service, instance }),
                None => self.plan(timeout, end(Checked::Timeout)),
            },
        }
    }

    fn check_timeout(&self, service: u16) -> Duration {
        let health = self.config.services[usize::from(service)].policy.health.as_ref();
        health.map_or(Duration::ZERO, |health| health.timeout)
    }

    pub(super) fn check_reached(&mut self, gateway: u16, service: u16, instance: u32) {
        let began = self.gateways[usize::from(gateway)].checks[usize::from(service)].as_ref();
        let Some(began) = began.and_then(|checks| checks.running.get(&instance)).copied() else { return };
        let end = |how| Event::CheckEnd { gateway, service, instance, how };
        let rest = (began + self.check_timeout(service)).since(self.now);
        let answered = self.health(service, instance, began);
        let back = self.pass(gateway, instance, Direction::Back, began.as_nanos(), 0);
        match (answered, back) {
            (Some((how, late)), Some(back)) if late + back < rest => self.plan(late + back, end(how)),
            _ => self.plan(rest, end(Checked::Timeout)),
        }
    }

    /// What an instance says of its health, and how late; none where it says nothing.
    fn health(&self, service: u16, number: u32, began: Instant) -> Option<(Checked, Duration)> {
        let configured = &self.config.services[usize::from(service)];
        let Some(Probe::Http { expect, .. }) = configured.policy.health.as_ref().map(|health| &health.probe) else {
            return Some((Checked::Pass, Duration::ZERO));
        };
        let says = |status: u16| {
            let passes = expect.iter().any(|(first, last)| (*first..=*last).contains(&status));
            if passes { Checked::Pass } else { Checked::Status(status) }
        };
        let instance = &self.instances[number as usize];
        if instance.dead > 0 {
            return (instance.silent == 0).then_some((Checked::Reset, Duration::ZERO));
        }
        if instance.hung > 0 || instance.starved > 0 {
            return None;
        }
        let mut late = Duration::ZERO;
        for fault in &instance.suffers {
            let luck = self.lucks.checks.of(u64::from(*fault));
            let hit =
                |share: mainstay_core::Ratio| luck.strikes(share.get(), u64::from(number) << 40 ^ began.as_nanos(), 0);
            match self.faults.strikes[usize::from(*fault)].kind {
                FaultKind::Limp(delay, of) if hit(of.share) => late = late + delay,
                FaultKind::Errors(status, of) if hit(of.share) => return Some((says(status), late)),
                FaultKind::Sick => return Some((says(503), late)),
                FaultKind::Reset(of) if hit(of.share) => return Some((Checked::Reset, late)),
                FaultKind::Stall(of) if hit(of.share) => return None,
                FaultKind::Garbage(of) if hit(of.share) => return Some((Checked::Malformed, late)),
                FaultKind::Wrong(of) if configured.expect_body.is_some() && hit(of.share) => {
                    return Some((Checked::Body, late));
                }
                _ => {}
            }
        }
        Some((says(200), late))
    }

    pub(super) fn check_ended(&mut self, gateway: u16, service: u16, instance: u32, how: Checked) {
        let checks = self.gateways[usize::from(gateway)].checks[usize::from(service)].as_mut();
        let Some(checks) = checks else { return };
        if checks.running.remove(&instance).is_none() {
            return;
        }
        checks.schedule.done(self.now, id_of(instance));
        let result = result_of(how);
        for worker in self.workers_of(gateway) {
            let cell = &mut self.workers[worker as usize].cells[usize::from(service)];
            let found = cell.endpoints.iter().flatten().find(|endpoint| endpoint.instance == instance);
            if let Some(id) = found.map(|endpoint| endpoint.id) {
                cell.service.check(self.now, id, result);
            }
            self.tell_events(worker, usize::from(service));
        }
        self.plan_check(gateway, service);
    }

    pub(super) fn workers_of(&self, gateway: u16) -> std::ops::Range<u32> {
        let first = self.gateways[usize::from(gateway)].first;
        first..first + self.scenario.gateways.workers
    }

    pub(super) fn tick(&mut self, worker: u32) {
        let place = worker as usize;
        let mut waiting = false;
        for service in 0..self.services.len() {
            let cell = &mut self.workers[place].cells[service];
            if !cell.waiting.is_empty() {
                waiting = true;
                cell.service.poke(self.now);
                self.admit(worker, service as u32);
            }
        }
        if self.now >= self.workers[place].slow {
            self.workers[place].slow = self.now + QUIET;
            for service in 0..self.services.len() {
                self.workers[place].cells[service].service.poke(self.now);
                self.admit(worker, service as u32);
                self.close_expired(worker, service);
                self.tell_events(worker, service);
            }
        }
        let told = self.tell_peers(worker);
        self.plan(if waiting || told { BUSY } else { QUIET }, Event::Tick { worker });
    }

    fn close_expired(&mut self, worker: u32, service: usize) {
        for endpoint in self.workers[worker as usize].cells[service].endpoints.iter_mut().flatten() {
            while endpoint.pool.poll_expired(self.now).is_some() {}
        }
    }

    /// Tells the other workers of the gateway what this one has learned; whether that was anything.
    fn tell_peers(&mut self, worker: u32) -> bool {
        if self.scenario.gateways.workers < 2 {
            return false;
        }
        let mut told = false;
        for service in 0..self.services.len() {
            let delta = self.workers[worker as usize].cells[service].service.share();
            if delta.is_empty() {
                continue;
            }
            told = true;
            for peer in self.workers_of(self.workers[worker as usize].gateway).filter(|peer| *peer != worker) {
                self.workers[peer as usize].cells[service].service.learn(self.now, &delta);
            }
        }
        told
    }

    fn tell_events(&mut self, worker: u32, service: usize) {
        while let Some(event) = self.workers[worker as usize].cells[service].service.next_event() {
            let first = self.workers[worker as usize].is_first;
            if let Some(what) = self.tale(worker, service, &event).filter(|_| first || !is_told_to_all(&event)) {
                self.ledger.event(self.now, what);
            }
        }
    }

    /// An event in the words of a report.
    fn tale(&self, worker: u32, service: usize, event: &ServiceEvent) -> Option<String> {
        let name = &self.services[service].name;
        let who = |id: EndpointId| {
            let cell = &self.workers[worker as usize].cells[service];
            let endpoint = cell.endpoints.get(id.slot as usize).and_then(Option::as_ref);
            endpoint.map_or_else(|| name.clone(), |endpoint| self.name_of(endpoint.instance))
        };
        let what = match event {
            ServiceEvent::Breaker(event) => format!("{name}: breaker {} → {} ({})", event.from, event.to, event.why),
            ServiceEvent::Fleet(FleetEvent::Ejected { endpoint, cause, .. }) => {
                format!("{} ejected ({cause})", who(*endpoint))
            }
            ServiceEvent::Fleet(FleetEvent::Probing { endpoint, .. }) => format!("{} probed", who(*endpoint)),
            ServiceEvent::Fleet(FleetEvent::Restored { endpoint, by, .. }) => {
                format!("{} back ({})", who(*endpoint), by.as_str())
            }
            ServiceEvent::Fleet(FleetEvent::Limping { endpoint, latency, others, .. }) => {
                format!("{} limps ({} ms, the others {} ms)", who(*endpoint), latency.as_millis(), others.as_millis())
            }
            ServiceEvent::Fleet(FleetEvent::CheckFailed { endpoint, failure, .. }) => {
                format!("{}: a check failed ({failure})", who(*endpoint))
            }
            ServiceEvent::Fleet(FleetEvent::CheckPassed { endpoint, .. }) if self.now > Instant::ORIGIN + QUIET => {
                format!("{}: a check passed", who(*endpoint))
            }
            ServiceEvent::Fleet(FleetEvent::CheckPassed { .. }) => return None,
            ServiceEvent::Fleet(FleetEvent::Draining { endpoint, .. }) => format!("{} drained", who(*endpoint)),
            ServiceEvent::Fleet(FleetEvent::Panic { on: true }) => {
                format!("{name}: too few endpoints are usable, health and ejection are ignored")
            }
            ServiceEvent::Fleet(FleetEvent::Panic { on: false }) => {
                format!("{name}: enough endpoints are usable again")
            }
        };
        let gateway = self.workers[worker as usize].gateway;
        Some(if self.gateways.len() > 1 { format!("gateway {gateway}: {what}") } else { what })
    }

    /// What a report calls an instance.
    pub(crate) fn name_of(&self, instance: u32) -> String {
        let there = &self.instances[instance as usize];
        format!("{}/{}", self.services[there.service as usize].name, there.number)
    }

    /// What everything looks like at the end of a second, to the first worker.
    pub(super) fn sample(&mut self) {
        let (now, mut usable, mut breakers) = (self.now, 0, Vec::new());
        for service in 0..self.services.len() {
            let view = self.workers[0].cells[service].service.view(now);
            usable += view.endpoints.iter().filter(|endpoint| endpoint.state == EndpointState::Ready).count() as u64;
            if view.breaker != BreakerState::Closed {
                breakers.push(format!("{}: {}", self.services[service].name, view.breaker));
            }
        }
        let (in_flight, running) = (self.calls.len() as u64, self.running());
        self.ledger.second(now, Sample { in_flight, usable, running, breakers });
    }
}

/// Whether every worker learns it alike.
fn is_told_to_all(event: &ServiceEvent) -> bool {
    match event {
        ServiceEvent::Breaker(_) => false,
        ServiceEvent::Fleet(event) => match event {
            FleetEvent::Ejected { cause, .. } => matches!(cause, mainstay_policy::Cause::Check(_)),
            FleetEvent::Restored { by, .. } => matches!(by, mainstay_policy::Recovery::Check),
            FleetEvent::Limping { .. } => false,
            _ => true,
        },
    }
}

/// What the schedule calls an instance.
fn id_of(instance: u32) -> EndpointId {
    EndpointId { slot: instance, generation: 0 }
}

fn result_of(how: Checked) -> CheckResult {
    let failed = |failure: Failure| CheckResult::Fail(failure.into());
    match how {
        Checked::Pass => CheckResult::Pass,
        Checked::Refused => failed(Failure::Refused),
        Checked::Unreachable => failed(Failure::Unreachable),
        Checked::ConnectTimeout => failed(Failure::ConnectTimeout),
        Checked::Timeout => failed(Failure::Timeout),
        Checked::Reset => failed(Failure::Reset),
        Checked::Malformed => failed(Failure::Malformed),
        Checked::Status(status) => failed(Failure::Status(status)),
        Checked::Body => CheckResult::Fail(CheckFailure::Body),
    }
}
