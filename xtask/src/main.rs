//! Every developer habit as `cargo xtask …`: what a change must pass, how fast the gateway is beside its peers, what
//! they hold while instances break, and what bytes nobody thought of do to it.
//!
//! The README and `.ci/run` call this, so that people and machines do the same.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a developer's tool talks to the one who started it")]

mod bench;
mod ci;
mod cpu;
mod fuzz;
mod process;
mod soak;
mod storm;
mod validate;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

/// Every developer habit.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    habit: Habit,
}

#[derive(Debug, Subcommand)]
enum Habit {
    /// All that a change must pass: format, lints, tests, documentation, dependencies
    Ci,
    /// Measure side by side with peers
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Play outages on real processes, the same for Mainstay and its peers, and judge what callers felt
    Storm(storm::StormArgs),
    /// Hold the simulator to closed forms and published results, the long versions too
    Validate(validate::ValidateArgs),
    /// Play for long what the tests play for short
    Soak {
        #[command(subcommand)]
        what: soak::Soak,
    },
    /// Look for bytes that break a law: parsers, machines, configuration, calls
    Fuzz(fuzz::FuzzArgs),
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// CPU time and allocations per proxied request: ours, nginx, HAProxy, interleaved in one run
    Gateway(bench::GatewayArgs),
    /// Time and allocations per call behind each guard of the library: ours, tower, tower-resilience, failsafe, governor
    Library(bench::LibraryArgs),
    /// What the data of the consensus store costs: puts, reads, memory of a key, watchers
    StoreData(bench::StoreDataArgs),
    /// The consensus store beside etcd, three members each
    Store(bench::StoreArgs),
    /// Entries a second that the store's log confirms, beside what the disk does alone
    Log(bench::LogArgs),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().habit {
        Habit::Ci => ci::run(),
        Habit::Bench { what: Bench::Gateway(args) } => bench::gateway(&args),
        Habit::Bench { what: Bench::Library(args) } => bench::library(&args),
        Habit::Bench { what: Bench::StoreData(args) } => bench::store_data(&args),
        Habit::Bench { what: Bench::Store(args) } => bench::store(&args),
        Habit::Bench { what: Bench::Log(args) } => bench::log(&args),
        Habit::Storm(args) => storm::run(&args),
        Habit::Validate(args) => validate::run(&args),
        Habit::Soak { what } => soak::run(&what),
        Habit::Fuzz(args) => fuzz::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The binary in release mode: what is slow to build here is what users run.
fn release() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    process::run(Command::new(cargo).args(["build", "--release", "-p", "mainstay-cli"]).current_dir(root()))?;
    Ok(target().join("release").join("mainstay"))
}

/// Where everything that is built goes.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The workspace's root.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
