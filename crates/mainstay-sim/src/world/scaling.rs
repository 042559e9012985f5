//! How many instances a service has: an autoscaler that sees what was, instances that take their time to come and to go,
//! and gateways that hear of both later.
//!
//! Every [`Autoscale::every`] it is noted what each instance did since the last time; when that is [`Autoscale::lag`] old
//! the autoscaler sees it and decides. One that comes takes the first free place, and its address; it is cold and warms
//! up, and it is on the list once it answers. One that goes is off the list at once and answers for a while. Each gateway
//! hears of both after a delay of its own, and asks meanwhile whoever it knows.

use std::collections::VecDeque;

use mainstay_config::scenario::Autoscale;
use mainstay_core::{Duration, Instant, Limit};
use mainstay_policy::{Autoscaler, Measure, ScaleReason, Scaling, Seen};

use super::instances::{Instance, Life};
use super::{Event, World};
use crate::words;

/// What its luck is for: how long an instance takes to start, and from here on how long each gateway takes to hear of it.
const START: u32 = 0;
const HEARD: u32 = 1 << 16;
/// Lanes of one gateway: a length may be drawn from several.
const LANES: u32 = 1 << 8;

/// The autoscaler of one service.
#[derive(Debug)]
pub(super) struct Scaler {
    settings: Autoscale,
    autoscaler: Autoscaler,
    /// By place: what each had done when it was noted last, if it ran then.
    noted: Vec<Option<Note>>,
    /// What is on its way to the autoscaler: by place, what each did.
    told: VecDeque<Vec<(u32, f64)>>,
}

/// What an instance had done up to a moment, in slot- and call-nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Note {
    life: u32,
    held: u128,
    there: u128,
}

impl Note {
    fn of(instance: &Instance, now: Instant) -> Option<Self> {
        let books = instance.books.closed(now);
        let note = Self { life: instance.lives, held: books.held_area, there: books.area };
        (instance.life == Life::Running).then_some(note)
    }

    /// What it did in the mean since then.
    fn since(self, before: Self, length: Duration, measure: Measure, slots: Limit<u32>) -> f64 {
        let length = length.as_nanos() as f64;
        let (held, there) = (self.held - before.held, self.there - before.there);
        match (measure, slots) {
            (Measure::Utilisation, Limit::At(slots)) => held as f64 / length / f64::from(slots.max(1)),
            (Measure::Utilisation, Limit::Unlimited) => 0.0,
            (Measure::Concurrency, _) => there as f64 / length,
            (Measure::Queue, _) => there.saturating_sub(held) as f64 / length,
        }
    }
}

impl World<'_> {
    /// Whether an instance is on the list of endpoints.
    pub(super) fn is_listed(&self, number: u32) -> bool {
        self.instances[number as usize].listing % 2 == 1
    }

    pub(super) fn begin_scaling(&mut self) {
        for service in 0..self.services.len() {
            let scaler = self.services[service].described.autoscale.map(|settings| {
                self.queue.push(Instant::ORIGIN + settings.every, Event::Measure { service: service as u16 });
                let places = self.services[service].instances.clone();
                let noted = places.map(|number| Note::of(&self.instances[number as usize], self.now)).collect();
                let autoscaler = Autoscaler::new(settings.policy);
                Scaler { settings, autoscaler, noted, told: VecDeque::new() }
            });
            self.scalers.push(scaler);
        }
    }

    /// Instances that run, of the services whose number of instances changes.
    pub(super) fn running(&self) -> Option<u64> {
        let scaled = self.services.iter().filter(|behind| behind.described.autoscale.is_some());
        let of = |instances: std::ops::Range<u32>| {
            let all = &self.instances[instances.start as usize..instances.end as usize];
            all.iter().filter(|instance| instance.life == Life::Running && instance.dead == 0).count() as u64
        };
        scaled.map(|behind| of(behind.instances.clone())).reduce(|one, other| one + other)
    }

    pub(super) fn measure(&mut self, service: u16) {
        let behind = &self.services[usize::from(service)];
        let Some(scaler) = self.scalers[usize::from(service)].as_mut() else { return };
        let Autoscale { policy, every, lag, .. } = scaler.settings;
        let mut told = Vec::new();
        for (noted, number) in scaler.noted.iter_mut().zip(behind.instances.clone()) {
            let instance = &self.instances[number as usize];
            let note = Note::of(instance, self.now);
            let before = std::mem::replace(noted, note);
            // Who began within that time has no mean over it, and who is dead tells nothing.
            let both = before.zip(note).filter(|(before, note)| before.life == note.life && instance.dead == 0);
            if let Some((before, note)) = both {
                told.push((number, note.since(before, every, policy.measure, behind.described.concurrency)));
            }
        }
        scaler.told.push_back(told);
        self.plan(lag, Event::Scale { service });
        self.plan(every, Event::Measure { service });
    }

    pub(super) fn scale(&mut self, service: u16) {
        let place = usize::from(service);
        let instances = self.services[place].instances.clone();
        let Some(scaler) = self.scalers[place].as_mut() else { return };
        let Some(told) = scaler.told.pop_front() else { return };
        let seen = seen(&self.instances, instances, &told);
        let scaling = scaler.autoscaler.decide(self.now, &seen);
        let policy = scaler.settings.policy;
        let current = seen.all();
        if scaling.wanted != current {
            let why = said(&seen, policy.measure, policy.target, scaling);
            let name = &self.services[place].name;
            self.ledger.event(self.now, format!("{name}: {current} → {} instances ({why})", scaling.wanted));
        }
        for _ in current..scaling.wanted {
            self.begin_one(place);
        }
        for _ in scaling.wanted..current {
            self.end_one(place);
        }
    }

    /// The first free place is taken. Where there is none, those that leave still stand in all of them.
    fn begin_one(&mut self, service: usize) {
        let Some(settings) = self.services[service].described.autoscale else { return };
        let is_free = |number: &u32| self.instances[*number as usize].life == Life::Absent;
        let Some(number) = self.services[service].instances.clone().find(is_free) else { return };
        let instance = &mut self.instances[number as usize];
        instance.life = Life::Starting;
        instance.lives += 1;
        let life = instance.lives;
        let takes = self.lucks.scaling.length(&settings.start, u64::from(number) << 32 | u64::from(life), START);
        self.plan(takes, Event::Ready { instance: number, life });
    }

    /// The one goes that has not begun, or else the one that began last: it has warmed up the least.
    fn end_one(&mut self, service: usize) {
        let Some(settings) = self.services[service].described.autoscale else { return };
        let age = |number: &u32| {
            let instance = &self.instances[*number as usize];
            match instance.life {
                Life::Starting => Some((1, Instant::ORIGIN, *number)),
                Life::Running => Some((0, instance.started.unwrap_or_default(), *number)),
                Life::Absent | Life::Leaving => None,
            }
        };
        let youngest = self.services[service].instances.clone().filter_map(|number| age(&number)).max();
        let Some((_, _, number)) = youngest else { return };
        let instance = &mut self.instances[number as usize];
        if instance.life == Life::Starting {
            (instance.life, instance.lives) = (Life::Absent, instance.lives + 1);
            return;
        }
        instance.life = Life::Leaving;
        let life = instance.lives;
        self.list(number);
        self.plan(settings.drain, Event::Left { instance: number, life });
        let what = format!("{} is to go", self.name_of(number));
        self.ledger.event(self.now, what);
    }

    pub(super) fn ready(&mut self, number: u32, life: u32) {
        let instance = &mut self.instances[number as usize];
        if (instance.life, instance.lives) != (Life::Starting, life) {
            return;
        }
        instance.life = Life::Running;
        instance.books.live(self.now, true);
        self.kill(number, false);
        self.list(number);
        let what = format!("{} answers", self.name_of(number));
        self.ledger.event(self.now, what);
    }

    pub(super) fn left_for_good(&mut self, number: u32, life: u32) {
        let instance = &mut self.instances[number as usize];
        if (instance.life, instance.lives) != (Life::Leaving, life) {
            return;
        }
        (instance.life, instance.lives) = (Life::Absent, instance.lives + 1);
        instance.books.live(self.now, false);
        self.kill(number, true);
    }

    /// The list of endpoints takes an instance on, or off, and each gateway will hear of it.
    fn list(&mut self, number: u32) {
        let instance = &mut self.instances[number as usize];
        instance.listing += 1;
        let listing = instance.listing;
        for gateway in 0..self.gateways.len() as u16 {
            let whose = u64::from(number) << 32 | u64::from(listing);
            let lane = HEARD + LANES * u32::from(gateway);
            let takes = self.lucks.scaling.length(&self.scenario.gateways.discovery, whose, lane);
            self.plan(takes, Event::Learn { gateway, instance: number, listing });
        }
    }

    pub(super) fn learn(&mut self, gateway: u16, number: u32, listing: u32) {
        let known = &mut self.gateways[usize::from(gateway)].listings[number as usize];
        if *known >= listing {
            return;
        }
        *known = listing;
        let service = self.instances[number as usize].service;
        for worker in self.workers_of(gateway) {
            self.update_endpoints(worker, service as usize);
        }
        self.check_others(gateway, service as u16);
    }
}

/// What is known of those that there are now.
fn seen(all: &[Instance], instances: std::ops::Range<u32>, told: &[(u32, f64)]) -> Seen {
    let mut seen = Seen::default();
    let mut told = told.iter().peekable();
    for number in instances {
        let figure = told.next_if(|(of, _)| *of == number).map(|(_, figure)| *figure);
        let instance = &all[number as usize];
        match (instance.life, figure) {
            (Life::Absent | Life::Leaving, _) => {}
            (Life::Running, Some(figure)) => {
                seen.told += 1;
                seen.sum += figure;
            }
            (Life::Running, None) if instance.dead > 0 => seen.silent += 1,
            (Life::Running, None) | (Life::Starting, _) => seen.starting += 1,
        }
    }
    seen
}

/// Why their number changes, in the words of a report.
fn said(seen: &Seen, measure: Measure, target: f64, scaling: Scaling) -> String {
    let mean = seen.sum / f64::from(seen.told.max(1));
    let figures = match measure {
        Measure::Utilisation => format!("utilisation {}, target {}", words::share(mean), words::share(target)),
        Measure::Concurrency => format!("{} calls each, target {}", words::factor(mean), words::factor(target)),
        Measure::Queue => format!("{} calls wait at each, target {}", words::factor(mean), words::factor(target)),
    };
    match scaling.why {
        ScaleReason::Measure => figures,
        why => format!("{figures}; {why}"),
    }
}
