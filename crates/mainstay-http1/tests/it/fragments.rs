//! A network cuts bytes anywhere: what comes out must not depend on it, and no bytes at all may cause a panic.

use mainstay_http1::Limits;
use proptest::prelude::*;

use crate::play::{WHOLE, request, response};
use crate::{requests, responses};

const LIMITS: Limits = Limits { head: 16 * 1024, headers: 100 };

#[test]
fn every_row_of_requests_means_the_same_cut_at_every_place() {
    for (input, _) in requests::ALL.iter().copied().flatten() {
        let whole = request(input, LIMITS, WHOLE);
        assert_eq!(request(input, LIMITS, &[1]), whole, "byte by byte");
        for at in 1..input.len() {
            assert_eq!(request(input, LIMITS, &[at, usize::MAX]), whole, "cut at {at}");
        }
    }
}

#[test]
fn every_row_of_responses_means_the_same_cut_at_every_place() {
    for (method, input, _) in responses::ALL.iter().copied().flatten() {
        let whole = response(input, method, LIMITS, WHOLE);
        assert_eq!(response(input, method, LIMITS, &[1]), whole, "byte by byte");
        for at in 1..input.len() {
            assert_eq!(response(input, method, LIMITS, &[at, usize::MAX]), whole, "cut at {at}");
        }
    }
}

#[test]
fn a_limit_is_hit_at_the_same_byte_however_the_head_is_cut() {
    let input = b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n";
    for head in 1..=input.len() + 1 {
        let limits = Limits { head, headers: 2 };
        assert_eq!(request(input, limits, &[1]), request(input, limits, WHOLE), "a limit of {head} bytes");
    }
}

/// Text that is nearly HTTP: pieces of the grammar, of attacks on it, and noise.
fn nearly_http() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "POST /a?b HTTP/1.1\r\n", "GET http://a/ HTTP/1.0\r\n", "HTTP/1.1 200 OK\r\n",
            "Host: a\r\n", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "Connection: close, x\r\n",
            "Expect: 100-continue\r\n", "X: y\t z \r\n", "HTTP/1.1 100 Continue\r\n\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        3 => prop::sample::select(vec!["\r\n", "\r\n\r\n", "0\r\n", "3\r\nabc\r\n", "a;b=c\r\n", "ffffffffffffffff\r\n"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::sample::select(vec!["\n", "\r", " ", "\t", ":", "\0", ",", "\u{80}"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1usize..24, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_request_means_the_same_in_any_pieces(input in nearly_http(), cuts in cuts()) {
        let limits = Limits { head: 120, headers: 4 };
        prop_assert_eq!(request(&input, limits, &cuts), request(&input, limits, WHOLE));
    }

    #[test]
    fn a_response_means_the_same_in_any_pieces(input in nearly_http(), cuts in cuts(), to_head: bool) {
        let limits = Limits { head: 120, headers: 4 };
        let method = if to_head { "HEAD" } else { "GET+upgrade" };
        prop_assert_eq!(response(&input, method, limits, &cuts), response(&input, method, limits, WHOLE));
    }

    #[test]
    fn noise_is_answered_and_never_crashes(input in prop::collection::vec(any::<u8>(), 0..200), cuts in cuts()) {
        request(&input, LIMITS, &cuts);
        response(&input, "GET", LIMITS, &cuts);
    }
}
