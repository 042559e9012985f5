//! A bucket without keys, whose whole state is one number.
//!
//! Threads that share it keep the number in an atomic of theirs: each asks with what it has read, and puts what came out in
//! its place if that has not changed meanwhile, or asks again. The law is that of a key ([`super::terms`]).

use mainstay_core::{Duration, Instant};

use super::LimitVerdict;
use super::terms::{State, Terms};
use crate::{RateLimitAlgorithm, RateLimitSettings};

/// The law of one bucket.
#[derive(Debug, Clone)]
pub struct Bucket(Terms);

impl Bucket {
    /// The limit's own terms; `None` for windows, which have more to remember than a number.
    #[must_use]
    pub fn new(settings: &RateLimitSettings) -> Option<Self> {
        match settings.algorithm {
            RateLimitAlgorithm::TokenBucket | RateLimitAlgorithm::LeakyBucket => {
                Terms::all(settings).first().copied().map(Self)
            }
            RateLimitAlgorithm::FixedWindow | RateLimitAlgorithm::SlidingWindow => None,
        }
    }

    /// The number after a call that cannot wait, for who wants to know no more; `None` when it is over the limit.
    #[must_use]
    pub fn take(&self, now: Instant, level: u64) -> Option<u64> {
        self.0.take(now, level)
    }

    /// What a call is told that could wait for so long, and the number afterwards: the same when it is refused. A bucket
    /// that was never asked has 0.
    ///
    /// A clock that was read a little before another changes nothing: time does not run backwards in the number.
    #[must_use]
    pub fn judge(&self, now: Instant, level: u64, patience: Duration) -> (LimitVerdict, u64) {
        let (verdict, _, after) = self.0.judge(now, State { until: level, ..State::default() }, patience);
        (verdict, if verdict.admitted { after.until } else { level })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyedLimiter, LimitQuery};

    #[test]
    fn it_says_what_a_key_is_told() {
        for algorithm in [RateLimitAlgorithm::TokenBucket, RateLimitAlgorithm::LeakyBucket] {
            let settings = RateLimitSettings { algorithm, burst: 5, ..RateLimitSettings::per_second(100) };
            let (bucket, mut level) = (Bucket::new(&settings).unwrap(), 0);
            let mut keyed = KeyedLimiter::new(&settings);
            for step in 0..500_u64 {
                let now = Instant::ORIGIN + Duration::from_millis(step * 5 + step * step % 5);
                let taken = bucket.take(now, level);
                let told;
                (told, level) = bucket.judge(now, level, Duration::ZERO);
                assert_eq!(taken, told.admitted.then_some(level), "{algorithm:?} {step}");
                let query = LimitQuery { patience: Duration::ZERO, ..LimitQuery::of(7) };
                assert_eq!(told, keyed.admit(now, &query).0, "{algorithm:?} {step}");
            }
        }
    }
}
