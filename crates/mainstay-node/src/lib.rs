//! One running node, put together from one configuration.
//!
//! In: a configuration that cannot be wrong and the file it came from. Out: a [`Node`] that serves, reloads when the
//! file or an operator says so, and ends in order. The parts know nothing of one another: the gateway carries calls, the
//! admin API asks a running node its questions, and this crate stands between them.

mod admin;
mod descriptors;
mod file;
mod node;
mod running;
mod shared;
mod store;

pub use file::{ConfigError, ConfigFile};
pub use node::{Ending, Node, RecordTo, StartError};
pub use store::StoreError;
