//! Stories of a fleet, told as its users see them.

mod adaptive;
mod checks;
mod choosing;
mod comparing;
mod groups;
mod large;
mod laws;
mod passive;
mod slow_start;
mod workers;
mod zones;

use super::*;
use crate::{Cause, HealthSettings, Probe};
use mainstay_core::{CallId, Failure, Limit, Ratio};

const BAD: Report =
    Report::Failed { failure: Failure::Status(503), certainty: Certainty::Applied, latency: Duration::ZERO };
const REFUSED: Report =
    Report::Failed { failure: Failure::Refused, certainty: Certainty::NotSent, latency: Duration::ZERO };
const GOOD: Report = Report::Good { latency: Duration::from_millis(10) };

/// A fleet, its clock and a source of calls.
struct World {
    fleet: Fleet,
    now: Instant,
    calls: u64,
}

impl World {
    fn new(count: u16, settings: &ServiceSettings) -> Self {
        Self::of(&(0..count).map(spec).collect::<Vec<_>>(), settings)
    }

    fn of(specs: &[EndpointSpec], settings: &ServiceSettings) -> Self {
        let mut fleet = Fleet::new(settings, Seed::new(7));
        fleet.update(Instant::ORIGIN, specs);
        Self { fleet, now: Instant::ORIGIN, calls: 0 }
    }

    fn ask(&mut self, attempt: u32, idempotent: bool, tried: &[EndpointId]) -> Result<Choice, NoEndpoint> {
        self.calls += 1;
        let hash = self.calls;
        self.fleet.choose(self.now, &Ask { call: CallId(self.calls), attempt, hash, idempotent, tried })
    }

    fn get(&mut self) -> Choice {
        self.ask(0, true, &[]).unwrap()
    }

    fn post(&mut self) -> Choice {
        self.ask(0, false, &[]).unwrap()
    }

    fn end(&mut self, choice: Choice, report: Report) {
        self.fleet.report(self.now, choice, report);
        self.fleet.finish(self.now, choice, true);
    }

    fn wait(&mut self, length: Duration) {
        self.now += length;
    }

    /// Calls until one lands on `slot`, and ends it with `report`; the others go well.
    fn at(&mut self, slot: u32, report: Report) {
        for _ in 0..10_000 {
            let choice = self.get();
            let ours = choice.endpoint.slot == slot;
            self.end(choice, if ours { report } else { GOOD });
            if ours {
                return;
            }
        }
        panic!("no call came to {slot}");
    }

    /// How many of `count` calls each endpoint gets.
    fn shares(&mut self, count: u32) -> Vec<u32> {
        let mut shares = vec![0; self.fleet.endpoints.slots()];
        for _ in 0..count {
            let choice = self.get();
            shares[choice.endpoint.slot as usize] += 1;
            self.end(choice, GOOD);
        }
        shares
    }

    fn check(&mut self, slot: u32, result: CheckResult) {
        let id = self.fleet.endpoints.at(slot).unwrap().id;
        self.fleet.check(self.now, id, result);
    }

    fn order(&mut self, slot: u32, order: Order) {
        let id = self.fleet.endpoints.at(slot).unwrap().id;
        self.fleet.order(self.now, id, order);
    }

    fn state(&self, slot: u32) -> EndpointState {
        self.fleet.view(self.now)[slot as usize].state
    }

    fn cause(&self, slot: u32) -> Option<Cause> {
        self.fleet.view(self.now)[slot as usize].cause
    }

    fn events(&mut self) -> Vec<FleetEvent> {
        std::iter::from_fn(|| self.fleet.poll_event()).collect()
    }
}

fn spec(port: u16) -> EndpointSpec {
    EndpointSpec { address: SocketAddr::from(([10, 0, 0, 1], port)), weight: 1, zone: "".into(), backup: false }
}

fn backup(port: u16) -> EndpointSpec {
    EndpointSpec { backup: true, ..spec(port) }
}

/// Round robin, so that every endpoint is sure to be asked.
fn plain() -> ServiceSettings {
    ServiceSettings { balance: Balance::RoundRobin, slow_start: None, ..ServiceSettings::default() }
}

fn checked() -> ServiceSettings {
    ServiceSettings { health: Some(HealthSettings::new(Probe::Tcp)), ..plain() }
}

const PASS: CheckResult = CheckResult::Pass;

fn fail(failure: Failure) -> CheckResult {
    CheckResult::Fail(failure.into())
}
