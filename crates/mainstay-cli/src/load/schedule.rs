//! When each request is due, by which method, and under which id: functions of the seed and the request's number.

use mainstay_core::{Purpose, Rate, Ratio, Seed, unit};

/// The requests of one seed.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    arrivals: Seed,
    methods: Seed,
    interval: u64,
    poisson: bool,
    post: Ratio,
    prefix: String,
}

impl Schedule {
    /// Requests at `rate`, evenly or as independent callers would send them; the share `post` of them are POSTs.
    pub(crate) fn new(seed: u64, rate: Rate, poisson: bool, post: Ratio, prefix: String) -> Self {
        let seed = Seed::new(seed);
        let interval = rate.interval_nanos();
        Self { arrivals: seed.derive("arrivals"), methods: seed.derive("methods"), interval, poisson, post, prefix }
    }

    /// Nanoseconds between request `number` and the next.
    pub(crate) fn gap(&self, number: u64) -> u64 {
        if !self.poisson {
            return self.interval;
        }
        // The gaps of independent arrivals are exponentially distributed.
        let luck = unit(self.arrivals.draw(number, 0, Purpose::Sample));
        (-(1.0 - luck).ln() * self.interval as f64) as u64
    }

    /// Whether request `number` is a POST.
    pub(crate) fn is_post(&self, number: u64) -> bool {
        unit(self.methods.draw(number, 0, Purpose::Sample)) < self.post.get()
    }

    /// The `x-request-id` of request `number`.
    pub(crate) fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(seed: u64, poisson: bool) -> Schedule {
        Schedule::new(seed, "1000/s".parse().unwrap(), poisson, Ratio::percent(5), "t".to_owned())
    }

    #[test]
    fn the_same_seed_gives_the_same_requests_and_another_seed_others() {
        let gaps = |seed| (0..100).map(|n| schedule(seed, true).gap(n)).collect::<Vec<_>>();
        assert_eq!(gaps(1), gaps(1));
        assert_ne!(gaps(1), gaps(2));
    }

    #[test]
    fn both_kinds_of_arrival_keep_the_rate() {
        assert!((0..1000).all(|n| schedule(1, false).gap(n) == 1_000_000));
        let sum: u64 = (0..100_000).map(|n| schedule(1, true).gap(n)).sum();
        let mean = sum as f64 / 100_000.0;
        // The mean of 100,000 such gaps strays by 0.3 % (one standard deviation).
        assert!((mean - 1e6).abs() < 2e4, "{mean}");
    }

    #[test]
    fn the_share_of_posts_is_kept() {
        let posts = (0..100_000).filter(|&n| schedule(1, false).is_post(n)).count();
        assert!((4_700..5_300).contains(&posts), "{posts}");
    }
}
