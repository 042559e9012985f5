//! `cargo xtask storm`: outages on real processes and sockets, with Mainstay, nginx, HAProxy and Envoy before the same
//! instances, each alone and one after the other.
//!
//! Four instances (8 slots, 10 ms, a queue of 400), 1,000 requests/s in an open loop for 20 s, one in twenty a POST; a
//! request is good when a right answer comes within 2 s of the moment at which it was due. What happens is in
//! [`scenario`], who stands before them and how each is set up in [`peers`], what must hold in [`hold`]. What was felt
//! comes from the load, what was carried out from the lines that instances append on reading a request, and the reasons
//! from what the proxies themselves wrote down; of Mainstay, log, metrics and instances must agree attempt by attempt.
//!
//! Load, proxy and instances share the cores of one machine and none is pinned: each proxy has the same neighbours. How
//! many cores each part kept busy is printed, so that a reader can see whether the machine was the limit.

mod accounts;
#[path = "../../../tests/support/books.rs"]
mod books;
mod figures;
mod hold;
mod peers;
mod report;
mod results;
mod samples;
mod scenario;
mod stage;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use accounts::{Accounts, Names};
use books::Books;
use figures::{Back, Cores, Figures, Memory, Surge, Times};
use peers::Peer;
use report::Report;
use results::{Key, Results};
use samples::Sample;
use scenario::{Act, Kind, Scenario};
use stage::{Load, Part, Shape, Stage, Watch};

/// How long checks may look before the load begins.
const LOOK: Duration = Duration::from_millis(1500);
/// How long figures and lines may take to be written down after the load's end.
const SETTLE: Duration = Duration::from_secs(5);
/// How often memory and CPU time are read.
const GLANCE: Duration = Duration::from_millis(250);

/// What to play, against whom, and how to print.
#[derive(Debug, Args)]
pub(crate) struct StormArgs {
    /// List the scenarios and end
    #[arg(long)]
    list: bool,
    /// Only these scenarios, instead of each in turn
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// Only these proxies, instead of all that are installed
    #[arg(long, value_enum, value_delimiter = ',')]
    peers: Vec<Peer>,
    /// Give each nothing but its endpoints
    #[arg(long)]
    least: bool,
    /// How often to play everything, each time with another seed; the runs are added up
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// The seed of the first run, from which arrivals and methods follow
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests per second
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How long each scenario lasts; the fault comes after a quarter and goes after three
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(4..))]
    seconds: u64,
    /// Keep results in this file, and leave out what it has already
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Play with this binary instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Plays, prints, and fails when something did not hold for Mainstay.
pub(crate) fn run(args: &StormArgs) -> Result<(), String> {
    if args.list {
        report::print_list();
        return Ok(());
    }
    let binary = args.binary.clone().map_or_else(crate::release, Ok)?;
    // Proxies run in a directory of their own.
    let binary = binary.canonicalize().map_err(|error| format!("{}: {error}", binary.display()))?;
    let mut results = args.resume.as_deref().map_or_else(|| Ok(Results::default()), Results::resume)?;
    let (there, skipped) = args.programs(&binary);
    for run in 0..args.runs {
        for scenario in args.scenarios() {
            for (&peer, program) in &there {
                let key = args.key(scenario, peer, run);
                if !args.is_played(scenario, peer) || results.has(&key) {
                    continue;
                }
                eprintln!("run {} of {}: {}, {}", run + 1, args.runs, scenario.name(), peer.name());
                results.keep(key, play(&binary, program, &key))?;
            }
        }
    }
    args.tell(&results, skipped)
}

impl StormArgs {
    fn scenarios(&self) -> Vec<Scenario> {
        if self.only.is_empty() { Scenario::value_variants().to_vec() } else { self.only.clone() }
    }

    /// Those that were asked for, as far as they are installed, and those that are not.
    fn programs(&self, binary: &Path) -> (BTreeMap<Peer, PathBuf>, Vec<Peer>) {
        let asked = if self.peers.is_empty() { Peer::value_variants() } else { &self.peers };
        let (mut there, mut skipped) = (BTreeMap::new(), Vec::new());
        for &peer in asked {
            match peer.program(binary) {
                Some(program) => drop(there.insert(peer, program)),
                None => skipped.push(peer),
            }
        }
        (there, skipped)
    }

    fn is_played(&self, scenario: Scenario, peer: Peer) -> bool {
        scenario.is_for(self.least) && (peer != Peer::Direct || scenario.kind() == Kind::Surge)
    }

    fn key(&self, scenario: Scenario, peer: Peer, run: u64) -> Key {
        Key { scenario, peer, least: self.least, seed: self.seed + run, rate: self.rate, seconds: self.seconds }
    }

    fn tell(&self, results: &Results, skipped: Vec<Peer>) -> Result<(), String> {
        let seeds = self.seed..self.seed + self.runs;
        let sums = results.sums(|key| {
            let alike = self.key(key.scenario, key.peer, 0) == Key { seed: self.seed, ..*key };
            alike && seeds.contains(&key.seed) && self.scenarios().contains(&key.scenario)
        });
        let Self { least, rate, seconds, runs, .. } = *self;
        let report = Report { results, sums, least, rate, seconds, runs, skipped };
        if self.json {
            println!("{:#}", report.json());
        } else {
            report.print();
        }
        let missed = report.missed();
        if missed.is_empty() { Ok(()) } else { Err(format!("what must hold did not:\n{}", missed.join("\n"))) }
    }
}

/// Plays one scenario with one proxy.
fn play(binary: &Path, program: &Path, key: &Key) -> Result<Figures, String> {
    let Key { scenario, peer, least, .. } = *key;
    let dir = tempfile::tempdir().map_err(|error| format!("a temporary directory: {error}"))?;
    let mut stage = Stage::build(binary, dir.path())?;
    if peer != Peer::Direct {
        stage.set(peer, program, least, scenario.kind() == Kind::Wrong && peer.reads_bodies())?;
    }
    std::thread::sleep(LOOK);
    let before = if peer == Peer::Mainstay { stage.metrics()? } else { String::new() };
    let (samples, times, watch) = under_load(&mut stage, key)?;
    judge(&stage, key, &samples, times, &watch, &before)
}

/// Plays the acts while the load runs, and gives what came of each request.
fn under_load(stage: &mut Stage<'_>, key: &Key) -> Result<(Vec<Sample>, Times, Watch), String> {
    let Key { scenario, seed, rate, seconds, .. } = *key;
    let lasts = Duration::from_secs(seconds);
    let mut watch = Watch::default();
    let mut loads = vec![stage.load(&Shape { name: "steady", rate, lasts, seed })?];
    let began = Instant::now();
    let mut times: Option<Times> = None;
    for (at, act) in scenario.acts(seconds) {
        while began.elapsed() < at {
            watch.look(stage, &loads);
            std::thread::sleep(GLANCE.min(at.saturating_sub(began.elapsed())));
        }
        let begin = books::civil_now();
        stage.act(act).map_err(|why| format!("{act:?}: {why}"))?;
        if act == Act::Surge {
            loads.push(stage.load(&Shape { name: "surge", rate: scenario.surge(rate), lasts: lasts / 2, seed })?);
        }
        let begin = times.map_or(begin, |times| times.begin);
        times = Some(Times { begin, end: books::civil_now() });
    }
    while loads.iter_mut().any(Load::is_running) {
        watch.look(stage, &loads);
        std::thread::sleep(GLANCE);
    }
    watch.look(stage, &loads);
    let mut times = times.ok_or("a scenario in which nothing happens")?;
    if scenario.kind() == Kind::Surge {
        times.end += lasts.as_secs_f64() * 500.0;
    }
    let all = loads.iter().map(Load::samples).collect::<Result<Vec<_>, _>>()?;
    Ok((all.concat(), times, watch))
}

fn judge(
    stage: &Stage<'_>,
    key: &Key,
    samples: &[Sample],
    times: Times,
    watch: &Watch,
    before: &str,
) -> Result<Figures, String> {
    let Key { scenario, peer, seconds, .. } = *key;
    let (books, after) = if peer == Peer::Mainstay {
        let (books, after) = balance(stage, samples.len(), before)?;
        (Some(books), after)
    } else {
        // Their logs are flushed each second.
        std::thread::sleep(LOOK);
        (None, String::new())
    };
    let accounts = Accounts::read(stage, peer, scenario)?;
    let mut figures = Figures::of(samples, &stage.arrivals()?, times);
    figures.memory = Memory::of(&watch.resident, seconds as f64 * 0.25);
    figures.memory.records = records_since(&after, samples, times.begin);
    figures.cores = Cores {
        proxy: watch.cores(Part::Proxy),
        load: watch.cores(Part::Load),
        instances: watch.cores(Part::Instances),
    };
    figures.bad = accounts.bad(samples, times, stage, key);
    figures.slow = accounts.slow(samples, times);
    let names = Names::new(stage, scenario);
    figures.counted = counted(&names.put_in(before), &names.put_in(&after));
    figures.books = books.map(Into::into);
    match scenario.kind() {
        Kind::Outage => figures.back = Some(Back::of(samples, times)),
        Kind::Surge => figures.surge = Some(Surge::of(samples, times)),
        Kind::Part | Kind::Wrong => {}
    }
    Ok(figures)
}

/// KiB of records of the requests that were due from `begin` on: each takes about the same.
fn records_since(metrics: &str, samples: &[Sample], begin: f64) -> u64 {
    let used = metrics.lines().find_map(|line| line.strip_prefix("mainstay_records_used_bytes "));
    let used = used.and_then(|value| value.parse::<f64>().ok()).unwrap_or(0.0);
    let since = samples.iter().filter(|sample| sample.due >= begin).count();
    (used * since as f64 / samples.len().max(1) as f64 / 1024.0) as u64
}

/// Compares log, metrics and instances, when all has been written down; gives the metrics too.
fn balance(stage: &Stage<'_>, requests: usize, before: &str) -> Result<(Books, String), String> {
    let end = Instant::now() + SETTLE;
    loop {
        let log = books::access_lines(&stage.read(peers::OUTPUT)?, stage::IDS);
        let after = stage.metrics()?;
        let counted = books::grown(&books::counted(before), &books::counted(&after));
        let mut books = books::balance(&log, &counted, &stage.arrivals()?, stage.outages());
        if log.len() != requests {
            books.problems.push(format!("{} lines in the access log of {requests} requests", log.len()));
        }
        if books.problems.is_empty() || Instant::now() > end {
            return Ok((books, after));
        }
        std::thread::sleep(GLANCE);
    }
}

/// What grew among the figures that tell of decisions; attempts and their results are in the books.
fn counted(before: &str, after: &str) -> BTreeMap<String, u64> {
    let read = |text: &str| -> BTreeMap<String, f64> {
        let of_decisions = |line: &&str| {
            let counts = line.starts_with("mainstay_") && line.contains("_total");
            counts && !line.starts_with("mainstay_attempts_total")
        };
        let lines = text.lines().filter(of_decisions);
        let value = |line: &str| line.rsplit_once(' ').and_then(|(name, n)| Some((name.to_owned(), n.parse().ok()?)));
        lines.filter_map(value).collect()
    };
    let before = read(before);
    let grew = |(name, now): (String, f64)| {
        let more = now - before.get(&name).copied().unwrap_or(0.0);
        (more >= 1.0).then_some((name, more as u64))
    };
    read(after).into_iter().filter_map(grew).collect()
}
