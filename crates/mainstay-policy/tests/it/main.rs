//! The laws of the decisions as a whole.

mod determinism;
