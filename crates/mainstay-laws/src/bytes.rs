//! Bytes as a source of choices, and of pieces in which others of them arrive.

/// Choices drawn from bytes; when they are used up every choice is the first one.
#[derive(Debug, Clone)]
pub(crate) struct Choices<'a> {
    bytes: &'a [u8],
}

impl<'a> Choices<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) const fn are_left(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// A number below `bound`, which is at most 2^16.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let mut take = || self.bytes.split_off_first().map_or(0, |byte| u32::from(*byte));
        let drawn = if bound <= 256 { take() } else { take() | take() << 8 };
        drawn % bound.max(1)
    }

    pub(crate) fn one_in(&mut self, n: u32) -> bool {
        self.below(n) + 1 == n
    }

    pub(crate) fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len() as u32) as usize]
    }
}

/// A connection's bytes as a driver sees them that reads them in pieces.
#[derive(Debug)]
pub(crate) struct Arriving<'a> {
    input: &'a [u8],
    begin: usize,
    end: usize,
    cuts: u8,
}

impl<'a> Arriving<'a> {
    /// All at once for `cuts` of zero; otherwise in pieces of lengths that follow from it.
    pub(crate) fn new(input: &'a [u8], cuts: u8) -> Self {
        let mut arriving = Self { input, begin: 0, end: 0, cuts };
        arriving.more();
        arriving
    }

    pub(crate) fn unread(&self) -> &'a [u8] {
        &self.input[self.begin..self.end]
    }

    pub(crate) fn consume(&mut self, consumed: usize) {
        assert!(consumed <= self.end - self.begin, "more was consumed than there was");
        self.begin += consumed;
    }

    /// Whether another piece came.
    pub(crate) fn more(&mut self) -> bool {
        let before = self.end;
        let piece = if self.cuts == 0 { self.input.len() } else { usize::from(self.cuts % 29) + 1 };
        self.cuts = self.cuts.wrapping_mul(5).wrapping_add(u8::from(self.cuts > 0) * 7).max(u8::from(self.cuts > 0));
        self.end = (self.end + piece).min(self.input.len());
        self.end > before
    }

    pub(crate) const fn left(&self) -> usize {
        self.input.len() - self.begin
    }
}

/// The first byte, and the rest.
pub(crate) fn split_first(bytes: &[u8]) -> (u8, &[u8]) {
    bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest))
}
