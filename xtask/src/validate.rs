//! The simulator beside closed forms and published results, in the long versions that take minutes.

use std::process::Command;

use crate::{process, root};

/// `cargo xtask validate`
#[derive(Debug, clap::Args)]
pub(crate) struct ValidateArgs {
    /// Write the figures of docs/reference/validation.md anew
    #[arg(long)]
    update: bool,
}

pub(crate) fn run(args: &ValidateArgs) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tests = Command::new(cargo);
    tests.args(["test", "--release", "-p", "mainstay-sim", "--test", "it", "validation::", "--", "--include-ignored"]);
    if args.update {
        tests.env("UPDATE_EXPECT", "1");
    }
    process::run(tests.current_dir(root()))
}
