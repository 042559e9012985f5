//! Luck from a seed: what is drawn for one purpose shifts nothing that is drawn for another.

/// Draws numbers: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
#[derive(Debug, Clone)]
pub(crate) struct Luck(u64);

impl Luck {
    /// The luck of somebody, by a number of its own.
    pub(crate) fn of(seed: u64, who: u64) -> Self {
        let mut luck = Self(seed ^ who.wrapping_mul(0xd134_2543_de82_ef95));
        luck.next();
        luck
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is above 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }

    /// Whether something happens that does so many times of a hundred.
    pub(crate) fn hits(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// So many milliseconds, at least the first and below the second.
    pub(crate) fn millis(&mut self, from: u64, to: u64) -> std::time::Duration {
        std::time::Duration::from_millis(from + self.below(to - from))
    }
}
