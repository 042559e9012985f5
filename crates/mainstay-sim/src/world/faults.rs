//! What goes wrong: each fault begins, changes and ends at its own times, and several may strike one instance at once.

use mainstay_config::scenario::{FaultKind, Way};
use mainstay_core::Duration;

use super::network::Wall;
use super::{Event, World};
use crate::stage::Strike;

/// A rolled-out version is on all instances when this share of the fault's time is over.
const ROLLED_OUT: f64 = 0.5;

/// The scenario's faults, by number.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) strikes: Vec<Strike>,
}

/// An even step begins something, an odd one ends it.
fn begins(step: u32) -> bool {
    step.is_multiple_of(2)
}

impl World<'_> {
    pub(super) fn plan_faults(&mut self) {
        for number in 0..self.faults.strikes.len() {
            let Strike { kind, from, to, instances, .. } = &self.faults.strikes[number];
            let number = number as u16;
            match kind {
                FaultKind::Flap(period) => {
                    let (mut at, mut step) = (*from, 0);
                    while at < *to {
                        self.queue.push(at, Event::Fault { number, step });
                        let up = (at + Duration::from_nanos(period.as_nanos() / 2)).min(*to);
                        self.queue.push(up, Event::Fault { number, step: step + 1 });
                        (at, step) = (at + *period, step + 2);
                    }
                }
                FaultKind::Memory(period) => {
                    let (mut at, mut step) = (*from, 0);
                    while at < *to {
                        self.queue.push(at, Event::Fault { number, step });
                        self.queue.push(at + Duration::from_nanos(1), Event::Fault { number, step: step + 1 });
                        (at, step) = (at + *period, step + 2);
                    }
                }
                FaultKind::BadDeploy(_) => {
                    let stride = to.since(*from).mul_f64(ROLLED_OUT / instances.len().max(1) as f64);
                    for turn in 0..instances.len() as u32 {
                        let late = stride.saturating_mul(u64::from(turn));
                        self.queue.push(*from + late, Event::Fault { number, step: 2 * turn });
                        self.queue.push(*to + late, Event::Fault { number, step: 2 * turn + 1 });
                    }
                }
                _ => {
                    self.queue.push(*from, Event::Fault { number, step: 0 });
                    self.queue.push(*to, Event::Fault { number, step: 1 });
                }
            }
        }
    }

    pub(super) fn fault(&mut self, number: u16, step: u32) {
        self.ledger.stir();
        let strike = &self.faults.strikes[usize::from(number)];
        if let FaultKind::BadDeploy(_) = strike.kind {
            let instance = strike.instances[step as usize / 2];
            self.restart(instance);
            return self.suffers(instance, number, begins(step));
        }
        if let (FaultKind::Zone, Some(zone)) = (&strike.kind, strike.zone.clone()) {
            self.close_gateways(&zone, begins(step));
        }
        for turn in 0..self.faults.strikes[usize::from(number)].instances.len() {
            let instance = self.faults.strikes[usize::from(number)].instances[turn];
            self.strike(number, instance, begins(step));
        }
    }

    fn strike(&mut self, number: u16, instance: u32, begins: bool) {
        let Strike { kind, to, .. } = &self.faults.strikes[usize::from(number)];
        let (to, place) = (*to, instance as usize);
        match *kind {
            FaultKind::Crash | FaultKind::Flap(_) | FaultKind::Memory(_) => self.kill(instance, begins),
            FaultKind::Zone => self.vanish(instance, begins),
            // It is a part of the workload's course.
            FaultKind::Surge(_) => {}
            FaultKind::Hang => self.freeze(instance, begins),
            FaultKind::Cold => {
                if begins {
                    self.chill(instance);
                }
            }
            FaultKind::Partition { way, delivered } => {
                let wall = begins.then_some(Wall { until: to, delivered });
                let path = &mut self.instances[place].path;
                if way != Way::Back {
                    path.there = wall;
                }
                if way != Way::There {
                    path.back = wall;
                }
            }
            FaultKind::Loss(share) => {
                let path = &mut self.instances[place].path;
                path.loss = if begins { path.loss + share.get() } else { (path.loss - share.get()).max(0.0) };
            }
            FaultKind::Delay(delay) => {
                let path = &mut self.instances[place].path;
                path.delay = if begins { path.delay + delay } else { path.delay - delay };
            }
            FaultKind::Descriptors => {
                let starved = &mut self.instances[place].starved;
                *starved = if begins { *starved + 1 } else { *starved - 1 };
                if *starved == 0 {
                    self.accept_waiting(instance);
                }
            }
            FaultKind::ExpiredCertificate => {
                let distrusted = &mut self.instances[place].distrusted;
                *distrusted = if begins { *distrusted + 1 } else { *distrusted - 1 };
            }
            _ => self.suffers(instance, number, begins),
        }
    }

    fn suffers(&mut self, instance: u32, number: u16, begins: bool) {
        let suffers = &mut self.instances[instance as usize].suffers;
        if begins {
            suffers.push(number);
        } else {
            suffers.retain(|other| *other != number);
        }
    }

    pub(super) fn kill(&mut self, instance: u32, dies: bool) {
        let there = &mut self.instances[instance as usize];
        there.dead = if dies { there.dead + 1 } else { there.dead - 1 };
        match (dies, there.dead) {
            (true, 1) => self.die(instance),
            (false, 0) => self.start(instance),
            _ => {}
        }
    }

    /// The machine is gone with the process, and nobody says so.
    fn vanish(&mut self, instance: u32, goes: bool) {
        let there = &mut self.instances[instance as usize];
        there.silent = if goes { there.silent + 1 } else { there.silent - 1 };
        self.kill(instance, goes);
    }

    fn freeze(&mut self, instance: u32, stops: bool) {
        let there = &mut self.instances[instance as usize];
        there.hung = if stops { there.hung + 1 } else { there.hung - 1 };
        match (stops, there.hung) {
            (true, 1) => self.stop(instance),
            (false, 0) => self.go_on(instance),
            _ => {}
        }
    }

    fn restart(&mut self, instance: u32) {
        if self.instances[instance as usize].dead == 0 {
            self.die(instance);
            self.start(instance);
        }
    }

    /// The gateways of a zone are gone with it: whoever would call them calls the others. What they have under way they
    /// finish.
    fn close_gateways(&mut self, zone: &str, goes: bool) {
        let first = self.gateways.iter().position(|gateway| *gateway.zone != *zone);
        // Where all stand in the zone there is nobody else to call, and no fault of the instances to be seen.
        if first.is_none() {
            return;
        }
        for gateway in self.gateways.iter_mut().filter(|gateway| *gateway.zone == *zone) {
            gateway.is_down = goes;
        }
    }
}
