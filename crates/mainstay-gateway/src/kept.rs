//! Answers of instances that are kept to be given again, and how one is taken down while it passes.
//!
//! In: the head and the body of an answer on its way to its caller. Out: a [`Kept`] that any worker can write again at
//! any time. Head and fields stay as the instance wrote them, so that each time they are given they are written anew by
//! the rules of the route that is asked; trailers are left out.
//!
//! - What is being taken down counts against `limits.buffers`, like the kept bodies of requests.
//! - An answer that is too large, or finds no room there, is passed on and not kept.

use std::sync::Arc;

use mainstay_core::Instant;
use mainstay_http1::{Known, ResponseHead, ResponseView};

use crate::buffers::{BUFFER, Budget};

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
        OVERHEAD + self.head.fields.len() as u64 * FIELD + (self.head_bytes.len() + self.body.len()) as u64
    }
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
    pub(crate) fn push(&mut self, data: &[u8], budget: &Budget) {
        if self.given_up {
            return;
        }
        let wanted = self.head_bytes.len() + self.body.len() + data.len();
        while self.charged < wanted && wanted as u64 <= self.max && budget.take(BUFFER) {
            self.charged += BUFFER;
        }
        if self.charged >= wanted {
            self.body.extend_from_slice(data);
        } else {
            self.give_up(budget);
        }
    }

    fn give_up(&mut self, budget: &Budget) {
        self.given_up = true;
        self.body = Vec::new();
        budget.give_back(std::mem::take(&mut self.charged));
    }

    /// The answer is complete: what is kept of it, unless it was too large.
    pub(crate) fn finish(mut self, now: Instant, budget: &Budget) -> Option<Arc<Kept>> {
        budget.give_back(std::mem::take(&mut self.charged));
        let Self { head, head_bytes, body, .. } = self;
        (!self.given_up).then(|| Arc::new(Kept { head, head_bytes, body: body.into(), at: now }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use mainstay_http1::{Limits, ResponseParser};

    use super::*;

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
        let mut taking = taking(1 << 16);
        taking.push(b"first ", &budget);
        taking.push(b"second", &budget);
        assert!(taking.says_retry_after());
        let kept = taking.finish(Instant::ORIGIN, &budget).unwrap();
        assert_eq!((kept.view().status(), &*kept.body), (201, &b"first second"[..]));
        assert!(budget.take(1 << 20), "what was lent came back");
    }

    #[test]
    fn what_is_too_large_or_finds_no_room_is_not_kept_and_holds_nothing() {
        for (max, room) in [(100, 1 << 20), (1 << 16, 0)] {
            let budget = budget(room);
            let mut taking = taking(max);
            taking.push(&[0; 90], &budget);
            taking.push(b"more", &budget);
            assert!(taking.finish(Instant::ORIGIN, &budget).is_none());
            assert!(budget.take(room as usize));
        }
    }
}
