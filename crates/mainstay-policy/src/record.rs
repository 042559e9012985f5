//! The record of a call's decisions: what was decided, when, and why.
//!
//! [`crate::Call`] writes it as it goes; the access log, `mainstay explain` and the simulator read the same record, so
//! they cannot tell different stories. Entries are small and their number is bounded; what does not fit is counted.

use mainstay_core::{Certainty, Duration, EndpointId, Failure, Instant, Origin};

use crate::{Crossing, FaultKind, KeyEnd, KeyRefusal, LimitId, NoEndpoint, PassedOver};

/// Entries kept of one call: four for each attempt (that it began, the fault of a drill, how it ended, the pause after it)
/// and sixteen for what stands around them. No call makes more, so every attempt of every call can be accounted for; a
/// usual one makes three.
pub const ENTRIES_MAX: usize = 4 * crate::ATTEMPTS_MAX as usize + 16;

/// One decision or fact, and how long after the call's beginning it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Since the call began.
    pub after: Duration,
    /// What happened.
    pub what: Decision,
}

/// What was decided about a call, or learned of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Its rate limits let it pass.
    WithinLimit {
        /// The one that leaves the least.
        limit: LimitId,
        /// How many more that one lets through at once.
        remaining: u64,
    },
    /// It is over a rate limit and waits for its place.
    Delayed {
        /// Which.
        limit: LimitId,
        /// How long.
        wait: Duration,
        /// The limit stands at so much of its rate.
        percent: u8,
    },
    /// A rate limit refused it.
    OverLimit {
        /// Which.
        limit: LimitId,
        /// When it would be let through.
        retry_after: Duration,
        /// The limit stands at so much of its rate.
        percent: u8,
    },
    /// It is the first with its `Idempotency-Key`.
    KeyFirst,
    /// A call with the same key is under way; it waits for that one's answer.
    KeyWaits,
    /// The first answer of the key is given again.
    Replayed {
        /// Its status.
        status: u16,
        /// How old it is.
        age: Duration,
    },
    /// The first with the key was answered, and that answer is not kept.
    AnswerNotKept {
        /// Its status.
        status: u16,
        /// How old it is.
        age: Duration,
    },
    /// The caller left, and the call goes on so that its answer can be kept.
    GoesOn,
    /// What became of the key that the call had.
    Key(KeyEnd),
    /// The service's breaker refused it.
    BreakerRefused {
        /// By an operator's order.
        forced: bool,
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// It is one of the calls that decide whether a half-open breaker closes.
    BreakerProbe,
    /// No permit was free; it waits.
    Queued {
        /// Calls that wait before it.
        ahead: u32,
    },
    /// A permit came free after the wait.
    Admitted,
    /// It would wait longer than it may.
    LongWait {
        /// Milliseconds that it would wait.
        expected_ms: u32,
        /// Milliseconds that it may.
        accepted_ms: u32,
    },
    /// It is refused because not all can be served.
    Overload {
        /// Attempts that may run; `u32::MAX` when that is not limited.
        limit: u32,
        /// Attempts that run.
        in_flight: u32,
        /// Calls that wait.
        waiting: u32,
    },
    /// No endpoint could be chosen for the first attempt.
    NoEndpoint {
        /// Why.
        why: NoEndpoint,
        /// Those that could not be chosen whatever the call is.
        passed_over: PassedOver,
    },
    /// An attempt begins.
    Attempt {
        /// Which one, from 0.
        attempt: u8,
        /// Where.
        endpoint: EndpointId,
        /// Why there is one.
        why: AttemptReason,
        /// It decides whether an ejected endpoint comes back.
        probe: bool,
        /// So few endpoints were usable that health and ejection were ignored.
        panic: bool,
        /// It shows whether an endpoint that limped keeps pace again.
        trial: bool,
        /// Why it left the own zone, if it did.
        crossing: Option<Crossing>,
        /// Endpoints that could not be chosen, or not so often.
        passed_over: PassedOver,
    },
    /// A drill's fault hits an attempt, before anything of it is sent.
    Fault {
        /// Which one.
        attempt: u8,
        /// What happens to it.
        kind: FaultKind,
        /// What was left of the lease, in milliseconds.
        left_millis: u32,
    },
    /// The head of an answer came.
    Head {
        /// Of which attempt.
        attempt: u8,
        /// Its status.
        status: u16,
    },
    /// An attempt failed.
    Failed {
        /// Which one.
        attempt: u8,
        /// How.
        failure: Failure,
        /// What it left behind.
        certainty: Certainty,
        /// Its time was cut so that this can still answer.
        makes_way_for: Option<FallbackKind>,
    },
    /// An attempt was given up before there was an answer: nobody waits for one any more.
    Cancelled {
        /// Which one.
        attempt: u8,
        /// What it left behind.
        certainty: Certainty,
    },
    /// An attempt was given up because another one answered first.
    Outpaced {
        /// Which one.
        attempt: u8,
        /// The one that answered.
        by: u8,
        /// What it left behind.
        certainty: Certainty,
    },
    /// We lacked what an attempt needs, so it was not made. Nothing was sent, and nobody is to blame for it but us.
    Unable {
        /// Which one.
        attempt: u8,
        /// It was a connection of the pool; otherwise a descriptor, a port or memory.
        pool: bool,
    },
    /// Another attempt will follow after a pause.
    Backoff {
        /// The pause.
        pause: Duration,
    },
    /// No other attempt follows.
    NoRetry {
        /// The reason.
        why: NoRetry,
    },
    /// It was time for another attempt beside those that run, and none was made.
    NoHedge {
        /// The reason.
        why: NoRetry,
    },
    /// Something else answers.
    Fallback {
        /// What.
        kind: FallbackKind,
    },
    /// An answer that was kept is given in the place of one that did not come.
    Stale {
        /// Why none came.
        why: Refusal,
        /// How old it is, in seconds.
        age_secs: u32,
        /// For how long it has been stale, in seconds; 0 while it is fresh.
        stale_secs: u32,
    },
    /// The answer broke off after its head had gone down.
    Interrupted {
        /// Of which attempt.
        attempt: u8,
    },
    /// The call ended.
    Ended(End),
}

impl Decision {
    pub(crate) fn long_wait(expected: Duration, accepted: Duration) -> Self {
        let millis = |length: Duration| u32::try_from(length.as_millis()).unwrap_or(u32::MAX);
        Self::LongWait { expected_ms: millis(expected), accepted_ms: millis(accepted) }
    }
}

/// Why there is an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptReason {
    /// It is the first.
    First,
    /// The one before failed.
    Retry,
    /// The one before was not sent, so this one is free of the budget.
    Resend,
    /// Those that run have given no answer for so long that another one tries its luck.
    Hedge,
}

/// Why no other attempt follows a failed one, or is made beside a slow one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoRetry {
    /// Retries are off.
    Off,
    /// The configured number of attempts is used up.
    AttemptsUsed,
    /// Such a failure is not worth another attempt.
    Condition,
    /// It may have been applied and the method is not idempotent.
    NotIdempotent,
    /// The body was longer than what is kept of it.
    BodyNotKept,
    /// The service's retry budget is empty.
    Budget,
    /// The pause would last past the deadline.
    Deadline,
    /// No permit was free when the pause was over.
    NoPermit,
    /// No endpoint is left that could be asked.
    NoEndpoint,
    /// The instance said that it must not be repeated (another Mainstay used its retries up).
    Forbidden,
    /// The breaker opened in the meantime.
    BreakerOpen,
}

impl NoRetry {
    /// The words for logs and `explain`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "retries are off",
            Self::AttemptsUsed => "the attempts are used up",
            Self::Condition => "such a failure is not retried",
            Self::NotIdempotent => "it may have been applied and is not idempotent",
            Self::BodyNotKept => "its body was too long to keep",
            Self::Budget => "the retry budget is empty",
            Self::Deadline => "the deadline is too near",
            Self::NoPermit => "no permit was free",
            Self::NoEndpoint => "no other endpoint is left",
            Self::Forbidden => "the answer says that its retries are used up",
            Self::BreakerOpen => "the breaker is open",
        }
    }
}

/// What answered in the service's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FallbackKind {
    /// An answer that was kept.
    Stale,
    /// Another service.
    Service,
    /// The fixed answer.
    Respond,
}

impl FallbackKind {
    /// The word for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Service => "service",
            Self::Respond => "respond",
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// An instance's answer went down whole.
    Answered {
        /// Its status.
        status: u16,
    },
    /// An instance's answer went down in part.
    Interrupted {
        /// Its status.
        status: u16,
        /// Who broke it.
        origin: Origin,
    },
    /// A fallback answered.
    Fallback(FallbackKind),
    /// The first answer of its key was given again.
    Replayed {
        /// Its status.
        status: u16,
    },
    /// We refused it, or every attempt failed.
    Refused(Refusal),
    /// The caller left before there was an answer.
    CallerLeft,
}

impl End {
    /// Whether it speaks for the health of who should have answered; `None` where it says nothing about that: the caller
    /// left, or was refused for something of its own.
    #[must_use]
    pub const fn went_well(self) -> Option<bool> {
        match self {
            Self::Answered { status } => Some(status < 500),
            Self::Interrupted { origin: Origin::Client, .. } | Self::CallerLeft => None,
            Self::Replayed { .. } | Self::Refused(Refusal::Key(_)) => None,
            Self::Interrupted { .. } | Self::Fallback(_) => Some(false),
            Self::Refused(refusal) => match refusal.origin() {
                Origin::Client => None,
                Origin::Us | Origin::Upstream => Some(false),
            },
        }
    }
}

impl End {
    /// Whether the caller has something to complain of: it got no whole answer below 500, or one in the place of the
    /// service's.
    #[must_use]
    pub const fn is_unhappy(self) -> bool {
        match self {
            Self::Answered { status } | Self::Replayed { status } => status >= 500,
            Self::Interrupted { .. } | Self::Fallback(_) | Self::Refused(_) | Self::CallerLeft => true,
        }
    }
}

/// Why a call got no answer of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The deadline had passed when it came.
    DeadlinePassed,
    /// Over a rate limit.
    RateLimited,
    /// The rest of the request's body did not come.
    SlowRequest,
    /// Its `Idempotency-Key` does not let it be carried out.
    Key(KeyRefusal),
    /// The breaker is open.
    BreakerOpen,
    /// The queue was full.
    QueueFull,
    /// It waited too long in the queue.
    QueueTimeout,
    /// It would have waited too long in the queue.
    LongWait,
    /// A more important call took its place in the queue.
    Displaced,
    /// Its deadline came before an answer usually does.
    Hopeless,
    /// We lacked what an attempt needs: a connection of the pool, a descriptor, a port, memory.
    Exhausted,
    /// No endpoint can be used.
    NoEndpoint,
    /// The deadline passed while we waited for an answer.
    Deadline,
    /// The last attempt failed so.
    Failed(Failure),
}

impl Refusal {
    /// Whether an answer that was kept may stand in for the one that is missing (RFC 5861, section 4): not for an answer
    /// that says of the request that it cannot be done.
    #[must_use]
    pub const fn is_failure_of_service(self) -> bool {
        match self {
            Self::Failed(Failure::Status(status)) => matches!(status, 500 | 502 | 503 | 504),
            Self::DeadlinePassed | Self::RateLimited | Self::SlowRequest | Self::Key(_) => false,
            Self::BreakerOpen
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::LongWait
            | Self::Displaced
            | Self::Hopeless
            | Self::Exhausted
            | Self::NoEndpoint
            | Self::Deadline
            | Self::Failed(_) => true,
        }
    }

    /// Whose it is.
    #[must_use]
    pub const fn origin(self) -> Origin {
        match self {
            Self::RateLimited | Self::DeadlinePassed | Self::SlowRequest => Origin::Client,
            Self::Key(KeyRefusal::Malformed | KeyRefusal::Reused | KeyRefusal::InProgress) => Origin::Client,
            Self::BreakerOpen
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::LongWait
            | Self::Displaced
            | Self::Hopeless
            | Self::Exhausted
            | Self::Key(_) => Origin::Us,
            Self::NoEndpoint | Self::Deadline | Self::Failed(_) => Origin::Upstream,
        }
    }

    /// The status that a caller gets for it. 400, 409 and 422 of keys are the draft's
    /// (draft-ietf-httpapi-idempotency-key-header, section 2.7).
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::RateLimited => 429,
            Self::SlowRequest => 408,
            Self::Key(KeyRefusal::Malformed) => 400,
            Self::Key(KeyRefusal::Reused) => 422,
            Self::Key(KeyRefusal::InProgress | KeyRefusal::NotKept | KeyRefusal::Unknown) => 409,
            Self::Failed(Failure::Status(received)) => received,
            Self::Failed(Failure::Refused | Failure::Unreachable | Failure::Reset | Failure::Malformed) => 502,
            Self::Failed(Failure::ConnectTimeout | Failure::Timeout) | Self::DeadlinePassed | Self::Deadline => 504,
            Self::Key(KeyRefusal::Full)
            | Self::BreakerOpen
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::LongWait
            | Self::Displaced
            | Self::Hopeless
            | Self::Exhausted
            | Self::NoEndpoint => 503,
        }
    }

    /// The word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeadlinePassed => "deadline_passed",
            Self::RateLimited => "rate_limited",
            Self::SlowRequest => "slow_request",
            Self::Key(why) => why.as_str(),
            Self::BreakerOpen => "breaker_open",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::LongWait => "long_wait",
            Self::Displaced => "displaced",
            Self::Hopeless => "hopeless",
            Self::Exhausted => "exhausted",
            Self::NoEndpoint => "no_endpoint",
            Self::Deadline => "deadline",
            Self::Failed(failure) => failure.as_str(),
        }
    }
}

/// The decisions of one call in the order in which they were made.
#[derive(Debug, Clone, Default)]
pub struct Record {
    entries: Vec<Entry>,
    began: Instant,
    dropped: u32,
}

impl Record {
    /// Begins anew and keeps the memory.
    pub fn begin(&mut self, now: Instant) {
        self.entries.clear();
        self.began = now;
        self.dropped = 0;
    }

    /// Writes an entry, or counts it when there is no room.
    pub fn push(&mut self, now: Instant, what: Decision) {
        if self.entries.len() < ENTRIES_MAX {
            self.entries.push(Entry { after: now.since(self.began), what });
        } else {
            self.dropped += 1;
        }
    }

    /// What was written.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// When the call began.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Entries that found no room.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.dropped
    }
}
