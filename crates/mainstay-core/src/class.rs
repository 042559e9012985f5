//! How a failure is classified: whose it was, what it was, and how certain we are of what it left behind.

use std::fmt;

/// Who is answerable for an end that was not a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// The caller: it asked wrongly, or it went away.
    Client,
    /// Mainstay itself: a limit, a queue, an open breaker, a deadline.
    Us,
    /// An instance, or the way to it.
    Upstream,
}

impl Origin {
    /// The word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Us => "us",
            Self::Upstream => "upstream",
        }
    }
}

/// What is known about whether a failed attempt had an effect.
///
/// RFC 9110, section 9.2.2, lets a proxy repeat a request that is not idempotent only when it knows that the first was
/// never applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Certainty {
    /// Nothing of the request reached an instance: it may be tried elsewhere, whatever its method.
    NotSent,
    /// Some of it was written and no answer came: it may or may not have been applied.
    Unknown,
    /// An answer came, so the instance acted on the request.
    Applied,
}

impl Certainty {
    /// The words for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not sent",
            Self::Unknown => "unknown",
            Self::Applied => "applied",
        }
    }
}

/// What a method promises about being sent twice (RFC 9110, section 9.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MethodClass {
    /// Asks for no effect at all: GET, HEAD, OPTIONS, TRACE.
    Safe,
    /// Twice is the same as once: PUT, DELETE.
    Idempotent,
    /// Twice is not once: POST, PATCH and whatever is not known.
    NonIdempotent,
}

impl MethodClass {
    /// The class of a method by its name, which is case-sensitive.
    #[must_use]
    pub fn of(method: &[u8]) -> Self {
        match method {
            b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" => Self::Safe,
            b"PUT" | b"DELETE" => Self::Idempotent,
            _ => Self::NonIdempotent,
        }
    }

    /// Whether sending it twice is the same as sending it once.
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        matches!(self, Self::Safe | Self::Idempotent)
    }
}

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No connection: refused.
    Refused,
    /// No connection: unreachable, no route, no descriptor left, or any other reason than the two beside it.
    Unreachable,
    /// No connection within the connect timeout.
    ConnectTimeout,
    /// The connection broke before the head of an answer was complete.
    Reset,
    /// No head of an answer within the attempt's time.
    Timeout,
    /// The answer was not HTTP, or not HTTP that has one meaning.
    Malformed,
    /// An answer whose status says that the instance could not do it.
    Status(u16),
}

impl Failure {
    /// The word for logs, metrics and `retry.on`; a status gives its class.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::ConnectTimeout => "connect_timeout",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Malformed => "malformed",
            Self::Status(500) => "500",
            Self::Status(502) => "502",
            Self::Status(503) => "503",
            Self::Status(504) => "504",
            Self::Status(429) => "429",
            Self::Status(_) => "status",
        }
    }

    /// Whether no connection came about, so that nothing can have been sent.
    #[must_use]
    pub const fn is_connect(self) -> bool {
        matches!(self, Self::Refused | Self::Unreachable | Self::ConnectTimeout)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            other => f.write_str(other.as_str()),
        }
    }
}
