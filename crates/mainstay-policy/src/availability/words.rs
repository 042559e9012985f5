//! The words for the state of an endpoint: what it is, why, how it ended, and what an operator may want.

use std::fmt;

use mainstay_core::Failure;

use crate::CheckFailure;

/// What an operator wants of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Take calls. It lifts an ejection of any kind; if checks keep failing, the next failed one ejects again.
    #[default]
    Ready,
    /// Take no new calls, and finish those that run.
    Draining,
    /// The same, because it is thought unwell.
    Ejected,
}

/// Why an endpoint is ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Active checks failed, the last one so.
    Check(CheckFailure),
    /// As many failures in a row as are allowed, the last one so.
    ConsecutiveFailures(Failure),
    /// Too large a share of failures in the window.
    FailureRate {
        /// Failures.
        failed: u64,
        /// Calls.
        calls: u64,
    },
    /// Too small a share of successes against the other endpoints'.
    SuccessRate {
        /// Failures.
        failed: u64,
        /// Calls.
        calls: u64,
        /// The share of successes below which it stands out, in hundredths of a per cent.
        least: u32,
    },
    /// The probe after an ejection failed.
    Probe(Failure),
    /// An operator's word.
    Operator,
}

impl Cause {
    /// The word for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Check(_) => "check",
            Self::ConsecutiveFailures(_) => "consecutive_failures",
            Self::FailureRate { .. } => "failure_rate",
            Self::SuccessRate { .. } => "success_rate",
            Self::Probe(_) => "probe",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check(failure) => write!(f, "its checks fail: {failure}"),
            Self::ConsecutiveFailures(failure) => write!(f, "too many failures in a row, the last: {failure}"),
            Self::FailureRate { failed, calls } => write!(f, "{failed} of the last {calls} attempts failed"),
            Self::SuccessRate { failed, calls, least } => {
                let (whole, hundredths) = (least / 100, least % 100);
                write!(f, "{failed} of the last {calls} attempts failed, and against the others ")?;
                write!(f, "{whole}.{hundredths:02} % must go well")
            }
            Self::Probe(failure) => write!(f, "the probe after its ejection failed: {failure}"),
            Self::Operator => f.write_str("an operator's order"),
        }
    }
}

/// How an endpoint came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// A probe was good.
    Probe,
    /// Active checks passed.
    Check,
    /// An operator's word.
    Operator,
    /// The configuration no longer ejects for what it was ejected for.
    Configuration,
    /// It keeps pace with the others again.
    Pace,
    /// Another worker learned it.
    Exchange,
}

impl Recovery {
    /// The words for logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Probe => "a probe was good",
            Self::Check => "its checks pass",
            Self::Operator => "an operator's order",
            Self::Configuration => "the configuration changed",
            Self::Pace => "it keeps pace again",
            Self::Exchange => "another worker found it well",
        }
    }
}

/// What an endpoint is to the balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointState {
    /// It takes calls.
    Ready,
    /// It takes none.
    Ejected,
    /// It takes one call at a time, whose outcome decides.
    Probing,
    /// An operator drains it: it takes no new calls.
    Draining,
}

impl EndpointState {
    /// The word for metrics and the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Ejected => "ejected",
            Self::Probing => "probing",
            Self::Draining => "draining",
        }
    }
}
