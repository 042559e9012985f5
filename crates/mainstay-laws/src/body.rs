//! Chunked bodies: the data is the same in any pieces, and what is taken is what a plain reader of chunks finds.

use mainstay_http1::{BodyDecoder, BodyEvent, BodyKind, Limits, Reject, chunk_header, last_chunk};

use crate::bytes::{Arriving, split_first};

const LIMITS: Limits = Limits { head: 256, headers: 4 };

/// Room for trailers that passed [`LIMITS`]: written anew a field has a space after its colon.
const ROOMY: Limits = Limits { head: 1024, headers: 4 };

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// What a body came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    data: Vec<u8>,
    trailers: Fields,
    /// The bytes after it, once it is whole.
    left: Option<usize>,
    refused: Option<Reject>,
}

/// A chunked body means the same in any pieces, the same to a second reader, and the same once it is written anew.
pub(crate) fn chunked(bytes: &[u8]) {
    let (cuts, bytes) = split_first(bytes);
    let told = decode(bytes, LIMITS, 0);
    let again = decode(bytes, LIMITS, cuts.max(1));
    assert_eq!(told, again, "the pieces change the body");
    let Some(left) = told.left else { return };
    assert_eq!(plain(&bytes[..bytes.len() - left]), told.data, "a second reader finds other data");
    let mut written = Vec::new();
    for piece in told.data.chunks(7) {
        chunk_header(&mut written, piece.len() as u64);
        written.extend_from_slice(piece);
        written.extend_from_slice(b"\r\n");
    }
    last_chunk(&mut written, told.trailers.iter().map(|(name, value)| (&name[..], &value[..])));
    assert_eq!(decode(&written, ROOMY, 0), Told { left: Some(0), ..told }, "written anew it means something else");
}

fn decode(bytes: &[u8], limits: Limits, cuts: u8) -> Told {
    let mut decoder = BodyDecoder::new(limits);
    decoder.start(BodyKind::Chunked);
    let (mut arriving, mut told) = (Arriving::new(bytes, cuts), Told::default());
    loop {
        let unread = arriving.unread();
        let received = match decoder.decode(unread) {
            Ok(received) => received,
            Err(reject) => return Told { refused: Some(reject), ..told },
        };
        arriving.consume(received.consumed);
        match received.event {
            BodyEvent::Data(range) => told.data.extend_from_slice(&unread[range]),
            BodyEvent::End => {
                let fields = decoder.trailers().iter();
                told.trailers = fields.map(|f| (f.name.of(unread).to_vec(), f.value.of(unread).to_vec())).collect();
                told.left = Some(arriving.left());
                return told;
            }
            BodyEvent::NeedMore if !arriving.more() => return told,
            BodyEvent::NeedMore => {}
        }
    }
}

/// The data of a body that is known to be whole: lines, sizes, and nothing about limits.
fn plain(mut bytes: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n").expect("a size ends its line");
        let size = std::str::from_utf8(bytes[..end].split(|byte| *byte == b';').next().unwrap()).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        bytes = &bytes[end + 2..];
        if size == 0 {
            return data;
        }
        data.extend_from_slice(&bytes[..size]);
        assert_eq!(&bytes[size..size + 2], b"\r\n");
        bytes = &bytes[size + 2..];
    }
}
