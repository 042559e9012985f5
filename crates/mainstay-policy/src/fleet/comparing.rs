//! Whether an endpoint succeeds less often than the others do.
//!
//! In: how many attempts at each endpoint went well in the window. Out: ejections, once a second at the most, from where
//! the driver has time and no call waits.
//!
//! The rule is Envoy's success-rate detection: among the endpoints that are ready and have a hundred attempts in the
//! window (five such endpoints at the least) one stands out whose share of successes is smaller than the mean of their
//! shares less so many standard deviations. `max_ejected` bounds it as it bounds every passive ejection; what is over
//! the bound waits for the next comparison.
//!
//! The sums go by slots, and IEEE 754 rounds a square root exactly, so equal counts give equal ejections everywhere.

use mainstay_core::{Duration, Instant};

use super::Fleet;
use super::learned::Learned;
use crate::EndpointState;

/// Fewer endpoints than this have no mean worth the name.
const ENDPOINTS_MIN: u32 = 5;
/// And with fewer attempts an endpoint has no rate.
const ATTEMPTS_MIN: u64 = 100;
/// From one comparison to the next.
const PAUSE: Duration = Duration::from_secs(1);
/// What rounding may add to a mean of equal shares.
const ROUNDING: f64 = 1e-9;

impl Fleet {
    /// Compares the endpoints, if it is time to, and ejects those that stand out.
    pub(crate) fn compare(&mut self, now: Instant) {
        let Some(factor) = self.settings.outlier.as_ref().and_then(|outlier| outlier.success_rate_deviation) else {
            return;
        };
        if now < self.next_comparison {
            return;
        }
        self.next_comparison = now + PAUSE;
        let Some(least) = self.least_share(now, f64::from(factor) / 100.0) else { return };
        for slot in 0..self.endpoints.slots() as u32 {
            self.hold_to(now, slot, least);
        }
    }

    fn hold_to(&mut self, now: Instant, slot: u32, least: f64) {
        let (Some(endpoint), Some(outlier)) = (self.endpoints.at(slot), &self.settings.outlier) else { return };
        if success_share(&endpoint.learned, now).is_some_and(|share| share < least - ROUNDING) {
            let suspicion = endpoint.learned.availability.stands_out(now, least, outlier);
            self.act_on(now, slot, Some(suspicion));
        }
    }

    /// The share of successes below which an endpoint stands out; `None` while there are too few to tell.
    fn least_share(&self, now: Instant, factor: f64) -> Option<f64> {
        let shares = || self.endpoints.iter().filter_map(|endpoint| success_share(&endpoint.learned, now));
        let count = shares().count() as u32;
        if count < ENDPOINTS_MIN {
            return None;
        }
        let mean = shares().sum::<f64>() / f64::from(count);
        let variance = shares().map(|share| (share - mean) * (share - mean)).sum::<f64>() / f64::from(count);
        Some(mean - factor * variance.sqrt()).filter(|least| *least > 0.0)
    }
}

/// The share of successes of an endpoint that is ready and has enough attempts.
fn success_share(learned: &Learned, now: Instant) -> Option<f64> {
    let (failed, calls) = learned.availability.failed_of(now);
    let counts = learned.availability.state() == EndpointState::Ready && calls >= ATTEMPTS_MIN;
    counts.then(|| (calls - failed) as f64 / calls as f64)
}
