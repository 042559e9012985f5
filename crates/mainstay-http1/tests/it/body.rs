//! Laws of body decoding.

use mainstay_http1::{BodyDecoder, BodyEvent, BodyKind, Limits, Reject};
use proptest::prelude::*;

/// Feeds `pieces` and gathers the data; the second says whether the body ended, the third what was left over.
fn check(kind: BodyKind, pieces: &[&[u8]]) -> Result<(Vec<u8>, bool, usize), Reject> {
    let mut decoder = BodyDecoder::new(Limits::default());
    decoder.start(kind);
    let (mut data, mut unread) = (Vec::new(), Vec::new());
    for piece in pieces {
        unread.extend_from_slice(piece);
        loop {
            let received = decoder.decode(&unread)?;
            let event = received.event;
            if let BodyEvent::Data(range) = event.clone() {
                data.extend_from_slice(&unread[range]);
            }
            unread.drain(..received.consumed);
            if matches!(event, BodyEvent::NeedMore | BodyEvent::End) {
                break;
            }
        }
    }
    Ok((data, decoder.is_done(), unread.len()))
}

#[test]
fn no_body_ends_before_its_first_byte() {
    assert_eq!(check(BodyKind::None, &[b"next"]), Ok((vec![], true, 4)));
    assert_eq!(check(BodyKind::Length(0), &[b"next"]), Ok((vec![], true, 4)));
}

#[test]
fn a_length_takes_its_bytes_and_leaves_the_rest() {
    assert_eq!(check(BodyKind::Length(4), &[b"ab", b"cdef"]), Ok((b"abcd".to_vec(), true, 2)));
    assert_eq!(check(BodyKind::Length(4), &[b"ab", b""]), Ok((b"ab".to_vec(), false, 0)));
}

#[test]
fn a_body_up_to_the_close_takes_everything_and_only_the_close_ends_it() {
    let mut decoder = BodyDecoder::new(Limits::default());
    decoder.start(BodyKind::UntilClose);
    assert_eq!(decoder.decode(b"ab").unwrap().event, BodyEvent::Data(0..2));
    assert!(!decoder.is_done());
    assert!(decoder.eof());
}

#[test]
fn a_chunked_body_that_breaks_off_never_looks_complete() {
    let whole = b"5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n";
    for cut in 0..whole.len() {
        let mut decoder = BodyDecoder::new(Limits::default());
        decoder.start(BodyKind::Chunked);
        let mut at = 0;
        while at < cut {
            let received = decoder.decode(&whole[at..cut]).unwrap();
            at += received.consumed;
            if received.event == BodyEvent::NeedMore {
                break;
            }
        }
        assert!(!decoder.eof(), "cut at {cut}");
    }
}

#[test]
fn trailers_are_spans_into_the_bytes_that_ended_the_body() {
    let mut decoder = BodyDecoder::new(Limits::default());
    decoder.start(BodyKind::Chunked);
    let input = b"0\r\nCookie: no\r\nSum: 42\r\n\r\n";
    assert_eq!(decoder.decode(input).unwrap().event, BodyEvent::End);
    let [sum] = decoder.trailers() else { panic!("one trailer survives: {:?}", decoder.trailers()) };
    assert_eq!((sum.name.of(input), sum.value.of(input)), (&b"Sum"[..], &b"42"[..]));
}

#[test]
fn a_decoder_forgets_the_body_before() {
    let mut decoder = BodyDecoder::new(Limits::default());
    for _ in 0..3 {
        decoder.start(BodyKind::Chunked);
        let extensions = [&b"0;"[..], &[b'e'; 4096], b"\r\nA: b\r\n\r\n"].concat();
        assert_eq!(decoder.decode(&extensions).unwrap().event, BodyEvent::End);
        assert_eq!(decoder.trailers().len(), 1);
    }
}

proptest! {
    #[test]
    fn what_was_chunked_comes_back_in_any_pieces(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
        extension in "(;[a-z]{0,5}(=[a-z\t ]{0,5})?)?",
        next in prop::collection::vec(any::<u8>(), 0..8),
        piece in 1usize..50,
    ) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            wire.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        wire.extend_from_slice(&next);
        let pieces: Vec<_> = wire.chunks(piece).collect();
        prop_assert_eq!(check(BodyKind::Chunked, &pieces), Ok((chunks.concat(), true, next.len())));
    }

    #[test]
    fn no_byte_is_taken_twice_or_beyond_the_input(input in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut decoder = BodyDecoder::new(Limits::default());
        decoder.start(BodyKind::Chunked);
        if let Ok(received) = decoder.decode(&input) {
            prop_assert!(received.consumed <= input.len());
            if let BodyEvent::Data(range) = received.event {
                prop_assert!(range.start < range.end && range.end <= received.consumed);
            }
        }
    }
}
