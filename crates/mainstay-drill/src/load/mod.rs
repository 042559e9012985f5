//! Load: requests that are due when they are due, whatever became of those before.
//!
//! A caller who waits for an answer before asking again asks less of a service that is slow, and so hides how slow it
//! is ("coordinated omission"). In the open loop a schedule alone says when a request is due, and its time runs from
//! there; a request that finds no free connection waits, and the wait counts. The closed loop (each of N callers asks
//! again when it has its answer) is for counting failures, not for measuring.
//!
//! The schedule and the methods follow from the seed. Every request carries an `x-request-id` of its own, so that the
//! lines that instances append can be matched with it.

mod drive;
mod page;
mod profile;
mod samples;
mod schedule;
mod tally;

use std::sync::Arc;
use std::time::Duration;

pub use mainstay_sim::CallersLuck;

pub use drive::{Stop, run, run_from};
pub use page::page;
pub use profile::{Profile, ProfileError, Step};
pub use samples::{Samples, Taken};
pub use schedule::{Arrivals, Methods, Schedule};
pub(crate) use tally::histogram;
pub use tally::{Count, End, Sample, Second, Since, Tally, locked};

/// What is asked, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Who is asked, one after the other; at least one.
    pub targets: Vec<Target>,
    /// When requests are due.
    pub pace: Pace,
    /// How long to go on.
    pub duration: Duration,
    /// And how many requests at most.
    pub requests: u64,
    /// How long after it was due an answer still counts.
    pub deadline: Duration,
    /// Connections open at once, at most.
    pub connections: usize,
    /// Fields that every request carries, each with its line end.
    pub fields: String,
    /// What the body must contain, one of these; nothing in particular when there is none.
    pub expect: Vec<String>,
    /// Methods, ids and arrivals.
    pub schedule: Schedule,
    /// Where what came of each request is written down, if anywhere.
    pub samples: Option<Arc<Samples>>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Host and port, where it is asked.
    pub address: String,
    /// What stands in `Host`.
    pub host: String,
    /// Path and query.
    pub path: String,
}

impl Target {
    /// `path` at `address`, by that name.
    #[must_use]
    pub fn at(address: impl Into<String>, path: impl Into<String>) -> Self {
        let address = address.into();
        Self { host: address.clone(), address, path: path.into() }
    }
}

/// When a request is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// By the schedule.
    Open,
    /// Each of so many callers asks again when it has its answer and has thought so long.
    Closed {
        /// Callers.
        clients: usize,
        /// The pause between an answer and the next request.
        think: Duration,
    },
}
