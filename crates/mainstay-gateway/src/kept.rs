//! Answers of instances that are kept to be given again, and how one is taken down while it passes.
//!
//! In: the head and the body of an answer on its way to its caller. Out: a [`Kept`] that any worker can write again at
//! any time. Head and fields stay as the instance wrote them, so that each time they are given they are written anew by
//! the rules of the route that is asked; trailers are left out.
//!
//! - What is being taken down counts against `limits.buffers`, like the kept bodies of requests, or where a key wants it
//!   against the memory of the keys.
//! - An answer that is too large, or finds no room there, is passed on and not kept.

use std::sync::Arc;

use mainstay_core::Instant;
use mainstay_http1::{Known, ResponseHead, ResponseView};

use crate::purse::Purse;

/// What a kept answer counts for beside its bytes.
const OVERHEAD: u64 = 256;
/// What each of its fields counts for beside its bytes.
const FIELD: u64 = 24;

/// An answer that is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    head: ResponseHead,
    head_bytes: Box<[u8]>,
    pub(crate) body: Box<[u8]>,
    /// When it was complete.
    pub(crate) at: Instant,
}

impl Kept {
    /// Its head.
    pub(crate) fn view(&self) -> ResponseView<'_> {
        self.head.view(&self.head_bytes)
    }

    /// Bytes of memory that it counts for.
    pub(crate) fn size(&self) -> u64 {
        size(&self.head, self.head_bytes.len() + self.body.len())
    }
}

fn size(head: &ResponseHead, bytes: usize) -> u64 {
    OVERHEAD + head.fields.len() as u64 * FIELD + bytes as u64
}

/// An answer that is being taken down.
#[derive(Debug)]
pub(crate) struct Taking {
    head: ResponseHead,
    head_bytes: Box<[u8]>,
    body: Vec<u8>,
    max: u64,
    charged: usize,
    given_up: bool,
}

impl Taking {
    /// Begins with a copy of the head; `max` is how large all of it may become.
    pub(crate) fn new((head, head_bytes): (ResponseHead, Box<[u8]>), length: Option<u64>, max: u64) -> Self {
        let known = head_bytes.len() as u64 + length.unwrap_or(0);
        Self { head, head_bytes, body: Vec::new(), max, charged: 0, given_up: known > max }
    }

    /// Whether it says when to ask again.
    pub(crate) fn says_retry_after(&self) -> bool {
        self.head.view(&self.head_bytes).get(Known::RetryAfter).is_some()
    }

    /// Takes a piece of the body.
    pub(crate) fn push(&mut self, data: &[u8], purse: &mut Purse<'_>) {
        if self.given_up {
            return;
        }
        let bytes = self.head_bytes.len() + self.body.len() + data.len();
        let is_short = bytes as u64 <= self.max;
        if is_short && purse.hold_answer(&mut self.charged, size(&self.head, bytes) as usize) {
            self.body.extend_from_slice(data);
        } else {
            self.given_up = true;
            self.body = Vec::new();
            purse.hold_answer(&mut self.charged, 0);
        }
    }

    /// The answer is complete: what is kept of it, unless it was too large. A key holds its memory until it is settled.
    pub(crate) fn finish(mut self, now: Instant, purse: &mut Purse<'_>) -> Option<Arc<Kept>> {
        if let Purse::Buffers { .. } = purse {
            purse.hold_answer(&mut self.charged, 0);
        }
        let Self { head, head_bytes, body, .. } = self;
        (!self.given_up).then(|| Arc::new(Kept { head, head_bytes, body: body.into(), at: now }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use mainstay_http1::{Limits, ResponseParser};

    use super::*;
    use crate::buffers::Budget;

    const HEAD: &[u8] = b"HTTP/1.1 201 Created\r\nRetry-After: 1\r\n\r\n";

    fn taking(max: u64) -> Taking {
        let mut head = ResponseHead::default();
        ResponseParser::new(Limits::default()).parse(HEAD, false, &mut head).unwrap().unwrap();
        Taking::new((head, HEAD.into()), None, max)
    }

    fn budget(bytes: u64) -> Budget {
        Budget::new(Arc::new(AtomicU64::new(bytes)))
    }

    #[test]
    fn what_was_taken_down_is_what_passed() {
        let budget = budget(1 << 20);
        let mut purse = Purse::Buffers { all: &budget, arriving: &budget };
        let mut taking = taking(1 << 16);
        taking.push(b"first ", &mut purse);
        taking.push(b"second", &mut purse);
        assert!(taking.says_retry_after());
        let kept = taking.finish(Instant::ORIGIN, &mut purse).unwrap();
        assert_eq!((kept.view().status(), &*kept.body), (201, &b"first second"[..]));
        assert!(budget.take(1 << 20), "what was lent came back");
    }

    #[test]
    fn what_is_too_large_or_finds_no_room_is_not_kept_and_holds_nothing() {
        for (max, room) in [(100, 1 << 20), (1 << 16, 0)] {
            let budget = budget(room);
            let mut purse = Purse::Buffers { all: &budget, arriving: &budget };
            let mut taking = taking(max);
            taking.push(&[0; 90], &mut purse);
            taking.push(b"more", &mut purse);
            assert!(taking.finish(Instant::ORIGIN, &mut purse).is_none());
            assert!(budget.take(room as usize));
        }
    }
}
