//! Which of the usable endpoints an attempt goes to.
//!
//! In: the candidates (who may be chosen now), a call's luck and hash, whom it has tried, who has room, and what each
//! would cost. Out: one candidate. Nothing here knows why an endpoint is usable; that is the fleet's part.
//!
//! Every rule takes constant or logarithmic time while endpoints have room, and none allocates. The rules are parts with
//! functions of their own instead of one trait: a ring wants a hash, a round wants its memory, two choices want costs.

mod candidates;
mod ring;
mod round_robin;
mod two_choices;

pub use candidates::{Candidates, Excluded};
pub use ring::Ring;
pub use round_robin::RoundRobin;

use mainstay_core::below;

use crate::Balance;

/// What a call brings to a choice.
#[derive(Debug, Clone, Copy)]
pub struct Luck {
    /// The draw for the first endpoint.
    pub first: u64,
    /// The draw for the second.
    pub second: u64,
    /// The hash of what the service balances on.
    pub hash: u64,
}

/// The configured rule and what it remembers.
#[derive(Debug, Default)]
pub struct Balancer {
    rule: Balance,
    round: RoundRobin,
    ring: Ring,
}

impl Balancer {
    /// The rule `rule`, with nothing to remember yet.
    #[must_use]
    pub fn new(rule: Balance) -> Self {
        Self { rule, ..Self::default() }
    }

    /// The rule.
    #[must_use]
    pub fn rule(&self) -> Balance {
        self.rule
    }

    /// The ring, to be built anew when endpoints come or go or change their weight.
    pub fn ring_mut(&mut self) -> &mut Ring {
        &mut self.ring
    }

    /// The candidates have changed.
    pub fn restart(&mut self, candidates: &Candidates) {
        self.round.restart(candidates);
    }

    /// Whether the key of a call belongs to `slot`; true for every rule without keys.
    #[must_use]
    pub fn suits(&self, hash: u64, slot: u32) -> bool {
        self.rule != Balance::RingHash || self.ring.pick(hash, |_| true) == Some(slot)
    }

    /// The place of the candidate to go to, `None` when all are excluded or none is open.
    ///
    /// `is_open` has the last word and must refuse the excluded too.
    pub fn pick(
        &mut self,
        candidates: &Candidates,
        luck: &Luck,
        excluded: &Excluded,
        is_open: impl Fn(usize) -> bool,
        cost: impl Fn(usize) -> f64,
    ) -> Option<usize> {
        match self.rule {
            Balance::RoundRobin => self.round.next(candidates, is_open),
            Balance::Random => two_choices::one(candidates, luck.first, excluded, is_open),
            Balance::LeastRequest | Balance::PeakEwma | Balance::Adaptive => {
                two_choices::pick(candidates, (luck.first, luck.second), excluded, is_open, cost)
            }
            Balance::RingHash => self.by_key(candidates, luck.hash, is_open),
        }
    }

    fn by_key(&self, candidates: &Candidates, hash: u64, is_open: impl Fn(usize) -> bool) -> Option<usize> {
        let near = self.ring.pick(hash, |slot| candidates.place(slot).is_some_and(&is_open));
        near.and_then(|slot| candidates.place(slot)).or_else(|| {
            // Nearly all points of the ring are closed: any open candidate, but always the same one for a key.
            let first = below(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15), candidates.len() as u64) as usize;
            (first..candidates.len()).chain(0..first).find(|place| is_open(*place))
        })
    }
}
