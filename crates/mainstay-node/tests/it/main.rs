//! A whole node over real sockets: its start, what an operator sees, its reloads and its end.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod life;
mod world;
