//! The luck of the world: when calls come, how long work takes, whom a fault hits.
//!
//! A draw is a function of the seed, of whose it is (a call by its number) and of what for (a lane), never of what was
//! drawn before. So two configurations that are played on one seed meet the same calls at the same moments, and the same
//! attempt of the same call takes the same time at whichever instance. Logarithms are `mainstay_core::math`'s, so the
//! bytes of a report do not depend on the platform.

use mainstay_config::scenario::Distribution;
use mainstay_core::math::{exp, ln};
use mainstay_core::{Duration, Purpose, Seed, unit};

/// Where all luck of a play comes from.
pub(crate) fn root(seed: u64) -> Seed {
    Seed::new(seed).derive("simulator 1")
}

/// When the calls of a workload come and by which methods, for whoever plays the same calls on real sockets.
#[derive(Debug, Clone, Copy)]
pub struct CallersLuck(Luck);

/// What a call's luck is for; who plays calls for real draws nothing else of it.
pub(crate) const GAP: u32 = 0;
pub(crate) const METHOD: u32 = 1;

impl CallersLuck {
    /// Of a scenario's `workload`-th workload, played on `seed`.
    #[must_use]
    pub fn new(seed: u64, workload: usize) -> Self {
        Self(Luck::new(root(seed), CALLERS).of(workload as u64))
    }

    /// How many calls are in the mean due between the one before call `number` and this one, where they are independent of
    /// each other: a number whose mean is 1.
    #[must_use]
    pub fn gap(self, number: u64) -> f64 {
        self.0.exponential(number, GAP)
    }

    /// 64 bits by which the method of call `number` is drawn.
    #[must_use]
    pub fn method(self, number: u64) -> u64 {
        self.0.bits(number, METHOD)
    }
}

/// Whom a fault strikes that has random victims, for whoever lets the same happen to real ones.
#[derive(Debug, Clone, Copy)]
pub struct VictimsLuck(Luck);

impl VictimsLuck {
    /// Of a scenario's `fault`-th fault, played on `seed`.
    #[must_use]
    pub fn new(seed: u64, fault: usize) -> Self {
        Self(Luck::new(root(seed), VICTIMS).of(fault as u64))
    }

    /// Victims are the instances with the lowest of these; instances are counted over all services.
    #[must_use]
    pub fn place(self, instance: usize) -> u64 {
        self.0.bits(instance as u64, 0)
    }
}

/// The luck of those whom faults strike.
pub(crate) const VICTIMS: &str = "victims";
/// The luck of callers.
pub(crate) const CALLERS: &str = "callers";

/// Luck of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Luck(Seed);

impl Luck {
    pub(crate) fn new(seed: Seed, of: &str) -> Self {
        Self(seed.derive(of))
    }

    /// Luck of one of several that have the same kind.
    pub(crate) fn of(self, which: u64) -> Self {
        Self(Seed::new(self.bits(which, u32::MAX)))
    }

    pub(crate) fn seed(self) -> Seed {
        self.0
    }

    /// 64 bits.
    pub(crate) fn bits(self, whose: u64, lane: u32) -> u64 {
        self.0.draw(whose, lane, Purpose::Sample)
    }

    /// A number from 0 to 1, and less than 1.
    pub(crate) fn unit(self, whose: u64, lane: u32) -> f64 {
        unit(self.bits(whose, lane))
    }

    /// Whether something happens that happens so often.
    pub(crate) fn strikes(self, share: f64, whose: u64, lane: u32) -> bool {
        share >= 1.0 || (share > 0.0 && self.unit(whose, lane) < share)
    }

    /// A number whose mean is 1 and that does not remember.
    pub(crate) fn exponential(self, whose: u64, lane: u32) -> f64 {
        -ln(1.0 - self.unit(whose, lane))
    }

    /// A length of time; lanes from `lane` on are drawn from.
    pub(crate) fn length(self, distribution: &Distribution, whose: u64, lane: u32) -> Duration {
        match *distribution {
            Distribution::Fixed(length) => length,
            Distribution::Exponential(mean) => mean.mul_f64(self.exponential(whose, lane)),
            Distribution::Lognormal { mean, sigma } => {
                mean.mul_f64(exp(sigma * self.normal(whose, lane) - sigma * sigma / 2.0))
            }
            Distribution::Pareto { mean, alpha } => {
                mean.mul_f64((alpha - 1.0) / alpha * exp(self.exponential(whose, lane) / alpha))
            }
            Distribution::Bimodal { fast, slow, share } => {
                if self.strikes(share.get(), whose, lane) {
                    slow
                } else {
                    fast
                }
            }
        }
    }

    /// A number of the normal distribution, by the polar method (G. Marsaglia, T. Bray: "A convenient method for
    /// generating normal variables", 1964): no sine, whose last bit depends on the platform.
    fn normal(self, whose: u64, lane: u32) -> f64 {
        let mut lane = lane;
        loop {
            let (x, y) = (2.0 * self.unit(whose, lane) - 1.0, 2.0 * self.unit(whose, lane + 1) - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * (-2.0 * ln(square) / square).sqrt();
            }
            lane += 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::Ratio;

    /// Mean, in milliseconds, and coefficient of variation of 200,000 lengths.
    fn moments(distribution: &Distribution) -> (f64, f64) {
        let luck = Luck::new(Seed::new(7), "test");
        let lengths: Vec<f64> = (0..200_000).map(|n| luck.length(distribution, n, 0).as_nanos() as f64 / 1e6).collect();
        let mean = lengths.iter().sum::<f64>() / lengths.len() as f64;
        let variance =
            lengths.iter().map(|length| (length - mean) * (length - mean)).sum::<f64>() / lengths.len() as f64;
        (mean, variance.sqrt() / mean)
    }

    #[test]
    fn lengths_have_the_mean_and_the_spread_that_they_should() {
        let mean = Duration::from_millis(10);
        let (fast, slow, share) = (Duration::from_millis(5), Duration::from_millis(55), Ratio::percent(10));
        let bimodal_spread = (0.1_f64 * 45.0 * 45.0 + 0.9 * 25.0).sqrt() / 10.0;
        for (distribution, spread) in [
            (Distribution::Fixed(mean), 0.0),
            (Distribution::Exponential(mean), 1.0),
            // √(e^σ² - 1)
            (Distribution::Lognormal { mean, sigma: 0.5 }, 0.533),
            // 1 / √(α (α - 2))
            (Distribution::Pareto { mean, alpha: 5.0 }, 0.258),
            (Distribution::Bimodal { fast, slow, share }, bimodal_spread),
        ] {
            let (found, variation) = moments(&distribution);
            assert!((found - 10.0).abs() < 0.1, "{distribution:?}: {found}");
            assert!((variation - spread).abs() < 0.03, "{distribution:?}: {variation}, not {spread}");
        }
    }
}
