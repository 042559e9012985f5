//! What is asked for at the moment of a scrape, beside what was counted: plain values, filled by whoever knows them.

use mainstay_policy::{KeyFigures, StaleFigures};

use super::process::ProcessFigures;

/// The state of a node at one moment.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Each service, in the order in which they are to be shown.
    pub services: Vec<ServiceFigures>,
    /// Open connections of callers, by the name of the listener.
    pub connections: Vec<(String, u64)>,
    /// The node's own.
    pub node: NodeFigures,
    /// The process's; none where they cannot be had.
    pub process: ProcessFigures,
}

/// The state of one service.
#[derive(Debug, Clone, Default)]
pub struct ServiceFigures {
    /// Its name.
    pub name: String,
    /// `closed`, `open` or `half_open`; empty when the breaker is off.
    pub breaker: &'static str,
    /// What the retry budget holds, over all workers; none when there is no budget.
    pub retry_budget_tokens: Option<f64>,
    /// Attempts that may run at once; none for unlimited.
    pub concurrency_limit: Option<u64>,
    /// Calls that wait.
    pub queued: u64,
    /// Its kept `Idempotency-Key`s; none when it keeps none.
    pub keys: Option<KeyFigures>,
    /// Its answers that may stand in; none when it keeps none.
    pub stale: Option<StaleFigures>,
    /// Its endpoints.
    pub endpoints: Vec<EndpointFigures>,
}

/// The state of one endpoint.
#[derive(Debug, Clone, Default)]
pub struct EndpointFigures {
    /// Its address.
    pub address: String,
    /// `ready`, `ejected`, `probing` or `draining`.
    pub state: &'static str,
    /// It does not keep pace with the others and is left alone but for trials.
    pub limping: bool,
    /// Attempts that run.
    pub inflight: u64,
}

/// The state of the parts that are not services.
#[derive(Debug, Clone, Default)]
pub struct NodeFigures {
    /// The version that runs.
    pub version: &'static str,
    /// Reloads that took effect.
    pub reloads_succeeded: u64,
    /// Reloads that changed nothing because the new configuration was wrong.
    pub reloads_failed: u64,
    /// Lines that the access log dropped.
    pub access_log_dropped: u64,
    /// The node is ready for traffic.
    pub ready: bool,
}
