//! Functions whose every bit is the same on every platform: only sums, products and quotients of IEEE 754 doubles.

use crate::time::Duration;

/// `e^-(elapsed / tau)`: what is left of a value after `elapsed` when it decays with the time constant `tau`.
///
/// Exact to better than 1e-9; 0 from 40 time constants on, and for an empty `tau`.
///
/// ```
/// use mainstay_core::{math::decay, Duration};
/// let half = decay(Duration::from_millis(693), Duration::from_secs(1));
/// assert!((half - 0.5).abs() < 0.001);
/// ```
#[must_use]
pub fn decay(elapsed: Duration, tau: Duration) -> f64 {
    if elapsed.is_zero() {
        return 1.0;
    }
    let x = elapsed.as_nanos() as f64 / tau.as_nanos() as f64;
    if x.is_nan() || x >= 40.0 {
        return 0.0;
    }
    // Most of what decays was looked at a moment ago, and then four terms are as good as the rest.
    if x < 1e-3 {
        return 1.0 - x * (1.0 - x * (0.5 - x / 6.0));
    }
    // e^-x = (e^(-x/64))^64, and a Taylor series of nine terms is enough for an argument under 0.625.
    let y = -x / 64.0;
    let mut value = 1.0;
    for n in (1..=9).rev() {
        value = 1.0 + value * y / f64::from(n);
    }
    for _ in 0..6 {
        value *= value;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decay_agrees_with_the_exponential() {
        for micros in [0, 1, 30, 999, 1_000, 10_000, 100_000, 693_000, 1_000_000, 5_000_000, 20_000_000, 39_000_000] {
            let got = decay(Duration::from_micros(micros), Duration::from_secs(1));
            // The reference values come from the platform, which is good to far more digits than are asked for here.
            #[allow(clippy::disallowed_methods, reason = "a reference to compare with, in a test")]
            let want = (-(micros as f64) / 1e6).exp();
            assert!((got - want).abs() < 1e-9, "{micros}: {got} {want}");
        }
        assert_eq!(decay(Duration::from_secs(1), Duration::ZERO), 0.0);
        assert_eq!(decay(Duration::ZERO, Duration::from_secs(1)), 1.0);
    }
}
