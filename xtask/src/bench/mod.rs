//! `cargo xtask bench gateway`: what a proxied request costs here, in nginx and in HAProxy.
//!
//! All proxies stand in front of the same instance and are asked in turn, round after round, so that whatever the
//! machine does meanwhile meets them alike; a round is one run of wrk against each. The proxy (one worker), the load
//! generator and the instance are pinned to one core together: a request then costs what it costs, and no scheduler
//! decides which of them gets a core of its own. What counts is the CPU time of the proxy's own threads, as the kernel
//! accounts it, by the requests that wrk counted; the median of the rounds is reported, with ratios to nginx.
//!
//! Allocations are counted in a run of their own, through a small library that stands before the C library's allocator
//! (`bench/count-allocations.c`): the product carries no counting, and the peers are counted in the same way.

mod allocations;
mod cpu;
mod peers;
mod table;
mod wrk;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::process;
use allocations::Counter;
use peers::Peer;

/// What to measure, and for how long.
#[derive(Debug, Args)]
pub(crate) struct GatewayArgs {
    /// Rounds; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one run against one proxy
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Keep-alive connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// The core that all share
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Measure this binary instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Leave out the counting of allocations
    #[arg(long)]
    no_allocations: bool,
}

/// What one run of one proxy gave.
#[derive(Debug, Clone, Copy)]
struct Run {
    micros: f64,
    per_second: f64,
}

/// All runs of one proxy.
#[derive(Debug)]
struct Measured {
    name: &'static str,
    runs: Vec<Run>,
    allocations: Option<f64>,
}

impl Measured {
    fn median(&self, of: impl Fn(&Run) -> f64) -> f64 {
        let mut values: Vec<f64> = self.runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        match values.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => values[odd / 2],
            even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
        }
    }
}

/// Measures and prints.
pub(crate) fn gateway(args: &GatewayArgs) -> Result<(), String> {
    for program in ["wrk", "taskset", "nginx"] {
        process::find(program).ok_or_else(|| format!("{program} is needed and not installed"))?;
    }
    let binary = args.binary.clone().map_or_else(crate::release, Ok)?;
    let dir = tempfile::tempdir().map_err(|error| format!("a temporary directory: {error}"))?;
    let bench = peers::Bench::new(dir.path(), args.core, &binary)?;
    let mut measured = rounds(args, &bench)?;
    if !args.no_allocations {
        count_allocations(args, &bench, &mut measured)?;
    }
    if args.json {
        table::json(&measured);
    } else {
        table::print(&measured);
    }
    Ok(())
}

fn rounds(args: &GatewayArgs, bench: &peers::Bench<'_>) -> Result<Vec<Measured>, String> {
    let _instance = bench.start(Peer::Direct, None)?;
    let mut proxies = Vec::new();
    for peer in Peer::installed() {
        let running = if peer == Peer::Direct { None } else { Some(bench.start(peer, None)?) };
        proxies.push((peer, running, Measured { name: peer.name(), runs: Vec::new(), allocations: None }));
    }
    for round in 0..=args.rounds {
        for (peer, running, measured) in &mut proxies {
            // The first round warms caches and connections up and is not counted; short is long enough for that.
            let seconds = if round == 0 { 1 } else { args.seconds };
            let pid = running.as_ref().map_or(_instance.id(), process::Running::id);
            let run = one_run(args, bench, *peer, pid, seconds)?;
            if round > 0 {
                measured.runs.push(run);
            }
        }
        eprint!("\rround {round} of {}", args.rounds);
    }
    eprintln!();
    Ok(proxies.into_iter().map(|(_, _, measured)| measured).collect())
}

fn one_run(args: &GatewayArgs, bench: &peers::Bench<'_>, peer: Peer, pid: u32, seconds: u64) -> Result<Run, String> {
    let before = cpu::of_process_and_children(pid)?;
    let load = wrk::run(args.core, args.connections, bench.port(peer), seconds)
        .map_err(|why| format!("{}: {why}", peer.name()))?;
    let used = cpu::of_process_and_children(pid)?.saturating_sub(before);
    let micros = Duration::from_nanos(used).as_secs_f64() * 1e6 / load.requests as f64;
    Ok(Run { micros, per_second: load.requests as f64 / load.seconds })
}

fn count_allocations(args: &GatewayArgs, bench: &peers::Bench<'_>, measured: &mut [Measured]) -> Result<(), String> {
    let Some(counter) = Counter::build(bench.dir())? else {
        eprintln!("allocations: skipped: no C compiler is installed");
        return Ok(());
    };
    let _instance = bench.start(Peer::Direct, None)?;
    for peer in Peer::installed().into_iter().filter(|&peer| peer != Peer::Direct) {
        let _proxy = bench.start(peer, Some(&counter))?;
        // What is made once (connections, buffers) is made in a run before the one that counts.
        wrk::run(args.core, args.connections, bench.port(peer), 1)?;
        let before = counter.read()?;
        let load = wrk::run(args.core, args.connections, bench.port(peer), 2)?;
        let per_request = counter.read()?.saturating_sub(before) as f64 / load.requests as f64;
        if let Some(measured) = measured.iter_mut().find(|measured| measured.name == peer.name()) {
            measured.allocations = Some(per_request);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_rounds_is_what_one_stray_round_cannot_move() {
        let runs = [4.0, 900.0, 6.0, 5.0, 5.5].map(|micros| Run { micros, per_second: 0.0 }).to_vec();
        let measured = Measured { name: "x", runs, allocations: None };
        assert_eq!(measured.median(|run| run.micros), 5.5);
    }
}
