//! CPU time and allocations per proxied request.
//!
//! A contender is started for each of its runs and warmed up first: connections stand, caches are filled, and where keys
//! are limited all of them have been seen.
//!
//! Allocations are counted in a run of their own, through a small library that stands before the C library's allocator
//! (`bench/count-allocations.c`): the product carries no counting, and the peers are counted in the same way.

use std::time::Duration;

use super::GatewayArgs;
use super::allocations::Counter;
use super::peers::{Bench, Conditions, Peer};
use super::setting::Setting;
use super::wrk::{self, Keys, Load};
use crate::cpu;

/// Seconds of a run that is not counted.
const WARM_UP: u64 = 1;
/// Requests per second that a warm-up reaches at the least, to know when all keys were seen.
const PACE: u64 = 20_000;

/// Somebody who is measured.
#[derive(Debug, Clone)]
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) peer: Peer,
    pub(crate) setting: Setting,
    /// The requests carry one of so many keys.
    pub(crate) keys: Option<Keys>,
}

impl Contender {
    /// A peer, or ours with the least configuration.
    pub(crate) fn peer(peer: Peer) -> Self {
        Self { name: peer.name().to_owned(), peer, setting: Setting::default(), keys: None }
    }

    /// Ours, configured so.
    pub(crate) fn ours(name: &str, setting: Setting) -> Self {
        Self { name: name.to_owned(), peer: Peer::Mainstay, setting, keys: None }
    }
}

/// What one run gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) micros: f64,
    pub(crate) per_second: f64,
}

/// All runs of one contender.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) contender: Contender,
    pub(crate) runs: Vec<Run>,
    pub(crate) allocations: Option<f64>,
}

impl Measured {
    /// The median of a figure.
    pub(crate) fn median(&self, of: impl Fn(&Run) -> f64) -> f64 {
        let mut values: Vec<f64> = self.runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        match values.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => values[odd / 2],
            even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
        }
    }
}

/// Asks all contenders in turn, round after round, on `cores`.
pub(crate) fn rounds(
    args: &GatewayArgs,
    bench: &Bench<'_>,
    cores: &str,
    contenders: Vec<Contender>,
) -> Result<Vec<Measured>, String> {
    let nothing = Setting::default();
    let instance = bench.start(Peer::Direct, Conditions { cores, counter: None, setting: &nothing })?;
    let blank = |contender| Measured { contender, runs: Vec::new(), allocations: None };
    let mut all: Vec<Measured> = contenders.into_iter().map(blank).collect();
    for round in 1..=args.rounds {
        for measured in &mut all {
            let run = one_run(args, bench, cores, &measured.contender, instance.id())
                .map_err(|why| format!("{}: {why}", measured.contender.name))?;
            measured.runs.push(run);
        }
        eprint!("\rround {round} of {}", args.rounds);
    }
    eprintln!();
    Ok(all)
}

fn one_run(
    args: &GatewayArgs,
    bench: &Bench<'_>,
    cores: &str,
    contender: &Contender,
    instance: u32,
) -> Result<Run, String> {
    let conditions = Conditions { cores, counter: None, setting: &contender.setting };
    let proxy = match contender.peer {
        Peer::Direct => None,
        peer => Some(bench.start(peer, conditions)?),
    };
    let pid = proxy.as_ref().map_or(instance, crate::process::Running::id);
    let load = Load { cores, connections: args.connections, port: bench.port(contender.peer), keys: contender.keys };
    let keys = contender.keys.map_or(0, |keys| u64::from(keys.0));
    wrk::run(&load, bench.dir(), WARM_UP + keys / PACE)?;
    let before = cpu::of_process_and_children(pid)?;
    let done = wrk::run(&load, bench.dir(), args.seconds)?;
    let used = cpu::of_process_and_children(pid)?.saturating_sub(before);
    let micros = Duration::from_nanos(used).as_secs_f64() * 1e6 / done.requests as f64;
    Ok(Run { micros, per_second: done.requests as f64 / done.seconds })
}

/// Counts the allocations of each proxy.
pub(crate) fn count_allocations(
    args: &GatewayArgs,
    bench: &Bench<'_>,
    cores: &str,
    all: &mut [Measured],
) -> Result<(), String> {
    let Some(counter) = Counter::build(bench.dir())? else {
        eprintln!("allocations: skipped: no C compiler is installed");
        return Ok(());
    };
    let nothing = Setting::default();
    let _instance = bench.start(Peer::Direct, Conditions { cores, counter: None, setting: &nothing })?;
    for measured in all.iter_mut().filter(|measured| measured.contender.peer != Peer::Direct) {
        let Contender { peer, setting, keys, .. } = &measured.contender;
        let _proxy = bench.start(*peer, Conditions { cores, counter: Some(&counter), setting })?;
        let load = Load { cores, connections: args.connections, port: bench.port(*peer), keys: *keys };
        // What is made once (connections, buffers) is made in a run before the one that counts.
        wrk::run(&load, bench.dir(), WARM_UP)?;
        let before = counter.read()?;
        let done = wrk::run(&load, bench.dir(), 2)?;
        let count = counter.read()?.saturating_sub(before);
        // A program that brings an allocator of its own asks the C library for nothing.
        measured.allocations = (before > 0).then(|| count as f64 / done.requests as f64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_rounds_is_what_one_stray_round_cannot_move() {
        let runs = [4.0, 900.0, 6.0, 5.0, 5.5].map(|micros| Run { micros, per_second: 0.0 }).to_vec();
        let measured = Measured { contender: Contender::peer(Peer::Nginx), runs, allocations: None };
        assert_eq!(measured.median(|run| run.micros), 5.5);
    }
}
