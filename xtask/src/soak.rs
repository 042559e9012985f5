//! What runs too long for every change: the same stories as the tests, many more times.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use mainstay_soak::{Kind, Plan, Report, Verdict};

use crate::{process, release, root, target};

/// What is played for long.
#[derive(Debug, Subcommand)]
pub(crate) enum Soak {
    /// The store's log on this disk: processes that are killed while they write, and power that is lost at every step
    Wal(WalArgs),
    /// The consensus store as processes under faults, with clients whose histories are judged
    Store(StoreArgs),
    /// Bugs that are let in again, each of which the soak of the store has to find
    Mutants(MutantsArgs),
}

/// How often.
#[derive(Debug, Args)]
pub(crate) struct WalArgs {
    /// How often a process is killed while it writes
    #[arg(long, default_value_t = 500)]
    kills: u32,
    /// How many runs are cut at every step
    #[arg(long, default_value_t = 100)]
    runs: u32,
}

/// How long, how often and what breaks.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// How many runs, each with a store of its own
    #[arg(long, default_value_t = 100)]
    runs: u64,
    /// How long faults go on in a run, in seconds
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// The seed of the first run; the others follow it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Which faults there are: all, or some of them by their words
    #[arg(long, value_delimiter = ',', default_values_t = Kind::ALL)]
    faults: Vec<Kind>,
    /// No faults at all
    #[arg(long, conflicts_with = "faults")]
    calm: bool,
    /// How many members
    #[arg(long, default_value_t = 3)]
    members: usize,
    /// How many clients ask
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// The longest that a dead leader goes unnoticed, in milliseconds
    #[arg(long, default_value_t = 600)]
    election: u64,
    /// The binary that is played; one in release mode is built otherwise
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where a run that is bad leaves what led to it
    #[arg(long, default_value = "target/soak")]
    keep: PathBuf,
}

/// How long each bug is looked for.
#[derive(Debug, Args)]
pub(crate) struct MutantsArgs {
    /// How many runs at most
    #[arg(long, default_value_t = 10)]
    runs: u64,
    /// How long faults go on in a run, in seconds
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// The seed of the first run
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Plays it.
pub(crate) fn run(what: &Soak) -> Result<(), String> {
    match what {
        Soak::Wal(args) => wal(args),
        Soak::Store(args) => store(args),
        Soak::Mutants(args) => mutants(args),
    }
}

/// `cargo xtask soak store`
fn store(args: &StoreArgs) -> Result<(), String> {
    let binary = args.binary.clone().map_or_else(release, Ok)?;
    let faults = if args.calm { Vec::new() } else { args.faults.clone() };
    let begun = Instant::now();
    let mut reports = Vec::new();
    for seed in args.seed..args.seed + args.runs {
        let plan = Plan {
            binary: binary.clone(),
            mutant: None,
            seed,
            length: Duration::from_secs_f64(args.seconds),
            faults: faults.clone(),
            members: args.members,
            clients: args.clients,
            election: Duration::from_millis(args.election),
            keep: args.keep.clone(),
        };
        let report = mainstay_soak::run(&plan)?;
        println!("{report}");
        if let Some(kept) = &report.kept {
            println!("  what led to it: {}", kept.display());
            println!("  again: cargo xtask soak store --runs 1 {}", again(args, seed));
        }
        reports.push(report);
    }
    let bad = reports.iter().filter(|report| matches!(report.verdict, Verdict::Bad(_))).count();
    println!("{}", table(&reports, begun.elapsed()));
    if bad == 0 { Ok(()) } else { Err(format!("{bad} of {} runs are bad", reports.len())) }
}

/// Bugs by the names that the feature `mutants` of mainstay-store knows, and the faults that bring them to light.
const MUTANTS: [(&str, &[Kind]); 6] = [
    ("early-acknowledge", &[Kind::Power, Kind::SlowDisk]),
    ("lone-read", &[Kind::Cut, Kind::Link, Kind::Late]),
    ("forgetful-leader", &[Kind::Kill, Kind::Power]),
    ("dropped-event", &[Kind::Kill, Kind::Pause]),
    ("revived-lease", &[]),
    ("second-proposal", &[Kind::Kill, Kind::Pause, Kind::Cut]),
];

/// `cargo xtask soak mutants`
fn mutants(args: &MutantsArgs) -> Result<(), String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "-p", "mainstay-cli", "--features", "mutants"]);
    process::run(cargo.current_dir(root()))?;
    // The next build without them puts another binary into its place.
    let built = target().join("debug").join("mainstay");
    let binary = target().join("mutants").join("mainstay");
    let copied = std::fs::create_dir_all(target().join("mutants")).and_then(|()| std::fs::copy(&built, &binary));
    copied.map_err(|error| format!("{}: {error}", built.display()))?;
    let mut missed = Vec::new();
    println!("| bug | faults | found in run | by |\n| --- | --- | --- | --- |");
    for (mutant, faults) in MUTANTS {
        let words: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let mut found = None;
        for run in 1..=args.runs {
            let plan = Plan {
                binary: binary.clone(),
                mutant: Some(mutant.to_owned()),
                seed: args.seed + run - 1,
                length: Duration::from_secs_f64(args.seconds),
                faults: faults.to_vec(),
                members: 3,
                clients: 8,
                election: Duration::from_secs(1),
                keep: target().join("mutants").join(mutant),
            };
            if let Verdict::Bad(why) = mainstay_soak::run(&plan)?.verdict {
                found = Some((run, why));
                break;
            }
        }
        let (run, why) = match &found {
            Some((run, why)) => (run.to_string(), why.first().map_or("", |why| why.lines().next().unwrap_or(why))),
            None => {
                missed.push(mutant);
                ("never".to_owned(), "")
            }
        };
        let why: String = why.chars().take(90).collect();
        println!("| {mutant} | {} | {run} | {why} |", words.join(", "));
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("not found: {}", missed.join(", "))) }
}

/// The words with which a run is played again.
fn again(args: &StoreArgs, seed: u64) -> String {
    let StoreArgs { seconds, members, clients, election, .. } = args;
    let faults: Vec<_> = args.faults.iter().map(ToString::to_string).collect();
    let faults = if args.calm { "--calm".to_owned() } else { format!("--faults {}", faults.join(",")) };
    format!("--seed {seed} --seconds {seconds} {faults} --members {members} --clients {clients} --election {election}")
}

/// All runs together.
fn table(reports: &[Report], took: Duration) -> String {
    let sum = |of: fn(&Report) -> usize| reports.iter().map(of).sum::<usize>();
    let count = |of: fn(&Verdict) -> bool| reports.iter().filter(|report| of(&report.verdict)).count();
    let mut silences: Vec<_> = reports.iter().map(|report| report.silence.as_secs_f64()).collect();
    silences.sort_by(f64::total_cmp);
    let silence = |at: usize| silences.get(at).copied().unwrap_or_default();
    let rows = [
        ("runs", reports.len().to_string()),
        ("good", count(|verdict| *verdict == Verdict::Good).to_string()),
        ("undecided", count(|verdict| matches!(verdict, Verdict::Undecided(_))).to_string()),
        ("bad", count(|verdict| matches!(verdict, Verdict::Bad(_))).to_string()),
        ("faults", sum(|report| report.faults).to_string()),
        ("questions", sum(|report| report.asked).to_string()),
        ("of which nobody knows the end", sum(|report| report.unknown).to_string()),
        ("changes", sum(|report| report.changes).to_string()),
        ("leases", sum(|report| report.leases).to_string()),
        ("longest silence, median", format!("{:.1} s", silence(reports.len() / 2))),
        ("longest silence of all", format!("{:.1} s", silence(reports.len().saturating_sub(1)))),
        ("took", format!("{:.0} s", took.as_secs_f64())),
    ];
    let rows: Vec<_> = rows.iter().map(|(what, figure)| format!("| {what} | {figure} |")).collect();
    format!("| | |\n| --- | --- |\n{}", rows.join("\n"))
}

/// `cargo xtask soak wal`
fn wal(args: &WalArgs) -> Result<(), String> {
    println!("{} kills, and {} runs cut at every step", args.kills, args.runs);
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["test", "-p", "mainstay-wal", "--test", "it", "--", "kill::", "crash::"]).current_dir(root());
    command.env("MAINSTAY_KILLS", args.kills.to_string()).env("MAINSTAY_CRASH_RUNS", args.runs.to_string());
    process::run(&mut command)
}
