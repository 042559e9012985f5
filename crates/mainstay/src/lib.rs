//! Calls that keep being answered while parts of a service fail.
//!
//! A program depends on things that break: other services, databases, queues. Put a [`Service`] between: each call goes to
//! an endpoint that can answer it, is tried again or elsewhere when that is safe, leaves failing endpoints alone until they
//! are well, and is refused early when nobody could answer it in time. The decisions are those of the gateway `mainstay`,
//! the same code with the same defaults; here they are driven by futures, on any runtime.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
//! # runtime.block_on(async {
//! use mainstay::{Facts, Service};
//!
//! let stock = Service::builder("stock").build()?;
//! let count = stock
//!     .call(Facts::idempotent(), |_| async { Ok::<_, std::io::Error>(42) }) // ask a database here
//!     .fallback(|_, _| Ok(0))
//!     .await?;
//! assert_eq!(count, 42);
//! # Ok(()) })
//! # }
//! ```
//!
//! # The order
//!
//! deadline → breaker → bulkhead queue → [ choose an endpoint → attempt → classify → retry or hedge, if the budget
//! allows ] → fallback → settle. It is the same for everybody and cannot be changed: a permit belongs to an attempt and is
//! free during a pause, a retry never queues, what has failed is counted once.
//!
//! # What is on
//!
//! From `Service::builder(name).build()` alone: a deadline of 15 s, three attempts for what may be made twice, pauses with
//! jitter, a budget for retries, a breaker, a limit on what runs at once that follows latency, a bounded queue, and with
//! several endpoints adaptive balancing and ejection. Hedges are off: they make some calls twice. Each setting says its
//! default and the reason.
//!
//! # Runtimes
//!
//! With the feature `tokio`, which is on by default, waits are tokio's. Without it a thread keeps the time, and any runtime
//! will do ([`time`]). Tests run in [`time::VirtualTime`], where an hour takes no time.

pub mod alone;
pub mod classify;
#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "discover")]
pub mod discover;
#[cfg(feature = "telemetry")]
pub mod metrics;
pub mod sync;
pub mod time;
#[cfg(feature = "tower")]
pub mod tower;

mod builder;
mod call;
mod endpoint;
mod error;
mod facts;
mod service;
mod shard;
#[cfg(feature = "telemetry")]
mod telling;
#[cfg(not(feature = "telemetry"))]
#[path = "telling/off.rs"]
mod telling;
mod view;

pub use builder::Builder;
pub use call::{Asked, AtHand, Attempt, Attempts, Call, CallFuture, Fallback, NoFallback};
pub use endpoint::{Endpoint, IntoEndpoint};
pub use error::{BuildError, Error};
pub use facts::Facts;
pub use service::Service;
pub use view::{BreakerView, EndpointView, View};

pub use mainstay_core::{Bytes, Certainty, Duration, Failure, Instant, Limit, Origin, Rate, Ratio};
pub use mainstay_policy::{
    Adaptive, AttemptReason, BackoffKind, BackoffSettings, Balance, BreakerOrder, BreakerSettings, BudgetSettings,
    BulkheadSettings, Cause, EndpointState, FallbackKind, HedgeAfter, HedgeSettings, Jitter, OnExceeded, Order,
    OutlierSettings, Percentile, Priority, RateLimitAlgorithm, RateLimitSettings, Refusal, RetryOn, RetrySettings,
    ServiceSettings, TimeoutSettings,
};
