//! The machine of one connection to an instance: requests out, responses in, one after the other.
//!
//! What holds:
//!
//! - A response belongs to the one request that was written; bytes that nobody asked for are refused and are never taken
//!   for the next answer.
//! - A response may come before the request's body is out. The driver then finishes the body or gives the connection up.
//! - [`ClientConnection::reusable`] is true only when both messages are complete, both sides keep the connection, and
//!   not a byte came after the response.
//!
//! Source: RFC 9112 sections 6.3, 9.3, 9.5; RFC 9110 sections 7.8, 15.2.

use std::ops::Range;

use crate::Received;
use crate::body::{BodyDecoder, BodyEvent};
use crate::encode;
use crate::fields::Field;
use crate::framing::ResponseFacts;
use crate::head::ResponseHead;
use crate::parse::ResponseParser;
use crate::reject::{Limits, Reject};
use crate::syntax::is_visible;
use crate::writer::{BodyLength, BodyWriter, Framing, Misuse};

/// Interim responses that may precede a response: 16, so that an instance cannot hold a caller with 1xx alone.
pub const INTERIM_MAX: u8 = 16;

/// The start of a request to an instance.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingRequest<'a> {
    /// The method.
    pub method: &'a [u8],
    /// Path and query, or `*`.
    pub target: &'a [u8],
    /// What `Host` will say; do not write a second one.
    pub host: &'a [u8],
    /// How long the body will be.
    pub body: BodyLength,
    /// Whether another protocol is asked for: `Connection: Upgrade` is written, `Upgrade` is the driver's to write.
    pub upgrade: bool,
}

/// What came from the instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseEvent {
    /// Nothing more can be told before more bytes come.
    NeedMore,
    /// An interim response (100 to 199 but 101); the head that was handed in holds it. The response follows.
    Interim(u16),
    /// The response's head: the spans of the head that was handed in lie in the first `consumed` bytes of the input.
    Response(ResponseFacts),
    /// Data of the body, or of the tunnel after a 101: this range of the input.
    Data(Range<usize>),
    /// The response is complete; reported once.
    End,
}

/// What the end of the instance's bytes means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceEof {
    /// No request was under way.
    Idle,
    /// Not one byte of a response had come.
    BeforeResponse,
    /// The response's head, or an interim response, had partly come.
    InHead,
    /// The body broke off.
    InBody,
    /// The body ended with the connection, as its framing says: the response is complete.
    EndOfBody,
    /// The tunnel ended in this direction.
    Tunnel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No request is under way and none was.
    Fresh,
    /// The response's head is awaited.
    Head,
    /// The response's body is awaited.
    Body,
    /// The response is complete.
    Complete,
    /// Another protocol has the connection.
    Tunnel,
    /// What came, or what was asked, made no sense.
    Broken,
}

/// The machine of one connection to an instance.
#[derive(Debug, Clone)]
pub struct ClientConnection {
    phase: Phase,
    parser: ResponseParser,
    decoder: BodyDecoder,
    writer: BodyWriter,
    to_head: bool,
    upgrade: bool,
    keep: bool,
    began: bool,
    interim: u8,
}

impl ClientConnection {
    /// The machine of a connection that was just opened.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            phase: Phase::Fresh,
            parser: ResponseParser::new(limits),
            decoder: BodyDecoder::new(limits),
            writer: BodyWriter::Idle,
            to_head: false,
            upgrade: false,
            keep: true,
            began: false,
            interim: 0,
        }
    }

    /// Writes request line, `Host` and framing of a request; then write the other fields, but none of these, and call
    /// [`Self::end_head`].
    ///
    /// # Errors
    /// [`Misuse::OutOfTurn`] unless [`Self::reusable`]; [`Misuse::Unwritable`] when method, target or host are empty or
    /// hold a space or a control character.
    pub fn start_request(&mut self, request: OutgoingRequest<'_>, out: &mut Vec<u8>) -> Result<(), Misuse> {
        if !self.reusable() {
            return self.guard(Err(Misuse::OutOfTurn));
        }
        if ![request.method, request.target, request.host].into_iter().all(is_visible) {
            return self.guard(Err(Misuse::Unwritable));
        }
        encode::request_line(out, request.method, request.target);
        encode::field(out, b"Host", request.host);
        let framing = match request.body {
            BodyLength::Empty => Framing::Length { left: 0 },
            BodyLength::Exactly(length) => {
                encode::field_u64(out, b"Content-Length", length);
                Framing::Length { left: length }
            }
            BodyLength::Unknown => {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
                Framing::Chunked
            }
        };
        if request.upgrade {
            out.extend_from_slice(b"Connection: Upgrade\r\n");
        }
        self.writer = BodyWriter::Head(framing);
        self.phase = Phase::Head;
        self.to_head = request.method == b"HEAD";
        self.upgrade = request.upgrade;
        self.began = false;
        self.interim = 0;
        Ok(())
    }

    /// Ends the head of the request.
    ///
    /// # Errors
    /// [`Misuse::OutOfTurn`] when no head is being written.
    pub fn end_head(&mut self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        let result = self.writer.end_head(out);
        self.guard(result)
    }

    /// Writes `data` as a part of the request's body, or into the tunnel.
    ///
    /// # Errors
    /// [`Misuse::TooMuch`] beyond the announced length, [`Misuse::OutOfTurn`] outside a body.
    pub fn data(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Misuse> {
        let result = self.writer.data(data, out);
        self.guard(result)
    }

    /// Like [`Self::data`] for data that the driver sends itself: writes what precedes it and returns what must follow
    /// it; never `None` for a request.
    ///
    /// # Errors
    /// As [`Self::data`].
    pub fn frame(&mut self, len: usize, out: &mut Vec<u8>) -> Result<Option<&'static [u8]>, Misuse> {
        let result = self.writer.frame(len, out);
        self.guard(result)
    }

    /// Ends the request; the trailers are dropped where the framing has no room for them.
    ///
    /// # Errors
    /// [`Misuse::TooLittle`] before the announced length, [`Misuse::OutOfTurn`] outside a body. A request that cannot be
    /// completed must not look complete: close the connection without calling this.
    pub fn finish<'a>(
        &mut self,
        trailers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        let result = self.writer.finish(trailers, out);
        self.guard(result)
    }

    /// Takes the unread bytes of the instance and tells the next event in them.
    ///
    /// `head` is filled when the event is [`ResponseEvent::Response`] or [`ResponseEvent::Interim`]; hand in the same one
    /// until then. `input` begins after what was consumed so far. Repeat until [`ResponseEvent::NeedMore`] or
    /// [`ResponseEvent::End`], and hand in everything that was read, so that bytes after the response are seen.
    ///
    /// # Errors
    /// Why the response is refused; the connection must close.
    #[inline]
    pub fn receive(&mut self, input: &[u8], head: &mut ResponseHead) -> Result<Received<ResponseEvent>, Reject> {
        let received = match self.phase {
            Phase::Head => self.receive_head(input, head),
            Phase::Body => self.receive_body(input),
            Phase::Tunnel if !input.is_empty() => Ok(Received::new(input.len(), ResponseEvent::Data(0..input.len()))),
            Phase::Fresh | Phase::Complete if !input.is_empty() => Err(Reject::UnaskedBytes),
            _ => Ok(Received::new(input.len(), ResponseEvent::NeedMore)),
        };
        received.inspect_err(|_| self.phase = Phase::Broken)
    }

    fn receive_head(&mut self, input: &[u8], head: &mut ResponseHead) -> Result<Received<ResponseEvent>, Reject> {
        self.began |= !input.is_empty();
        let Some(Received { consumed, event: facts }) = self.parser.parse(input, self.to_head, head)? else {
            return Ok(Received::new(0, ResponseEvent::NeedMore));
        };
        match head.status {
            101 if !self.upgrade || !self.request_complete() => return Err(Reject::UnaskedUpgrade),
            101 => {
                self.phase = Phase::Tunnel;
                self.writer = BodyWriter::Body(Framing::UntilClose);
            }
            status @ 100..200 => return self.interim(status, consumed),
            _ => {
                self.keep &= facts.keep_alive;
                self.decoder.start(facts.body);
                self.phase = Phase::Body;
            }
        }
        Ok(Received::new(consumed, ResponseEvent::Response(facts)))
    }

    fn interim(&mut self, status: u16, consumed: usize) -> Result<Received<ResponseEvent>, Reject> {
        self.interim += 1;
        if self.interim > INTERIM_MAX {
            return Err(Reject::TooManyInterim);
        }
        Ok(Received::new(consumed, ResponseEvent::Interim(status)))
    }

    fn receive_body(&mut self, input: &[u8]) -> Result<Received<ResponseEvent>, Reject> {
        let Received { consumed, event } = self.decoder.decode(input)?;
        let event = match event {
            BodyEvent::NeedMore => ResponseEvent::NeedMore,
            BodyEvent::Data(range) => ResponseEvent::Data(range),
            BodyEvent::End => {
                self.phase = Phase::Complete;
                self.keep &= consumed == input.len();
                ResponseEvent::End
            }
        };
        Ok(Received::new(consumed, event))
    }

    /// The trailers that came with [`ResponseEvent::End`], as spans into the input of that call.
    #[must_use]
    pub fn trailers(&self) -> &[Field] {
        self.decoder.trailers()
    }

    /// Tells the machine that the instance sends nothing more, once every byte before that was received.
    pub fn eof(&mut self) -> InstanceEof {
        self.keep = false;
        match self.phase {
            Phase::Head if !self.began => InstanceEof::BeforeResponse,
            Phase::Head => InstanceEof::InHead,
            Phase::Body if self.decoder.eof() => {
                self.phase = Phase::Complete;
                InstanceEof::EndOfBody
            }
            Phase::Body => InstanceEof::InBody,
            Phase::Tunnel => InstanceEof::Tunnel,
            Phase::Fresh | Phase::Complete | Phase::Broken => InstanceEof::Idle,
        }
    }

    /// Whether any byte of the response has come.
    #[must_use]
    pub const fn response_began(&self) -> bool {
        self.began
    }

    /// Whether the request, with its whole body, was written.
    #[must_use]
    pub fn request_complete(&self) -> bool {
        self.writer == BodyWriter::Done
    }

    /// Whether another request may be written: nothing is under way, everything before is complete, both sides keep the
    /// connection and nothing unasked has come.
    ///
    /// Only bytes that were handed in can be known: read once more, without waiting, from a connection that was idle.
    #[must_use]
    pub fn reusable(&self) -> bool {
        self.keep && (self.phase == Phase::Fresh || (self.phase == Phase::Complete && self.request_complete()))
    }

    /// Whether another protocol has the connection.
    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        self.phase == Phase::Tunnel
    }

    fn guard<T>(&mut self, result: Result<T, Misuse>) -> Result<T, Misuse> {
        self.keep &= result.is_ok();
        result
    }
}
