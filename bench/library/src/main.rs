//! What a call costs behind each guard, ours and those that others have written, in one run.
//!
//! Every contender makes the same call: a request that is a number, answered at once. So what is measured is the guard and
//! nothing else; the call alone is the first line. Contenders of a group take turns, round after round, and the median of
//! the rounds counts. Allocations are those of one call in steady state.

mod cases;
mod contended;
mod report;

use std::time::Duration;

use clap::Parser;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// What to measure, and how long.
#[derive(Debug, Parser)]
struct Args {
    /// Rounds; the median counts
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// Calls of one contender in one round
    #[arg(long, default_value_t = 200_000)]
    calls: u64,
    /// Only groups whose name contains this
    #[arg(long, default_value = "")]
    group: String,
    /// Make the calls of this contender and print nothing: for callgrind
    #[arg(long)]
    only: Option<String>,
}

/// One way to make the call.
pub struct Case {
    /// Whose.
    pub name: &'static str,
    /// Makes so many calls and says how long they took.
    pub run: Box<dyn Fn(u64) -> Duration>,
}

/// Contenders that do the same.
pub struct Group {
    /// What.
    pub name: &'static str,
    /// Ours come first.
    pub cases: Vec<Case>,
}

fn main() {
    let args = Args::parse();
    let groups = cases::groups().into_iter().chain(contended::groups());
    if let Some(only) = &args.only {
        for group in groups {
            for case in group.cases.iter().filter(|case| format!("{}: {}", group.name, case.name) == *only) {
                (case.run)(args.calls);
            }
        }
        return;
    }
    for group in groups.filter(|group| group.name.contains(&args.group)) {
        report::print(&group, args.rounds, args.calls);
    }
}
