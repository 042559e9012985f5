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
    step("dependencies", cargo(&["deny", "check"]))
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
