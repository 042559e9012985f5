//! The library as a program uses it, in virtual time and on real threads.

#![allow(clippy::unwrap_used, reason = "a helper that meets the unexpected fails its test")]

mod allocations;
mod attempts;
mod endpoints;
mod examples;
#[cfg(feature = "telemetry")]
mod figures;
mod guards;
mod leaving;
mod limits;
mod runtimes;
mod threads;
#[cfg(feature = "tower")]
mod towers;
mod world;
