//! The framing of a body that is sent, and the guard that no peer is ever told one length and given another.

use std::fmt;

use crate::encode;

/// How long the body of an outgoing message will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none. A request says nothing about it; a response says `Content-Length: 0` where its status may have a
    /// body.
    Empty,
    /// Exactly so many bytes. For an answer to HEAD and for a 304: what the body would have.
    Exactly(u64),
    /// Not known beforehand: chunked, or up to the end of the connection for a caller on HTTP/1.0.
    Unknown,
}

/// The driver did what the message before it does not allow; nothing was written, and the connection must close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misuse {
    /// More data than the length that was announced.
    TooMuch,
    /// The message ended before the length that was announced.
    TooLittle,
    /// A call that does not fit the state of the message.
    OutOfTurn,
    /// A method, target, host or name that cannot be written.
    Unwritable,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMuch => "more data than the announced length",
            Self::TooLittle => "the message ended before the announced length",
            Self::OutOfTurn => "the message does not stand where this may be written",
            Self::Unwritable => "a part of the head cannot be written as HTTP",
        })
    }
}

impl std::error::Error for Misuse {}

/// How the outgoing body is framed, and what of it is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyWriter {
    /// No message is being written.
    Idle,
    /// The head is being written; the body will be framed so.
    Head(Framing),
    /// The head is out.
    Body(Framing),
    /// The message is complete.
    Done,
}

/// How data becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body follows; data is taken and dropped, as for HEAD.
    Suppressed,
    Length {
        left: u64,
    },
    Chunked,
    UntilClose,
}

impl BodyWriter {
    pub(crate) fn end_head(&mut self, out: &mut Vec<u8>) -> Result<(), Misuse> {
        let Self::Head(framing) = *self else { return Err(Misuse::OutOfTurn) };
        encode::end_of_head(out);
        *self = Self::Body(framing);
        Ok(())
    }

    /// Writes what precedes `len` bytes of data and returns what must follow them; `None` when the data is not sent.
    #[inline]
    pub(crate) fn frame(&mut self, len: usize, out: &mut Vec<u8>) -> Result<Option<&'static [u8]>, Misuse> {
        let Self::Body(framing) = self else { return Err(Misuse::OutOfTurn) };
        match framing {
            Framing::Suppressed => Ok(None),
            _ if len == 0 => Ok(Some(b"")),
            Framing::UntilClose => Ok(Some(b"")),
            Framing::Length { left } => {
                *left = left.checked_sub(len as u64).ok_or(Misuse::TooMuch)?;
                Ok(Some(b""))
            }
            Framing::Chunked => {
                encode::chunk_header(out, len as u64);
                Ok(Some(b"\r\n"))
            }
        }
    }

    #[inline]
    pub(crate) fn data(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Misuse> {
        if let Some(suffix) = self.frame(data.len(), out)? {
            out.extend_from_slice(data);
            out.extend_from_slice(suffix);
        }
        Ok(())
    }

    /// Ends the message; trailers are written where the framing has room for them and dropped elsewhere.
    pub(crate) fn finish<'a>(
        &mut self,
        trailers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        match self {
            Self::Body(Framing::Length { left }) if *left > 0 => return Err(Misuse::TooLittle),
            Self::Body(Framing::Chunked) => encode::last_chunk(out, trailers),
            Self::Body(_) => {}
            _ => return Err(Misuse::OutOfTurn),
        }
        *self = Self::Done;
        Ok(())
    }
}
