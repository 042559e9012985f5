//! Where a body's data lies in the bytes that come in, and where the body ends.
//!
//! [`BodyDecoder`] takes whatever has come, tells how much of it is done with, and names the data as a range of the
//! input: nothing is copied and nothing is kept but a few counters. However the input is cut, the data, its end and the
//! first error are the same.
//!
//! The chunked coding is read as RFC 9112 section 7.1 writes it and no wider: 1 to 16 hexadecimal digits, no space after
//! them, CRLF after the size and after the data. Chunk extensions are dropped, and bounded over the whole body. Of the
//! trailers only fields without a meaning to a gateway survive: whatever frames, routes or authenticates comes too late
//! there, and a peer that merges trailers into the head would be deceived (RFC 9110 section 6.5.1).

use std::ops::Range;

use crate::Received;
use crate::fields::Field;
use crate::parse::TrailerParser;
use crate::reject::{Limits, Reject};
use crate::syntax::{control, hex_value};

/// Bytes of chunk extensions that a whole body may hold: 4 KiB, far more than any known use.
pub const CHUNK_EXTENSIONS_MAX: u32 = 4 * 1024;

/// Digits of a chunk size: as many as 64 bits hold.
const SIZE_DIGITS_MAX: u8 = 16;

/// How a body is delimited on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyKind {
    /// There is none, and nothing announces one.
    #[default]
    None,
    /// Exactly so many bytes, as `Content-Length` says.
    Length(u64),
    /// Chunks, a last chunk and trailers.
    Chunked,
    /// Everything up to the end of the connection; only in responses.
    UntilClose,
}

impl BodyKind {
    /// Whether no byte of a body will come.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// What a decoder found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyEvent {
    /// Nothing more can be told from this input.
    NeedMore,
    /// Data: this range of the input, never empty.
    Data(Range<usize>),
    /// The body is complete. Trailers, if any, are spans into this call's input.
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// `left` bytes of the body are to come.
    Length,
    UntilClose,
    /// So many digits of a chunk size were read into `left`.
    Size {
        digits: u8,
    },
    Extension,
    SizeLf,
    /// `left` bytes of a chunk are to come.
    Chunk,
    ChunkCr,
    ChunkLf,
    Trailers,
    Done,
}

/// Finds a body in the bytes that follow a head.
#[derive(Debug, Clone)]
pub struct BodyDecoder {
    state: State,
    left: u64,
    extensions: u32,
    limits: Limits,
    trailer_parser: TrailerParser,
    trailers: Vec<Field>,
}

impl BodyDecoder {
    /// A decoder that expects no body; `limits` bound the trailers.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            state: State::Done,
            left: 0,
            extensions: 0,
            limits,
            trailer_parser: TrailerParser::default(),
            trailers: Vec::new(),
        }
    }

    /// Prepares for the body of the next message.
    pub fn start(&mut self, kind: BodyKind) {
        (self.state, self.left) = match kind {
            BodyKind::None | BodyKind::Length(0) => (State::Done, 0),
            BodyKind::Length(length) => (State::Length, length),
            BodyKind::Chunked => (SIZE_BEGIN, 0),
            BodyKind::UntilClose => (State::UntilClose, 0),
        };
        self.extensions = 0;
        self.trailer_parser = TrailerParser::default();
        self.trailers.clear();
    }

    /// Whether the body is complete.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the body ends with the connection.
    #[must_use]
    pub fn is_until_close(&self) -> bool {
        self.state == State::UntilClose
    }

    /// Tells the decoder that the connection ended: whether the body is complete by that.
    pub fn eof(&mut self) -> bool {
        if self.state == State::UntilClose {
            self.state = State::Done;
        }
        self.is_done()
    }

    /// The trailers that came with [`BodyEvent::End`], as spans into the input of that call.
    #[must_use]
    pub fn trailers(&self) -> &[Field] {
        &self.trailers
    }
}

/// Before the first digit of a chunk size.
const SIZE_BEGIN: State = State::Size { digits: 0 };

impl BodyDecoder {
    /// Finds the next event at the front of `input`, which begins after what was consumed so far.
    ///
    /// Once the body is complete, every call answers [`BodyEvent::End`] and consumes nothing.
    ///
    /// # Errors
    /// Why the body is refused; the decoder is of no use afterwards.
    #[inline]
    pub fn decode(&mut self, input: &[u8]) -> Result<Received<BodyEvent>, Reject> {
        match self.state {
            State::Done => Ok(Received::new(0, BodyEvent::End)),
            State::Length => Ok(self.take(input, 0, State::Done)),
            State::UntilClose if input.is_empty() => Ok(Received::new(0, BodyEvent::NeedMore)),
            State::UntilClose => Ok(Received::new(input.len(), BodyEvent::Data(0..input.len()))),
            _ => self.decode_chunked(input),
        }
    }

    /// Takes what has come of the `left` bytes, from `at` on; `then` follows them.
    fn take(&mut self, input: &[u8], at: usize, then: State) -> Received<BodyEvent> {
        let available = input.len() - at;
        if available == 0 {
            return Received::new(at, BodyEvent::NeedMore);
        }
        let taken = usize::try_from(self.left).map_or(available, |left| left.min(available));
        self.left -= taken as u64;
        if self.left == 0 {
            self.state = then;
        }
        Received::new(at + taken, BodyEvent::Data(at..at + taken))
    }

    fn decode_chunked(&mut self, input: &[u8]) -> Result<Received<BodyEvent>, Reject> {
        let mut at = 0;
        loop {
            match self.state {
                State::Chunk => return Ok(self.take(input, at, State::ChunkCr)),
                State::Trailers => return self.decode_trailers(input, at),
                State::Extension => at += self.skip_extension(&input[at..])?,
                _ => {}
            }
            let Some(&byte) = input.get(at) else { return Ok(Received::new(at, BodyEvent::NeedMore)) };
            self.state = self.after(byte)?;
            at += 1;
        }
    }

    /// The state after one byte of a chunk's frame.
    #[inline]
    fn after(&mut self, byte: u8) -> Result<State, Reject> {
        match (self.state, byte) {
            (State::Size { digits }, _) => self.after_size(digits, byte),
            (State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Extension, b'\n') => Err(Reject::BareLf),
            (State::Extension, _) => Err(Reject::BadChunkExtension),
            (State::SizeLf, b'\n') if self.left == 0 => Ok(State::Trailers),
            (State::SizeLf, b'\n') => Ok(State::Chunk),
            (State::SizeLf, _) => Err(Reject::BareCr),
            (State::ChunkCr, b'\r') => Ok(State::ChunkLf),
            (State::ChunkLf, b'\n') => Ok(SIZE_BEGIN),
            _ => Err(Reject::BadChunkEnd),
        }
    }

    #[inline]
    fn after_size(&mut self, digits: u8, byte: u8) -> Result<State, Reject> {
        match (hex_value(byte), byte) {
            (Some(_), _) if digits == SIZE_DIGITS_MAX => Err(Reject::BadChunkSize),
            (Some(value), _) => {
                self.left = self.left << 4 | value;
                Ok(State::Size { digits: digits + 1 })
            }
            (None, b'\r') if digits > 0 => Ok(State::SizeLf),
            (None, b';') if digits > 0 => Ok(State::Extension),
            (None, b'\n') if digits > 0 => Err(Reject::BareLf),
            _ => Err(Reject::BadChunkSize),
        }
    }

    /// The length of the extension text at the front, up to the first byte that is none.
    fn skip_extension(&mut self, input: &[u8]) -> Result<usize, Reject> {
        let mut length = control(input).unwrap_or(input.len());
        while input.get(length) == Some(&b'\t') {
            length += 1;
            length += control(&input[length..]).unwrap_or(input.len() - length);
        }
        let room = (CHUNK_EXTENSIONS_MAX - self.extensions) as usize;
        if length > room {
            return Err(Reject::ChunkExtensionsTooLarge);
        }
        self.extensions += length as u32;
        Ok(length)
    }

    /// Reads the trailer section from `at` on.
    ///
    /// Until it is complete, spans count from its beginning, where the next call's input begins.
    fn decode_trailers(&mut self, input: &[u8], at: usize) -> Result<Received<BodyEvent>, Reject> {
        let Some(length) = self.trailer_parser.parse(&input[at..], self.limits, &mut self.trailers)? else {
            return Ok(Received::new(at, BodyEvent::NeedMore));
        };
        for field in &mut self.trailers {
            field.name.start += at as u32;
            field.value.start += at as u32;
        }
        self.state = State::Done;
        Ok(Received::new(at + length, BodyEvent::End))
    }
}
