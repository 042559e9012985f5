//! A world in virtual time, in which the decisions of `mainstay-policy` are played without sockets.
//!
//! In: a configuration as the gateway reads it, a scenario, a seed. Out: a [`report::Report`], the same bytes for the
//! same seed.

pub mod report;
