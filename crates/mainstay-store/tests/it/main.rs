//! The store as its clients see it, and its members over real sockets and files.

#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]

mod agreement;
mod fairness;
mod forgetting;
mod gateway;
mod holding;
mod keys;
mod leases;
mod member;
mod members;
mod peers;
mod stage;
mod support;
mod transactions;
mod watches;
mod wire;
