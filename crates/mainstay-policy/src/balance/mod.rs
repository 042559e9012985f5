//! Which of the usable endpoints an attempt goes to.
//!
//! In: the candidates (who may be chosen now), a call's luck and hash, whom it has tried, who has room, and what each
//! would cost. Out: one candidate. Nothing here knows why an endpoint is usable; that is the fleet's part.
//!
//! Every rule takes constant or logarithmic time while endpoints have room, and none allocates. The rules are parts with
//! functions of their own instead of one trait: a ring wants a hash, a round wants its memory, two choices want costs.

mod candidates;
mod maglev;
mod ring;
mod round_robin;
mod two_choices;

pub use candidates::{Candidates, Excluded};
pub use maglev::Maglev;
pub use ring::Ring;
pub use round_robin::RoundRobin;

use std::net::SocketAddr;

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
    maglev: Maglev,
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

    /// Deals the keys out anew: when endpoints come or go or change their weight.
    pub fn build<'a>(&mut self, endpoints: impl Iterator<Item = (&'a SocketAddr, u32, u32)> + Clone) {
        match self.rule {
            Balance::RingHash => self.ring.build(endpoints),
            Balance::Maglev => self.maglev.build(endpoints),
            _ => {}
        }
    }

    /// Whether a call's key says where it goes.
    #[must_use]
    pub fn goes_by_key(&self) -> bool {
        self.rule.goes_by_key()
    }

    /// The candidates have changed.
    pub fn restart(&mut self, candidates: &Candidates) {
        self.round.restart(candidates);
    }

    /// Whether the key of a call belongs to `slot`; true for every rule without keys.
    #[must_use]
    pub fn suits(&self, hash: u64, slot: u32) -> bool {
        !self.goes_by_key() || self.owner(hash, |_| true) == Some(slot)
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
            Balance::RingHash | Balance::Maglev => self.by_key(candidates, luck.hash, is_open),
        }
    }

    fn owner(&self, hash: u64, is_usable: impl Fn(u32) -> bool) -> Option<u32> {
        match self.rule {
            Balance::Maglev => self.maglev.pick(hash, is_usable),
            _ => self.ring.pick(hash, is_usable),
        }
    }

    fn by_key(&self, candidates: &Candidates, hash: u64, is_open: impl Fn(usize) -> bool) -> Option<usize> {
        let near = self.owner(hash, |slot| candidates.place(slot).is_some_and(&is_open));
        near.and_then(|slot| candidates.place(slot)).or_else(|| {
            // Nearly all near the key are closed: any open candidate, but always the same one for a key.
            let first = below(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15), candidates.len() as u64) as usize;
            (first..candidates.len()).chain(0..first).find(|place| is_open(*place))
        })
    }
}
