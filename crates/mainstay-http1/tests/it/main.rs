//! The codec and the machines as a driver sees them: bytes in, events out.

#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

mod body;
mod client;
mod fields;
mod fragments;
mod play;
mod requests;
mod responses;
mod round_trip;
mod server;
