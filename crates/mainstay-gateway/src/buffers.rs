//! Memory that is used again, and the bound on what kept request bodies may take.
//!
//! - [`Buffers`]: each worker's spare buffers. A connection holds one only while it has bytes in hand, so a thousand idle
//!   connections hold none, and a busy one asks the allocator for nothing.
//! - [`Input`]: what was read from a socket and is not done with. Its bytes are initialised once in their life.
//! - [`Output`]: what is to be written to a socket.
//! - [`Budget`]: `limits.buffers`, shared by the workers. A worker takes it in pieces, so that the shared number is
//!   touched once in many bodies and never by a request without one.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// Bytes of an ordinary buffer: one read takes a whole head, or a good piece of a body.
pub(crate) const BUFFER: usize = 16 * 1024;
/// Spare buffers kept by one worker: 4 MiB of each kind at the most.
const SPARE_MAX: usize = 256;
/// A buffer that grew beyond this is not kept: one large head must not be paid for for ever.
const KEPT_MAX: usize = 4 * BUFFER;
/// What a worker takes from the shared budget at once.
const PIECE: u64 = 1024 * 1024;

/// The spare buffers of one worker.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Initialised to their whole length.
    inputs: RefCell<Vec<Vec<u8>>>,
    /// Empty, with capacity.
    outputs: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    fn input(&self) -> Vec<u8> {
        self.inputs.borrow_mut().pop().unwrap_or_else(|| vec![0; BUFFER])
    }

    fn give_back_input(&self, buffer: Vec<u8>) {
        let mut spare = self.inputs.borrow_mut();
        if buffer.len() == BUFFER && spare.len() < SPARE_MAX {
            spare.push(buffer);
        }
    }

    /// An empty buffer with some room.
    pub(crate) fn output(&self) -> Vec<u8> {
        self.outputs.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(BUFFER))
    }

    /// Takes an output buffer back.
    pub(crate) fn give_back_output(&self, mut buffer: Vec<u8>) {
        let mut spare = self.outputs.borrow_mut();
        if (1..=KEPT_MAX).contains(&buffer.capacity()) && spare.len() < SPARE_MAX {
            buffer.clear();
            spare.push(buffer);
        }
    }
}

/// Bytes that were read: `start..end` of the buffer are not done with.
#[derive(Debug, Default)]
pub(crate) struct Input {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// What is not done with.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Whether nothing is in hand.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Drops `count` bytes at the front.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Where the next read goes. The first `keep` of [`Input::bytes`] stay in place relative to each other, as all do.
    /// The room is at least one byte, and a full buffer grows by one [`BUFFER`].
    pub(crate) fn room(&mut self, buffers: &Buffers) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = buffers.input();
            (self.start, self.end) = (0, 0);
        } else if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.end + BUFFER, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// Says that `count` bytes were read into [`Input::room`].
    pub(crate) fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buffer.len());
    }

    /// Removes `range` of [`Input::bytes`] from their middle: the bytes of a body behind a head that stays.
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.buffer.copy_within(self.start + to..self.end, self.start + from);
        self.end -= to - from;
    }

    /// Gives the buffer back when nothing is in hand.
    pub(crate) fn release(&mut self, buffers: &Buffers) {
        if self.is_empty() && !self.buffer.is_empty() {
            buffers.give_back_input(std::mem::take(&mut self.buffer));
            (self.start, self.end) = (0, 0);
        }
    }

    /// Forgets what is in hand and gives the buffer back.
    pub(crate) fn discard(&mut self, buffers: &Buffers) {
        self.start = self.end;
        self.release(buffers);
    }
}

/// Bytes to be written: everything after `written`. It holds no more than twice what waits and was appended last.
#[derive(Debug, Default)]
pub(crate) struct Output {
    buffer: Vec<u8>,
    written: usize,
}

impl Output {
    /// Where the next bytes are appended.
    pub(crate) fn tail(&mut self, buffers: &Buffers) -> &mut Vec<u8> {
        if self.buffer.capacity() == 0 {
            self.buffer = buffers.output();
            self.written = 0;
        } else if self.written > 0 && self.written >= self.pending().len() {
            // A reader that is always behind never lets it run empty. Each byte is moved once at the most.
            self.buffer.drain(..self.written);
            self.written = 0;
        }
        &mut self.buffer
    }

    /// What is still to be written.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.buffer[self.written..]
    }

    /// Whether everything was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.written == self.buffer.len()
    }

    /// Says that `count` more bytes were written (or are not to be written at all).
    pub(crate) fn advance(&mut self, count: usize) {
        self.written = (self.written + count).min(self.buffer.len());
        if self.is_empty() {
            self.buffer.clear();
            self.written = 0;
        }
    }

    /// Writes as much as `stream` takes, or waits until it takes something. Tells how many bytes it took: none, when it
    /// will never take any.
    ///
    /// Nearly always it takes all at once, and then the runtime is not asked to watch it.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, stream: &mut TcpStream) -> Poll<usize> {
        let written = match stream.try_write(self.pending()) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                ready!(Pin::new(stream).poll_write(cx, self.pending()))
            }
            written => written,
        };
        let count = written.unwrap_or(0);
        self.advance(count);
        Poll::Ready(count)
    }

    /// Gives the buffer back; what was not written is forgotten.
    pub(crate) fn release(&mut self, buffers: &Buffers) {
        if self.buffer.capacity() > 0 {
            buffers.give_back_output(std::mem::take(&mut self.buffer));
        }
        self.written = 0;
    }
}

/// The part of `limits.buffers` that bodies may hold of which more is to come.
pub(crate) const fn arriving(buffers: u64) -> u64 {
    buffers / 4 * 3
}

/// One worker's hold on the memory for kept request bodies, or a part of it.
#[derive(Debug)]
pub(crate) struct Budget {
    shared: Arc<AtomicU64>,
    spare: Cell<u64>,
}

impl Budget {
    /// A hold on `shared`, which is what is left of it.
    pub(crate) fn new(shared: Arc<AtomicU64>) -> Self {
        Self { shared, spare: Cell::new(0) }
    }

    /// Takes `bytes`; false when they are not to be had.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        if self.spare.get() < bytes {
            let missing = bytes - self.spare.get();
            self.refill(missing.max(PIECE), missing);
        }
        let enough = self.spare.get() >= bytes;
        if enough {
            self.spare.set(self.spare.get() - bytes);
        }
        enough
    }

    /// Gives `bytes` back.
    pub(crate) fn give_back(&self, bytes: usize) {
        let spare = self.spare.get() + bytes as u64;
        let surplus = if spare > 2 * PIECE { spare - PIECE } else { 0 };
        self.spare.set(spare - surplus);
        if surplus > 0 {
            self.shared.fetch_add(surplus, Ordering::Relaxed);
        }
    }

    /// Takes or gives back what is missing to hold `wanted` in place of `held`; false, with nothing changed, when it is not
    /// to be had.
    pub(crate) fn resize(&self, held: &mut usize, wanted: usize) -> bool {
        let has = wanted <= *held || self.take(wanted - *held);
        if has {
            if wanted < *held {
                self.give_back(*held - wanted);
            }
            *held = wanted;
        }
        has
    }

    /// Takes `wanted` of the shared rest, or as much as there is if that is `needed` at least.
    fn refill(&self, wanted: u64, needed: u64) {
        let taken = self.shared.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            (left >= needed).then(|| left - wanted.min(left))
        });
        if let Ok(before) = taken {
            self.spare.set(self.spare.get() + wanted.min(before));
        }
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.shared.fetch_add(self.spare.get(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_stays_while_its_body_passes() {
        let buffers = Buffers::default();
        let mut input = Input::default();
        let bytes = b"HEADbody-onebody-two";
        input.room(&buffers)[..bytes.len()].copy_from_slice(bytes);
        input.filled(bytes.len());
        input.cut(4, 12);
        assert_eq!(input.bytes(), b"HEADbody-two");
        input.consume(4);
        assert_eq!(input.bytes(), b"body-two");
    }

    #[test]
    fn an_empty_input_holds_no_memory_and_a_full_one_grows() {
        let buffers = Buffers::default();
        let mut input = Input::default();
        let room = input.room(&buffers).len();
        input.filled(room);
        assert_eq!(input.room(&buffers).len(), BUFFER);
        input.discard(&buffers);
        assert_eq!(input.buffer.capacity(), 0);
        assert!(buffers.inputs.borrow().is_empty(), "a buffer that grew is not kept");
        input.room(&buffers);
        input.release(&buffers);
        assert_eq!(buffers.inputs.borrow().len(), 1);
    }

    #[test]
    fn a_reader_that_never_catches_up_costs_no_more_than_what_waits() {
        let buffers = Buffers::default();
        let mut output = Output::default();
        output.tail(&buffers).extend_from_slice(&[0; 3 * BUFFER]);
        for _ in 0..1000 {
            output.tail(&buffers).extend_from_slice(&[0; BUFFER]);
            output.advance(BUFFER);
        }
        assert_eq!(output.pending().len(), 3 * BUFFER);
        assert!(output.buffer.capacity() <= 16 * BUFFER, "{} bytes for what was written", output.buffer.capacity());
    }

    #[test]
    fn workers_never_take_more_than_the_limit_together() {
        let shared = Arc::new(AtomicU64::new(3 * PIECE));
        let (a, b) = (Budget::new(Arc::clone(&shared)), Budget::new(Arc::clone(&shared)));
        let piece = PIECE as usize;
        assert!(a.take(2 * piece));
        assert!(b.take(piece));
        assert!(!a.take(1) && !b.take(1));
        b.give_back(piece);
        assert!(b.take(piece / 2));
        drop(b);
        a.give_back(2 * piece);
        drop(a);
        // What `b` still held when it ended is lost with it: half a piece.
        assert_eq!(shared.load(Ordering::Relaxed), 3 * PIECE - PIECE / 2);
    }
}
