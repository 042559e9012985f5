//! The laws of the decisions as a whole.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by a panic and is heard by its output")]

mod determinism;
mod limits;
mod overload;
mod storm;
mod world;
