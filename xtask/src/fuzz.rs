//! Looks for bytes that break a law of `mainstay-laws`, one target after the other.
//!
//! libFuzzer on the stable toolchain: the compiler's coverage pass and its arguments are stable flags, and the address
//! sanitizer, which is not, would find nothing in code without `unsafe`. A run begins with the committed corpus and what
//! earlier runs on this machine found (`fuzz/work`, not committed). What breaks a law is written to `fuzz/findings`:
//! once it is mended it goes into the corpus as `regression-NAME`, which every run of the tests plays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::{process, root};

/// Bytes that a target may have of the committed corpus: all of them together stay below 1 MB.
const CORPUS_MAX: u64 = 80_000;

/// Inputs that it may have.
const INPUTS_MAX: usize = 250;

/// Names of what the fuzzer never drops from a corpus.
const REGRESSION: &str = "regression-";

/// The compiler's coverage: edges, counters and what is compared with what.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// What to look at, and for how long.
#[derive(Debug, Args)]
pub(crate) struct FuzzArgs {
    /// Only these targets, instead of each in turn; the names are those of the directories in fuzz/corpus
    #[arg(long)]
    target: Vec<String>,
    /// How long to look at each of them
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Take what was found into the committed corpus, as small as it can be without losing coverage
    #[arg(long)]
    keep: bool,
}

/// What a run came to.
#[derive(Debug, Default)]
struct Run {
    executions: u64,
    edges: u64,
    features: u64,
    finding: Option<PathBuf>,
}

/// Builds the fuzzer, runs it on every target and prints what came of it.
pub(crate) fn run(args: &FuzzArgs) -> Result<(), String> {
    let fuzzer = build()?;
    let targets = if args.target.is_empty() { all_targets()? } else { args.target.clone() };
    println!("{:<16}{:>14}{:>10}{:>10}  finding", "target", "executions", "edges", "features");
    let mut findings = 0;
    for target in &targets {
        let run = look(&fuzzer, target, args.seconds)?;
        let finding = run.finding.as_deref().map_or("none".into(), |file| file.display().to_string());
        println!("{target:<16}{:>14}{:>10}{:>10}  {finding}", run.executions, run.edges, run.features);
        findings += usize::from(run.finding.is_some());
        if args.keep {
            keep(&fuzzer, target)?;
        }
    }
    if findings == 0 { Ok(()) } else { Err(format!("{findings} findings in fuzz/findings")) }
}

fn build() -> Result<PathBuf, String> {
    let host = process::output(Command::new("rustc").arg("-vV"))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc names no host")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // With a target named, build scripts and macros are not instrumented.
    command.args(["build", "--release", "--target", host]).current_dir(root().join("fuzz"));
    process::run(command.env("RUSTFLAGS", COVERAGE).env_remove("CARGO_TARGET_DIR"))?;
    Ok(root().join("fuzz/target").join(host).join("release/mainstay-fuzz"))
}

fn all_targets() -> Result<Vec<String>, String> {
    let mut names: Vec<_> = files(&root().join("fuzz/corpus"))?
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

fn files(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
}

fn directory(path: PathBuf) -> Result<PathBuf, String> {
    fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

fn fuzzer_for(fuzzer: &Path, target: &str) -> Command {
    let mut command = Command::new(fuzzer);
    command.env("MAINSTAY_LAW", target).current_dir(root().join("fuzz")).stdin(Stdio::null());
    command
}

fn look(fuzzer: &Path, target: &str, seconds: u64) -> Result<Run, String> {
    let work = directory(root().join("fuzz/work").join(target).join("corpus"))?;
    let findings = directory(root().join("fuzz/findings").join(target))?;
    let before = files(&findings)?;
    let mut command = fuzzer_for(fuzzer, target);
    command.arg(work).arg(root().join("fuzz/corpus").join(target)).arg("-dict=http.dict");
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}/", findings.display()));
    let longest = if target == "units" { 64 } else { 4096 };
    command.args(["-print_final_stats=1", "-timeout=20"]).arg(format!("-max_len={longest}"));
    let output = command.output().map_err(|error| format!("{}: {error}", fuzzer.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let finding = files(&findings)?.into_iter().find(|file| !before.contains(file));
    if !output.status.success() {
        eprintln!("{said}");
        if finding.is_none() {
            return Err(format!("{target}: the fuzzer ended with {}", output.status));
        }
    }
    Ok(Run { finding, ..read(&said) })
}

/// Reads the figures that libFuzzer prints.
fn read(said: &str) -> Run {
    let number = |text: &str| text.trim().split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0);
    let after = |line: &str, word: &str| line.split_once(word).map_or(0, |(_, rest)| number(rest));
    let last = said.lines().rev().find(|line| line.contains(" cov: ")).unwrap_or_default();
    let executions = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    Run {
        executions: executions.map_or(0, number),
        edges: after(last, " cov: "),
        features: after(last, " ft: "),
        finding: None,
    }
}

/// Writes the corpus anew: the least that covers what all of it covers, and of that, where it is too much, some of every
/// length.
fn keep(fuzzer: &Path, target: &str) -> Result<(), String> {
    let corpus = directory(root().join("fuzz/corpus").join(target))?;
    let merged = root().join("fuzz/work").join(target).join("merged");
    let _ = fs::remove_dir_all(&merged);
    let merged = directory(merged)?;
    let mut command = fuzzer_for(fuzzer, target);
    command.arg("-merge=1").arg(&merged).arg(&corpus).arg(root().join("fuzz/work").join(target).join("corpus"));
    let output = command.output().map_err(|error| format!("{}: {error}", fuzzer.display()))?;
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        return Err(format!("{target}: the merge ended with {}", output.status));
    }
    let is_regression =
        |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(REGRESSION));
    for file in files(&corpus)?.iter().filter(|file| !is_regression(file)) {
        fs::remove_file(file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let length = |file: &PathBuf| fs::metadata(file).map_or(u64::MAX, |facts| facts.len());
    let mut inputs = files(&merged)?;
    inputs.sort_by_key(|file| (length(file), file.clone()));
    let step = inputs.len().div_ceil(INPUTS_MAX).max(1);
    let mut room = CORPUS_MAX;
    for file in inputs.into_iter().step_by(step) {
        let Some(left) = room.checked_sub(length(&file)) else { break };
        room = left;
        let to = corpus.join(file.file_name().unwrap_or_default());
        fs::copy(&file, &to).map_err(|error| format!("{}: {error}", to.display()))?;
    }
    Ok(())
}
