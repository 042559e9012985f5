//! Every developer habit as `cargo xtask …`: what a change must pass, and how fast the gateway is beside its peers.
//!
//! The README and `.ci/run` call this, so that people and machines do the same.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a developer's tool talks to the one who started it")]

mod bench;
mod ci;
mod process;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

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
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// CPU time and allocations per proxied request: ours, nginx, HAProxy, interleaved in one run
    Gateway(bench::GatewayArgs),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().habit {
        Habit::Ci => ci::run(),
        Habit::Bench { what: Bench::Gateway(args) } => bench::gateway(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's root.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
