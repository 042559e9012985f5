//! The one place where the gateway asks the machine for the time.
//!
//! Decisions are made on [`mainstay_core::Instant`], nanoseconds since the process's gateway began; sockets and timers
//! want tokio's. [`Clock`] turns one into the other. It is a copy of two numbers, so every worker has its own.

use std::time::{SystemTime, UNIX_EPOCH};

use mainstay_core::{Instant, UnixTime};

/// The machine's monotonic clock, counted from when this clock was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    /// A clock whose origin is now. A gateway makes one and gives a copy to each worker, so that their instants compare.
    pub(crate) fn new() -> Self {
        Self { origin: std::time::Instant::now() }
    }

    /// What time it is.
    pub(crate) fn now(self) -> Instant {
        let nanos = self.origin.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The same instant for tokio's timers; one too far away for them is a year ahead, which is never.
    pub(crate) fn to_tokio(self, at: Instant) -> tokio::time::Instant {
        const YEAR: u64 = 365 * 24 * 3600 * 1_000_000_000;
        let nanos = at.as_nanos().min(self.now().as_nanos().saturating_add(YEAR));
        tokio::time::Instant::from_std(self.origin + std::time::Duration::from_nanos(nanos))
    }
}

/// Civil time, for headers and logs only.
pub(crate) fn unix_time() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_far_in_the_future_is_still_one_that_tokio_can_wait_for() {
        let clock = Clock::new();
        let far = clock.to_tokio(Instant::FAR_FUTURE);
        assert!(far > tokio::time::Instant::now() + std::time::Duration::from_secs(300 * 24 * 3600));
        assert!(clock.to_tokio(Instant::ORIGIN) <= tokio::time::Instant::now());
    }
}
