//! A key's endpoint, which is the same whoever asks and stays the same when others come and go.
//!
//! Each endpoint stands at many points of a ring of 64-bit numbers, as many as its weight says; a key belongs to the
//! endpoint of the first point at or after the key's own (Karger et al.: "Consistent Hashing and Random Trees", STOC
//! 1997). A point depends on nothing but the endpoint's address and the point's number, so every worker and every
//! gateway has the same ring, and a change of one endpoint moves no key between two others. An endpoint that cannot be
//! used keeps its points: its keys go to the endpoints of the next points, and come back with it.
//!
//! The number of points is bounded. Where weights add up to more, each unit of weight gets half as many points, or a
//! quarter: at such a step more keys move than one endpoint's.

use std::net::{IpAddr, SocketAddr};

use mainstay_core::{Purpose, Seed, fnv};

/// Points per unit of weight: enough for shares that differ by about a tenth.
const POINTS: u64 = 160;

/// Points of one ring at the most, but for one that each endpoint has at the least: 4 MiB.
const POINTS_MAX: u64 = 1 << 18;

/// Points looked at before a key gives up on neighbours; so many in a row are unusable only when nearly all are.
const STEPS_MAX: usize = 1024;

/// The ring of one service.
#[derive(Debug, Default)]
pub struct Ring {
    points: Vec<(u64, u32)>,
}

impl Ring {
    /// The ring of these endpoints: address, weight and slot of each.
    pub fn build<'a>(&mut self, endpoints: impl Iterator<Item = (&'a SocketAddr, u32, u32)> + Clone) {
        let total: u64 = endpoints.clone().map(|(_, weight, _)| u64::from(weight)).sum();
        let halvings = halvings(total);
        self.points.clear();
        for (address, weight, slot) in endpoints {
            let place = Seed::new(hash_of(address));
            let count = ((u64::from(weight) * POINTS) >> halvings).max(1);
            self.points.extend((0..count).map(|number| (place.draw(number, 0, Purpose::ChoiceA), slot)));
        }
        self.points.sort_unstable();
    }

    /// The slot of the first usable endpoint for `hash`, the key's own one first; `None` when none is near.
    pub fn pick(&self, hash: u64, is_usable: impl Fn(u32) -> bool) -> Option<u32> {
        // Mixed, because a caller's hash may be anything, as a customer's number.
        let key = Seed::new(hash).draw(0, 0, Purpose::ChoiceB);
        let first = self.points.partition_point(|(point, _)| *point < key);
        let (before, after) = self.points.split_at(first);
        after.iter().chain(before).take(STEPS_MAX).map(|(_, slot)| *slot).find(|slot| is_usable(*slot))
    }
}

/// How often the points of a unit of weight are halved so that all fit.
fn halvings(total: u64) -> u32 {
    let points = u128::from(total) * u128::from(POINTS);
    (0..64).find(|halvings| points >> halvings <= u128::from(POINTS_MAX)).unwrap_or(64)
}

/// The hash of an address; whoever uses it mixes it further.
pub(super) fn hash_of(address: &SocketAddr) -> u64 {
    let port = address.port().to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => fnv(ip.octets().into_iter().chain(port)),
        IpAddr::V6(ip) => fnv(ip.octets().into_iter().chain(port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEYS: u64 = 4_000;

    fn address(n: u32) -> SocketAddr {
        SocketAddr::from(([10, (n >> 16) as u8, (n >> 8) as u8, n as u8], 8080))
    }

    fn owners(endpoints: &[(u32, u32)]) -> Vec<u32> {
        let addresses: Vec<_> = endpoints.iter().map(|(name, weight)| (address(*name), *weight, *name)).collect();
        let mut ring = Ring::default();
        ring.build(addresses.iter().map(|(address, weight, name)| (address, *weight, *name)));
        (0..KEYS).map(|key| ring.pick(key, |_| true).unwrap()).collect()
    }

    #[test]
    fn shares_follow_the_weights() {
        let owners = owners(&[(1, 1), (2, 1), (3, 2)]);
        let share = |name| owners.iter().filter(|owner| **owner == name).count() as f64 / KEYS as f64;
        assert!((share(1) - 0.25).abs() < 0.06 && (share(3) - 0.5).abs() < 0.08, "{} {}", share(1), share(3));
    }

    #[test]
    fn the_keys_of_an_unusable_endpoint_spread_over_the_others_and_come_back() {
        let addresses: Vec<_> = (0..5).map(address).collect();
        let mut ring = Ring::default();
        ring.build(addresses.iter().zip(0..).map(|(address, slot)| (address, 1, slot)));
        let mut heirs = [0; 5];
        for key in 0..KEYS {
            let (owner, without) = (ring.pick(key, |_| true).unwrap(), ring.pick(key, |slot| slot != 2).unwrap());
            if owner == 2 {
                heirs[without as usize] += 1;
            } else {
                assert_eq!(owner, without, "the keys of the others stay");
            }
        }
        assert!(heirs.iter().enumerate().all(|(slot, keys)| (*keys == 0) == (slot == 2)), "{heirs:?}");
        assert_eq!(ring.pick(1, |_| false), None);
        assert_eq!(Ring::default().pick(1, |_| true), None);
    }

    #[test]
    fn the_ring_is_bounded_however_heavy_its_endpoints() {
        let addresses: Vec<_> = (0..3).map(address).collect();
        let mut ring = Ring::default();
        ring.build(addresses.iter().zip(0..).map(|(address, slot)| (address, u32::MAX, slot)));
        assert!((POINTS_MAX / 2..=POINTS_MAX).contains(&(ring.points.len() as u64)), "{}", ring.points.len());
        assert_eq!((halvings(1_000), halvings(10_000)), (0, 3), "160 points, and 20");
    }

    proptest! {
        /// Law: when one of N endpoints leaves, its keys move and no others; their share is about its weight's.
        /// (Read backwards: when one comes, it takes its share and moves nothing between the others.)
        #[test]
        fn one_endpoint_more_or_less_moves_only_its_own_keys(
            names in prop::collection::btree_set(0u32..100_000, 2..24),
            out: prop::sample::Index,
        ) {
            let all: Vec<_> = names.iter().map(|name| (*name, 1)).collect();
            let gone = all[out.index(all.len())].0;
            let rest: Vec<_> = all.iter().copied().filter(|(name, _)| *name != gone).collect();
            let (before, after) = (owners(&all), owners(&rest));
            let mut moved = 0;
            for (before, after) in before.iter().zip(&after) {
                prop_assert_ne!(*after, gone);
                if before != after {
                    prop_assert_eq!(*before, gone);
                    moved += 1;
                }
            }
            // The share of an endpoint with 160 points varies by 8 %, and 4,000 keys sample it; half as much again is
            // five standard deviations and more.
            prop_assert!(f64::from(moved) < 1.5 * KEYS as f64 / all.len() as f64, "{moved} of {}", all.len());
        }

        /// Law: a weight that grows takes keys and gives none.
        #[test]
        fn a_heavier_endpoint_only_gains(names in prop::collection::btree_set(0u32..100_000, 2..12)) {
            let light: Vec<_> = names.iter().map(|name| (*name, 1)).collect();
            let mut heavy = light.clone();
            heavy[0].1 = 2;
            for (before, after) in owners(&light).iter().zip(&owners(&heavy)) {
                prop_assert!(before == after || *after == heavy[0].0);
            }
        }
    }
}
