//! What passes between the two sides of a call, whatever protocol each of them speaks.
//!
//! A call has a caller's side and, for each attempt, an instance's side; the exchange between them (`exchange.rs`) knows
//! only the words of this module: a head, data where there is capacity, trailers, and an end that says how certain it
//! is. Today both sides speak HTTP/1.1 ([`crate::caller::CallerSide`], [`crate::upstream::Attempt`]). An HTTP/2 engine
//! joins by giving a stream the same few operations:
//!
//! | operation | HTTP/1.1 | HTTP/2 |
//! | --- | --- | --- |
//! | caller: body in, as far as [`Body::has_room`] | decode from the read buffer | read DATA, release as much flow control |
//! | caller: is it gone | end or reset of the connection | RST_STREAM, GOAWAY, end of the connection |
//! | caller: head, data, trailers out, up to [`CAPACITY`] unflushed | write to the output buffer | send as capacity is granted |
//! | attempt: open, with the certainty [`Certainty::NotSent`] until a byte is out | connect or take from the pool | a stream of a pooled connection; REFUSED_STREAM and streams above GOAWAY's last id are not sent |
//! | attempt: head, data, trailers in, as far as the caller's side has capacity | decode from the read buffer | read DATA, release as much flow control |
//! | attempt: give up | close the connection | RST_STREAM(CANCEL) |

use mainstay_core::{Certainty, Failure};
use mainstay_http1::{Field, Reject};

use crate::buffers::Buffers;
use crate::purse::{Charge, Purse};

/// Bytes that may wait unwritten on either side: enough to keep a fast peer busy, little enough that many slow ones
/// cost little.
pub(crate) const CAPACITY: usize = 64 * 1024;

/// What has become of the request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyNews {
    /// Some of it has come.
    Data,
    /// It is complete.
    End,
    /// It is not HTTP.
    Refused(Reject),
    /// The caller left in its middle.
    Left,
}

/// How an attempt ended without the head of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reset {
    pub(crate) failure: Failure,
    pub(crate) certainty: Certainty,
}

/// A request's body on its way: what was received and is still wanted.
///
/// As long as it is *kept*, it holds everything from the first byte on, so that another attempt can have it. It is kept
/// up to `keep_max` bytes and while it can be paid for; beyond that it holds only what the running
/// attempt has not sent yet, at most [`CAPACITY`].
#[derive(Debug, Default)]
pub(crate) struct Body {
    bytes: Vec<u8>,
    /// How many bytes of the body came before `bytes`.
    base: u64,
    keep_max: usize,
    charge: Charge,
    kept: bool,
    complete: bool,
    trailers: Trailers,
}

/// Trailer fields, copied out of the buffer that they came in: they are rare, and the buffer moves on.
#[derive(Debug, Default)]
pub(crate) struct Trailers {
    bytes: Vec<u8>,
    /// Where each name ends and each value ends.
    ends: Vec<(usize, usize)>,
}

impl Trailers {
    /// Copies `fields`, whose spans lie in `bytes`.
    pub(crate) fn copy(&mut self, fields: &[Field], bytes: &[u8]) {
        for field in fields {
            self.bytes.extend_from_slice(field.name.of(bytes));
            let name = self.bytes.len();
            self.bytes.extend_from_slice(field.value.of(bytes));
            self.ends.push((name, self.bytes.len()));
        }
    }

    /// Names and values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, value)| *value));
        starts.zip(&self.ends).map(|(start, (name, value))| (&self.bytes[start..*name], &self.bytes[*name..*value]))
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

impl Body {
    /// Begins the body of another request, of which up to `keep_max` bytes may be kept.
    pub(crate) fn begin(&mut self, keep_max: usize) {
        self.base = 0;
        self.keep_max = keep_max;
        self.kept = true;
        self.complete = false;
        self.trailers.clear();
    }

    /// Whether more of it may be received, when an attempt has sent everything before `sent`; without an attempt only
    /// what can be kept is received.
    pub(crate) fn has_room(&self, sent: Option<u64>) -> bool {
        match sent {
            _ if self.complete => false,
            Some(sent) => self.end() - sent < CAPACITY as u64,
            None => self.kept && self.bytes.len() < self.keep_max.max(1),
        }
    }

    /// Whether a call waits for more of it before it begins: there is more to come, and it can be kept.
    pub(crate) fn is_awaited(&self) -> bool {
        self.keep_max > 0 && self.has_room(None)
    }

    /// Takes `data` in, which [`Body::pay`] is to be called for. `sent` is how far the running attempt is; what it has
    /// sent is dropped once the body is not kept.
    pub(crate) fn push(&mut self, data: &[u8], sent: Option<u64>, buffers: &Buffers) {
        self.kept &= self.bytes.len() + data.len() <= self.keep_max;
        if !self.kept
            && let Some(sent) = sent
        {
            self.drop_before(sent);
        }
        if self.bytes.capacity() == 0 {
            self.bytes = buffers.output();
        }
        self.bytes.extend_from_slice(data);
    }

    /// Pays for what it keeps. What cannot be paid for, or is longer than may be, is not kept from now on.
    pub(crate) fn pay(&mut self, purse: &mut Purse<'_>) {
        self.kept = self.kept && purse.hold_body(&mut self.charge, self.bytes.len(), !self.complete);
        if !self.kept {
            self.refund(purse);
        }
    }

    /// Gives back what it has paid. It is to pay again at once, from wherever it likes.
    pub(crate) fn refund(&mut self, purse: &mut Purse<'_>) {
        purse.hold_body(&mut self.charge, 0, false);
    }

    fn drop_before(&mut self, sent: u64) {
        let done = usize::try_from(sent.saturating_sub(self.base)).unwrap_or(usize::MAX).min(self.bytes.len());
        self.bytes.drain(..done);
        self.base += done as u64;
    }

    /// It is complete; `fields` are its trailers, with spans in `bytes`.
    pub(crate) fn finish(&mut self, fields: &[Field], bytes: &[u8]) {
        self.trailers.copy(fields, bytes);
        self.complete = true;
    }

    /// What follows the first `sent` bytes.
    pub(crate) fn after(&self, sent: u64) -> &[u8] {
        let from = usize::try_from(sent.saturating_sub(self.base)).unwrap_or(usize::MAX);
        self.bytes.get(from..).unwrap_or_default()
    }

    /// Bytes received so far.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// Whether all of it has come.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether it can be sent from its beginning.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept
    }

    /// Its trailers, once it is complete.
    pub(crate) fn trailers(&self) -> &Trailers {
        &self.trailers
    }

    /// Gives back whatever it holds.
    pub(crate) fn release(&mut self, buffers: &Buffers, purse: &mut Purse<'_>) {
        self.refund(purse);
        if self.bytes.capacity() > 0 {
            buffers.give_back_output(std::mem::take(&mut self.bytes));
        }
        self.trailers = Trailers::default();
        self.kept = false;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::buffers::{BUFFER, Budget, arriving};

    /// A worker's memory, and the part of it for bodies of which more is to come.
    struct Memory(Budget, Budget);

    impl Memory {
        fn of(bytes: u64) -> Self {
            let budget = |bytes| Budget::new(Arc::new(AtomicU64::new(bytes)));
            Self(budget(bytes), budget(arriving(bytes)))
        }

        fn purse(&self) -> Purse<'_> {
            Purse::Buffers { all: &self.0, arriving: &self.1 }
        }
    }

    #[test]
    fn a_short_body_can_be_sent_again() {
        let (buffers, memory) = (Buffers::default(), Memory::of(1 << 20));
        let mut body = Body::default();
        body.begin(100);
        body.push(b"first ", Some(0), &buffers);
        body.push(b"second", Some(6), &buffers);
        body.finish(&[], b"");
        body.pay(&mut memory.purse());
        assert!(body.is_kept() && body.is_complete());
        assert_eq!(body.after(0), b"first second");
        assert_eq!(body.after(6), b"second");
        assert_eq!(body.after(12), b"");
    }

    #[test]
    fn a_long_body_holds_only_what_is_not_sent() {
        let (buffers, memory) = (Buffers::default(), Memory::of(1 << 20));
        let mut body = Body::default();
        body.begin(8);
        let mut sent = 0;
        for _ in 0..1000 {
            assert!(body.has_room(Some(sent)));
            body.push(b"12345678", Some(sent), &buffers);
            body.pay(&mut memory.purse());
            sent = body.end();
        }
        assert!(!body.is_kept());
        assert_eq!((body.end(), body.bytes.len()), (8000, 8));
        assert!(memory.0.take(1 << 20), "and what it had paid came back");
    }

    #[test]
    fn a_body_waits_for_its_attempt() {
        let buffers = Buffers::default();
        let mut body = Body::default();
        body.begin(4);
        assert!(body.has_room(None));
        body.push(b"1234", None, &buffers);
        assert!(!body.has_room(None), "more cannot be kept, and nobody sends it yet");
        assert!(!body.is_awaited(), "so the call begins");
        assert!(body.has_room(Some(0)), "an attempt has begun");
        let piece = [0; CAPACITY];
        body.push(&piece, Some(0), &buffers);
        assert!(!body.has_room(Some(4)), "the instance is slow");
        assert!(body.has_room(Some(5)));
    }

    #[test]
    fn a_call_waits_for_what_can_be_kept_and_for_nothing_else() {
        let buffers = Buffers::default();
        let mut body = Body::default();
        body.begin(0);
        assert!(!body.is_awaited());
        body.begin(8);
        body.push(b"1234", None, &buffers);
        assert!(body.is_awaited());
        body.finish(&[], b"");
        assert!(!body.is_awaited());
    }

    #[test]
    fn without_budget_nothing_is_kept_and_everything_passes() {
        let (buffers, memory) = (Buffers::default(), Memory::of(0));
        let mut body = Body::default();
        body.begin(1000);
        body.push(b"abc", Some(0), &buffers);
        body.pay(&mut memory.purse());
        assert!(!body.is_kept());
        assert_eq!(body.after(0), b"abc");
    }

    #[test]
    fn bodies_that_arrive_slowly_leave_room_for_those_that_are_there() {
        let (buffers, memory) = (Buffers::default(), Memory::of(64 * BUFFER as u64));
        let body = |is_whole| {
            let mut body = Body::default();
            body.begin(BUFFER);
            body.push(&[0; BUFFER], None, &buffers);
            if is_whole {
                body.finish(&[], b"");
            }
            body.pay(&mut memory.purse());
            body
        };
        let mut slow: Vec<_> = (0..100).map(|_| body(false)).collect();
        assert_eq!(slow.iter().filter(|body| body.is_kept()).count(), 48, "three quarters");
        assert!((0..16).all(|_| body(true).is_kept()), "a quarter is left");
        assert!(!body(true).is_kept());
        slow[0].finish(&[], b"");
        slow[0].pay(&mut memory.purse());
        slow[1].release(&buffers, &mut memory.purse());
        assert!(body(false).is_kept(), "who has come makes room for who is still coming");
    }
}
