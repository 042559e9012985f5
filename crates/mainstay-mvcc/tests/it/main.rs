//! The data of the consensus store, as its users see it.

#![allow(clippy::unwrap_used, reason = "a test that meets what cannot be has failed")]

mod data;
mod draw;
mod laws;
mod model;
mod support;
