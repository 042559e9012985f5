//! One caller's HTTP/1.1 connection: requests in, answers out, and whether anybody still listens.
//!
//! It owns the socket, the protocol's machine and the bytes in between, and decides when to read. What holds:
//!
//! - While nothing is in hand no buffer is held.
//! - While a request is served its head stays at the front of the input, so that each attempt can write it anew; the body
//!   passes behind it.
//! - A caller may end its sending side after a complete request and still listen. From outside this looks like one that
//!   has gone. So when the end of its bytes comes before the answer, the first nine bytes of the answer, which are the
//!   same whatever the answer is, are sent ahead: who listens has them, and the system of who has gone answers with a
//!   reset, which cancels the call.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use mainstay_http1::{
    Limits, Received, Reject, RequestEvent, RequestFacts, RequestHead, RequestView, ServerConnection,
};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::buffers::{BUFFER, Buffers, Input, Output};
use crate::message::{Body, BodyNews, CAPACITY};

/// How every answer begins, interim ones included.
const AHEAD: &[u8] = b"HTTP/1.1 ";

/// What came where a request was awaited.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A request's head.
    Request(RequestFacts),
    /// Something that is not HTTP.
    Refused(Reject),
    /// The end of the connection.
    Gone,
}

/// A caller's connection.
#[derive(Debug)]
pub(crate) struct CallerSide {
    stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) machine: ServerConnection,
    head: RequestHead,
    input: Input,
    /// Bytes of the head at the front of the input.
    head_len: usize,
    /// Where the input that was not looked at begins.
    unread: usize,
    output: Output,
    /// It was asked for bytes and there were none yet.
    waits: bool,
    /// No more bytes will come.
    ended: bool,
    /// The connection is broken.
    broken: bool,
    /// Bytes of the answer that were sent ahead.
    ahead: usize,
}

impl CallerSide {
    /// A connection that was just accepted.
    pub(crate) fn new(stream: TcpStream, peer: SocketAddr, limits: Limits) -> Self {
        Self {
            stream,
            peer,
            machine: ServerConnection::new(limits),
            head: RequestHead::default(),
            input: Input::default(),
            head_len: 0,
            unread: 0,
            waits: false,
            output: Output::default(),
            ended: false,
            broken: false,
            ahead: 0,
        }
    }

    /// Whether a byte of a request has come.
    pub(crate) fn has_begun(&self) -> bool {
        !self.input.is_empty()
    }

    /// Whether an answer can still reach anybody.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether the caller has ended its sending side, so that only [`CallerSide::is_reset`] tells whether it is there.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The request that is being served.
    pub(crate) fn request(&self) -> RequestView<'_> {
        self.head.view(self.input.bytes())
    }

    /// The request and, at the same time, the machine and the bytes to answer it with.
    pub(crate) fn answer<'a>(
        &'a mut self,
        buffers: &Buffers,
    ) -> (RequestView<'a>, &'a mut ServerConnection, &'a mut Vec<u8>) {
        (self.head.view(self.input.bytes()), &mut self.machine, self.output.tail(buffers))
    }

    /// Waits for the next request.
    pub(crate) fn poll_request(&mut self, cx: &mut Context<'_>, buffers: &Buffers) -> Poll<Arrival> {
        loop {
            if !self.input.is_empty() {
                match self.machine.receive(self.input.bytes(), &mut self.head) {
                    Ok(Received { consumed, event: RequestEvent::Request(facts) }) => {
                        (self.head_len, self.unread) = (consumed, consumed);
                        return Poll::Ready(Arrival::Request(facts));
                    }
                    Ok(Received { consumed, .. }) => self.input.consume(consumed),
                    Err(reject) => return Poll::Ready(Arrival::Refused(reject)),
                }
            }
            if self.ended || self.broken {
                return Poll::Ready(Arrival::Gone);
            }
            ready!(self.poll_read(cx, buffers));
        }
    }

    /// Takes what has come of the request's body, as far as `body` has room. `sent` is how far the running attempt is.
    ///
    /// Everything in hand is taken before more is read, so that many small chunks go upstream in one write.
    pub(crate) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Body,
        sent: Option<u64>,
        buffers: &Buffers,
    ) -> Poll<BodyNews> {
        let mut some = false;
        while body.has_room(sent) {
            let bytes = &self.input.bytes()[self.unread..];
            match self.machine.receive(bytes, &mut self.head) {
                Ok(Received { consumed, event: RequestEvent::Data(range) }) => {
                    body.push(&bytes[range], sent, buffers);
                    self.unread += consumed;
                    some = true;
                    continue;
                }
                Ok(Received { consumed, event: RequestEvent::End }) => {
                    body.finish(self.machine.trailers(), bytes);
                    self.unread += consumed;
                    return Poll::Ready(BodyNews::End);
                }
                Ok(Received { consumed, .. }) => self.unread += consumed,
                Err(reject) => return Poll::Ready(BodyNews::Refused(reject)),
            }
            if some {
                break;
            }
            if self.ended || self.broken {
                return Poll::Ready(BodyNews::Left);
            }
            self.input.cut(self.head_len, self.unread);
            self.unread = self.head_len;
            ready!(self.poll_read(cx, buffers));
        }
        if some { Poll::Ready(BodyNews::Data) } else { Poll::Pending }
    }

    /// Ready when the caller has gone. To be asked while its complete request is served. What it sends meanwhile is a
    /// further request and is read ahead, up to one buffer; beyond that it is not watched.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>, buffers: &Buffers) -> Poll<()> {
        while !self.ended && !self.broken {
            if self.input.bytes().len() - self.head_len >= BUFFER {
                return Poll::Pending;
            }
            // Most often nothing has come, and that is all there is to know.
            self.broken |= ready!(self.stream.poll_read_ready(cx)).is_err();
            if !self.broken {
                ready!(self.poll_read(cx, buffers));
            }
            if self.ended && !self.broken {
                self.send_ahead();
            }
        }
        if self.broken || self.is_reset() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn send_ahead(&mut self) {
        if self.output.is_empty() && !self.machine.response_begun() {
            self.ahead = self.stream.try_write(AHEAD).unwrap_or(0);
        }
    }

    /// Whether the runtime has seen the connection break. Costs no system call.
    fn is_reset(&self) -> bool {
        let ready = pin!(self.stream.ready(Interest::READABLE | Interest::WRITABLE | Interest::ERROR));
        match ready.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(ready)) => ready.is_write_closed() || ready.is_error(),
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }

    /// The caller has left, and what is still written is for nobody.
    pub(crate) fn forsake(&mut self) {
        self.broken = true;
    }

    /// How much more may be written before a flush is due.
    pub(crate) fn capacity(&self) -> usize {
        CAPACITY.saturating_sub(self.output.pending().len())
    }

    /// Whether everything that was to be written has been.
    pub(crate) fn is_flushed(&self) -> bool {
        self.output.is_empty()
    }

    /// Writes what waits. Ready when everything is out or the connection is broken.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.leave_out_ahead();
        while !self.output.is_empty() && !self.broken {
            self.broken = ready!(self.output.poll_write(cx, &mut self.stream)) == 0;
        }
        if self.broken {
            self.output.advance(self.output.pending().len());
        }
        Poll::Ready(())
    }

    /// What was sent ahead is not sent again.
    fn leave_out_ahead(&mut self) {
        if self.ahead > 0 && self.output.pending().len() >= self.ahead {
            self.output.advance(std::mem::take(&mut self.ahead));
        }
    }

    /// Goes on to the next request; false when the connection has to close.
    pub(crate) fn next_request(&mut self, buffers: &Buffers) -> bool {
        let goes_on = !self.broken && self.machine.next_request();
        self.input.consume(self.unread);
        (self.head_len, self.unread) = (0, 0);
        self.head.clear();
        self.input.release(buffers);
        self.output.release(buffers);
        goes_on
    }

    /// Gives the buffers back; the connection is over.
    pub(crate) fn close(&mut self, buffers: &Buffers) {
        self.input.discard(buffers);
        self.output.release(buffers);
    }

    /// Gives the connection up in the middle of an answer, with a reset where its mere end would look like the answer's.
    pub(crate) fn break_off(&mut self, reset: bool) {
        self.leave_out_ahead();
        let _ = self.stream.try_write(self.output.pending());
        self.broken = true;
        if reset {
            // Should the system refuse, the connection ends with a FIN.
            let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// Ends the sending side, so that the caller sees the end of the answer.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// Reads and forgets; ready when there is nothing more to read.
    pub(crate) fn poll_discard(&mut self, cx: &mut Context<'_>, buffers: &Buffers) -> Poll<()> {
        while !self.ended && !self.broken {
            self.input.discard(buffers);
            ready!(self.poll_read(cx, buffers));
        }
        Poll::Ready(())
    }

    /// Reads once. While nothing is in hand it waits without a buffer.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffers: &Buffers) -> Poll<()> {
        // Who has waited is woken when something has come, and need not ask first.
        let asks_first = self.input.is_empty() && !std::mem::replace(&mut self.waits, true);
        if asks_first && ready!(self.stream.poll_read_ready(cx)).is_err() {
            self.broken = true;
            return Poll::Ready(());
        }
        let mut room = ReadBuf::new(self.input.room(buffers));
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut room);
        let count = room.filled().len();
        match read {
            Poll::Ready(Ok(())) => {
                self.ended = count == 0;
                self.waits = false;
                self.input.filled(count);
            }
            Poll::Ready(Err(_)) => self.broken = true,
            Poll::Pending => {
                self.input.release(buffers);
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}
