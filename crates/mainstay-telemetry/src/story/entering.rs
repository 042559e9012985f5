//! What is decided before the first attempt: rate limits, keys, the breaker, the queue, the choice of an endpoint.

use mainstay_core::Duration;
use mainstay_policy::{KeyEnd, LimitId, NoEndpoint, PassedOver};

use super::words::{Short, passed_over};
use super::{Told, told};
use crate::FoundRecord;

impl FoundRecord {
    pub(super) fn within_limit(&self, limit: LimitId, remaining: u64) -> Told {
        let text = match self.limit(limit) {
            Some(name) => {
                format!("within its rate limits; of {name}, which is the nearest, {remaining} more may come now")
            }
            None => "within its rate limits".to_owned(),
        };
        told("within_limit", text, None)
    }

    /// What a caller over a limit comes to, with the limit's rate and what it is counted by.
    pub(super) fn over_limit(&self, event: &'static str, limit: LimitId, comes_to: &str, percent: u8) -> Told {
        let Some(name) = self.limit(limit) else {
            return told(event, format!("over a rate limit; {comes_to}"), Some("route.rate_limit".to_owned()));
        };
        let key = |rest: &str| Some(format!("rate_limit.{name}.{rest}"));
        if percent < 100 {
            let lowered = format!("which is lowered to {percent} % of its rate because calls that it let through fail");
            let text = format!("over the rate limit {name}, {lowered}; {comes_to}");
            return Told { beside: key("adaptive"), ..told(event, text, key("rate")) };
        }
        Told { beside: key("key"), ..told(event, format!("over the rate limit {name}; {comes_to}"), key("rate")) }
    }

    pub(super) fn limit(&self, limit: LimitId) -> Option<&str> {
        self.limits.iter().find(|(known, _)| *known == limit).map(|(_, name)| name.as_str())
    }

    pub(super) fn breaker_refused(&self, forced: bool, retry_after: Duration) -> Told {
        if forced {
            let text = format!(
                "refused: an operator forced the breaker open; `mainstay breaker {} auto` lets it judge by itself again",
                self.service
            );
            return told("breaker_refused", text, None);
        }
        let text = format!("refused: the breaker of the service is open; probes may pass in {}", Short(retry_after));
        told("breaker_refused", text, self.key("breaker"))
    }

    pub(super) fn key_end(&self, end: KeyEnd) -> Told {
        let (text, key) = match end {
            KeyEnd::Kept => ("the answer is kept for repeats of the key", "idempotency.ttl"),
            KeyEnd::NotKept => (
                "the answer is too large to keep, or finds no room: repeats of the key are refused and told its status",
                "idempotency.memory",
            ),
            KeyEnd::Unknown => (
                "something may have been done, and there is no answer: repeats of the key are refused",
                "idempotency.ttl",
            ),
            KeyEnd::Free => (
                "nothing was done, or the service honours keys itself: a repeat of the key is carried out",
                "idempotency",
            ),
        };
        told("key", text, self.key(key))
    }

    pub(super) fn queued(&self, ahead: u32) -> Told {
        let behind = match ahead {
            0 => "first in the queue".to_owned(),
            1 => "behind 1 other call".to_owned(),
            many => format!("behind {many} other calls"),
        };
        let text = format!("as many attempts run as may: it waits, {behind}");
        told("queued", text, self.key("bulkhead.concurrency"))
    }

    pub(super) fn overload(&self, limit: u32, in_flight: u32, waiting: u32) -> Told {
        let calls = if waiting == 1 { "call waits" } else { "calls wait" };
        let text = match limit {
            u32::MAX => format!("it is shed: {in_flight} attempts run, {waiting} {calls}"),
            limit => format!("it is shed: {in_flight} attempts run where {limit} may now, {waiting} {calls}"),
        };
        told("overload", text, self.key("bulkhead.concurrency"))
    }

    pub(super) fn no_endpoint(&self, why: NoEndpoint, counts: PassedOver) -> Told {
        let (text, key) = match why {
            NoEndpoint::Empty => ("the service has no endpoint that an operator has left in", "endpoints"),
            NoEndpoint::AllTried => ("each endpoint with room was tried", "endpoints"),
            NoEndpoint::AllBusy => ("each endpoint has as many attempts under way as it may", "bulkhead.per_endpoint"),
            NoEndpoint::AllEjected => ("each endpoint is ejected, or its probe is under way", "outlier"),
        };
        let aside = passed_over(counts);
        let text = if aside.is_empty() { text.to_owned() } else { format!("{text}: {aside}") };
        let told = told("no_endpoint", text, self.key(key));
        // Either of two limits says how many are too many.
        if why == NoEndpoint::AllBusy { Told { beside: self.key("pool.size"), ..told } } else { told }
    }
}
