//! The decisions that keep a service answering while parts of it fail, as pure state machines.
//!
//! Nothing here reads a clock, draws luck or touches a socket: `now` and a [`mainstay_core::Seed`] are handed in. The
//! gateway, the library and the simulator are three drivers of this same code, so what a simulation says of a
//! configuration is what the gateway will do with it.
//!
//! Two shapes, and no trait over them. A **decision** is asked, acts, and is told: [`Breaker`] admits and records. A
//! **machine** has inputs, outputs and a next deadline: [`Call`] is the one at the heart.
//!
//! A driver owns one [`Service`] for each service on each of its threads, and one [`Call`] for each call:
//!
//! 1. hand the call an input ([`Call::handle_input`]) or tell it that its deadline came ([`Call::handle_timeout`]);
//! 2. carry out every [`Output`] until [`Call::poll_output`] has no more;
//! 3. wake up the calls that [`Service::poll_admitted`] names;
//! 4. wait for the next fact, at the longest until [`Call::poll_timeout`].

pub mod balance;

mod autoscale;
mod availability;
mod breaker;
mod bulkhead;
mod call;
mod check;
mod concurrency;
mod endpoints;
mod fault;
mod fleet;
mod idempotency;
mod latency;
mod limit;
mod pace;
mod pool;
mod queue;
mod record;
pub mod recording;
mod retry;
mod service;
mod settings;
mod spread;
mod stale;
mod view;
mod window;

pub use autoscale::*;
pub use availability::*;
pub use breaker::*;
pub use bulkhead::*;
pub use call::*;
pub use check::*;
pub use concurrency::*;
pub use endpoints::*;
pub use fault::*;
pub use fleet::*;
pub use idempotency::*;
pub use limit::*;
pub use pool::*;
pub use queue::*;
pub use record::*;
pub use retry::*;
pub use service::*;
pub use settings::*;
pub use spread::Spread;
pub use stale::*;
pub use view::*;
pub use window::*;
