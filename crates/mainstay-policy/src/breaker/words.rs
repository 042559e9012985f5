//! A breaker's states and reasons in words, for logs.

use std::fmt;

use super::{BreakerCause, BreakerFigures, BreakerState};

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen => "half-open",
            Self::ForcedOpen => "forced open",
            Self::ForcedClosed => "forced closed",
        })
    }
}

impl fmt::Display for BreakerCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailureRate(BreakerFigures { calls, failed, .. }) => write!(f, "{failed} of {calls} calls failed"),
            Self::SlowRate(BreakerFigures { calls, slow, .. }) => write!(f, "{slow} of {calls} calls were slow"),
            Self::OpenLongEnough => f.write_str("it was open long enough"),
            Self::CheckPassed => f.write_str("an active check passed"),
            Self::ProbesPassed(BreakerFigures { calls, .. }) => write!(f, "{calls} probes went well"),
            Self::Ordered => f.write_str("an operator said so"),
            Self::SwitchedOff => f.write_str("it was switched off"),
        }
    }
}
