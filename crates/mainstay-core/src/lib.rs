//! The words that every part of Mainstay shares: time, units, ids, seeds, a checksum, and how a failure is classified.
//!
//! Nothing here reads a clock, draws a random number or touches the outside world. The crate has no dependencies, so
//! that everything else may depend on it.

mod class;
mod crc;
mod fnv;
mod id;
pub mod math;
mod number;
mod seed;
mod time;
mod units;

pub use class::{Certainty, Failure, MethodClass, Origin};
pub use crc::{Crc, crc};
pub use fnv::fnv;
pub use id::{CallId, EndpointId};
pub use seed::{Purpose, Seed, below, unit};
pub use time::{Deadline, Duration, Instant, ParseDurationError, UnixTime, earliest};
pub use units::{Bytes, Limit, OutOfRange, ParseUnitError, Rate, Ratio};
