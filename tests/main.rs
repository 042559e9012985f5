//! Mainstay from outside: the binary as a process, real instances, real sockets, real signals.
//!
//! Nothing here knows how anything is built. A story starts what it needs on free ports, breaks something, and counts:
//! requests, answers, lines that instances appended, figures of `/metrics`. No story asserts how fast anything was, so
//! that a busy machine fails none. They run one after the other, because two loads at once would measure each other.

#![allow(clippy::unwrap_used, reason = "a story whose stage cannot be set has failed")]
#![allow(clippy::print_stderr, reason = "what is skipped is said")]

mod accounting;
mod bodies;
mod callers;
mod command;
mod drilling;
mod drills;
mod edge;
mod explain;
mod faults;
mod hedging;
mod keys;
mod limits;
mod memory;
mod mirroring;
mod overload;
mod peers;
mod replay;
mod soaking;
mod stale;
mod steering;
mod store;
mod support;
