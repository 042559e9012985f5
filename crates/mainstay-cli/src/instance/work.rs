//! How long a piece of work takes: always the same, or drawn by the seed and the work's number.

use std::time::Duration;

use mainstay_core::{Purpose, Ratio, Seed, unit};

/// What service times look like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Spread {
    /// Always the same.
    Fixed,
    /// Without a memory.
    Exponential,
    /// Its logarithm is normal, with this standard deviation.
    Lognormal(f64),
    /// Few are very long: the exponent, above 1.
    Pareto(f64),
    /// Most are short, and a share takes so long.
    Bimodal(Duration, Ratio),
}

impl std::str::FromStr for Spread {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const WORDS: &str = "fixed, exponential, lognormal:SIGMA, pareto:ALPHA, bimodal:SLOW:SHARE";
        let number = |text: &str, above: f64| {
            let number = text.parse::<f64>().ok().filter(|number| *number > above && number.is_finite());
            number.ok_or_else(|| format!("{text} is no number above {above}"))
        };
        match text.split(':').collect::<Vec<_>>().as_slice() {
            ["fixed"] => Ok(Self::Fixed),
            ["exponential"] => Ok(Self::Exponential),
            ["lognormal", sigma] => number(sigma, 0.0).map(Self::Lognormal),
            ["pareto", alpha] => number(alpha, 1.0).map(Self::Pareto),
            ["bimodal", slow, share] => {
                let slow: mainstay_core::Duration = slow.parse().map_err(|error| format!("{slow}: {error}"))?;
                let share = share.parse().map_err(|error| format!("{share}: {error}"))?;
                Ok(Self::Bimodal(Duration::from_nanos(slow.as_nanos()), share))
            }
            _ => Err(format!("there are {WORDS}")),
        }
    }
}

/// Service times of one instance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    mean: Duration,
    spread: Spread,
    seed: Seed,
}

impl Work {
    /// Times of this mean (of the short ones, where there are two kinds) and spread.
    pub(crate) fn new(mean: Duration, spread: Spread, seed: u64) -> Self {
        Self { mean, spread, seed: Seed::new(seed).derive("work") }
    }

    /// How long the work `number` takes.
    pub(crate) fn time(&self, number: u64) -> Duration {
        // Never 0: the logarithm of nothing is no time.
        let luck = |draw| 1.0 - unit(self.seed.draw(number, draw, Purpose::Sample));
        let times = match self.spread {
            Spread::Fixed => 1.0,
            Spread::Exponential => -luck(0).ln(),
            Spread::Lognormal(sigma) => {
                let normal = (-2.0 * luck(0).ln()).sqrt() * (std::f64::consts::TAU * luck(1)).cos();
                (sigma * normal - sigma * sigma / 2.0).exp()
            }
            Spread::Pareto(alpha) => (alpha - 1.0) / alpha / luck(0).powf(1.0 / alpha),
            Spread::Bimodal(slow, share) => return if luck(0) <= share.get() { slow } else { self.mean },
        };
        // A tail without an end has one here, so that no work takes for ever.
        self.mean.mul_f64(times.min(10_000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean of many, in milliseconds.
    fn mean(spread: &str) -> f64 {
        let work = Work::new(Duration::from_millis(10), spread.parse().unwrap(), 1);
        (0..200_000).map(|number| work.time(number).as_secs_f64() * 1e3).sum::<f64>() / 200_000.0
    }

    #[test]
    fn each_spread_keeps_its_mean() {
        for spread in ["fixed", "exponential", "lognormal:0.5", "pareto:3"] {
            assert!((mean(spread) - 10.0).abs() < 0.2, "{spread}: {}", mean(spread));
        }
        assert!((mean("bimodal:110ms:10%") - 20.0).abs() < 0.3);
    }

    #[test]
    fn what_is_no_spread_is_refused() {
        for spread in ["even", "pareto:1", "lognormal:x", "bimodal:1s", "bimodal:soon:1%"] {
            assert!(spread.parse::<Spread>().is_err(), "{spread}");
        }
    }
}
