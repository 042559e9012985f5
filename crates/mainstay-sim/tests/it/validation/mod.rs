//! The simulator beside what is known: closed forms, and results that others have published.
//!
//! Each file is one source and says how its world is told as a scenario. A figure holds when ours lies within a stated
//! distance of theirs; the same rows make the tables of `docs/reference/validation.md`, and a row whose figure is no
//! longer the page's fails. `cargo xtask validate` plays the long versions too, `cargo xtask validate --update` writes the
//! page anew.

mod caches;
mod checks;
mod closed;
mod collapse;
mod crash;
mod jitter;
mod queues;
mod retries;
mod scaling;
mod storm;
mod table;
mod throttling;
mod two_choices;
mod world;
