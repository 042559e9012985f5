//! What goes into a fleet and what comes out of it.

use std::net::SocketAddr;
use std::sync::Arc;

use mainstay_core::{CallId, Certainty, Duration, EndpointId, Failure, Instant};

use super::PassedOver;
use crate::{Cause, CheckFailure, CheckResult, EndpointState, Recovery};

/// What a call asks of the fleet.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Whose luck is drawn.
    pub call: CallId,
    /// Which attempt, from 0.
    pub attempt: u32,
    /// The hash of what the service balances on.
    pub hash: u64,
    /// Sending it twice is the same as sending it once.
    pub idempotent: bool,
    /// Endpoints of the call's earlier attempts, in their order.
    pub tried: &'a [EndpointId],
}

/// The endpoint of one attempt. Whoever holds one owes one [`crate::Fleet::finish`], and at most
/// one [`crate::Fleet::report`] before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Where.
    pub endpoint: EndpointId,
    /// Its outcome decides whether the endpoint comes back.
    pub probe: bool,
    /// Health and ejection were ignored.
    pub panic: bool,
    /// It is to show whether a limping endpoint keeps pace again.
    pub trial: bool,
    /// Why it leaves the own zone, if it does.
    pub crossing: Option<Crossing>,
    /// Who could not be chosen.
    pub passed_over: PassedOver,
}

/// Why a first attempt leaves the zone whose endpoints come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crossing {
    /// The zone carries a part of its load only, and this call is of the rest.
    Share,
    /// The call was to stay, and nobody in the zone could take it.
    Room,
}

/// Why no endpoint was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoEndpoint {
    /// There is none, or an operator has taken all of them out.
    Empty,
    /// Those with room were tried by this call already, and one that was not is only busy.
    AllTried,
    /// Each is at the limit that we set it.
    AllBusy,
    /// Each is ejected, or its probe is under way.
    AllEjected,
}

/// What an attempt says of its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The head of a good answer came.
    Good {
        /// From the choice to the head.
        latency: Duration,
    },
    /// It failed, by the endpoint's fault or the network's.
    Failed {
        /// How.
        failure: Failure,
        /// What it left behind.
        certainty: Certainty,
        /// From the choice to the failure.
        latency: Duration,
    },
    /// Another attempt of the same call answered first. That is no failure, and a lower bound of its latency.
    Outpaced {
        /// From the choice to the moment at which it was given up.
        waited: Duration,
    },
    /// It had not answered when somebody would not wait any longer, and nobody else was to blame for the wait.
    Silent {
        /// From the choice to then.
        waited: Duration,
    },
    /// Nothing: we gave it up, or the caller left. It is worth telling: a probe's place comes free at once.
    Nothing,
}

/// Something that people want to know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetEvent {
    /// An endpoint takes no more calls.
    Ejected {
        /// Which.
        endpoint: EndpointId,
        /// Where.
        address: SocketAddr,
        /// Why.
        cause: Cause,
        /// When it is probed at the earliest; `None` when it waits for a check or an operator.
        until: Option<Instant>,
    },
    /// The ejection's time is over: the next call that may be risked decides.
    Probing {
        /// Which.
        endpoint: EndpointId,
        /// Where.
        address: SocketAddr,
    },
    /// An endpoint takes calls again.
    Restored {
        /// Which.
        endpoint: EndpointId,
        /// Where.
        address: SocketAddr,
        /// How it came back.
        by: Recovery,
    },
    /// The first failed check after passes, or the first of all.
    CheckFailed {
        /// Which.
        endpoint: EndpointId,
        /// Where.
        address: SocketAddr,
        /// How.
        failure: CheckFailure,
    },
    /// The first passed check after failures, or the first of all.
    CheckPassed {
        /// Which.
        endpoint: EndpointId,
        /// Where.
        address: SocketAddr,
    },
    /// An endpoint does not keep pace with the others and is left alone but for trials.
    Limping {
        /// Which.
        endpoint: EndpointId,
        /// Where.
        address: SocketAddr,
        /// What it takes to answer.
        latency: Duration,
        /// What the others take.
        others: Duration,
    },
    /// An operator drains an endpoint.
    Draining {
        /// Which.
        endpoint: EndpointId,
        /// Where.
        address: SocketAddr,
    },
    /// So few endpoints are usable that health and ejection are ignored from now on, or no longer are.
    Panic {
        /// Ignored.
        on: bool,
    },
}

/// An endpoint that does not keep pace with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limping {
    /// What it takes to answer.
    pub latency: Duration,
    /// What the others take, in the median.
    pub others: Duration,
    /// When it is tried next.
    pub tried_at: Instant,
}

/// One endpoint, for people and for metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointView {
    /// Which.
    pub id: EndpointId,
    /// Where.
    pub address: SocketAddr,
    /// Its share against the others' weights.
    pub weight: u32,
    /// Where it stands.
    pub zone: Arc<str>,
    /// Only used when too few others are left.
    pub backup: bool,
    /// What it is to the balancer.
    pub state: EndpointState,
    /// Why it is not ready.
    pub cause: Option<Cause>,
    /// When it is probed at the earliest.
    pub until: Option<Instant>,
    /// Attempts of this worker that run there.
    pub in_flight: u32,
    /// What an attempt is expected to take up to its head; `None` before the first.
    pub latency: Option<Duration>,
    /// The share in hundredths that it takes so far, while it is new or back.
    pub warming: Option<u8>,
    /// How it falls behind the others, if it does.
    pub limping: Option<Limping>,
    /// The share of the calls in hundredths that stays in the own zone, where this endpoint stands in another.
    pub zone_keeps: Option<u8>,
    /// Attempts that went well.
    pub successes: u64,
    /// Attempts that failed by its fault.
    pub failures: u64,
    /// How often it was ejected, as far as this worker knows.
    pub ejections: u64,
    /// The last active check, and when it ended.
    pub last_check: Option<(Instant, CheckResult)>,
}
