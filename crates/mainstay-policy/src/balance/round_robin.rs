//! Each in turn, by weight, evenly spread.
//!
//! With equal weights a cursor goes round. With others, the turns of an endpoint of weight w among a total of W are
//! spread over time: its turn number j may come no earlier than at j·W/w and is due before (j+1)·W/w, and of the turns
//! that may come the one that is due first does. No endpoint is ever a whole turn ahead of its share or behind it
//! (R. Tijdeman: "The chairman assignment problem", Discrete Mathematics 32, 1980), so there are no bursts, and a cycle
//! of W turns holds each endpoint exactly w times. Nginx's smooth rule gives the same shares, but looks at every
//! endpoint for every call; two heaps need the logarithm of that.
//!
//! An endpoint that cannot take its turn loses it. Were it kept, an endpoint that was busy for a while would get all the
//! lost turns at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Candidates;

/// Whose turn it is.
#[derive(Debug, Default)]
pub struct RoundRobin {
    /// The slot after the last one chosen: where an equal round goes on, also when the candidates changed.
    next_slot: u32,
    /// The number of the present turn.
    now: u64,
    /// Turns that may come, by when they are due.
    open: BinaryHeap<Reverse<Turn>>,
    /// Turns that may not come yet, by when they may.
    later: BinaryHeap<Reverse<Turn>>,
    passed: Vec<Turn>,
}

/// The next turn of one candidate: a key that orders it in its heap, its place, and how many it has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    key: u64,
    place: u32,
    number: u64,
}

impl RoundRobin {
    /// Begins anew after the candidates changed.
    pub fn restart(&mut self, candidates: &Candidates) {
        self.now = 0;
        self.open.clear();
        self.later.clear();
        if candidates.has_equal_weights() {
            return;
        }
        for heap in [&mut self.open, &mut self.later] {
            heap.reserve(candidates.len());
        }
        self.passed.reserve(candidates.len());
        for place in 0..candidates.len() as u32 {
            self.later.push(Reverse(Turn { key: 0, place, number: 0 }));
        }
    }

    /// The place of the next candidate that `is_open`.
    pub fn next(&mut self, candidates: &Candidates, is_open: impl Fn(usize) -> bool) -> Option<usize> {
        let place = if candidates.has_equal_weights() {
            self.next_of_equals(candidates, is_open)
        } else {
            self.next_by_weight(candidates, is_open)
        }?;
        self.next_slot = candidates.slot(place).wrapping_add(1);
        Some(place)
    }

    fn next_of_equals(&self, candidates: &Candidates, is_open: impl Fn(usize) -> bool) -> Option<usize> {
        let first = candidates.first_from(self.next_slot);
        (first..candidates.len()).chain(0..first).find(|place| is_open(*place))
    }

    fn next_by_weight(&mut self, candidates: &Candidates, is_open: impl Fn(usize) -> bool) -> Option<usize> {
        self.release(candidates);
        let mut found = None;
        // Should none that may come be able to, the one that may come soonest is taken before its time.
        while let Some(Reverse(turn)) = self.open.pop().or_else(|| self.later.pop()) {
            self.passed.push(turn);
            if is_open(turn.place as usize) {
                found = Some(turn.place as usize);
                break;
            }
        }
        while let Some(turn) = self.passed.pop() {
            self.later.push(Reverse(self.following(candidates, turn)));
        }
        self.now += u64::from(found.is_some());
        found
    }

    /// The turn after one that was taken or lost: the next by number, but none that is long past, and none that pays for
    /// a turn taken in another's place.
    fn following(&self, candidates: &Candidates, turn: Turn) -> Turn {
        let share = |turns: u64| u128::from(turns) * u128::from(candidates.weight(turn.place as usize));
        let total = u128::from(candidates.total());
        let least = whole(share(self.now) / total);
        let most = whole(share(self.now + 1).div_ceil(total));
        let number = (turn.number + 1).clamp(least, most);
        Turn { key: after_turns(candidates, turn.place, number).0, place: turn.place, number }
    }

    /// Lets the turns come whose time it is.
    fn release(&mut self, candidates: &Candidates) {
        while let Some(Reverse(turn)) = self.later.peek().copied().filter(|turn| turn.0.key <= self.now) {
            self.later.pop();
            let due = after_turns(candidates, turn.place, turn.number + 1).1;
            self.open.push(Reverse(Turn { key: due, ..turn }));
        }
    }
}

/// The point `number`·W/w on a candidate's line of turns, rounded down and up.
fn after_turns(candidates: &Candidates, place: u32, number: u64) -> (u64, u64) {
    let (turns, weight) =
        (u128::from(number) * u128::from(candidates.total()), candidates.weight(place as usize).into());
    (whole(turns / weight), whole(turns.div_ceil(weight)))
}

fn whole(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidates(weights: &[u32]) -> Candidates {
        let mut candidates = Candidates::default();
        candidates.reserve(weights.len());
        candidates.fill(weights.iter().enumerate().map(|(slot, weight)| (slot as u32, *weight)));
        candidates
    }

    fn turns(weights: &[u32], count: usize) -> String {
        let candidates = candidates(weights);
        let mut round = RoundRobin::default();
        round.restart(&candidates);
        (0..count).map(|_| char::from(b'a' + round.next(&candidates, |_| true).unwrap() as u8)).collect()
    }

    #[test]
    fn heavy_and_light_take_turns_without_bursts() {
        assert_eq!(turns(&[1, 1, 1], 7), "abcabca");
        assert_eq!(turns(&[5, 1, 1], 14), "aaabaacaaabaac");
        assert_eq!(turns(&[1, 3], 8), "bbabbbab");
    }

    #[test]
    fn who_cannot_take_a_turn_loses_it() {
        let candidates = candidates(&[2, 1]);
        let mut round = RoundRobin::default();
        round.restart(&candidates);
        for _ in 0..30 {
            assert_eq!(round.next(&candidates, |place| place == 1), Some(1));
        }
        let after: Vec<_> = (0..6).filter_map(|_| round.next(&candidates, |_| true)).collect();
        assert!(after.windows(4).any(|four| four.contains(&1)), "the lost turns do not all come now: {after:?}");
        assert_eq!(round.next(&candidates, |_| false), None);
    }

    #[test]
    fn a_round_goes_on_where_it_was_when_somebody_leaves() {
        let mut candidates = candidates(&[1, 1, 1, 1]);
        let mut round = RoundRobin::default();
        assert_eq!(round.next(&candidates, |_| true), Some(0));
        assert_eq!(round.next(&candidates, |_| true), Some(1));
        candidates.fill([(0, 1), (2, 1), (3, 1)].into_iter());
        round.restart(&candidates);
        let slot = round.next(&candidates, |_| true).map(|place| candidates.slot(place));
        assert_eq!(slot, Some(2));
    }

    proptest! {
        /// Laws: a cycle holds each exactly as often as its weight says, and at no time is anybody a whole turn ahead of
        /// its share or behind it.
        #[test]
        fn shares_are_exact_and_nobody_bursts(weights in prop::collection::vec(1u32..30, 1..12)) {
            let candidates = candidates(&weights);
            let total: u32 = if candidates.has_equal_weights() { weights.len() as u32 } else { weights.iter().sum() };
            let mut round = RoundRobin::default();
            round.restart(&candidates);
            let mut count = vec![0u32; weights.len()];
            for turn in 1..=3 * total {
                count[round.next(&candidates, |_| true).unwrap()] += 1;
                for (place, count) in count.iter().enumerate() {
                    let share = f64::from(turn) * candidates.weight(place) as f64 / f64::from(total);
                    prop_assert!((f64::from(*count) - share).abs() < 1.0, "turn {turn}, {place}: {count} of {share}");
                }
            }
            for (place, count) in count.iter().enumerate() {
                prop_assert_eq!(u64::from(*count), 3 * candidates.weight(place));
            }
        }
    }
}
