//! A hash that means the same everywhere.
//!
//! `ring_hash` sends a key to an endpoint by its hash, so two gateways, and one gateway before and after a restart, must
//! agree on it: the standard library's hasher has another secret in each process. It takes eight bytes at a time by
//! multiplication and ends with the finaliser of SplitMix64, like [`mainstay_core::Seed`]. It withstands no adversary:
//! who can choose keys can make them meet on one endpoint, which a client may do with any stickiness. Where collisions
//! would cost us memory or time the keys are a configuration's, and [`crate::limits`] has a secret.

use std::hash::{BuildHasher, Hasher};

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The state between two parts of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StableHasher(u64);

impl StableHasher {
    /// Begins a key; a key of several parts differs from the same bytes in one part.
    #[must_use]
    pub(crate) const fn new() -> Self {
        Self(0x6d61_696e_7374_6179)
    }
}

impl Default for StableHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut state = self.0 ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            state = fold(state ^ u64::from_le_bytes(*word));
        }
        let last = rest.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte));
        self.0 = fold(state ^ last);
    }

    fn finish(&self) -> u64 {
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl BuildHasher for StableHasher {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

/// Both halves of the product: the low half alone would never carry a high bit down.
const fn fold(value: u64) -> u64 {
    let product = (value ^ 0x2545_f491_4f6c_dd1d) as u128 * MULTIPLIER as u128;
    (product as u64) ^ ((product >> 64) as u64)
}

/// The hash of one key.
#[must_use]
pub(crate) fn stable_hash(key: &[u8]) -> u64 {
    let mut hasher = StableHasher::new();
    hasher.write(key);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn two_gateways_agree_on_a_key() {
        // Written down on purpose: another value would move every key of every user at an upgrade.
        assert_eq!(stable_hash(b""), 0x2810_9311_4bf5_1a4d);
        assert_eq!(stable_hash(b"203.0.113.7"), 0x2b31_ee7a_62e4_a918);
    }

    #[test]
    fn near_keys_spread_evenly() {
        let hashes: Vec<u64> = (0..160_000).map(|n| stable_hash(format!("user-{n}").as_bytes())).collect();
        assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), hashes.len(), "no two of them meet");
        for shift in [0, 30, 60] {
            let mut buckets = [0u32; 16];
            hashes.iter().for_each(|hash| buckets[(hash >> shift) as usize % 16] += 1);
            // 10,000 expected in each; six standard deviations are 581.
            assert!(buckets.iter().all(|n| n.abs_diff(10_000) < 581), "{shift}: {buckets:?}");
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let hash = |parts: [&str; 2]| {
            let mut hasher = StableHasher::new();
            parts.iter().for_each(|part| hasher.write(part.as_bytes()));
            hasher.finish()
        };
        assert_ne!(hash(["ab", "c"]), hash(["a", "bc"]));
        assert_ne!(hash(["", "a"]), hash(["a", ""]));
        assert_ne!(stable_hash(b"a"), stable_hash(b"a\0"));
    }
}
