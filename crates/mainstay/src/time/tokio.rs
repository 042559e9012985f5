//! Time as tokio has it.

use mainstay_core::Instant;

use super::{Sleep, Time};

/// Tokio's clock and timer; in a test with `tokio::time::pause` it stands still like everything else.
///
/// To wait needs a runtime of tokio with its timer enabled, and panics without one, as `tokio::time::sleep` does.
#[derive(Debug, Clone)]
pub struct TokioTime {
    origin: tokio::time::Instant,
}

impl TokioTime {
    /// A clock that begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }
}

impl Default for TokioTime {
    fn default() -> Self {
        Self::new()
    }
}

impl Time for TokioTime {
    fn now(&self) -> Instant {
        let nanos = self.origin.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        // What is a year away is never, and tokio's timer cannot say never.
        const YEAR: u64 = 365 * 24 * 3600 * 1_000_000_000;
        let nanos = at.as_nanos().min(self.now().as_nanos().saturating_add(YEAR));
        let at = self.origin + std::time::Duration::from_nanos(nanos);
        Sleep::on_tokio(tokio::time::sleep_until(at))
    }
}
