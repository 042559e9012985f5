//! A key's endpoint by one look into a table.
//!
//! Each endpoint has an order of its own over the places of a table whose size is prime; in turns, by weight, each takes
//! the first place of its order that is still free (Eisenbud et al.: "Maglev: A Fast and Reliable Software Network Load
//! Balancer", NSDI 2016). The shares differ by less than those of a ring, and a look-up costs the same whatever the number
//! of endpoints; when an endpoint comes or goes, a few keys move between the others too. An endpoint that cannot be used
//! keeps its places: its keys go to whoever has the next ones, and come back with it.

use std::net::SocketAddr;

use mainstay_core::{Purpose, Seed, below};

use super::ring::hash_of;

/// The sizes of a table, as in the paper: the larger one where the smaller would give an endpoint under 100 places.
const SIZES: [u64; 2] = [65_537, 655_373];
const PLACES_MIN: u64 = 100;

/// Places looked at before a key gives up on neighbours.
const STEPS_MAX: usize = 1024;

const NOBODY: u32 = u32::MAX;

/// The table of one service.
#[derive(Debug, Default)]
pub struct Maglev {
    places: Vec<u32>,
}

/// An endpoint while the table is filled.
struct Taker {
    slot: u32,
    weight: u64,
    offset: u64,
    skip: u64,
    /// How far it is in its order.
    next: u64,
    /// What it may take before others have had their turn, in shares of the heaviest.
    credit: u64,
}

impl Maglev {
    /// The table of these endpoints: address, weight and slot of each.
    pub fn build<'a>(&mut self, endpoints: impl Iterator<Item = (&'a SocketAddr, u32, u32)>) {
        let mut takers: Vec<Taker> = endpoints.map(taker).collect();
        self.places.clear();
        let count = takers.len() as u64;
        if count == 0 {
            return;
        }
        let size = SIZES.into_iter().find(|size| count * PLACES_MIN <= *size).unwrap_or(SIZES[1]);
        // The order of the list is no matter: the table is the same for the same endpoints.
        takers.sort_unstable_by_key(|taker| (taker.offset, taker.skip, taker.slot));
        let heaviest = takers.iter().map(|taker| taker.weight).max().unwrap_or(1);
        self.places.resize(size as usize, NOBODY);
        let mut free = size;
        while free > 0 {
            for taker in &mut takers {
                taker.credit += taker.weight;
                if taker.credit >= heaviest && free > 0 {
                    taker.credit -= heaviest;
                    self.take(taker, size);
                    free -= 1;
                }
            }
        }
    }

    fn take(&mut self, taker: &mut Taker, size: u64) {
        loop {
            let place = ((taker.offset % size + taker.next * (1 + taker.skip % (size - 1))) % size) as usize;
            taker.next += 1;
            if self.places[place] == NOBODY {
                self.places[place] = taker.slot;
                return;
            }
        }
    }

    /// The slot for `hash`, or of the next places the first usable one; `None` when none is near.
    pub fn pick(&self, hash: u64, is_usable: impl Fn(u32) -> bool) -> Option<u32> {
        let key = Seed::new(hash).draw(0, 0, Purpose::ChoiceB);
        let first = below(key, self.places.len() as u64) as usize;
        let (before, after) = self.places.split_at(first);
        after.iter().chain(before).take(STEPS_MAX).copied().find(|slot| is_usable(*slot))
    }
}

fn taker((address, weight, slot): (&SocketAddr, u32, u32)) -> Taker {
    let place = Seed::new(hash_of(address));
    let (offset, skip) = (place.draw(0, 0, Purpose::ChoiceA), place.draw(0, 0, Purpose::ChoiceB));
    Taker { slot, weight: u64::from(weight.max(1)), offset, skip, next: 0, credit: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEYS: u64 = 4_000;

    fn address(n: u32) -> SocketAddr {
        SocketAddr::from(([10, (n >> 16) as u8, (n >> 8) as u8, n as u8], 8080))
    }

    fn table(endpoints: &[(u32, u32)]) -> Maglev {
        let addresses: Vec<_> = endpoints.iter().map(|(name, weight)| (address(*name), *weight, *name)).collect();
        let mut table = Maglev::default();
        table.build(addresses.iter().map(|(address, weight, name)| (address, *weight, *name)));
        table
    }

    fn owners(endpoints: &[(u32, u32)]) -> Vec<u32> {
        let table = table(endpoints);
        (0..KEYS).map(|key| table.pick(key, |_| true).unwrap()).collect()
    }

    #[test]
    fn places_follow_the_weights_nearly_exactly() {
        let table = table(&[(1, 1), (2, 1), (3, 2)]);
        let share = |name| table.places.iter().filter(|owner| **owner == name).count() as f64 / 65_537.0;
        assert!((share(1) - 0.25).abs() < 0.001 && (share(3) - 0.5).abs() < 0.001, "{} {}", share(1), share(3));
    }

    #[test]
    fn the_order_of_the_list_is_no_matter_and_nobody_has_no_keys() {
        assert_eq!(owners(&[(1, 1), (2, 3), (3, 2)]), owners(&[(3, 2), (1, 1), (2, 3)]));
        assert_eq!(Maglev::default().pick(1, |_| true), None);
        assert_eq!(table(&[(1, 1)]).pick(1, |_| false), None);
    }

    #[test]
    fn the_keys_of_an_unusable_endpoint_spread_over_the_others_and_come_back() {
        let table = table(&[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]);
        let mut heirs = [0; 5];
        for key in 0..KEYS {
            let (owner, without) = (table.pick(key, |_| true).unwrap(), table.pick(key, |slot| slot != 2).unwrap());
            assert!(owner == 2 || owner == without, "the keys of the others stay");
            heirs[without as usize] += u32::from(owner == 2);
        }
        assert!(heirs.iter().enumerate().all(|(slot, keys)| (*keys == 0) == (slot == 2)), "{heirs:?}");
    }

    #[test]
    fn a_thousand_endpoints_have_a_larger_table() {
        let all: Vec<_> = (0..1_000).map(|name| (name, 1)).collect();
        assert_eq!(table(&all).places.len(), 655_373);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Law: when one of N endpoints leaves, its keys move, and of the others' fewer than one in ten.
        #[test]
        fn one_endpoint_more_or_less_moves_few_keys_of_others(
            names in prop::collection::btree_set(0u32..100_000, 2..24),
            out: prop::sample::Index,
        ) {
            let all: Vec<_> = names.iter().map(|name| (*name, 1)).collect();
            let gone = all[out.index(all.len())].0;
            let rest: Vec<_> = all.iter().copied().filter(|(name, _)| *name != gone).collect();
            let (before, after) = (owners(&all), owners(&rest));
            let kept = before.iter().zip(&after).filter(|(before, _)| **before != gone);
            let moved = kept.filter(|(before, after)| before != after).count();
            prop_assert!(after.iter().all(|owner| *owner != gone));
            prop_assert!((moved as u64) < KEYS / 10, "{moved} of {}", all.len());
        }
    }
}
