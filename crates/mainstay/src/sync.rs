//! Guards on their own, for code that has no runtime, or wants only one of them.
//!
//! They are the same decisions as in a [`crate::Service`], with the same settings and defaults. Nothing here needs a
//! runtime; [`Bulkhead::acquire`] and [`RateLimiter::acquire`] can be awaited on any.
//!
//! ```
//! use mainstay::{BreakerSettings, RateLimitSettings, sync::{Breaker, RateLimiter, Rejected}};
//!
//! let breaker = Breaker::new(&BreakerSettings::default());
//! let limiter = RateLimiter::new(&RateLimitSettings::per_second(100));
//!
//! fn ask() -> Result<u32, std::io::Error> {
//!     Ok(42)
//! }
//!
//! if limiter.try_acquire_for("customer-7").is_ok() {
//!     match breaker.call(ask) {
//!         Ok(answer) => assert_eq!(answer, 42),
//!         Err(Rejected::Open(open)) => println!("ask again in {}", open.retry_after),
//!         Err(Rejected::Failed(error)) => println!("it failed: {error}"),
//!     }
//! }
//! ```

mod breaker;
mod bulkhead;
mod rate_limit;

pub use breaker::{Breaker, BreakerOpen, Entered, Rejected};
pub use bulkhead::{Acquire, Bulkhead, NoPermit, OwnedPermit, Permit};
pub(crate) use rate_limit::Place;
pub use rate_limit::{AcquirePlace, Limited, RateLimiter};
