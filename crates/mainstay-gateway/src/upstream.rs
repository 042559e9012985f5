//! One attempt's HTTP/1.1 connection to an instance: the request out, the answer in.
//!
//! [`Connection`] owns a socket and its protocol machine and is used for many attempts; [`Attempt`] is one request on
//! it. What holds:
//!
//! - [`Attempt::certainty`] is `NotSent` exactly as long as no byte of the request was handed to the system.
//! - An instance may answer before it has the whole request, and then stop reading. So a failed write is no failure yet:
//!   what it has sent is read first.
//! - Of a connection out of the pool the runtime knows without a system call that nothing came and nothing ended since it
//!   was put there; one where something did is not used.
//! - A connection goes back to the pool only when the whole request went out on it. An instance may answer before it has
//!   read a request to its end; what it has not read would otherwise be taken from the front of the next one.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use mainstay_core::{Certainty, Failure, Instant};
use mainstay_http1::{
    ClientConnection, Field, InstanceEof, Limits, Received, ResponseEvent, ResponseFacts, ResponseHead, ResponseView,
};
use mainstay_policy::{AttemptOrder, ConnectionId};
use mainstay_telemetry::EndpointKey;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::buffers::{Buffers, Input, Output};
use crate::connect::failure_of;
use crate::forward::FieldRules;
use crate::message::{Body, CAPACITY, Reset};

/// How large the head of an answer may be: more than callers may send, because servers set many cookies and policies,
/// and an answer that is refused has cost its work already.
const ANSWER_HEADS: Limits = Limits { head: 64 * 1024, headers: 200 };

/// A connection to an instance.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    stream: TcpStream,
    machine: ClientConnection,
    head: ResponseHead,
    input: Input,
    /// It was asked for bytes and there were none yet.
    waits: bool,
    /// Requests before this one.
    served: u64,
}

/// What reading from an instance gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    Bytes,
    End,
    Broken,
}

impl Connection {
    fn new(id: ConnectionId, stream: TcpStream) -> Self {
        Self {
            id,
            stream,
            machine: ClientConnection::new(ANSWER_HEADS),
            head: ResponseHead::default(),
            input: Input::default(),
            waits: false,
            served: 0,
        }
    }

    /// Whether nothing has come since its last answer, neither bytes nor an end. A byte that did come is lost by that.
    ///
    /// Not asked by a poll: that says "not ready" of anything once a task has used up its share of a turn.
    pub(crate) fn is_quiet(&self) -> bool {
        let nothing = || self.stream.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        self.input.is_empty() && self.machine.reusable() && nothing()
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffers: &Buffers) -> Poll<Read> {
        // Who has waited is woken when something has come, and need not ask first.
        let asks_first = self.input.is_empty() && !std::mem::replace(&mut self.waits, true);
        if asks_first && ready!(self.stream.poll_read_ready(cx)).is_err() {
            return Poll::Ready(Read::Broken);
        }
        let mut room = ReadBuf::new(self.input.room(buffers));
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut room);
        let count = room.filled().len();
        match read {
            Poll::Ready(Ok(())) => {
                self.waits = false;
                self.input.filled(count);
                Poll::Ready(if count > 0 { Read::Bytes } else { Read::End })
            }
            Poll::Ready(Err(_)) => Poll::Ready(Read::Broken),
            Poll::Pending => {
                self.input.release(buffers);
                Poll::Pending
            }
        }
    }
}

/// How the attempt gets its connection.
enum Link {
    /// All connections that are allowed are busy.
    Waiting,
    Connecting(ConnectionId, Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>),
    Open(Box<Connection>),
    Closed,
}

/// What an attempt has to tell before the head of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AttemptNews {
    /// A connection stands.
    Connected,
    /// The head of an interim answer, in [`Attempt::answer_head`] until [`Attempt::head_done`].
    Interim(u16),
    /// The head of the answer, likewise.
    Head(ResponseFacts),
    /// It failed.
    Failed(Reset),
    /// We lack what a connection needs.
    Unable,
}

/// What an attempt has to tell after the head.
#[derive(Debug)]
pub(crate) enum AnswerNews<'a> {
    /// Data.
    Data(&'a [u8]),
    /// The answer is complete: its trailers, with spans in the bytes beside them.
    End(&'a [Field], &'a [u8]),
    /// It broke off.
    Broken,
}

/// One request on its way to one instance.
pub(crate) struct Attempt {
    pub(crate) order: AttemptOrder,
    pub(crate) address: SocketAddr,
    pub(crate) key: EndpointKey,
    pub(crate) began: Instant,
    link: Link,
    output: Output,
    /// Bytes of the body that were written into the output.
    sent: u64,
    /// The request's head was written into the output.
    headed: bool,
    /// A byte was handed to the system.
    wrote: bool,
    /// Nothing more can be written.
    deaf: bool,
    /// Bytes of the answer's head at the front of the input.
    head_len: usize,
    /// The status of the answer, once its head came.
    pub(crate) status: Option<u16>,
    /// What the head of the answer says of its framing.
    pub(crate) framing: Option<ResponseFacts>,
    complete: bool,
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("order", &self.order).field("address", &self.address).finish_non_exhaustive()
    }
}

impl Attempt {
    /// An attempt that has no connection yet.
    pub(crate) fn new(order: AttemptOrder, address: SocketAddr, key: EndpointKey, began: Instant) -> Self {
        Self {
            order,
            address,
            key,
            began,
            link: Link::Waiting,
            output: Output::default(),
            sent: 0,
            headed: false,
            wrote: false,
            deaf: false,
            head_len: 0,
            status: None,
            framing: None,
            complete: false,
        }
    }

    /// Whether it waits for a connection of the pool.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.link, Link::Waiting)
    }

    /// Whether it waits for the system to connect.
    pub(crate) fn is_connecting(&self) -> bool {
        matches!(self.link, Link::Waiting | Link::Connecting(..))
    }

    /// Uses a connection out of the pool.
    pub(crate) fn reuse(&mut self, connection: Box<Connection>) {
        self.link = Link::Open(connection);
    }

    /// Opens a connection.
    pub(crate) fn connect(&mut self, id: ConnectionId) {
        let address = self.address;
        // The one allocation of a new connection beside its own memory; a reused one costs none.
        self.link = Link::Connecting(
            id,
            Box::pin(async move {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(stream)
            }),
        );
    }

    /// Waits for the connection. Only while [`Attempt::is_connecting`].
    pub(crate) fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<AttemptNews> {
        let Link::Connecting(id, connecting) = &mut self.link else { return Poll::Pending };
        match ready!(connecting.as_mut().poll(cx)) {
            Ok(stream) => {
                self.link = Link::Open(Box::new(Connection::new(*id, stream)));
                Poll::Ready(AttemptNews::Connected)
            }
            Err(error) => Poll::Ready(match failure_of(&error, self.address) {
                Some(failure) => AttemptNews::Failed(Reset { failure, certainty: Certainty::NotSent }),
                None => AttemptNews::Unable,
            }),
        }
    }

    /// What is known about whether the instance has any of it.
    pub(crate) fn certainty(&self) -> Certainty {
        if self.wrote { Certainty::Unknown } else { Certainty::NotSent }
    }

    /// Whether its connection carried requests before.
    pub(crate) fn was_reused(&self) -> bool {
        matches!(&self.link, Link::Open(connection) if connection.served > 0)
    }

    /// How much of the body it has taken.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether a byte was written before.
    pub(crate) fn has_written(&self) -> bool {
        self.wrote
    }

    /// The machine and the bytes to write the request's head with, until that was done.
    pub(crate) fn unwritten_head(&mut self, buffers: &Buffers) -> Option<(&mut ClientConnection, &mut Vec<u8>)> {
        let Link::Open(connection) = &mut self.link else { return None };
        if std::mem::replace(&mut self.headed, true) {
            return None;
        }
        Some((&mut connection.machine, self.output.tail(buffers)))
    }

    /// Whether there is something to write.
    pub(crate) fn wants_to_write(&self) -> bool {
        !self.output.is_empty() && !self.deaf
    }

    /// Whether the whole request was handed to the system.
    pub(crate) fn is_out(&self) -> bool {
        let is_complete = || matches!(&self.link, Link::Open(connection) if connection.machine.request_complete());
        self.headed && self.output.is_empty() && is_complete()
    }

    /// Takes what it can of the body into its output, and the end of the request when it has come, with the trailers that
    /// `rules` let pass.
    pub(crate) fn take_body(&mut self, body: &Body, rules: &FieldRules, buffers: &Buffers) {
        let Link::Open(connection) = &mut self.link else { return };
        if self.deaf || connection.machine.request_complete() {
            return;
        }
        let room = CAPACITY.saturating_sub(self.output.pending().len());
        let data = body.after(self.sent);
        let data = &data[..data.len().min(room)];
        let out = self.output.tail(buffers);
        if !data.is_empty() {
            self.deaf |= connection.machine.data(data, out).is_err();
            self.sent += data.len() as u64;
        }
        if body.is_complete() && self.sent == body.end() && !self.deaf {
            let trailers = body.trailers().iter().filter(|(name, _)| rules.lets_trail(name));
            self.deaf |= connection.machine.finish(trailers, out).is_err();
        }
    }

    /// Writes what waits. Ready when everything is out or nothing more can be.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Link::Open(connection) = &mut self.link else { return Poll::Ready(()) };
        while !self.output.is_empty() && !self.deaf {
            let written = ready!(self.output.poll_write(cx, &mut connection.stream));
            self.wrote |= written > 0;
            self.deaf = written == 0;
        }
        Poll::Ready(())
    }

    /// Waits for the head of the answer.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>, buffers: &Buffers) -> Poll<AttemptNews> {
        let Link::Open(connection) = &mut self.link else { return Poll::Pending };
        let failure = loop {
            if !connection.input.is_empty() {
                match connection.machine.receive(connection.input.bytes(), &mut connection.head) {
                    Ok(Received { consumed, event: ResponseEvent::Response(facts) }) => {
                        self.head_len = consumed;
                        self.status = Some(connection.head.status);
                        return Poll::Ready(AttemptNews::Head(facts));
                    }
                    Ok(Received { consumed, event: ResponseEvent::Interim(status) }) => {
                        self.head_len = consumed;
                        return Poll::Ready(AttemptNews::Interim(status));
                    }
                    Ok(Received { consumed, .. }) => connection.input.consume(consumed),
                    Err(_) => break Failure::Malformed,
                }
            }
            match ready!(connection.poll_read(cx, buffers)) {
                Read::Bytes => {}
                Read::End | Read::Broken => break Failure::Reset,
            }
        };
        Poll::Ready(AttemptNews::Failed(Reset { failure, certainty: self.certainty() }))
    }

    /// The head that [`Attempt::poll_head`] told of.
    pub(crate) fn answer_head(&self) -> Option<ResponseView<'_>> {
        let Link::Open(connection) = &self.link else { return None };
        Some(connection.head.view(connection.input.bytes()))
    }

    /// A copy of the head that [`Attempt::poll_head`] told of, with the bytes that it stands in.
    pub(crate) fn copy_head(&self) -> Option<(ResponseHead, Box<[u8]>)> {
        let Link::Open(connection) = &self.link else { return None };
        Some((connection.head.clone(), connection.input.bytes().get(..self.head_len)?.into()))
    }

    /// The head is done with.
    pub(crate) fn head_done(&mut self) {
        if let Link::Open(connection) = &mut self.link {
            connection.input.consume(std::mem::take(&mut self.head_len));
        }
    }

    /// Hands the next piece of the answer's body to `take`.
    pub(crate) fn poll_answer<T>(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &Buffers,
        take: impl FnOnce(AnswerNews<'_>) -> T,
    ) -> Poll<T> {
        let Link::Open(connection) = &mut self.link else { return Poll::Ready(take(AnswerNews::Broken)) };
        loop {
            let bytes = connection.input.bytes();
            match connection.machine.receive(bytes, &mut connection.head) {
                Ok(Received { consumed, event: ResponseEvent::Data(range) }) => {
                    let taken = take(AnswerNews::Data(&bytes[range]));
                    connection.input.consume(consumed);
                    return Poll::Ready(taken);
                }
                Ok(Received { consumed, event: ResponseEvent::End }) => {
                    let taken = take(AnswerNews::End(connection.machine.trailers(), bytes));
                    connection.input.consume(consumed);
                    self.complete = true;
                    return Poll::Ready(taken);
                }
                Ok(Received { consumed, .. }) => connection.input.consume(consumed),
                Err(reject) => {
                    tracing::debug!(address = %self.address, %reject, "an answer's body is not HTTP");
                    return Poll::Ready(take(AnswerNews::Broken));
                }
            }
            let ended = match ready!(connection.poll_read(cx, buffers)) {
                Read::Bytes => continue,
                Read::End => connection.machine.eof() == InstanceEof::EndOfBody,
                Read::Broken => false,
            };
            self.complete = ended;
            return Poll::Ready(take(if ended { AnswerNews::End(&[], &[]) } else { AnswerNews::Broken }));
        }
    }

    /// Looks whether what is left of the answer is in hand already, as for a short answer that is not forwarded: then
    /// the connection can be used again.
    pub(crate) fn skim(&mut self) {
        let Link::Open(connection) = &mut self.link else { return };
        connection.input.consume(std::mem::take(&mut self.head_len));
        while self.status.is_some() && !self.complete {
            match connection.machine.receive(connection.input.bytes(), &mut connection.head) {
                Ok(Received { consumed, event: ResponseEvent::Data(_) }) => connection.input.consume(consumed),
                Ok(Received { consumed, event: ResponseEvent::End }) => {
                    connection.input.consume(consumed);
                    self.complete = true;
                }
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Ends the attempt: the connection's number, and the connection itself if it can be used again.
    pub(crate) fn close(&mut self, buffers: &Buffers) -> Option<(ConnectionId, Option<Box<Connection>>)> {
        let all_out = self.output.is_empty() && !self.deaf;
        self.output.release(buffers);
        match std::mem::replace(&mut self.link, Link::Closed) {
            Link::Open(mut connection) => {
                let id = connection.id;
                let reusable = all_out && self.complete && connection.machine.reusable() && connection.input.is_empty();
                connection.input.discard(buffers);
                connection.served += 1;
                Some((id, reusable.then_some(connection)))
            }
            Link::Connecting(id, _) => Some((id, None)),
            Link::Waiting | Link::Closed => None,
        }
    }
}

#[cfg(test)]
mod tests;
