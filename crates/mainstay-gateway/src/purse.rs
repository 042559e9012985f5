//! From whose memory a call takes what it holds of its request's body and of its answer.
//!
//! - An ordinary call takes it from `limits.buffers`. Bodies of which more is to come may hold three quarters of that at
//!   the most, so that callers who send slowly leave something for bodies that are there and for answers.
//! - A call whose `Idempotency-Key` is kept takes it from the memory of the keys, where its caller has a share: what
//!   strangers hold of `limits.buffers` can neither refuse it nor lose its answer. The first [`BUFFER`] of its body counts
//!   nowhere, for that much every connection costs: so orders of ordinary length cannot be shut out by bodies at all.

use mainstay_policy::ANSWER_BYTES;

use crate::buffers::{BUFFER, Budget};
use crate::idempotency::HeldKey;

/// Where the memory comes from.
#[derive(Debug)]
pub(crate) enum Purse<'a> {
    /// `limits.buffers`, and the part of it that bodies may hold while they arrive.
    Buffers { all: &'a Budget, arriving: &'a Budget },
    /// The memory of the keys.
    Key(&'a mut HeldKey),
}

/// What a body holds of `limits.buffers`.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    all: usize,
    arriving: usize,
}

impl Purse<'_> {
    /// Holds `bytes` of a body in place of what was held of it before, while more of it `is_arriving` or not. False when
    /// that is not to be had.
    pub(crate) fn hold_body(&mut self, charge: &mut Charge, bytes: usize, is_arriving: bool) -> bool {
        match self {
            Self::Buffers { all, arriving } => {
                let bytes = bytes.next_multiple_of(BUFFER);
                let arrives = if is_arriving { bytes } else { 0 };
                all.resize(&mut charge.all, bytes) && arriving.resize(&mut charge.arriving, arrives)
            }
            Self::Key(key) => key.hold_body(bytes.saturating_sub(BUFFER).next_multiple_of(BUFFER)),
        }
    }

    /// As [`Purse::hold_body`], of an answer that is taken down. A key has room for a short one already.
    pub(crate) fn hold_answer(&mut self, charge: &mut usize, bytes: usize) -> bool {
        match self {
            Self::Buffers { all, .. } => all.resize(charge, bytes.next_multiple_of(BUFFER)),
            Self::Key(key) => key.hold_answer(bytes.saturating_sub(ANSWER_BYTES as usize)),
        }
    }
}
