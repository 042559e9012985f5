//! What the result of an attempt says of its endpoint and of the call.
//!
//! In: what the user's own code gave. Out: a [`Verdict`]: an answer, with a status as HTTP has it, or a failure with what
//! is known of its effect. The decisions about ejection, breaker, retry and budget depend on nothing else of it.

use std::io;

use mainstay_core::{Certainty, Duration, Failure};
use mainstay_policy::AnswerFacts;

/// What the result of an attempt means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint has done its work. An error that is the caller's own fault (not found, not allowed) is one of these:
    /// asking again would not help, and nobody is ill.
    Good,
    /// An answer came that says how it went, in the words of HTTP: 500 and above are failures of the endpoint, and some of
    /// them are worth another attempt ([`crate::RetryOn`]).
    Answered {
        /// 200 to 599.
        status: u16,
        /// When it asks to be asked again.
        retry_after: Option<Duration>,
    },
    /// There is no answer.
    Failed {
        /// How it failed.
        failure: Failure,
        /// Whether it may have had an effect.
        certainty: Certainty,
    },
}

impl Verdict {
    /// It failed, and whether it had an effect is not known: only what may be made twice is tried again.
    pub const UNKNOWN: Self = Self::Failed { failure: Failure::Reset, certainty: Certainty::Unknown };

    /// It failed before anything was sent: it is tried elsewhere, whatever it is, outside the budget of retries.
    pub const NOT_SENT: Self = Self::Failed { failure: Failure::Refused, certainty: Certainty::NotSent };

    pub(crate) fn head(self) -> Result<AnswerFacts, (Failure, Certainty)> {
        let answer = |status, retry_after| AnswerFacts { status, retry_after, retries_used: false, replaceable: false };
        match self {
            Self::Good => Ok(answer(200, None)),
            Self::Answered { status, retry_after } => Ok(answer(status, retry_after)),
            Self::Failed { failure, certainty } => Err((failure, certainty)),
        }
    }
}

/// Says what a result means. A closure over it is one.
pub trait Classify<T, E> {
    /// What `result` means.
    fn classify(&self, result: &Result<T, E>) -> Verdict;
}

impl<T, E, F: Fn(&Result<T, E>) -> Verdict> Classify<T, E> for F {
    fn classify(&self, result: &Result<T, E>) -> Verdict {
        self(result)
    }
}

/// Every error is a failure of which nobody knows whether it had an effect. The default, because it is never wrong.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnyError;

impl<T, E> Classify<T, E> for AnyError {
    fn classify(&self, result: &Result<T, E>) -> Verdict {
        if result.is_ok() { Verdict::Good } else { Verdict::UNKNOWN }
    }
}

/// Errors of I/O: a connection that was refused, or did not come about, carried nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct IoError;

impl<T> Classify<T, io::Error> for IoError {
    fn classify(&self, result: &Result<T, io::Error>) -> Verdict {
        result.as_ref().map_or_else(of_io, |_| Verdict::Good)
    }
}

/// What an error of I/O means, for classifiers that meet one.
#[must_use]
pub fn of_io(error: &io::Error) -> Verdict {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => Verdict::NOT_SENT,
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown | Kind::AddrNotAvailable => {
            Verdict::Failed { failure: Failure::Unreachable, certainty: Certainty::NotSent }
        }
        Kind::TimedOut => Verdict::Failed { failure: Failure::Timeout, certainty: Certainty::Unknown },
        Kind::InvalidData => Verdict::Failed { failure: Failure::Malformed, certainty: Certainty::Unknown },
        _ => Verdict::UNKNOWN,
    }
}
