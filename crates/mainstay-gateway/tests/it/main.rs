//! The gateway over real sockets: a caller and an origin that are nothing but bytes.

#![allow(clippy::unwrap_used, reason = "a helper that meets the unexpected fails its test")]

mod attempts;
mod bodies;
mod connections;
mod hedging;
mod hostile;
mod keys;
mod log;
mod mirroring;
mod rate_limits;
mod stale;
mod steering;
mod world;
