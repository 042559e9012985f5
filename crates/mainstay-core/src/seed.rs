//! Luck that can be repeated.
//!
//! A generator with a state gives every later draw another value as soon as one draw is added before it. Here a draw is
//! a function of who draws, for which call, in which attempt and for what: two configurations can be compared on the
//! same luck, and one more draw in one place shifts no other. The mixing function is the finaliser of SplitMix64
//! (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
//!
//! This is version 1 of the scheme; another version would be another type, because stored seeds must keep their meaning.

use crate::fnv::fnv;

/// Where all luck of one owner comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(u64);

/// What a draw is for. Every use has its own, so that uses do not disturb each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Purpose {
    /// The first endpoint looked at.
    ChoiceA = 1,
    /// The second endpoint looked at.
    ChoiceB = 2,
    /// The length of a backoff.
    Backoff = 3,
    /// Which side of a weighted split a call takes.
    Split = 4,
    /// When an active check is due.
    CheckJitter = 5,
    /// Whether a call is chosen for a sample.
    Sample = 7,
    /// The bytes of an id.
    Id = 8,
    /// When a refused call is to come again.
    RetryAfter = 9,
    /// Whether a copy of a call goes to another service.
    Mirror = 10,
    /// Whether a drill's fault hits an attempt.
    Fault = 16,
    /// Whether a call stays in its zone.
    Zone = 17,
}

impl Seed {
    /// The seed `value`.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The seed as a number, to be printed and used again.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// A seed of its own for the part named `label`.
    #[must_use]
    pub fn derive(self, label: &str) -> Self {
        // The labels are few and ours.
        Self(mix(self.0 ^ mix(fnv(label.bytes()))))
    }

    /// 64 evenly distributed bits for the `counter`-th subject (a call), its `attempt` and a `purpose`.
    #[must_use]
    pub const fn draw(self, counter: u64, attempt: u32, purpose: Purpose) -> u64 {
        mix(mix(self.0 ^ mix(counter)) ^ ((attempt as u64) << 32 | purpose as u64))
    }
}

const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A draw as a number in `0.0..1.0`, with 53 bits.
#[must_use]
pub fn unit(draw: u64) -> f64 {
    (draw >> 11) as f64 / (1u64 << 53) as f64
}

/// A draw as a number in `0..bound` (Lemire's multiplication; the bias is under `bound / 2⁶⁴`). Zero for an empty range.
#[must_use]
pub const fn below(draw: u64, bound: u64) -> u64 {
    ((draw as u128 * bound as u128) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_keeps_its_meaning() {
        // Stored seeds must give the same luck in every later version.
        let seed = Seed::new(1);
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf, "the first output of SplitMix64 from zero");
        assert_eq!(seed.draw(7, 0, Purpose::ChoiceA), seed.draw(7, 0, Purpose::ChoiceA));
        assert_ne!(seed.draw(7, 0, Purpose::ChoiceA), seed.draw(7, 0, Purpose::ChoiceB));
        assert_ne!(seed.draw(7, 0, Purpose::ChoiceA), seed.draw(7, 1, Purpose::ChoiceA));
        assert_ne!(seed.derive("a"), seed.derive("b"));
    }

    #[test]
    fn draws_are_even() {
        let seed = Seed::new(42);
        let mut buckets = [0u32; 16];
        for call in 0..160_000 {
            buckets[below(seed.draw(call, 0, Purpose::ChoiceA), 16) as usize] += 1;
        }
        // 10,000 expected in each; six standard deviations are 581.
        assert!(buckets.iter().all(|n| n.abs_diff(10_000) < 581), "{buckets:?}");
    }
}
