//! What a change must pass, in the order in which it fails soonest.

use std::process::Command;
use std::time::Instant;

use crate::{process, root};

/// Runs every step and stops at the first that fails.
pub(crate) fn run() -> Result<(), String> {
    step("format", cargo(&["fmt", "--all", "--check"]))?;
    step("lints", cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]))?;
    features()?;
    step("tests", tests())?;
    step(
        "documentation",
        cargo(&["doc", "--workspace", "--all-features", "--no-deps", "--document-private-items"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    if process::find("cargo-deny").is_none() {
        println!("== dependencies: skipped: cargo-deny is not installed");
        return Ok(());
    }
    step("dependencies", cargo(&["deny", "check", "bans", "licenses", "sources"]))?;
    advisories()
}

/// What a user of the library may switch on or off, and what of it each brings along.
const FEATURES: [(&str, &[&str]); 6] = [
    ("tokio", &[]),
    ("quanta", &[]),
    ("tower", &[]),
    ("config", &[]),
    ("telemetry", &[]),
    ("discover", &["tokio", "config"]),
];

/// The library with each set of its features.
fn features() -> Result<(), String> {
    println!("== features");
    let begun = Instant::now();
    for set in 0..1_u32 << FEATURES.len() {
        let chosen = || FEATURES.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1).map(|(_, feature)| feature);
        let names: Vec<_> = chosen().map(|(name, _)| *name).collect();
        if chosen().flat_map(|(_, brought)| *brought).any(|brought| !names.contains(brought)) {
            continue;
        }
        let names = names.join(",");
        let library = ["clippy", "--quiet", "-p", "mainstay", "--lib", "--no-default-features", "--features", &names];
        let mut command = cargo(&library);
        process::run(command.args(["--", "-D", "warnings"])).map_err(|why| format!("features {names:?}: {why}"))?;
    }
    println!("== features: well after {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Programs that some stories need beside us. Such a story's module and name are `peers::` and the program.
const PEERS: [&str; 8] = ["curl", "wrk", "nginx", "haproxy", "promtool", "schemathesis", "etcdctl", "etcd"];

/// All tests, but for the stories whose program is not installed: the runner counts those as filtered out, so that what
/// was not played is never counted as passed.
fn tests() -> Command {
    let mut command = cargo(&["test", "--workspace", "--all-features", "--"]);
    for program in PEERS.into_iter().filter(|program| process::find(program).is_none()) {
        println!("== tests: skipped: the stories with {program}, which is not installed");
        command.arg("--skip").arg(format!("peers::{program}_"));
    }
    command
}

/// Known holes in dependencies. The list of them comes over the network; without one there is nothing to compare with.
fn advisories() -> Result<(), String> {
    println!("== advisories");
    let output = cargo(&["deny", "check", "advisories"]).output().map_err(|error| format!("advisories: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() && said.contains("failed to fetch advisory database") {
        println!("== advisories: skipped: their database cannot be fetched from here");
        return Ok(());
    }
    eprint!("{said}");
    if output.status.success() { Ok(()) } else { Err("advisories: a dependency has a known hole".to_owned()) }
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

fn step(name: &str, mut command: impl std::borrow::BorrowMut<Command>) -> Result<(), String> {
    println!("== {name}");
    let begun = Instant::now();
    process::run(command.borrow_mut()).map_err(|why| format!("{name}: {why}"))?;
    println!("== {name}: well after {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}
