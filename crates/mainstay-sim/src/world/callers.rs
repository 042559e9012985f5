//! Who calls, and when: open workloads, whose calls come whatever becomes of the earlier ones, and closed ones, whose
//! clients wait for an answer before they call again.

use mainstay_config::scenario::{Arrivals, FaultKind, Load};
use mainstay_core::{Duration, Instant, MethodClass};

use super::gateway::{Ask, Asker, Request};
use super::{Deed, Event, World};
use crate::luck::{GAP, METHOD};
use crate::queue::Lane;
use crate::slab::Key;
use crate::stage::{Calls, Strike};

/// What a call's luck is for besides.
const CALLER: u32 = 2;
const KEY: u32 = 3;
const THINK: u32 = 4;

/// Where a workload stands.
#[derive(Debug)]
pub(super) struct Course {
    /// Its rate over time, piece by piece; none of a closed one.
    pieces: Vec<Piece>,
    piece: usize,
    arrivals: Arrivals,
    /// Calls so far.
    pub(super) calls: u64,
    /// When the next is due.
    next: Instant,
    /// The keys' popularity: the sum of shares up to each.
    popularity: Vec<f64>,
}

/// A stretch of time in which the rate is a straight line, in calls per nanosecond.
#[derive(Debug, Clone, Copy)]
struct Piece {
    from: Instant,
    to: Instant,
    at_from: f64,
    at_to: f64,
}

/// Lays out when calls come; surges are a part of that.
pub(super) fn courses(workloads: &[Calls], faults: &[Strike], ends: Instant) -> Vec<Course> {
    let course = |calls: &Calls| {
        let arrivals = match calls.described.load {
            Load::Open { arrivals, .. } => arrivals,
            Load::Closed { .. } => Arrivals::Poisson,
        };
        let pieces = pieces(calls, faults, ends);
        let popularity = popularity(if calls.are_told_apart { calls.described.keys } else { 1 }, calls.described.skew);
        Course { pieces, piece: 0, arrivals, calls: 0, next: Instant::ORIGIN, popularity }
    };
    workloads.iter().map(course).collect()
}

/// How many calls come in the mean; of a closed workload nobody can tell.
pub(crate) fn expected(calls: &Calls, faults: &[Strike], ends: Instant) -> f64 {
    pieces(calls, faults, ends).iter().map(Piece::calls).sum()
}

fn pieces(calls: &Calls, faults: &[Strike], ends: Instant) -> Vec<Piece> {
    let Load::Open { steps, .. } = &calls.described.load else { return Vec::new() };
    let mut pieces = Vec::new();
    let mut rate = 0.0;
    for (number, step) in steps.iter().enumerate() {
        let next = steps.get(number + 1).map_or(ends, |next| Instant::ORIGIN + next.at);
        let (from, reached) = (Instant::ORIGIN + step.at, Instant::ORIGIN + step.at + step.over);
        let wanted = step.rate.map_or(0.0, |rate| rate.count() as f64 / rate.per().as_nanos() as f64);
        pieces.push(Piece { from, to: reached.min(ends), at_from: rate, at_to: wanted });
        pieces.push(Piece { from: reached, to: next.min(ends), at_from: wanted, at_to: wanted });
        rate = wanted;
    }
    surged(pieces, calls.service, faults)
}

/// The same pieces with every surge of the service in them.
fn surged(mut pieces: Vec<Piece>, service: usize, faults: &[Strike]) -> Vec<Piece> {
    for fault in faults.iter().filter(|fault| fault.service == Some(service)) {
        let FaultKind::Surge(factor) = fault.kind else { continue };
        let cut = |piece: Piece| piece.cut(fault.from).into_iter().flat_map(|piece| piece.cut(fault.to));
        pieces = pieces.into_iter().flat_map(cut).filter(|piece| piece.from < piece.to).collect();
        for piece in pieces.iter_mut().filter(|piece| piece.from >= fault.from && piece.to <= fault.to) {
            (piece.at_from, piece.at_to) = (piece.at_from * factor, piece.at_to * factor);
        }
    }
    pieces.retain(|piece| piece.from < piece.to);
    pieces
}

impl Piece {
    /// How many come in it, in the mean.
    fn calls(&self) -> f64 {
        (self.at_from + self.at_to) / 2.0 * self.to.since(self.from).as_nanos() as f64
    }

    fn cut(self, at: Instant) -> [Self; 2] {
        let at = at.clamp(self.from, self.to.max(self.from));
        let share = at.since(self.from).as_nanos() as f64 / self.to.since(self.from).as_nanos().max(1) as f64;
        let middle = self.at_from + (self.at_to - self.at_from) * share;
        [Self { to: at, at_to: middle, ..self }, Self { from: at, at_from: middle, ..self }]
    }

    /// When so many calls (a part of one too) have come from `from` on; none where the piece is over before.
    fn after(self, from: Instant, calls: f64) -> Result<Instant, f64> {
        let length = self.to.since(self.from).as_nanos() as f64;
        let slope = (self.at_to - self.at_from) / length;
        let rate = self.at_from + slope * from.since(self.from).as_nanos() as f64;
        let left = self.to.since(from).as_nanos() as f64;
        let rest = calls - (rate + slope * left / 2.0) * left;
        if rest >= 0.0 {
            return Err(rest);
        }
        // The area under a straight line: rate·x + slope·x²/2 = calls.
        let x = 2.0 * calls / (rate + (rate * rate + 2.0 * slope * calls).max(0.0).sqrt());
        Ok(from + Duration::from_nanos((x + 0.5) as u64))
    }
}

/// Zipf's law: the n-th key is asked for n^-skew times as often as the first.
fn popularity(keys: u32, skew: f64) -> Vec<f64> {
    use mainstay_core::math::{exp, ln};
    let mut sum = 0.0;
    let weights = (1..=keys).map(|n| {
        sum += exp(-skew * ln(f64::from(n)));
        sum
    });
    let mut sums: Vec<f64> = weights.collect();
    sums.iter_mut().for_each(|part| *part /= sum);
    sums
}

impl World<'_> {
    pub(super) fn begin_workloads(&mut self) {
        for workload in 0..self.workloads.len() as u16 {
            match self.workloads[usize::from(workload)].described.load {
                Load::Open { .. } => self.plan_arrival(workload),
                Load::Closed { clients, ref think } => {
                    let think = *think;
                    for client in 0..clients {
                        let luck = self.lucks.callers.of(u64::from(workload));
                        let first = luck.length(&think, u64::from(client) << 32, THINK);
                        self.queue.push(Instant::ORIGIN + first, Event::Think { workload, client });
                    }
                }
            }
        }
        self.begin_surging_clients();
    }

    /// More clients come for the time of a surge.
    fn begin_surging_clients(&mut self) {
        for (number, calls) in self.workloads.iter().enumerate() {
            let Load::Closed { clients, .. } = calls.described.load else { continue };
            for fault in self.faults.strikes.iter().filter(|fault| fault.service == Some(calls.service)) {
                let FaultKind::Surge(factor) = fault.kind else { continue };
                for client in clients..(f64::from(clients) * factor) as u32 {
                    self.queue.push(fault.from, Event::Think { workload: number as u16, client });
                }
            }
        }
    }

    /// Whether a client that came with a surge, or is not needed in one that is less than one, calls now.
    fn calls_now(&self, workload: usize, client: u32) -> bool {
        let calls = &self.workloads[workload];
        let Load::Closed { clients, .. } = calls.described.load else { return true };
        let active = self
            .faults
            .strikes
            .iter()
            .filter(|fault| fault.service == Some(calls.service) && fault.from <= self.now && self.now < fault.to);
        let factor =
            active.fold(1.0, |all, fault| if let FaultKind::Surge(factor) = fault.kind { all * factor } else { all });
        client < (f64::from(clients) * factor) as u32
    }

    fn plan_arrival(&mut self, workload: u16) {
        let luck = self.lucks.callers.of(u64::from(workload));
        let course = &mut self.courses[usize::from(workload)];
        let mut calls = match course.arrivals {
            Arrivals::Poisson => luck.exponential(course.calls, GAP),
            Arrivals::Uniform => 1.0,
        };
        while let Some(piece) = course.pieces.get(course.piece) {
            match piece.after(course.next.max(piece.from), calls) {
                Ok(at) => {
                    course.next = at;
                    return self.queue.push_in(Lane::Arrivals, at, Event::Arrive { workload });
                }
                Err(rest) => {
                    calls = rest;
                    course.piece += 1;
                }
            }
        }
    }

    pub(super) fn arrive(&mut self, workload: u16) {
        self.call(workload, u32::MAX);
        self.plan_arrival(workload);
    }

    pub(super) fn think(&mut self, workload: u16, client: u32) {
        if self.now >= self.ends {
            return;
        }
        if self.calls_now(usize::from(workload), client) {
            self.call(workload, client);
        }
    }

    /// A client of a closed workload has its answer.
    pub(super) fn think_again(&mut self, workload: u16, client: u32) {
        let Load::Closed { think, .. } = self.workloads[usize::from(workload)].described.load else { return };
        let luck = self.lucks.callers.of(u64::from(workload));
        let calls = self.courses[usize::from(workload)].calls;
        let length = luck.length(&think, u64::from(client) << 32 | calls & 0xffff_ffff, THINK);
        // Nobody calls twice in a moment, or a client that is refused at once would call for ever in it.
        self.plan(length.max(Duration::from_micros(100)), Event::Think { workload, client });
    }

    fn call(&mut self, workload: u16, client: u32) {
        let place = usize::from(workload);
        let luck = self.lucks.callers.of(u64::from(workload));
        let course = &mut self.courses[place];
        let number = course.calls;
        course.calls += 1;
        let calls = &self.workloads[place];
        let described = &calls.described;
        let (method, is_post) = method_of(&calls.methods, || luck.bits(number, METHOD));
        let caller = if client == u32::MAX {
            mainstay_core::below(luck.bits(number, CALLER), u64::from(described.callers)) as u32
        } else {
            client
        };
        let key = key_of(&course.popularity, || luck.unit(number, KEY));
        let deed = is_post.then(|| self.deeds.insert(Deed { known: 1, done: 0 }));
        let request = Request {
            number: u64::from(workload) << 48 | number,
            workload,
            caller,
            key,
            method,
            deed,
            due: self.now,
            leaves: self.now + described.deadline,
        };
        let (again, route) = (described.retries, calls.route);
        self.ledger.due(self.now, workload);
        self.open += 1;
        self.ask(Ask {
            request,
            route,
            told: described.tells_deadline,
            from: Asker::Caller { client, again, tries: 0 },
        });
    }
}

fn method_of(methods: &[(MethodClass, bool, u64)], draw: impl FnOnce() -> u64) -> (MethodClass, bool) {
    let [.., (method, is_post, sum)] = methods else { return (MethodClass::Safe, false) };
    if methods.len() == 1 {
        return (*method, *is_post);
    }
    let place = mainstay_core::below(draw(), *sum);
    let found = methods.iter().find(|(.., up_to)| place < *up_to);
    found.map_or((*method, *is_post), |(method, is_post, _)| (*method, *is_post))
}

fn key_of(popularity: &[f64], draw: impl FnOnce() -> f64) -> u32 {
    if popularity.len() < 2 {
        return 0;
    }
    let place = draw();
    popularity.partition_point(|up_to| *up_to <= place).min(popularity.len() - 1) as u32
}

/// A key of the slab of deeds, for those who only pass it on.
pub(super) type DeedKey = Option<Key>;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Instant {
        Instant::from_nanos((seconds * 1e9) as u64)
    }

    #[test]
    fn a_rising_rate_brings_its_area_of_calls() {
        // From none to 10 a second within 10 s: t²/2 calls by t.
        let piece = Piece { from: at(0.0), to: at(10.0), at_from: 0.0, at_to: 10e-9 };
        assert_eq!(piece.after(at(0.0), 8.0), Ok(at(4.0)));
        assert_eq!(piece.after(at(4.0), 10.0).map(|at| at.as_nanos() / 1_000_000), Ok(6_000));
        let rest = piece.after(at(4.0), 50.0).unwrap_err();
        assert!((rest - 8.0).abs() < 1e-6, "{rest}");
    }

    #[test]
    fn the_first_keys_are_asked_for_most() {
        let popularity = popularity(100, 1.0);
        // 1 / H(100)
        assert!((popularity[0] - 0.1928).abs() < 1e-3);
        assert_eq!((key_of(&popularity, || 0.0), key_of(&popularity, || 0.999_999)), (0, 99));
        assert_eq!(key_of(&popularity, || popularity[7]), 8);
    }
}
