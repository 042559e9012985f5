//! The data of the consensus store, as its users see it.

#![allow(clippy::unwrap_used, reason = "a test that meets what cannot be has failed")]
#![allow(clippy::needless_pass_by_value, reason = "a story is told without ampersands")]

mod data;
mod draw;
mod laws;
mod model;
mod snapshots;
mod support;
mod watching;
