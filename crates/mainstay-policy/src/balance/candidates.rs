//! The endpoints among which a balancer chooses, laid out for cheap draws.

use mainstay_core::below;

/// The set that is open to the next calls. It changes when an endpoint's state does, not from call to call.
///
/// Equal weights draw in constant time; other weights by a binary search over running sums. Members stand in the order
/// of their slots.
#[derive(Debug, Default)]
pub struct Candidates {
    members: Vec<Member>,
    /// Sums of the weights up to and with each member; empty while all weights are equal.
    sums: Vec<u64>,
    /// Place among the members, by slot.
    places: Vec<u32>,
    total: u64,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    slot: u32,
    weight: u32,
}

const NOWHERE: u32 = u32::MAX;

impl Candidates {
    /// Nobody, with room for the slots `0..slots`, so that filling it anew allocates nothing.
    pub fn reserve(&mut self, slots: usize) {
        self.members.reserve(slots.saturating_sub(self.members.len()));
        self.sums.reserve(slots.saturating_sub(self.sums.len()));
        if self.places.len() < slots {
            self.places.resize(slots, NOWHERE);
        }
    }

    /// Makes `members` (slot and weight of each, by ascending slots below the reserved number) the candidates.
    pub fn fill(&mut self, members: impl Iterator<Item = (u32, u32)>) {
        self.members.clear();
        self.sums.clear();
        self.places.fill(NOWHERE);
        for (slot, weight) in members {
            if let Some(place) = self.places.get_mut(slot as usize) {
                *place = self.members.len() as u32;
                self.members.push(Member { slot, weight: weight.max(1) });
            }
        }
        self.total = self.members.len() as u64;
        if self.members.windows(2).all(|pair| pair[0].weight == pair[1].weight) {
            return;
        }
        self.total = 0;
        for member in &self.members {
            self.total += u64::from(member.weight);
            self.sums.push(self.total);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether each is as heavy as the others.
    #[must_use]
    pub fn has_equal_weights(&self) -> bool {
        self.sums.is_empty()
    }

    /// The first place whose slot is `slot` or higher, or the first of all.
    #[must_use]
    pub fn first_from(&self, slot: u32) -> usize {
        let place = self.members.partition_point(|member| member.slot < slot);
        if place == self.members.len() { 0 } else { place }
    }

    /// The place of a slot among the members.
    #[must_use]
    pub fn place(&self, slot: u32) -> Option<usize> {
        self.places.get(slot as usize).copied().filter(|place| *place != NOWHERE).map(|place| place as usize)
    }

    /// The slot at a place below [`Candidates::len`].
    #[must_use]
    pub fn slot(&self, place: usize) -> u32 {
        self.members[place].slot
    }

    /// The weight at a place below [`Candidates::len`]: 1 when all are equal.
    #[must_use]
    pub fn weight(&self, place: usize) -> u64 {
        if self.sums.is_empty() { 1 } else { u64::from(self.members[place].weight) }
    }

    /// The sum of all weights.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How much room a place has against the average one, inverted: 1 for an average weight, ½ for one twice as heavy.
    #[must_use]
    pub fn lightness(&self, place: usize) -> f64 {
        if self.sums.is_empty() {
            return 1.0;
        }
        self.total as f64 / (self.members.len() as f64 * f64::from(self.members[place].weight))
    }

    /// A place drawn by weight among those that are not excluded; `None` when none is left.
    #[must_use]
    pub fn draw(&self, luck: u64, excluded: &Excluded) -> Option<usize> {
        let gone: u64 = excluded.iter().map(|place| self.weight(place)).sum();
        let rest = self.total.checked_sub(gone).filter(|rest| *rest > 0)?;
        let mut point = below(luck, rest);
        // The excluded are cut out of the line of weights: a point behind a cut moves up by its width.
        for place in excluded.iter() {
            if point < self.before(place) {
                break;
            }
            point += self.weight(place);
        }
        Some(self.at(point))
    }

    fn before(&self, place: usize) -> u64 {
        match place.checked_sub(1) {
            None => 0,
            Some(last) => self.sums.get(last).copied().unwrap_or(place as u64),
        }
    }

    fn at(&self, point: u64) -> usize {
        if self.sums.is_empty() { point as usize } else { self.sums.partition_point(|sum| *sum <= point) }
    }
}

/// Places left out of a draw, in order: as many as a call may have tried ([`crate::ATTEMPTS_MAX`]).
#[derive(Debug, Clone, Copy, Default)]
pub struct Excluded {
    places: [u32; Self::MOST],
    len: usize,
}

impl Excluded {
    const MOST: usize = 16;

    /// Leaves `place` out too; does nothing when it is full.
    pub fn insert(&mut self, place: usize) {
        let place = place as u32;
        let at = self.places[..self.len].partition_point(|other| *other < place);
        if self.len == Self::MOST || self.places[..self.len].get(at) == Some(&place) {
            return;
        }
        self.places.copy_within(at..self.len, at + 1);
        self.places[at] = place;
        self.len += 1;
    }

    /// How many are left out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody is left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `place` is left out.
    #[must_use]
    pub fn contains(&self, place: usize) -> bool {
        self.places[..self.len].contains(&(place as u32))
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.places[..self.len].iter().map(|place| *place as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::{Purpose, Seed};
    use proptest::prelude::*;

    pub(crate) fn candidates(weights: &[u32]) -> Candidates {
        let mut candidates = Candidates::default();
        candidates.reserve(weights.len());
        candidates.fill(weights.iter().enumerate().map(|(slot, weight)| (slot as u32, *weight)));
        candidates
    }

    proptest! {
        /// Law: each is drawn as often as its weight says, and the excluded are never drawn.
        #[test]
        fn a_draw_follows_the_weights(
            weights in prop::collection::vec(1u32..20, 2..12),
            out in prop::collection::vec(0usize..12, 0..4),
            seed: u64,
        ) {
            const DRAWS: u64 = 20_000;
            let candidates = candidates(&weights);
            let mut excluded = Excluded::default();
            out.iter().filter(|place| **place < weights.len()).for_each(|place| excluded.insert(*place));
            let mut count = vec![0u64; weights.len()];
            for call in 0..DRAWS {
                if let Some(place) = candidates.draw(Seed::new(seed).draw(call, 0, Purpose::ChoiceA), &excluded) {
                    count[place] += 1;
                }
            }
            let total: u64 = (0..weights.len()).filter(|p| !excluded.contains(*p)).map(|p| u64::from(weights[p])).sum();
            for place in 0..weights.len() {
                let share = if excluded.contains(place) { 0 } else { u64::from(weights[place]) };
                let want = (DRAWS * share) as f64 / total.max(1) as f64;
                // Six standard deviations of a binomial count.
                prop_assert!((count[place] as f64 - want).abs() <= 6.0 * want.sqrt() + 1e-9, "{count:?} {weights:?}");
            }
        }
    }

    #[test]
    fn equal_weights_are_equal_whatever_the_number() {
        let heavy = candidates(&[7, 7, 7]);
        assert_eq!((heavy.total(), heavy.weight(1), heavy.lightness(2)), (3, 1, 1.0));
        let mixed = candidates(&[3, 1]);
        assert_eq!((mixed.lightness(0), mixed.lightness(1)), (2.0 / 3.0, 2.0));
    }
}
