//! Why there is no answer.

use mainstay_core::{Certainty, Duration, Failure, Origin};
use mainstay_policy::{Decision, Record, Refusal, RefuseOrder};

/// A service cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A text is not an address.
    #[error("{text:?} is not an address with a port, such as \"10.0.0.1:80\"")]
    Address {
        /// What was given.
        text: String,
    },
    /// Two endpoints have one identity.
    #[error("there are two endpoints called {name:?}")]
    SameEndpoint {
        /// What both are called.
        name: String,
    },
    /// A setting lies outside what can be meant.
    #[error("{setting} is {given}; it has to be {accepted}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What was given.
        given: u32,
        /// What can be.
        accepted: &'static str,
    },
}

/// Why a call has no answer. `E` is the error of the user's own code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error<E> {
    /// No attempt was made, or none that could be made is left: over a limit, no permit, an open breaker, no endpoint.
    #[error("refused: {}", .reason.as_str())]
    Refused {
        /// Why.
        reason: Refusal,
        /// When it is worth asking again.
        retry_after: Option<Duration>,
        /// Attempts that were made before.
        attempts: u8,
        /// Whether they may have had an effect.
        certainty: Certainty,
    },
    /// The last attempt failed, and no other followed.
    #[error("failed after {attempts} attempt(s)")]
    Failed {
        /// What the last attempt gave.
        #[source]
        error: E,
        /// Attempts that were made.
        attempts: u8,
        /// Whether any of them may have had an effect.
        certainty: Certainty,
    },
    /// An answer came that counts as a failure; it was given up for another attempt or a fallback, and nothing better came.
    #[error("the answer counts as a failure: {failure}")]
    BadAnswer {
        /// How it counts.
        failure: Failure,
        /// Attempts that were made.
        attempts: u8,
    },
    /// There was no answer in time.
    #[error("no answer in time, after {attempts} attempt(s)")]
    TimedOut {
        /// What the last attempt gave that ended before.
        #[source]
        error: Option<E>,
        /// Attempts that were made.
        attempts: u8,
        /// Whether any of them may have had an effect.
        certainty: Certainty,
    },
}

impl<E> Error<E> {
    /// Whether the call may have had an effect: [`Certainty::NotSent`] says that it certainly had none.
    #[must_use]
    pub const fn certainty(&self) -> Certainty {
        match self {
            Self::Refused { certainty, .. } | Self::Failed { certainty, .. } | Self::TimedOut { certainty, .. } => {
                *certainty
            }
            Self::BadAnswer { .. } => Certainty::Applied,
        }
    }

    /// Attempts that were made.
    #[must_use]
    pub const fn attempts(&self) -> u8 {
        match self {
            Self::Refused { attempts, .. }
            | Self::Failed { attempts, .. }
            | Self::BadAnswer { attempts, .. }
            | Self::TimedOut { attempts, .. } => *attempts,
        }
    }

    /// When it is worth asking again, where that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whose it is: the caller's, ours (a limit, a queue, an open breaker), or the service's.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        match self {
            Self::Refused { reason, .. } => reason.origin(),
            Self::Failed { .. } | Self::BadAnswer { .. } | Self::TimedOut { .. } => Origin::Upstream,
        }
    }

    /// The error of the user's own code that is behind it, where there is one.
    #[must_use]
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::Failed { error, .. } => Some(error),
            Self::TimedOut { error, .. } => error,
            Self::Refused { .. } | Self::BadAnswer { .. } => None,
        }
    }
}

/// Why a call ended without an answer, before it is known what its attempts gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unanswered {
    pub(crate) refusal: Refusal,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) attempts: u8,
    pub(crate) certainty: Certainty,
}

impl Unanswered {
    pub(crate) fn new(order: &RefuseOrder, record: &Record) -> Self {
        let RefuseOrder { refusal, retry_after, attempts } = *order;
        Self { refusal, retry_after, attempts, certainty: certainty_of(record) }
    }

    /// `last` is what the attempt gave that ended last.
    pub(crate) fn into_error<T, E>(self, last: Option<Result<T, E>>) -> Error<E> {
        let Self { refusal, retry_after, attempts, certainty } = self;
        match (refusal, last) {
            (Refusal::Deadline | Refusal::DeadlinePassed | Refusal::Failed(Failure::Timeout), last) => {
                Error::TimedOut { error: last.and_then(Result::err), attempts, certainty }
            }
            (Refusal::Failed(_), Some(Err(error))) => Error::Failed { error, attempts, certainty },
            (Refusal::Failed(failure), Some(Ok(_))) => Error::BadAnswer { failure, attempts },
            (reason, _) => Error::Refused { reason, retry_after, attempts, certainty },
        }
    }
}

/// The most that any attempt of a call may have done.
pub(crate) fn certainty_of(record: &Record) -> Certainty {
    let done = record.entries().iter().filter_map(|entry| match entry.what {
        Decision::Head { .. } => Some(Certainty::Applied),
        Decision::Failed { certainty, .. }
        | Decision::Cancelled { certainty, .. }
        | Decision::Outpaced { certainty, .. } => Some(certainty),
        _ => None,
    });
    done.max().unwrap_or(Certainty::NotSent)
}
