//! The better of two drawn at random.
//!
//! Looking at two is nearly as good as looking at all, and unlike looking at all it does not send every call of every
//! gateway to the same endpoint that looks best at the moment (M. Mitzenmacher: "The Power of Two Choices in Randomized
//! Load Balancing", 2001). Both are drawn by weight; a tie goes to the first, so that idle endpoints share by weight.

use super::{Candidates, Excluded};

/// The place of the cheaper of two open candidates; the only one when there is one.
pub(super) fn pick(
    candidates: &Candidates,
    luck: (u64, u64),
    excluded: &Excluded,
    is_open: impl Fn(usize) -> bool,
    cost: impl Fn(usize) -> f64,
) -> Option<usize> {
    let first = one(candidates, luck.0, excluded, &is_open)?;
    let mut rest = *excluded;
    rest.insert(first);
    let second = candidates.draw(luck.1, &rest).filter(|second| *second != first && is_open(*second));
    Some(second.filter(|second| cost(*second) < cost(first)).unwrap_or(first))
}

/// The place of an open candidate drawn by weight. When the one drawn is full, the next with room takes its calls:
/// exact shares are of no use among endpoints at their limit.
pub(super) fn one(
    candidates: &Candidates,
    luck: u64,
    excluded: &Excluded,
    is_open: impl Fn(usize) -> bool,
) -> Option<usize> {
    let first = candidates.draw(luck, excluded)?;
    (first..candidates.len()).chain(0..first).find(|place| is_open(*place))
}
