//! When each request is due, by which method, and under which id: functions of the seed and the request's number.
//!
//! The luck is the simulator's, so that a drill and a simulation of one scenario on one seed have the very same calls.

use mainstay_core::{Ratio, below};
use mainstay_sim::CallersLuck;

use super::Profile;

/// How requests are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// Each the same time after the one before.
    Uniform,
    /// Independent of each other, as those of many callers are.
    Poisson,
}

/// How often which method comes, by weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Methods(Vec<(String, u32)>);

impl Methods {
    /// The share `post` are POSTs, the others GETs.
    #[must_use]
    pub fn posts(post: Ratio) -> Self {
        let posts = (post.get() * 1e6).round() as u32;
        Self(vec![("GET".to_owned(), 1_000_000 - posts), ("POST".to_owned(), posts)])
    }

    /// By these weights, whose sum is 1 or more.
    #[must_use]
    pub fn of(weights: Vec<(String, u32)>) -> Self {
        Self(weights)
    }

    fn draw(&self, luck: u64) -> &str {
        let sum = self.0.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut left = below(luck, sum);
        for (method, weight) in &self.0 {
            match left.checked_sub(u64::from(*weight)) {
                Some(rest) => left = rest,
                None => return method,
            }
        }
        "GET"
    }
}

/// The requests of one seed.
#[derive(Debug, Clone)]
pub struct Schedule {
    luck: CallersLuck,
    profile: Profile,
    arrivals: Arrivals,
    methods_of: Methods,
    prefix: String,
}

impl Schedule {
    /// Requests at the rate of `profile`, whose ids begin with `prefix`.
    #[must_use]
    pub fn new(luck: CallersLuck, profile: Profile, arrivals: Arrivals, methods_of: Methods, prefix: String) -> Self {
        Self { luck, profile, arrivals, methods_of, prefix }
    }

    /// The nanosecond at which request `number` is due, when the one before it was due at `before`.
    #[must_use]
    pub fn due(&self, number: u64, before: u64) -> u64 {
        let requests = match self.arrivals {
            Arrivals::Uniform => 1.0,
            // The gaps of independent arrivals are exponentially distributed.
            Arrivals::Poisson => self.luck.gap(number),
        };
        self.profile.after(before, requests)
    }

    /// How many are due between two moments, in seconds since the beginning, in the mean.
    #[must_use]
    pub fn between(&self, from: f64, to: f64) -> f64 {
        self.profile.between(from, to)
    }

    /// The method of request `number`.
    #[must_use]
    pub fn method(&self, number: u64) -> &str {
        self.methods_of.draw(self.luck.method(number))
    }

    /// The `x-request-id` of request `number`.
    #[must_use]
    pub fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(seed: u64, arrivals: Arrivals) -> Schedule {
        let profile = Profile::steady("1000/s".parse().unwrap());
        Schedule::new(CallersLuck::new(seed, 0), profile, arrivals, Methods::posts(Ratio::percent(5)), "t".to_owned())
    }

    fn due(schedule: &Schedule, requests: u64) -> Vec<u64> {
        let next = |before: &mut u64, number| {
            *before = schedule.due(number, *before);
            Some(*before)
        };
        (0..requests).scan(0, next).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_requests_and_another_seed_others() {
        let dues = |seed| due(&schedule(seed, Arrivals::Poisson), 100);
        assert_eq!(dues(1), dues(1));
        assert_ne!(dues(1), dues(2));
    }

    #[test]
    fn both_kinds_of_arrival_keep_the_rate() {
        assert_eq!(due(&schedule(1, Arrivals::Uniform), 3), [1_000_000, 2_000_000, 3_000_000]);
        let mean = *due(&schedule(1, Arrivals::Poisson), 100_000).last().unwrap() as f64 / 100_000.0;
        // The mean of 100,000 such gaps strays by 0.3 % (one standard deviation).
        assert!((mean - 1e6).abs() < 2e4, "{mean}");
    }

    #[test]
    fn the_share_of_posts_is_kept() {
        let posts = (0..100_000).filter(|&n| schedule(1, Arrivals::Uniform).method(n) == "POST").count();
        assert!((4_700..5_300).contains(&posts), "{posts}");
    }
}
