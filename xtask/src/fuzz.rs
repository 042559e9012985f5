//! Looks for bytes that break a law of `mainstay-laws`, one target after the other.
//!
//! libFuzzer on the stable toolchain: the compiler's coverage pass and its arguments are stable flags, and the address
//! sanitizer, which is not, would find nothing in code without `unsafe`. A run begins with the committed corpus, one file
//! of text for each target (`fuzz/corpus/TARGET.txt`), and what earlier runs on this machine found (`fuzz/work`, not
//! committed). What breaks a law is written to `fuzz/findings`: once it is mended it goes into the corpus under a name,
//! and every run of the tests plays it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::{process, root};

/// By its path and not as a dependency, for the laws bring the whole gateway with them.
#[allow(unreachable_pub, reason = "it is public where it belongs")]
#[path = "../../crates/mainstay-laws/src/corpus.rs"]
mod corpus;
use corpus::Input;

/// Bytes that the inputs of a target may have in the committed corpus: written out all of them stay below 1 MB.
const CORPUS_MAX: usize = 80_000;

/// Inputs that it may have.
const INPUTS_MAX: usize = 250;

/// The compiler's coverage: edges, counters and what is compared with what.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

/// What to look at, and for how long.
#[derive(Debug, Args)]
pub(crate) struct FuzzArgs {
    /// Only these targets, instead of each in turn; the names are those of the files in fuzz/corpus
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
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
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

fn corpus_of(target: &str) -> PathBuf {
    root().join("fuzz/corpus").join(target).with_extension("txt")
}

fn read_corpus(target: &str) -> Result<Vec<Input>, String> {
    let file = corpus_of(target);
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    corpus::read(&text).map_err(|error| format!("{}: {error}", file.display()))
}

/// Lays the committed corpus out as libFuzzer wants it: a directory with a file for each input.
fn unpack(target: &str) -> Result<PathBuf, String> {
    let to = root().join("fuzz/work").join(target).join("seeds");
    let _ = fs::remove_dir_all(&to);
    let to = directory(to)?;
    for (number, input) in read_corpus(target)?.iter().enumerate() {
        let file = to.join(format!("{number:04}"));
        fs::write(&file, &input.bytes).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(to)
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
    command.arg(work).arg(unpack(target)?).arg("-dict=http.dict");
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

/// Writes the corpus anew: what has a name, then the least that covers what all of it covers, and of that, where it is too
/// much, some of every length.
fn keep(fuzzer: &Path, target: &str) -> Result<(), String> {
    let work = root().join("fuzz/work").join(target);
    let merged = work.join("merged");
    let _ = fs::remove_dir_all(&merged);
    let merged = directory(merged)?;
    let mut command = fuzzer_for(fuzzer, target);
    command.arg("-merge=1").arg(&merged).arg(unpack(target)?).arg(work.join("corpus"));
    let output = command.output().map_err(|error| format!("{}: {error}", fuzzer.display()))?;
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        return Err(format!("{target}: the merge ended with {}", output.status));
    }
    let mut inputs: Vec<Vec<u8>> = Vec::new();
    for file in files(&merged)? {
        inputs.push(fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?);
    }
    let mut kept = read_corpus(target)?;
    kept.retain(|input| input.name.is_some());
    kept.extend(some_of(inputs).into_iter().map(|bytes| Input { name: None, bytes }));
    let about = format!(
        "Inputs of the law `{target}` (crates/mainstay-laws), kept by `cargo xtask fuzz --keep`. How to read and to add to \
         them:\ncrates/mainstay-laws/src/corpus.rs"
    );
    let file = corpus_of(target);
    fs::write(&file, corpus::write(&about, &kept)).map_err(|error| format!("{}: {error}", file.display()))
}

/// As many inputs as may be kept, of every length.
fn some_of(mut inputs: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    inputs.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    let step = inputs.len().div_ceil(INPUTS_MAX).max(1);
    let mut room = CORPUS_MAX;
    let fits = |bytes: &Vec<u8>| {
        let left = room.checked_sub(bytes.len());
        room = left.unwrap_or(0);
        left.is_some()
    };
    inputs.into_iter().step_by(step).take_while(fits).collect()
}
