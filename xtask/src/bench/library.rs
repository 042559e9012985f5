//! `cargo xtask bench library`: what a call costs behind each guard of the library, beside the libraries of others.
//!
//! The contenders are a workspace of their own (`bench/library`), so that nobody builds them but who measures. With
//! `--instructions` each contender runs under callgrind twice, and the difference of the two runs is counted.

use std::process::Command;

use clap::Args;

use crate::{process, root};

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct LibraryArgs {
    /// Rounds; the median counts
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// Calls of one contender in one round
    #[arg(long, default_value_t = 200_000)]
    calls: u64,
    /// Only groups whose name contains this
    #[arg(long, default_value = "")]
    group: String,
    /// Count instructions under callgrind instead of nanoseconds, of contenders named as "group: contender"
    #[arg(long, value_name = "CONTENDER")]
    instructions: Vec<String>,
}

/// Builds the contenders and lets them run.
pub(crate) fn library(args: &LibraryArgs) -> Result<(), String> {
    let target = root().join("target").join("bench-library");
    let manifest = root().join("bench/library/Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--manifest-path"]).arg(manifest).arg("--target-dir").arg(&target);
    process::run(&mut build)?;
    let binary = target.join("release").join("mainstay-bench-library");
    if args.instructions.is_empty() {
        let mut run = Command::new(binary);
        run.args(["--rounds", &args.rounds.to_string(), "--calls", &args.calls.to_string(), "--group", &args.group]);
        return process::run(&mut run);
    }
    process::find("valgrind").ok_or("valgrind is needed and not installed")?;
    for contender in &args.instructions {
        let count = |calls| instructions(&binary, contender, calls);
        let (few, many) = (count(1_000)?, count(11_000)?);
        println!("{contender}: {} instructions per call", many.saturating_sub(few) / 10_000);
    }
    Ok(())
}

/// Instructions of a whole run.
fn instructions(binary: &std::path::Path, contender: &str, calls: u64) -> Result<u64, String> {
    let mut run = Command::new("valgrind");
    run.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(binary);
    run.args(["--only", contender, "--calls", &calls.to_string()]);
    let output = run.output().map_err(|error| format!("valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let counted = said.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count.trim());
    counted.and_then(|count| count.parse().ok()).ok_or_else(|| format!("valgrind: {said}"))
}
