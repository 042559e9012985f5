//! Every type of the policies that a recording has, part by part. A word's number is its meaning in every recording of one
//! format: a new word gets a new number, and whatever else changes is another format.

use super::{Code, Reader, Writer, Wrong, coded};
use crate::{
    Adaptive, Admission, AnswerFacts, AttemptOrder, AttemptReason, BackoffKind, BackoffSettings, Balance, BreakerOrder,
    BreakerSettings, BudgetSettings, BulkheadSettings, Cause, CheckFailure, CheckResult, Crossing, Decision, End,
    EndpointSpec, Facts, FallbackKind, FallbackSettings, Fault, FaultKind, FaultOrder, HealthSettings, HedgeAfter,
    HedgeSettings, IdempotencySettings, Input, Jitter, KeyEnd, KeyRefusal, KeyVerdict, LimitId, LimitVerdict,
    NoEndpoint, NoRetry, Order, OutlierSettings, Output, PassedOver, Percentile, PoolSettings, Priority, Probe,
    Refusal, RefuseOrder, RetryOn, RetrySettings, ServiceSettings, StaleOrder, TimeoutSettings, Turn, Usable,
    WholeAnswer,
};

// Settings.
coded! { struct ServiceSettings {
    balance, hash_load, slow_start, panic, zone, health, outlier, breaker, timeout, pool, retry, bulkhead, idempotency,
    fallback,
} }
coded! { enum Balance {
    0 => RoundRobin, 1 => Random, 2 => LeastRequest, 3 => PeakEwma, 4 => Adaptive, 5 => RingHash, 6 => Maglev,
} }
coded! { struct OutlierSettings {
    consecutive_failures, failure_rate, success_rate_deviation, window, minimum_calls, base_ejection_time,
    max_ejection_time, max_ejected,
} }
coded! { struct BreakerSettings {
    failure_rate, window, minimum_calls, slow_call, slow_rate, open_for, open_max, half_open_calls,
} }
coded! { struct TimeoutSettings { connect, attempt } }
coded! { struct PoolSettings { idle, size } }
coded! { struct RetrySettings {
    attempts, on, idempotent_only, idempotency_key, buffer, backoff, budget, hedge,
} }
coded! { struct HedgeSettings { after, max } }
coded! { enum HedgeAfter { 0 => Fixed(after), 1 => Percentile(percentile) } }
coded! { enum Percentile { 0 => P50, 1 => P90, 2 => P95, 3 => P99 } }
coded! { struct RetryOn { connect, reset, timeout, malformed, statuses } }
coded! { struct BackoffSettings { kind, base, max, jitter } }
coded! { enum BackoffKind { 0 => Fixed, 1 => Exponential } }
coded! { enum Jitter { 0 => None, 1 => Full, 2 => Equal, 3 => Decorrelated } }
coded! { struct BudgetSettings { share, per_second, cap } }
coded! { struct BulkheadSettings { concurrency, adaptive, queue, queue_timeout, per_endpoint } }
coded! { enum Adaptive { 0 => Off, 1 => Gradient, 2 => Aimd, 3 => Vegas } }
coded! { struct IdempotencySettings { ttl, memory } }
coded! { struct FallbackSettings { stale_if_error, stale_memory, service, respond } }

/// Without the probe: what a check asks is its driver's, and only the result of it decides.
impl Code for HealthSettings {
    fn write(&self, to: &mut Writer) {
        let Self { probe: _, interval, timeout, healthy_threshold, unhealthy_threshold, jitter } = self;
        interval.write(to);
        timeout.write(to);
        healthy_threshold.write(to);
        unhealthy_threshold.write(to);
        jitter.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        Ok(Self {
            probe: Probe::Tcp,
            interval: Code::read(from)?,
            timeout: Code::read(from)?,
            healthy_threshold: Code::read(from)?,
            unhealthy_threshold: Code::read(from)?,
            jitter: Code::read(from)?,
        })
    }
}

// What a service is told.
coded! { struct EndpointSpec { address, weight, zone, backup } }
coded! { enum CheckResult { 0 => Pass, 1 => Fail(how) } }
coded! { enum CheckFailure { 0 => Attempt(failure), 1 => Body } }
coded! { enum Order { 0 => Ready, 1 => Draining, 2 => Ejected } }
coded! { enum BreakerOrder { 0 => Auto, 1 => Open, 2 => Closed } }
coded! { struct Fault { order, until } }
coded! { struct FaultOrder { kind, share, endpoint, lease } }
coded! { enum FaultKind { 0 => Delay { millis }, 1 => Abort { status }, 2 => Reset } }
coded! { struct Admission { call, turn } }
coded! { enum Turn { 0 => Granted, 1 => Late, 2 => Displaced, 3 => Hopeless } }
coded! { enum Cause {
    0 => Check(how), 1 => ConsecutiveFailures(failure), 2 => FailureRate { failed, calls },
    3 => SuccessRate { failed, calls, least }, 4 => Probe(failure), 5 => Operator,
} }

// What a call is told.
coded! { enum Priority { 0 => Critical, 1 => Normal, 2 => Sheddable } }
coded! { struct Facts {
    method, idempotency_key, hash, deadline, covers_body, limited, priority, keyed, stale,
} }
coded! { enum Input {
    0 => Begin, 1 => Limits { limit, verdict }, 2 => Key(verdict), 3 => Admitted { turn }, 4 => Waits { attempt },
    5 => Unable { attempt }, 6 => Connected { attempt }, 7 => Sent { attempt }, 8 => BodyMoved, 9 => AwaitsBody(awaits),
    10 => BodyNotKept, 11 => Head { attempt, head }, 12 => Failed { attempt, failure, certainty },
    13 => Finished { clean }, 14 => Stale(found), 15 => StaleIsKept { attempt, kept }, 16 => FallbackEnded { answered },
    17 => CallerLeft,
} }
coded! { struct LimitVerdict { admitted, wait, quota, window, remaining, reset, retry_after, percent } }
coded! { enum KeyVerdict {
    0 => First, 1 => Waits, 2 => Replay { status, age }, 3 => NotKept { status, age }, 4 => Refused(why),
} }
coded! { enum KeyRefusal {
    0 => Malformed, 1 => Reused, 2 => InProgress, 3 => NotKept, 4 => Unknown, 5 => Full,
} }
coded! { struct AnswerFacts { status, retry_after, retries_used, replaceable } }
coded! { struct Usable { age, fresh_for, stale_for } }
coded! { struct WholeAnswer { status, retry_after, kept } }

// What a call says.
coded! { enum Output {
    0 => AskLimits, 1 => AskKey, 2 => Replay, 3 => Attempt(order), 4 => Cancel { attempt },
    5 => Forward { attempt, retries_used }, 6 => AskStale, 7 => LookForStale { attempt }, 8 => RespondStale(order),
    9 => FallbackService, 10 => Respond, 11 => Refuse(order), 12 => Abort,
} }
coded! { struct AttemptOrder { attempt, endpoint, why, deadline } }
coded! { struct StaleOrder { refusal, attempts, usable } }
coded! { struct RefuseOrder { refusal, retry_after, attempts } }
coded! { enum KeyEnd { 0 => Kept, 1 => NotKept, 2 => Unknown, 3 => Free } }

// What it decides.
coded! { enum Decision {
    0 => WithinLimit { limit, remaining }, 1 => Delayed { limit, wait, percent },
    2 => OverLimit { limit, retry_after, percent }, 3 => KeyFirst, 4 => KeyWaits, 5 => Replayed { status, age },
    6 => AnswerNotKept { status, age }, 7 => GoesOn, 8 => Key(end), 9 => BreakerRefused { forced, retry_after },
    10 => BreakerProbe, 11 => Queued { ahead }, 12 => Admitted, 13 => LongWait { expected_ms, accepted_ms },
    14 => Overload { limit, in_flight, waiting }, 15 => NoEndpoint { why, passed_over },
    16 => Attempt { attempt, endpoint, why, probe, panic, trial, crossing, passed_over },
    17 => Fault { attempt, kind, left_millis }, 18 => Head { attempt, status },
    19 => Failed { attempt, failure, certainty, makes_way_for }, 20 => Cancelled { attempt, certainty },
    21 => Outpaced { attempt, by, certainty }, 22 => Unable { attempt, pool }, 23 => Backoff { pause },
    24 => NoRetry { why }, 25 => NoHedge { why }, 26 => Fallback { kind }, 27 => Stale { why, age_secs, stale_secs },
    28 => Interrupted { attempt }, 29 => Ended(end),
} }
coded! { struct PassedOver { ejected, ordered_out, limping, warming } }
coded! { enum Crossing { 0 => Share, 1 => Room } }
coded! { enum NoEndpoint { 0 => Empty, 1 => AllTried, 2 => AllBusy, 3 => AllEjected } }
coded! { enum AttemptReason { 0 => First, 1 => Retry, 2 => Resend, 3 => Hedge } }
coded! { enum NoRetry {
    0 => Off, 1 => AttemptsUsed, 2 => Condition, 3 => NotIdempotent, 4 => BodyNotKept, 5 => Budget, 6 => Deadline,
    7 => NoPermit, 8 => NoEndpoint, 9 => Forbidden, 10 => BreakerOpen,
} }
coded! { enum FallbackKind { 0 => Stale, 1 => Service, 2 => Respond } }
coded! { enum End {
    0 => Answered { status }, 1 => Interrupted { status, origin }, 2 => Fallback(kind), 3 => Replayed { status },
    4 => Refused(refusal), 5 => CallerLeft,
} }
coded! { enum Refusal {
    0 => DeadlinePassed, 1 => RateLimited, 2 => SlowRequest, 3 => Key(why), 4 => BreakerOpen, 5 => QueueFull,
    6 => QueueTimeout, 7 => LongWait, 8 => Displaced, 9 => Hopeless, 10 => Exhausted, 11 => NoEndpoint, 12 => Deadline,
    13 => Failed(failure),
} }

impl Code for LimitId {
    fn write(&self, to: &mut Writer) {
        self.0.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        u32::read(from).map(Self)
    }
}
