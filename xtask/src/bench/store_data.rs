//! `cargo xtask bench store-data`: what the data of the consensus store costs, without a network, a disk or a majority.
//!
//! The measurement is an example of the crate that it measures (`crates/mainstay-mvcc/examples/store_data.rs`).

use std::process::Command;

use clap::Args;

use crate::{process, root};

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct StoreDataArgs {
    /// Keys, of 20 bytes and with values of 100
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
}

/// Builds the measurement and lets it run.
pub(crate) fn store_data(args: &StoreDataArgs) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut run = Command::new(cargo);
    run.args(["run", "--release", "--quiet", "-p", "mainstay-mvcc", "--example", "store_data", "--"]);
    process::run(run.arg(args.keys.to_string()).current_dir(root()))
}
