//! The checker, proved on histories whose verdict is known.

#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]
#![allow(clippy::print_stdout, reason = "what was skipped is said")]

mod drawn;
mod given;
mod told;
