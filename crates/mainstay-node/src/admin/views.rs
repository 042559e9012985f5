//! Services and endpoints as JSON, with stable names, and with the reason beside each state.
//!
//! Instants mean nothing outside the process, so they are given as milliseconds from now.

use mainstay_core::{Duration, Instant, Limit};
use mainstay_policy::{
    BreakerState, Cause, CheckResult, EndpointState, EndpointView, Fault, FaultKind, FaultOrder, Limping, ServiceView,
};
use serde::Serialize;
use serde_json::{Value, json};

/// One service.
#[derive(Debug, Serialize)]
pub(crate) struct Service {
    name: String,
    breaker: Breaker,
    /// What the retry budget holds; null without one.
    retry_budget_tokens: Option<f64>,
    /// Calls that wait for a permit.
    waiting: u32,
    /// Attempts that run.
    in_use: u32,
    /// Attempts that may run at once now, or `"unlimited"`.
    concurrency_limit: Value,
    /// Attempts that may run at once at the most.
    concurrency_ceiling: Value,
    /// What an operator lets it have on purpose; null without a drill.
    fault: Option<Drill>,
    /// Endpoints that take calls.
    ready: usize,
    pub(crate) endpoints: Vec<Endpoint>,
}

#[derive(Debug, Serialize)]
struct Breaker {
    state: &'static str,
    /// An operator said so.
    forced: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    until_ms: Option<u64>,
    why: String,
}

/// One endpoint.
#[derive(Debug, Serialize)]
pub(crate) struct Endpoint {
    pub(crate) address: String,
    state: &'static str,
    /// Why it is not ready, or gets less than its share; null otherwise.
    why: Option<String>,
    /// The same in one word.
    cause: Option<&'static str>,
    /// When it is probed or tried at the earliest.
    until_ms: Option<u64>,
    weight: u32,
    zone: String,
    backup: bool,
    in_flight: u32,
    /// The moving average of the time to a head.
    latency_ms: Option<f64>,
    successes: u64,
    failures: u64,
    ejections: u64,
    last_check: Option<Check>,
}

#[derive(Debug, Serialize)]
struct Check {
    passed: bool,
    /// How it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    ago_ms: u64,
}

/// A fault under its lease.
#[derive(Debug, Serialize)]
struct Drill {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    share: f64,
    /// Where alone.
    endpoint: Option<String>,
    /// When its lease ends.
    until_ms: u64,
}

impl Drill {
    fn of(fault: &Fault, now: Instant) -> Self {
        let FaultOrder { kind, share, endpoint, .. } = fault.order;
        let (delay_ms, status) = match kind {
            FaultKind::Delay { millis } => (Some(millis), None),
            FaultKind::Abort { status } => (None, Some(status)),
            FaultKind::Reset => (None, None),
        };
        Self {
            kind: kind.as_str(),
            delay_ms,
            status,
            share: share.get(),
            endpoint: endpoint.map(|address| address.to_string()),
            until_ms: fault.until.since(now).as_millis(),
        }
    }
}

impl Service {
    /// The view of a service as it looks at `now`.
    pub(crate) fn of(name: &str, view: &ServiceView, now: Instant) -> Self {
        Self {
            name: name.to_owned(),
            breaker: Breaker::of(view.breaker, now),
            retry_budget_tokens: view.budget,
            waiting: view.waiting,
            in_use: view.in_use,
            concurrency_limit: limit(view.limit),
            concurrency_ceiling: limit(view.ceiling),
            fault: view.fault.map(|fault| Drill::of(&fault, now)),
            ready: view.endpoints.iter().filter(|endpoint| endpoint.state == EndpointState::Ready).count(),
            endpoints: view.endpoints.iter().map(|endpoint| Endpoint::of(endpoint, now)).collect(),
        }
    }
}

fn limit(limit: Limit<u32>) -> Value {
    match limit {
        Limit::Unlimited => json!("unlimited"),
        Limit::At(limit) => json!(limit),
    }
}

/// The word of a breaker's state for metrics and the API, without who decided it.
pub(crate) const fn breaker_word(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed | BreakerState::ForcedClosed => "closed",
        BreakerState::Open { .. } | BreakerState::ForcedOpen => "open",
        BreakerState::HalfOpen => "half_open",
    }
}

impl Breaker {
    fn of(state: BreakerState, now: Instant) -> Self {
        let (why, until_ms) = match state {
            BreakerState::Closed => ("calls go well enough", None),
            BreakerState::Open { until } => ("too many calls failed or were slow", Some(until.since(now).as_millis())),
            BreakerState::HalfOpen => ("a few calls decide whether it closes", None),
            BreakerState::ForcedOpen => ("an operator forced it open", None),
            BreakerState::ForcedClosed => ("an operator forced it closed", None),
        };
        Self {
            state: breaker_word(state),
            forced: matches!(state, BreakerState::ForcedOpen | BreakerState::ForcedClosed),
            until_ms,
            why: why.to_owned(),
        }
    }
}

impl Endpoint {
    fn of(view: &EndpointView, now: Instant) -> Self {
        // What it was before it was drained counts again when it is restored, and does not say why it is out now.
        let draining = view.state == EndpointState::Draining;
        let cause = view.cause.filter(|_| !draining);
        let limping = view.limping.filter(|_| view.state == EndpointState::Ready);
        let warming = view.warming.filter(|_| view.state == EndpointState::Ready);
        let zone_keeps = view.zone_keeps.filter(|_| view.state == EndpointState::Ready);
        let without_cause = || match (limping, warming, zone_keeps) {
            (Some(limping), ..) => Some(("limping", limps(limping, now))),
            (None, Some(share), _) => Some(("warming", format!("new or back: takes {share} % of its share so far"))),
            (None, None, Some(keeps)) => {
                Some(("zone", format!("another zone: the own one keeps {keeps} % of the calls")))
            }
            (None, None, None) => draining.then(|| ("operator", "an operator drains it".to_owned())),
        };
        let (word, why) = cause.map(|cause| (cause.as_str(), why(cause))).or_else(without_cause).unzip();
        let until = view.until.or(limping.map(|limping| limping.tried_at));
        Self {
            address: view.address.to_string(),
            state: view.state.as_str(),
            why,
            cause: word,
            until_ms: until.map(|until| until.since(now).as_millis()),
            weight: view.weight,
            zone: view.zone.to_string(),
            backup: view.backup,
            in_flight: view.in_flight,
            // Before the first answer the average holds nothing but what a failure weighs.
            latency_ms: view.latency.filter(|_| view.successes > 0).map(millis),
            successes: view.successes,
            failures: view.failures,
            ejections: view.ejections,
            last_check: view.last_check.map(|(at, result)| Check::of(result, now.since(at))),
        }
    }
}

impl Check {
    fn of(result: CheckResult, ago: Duration) -> Self {
        let failure = match result {
            CheckResult::Pass => None,
            CheckResult::Fail(failure) => Some(failure.to_string()),
        };
        Self { passed: failure.is_none(), failure, ago_ms: ago.as_millis() }
    }
}

/// Milliseconds to the microsecond.
fn millis(length: Duration) -> f64 {
    (length.as_nanos() / 1000) as f64 / 1000.0
}

/// How an endpoint falls behind, and when it is looked at again.
fn limps(limping: Limping, now: Instant) -> String {
    let again = limping.tried_at.since(now).as_secs_ceil();
    let (own, others) = (limping.latency.as_millis(), limping.others.as_millis());
    format!("limping: {own} ms against {others} ms of the others, tried again in {again} s")
}

/// In the log's words, but for an operator's, whose order is told by what it made of the endpoint.
fn why(cause: Cause) -> String {
    match cause {
        Cause::Operator => "an operator ejected it".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::Failure;
    use mainstay_policy::CheckFailure;

    #[test]
    fn an_open_breaker_says_why_and_for_how_long() {
        let now = Instant::ORIGIN + Duration::from_secs(10);
        let until = now + Duration::from_millis(800);
        let open = serde_json::to_value(Breaker::of(BreakerState::Open { until }, now)).unwrap();
        assert_eq!(open["state"], "open");
        assert_eq!(open["forced"], false);
        assert_eq!(open["until_ms"], 800);
        let forced = serde_json::to_value(Breaker::of(BreakerState::ForcedOpen, now)).unwrap();
        assert_eq!((&forced["state"], &forced["forced"]), (&json!("open"), &json!(true)));
        assert_eq!(forced.get("until_ms"), None);
    }

    fn endpoint(state: EndpointState, cause: Option<Cause>) -> EndpointView {
        EndpointView {
            id: mainstay_core::EndpointId { slot: 0, generation: 0 },
            address: ([127, 0, 0, 1], 9101).into(),
            weight: 1,
            zone: "".into(),
            backup: false,
            state,
            cause,
            until: None,
            in_flight: 0,
            latency: Some(Duration::from_secs(3)),
            warming: None,
            limping: None,
            zone_keeps: None,
            successes: 0,
            failures: 2,
            ejections: 0,
            last_check: None,
        }
    }

    #[test]
    fn a_drained_endpoint_is_drained_and_not_ejected_whatever_went_before() {
        for cause in [None, Some(Cause::Operator), Some(Cause::Check(Failure::Refused.into()))] {
            let told = Endpoint::of(&endpoint(EndpointState::Draining, cause), Instant::ORIGIN);
            assert_eq!((told.why.as_deref(), told.cause), (Some("an operator drains it"), Some("operator")));
        }
        let told = Endpoint::of(&endpoint(EndpointState::Ejected, Some(Cause::Operator)), Instant::ORIGIN);
        assert_eq!(told.why.as_deref(), Some("an operator ejected it"));
    }

    #[test]
    fn one_that_gets_less_than_its_share_is_ready_and_says_why() {
        let now = Instant::ORIGIN;
        let (latency, others) = (Duration::from_millis(214), Duration::from_millis(11));
        let limping = Limping { latency, others, tried_at: now + Duration::from_millis(2_500) };
        let view = EndpointView { limping: Some(limping), ..endpoint(EndpointState::Ready, None) };
        let told = Endpoint::of(&view, now);
        assert_eq!((told.state, told.cause, told.until_ms), ("ready", Some("limping"), Some(2_500)));
        assert_eq!(told.why.as_deref(), Some("limping: 214 ms against 11 ms of the others, tried again in 3 s"));
        let warming = EndpointView { warming: Some(34), ..endpoint(EndpointState::Ready, None) };
        let told = Endpoint::of(&warming, now);
        assert_eq!(
            (told.cause, told.why.as_deref()),
            (Some("warming"), Some("new or back: takes 34 % of its share so far"))
        );
        let drained = EndpointView { state: EndpointState::Draining, ..view };
        assert_eq!(Endpoint::of(&drained, now).why.as_deref(), Some("an operator drains it"));
    }

    #[test]
    fn an_endpoint_that_never_answered_has_no_latency() {
        assert_eq!(Endpoint::of(&endpoint(EndpointState::Ready, None), Instant::ORIGIN).latency_ms, None);
    }

    #[test]
    fn a_cause_is_told_in_words() {
        assert_eq!(why(Cause::Check(Failure::Status(503).into())), "its checks fail: status 503");
        assert_eq!(
            why(Cause::Check(CheckFailure::Body)),
            "its checks fail: the answer did not contain what expect_body asks for"
        );
        assert_eq!(why(Cause::Operator), "an operator ejected it");
    }
}
