//! The consensus store under faults: real processes, clients that write down what they asked and what they were answered,
//! faults on a schedule that follows from a seed, and a judge.
//!
//! In: a [`Plan`]. Out: a [`Report`] with a verdict, and where it is bad a directory with everything that led to it. Nothing
//! here knows how the store is built: what is true is read off the answers alone (`judge.rs`).
//!
//! The binary is the one that ships. Links between members fail in proxies (`ways.rs`), disks and clocks in a few functions
//! of the C library that stand before its own (`shim.rs`); so no switch for a test is in the product.

mod ask;
mod clients;
mod faults;
mod history;
mod judge;
mod leases;
mod luck;
mod members;
mod run;
mod shim;
mod watches;
mod ways;

pub use faults::Kind;
pub use judge::Verdict;
pub use members::Weight;
pub use run::{Plan, Report, run};
