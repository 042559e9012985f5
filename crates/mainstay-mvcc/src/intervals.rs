//! Which of many spans a key lies in.
//!
//! A search tree over the beginnings, in which each node knows the farthest end below it, so that a key costs the depth
//! of the tree and what it hits. It is a treap: balanced by drawn priorities, which are the same in every run.

use bytes::Bytes;

use crate::span::{End, Span};

/// Spans of more than one key, each with a list of numbers.
#[derive(Debug, Default)]
pub(crate) struct Intervals {
    nodes: Vec<Node>,
    free: Vec<u32>,
    root: Option<u32>,
    drawn: u64,
}

#[derive(Debug)]
struct Node {
    from: Bytes,
    end: Upper,
    /// The farthest end of the spans in and below this node.
    farthest: Upper,
    priority: u64,
    left: Option<u32>,
    right: Option<u32>,
    numbers: Vec<u32>,
}

/// Where a span ends; nothing lies beyond an open one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Upper {
    Before(Bytes),
    Open,
}

impl Upper {
    fn of(span: &Span) -> Self {
        match &span.end {
            End::Before(end) => Self::Before(end.clone()),
            End::Open | End::Single => Self::Open,
        }
    }

    fn is_above(&self, key: &[u8]) -> bool {
        match self {
            Self::Before(end) => key < &end[..],
            Self::Open => true,
        }
    }
}

impl Intervals {
    /// The numbers of this span, which is there from now on.
    pub(crate) fn entry(&mut self, span: &Span) -> &mut Vec<u32> {
        let end = Upper::of(span);
        let at = match self.find(&span.from, &end) {
            Some(at) => at,
            None => {
                let at = self.node(span.from.clone(), end);
                self.root = Some(self.insert(self.root, at));
                at
            }
        };
        &mut self.nodes[at as usize].numbers
    }

    /// Takes a span out if it has no numbers.
    pub(crate) fn leave_if_empty(&mut self, span: &Span) {
        let end = Upper::of(span);
        if let Some(at) = self.find(&span.from, &end).filter(|at| self.nodes[*at as usize].numbers.is_empty()) {
            self.root = self.remove(self.root, at);
            self.free.push(at);
        }
    }

    /// Calls with the numbers of each span that the key lies in.
    pub(crate) fn stab(&self, key: &[u8], mut hit: impl FnMut(&[u32])) {
        self.stab_below(self.root, key, &mut hit);
    }

    fn stab_below(&self, at: Option<u32>, key: &[u8], hit: &mut impl FnMut(&[u32])) {
        let Some(node) = at.map(|at| &self.nodes[at as usize]).filter(|node| node.farthest.is_above(key)) else {
            return;
        };
        self.stab_below(node.left, key, hit);
        if node.from[..] <= *key {
            if node.end.is_above(key) {
                hit(&node.numbers);
            }
            self.stab_below(node.right, key, hit);
        }
    }

    fn node(&mut self, from: Bytes, end: Upper) -> u32 {
        self.drawn += 1;
        let priority = mix(self.drawn);
        let node = Node { from, farthest: end.clone(), end, priority, left: None, right: None, numbers: Vec::new() };
        match self.free.pop() {
            Some(at) => {
                self.nodes[at as usize] = node;
                at
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        }
    }

    fn find(&self, from: &Bytes, end: &Upper) -> Option<u32> {
        let mut at = self.root;
        while let Some(here) = at {
            let node = &self.nodes[here as usize];
            match (from, end).cmp(&(&node.from, &node.end)) {
                std::cmp::Ordering::Less => at = node.left,
                std::cmp::Ordering::Equal => return Some(here),
                std::cmp::Ordering::Greater => at = node.right,
            }
        }
        None
    }

    fn is_before(&self, a: u32, b: u32) -> bool {
        let (a, b) = (&self.nodes[a as usize], &self.nodes[b as usize]);
        (&a.from, &a.end) < (&b.from, &b.end)
    }

    fn insert(&mut self, tree: Option<u32>, new: u32) -> u32 {
        let Some(here) = tree else { return new };
        if self.nodes[new as usize].priority > self.nodes[here as usize].priority {
            let (left, right) = self.split(tree, new);
            let node = &mut self.nodes[new as usize];
            (node.left, node.right) = (left, right);
            self.mend(new);
            return new;
        }
        if self.is_before(new, here) {
            let left = self.insert(self.nodes[here as usize].left, new);
            self.nodes[here as usize].left = Some(left);
        } else {
            let right = self.insert(self.nodes[here as usize].right, new);
            self.nodes[here as usize].right = Some(right);
        }
        self.mend(here);
        here
    }

    /// Two trees: what lies before this node, and what lies after it.
    fn split(&mut self, tree: Option<u32>, by: u32) -> (Option<u32>, Option<u32>) {
        let Some(here) = tree else { return (None, None) };
        if self.is_before(here, by) {
            let (left, right) = self.split(self.nodes[here as usize].right, by);
            self.nodes[here as usize].right = left;
            self.mend(here);
            (Some(here), right)
        } else {
            let (left, right) = self.split(self.nodes[here as usize].left, by);
            self.nodes[here as usize].left = right;
            self.mend(here);
            (left, Some(here))
        }
    }

    fn remove(&mut self, tree: Option<u32>, gone: u32) -> Option<u32> {
        let here = tree?;
        let (left, right) = (self.nodes[here as usize].left, self.nodes[here as usize].right);
        if here == gone {
            return self.join(left, right);
        }
        if self.is_before(gone, here) {
            self.nodes[here as usize].left = self.remove(left, gone);
        } else {
            self.nodes[here as usize].right = self.remove(right, gone);
        }
        self.mend(here);
        tree
    }

    fn join(&mut self, left: Option<u32>, right: Option<u32>) -> Option<u32> {
        let (Some(a), Some(b)) = (left, right) else { return left.or(right) };
        if self.nodes[a as usize].priority > self.nodes[b as usize].priority {
            self.nodes[a as usize].right = self.join(self.nodes[a as usize].right, right);
            self.mend(a);
            left
        } else {
            self.nodes[b as usize].left = self.join(left, self.nodes[b as usize].left);
            self.mend(b);
            right
        }
    }

    /// Learns anew how far what lies below a node reaches.
    fn mend(&mut self, at: u32) {
        let node = &self.nodes[at as usize];
        let below = [node.left, node.right].into_iter().flatten().map(|below| &self.nodes[below as usize].farthest);
        let farthest = below.chain([&node.end]).max().unwrap_or(&node.end);
        if *farthest != node.farthest {
            let farthest = farthest.clone();
            self.nodes[at as usize].farthest = farthest;
        }
    }
}

/// Spreads a count over all numbers (SplitMix64).
fn mix(count: u64) -> u64 {
    let mut z = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn depth(of: &Intervals, at: Option<u32>) -> usize {
        let Some(node) = at.map(|at| &of.nodes[at as usize]) else { return 0 };
        1 + depth(of, node.left).max(depth(of, node.right))
    }

    #[test]
    fn spans_that_come_in_order_make_a_shallow_tree() {
        let mut intervals = Intervals::default();
        for number in 0..10_000u32 {
            let name = |end: &str| Bytes::from(format!("{number:06}{end}"));
            intervals.entry(&Span { from: name(""), end: End::Before(name("z")) }).push(number);
        }
        assert!(depth(&intervals, intervals.root) < 50, "{}", depth(&intervals, intervals.root));
        let mut hits = Vec::new();
        intervals.stab(b"001234a", |numbers| hits.extend_from_slice(numbers));
        assert_eq!(hits, [1234]);
    }

    proptest! {
        #[test]
        fn a_key_hits_the_spans_that_it_lies_in(
            steps in prop::collection::vec((any::<bool>(), 0..12u8, 0..14u8), 1..80),
        ) {
            let mut intervals = Intervals::default();
            let mut plain: Vec<(Span, u32)> = Vec::new();
            for (number, (add, from, end)) in steps.into_iter().enumerate() {
                let end = if end > 12 { End::Open } else { End::Before(vec![end].into()) };
                let span = Span { from: vec![from].into(), end };
                if add {
                    intervals.entry(&span).push(number as u32);
                    plain.push((span, number as u32));
                } else if !plain.is_empty() {
                    let (span, number) = plain.remove(usize::from(from) % plain.len());
                    intervals.entry(&span).retain(|other| *other != number);
                    intervals.leave_if_empty(&span);
                }
                for key in 0..14u8 {
                    let mut hits = Vec::new();
                    intervals.stab(&[key], |numbers| hits.extend_from_slice(numbers));
                    hits.sort_unstable();
                    let expected: Vec<_> =
                        plain.iter().filter(|(span, _)| span.contains(&[key])).map(|(_, number)| *number).collect();
                    prop_assert_eq!(hits, expected);
                }
            }
        }
    }
}
