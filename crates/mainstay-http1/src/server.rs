//! The machine of one caller's connection: requests in, responses out, one after the other.
//!
//! Inputs are the bytes that were read, the end of the connection, and what the driver wants to answer; outputs are
//! events and bytes appended to a `Vec<u8>`. What holds:
//!
//! - Requests are taken one at a time. The next one is not parsed before [`ServerConnection::next_request`], so a caller
//!   that pipelines waits in the driver's buffer and costs nothing.
//! - The driver alone decides status, fields and data; how they are framed, and whether the connection goes on, is
//!   decided here.
//! - After a refusal, a misuse or a body that ended early the connection must close: [`ServerConnection::must_close`].
//!
//! A driver's loop: call [`ServerConnection::receive`] with everything unread; drop `consumed` bytes from the front;
//! repeat until [`RequestEvent::NeedMore`], which means: read more, or write, or call `next_request`.
//!
//! Source: RFC 9112 sections 2.2, 3, 6, 7, 9; RFC 9110 sections 7.8, 10.1.1, 15.2.

use std::ops::Range;

use crate::Received;
use crate::body::{BodyDecoder, BodyEvent};
use crate::encode;
use crate::fields::Field;
use crate::framing::RequestFacts;
use crate::head::{RequestHead, Version};
use crate::parse::RequestParser;
use crate::reject::{Limits, Reject};
use crate::writer::{BodyLength, BodyWriter, Framing, Misuse};

/// What came from the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestEvent {
    /// Nothing more can be told before more bytes come or the response is complete.
    NeedMore,
    /// A request's head: the spans of the head that was handed in lie in the first `consumed` bytes of the input.
    Request(RequestFacts),
    /// Data of the body, or of the tunnel after an upgrade: this range of the input.
    Data(Range<usize>),
    /// The request is complete; reported once for each. A request without a body may be answered without waiting for
    /// it.
    End,
}

/// What the end of the caller's bytes means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerEof {
    /// No request was under way: the connection ends well.
    Idle,
    /// The caller left in the middle of a head.
    InHead,
    /// The caller left in the middle of a body; the request is incomplete and must not look complete to anybody.
    InBody,
    /// The request is complete and its response is not: the caller sends nothing more but may still be listening.
    AwaitingResponse,
    /// The tunnel ended in this direction.
    Tunnel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A head is awaited or has partly come.
    Head,
    /// A request is being served; `end_told` once its end was reported.
    Request { end_told: bool },
    /// Another protocol has the connection.
    Tunnel,
    /// A request was refused.
    Refused,
}

/// The machine of one caller's connection.
#[derive(Debug, Clone)]
pub struct ServerConnection {
    phase: Phase,
    parser: RequestParser,
    decoder: BodyDecoder,
    writer: BodyWriter,
    version: Version,
    to_head: bool,
    upgrade: bool,
    upgrading: bool,
    expects_continue: bool,
    keep: bool,
}

impl ServerConnection {
    /// The machine of a connection that was just accepted.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            phase: Phase::Head,
            parser: RequestParser::new(limits),
            decoder: BodyDecoder::new(limits),
            writer: BodyWriter::Idle,
            version: Version::Http11,
            to_head: false,
            upgrade: false,
            upgrading: false,
            expects_continue: false,
            keep: true,
        }
    }

    /// Takes the unread bytes of the caller and tells the next event in them.
    ///
    /// `head` is filled when the event is [`RequestEvent::Request`]; hand in the same one until then, for a head that
    /// comes in pieces is not parsed twice. `input` begins after what was consumed so far. A buffer of
    /// [`Limits::head`] bytes always suffices: what is longer and cannot be consumed is refused.
    ///
    /// # Errors
    /// The [`Reject`] to answer with, unless a response has begun. Everything after it is consumed and ignored.
    #[inline]
    pub fn receive(&mut self, input: &[u8], head: &mut RequestHead) -> Result<Received<RequestEvent>, Reject> {
        let received = match self.phase {
            Phase::Head => self.receive_head(input, head),
            Phase::Request { end_told } => self.receive_body(input, end_told),
            Phase::Tunnel if !input.is_empty() => Ok(Received::new(input.len(), RequestEvent::Data(0..input.len()))),
            Phase::Tunnel | Phase::Refused => Ok(Received::new(input.len(), RequestEvent::NeedMore)),
        };
        received.inspect_err(|_| {
            self.phase = Phase::Refused;
            self.keep = false;
        })
    }

    fn receive_head(&mut self, input: &[u8], head: &mut RequestHead) -> Result<Received<RequestEvent>, Reject> {
        let Some(Received { consumed, event: facts }) = self.parser.parse(input, head)? else {
            return Ok(Received::new(0, RequestEvent::NeedMore));
        };
        let method = head.method.of(input);
        self.version = head.version;
        self.to_head = method == b"HEAD";
        self.upgrade = facts.upgrade;
        self.expects_continue = facts.expect_continue;
        // What follows a CONNECT may be meant for the tunnel that was not opened.
        self.keep &= facts.keep_alive && method != b"CONNECT";
        self.decoder.start(facts.body);
        self.phase = Phase::Request { end_told: false };
        Ok(Received::new(consumed, RequestEvent::Request(facts)))
    }

    fn receive_body(&mut self, input: &[u8], end_told: bool) -> Result<Received<RequestEvent>, Reject> {
        if end_told {
            return Ok(Received::new(0, RequestEvent::NeedMore));
        }
        let Received { consumed, event } = self.decoder.decode(input)?;
        // A caller that sends its body has stopped waiting for the 100.
        self.expects_continue &= consumed == 0;
        let event = match event {
            BodyEvent::NeedMore => RequestEvent::NeedMore,
            BodyEvent::Data(range) => RequestEvent::Data(range),
            BodyEvent::End => {
                self.phase = Phase::Request { end_told: true };
                RequestEvent::End
            }
        };
        Ok(Received::new(consumed, event))
    }

    /// The trailers that came with [`RequestEvent::End`], as spans into the input of that call.
    #[must_use]
    pub fn trailers(&self) -> &[Field] {
        self.decoder.trailers()
    }

    /// Tells the machine that the caller sends nothing more, once every byte before that was received.
    ///
    /// A caller may close its sending side after several pipelined requests; they are still served, and the driver
    /// closes once it has nothing left to receive.
    pub fn eof(&mut self) -> CallerEof {
        let meaning = match self.phase {
            Phase::Tunnel => CallerEof::Tunnel,
            Phase::Refused => CallerEof::Idle,
            Phase::Head if self.parser.began() => CallerEof::InHead,
            Phase::Head => CallerEof::Idle,
            Phase::Request { .. } if !self.decoder.is_done() => CallerEof::InBody,
            Phase::Request { .. } if self.writer == BodyWriter::Done => CallerEof::Idle,
            Phase::Request { .. } => CallerEof::AwaitingResponse,
        };
        self.keep &= meaning == CallerEof::AwaitingResponse;
        meaning
    }

    /// Whether the request, with its whole body, has come.
    #[must_use]
    pub fn request_complete(&self) -> bool {
        matches!(self.phase, Phase::Request { .. }) && self.decoder.is_done()
    }

    /// Whether the caller still waits for a 100 before it sends its body.
    #[must_use]
    pub const fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Writes a `100 Continue` when the caller waits for it, and tells whether it did.
    pub fn send_continue(&mut self, out: &mut Vec<u8>) -> bool {
        let due = self.expects_continue && self.writer == BodyWriter::Idle;
        if due {
            self.expects_continue = false;
            out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        due
    }

    /// Writes the status line of an interim response (102 to 199) and tells whether it did; then write its fields and
    /// [`crate::end_of_head`]. Callers on HTTP/1.0 get none.
    pub fn start_interim(&mut self, status: u16, out: &mut Vec<u8>) -> bool {
        let due = matches!(self.phase, Phase::Request { .. })
            && self.writer == BodyWriter::Idle
            && self.version == Version::Http11
            && (102..200).contains(&status);
        if due {
            encode::status_line(out, status);
        }
        due
    }

    /// Writes status line, framing and `Connection` of the response; then write the other fields, but none of these,
    /// and call [`Self::end_head`].
    ///
    /// A refused or unfinished head may be answered as well; the connection then closes. So it does when the caller
    /// still waits for a 100: nobody can know whether it will send the body that it announced.
    ///
    /// # Errors
    /// [`Misuse::OutOfTurn`] when a response has begun, [`Misuse::Unwritable`] for a status outside 200 to 599.
    pub fn start_response(&mut self, status: u16, body: BodyLength, out: &mut Vec<u8>) -> Result<(), Misuse> {
        if self.writer != BodyWriter::Idle || self.phase == Phase::Tunnel {
            return self.misused(Misuse::OutOfTurn);
        }
        if !(200..600).contains(&status) {
            return self.misused(Misuse::Unwritable);
        }
        if self.phase == Phase::Head {
            self.phase = Phase::Refused;
        }
        self.keep &= self.phase != Phase::Refused && !self.expects_continue;
        let framing = self.framing(status, body);
        self.keep &= framing != Framing::UntilClose;
        encode::status_line(out, status);
        self.write_framing(status, body, framing, out);
        match (self.keep, self.version) {
            (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
            (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
            (true, _) => {}
        }
        self.writer = BodyWriter::Head(framing);
        Ok(())
    }

    fn framing(&self, status: u16, body: BodyLength) -> Framing {
        match body {
            _ if self.to_head || status == 204 || status == 304 => Framing::Suppressed,
            BodyLength::Empty => Framing::Length { left: 0 },
            BodyLength::Exactly(length) => Framing::Length { left: length },
            BodyLength::Unknown if self.version == Version::Http10 => Framing::UntilClose,
            BodyLength::Unknown => Framing::Chunked,
        }
    }

    fn write_framing(&self, status: u16, body: BodyLength, framing: Framing, out: &mut Vec<u8>) {
        match (framing, body) {
            (Framing::Length { left }, _) => encode::field_u64(out, b"Content-Length", left),
            (Framing::Chunked, _) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            (Framing::Suppressed, BodyLength::Exactly(length)) if status != 204 => {
                encode::field_u64(out, b"Content-Length", length);
            }
            (Framing::Suppressed | Framing::UntilClose, _) => {}
        }
    }

    /// Writes the status line and `Connection` of a 101; then write `Upgrade` and the other fields and call
    /// [`Self::end_head`], after which both directions are bare bytes.
    ///
    /// # Errors
    /// [`Misuse::OutOfTurn`] when no upgrade was asked, the request is incomplete or a response has begun.
    pub fn start_upgrade(&mut self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        if !self.upgrade || !self.request_complete() || self.writer != BodyWriter::Idle {
            return self.misused(Misuse::OutOfTurn);
        }
        encode::status_line(out, 101);
        out.extend_from_slice(b"Connection: Upgrade\r\n");
        self.upgrading = true;
        self.keep = false;
        self.writer = BodyWriter::Head(Framing::UntilClose);
        Ok(())
    }

    /// Ends the head of the response.
    ///
    /// # Errors
    /// [`Misuse::OutOfTurn`] when no head is being written.
    pub fn end_head(&mut self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        let result = self.writer.end_head(out);
        if self.upgrading && result.is_ok() {
            self.phase = Phase::Tunnel;
        }
        self.guard(result)
    }

    /// Writes `data` as a part of the body; dropped where the response has no body, as for HEAD.
    ///
    /// # Errors
    /// [`Misuse::TooMuch`] beyond the announced length, [`Misuse::OutOfTurn`] outside a body.
    pub fn data(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Misuse> {
        let result = self.writer.data(data, out);
        self.guard(result)
    }

    /// Like [`Self::data`] for data that the driver sends itself: writes what precedes it and returns what must follow
    /// it; `None` says that the data is not sent at all.
    ///
    /// # Errors
    /// As [`Self::data`].
    pub fn frame(&mut self, len: usize, out: &mut Vec<u8>) -> Result<Option<&'static [u8]>, Misuse> {
        let result = self.writer.frame(len, out);
        self.guard(result)
    }

    /// Ends the response; the trailers are dropped where the framing has no room for them.
    ///
    /// # Errors
    /// [`Misuse::TooLittle`] before the announced length, [`Misuse::OutOfTurn`] outside a body. A response that cannot
    /// be completed must not look complete: close the connection without calling this.
    pub fn finish<'a>(
        &mut self,
        trailers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        let result = self.writer.finish(trailers, out);
        self.guard(result)
    }

    /// Goes on to the next request when both messages are complete and the connection goes on; tells whether it did.
    ///
    /// `false` after the response is complete means: close, or, unless [`Self::must_close`], receive the rest of the
    /// request's body first.
    pub fn next_request(&mut self) -> bool {
        let ready = self.keep && self.writer == BodyWriter::Done && self.request_complete();
        if ready {
            self.phase = Phase::Head;
            self.writer = BodyWriter::Idle;
            // The next head may be refused before it says these; its answer must not go by the request before.
            self.version = Version::Http11;
            self.to_head = false;
            self.upgrade = false;
        }
        ready
    }

    /// Lets the connection end with the response under way, or with the next one; call it before
    /// [`Self::start_response`], so that the caller is told.
    pub const fn close_after_response(&mut self) {
        self.keep = false;
    }

    /// Whether the connection must close once what was written is flushed and the response under way, if any, is
    /// complete.
    #[must_use]
    pub const fn must_close(&self) -> bool {
        !self.keep
    }

    /// Whether a response was begun: it is committed, and no other can be given.
    #[must_use]
    pub fn response_begun(&self) -> bool {
        self.writer != BodyWriter::Idle
    }

    /// Whether the response is complete.
    #[must_use]
    pub fn response_complete(&self) -> bool {
        self.writer == BodyWriter::Done
    }

    /// Whether another protocol has the connection.
    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        self.phase == Phase::Tunnel
    }

    fn misused<T>(&mut self, misuse: Misuse) -> Result<T, Misuse> {
        self.keep = false;
        Err(misuse)
    }

    fn guard<T>(&mut self, result: Result<T, Misuse>) -> Result<T, Misuse> {
        self.keep &= result.is_ok();
        result
    }
}
