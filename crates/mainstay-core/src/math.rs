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

/// The natural logarithm of `x`, within 4 units in the last place.
///
/// For normal numbers above 0; minus infinity for every other.
///
/// ```
/// use mainstay_core::math::ln;
/// assert!((ln(2.0) - std::f64::consts::LN_2).abs() < 1e-15);
/// ```
#[must_use]
pub fn ln(x: f64) -> f64 {
    if !x.is_normal() || x < 0.0 {
        return f64::NEG_INFINITY;
    }
    // x = 2^exponent · m with m from √½ to √2, and ln m = 2 artanh y, whose series is short for so small a y.
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut m = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    let y = (m - 1.0) / (m + 1.0);
    let square = y * y;
    let mut series = 0.0;
    for part in ODD_PARTS {
        series = series * square + part;
    }
    2.0 * y * series + exponent as f64 * std::f64::consts::LN_2
}

/// 1/21, 1/19, … 1.
const ODD_PARTS: [f64; 11] = [
    1.0 / 21.0,
    1.0 / 19.0,
    1.0 / 17.0,
    1.0 / 15.0,
    1.0 / 13.0,
    1.0 / 11.0,
    1.0 / 9.0,
    1.0 / 7.0,
    1.0 / 5.0,
    1.0 / 3.0,
    1.0,
];

/// `e^x`, within a few units in the last place; infinite above 709 and 0 below -708.
///
/// ```
/// use mainstay_core::math::exp;
/// assert!((exp(1.0) - std::f64::consts::E).abs() < 1e-14);
/// ```
#[must_use]
pub fn exp(x: f64) -> f64 {
    if x.is_nan() || x < -708.0 {
        return 0.0;
    }
    if x > 709.0 {
        return f64::INFINITY;
    }
    // x = k·ln 2 + r with |r| up to ½ ln 2, and Taylor's series for r.
    let k = (x * std::f64::consts::LOG2_E + if x < 0.0 { -0.5 } else { 0.5 }) as i64;
    let r = (x - k as f64 * 0.693_147_180_369_123_8) - k as f64 * 1.908_214_929_270_587_7e-10;
    let mut value = 1.0;
    for n in (1..=14).rev() {
        value = 1.0 + value * r / f64::from(n);
    }
    value * f64::from_bits(((k + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a reference to compare with, in a test")]
    fn logarithm_and_exponential_agree_with_the_platforms() {
        let mut x = 1e-300;
        while x < 1e300 {
            assert!((ln(x) - x.ln()).abs() <= 1e-14 * x.ln().abs().max(0.01), "{x}: {} {}", ln(x), x.ln());
            x *= 1.37;
        }
        for step in -7000..7000 {
            let x = f64::from(step) / 10.0;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-13, "{x}: {} {}", exp(x), x.exp());
        }
        for nothing in [0.0, -1.0, f64::NAN, -0.0] {
            assert_eq!(ln(nothing), f64::NEG_INFINITY);
        }
        assert_eq!((exp(-1e9), exp(1e9), exp(0.0), ln(1.0)), (0.0, f64::INFINITY, 1.0, 0.0));
    }

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
