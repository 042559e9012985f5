//! Frames: length, number, then what is said.
//!
//! Both ends give signs of life when they have nothing to say ([`BEATS`]), so that an end that is gone without a word, a cut
//! cable or a lost machine, is known by its silence and its connection is let go.

use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// The longest frame that is taken. An entry is never longer than a batch, a piece of a snapshot never than its own limit.
pub(crate) const LONGEST: usize = 64 << 20;

/// The number of a frame to which nobody waits for an answer.
pub(crate) const NOBODY: u64 = 0;

/// How long an end may be silent before its connection is let go; 5 s, several of its signs of life.
pub(crate) const SILENCE: Duration = Duration::from_secs(5);

/// How many signs of life there are in the silence that is borne.
pub(crate) const BEATS: u32 = 5;

/// Length and number.
const HEAD: usize = 4 + 8;

/// Puts one frame behind those that wait to be written; nothing, if it is longer than is taken.
pub(crate) fn put<T: Serialize>(into: &mut BytesMut, number: u64, said: &T) -> io::Result<()> {
    let begin = into.len();
    into.put_u32_le(0);
    into.put_u64_le(number);
    let body = postcard::serialize_with_flavor(said, Grow(std::mem::take(into))).map_err(io::Error::other)?;
    *into = body;
    let length = into.len() - begin - HEAD;
    if length > LONGEST {
        into.truncate(begin);
        return Err(too_long(length));
    }
    let length = u32::try_from(length).map_err(io::Error::other)?;
    into[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

fn too_long(length: usize) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes, {LONGEST} are the most"))
}

/// Writes all that waits. Whoever takes nothing for so long is gone.
pub(crate) async fn write<W: AsyncWrite + Unpin>(to: &mut W, out: &mut BytesMut, silence: Duration) -> io::Result<()> {
    while !out.is_empty() {
        if in_time(silence, to.write_buf(out)).await? == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    out.clear();
    Ok(())
}

async fn in_time<T>(silence: Duration, done: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(silence, done).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// A buffer that grows at its end.
struct Grow(BytesMut);

impl Flavor for Grow {
    type Output = BytesMut;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.put_u8(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.put_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<BytesMut> {
        Ok(self.0)
    }
}

/// What comes in, frame by frame.
pub(crate) struct Frames<R> {
    from: R,
    waiting: BytesMut,
    silence: Duration,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// From an end that is gone when it was silent for so long.
    pub(crate) fn new(from: R, silence: Duration) -> Self {
        Self { from, waiting: BytesMut::with_capacity(64 << 10), silence }
    }

    /// The next frame, or nothing at the end of the connection. Silence is an error.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<(u64, T)>> {
        loop {
            if let Some((number, body)) = self.whole()? {
                let said = postcard::from_bytes(&body)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
                return Ok(Some((number, said)));
            }
            if in_time(self.silence, self.from.read_buf(&mut self.waiting)).await? == 0 {
                return if self.waiting.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// The frame that is all there, if one is.
    fn whole(&mut self) -> io::Result<Option<(u64, Bytes)>> {
        let Some((head, _)) = self.waiting.split_first_chunk::<HEAD>() else { return Ok(None) };
        let mut head = &head[..];
        let (length, number) = (head.get_u32_le() as usize, head.get_u64_le());
        if length > LONGEST {
            return Err(too_long(length));
        }
        if self.waiting.len() < HEAD + length {
            self.waiting.reserve(HEAD + length - self.waiting.len());
            return Ok(None);
        }
        self.waiting.advance(HEAD);
        Ok(Some((number, self.waiting.split_to(length).freeze())))
    }
}
