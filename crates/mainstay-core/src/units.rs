//! Quantities with their unit in the type, so that a share is never taken for a percentage nor a count for bytes.

use std::fmt;
use std::str::FromStr;

use crate::number::scaled;
use crate::time::Duration;

/// A value lies outside what its type accepts.
#[derive(Debug, Clone, PartialEq)]
pub struct OutOfRange {
    /// What was given.
    pub given: f64,
    /// The accepted range in words.
    pub accepted: &'static str,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is outside {}", self.given, self.accepted)
    }
}

impl std::error::Error for OutOfRange {}

/// The text does not have the form that its unit wants; the message gives an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseUnitError(pub(crate) &'static str);

impl fmt::Display for ParseUnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ParseUnitError {}

/// A share between nothing (0) and everything (1).
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    /// Nothing.
    pub const ZERO: Self = Self(0.0);
    /// Everything.
    pub const ONE: Self = Self(1.0);

    /// The share `value`.
    ///
    /// # Errors
    /// [`OutOfRange`] unless `0.0 <= value <= 1.0`.
    pub fn new(value: f64) -> Result<Self, OutOfRange> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(OutOfRange { given: value, accepted: "0% to 100%" })
        }
    }

    /// `percent` hundredths; more than 100 counts as 100.
    #[must_use]
    pub const fn percent(percent: u8) -> Self {
        Self(if percent > 100 { 1.0 } else { percent as f64 / 100.0 })
    }

    /// The share as a number from 0 to 1.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Whether `part` of `whole` is this share or more. An empty whole has no share.
    #[must_use]
    pub fn is_reached_by(self, part: u64, whole: u64) -> bool {
        whole > 0 && part as f64 >= self.0 * whole as f64
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", (self.0 * 1e6).round() / 1e4)
    }
}

impl FromStr for Ratio {
    type Err = ParseUnitError;

    /// `20%` or `0.2`.
    fn from_str(text: &str) -> Result<Self, ParseUnitError> {
        const ERROR: ParseUnitError = ParseUnitError("expected a share from 0% to 100%, as in \"20%\" or 0.2");
        let (number, per) = match text.strip_suffix('%') {
            Some(number) => (number, 100.0),
            None => (text, 1.0),
        };
        let parts = scaled(number, 1_000_000).ok_or(ERROR)?;
        Self::new(parts as f64 / 1e6 / per).map_err(|_| ERROR)
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

impl Bytes {
    /// `n` × 1024 bytes.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 10))
    }

    /// `n` × 1024² bytes.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n.saturating_mul(1 << 20))
    }

    /// The number, as an index into memory; saturates where memory is smaller.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) = SIZES
            .iter()
            .rev()
            .find(|(name, size)| (name.contains('i') || *size == 1) && self.0 != 0 && self.0.is_multiple_of(*size))
            .unwrap_or(&SIZES[0]);
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl FromStr for Bytes {
    type Err = ParseUnitError;

    /// `64KiB`, `1.5MB`, `512B`.
    fn from_str(text: &str) -> Result<Self, ParseUnitError> {
        const ERROR: ParseUnitError =
            ParseUnitError("expected a size in B, KB, MB, GB, KiB, MiB or GiB, as in \"64KiB\"");
        let split = text.find(|c: char| c.is_ascii_alphabetic()).ok_or(ERROR)?;
        let (number, unit) = text.split_at(split);
        let (_, size) = SIZES.iter().find(|(name, _)| *name == unit).ok_or(ERROR)?;
        scaled(number, *size).map(Self).ok_or(ERROR)
    }
}

/// So many in a period: `100/s`, `6000/m`. Never none: the word for not at all is `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: u64,
    per: Duration,
}

impl Rate {
    /// `count` in each `per`.
    ///
    /// # Errors
    /// [`OutOfRange`] when either is zero.
    pub fn new(count: u64, per: Duration) -> Result<Self, OutOfRange> {
        if count == 0 || per.is_zero() {
            return Err(OutOfRange { given: count as f64, accepted: "1 or more in a period that is not empty" });
        }
        Ok(Self { count, per })
    }

    /// `count` in each second; none counts as one.
    #[must_use]
    pub const fn per_second(count: u64) -> Self {
        Self { count: if count == 0 { 1 } else { count }, per: Duration::from_secs(1) }
    }

    /// How many.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.count
    }

    /// In which time.
    #[must_use]
    pub const fn per(self) -> Duration {
        self.per
    }

    /// The time between two of them, in nanoseconds, at least 1.
    #[must_use]
    pub fn interval_nanos(self) -> u64 {
        (self.per.as_nanos() / self.count).max(1)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = self.per.to_string();
        write!(
            f,
            "{}/{}",
            self.count,
            per.strip_prefix('1').filter(|unit| !unit.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(&per)
        )
    }
}

impl FromStr for Rate {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, ParseUnitError> {
        const ERROR: ParseUnitError =
            ParseUnitError("expected a whole number from 1 per s, m, h or d, as in \"100/s\" or \"6000/m\"");
        let (count, unit) = text.split_once('/').ok_or(ERROR)?;
        let per = match unit {
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3_600),
            "d" => Duration::from_secs(86_400),
            _ => return Err(ERROR),
        };
        Self::new(scaled(count, 1).filter(|_| !count.contains('.')).ok_or(ERROR)?, per).map_err(|_| ERROR)
    }
}

/// A ceiling, or none. There is no number that means "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit<T> {
    /// No ceiling: `"unlimited"`.
    Unlimited,
    /// At most this many.
    At(T),
}

impl<T: PartialOrd + Copy> Limit<T> {
    /// Whether `value` stays within the ceiling.
    pub fn allows(self, value: T) -> bool {
        match self {
            Self::Unlimited => true,
            Self::At(ceiling) => value <= ceiling,
        }
    }
}

impl<T: fmt::Display> fmt::Display for Limit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::At(ceiling) => ceiling.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_read_back_as_they_were_written() {
        for text in ["20%", "0%", "100%", "12.5%"] {
            assert_eq!(text.parse::<Ratio>().unwrap().to_string(), text);
        }
        assert_eq!("0.2".parse::<Ratio>().unwrap(), Ratio::percent(20));
        for text in ["64KiB", "1MiB", "1500B", "0B", "2GiB"] {
            assert_eq!(text.parse::<Bytes>().unwrap().to_string(), text);
        }
        for text in ["100/s", "6000/m", "1/h"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for text in ["101%", "-1%", "1.01", "20 %", "x"] {
            assert!(text.parse::<Ratio>().is_err(), "{text}");
        }
        for text in ["0/s", "1.5/s", "5", "5/w", "-5/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        for text in ["5", "5kb", "KiB", "-5B"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_of_nothing_is_never_reached() {
        assert!(!Ratio::ZERO.is_reached_by(0, 0));
        assert!(Ratio::percent(50).is_reached_by(1, 2));
        assert!(!Ratio::percent(50).is_reached_by(1, 3));
    }
}
