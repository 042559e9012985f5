//! One caller's connection: the machine of `mainstay-http1` on a tokio socket.
//!
//! Buffers are kept from one request to the next, so that a request in steady state asks for no memory.

use std::io;

use mainstay_http1::{BodyLength, Limits, RequestEvent, RequestFacts, RequestHead, RequestView, ServerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Bytes read at once, and written at once of a long body.
pub(crate) const BLOCK: usize = 64 * 1024;
/// What a read buffer begins with: a request's head and a small body.
const FIRST: usize = 8 * 1024;

/// Why a connection ends: the socket's error, or a misuse that is a mistake of ours.
pub(crate) type Ended = io::Error;

/// A connection between its socket and its machine.
pub(crate) struct Connection {
    stream: TcpStream,
    stopped: watch::Receiver<bool>,
    machine: ServerConnection,
    head: RequestHead,
    held: Vec<u8>,
    used: usize,
    head_at: usize,
    out: Vec<u8>,
}

/// A piece of a request's body.
pub(crate) enum Piece {
    /// These bytes of what is held.
    Data(std::ops::Range<usize>),
    /// The request is complete.
    End,
}

impl Connection {
    /// A connection that was just accepted; it ends when it is idle and `stopped` says so.
    pub(crate) fn new(stream: TcpStream, stopped: watch::Receiver<bool>) -> Self {
        // Failing only makes answers slower.
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            stopped,
            machine: ServerConnection::new(Limits::default()),
            head: RequestHead::default(),
            held: Vec::with_capacity(FIRST),
            used: 0,
            head_at: 0,
            out: Vec::with_capacity(FIRST),
        }
    }

    /// The next request's facts; none when the connection has ended well.
    pub(crate) async fn next(&mut self) -> Result<Option<RequestFacts>, Ended> {
        loop {
            let received = match self.machine.receive(&self.held[self.used..], &mut self.head) {
                Ok(received) => received,
                Err(reject) => return self.refuse(reject.status()).await.map(|()| None),
            };
            if let RequestEvent::Request(facts) = received.event {
                self.head_at = self.used;
                self.used += received.consumed;
                return Ok(Some(facts));
            }
            self.used += received.consumed;
            if !self.read_idle().await? {
                return Ok(None);
            }
        }
    }

    /// The head of the request that was last told of, until more is read.
    pub(crate) fn request(&self) -> RequestView<'_> {
        self.head.view(&self.held[self.head_at..])
    }

    /// Reads on, or learns that there is nothing to wait for any more.
    async fn read_idle(&mut self) -> Result<bool, Ended> {
        if *self.stopped.borrow() && self.used == self.held.len() {
            return Ok(false);
        }
        self.make_room();
        tokio::select! {
            biased;
            read = self.stream.read_buf(&mut self.held) => read.map(|bytes| bytes > 0),
            _ = self.stopped.changed() => Ok(self.used < self.held.len()),
        }
    }

    fn make_room(&mut self) {
        if self.used > 0 {
            self.held.drain(..self.used);
            self.used = 0;
        }
    }

    /// The next piece of the request's body.
    pub(crate) async fn piece(&mut self) -> Result<Piece, Ended> {
        loop {
            let from = self.used;
            let received = self.machine.receive(&self.held[from..], &mut self.head).map_err(io::Error::other)?;
            self.used += received.consumed;
            match received.event {
                RequestEvent::Data(range) => return Ok(Piece::Data(from + range.start..from + range.end)),
                RequestEvent::End => return Ok(Piece::End),
                RequestEvent::Request(_) | RequestEvent::NeedMore => self.read_body().await?,
            }
        }
    }

    /// Tells a caller who waits for that to send the body.
    pub(crate) async fn welcome(&mut self) -> Result<(), Ended> {
        if self.machine.send_continue(&mut self.out) { self.flush().await } else { Ok(()) }
    }

    async fn read_body(&mut self) -> Result<(), Ended> {
        self.welcome().await?;
        self.make_room();
        self.held.reserve(BLOCK / 2);
        match self.stream.read_buf(&mut self.held).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The bytes of a piece, until more is read.
    pub(crate) fn bytes(&self, range: std::ops::Range<usize>) -> &[u8] {
        &self.held[range]
    }

    /// Begins an answer; data follows.
    pub(crate) fn begin(&mut self, status: u16, body: BodyLength, kind: &[u8], name: &str) -> Result<(), Ended> {
        if *self.stopped.borrow() {
            self.machine.close_after_response();
        }
        self.machine.start_response(status, body, &mut self.out).map_err(io::Error::other)?;
        // Both are safe to write: one is a constant or came as a header, the other was checked at the start.
        mainstay_http1::field(&mut self.out, b"Content-Type", kind);
        mainstay_http1::field(&mut self.out, b"X-Instance", name.as_bytes());
        self.machine.end_head(&mut self.out).map_err(io::Error::other)
    }

    /// A part of the answer's body.
    pub(crate) async fn data(&mut self, data: &[u8]) -> Result<(), Ended> {
        self.machine.data(data, &mut self.out).map_err(io::Error::other)?;
        if self.out.len() >= BLOCK { self.flush().await } else { Ok(()) }
    }

    /// A piece of the request's body as a part of the answer's.
    pub(crate) async fn echo(&mut self, range: std::ops::Range<usize>) -> Result<(), Ended> {
        self.machine.data(&self.held[range], &mut self.out).map_err(io::Error::other)?;
        self.flush().await
    }

    /// Ends the answer and tells whether another request may follow.
    pub(crate) async fn end(&mut self) -> Result<bool, Ended> {
        self.machine.finish([], &mut self.out).map_err(io::Error::other)?;
        self.flush().await?;
        Ok(self.machine.next_request())
    }

    async fn refuse(&mut self, status: u16) -> Result<(), Ended> {
        self.begin(status, BodyLength::Empty, b"text/plain", "-")?;
        self.end().await.map(|_| ())
    }

    async fn flush(&mut self) -> Result<(), Ended> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        Ok(())
    }

    /// Sends bytes that are no answer, and ends the connection.
    pub(crate) async fn garbage(mut self, bytes: &[u8]) -> Result<(), Ended> {
        self.stream.write_all(bytes).await?;
        self.stream.shutdown().await
    }

    /// Ends the connection with a reset: the caller's next read fails.
    pub(crate) fn reset(self) -> Result<(), Ended> {
        self.stream.set_zero_linger()
    }

    /// Answers nothing until the caller leaves or the instance stops.
    pub(crate) async fn stall(mut self) -> Result<(), Ended> {
        loop {
            self.held.clear();
            tokio::select! {
                read = self.stream.read_buf(&mut self.held) => if read? == 0 { return Ok(()) },
                _ = self.stopped.changed() => return Ok(()),
            }
        }
    }
}
