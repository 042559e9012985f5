//! What a change must pass, in the order in which it fails soonest.

use std::process::Command;
use std::time::Instant;

use crate::{process, root};

/// Runs every step and stops at the first that fails.
pub(crate) fn run() -> Result<(), String> {
    step("format", cargo(&["fmt", "--all", "--check"]))?;
    step("lints", cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    step("tests", cargo(&["test", "--workspace"]))?;
    step(
        "documentation",
        cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    if process::find("cargo-deny").is_none() {
        println!("== dependencies: skipped: cargo-deny is not installed");
        return Ok(());
    }
    step("dependencies", cargo(&["deny", "check", "bans", "licenses", "sources"]))?;
    advisories()
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
