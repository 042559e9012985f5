//! Real load, real faults and their undoing: what a scenario says is played with processes, sockets and signals.
//!
//! In: a configuration as the gateway reads it, a scenario as the simulator plays it. Out: the same
//! [`Report`](mainstay_sim::report::Report), and the proof that nothing of the play is left ([`play()`]).
//!
//! A fault is written down, with how it is undone and when its lease ends, with a process of its own before it begins
//! ([`watchdog`]), so that it is undone even when the driller is killed. Load is open ([`load`]): what is due is due.

pub mod ask;
mod books;
mod callers;
pub mod compare;
pub mod experiment;
mod guard;
mod keeper;
mod link;
pub mod load;
mod look;
mod plan;
mod play;
pub mod process;
mod proof;
mod proxy;
mod stage;
mod strike;
mod trouble;
pub mod undo;
pub mod watchdog;
pub mod wire;

pub use play::{Drilled, Order, play};
pub use proof::Proof;
pub use stage::Programs;
pub use trouble::{Outcome, Trouble};
