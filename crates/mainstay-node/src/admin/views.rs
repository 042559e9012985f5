//! Services and endpoints as JSON, with stable names, and with the reason beside each state.
//!
//! Instants mean nothing outside the process, so they are given as milliseconds from now.

use mainstay_core::{Duration, Failure, Instant, Limit};
use mainstay_policy::{BreakerState, Cause, CheckResult, EndpointState, EndpointView, ServiceView};
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
    /// Attempts that may run at once, or `"unlimited"`.
    concurrency_limit: Value,
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
    /// Why it is not ready; null when it is.
    why: Option<String>,
    /// The same in one word.
    cause: Option<&'static str>,
    /// When it is probed at the earliest.
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

impl Service {
    /// The view of a service as it looks at `now`.
    pub(crate) fn of(name: &str, view: &ServiceView, now: Instant) -> Self {
        Self {
            name: name.to_owned(),
            breaker: Breaker::of(view.breaker, now),
            retry_budget_tokens: view.budget,
            waiting: view.waiting,
            in_use: view.in_use,
            concurrency_limit: match view.limit {
                Limit::Unlimited => json!("unlimited"),
                Limit::At(limit) => json!(limit),
            },
            ready: view.endpoints.iter().filter(|endpoint| endpoint.state == EndpointState::Ready).count(),
            endpoints: view.endpoints.iter().map(|endpoint| Endpoint::of(endpoint, now)).collect(),
        }
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
        let draining = view.state == EndpointState::Draining;
        Self {
            address: view.address.to_string(),
            state: view.state.as_str(),
            why: view.cause.map(why).or_else(|| draining.then(|| "an operator drains it".to_owned())),
            cause: view.cause.map(cause_word).or_else(|| draining.then_some("operator")),
            until_ms: view.until.map(|until| until.since(now).as_millis()),
            weight: view.weight,
            zone: view.zone.to_string(),
            backup: view.backup,
            in_flight: view.in_flight,
            latency_ms: view.latency.map(millis),
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

const fn cause_word(cause: Cause) -> &'static str {
    match cause {
        Cause::Check(_) => "check",
        Cause::ConsecutiveFailures(_) => "consecutive_failures",
        Cause::FailureRate { .. } => "failure_rate",
        Cause::Probe(_) => "probe",
        Cause::Operator => "operator",
    }
}

fn why(cause: Cause) -> String {
    let last = |failure: Failure| failure.to_string();
    match cause {
        Cause::Check(failure) => format!("active checks failed, the last with {}", last(failure)),
        Cause::ConsecutiveFailures(failure) => {
            format!("as many calls in a row failed as are allowed, the last with {}", last(failure))
        }
        Cause::FailureRate { failed, calls } => format!("{failed} of {calls} calls failed"),
        Cause::Probe(failure) => format!("the probe after an ejection failed with {}", last(failure)),
        Cause::Operator => "an operator ejected it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_cause_is_told_in_words() {
        assert_eq!(why(Cause::FailureRate { failed: 12, calls: 20 }), "12 of 20 calls failed");
        assert_eq!(why(Cause::Check(Failure::Status(503))), "active checks failed, the last with status 503");
    }
}
