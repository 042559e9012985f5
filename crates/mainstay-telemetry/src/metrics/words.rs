//! The closed sets of reasons that metrics count by, each as an index and a word.
//!
//! A counter's place is found by its index, without a comparison of texts; rendering goes the other way.

use mainstay_core::Failure;
use mainstay_policy::{Cause, FallbackKind, NoRetry, Priority, Refusal};

/// Failures by index.
pub(crate) const FAILURES: [&str; 12] = [
    "refused",
    "unreachable",
    "connect_timeout",
    "reset",
    "timeout",
    "malformed",
    "500",
    "502",
    "503",
    "504",
    "429",
    "status",
];

pub(crate) const fn failure_index(failure: Failure) -> usize {
    match failure {
        Failure::Refused => 0,
        Failure::Unreachable => 1,
        Failure::ConnectTimeout => 2,
        Failure::Reset => 3,
        Failure::Timeout => 4,
        Failure::Malformed => 5,
        Failure::Status(500) => 6,
        Failure::Status(502) => 7,
        Failure::Status(503) => 8,
        Failure::Status(504) => 9,
        Failure::Status(429) => 10,
        Failure::Status(_) => 11,
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptResult {
    /// An answer came that does not count as a failure; its status.
    Success(u16),
    /// It failed.
    Failed(Failure),
    /// The answer broke off after its head; its status.
    Interrupted(u16),
    /// It was given up before there was an answer: the caller left, another attempt won, or we lacked what it needs.
    Cancelled,
}

/// Results by index.
pub(crate) const RESULTS: [&str; 3 + FAILURES.len()] = [
    "success",
    "interrupted",
    "cancelled",
    FAILURES[0],
    FAILURES[1],
    FAILURES[2],
    FAILURES[3],
    FAILURES[4],
    FAILURES[5],
    FAILURES[6],
    FAILURES[7],
    FAILURES[8],
    FAILURES[9],
    FAILURES[10],
    FAILURES[11],
];

impl AttemptResult {
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Success(_) => 0,
            Self::Interrupted(_) => 1,
            Self::Cancelled => 2,
            Self::Failed(failure) => 3 + failure_index(failure),
        }
    }

    /// The word for metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        RESULTS[self.index()]
    }

    /// The outcome by which a duration is labelled: a status, or under 100 the index of a result without one.
    pub(crate) const fn outcome(self) -> u16 {
        match self {
            Self::Success(status) | Self::Interrupted(status) | Self::Failed(Failure::Status(status)) => status,
            other => other.index() as u16,
        }
    }
}

/// Causes of an ejection, by index.
pub(crate) const CAUSES: [&str; 6] =
    ["check", "consecutive_failures", "failure_rate", "success_rate", "probe", "operator"];

pub(crate) const fn cause_index(cause: Cause) -> usize {
    match cause {
        Cause::Check(_) => 0,
        Cause::ConsecutiveFailures(_) => 1,
        Cause::FailureRate { .. } => 2,
        Cause::SuccessRate { .. } => 3,
        Cause::Probe(_) => 4,
        Cause::Operator => 5,
    }
}

/// Reasons against another attempt, by index.
pub(crate) const NO_RETRY: [&str; 11] = [
    "off",
    "attempts_used",
    "condition",
    "not_idempotent",
    "body_not_kept",
    "budget",
    "deadline",
    "no_permit",
    "no_endpoint",
    "forbidden",
    "breaker_open",
];

pub(crate) const fn no_retry_index(why: NoRetry) -> usize {
    match why {
        NoRetry::Off => 0,
        NoRetry::AttemptsUsed => 1,
        NoRetry::Condition => 2,
        NoRetry::NotIdempotent => 3,
        NoRetry::BodyNotKept => 4,
        NoRetry::Budget => 5,
        NoRetry::Deadline => 6,
        NoRetry::NoPermit => 7,
        NoRetry::NoEndpoint => 8,
        NoRetry::Forbidden => 9,
        NoRetry::BreakerOpen => 10,
    }
}

/// Refusals by index; a failed last attempt is one, whatever the failure, since attempts tell which.
pub(crate) const REFUSALS: [(&str, &str); 19] = [
    ("deadline_passed", "client"),
    ("rate_limited", "client"),
    ("breaker_open", "us"),
    ("queue_full", "us"),
    ("queue_timeout", "us"),
    ("no_endpoint", "upstream"),
    ("deadline", "upstream"),
    ("failed", "upstream"),
    ("slow_request", "client"),
    ("exhausted", "us"),
    ("long_wait", "us"),
    ("displaced", "us"),
    ("hopeless", "us"),
    ("key_malformed", "client"),
    ("key_reused", "client"),
    ("key_in_progress", "client"),
    ("key_not_kept", "us"),
    ("key_unknown", "us"),
    ("key_full", "us"),
];

pub(crate) const fn refusal_index(refusal: Refusal) -> usize {
    match refusal {
        Refusal::DeadlinePassed => 0,
        Refusal::RateLimited => 1,
        Refusal::BreakerOpen => 2,
        Refusal::QueueFull => 3,
        Refusal::QueueTimeout => 4,
        Refusal::NoEndpoint => 5,
        Refusal::Deadline => 6,
        Refusal::Failed(_) => 7,
        Refusal::SlowRequest => 8,
        Refusal::Exhausted => 9,
        Refusal::LongWait => 10,
        Refusal::Displaced => 11,
        Refusal::Hopeless => 12,
        Refusal::Key(why) => 13 + why as usize,
    }
}

/// Priorities by index.
pub(crate) const PRIORITIES: [&str; Priority::ALL.len()] =
    [Priority::Critical.as_str(), Priority::Normal.as_str(), Priority::Sheddable.as_str()];

/// Why a call was shed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShedReason {
    /// The bulkhead's queue was full.
    QueueFull,
    /// It waited too long in the queue.
    QueueTimeout,
    /// It would have waited too long.
    LongWait,
    /// A more important call took its place in the queue.
    Displaced,
    /// Its deadline came before an answer usually does.
    Hopeless,
}

/// Reasons for shedding, by index.
pub(crate) const SHED: [&str; 5] = ["queue_full", "queue_timeout", "long_wait", "displaced", "hopeless"];

impl ShedReason {
    /// The reason that a refusal is, if it is shedding.
    pub(crate) const fn of(refusal: Refusal) -> Option<Self> {
        match refusal {
            Refusal::QueueFull => Some(Self::QueueFull),
            Refusal::QueueTimeout => Some(Self::QueueTimeout),
            Refusal::LongWait => Some(Self::LongWait),
            Refusal::Displaced => Some(Self::Displaced),
            Refusal::Hopeless => Some(Self::Hopeless),
            _ => None,
        }
    }
}

/// What a call got for its `Idempotency-Key`, where that was an answer; the others are refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyResult {
    /// It was the first, and was carried out.
    First,
    /// It got the first answer again.
    Replayed,
}

/// Results of keys, by index.
pub(crate) const KEYS: [&str; 2] = ["first", "replayed"];

/// What became of a copy of a call that was to go to another service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorResult {
    /// An instance answered it, and not with a failure.
    Answered,
    /// It failed.
    Failed,
    /// The breaker, the bulkhead or the pool of that service had no place for it, or no endpoint was usable.
    Refused,
    /// As many copies were under way as may.
    Dropped,
    /// The request's body was not kept whole.
    NotKept,
}

/// Results of copies by index.
pub(crate) const MIRRORED: [&str; 5] = ["answered", "failed", "refused", "dropped", "not_kept"];

/// Fallbacks by index.
pub(crate) const FALLBACKS: [&str; 3] = ["service", "respond", "stale"];

pub(crate) const fn fallback_index(kind: FallbackKind) -> usize {
    match kind {
        FallbackKind::Service => 0,
        FallbackKind::Respond => 1,
        FallbackKind::Stale => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_policy::KeyRefusal;

    #[test]
    fn an_index_and_its_word_are_those_of_the_policy() {
        let failures = [
            Failure::Refused,
            Failure::Unreachable,
            Failure::ConnectTimeout,
            Failure::Reset,
            Failure::Timeout,
            Failure::Malformed,
            Failure::Status(500),
            Failure::Status(502),
            Failure::Status(503),
            Failure::Status(504),
            Failure::Status(429),
            Failure::Status(418),
        ];
        for (index, failure) in failures.into_iter().enumerate() {
            assert_eq!(failure_index(failure), index);
            assert_eq!(FAILURES[index], failure.as_str());
            assert_eq!(AttemptResult::Failed(failure).as_str(), failure.as_str());
        }
        let refusals = [
            Refusal::DeadlinePassed,
            Refusal::RateLimited,
            Refusal::BreakerOpen,
            Refusal::QueueFull,
            Refusal::QueueTimeout,
            Refusal::LongWait,
            Refusal::Displaced,
            Refusal::Hopeless,
            Refusal::NoEndpoint,
            Refusal::Deadline,
            Refusal::SlowRequest,
            Refusal::Exhausted,
        ];
        for refusal in refusals.into_iter().chain(KeyRefusal::ALL.map(Refusal::Key)) {
            assert_eq!(REFUSALS[refusal_index(refusal)], (refusal.as_str(), refusal.origin().as_str()));
            if let Some(reason) = ShedReason::of(refusal) {
                assert_eq!(SHED[reason as usize], refusal.as_str());
            }
        }
        for kind in [FallbackKind::Service, FallbackKind::Respond, FallbackKind::Stale] {
            assert_eq!(FALLBACKS[fallback_index(kind)], kind.as_str());
        }
    }
}
