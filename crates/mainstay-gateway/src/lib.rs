//! Listeners, routing, protocol engines and connection pools: what carries a call over sockets.
//!
//! Every decision is made by `mainstay-policy`, every byte of HTTP/1.1 is understood by `mainstay-http1`; this crate owns
//! the sockets, threads and timers between them. [`Gateway`] is its public face. Behind it, from the outside inwards:
//! listeners accept on the control runtime and hand each connection to a worker, a thread with a runtime of its own
//! (`worker`); a task serves the connection request by request (`serve`); a request becomes a plan by the routes
//! (`plan`, `route`); an exchange carries the plan's call out (`exchange`) between the caller's side (`caller`) and an
//! attempt at an instance (`upstream`).

mod answer;
mod buffers;
mod caller;
mod clock;
mod connect;
mod exchange;
mod forward;
mod gateway;
mod health;
mod idempotency;
mod kept;
#[doc(hidden)]
pub mod laws;
mod limits;
mod listener;
mod message;
mod mirror;
mod plan;
mod purse;
mod recording;
mod route;
mod serve;
mod snapshot;
mod stale;
mod timer;
mod upstream;
mod view;
mod watch;
mod worker;

pub use gateway::{Gateway, OrderError, ServiceState, StartError};
pub use recording::Recordings;
