//! What goes into a call and what comes out of it.

use mainstay_core::{Certainty, Duration, EndpointId, Failure, Instant, MethodClass};

use crate::{AttemptReason, KeyRefusal, LimitId, LimitVerdict, Priority, Refusal, Turn, Usable};

/// What a call is, as far as decisions depend on it. No type of a protocol.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// What its method promises about being sent twice.
    pub method: MethodClass,
    /// It carries an `Idempotency-Key`.
    pub idempotency_key: bool,
    /// The hash of what the service balances on.
    pub hash: u64,
    /// When it must have an answer.
    pub deadline: Instant,
    /// The deadline is the caller's own, so it covers the answer's body too.
    pub covers_body: bool,
    /// Rate limits stand before it: [`Output::AskLimits`] comes first. Whose place in a limit is not wanted any more, the
    /// driver gives back.
    pub limited: bool,
    /// How much it matters when not all can be served.
    pub priority: Priority,
    /// The first answer of its `Idempotency-Key` is kept: [`Output::AskKey`] comes before it is carried out.
    pub keyed: bool,
    /// An answer to such a request may have been kept: [`Output::AskStale`] comes when the service has failed.
    pub stale: bool,
}

/// Something happened to the call.
#[derive(Debug, Clone, Copy)]
pub enum Input {
    /// It arrived. The first input, once.
    Begin,
    /// The answer to [`Output::AskLimits`].
    Limits {
        /// Which of them says it.
        limit: LimitId,
        /// The strictest verdict; of the first that makes the call wait, so that the rest are asked after the wait.
        verdict: LimitVerdict,
    },
    /// The answer to [`Output::AskKey`]; after [`KeyVerdict::Waits`] another one is to follow.
    Key(KeyVerdict),
    /// [`crate::Service::poll_admitted`] named it.
    Admitted {
        /// How its wait ended.
        turn: Turn,
    },
    /// The attempt waits for a connection because of our own limit on them: what comes of that is not the endpoint's
    /// fault. [`Input::Connected`] ends it.
    Waits {
        /// Which attempt.
        attempt: u8,
    },
    /// We lack what the attempt needs: a descriptor, a port, memory. Nothing was sent and nothing further comes from it.
    Unable {
        /// Which attempt.
        attempt: u8,
    },
    /// A connection for the attempt stands, old or new.
    Connected {
        /// Which attempt.
        attempt: u8,
    },
    /// The first byte of the request is being written.
    Sent {
        /// Which attempt.
        attempt: u8,
    },
    /// More of the request's body came after the call had begun. Unless the deadline is the caller's own, it is put off:
    /// the timeouts are lengths in which an instance has to answer, and it cannot before it has the request.
    BodyMoved,
    /// Whether the instance has all that has come of the body while the rest has not: whoever is late now is the caller.
    AwaitsBody(bool),
    /// The request's body can no longer be sent from its beginning.
    BodyNotKept,
    /// The head of an answer.
    Head {
        /// Which attempt.
        attempt: u8,
        /// What it says.
        head: AnswerFacts,
    },
    /// The attempt failed before the head of an answer; nothing further comes from it.
    Failed {
        /// Which attempt.
        attempt: u8,
        /// How.
        failure: Failure,
        /// Whether it may have had an effect.
        certainty: Certainty,
    },
    /// The forwarded answer is over.
    Finished {
        /// It went down whole; otherwise the instance broke it off.
        clean: bool,
    },
    /// The answer to [`Output::AskStale`]: what was kept and may be given, which the driver then has.
    Stale(Option<Usable>),
    /// The answer to [`Output::LookForStale`].
    StaleIsKept {
        /// For the sake of which attempt it was asked.
        attempt: u8,
        /// Whether an answer is kept that may be given now.
        kept: bool,
    },
    /// The fallback service's call is over.
    FallbackEnded {
        /// An answer went down; otherwise the next fallback is to answer.
        answered: bool,
    },
    /// The caller went away.
    CallerLeft,
}

/// What the look-up of a call's `Idempotency-Key` gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyVerdict {
    /// It is the first with this key.
    First,
    /// The first is under way.
    Waits,
    /// The first was answered, and the driver has the answer.
    Replay {
        /// Its status.
        status: u16,
        /// How old it is.
        age: Duration,
    },
    /// The first was answered, and its answer is not kept: it is not carried out.
    NotKept {
        /// The status of the answer.
        status: u16,
        /// How old it is.
        age: Duration,
    },
    /// It is not carried out.
    Refused(KeyRefusal),
}

/// What the head of an answer says to the decisions.
#[derive(Debug, Clone, Copy)]
pub struct AnswerFacts {
    /// The status, 200 to 599.
    pub status: u16,
    /// `Retry-After` (RFC 9110, section 10.2.3).
    pub retry_after: Option<Duration>,
    /// It comes from another Mainstay that has used its retries up.
    pub retries_used: bool,
    /// Where its status is a failure of the service: an answer that was kept could be given in its place.
    pub replaceable: bool,
}

/// What the driver is to do now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Output {
    /// Ask the rate limits of the route that were not asked yet, in their order up to the first that refuses the call or
    /// makes it wait, and answer with [`Input::Limits`]. Where none is left the strictest of before is the answer.
    AskLimits,
    /// Look the call's `Idempotency-Key` up, and answer with [`Input::Key`].
    AskKey,
    /// Give the first answer of the key again.
    Replay,
    /// Send the request to an endpoint.
    Attempt(AttemptOrder),
    /// Give this attempt up: close its connection unless its answer is over.
    Cancel {
        /// Which attempt.
        attempt: u8,
    },
    /// Send this attempt's answer down: its head is committed.
    Forward {
        /// Which attempt.
        attempt: u8,
        /// More attempts would have followed, had any been left: the answer must say so.
        retries_used: bool,
    },
    /// Look for an answer that was kept and may be given, and answer with [`Input::Stale`].
    AskStale,
    /// Say with [`Input::StaleIsKept`] whether an answer is kept that may be given, while an attempt runs.
    LookForStale {
        /// For the sake of which attempt.
        attempt: u8,
    },
    /// Give the answer that was kept.
    RespondStale(StaleOrder),
    /// Let the fallback service answer, on what is left of the deadline. The driver makes it a call of its own and says
    /// with [`Input::FallbackEnded`] what came of it.
    FallbackService,
    /// Send the fixed answer.
    Respond,
    /// Send an answer of our own that says why there is no other.
    Refuse(RefuseOrder),
    /// The head has gone down and the answer cannot be finished: break the caller's connection off.
    Abort,
}

/// One attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttemptOrder {
    /// Which one, from 0.
    pub attempt: u8,
    /// Where.
    pub endpoint: EndpointId,
    /// Why there is one.
    pub why: AttemptReason,
    /// What the instance may be told is left of the time.
    pub deadline: Instant,
}

/// An answer that was kept, in the place of one that did not come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StaleOrder {
    /// Why none came.
    pub refusal: Refusal,
    /// Attempts that were made before.
    pub attempts: u8,
    /// What is known of its age.
    pub usable: Usable,
}

/// An answer of our own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RefuseOrder {
    /// Why.
    pub refusal: Refusal,
    /// When it is worth asking again.
    pub retry_after: Option<Duration>,
    /// Attempts that were made before.
    pub attempts: u8,
}

/// Why a call wakes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// The call's deadline.
    Call,
    /// The place that a rate limit has reserved comes.
    Limit,
    /// No connection within the connect timeout.
    Connect,
    /// No head within the attempt's time.
    Attempt,
    /// No head within half of the time that was left: the rest is for what stands in for the service.
    Fallback,
    /// The delay of a drill is over.
    Fault,
    /// No head for so long that another attempt is made beside those that run.
    Hedge,
    /// The pause before another attempt is over.
    Backoff,
    /// It has waited long enough in the queue.
    Queue,
    /// It has waited long enough for the first call of its key.
    Key,
}
