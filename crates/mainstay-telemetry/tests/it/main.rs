//! Laws that hold for every sequence of observations.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod records;
