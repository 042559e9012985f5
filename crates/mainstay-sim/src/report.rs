//! What a play came to, in one form for what was simulated and what was real, so that the two can be laid side by side.
//!
//! A call is *good* when a right answer comes within its deadline, counted from the moment it was due. Lengths are
//! milliseconds, shares lie between 0 and 1, seconds are counted from the beginning of the scenario.

use serde::{Deserialize, Serialize};

/// What a play came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// How it was played.
    pub played: Played,
    /// Where its luck came from.
    pub seed: u64,
    /// The one line that plays it again.
    pub replay: String,
    /// Calls that were due.
    pub requests: u64,
    /// Those of them that were good.
    pub good: u64,
    /// `good` of `requests`.
    pub good_ratio: f64,
    /// Attempts that were sent to an instance, for each call.
    pub attempts_per_request: f64,
    /// Of the good answers, from the moment a call was due; none where there was no good answer.
    pub p50_ms: Option<f64>,
    /// As `p50_ms`.
    pub p99_ms: Option<f64>,
    /// As `p50_ms`.
    pub p999_ms: Option<f64>,
    /// From the end of the last fault until the calls due are as good again as they were before the first one, and stay
    /// so; none where that did not happen. Zero where they were never worse.
    pub recovery_seconds: Option<f64>,
    /// The cause is gone and the calls are still not good: the system holds itself down.
    pub metastable: bool,
    /// POSTs that instances carried out more than once.
    pub duplicated_posts: u64,
    /// Share of the instances' work that was done for a caller who had left or had another answer.
    pub wasted_ratio: f64,
    /// The least loaded endpoint's attempts, of the most loaded one's, of equal weight, outside faults; 1 is even.
    pub fairness: f64,
    /// How each workload fared, in the order of the scenario; none where that was not counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<WorkloadLine>,
    /// The least share of good calls that a workload has, of the greatest that one has; 1 where all fare alike, or none has
    /// a good call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_fairness: Option<f64>,
    /// What became of the calls that were not good, the most frequent first.
    pub failures: Vec<Counted>,
    /// What was done to the instances.
    pub faults: Vec<FaultSpan>,
    /// What each instance did.
    pub instances: Vec<InstanceLine>,
    /// Whether everything held that the scenario asks for.
    pub held: bool,
    /// What the scenario asks for, and what came.
    pub holds: Vec<Hold>,
    /// Second by second.
    pub timeline: Vec<Second>,
    /// What changed state, and when.
    pub events: Vec<Event>,
}

/// How a scenario was played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Played {
    /// In virtual time.
    Simulated,
    /// With processes and sockets.
    Real,
}

/// So many of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// What.
    pub what: String,
    /// How many.
    pub count: u64,
}

/// A fault and how long it lasted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultSpan {
    /// Its kind, in the scenario's word.
    pub kind: String,
    /// What it struck: `shop/0`.
    pub target: String,
    /// When it began.
    pub from_second: f64,
    /// When it ended.
    pub to_second: f64,
}

/// How one workload fared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkloadLine {
    /// Its name; the second of one name is called `shop 2`.
    pub name: String,
    /// As in [`Report`], of its calls alone.
    pub requests: u64,
    /// As in [`Report`].
    pub good: u64,
    /// As in [`Report`].
    pub good_ratio: f64,
    /// As in [`Report`].
    pub attempts_per_request: f64,
    /// As in [`Report`].
    pub p50_ms: Option<f64>,
    /// As in [`Report`].
    pub p99_ms: Option<f64>,
    /// As in [`Report`].
    pub p999_ms: Option<f64>,
}

/// What one instance did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceLine {
    /// Its name: `shop/0`.
    pub name: String,
    /// Attempts that reached it.
    pub attempts: u64,
    /// Share of its slots' time that was busy.
    pub busy_ratio: f64,
    /// Share of its work that had to wait for a slot.
    #[serde(default)]
    pub queued_ratio: f64,
    /// How long its work waited for a slot, in the mean over all of it.
    #[serde(default)]
    pub queue_ms: f64,
}

/// Something that had to hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// The scenario's key: `good`, `p99`, …
    pub what: String,
    /// What was asked for, in the scenario's words.
    pub wanted: String,
    /// What came, in the same words.
    pub measured: String,
    /// Whether that is enough.
    pub held: bool,
}

/// One second of a play. Calls are counted in the second in which they were due.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Which one, from 0.
    pub second: u64,
    /// Calls due.
    pub requests: u64,
    /// Those of them that were good.
    pub good: u64,
    /// Those that we refused ourselves.
    pub refused: u64,
    /// Attempts that were sent in this second.
    pub attempts: u64,
    /// Those of them that were not the first of their call.
    pub retries: u64,
    /// Of the good calls due in it.
    pub p50_ms: Option<f64>,
    /// As `p50_ms`.
    pub p99_ms: Option<f64>,
    /// Calls under way at its end.
    pub in_flight: u64,
    /// Endpoints that could be chosen at its end, over all services.
    pub usable: u64,
    /// Instances that ran at its end, of the services whose number of instances changes; none where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<u64>,
    /// The breakers that were not closed at its end: `shop: open`.
    pub breakers: Vec<String>,
}

/// A change of state, as an operator would be told of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub second: f64,
    /// What happened.
    pub what: String,
}
