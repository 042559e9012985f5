//! The store as its clients see it.

#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

mod wire;
