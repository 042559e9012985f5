//! Whether a history of concurrent operations is linearizable: whether each can have taken effect at one moment between
//! its call and its return, so that all answers are those of one store that does one thing after the other (Herlihy and
//! Wing, "Linearizability: A Correctness Condition for Concurrent Objects", TOPLAS 1990).
//!
//! In: a [`History`] of what clients asked a key-value store, when, and what they were answered. Out: a [`Verdict`], and
//! where there is no order that explains the answers, the operations among which there is none. An operation whose client
//! never learned how it ended may have happened or not, at any moment after its call.
//!
//! The search is that of Wing and Gong ("Testing and Verifying Concurrent Objects", JPDC 1993) with Lowe's memory of
//! configurations ("Testing for linearizability", CCPE 2017). Linearizability is local: keys that no transaction joins are
//! judged apart, which is what makes long histories of many keys feasible, as in Horn and Kroening ("Faster
//! linearizability checking via P-compositionality", FORTE 2015). A configuration is remembered as 128 bits of hash: a
//! wrong verdict by a collision is as likely as nothing.
//!
//! Memory and time are bounded ([`Limits`]); where they do not suffice the verdict is that there is none.

mod history;
mod model;
mod search;
mod text;
mod verdict;

pub use history::{Call, Compare, History, Operation, Outcome, Value};
pub use search::Limits;
pub use text::NotAHistory;
pub use verdict::{Verdict, Violation, check};
