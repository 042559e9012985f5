//! `cargo xtask faults`: what callers feel while one of four instances breaks, and whether every attempt is accounted
//! for.
//!
//! 1,000 requests/s in an open loop, one in twenty of them a POST, against four instances of 8 slots and 10 ms; one of
//! them is killed and started again, stopped and let go on, or answers 503 at once, each alone, from second 5 to 15 of
//! 20. A request is good when a right answer comes within 2 s of the moment at which it was due. What must hold: at
//! least 99.9 % of the GETs are good, no POST reaches instances twice, and the access log, the metrics and the lines
//! that instances appended agree on every attempt, except on those that were open on an instance while it was down,
//! which are listed one by one. Processes, sockets and signals are real.

#[path = "../../../tests/support/books.rs"]
mod books;
mod report;
mod stage;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::Value;

use books::Books;
use report::Played;
use stage::Stage;

/// The instance that breaks.
const VICTIM: usize = 1;
/// How long figures and lines may take to be written down after the load's end.
const SETTLE: Duration = Duration::from_secs(5);

/// What to break, and how to print.
#[derive(Debug, Args)]
pub(crate) struct FaultsArgs {
    /// Only these faults, instead of each in turn
    #[arg(long, value_enum)]
    only: Vec<Fault>,
    /// Requests per second
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// From which arrivals and methods follow
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Measure this binary instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// What happens to one of the instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Fault {
    /// It dies without a word and is started again
    Killed,
    /// It stands still and goes on
    Stopped,
    /// It answers 503 at once and is well again
    Errors,
}

impl Fault {
    fn as_str(self) -> &'static str {
        match self {
            Self::Killed => "SIGKILL, restart",
            Self::Stopped => "SIGSTOP, SIGCONT",
            Self::Errors => "503 at once",
        }
    }
}

/// Plays every fault, prints, and fails when something did not hold.
pub(crate) fn run(args: &FaultsArgs) -> Result<(), String> {
    let binary = args.binary.clone().map_or_else(crate::release, Ok)?;
    // The node runs in a directory of its own.
    let binary = binary.canonicalize().map_err(|error| format!("{}: {error}", binary.display()))?;
    let faults = if args.only.is_empty() { Fault::value_variants() } else { &args.only };
    let mut all = Vec::new();
    for &fault in faults {
        eprintln!("{}: 20 s", fault.as_str());
        all.push(play(args, &binary, fault).map_err(|why| format!("{}: {why}", fault.as_str()))?);
    }
    if args.json {
        report::json(args.rate, &all);
    } else {
        report::print(args.rate, &all);
    }
    let failed: Vec<&str> = all.iter().filter(|played| !played.held()).map(|played| played.fault.as_str()).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("what must hold did not: {}", failed.join(", "))) }
}

fn play(args: &FaultsArgs, binary: &std::path::Path, fault: Fault) -> Result<Played, String> {
    let dir = tempfile::tempdir().map_err(|error| format!("a temporary directory: {error}"))?;
    let mut stage = Stage::build(binary, dir.path())?;
    let before = books::counted(&stage.metrics()?);
    let load = stage.load(args.rate, args.seed)?;
    pass(5);
    begin(&mut stage, fault)?;
    pass(10);
    end(&mut stage, fault)?;
    let load: Value = load.end()?;
    let deadline = std::time::Instant::now() + SETTLE;
    loop {
        let log = stage.access_lines()?;
        let counted = books::grown(&before, &books::counted(&stage.metrics()?));
        let books = books::balance(&log, &counted, &stage.arrivals()?, stage.outages());
        if is_settled(&books, &log, &load) || std::time::Instant::now() > deadline {
            return Ok(Played { fault, load, log, books });
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn is_settled(books: &Books, log: &[Value], load: &Value) -> bool {
    books.problems.is_empty() && load["requests"].as_u64() == Some(log.len() as u64)
}

fn begin(stage: &mut Stage<'_>, fault: Fault) -> Result<(), String> {
    match fault {
        Fault::Killed => stage.kill(VICTIM),
        Fault::Stopped => stage.stop(VICTIM),
        Fault::Errors => stage.tell(VICTIM, r#"{"kind":"errors","status":503}"#),
    }
}

fn end(stage: &mut Stage<'_>, fault: Fault) -> Result<(), String> {
    match fault {
        Fault::Killed => stage.restart(VICTIM),
        Fault::Stopped => stage.go_on(VICTIM),
        Fault::Errors => stage.tell(VICTIM, r#"{"kind":"off"}"#),
    }
}

/// Lets real time pass: the length of a fault.
fn pass(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}
