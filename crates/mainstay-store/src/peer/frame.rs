//! Frames: length, number, then what is said.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest frame that is taken. An entry is never longer than a batch, a piece of a snapshot never than its own limit.
pub(crate) const LONGEST: usize = 64 << 20;

/// Length and number.
const HEAD: usize = 4 + 8;

/// Puts one frame behind those that wait to be written.
pub(crate) fn put<T: Serialize>(into: &mut BytesMut, number: u64, said: &T) -> io::Result<()> {
    let begin = into.len();
    into.put_u32_le(0);
    into.put_u64_le(number);
    let body = postcard::serialize_with_flavor(said, Grow(std::mem::take(into))).map_err(io::Error::other)?;
    *into = body;
    let length = u32::try_from(into.len() - begin - HEAD).map_err(io::Error::other)?;
    into[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
    Ok(())
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
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, waiting: BytesMut::with_capacity(64 << 10) }
    }

    /// The next frame, or nothing at the end of the connection.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<(u64, T)>> {
        loop {
            if let Some((number, body)) = self.whole()? {
                let said = postcard::from_bytes(&body)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
                return Ok(Some((number, said)));
            }
            if self.from.read_buf(&mut self.waiting).await? == 0 {
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
            let why = format!("a frame of {length} bytes, {LONGEST} are the most");
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        if self.waiting.len() < HEAD + length {
            self.waiting.reserve(HEAD + length - self.waiting.len());
            return Ok(None);
        }
        self.waiting.advance(HEAD);
        Ok(Some((number, self.waiting.split_to(length).freeze())))
    }
}
