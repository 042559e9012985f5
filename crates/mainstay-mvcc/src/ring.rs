//! A queue that is numbered from the beginning of the world and grows without moving what is in it.
//!
//! One that doubles copies everything when it is full, which for millions of entries is a pause that every writer feels.
//! This one grows by blocks, and gives a block back when its last entry has left.

use std::collections::VecDeque;

const BLOCK: usize = 512;

#[derive(Debug)]
pub(crate) struct Ring<T> {
    blocks: VecDeque<Block<T>>,
    /// The number of the first entry; it lies in the first block.
    first: u64,
    /// The number that the next entry gets.
    end: u64,
}

#[derive(Debug)]
struct Block<T> {
    entries: Vec<Option<T>>,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self::starting(0)
    }
}

impl<T> Ring<T> {
    /// An empty one, whose first entry gets this number.
    pub(crate) fn starting(first: u64) -> Self {
        Self { blocks: VecDeque::new(), first, end: first }
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn push(&mut self, entry: T) {
        let block = self.place(self.end).0;
        if block == self.blocks.len() {
            // The first block of an empty ring may begin in its middle: numbers tell where an entry lies.
            let mut entries = Vec::with_capacity(BLOCK);
            entries.resize_with((self.end % BLOCK as u64) as usize, || None);
            self.blocks.push_back(Block { entries });
        }
        self.blocks[block].entries.push(Some(entry));
        self.end += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.first == self.end {
            return None;
        }
        let (block, at) = self.place(self.first);
        let entry = self.blocks[block].entries[at].take();
        self.first += 1;
        if self.first == self.end {
            self.blocks.clear();
        } else if self.first.is_multiple_of(BLOCK as u64) {
            self.blocks.pop_front();
        }
        entry
    }

    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        if number < self.first || number >= self.end {
            return None;
        }
        let (block, at) = self.place(number);
        self.blocks.get(block)?.entries.get(at)?.as_ref()
    }

    fn place(&self, number: u64) -> (usize, usize) {
        let block = number / BLOCK as u64 - self.first / BLOCK as u64;
        (block as usize, (number % BLOCK as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_their_numbers_while_the_ring_moves_on() {
        let mut ring = Ring::starting(700);
        for round in 0..20u64 {
            for _ in 0..300 {
                ring.push(ring.end());
            }
            for _ in 0..250 + round {
                assert_eq!(ring.pop(), Some(ring.first() - 1));
            }
            assert!((ring.first()..ring.end()).all(|number| ring.get(number) == Some(&number)));
            assert_eq!((ring.get(ring.first() - 1), ring.get(ring.end())), (None, None));
        }
        while ring.pop().is_some() {}
        assert!(ring.blocks.is_empty());
        ring.push(ring.end());
        assert_eq!(ring.get(ring.first()), Some(&ring.first()));
    }
}
