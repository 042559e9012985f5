//! What runs too long for every change: the same stories as the tests, many more times.

use std::process::Command;

use clap::{Args, Subcommand};

use crate::{process, root};

/// What is played for long.
#[derive(Debug, Subcommand)]
pub(crate) enum Soak {
    /// The store's log on this disk: processes that are killed while they write, and power that is lost at every step
    Wal(WalArgs),
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

/// Plays it.
pub(crate) fn run(what: &Soak) -> Result<(), String> {
    let Soak::Wal(args) = what;
    println!("{} kills, and {} runs cut at every step", args.kills, args.runs);
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["test", "-p", "mainstay-wal", "--test", "it", "--", "kill::", "crash::"]).current_dir(root());
    command.env("MAINSTAY_KILLS", args.kills.to_string()).env("MAINSTAY_CRASH_RUNS", args.runs.to_string());
    process::run(&mut command)
}
