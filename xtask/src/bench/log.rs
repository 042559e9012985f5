//! `cargo xtask bench log`: how many entries a second the store's log confirms, and what an entry costs of the CPU, beside
//! what the disk does alone.

use std::path::PathBuf;
use std::process::Command;

use clap::Args;

use crate::{process, root};

/// Where, and for how long.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// A directory on the disk that is meant, instead of the one on which this was built
    #[arg(long)]
    directory: Option<PathBuf>,
    /// How long each line is measured
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

/// Builds the measurement and lets it run.
pub(crate) fn log(args: &LogArgs) -> Result<(), String> {
    let directory = args.directory.clone().unwrap_or_else(|| root().join("target"));
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--release", "--quiet", "-p", "mainstay-wal", "--example", "flushes", "--"]);
    command.arg(directory).arg(args.seconds.to_string()).current_dir(root());
    process::run(&mut command)
}
