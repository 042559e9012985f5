//! What a running node tells about itself: metrics, the access log, logs, and the record of each request's decisions.
//!
//! Everything that a request touches belongs to one worker: a [`Recorder`], an [`AccessWriter`] and a [`RecordRing`],
//! all changed through `&mut`, without a lock, an atomic that others write, or an allocation once they are warm. What
//! is slow (rendering, writing, searching) happens elsewhere, on plain copies.
//!
//! Labels are turned into dense keys once per reload ([`Names`]); a key is never given to another label, so counters
//! and records outlive a reload that numbers routes and services anew.

mod access_log;
mod exposition;
mod hedges;
pub mod json;
#[cfg(feature = "logs")]
mod logs;
mod method;
mod metrics;
mod names;
mod records;
mod story;
mod wall;

pub use access_log::{AccessLog, AccessWriter, Line, LineFormat, TRIES_MAX, Tried, Try, all_tries, tries};
pub use exposition::{
    CONTENT_TYPE, EndpointFigures, Figures, NodeFigures, ProcessFigures, ServiceFigures, render, render_services,
};
pub use hedges::{HedgeResult, hedge_results};
#[cfg(feature = "logs")]
pub use logs::{LogFormat, LogLevel, LogStartError, start_logs};
pub use method::Method;
pub use metrics::{AttemptResult, Histogram, KeyResult, MirrorResult, Priority, Recorder, ShedReason, Snapshot};
pub use names::{EndpointKey, LimitKey, ListenerKey, Names, OTHER, RouteKey, RouteNameKey, ServiceKey};
pub use records::{FoundRecord, RecordRing, RequestFacts, merge_found};
