//! What is taken for a response and what is refused, row by row: the words are those of [`crate::play`].

use mainstay_http1::Limits;

use crate::play::{WHOLE, response};

/// Plays every row and lists those that came out otherwise.
fn check(rows: &[(&str, &[u8], &str)]) {
    let wrong: Vec<_> = rows
        .iter()
        .map(|(method, input, expected)| (input, *expected, response(input, method, Limits::default(), WHOLE)))
        .filter(|(_, expected, got)| expected != got)
        .map(|(input, expected, got)| {
            format!("{:?}\n  expected {expected}\n  got      {got}", String::from_utf8_lossy(input))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// All rows of this file, for the tests that cut them into pieces.
pub(crate) const ALL: &[&[(&str, &[u8], &str)]] = &[STATUS_LINES, BODIES, FRAMING, INTERIM];

const STATUS_LINES: &[(&str, &[u8], &str)] = &[
    ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 length 0 keep"),
    ("GET", b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200 length 0 keep"),
    ("GET", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 length 0 keep"),
    ("GET", b"HTTP/1.1 599 caf\xe9\tand more\r\nContent-Length: 0\r\n\r\n", "599 length 0 keep"),
    ("GET", b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n", "404 length 3 keep 'no\n'"),
    ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "200 length 0 close"),
    ("GET", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", "200 length 0 keep"),
    ("GET", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "200 length 0 close"),
    ("GET", b"HTTP/1.2 200 OK\r\n\r\n", "unsupported_version"),
    ("GET", b"HTTP/2.0 200 OK\r\n\r\n", "unsupported_version"),
    ("GET", b"HTTP/1.1 99 OK\r\n\r\n", "bad_status_line"),
    ("GET", b"HTTP/1.1 099 OK\r\n\r\n", "bad_status_line"),
    ("GET", b"HTTP/1.1 600 OK\r\n\r\n", "bad_status_line"),
    ("GET", b"HTTP/1.1 1000 OK\r\n\r\n", "bad_status_line"),
    ("GET", b"HTTP/1.1 2x0 OK\r\n\r\n", "bad_status_line"),
    ("GET", b"HTTP/1.1  200 OK\r\n\r\n", "bad_status_line"),
    ("GET", b"HTTP/1.1\t200 OK\r\n\r\n", "bad_status_line"),
    ("GET", b"HTTP/1.1 200\tOK\r\n\r\n", "bad_status_line"),
    ("GET", b"HTTP/1.1 200 O\0K\r\n\r\n", "bad_status_line"),
    ("GET", b"HTTP/1.1 200 O\rK\r\n\r\n", "bare_cr"),
    ("GET", b"HTTP/1.1 200 OK\n\r\n", "bare_lf"),
    ("GET", b"HTTP/1.1 200\n\r\n", "bare_lf"),
    ("GET", b"http/1.1 200 OK\r\n\r\n", "bad_status_line"),
    ("GET", b"ICY 200 OK\r\n\r\n", "bad_status_line"),
    ("GET", b"\r\nHTTP/1.1 200 OK\r\n\r\n", "bad_status_line"),
    ("GET", b"<html>", "bad_status_line"),
    ("GET", b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", "folding"),
    ("GET", b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", "bad_field_name"),
    ("GET", b"HTTP/1.1 200 OK\r\nX: y\nSet-Cookie: a\r\n\r\n", "bare_lf"),
    ("GET", b"HTTP/1.1 200 OK\r\nConnection: a b\r\n\r\n", "bad_connection"),
    ("GET", b"HTTP/1.1 20", "... +11"),
];

const BODIES: &[(&str, &[u8], &str)] = &[
    ("GET", b"HTTP/1.1 200 OK\r\n\r\nhello", "200 until-close close 'hello'"),
    ("GET", b"HTTP/1.1 200 OK\r\n\r\n", "200 until-close close"),
    ("GET", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nhello", "200 until-close close 'hello'"),
    ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "200 length 5 keep 'hel' ..."),
    ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP", "200 length 5 keep 'hello' +4"),
    (
        "GET",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "200 chunked keep 'hello'",
    ),
    ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "200 chunked keep 'hello' ..."),
    (
        "GET",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nServer-Timing: x\r\nSet-Cookie: a\r\n\r\n",
        "200 chunked keep (Server-Timing: x)",
    ),
    ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "200 none keep"),
    ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 none keep"),
    ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n", "200 none keep"),
    ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "200 none keep +5"),
    ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "304 none keep"),
    ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", "304 none keep"),
    ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", "204 none keep"),
    ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "204 none keep"),
    ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "204 none close"),
    ("GET", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "204 none close"),
];

const FRAMING: &[(&str, &[u8], &str)] = &[
    ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "repeated_content_length"),
    ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", "bad_content_length"),
    ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "bad_content_length"),
    ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "content_length_too_large"),
    ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "length_and_coding"),
    ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "length_and_coding"),
    ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "length_and_coding"),
    ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "unknown_transfer_coding"),
    ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", "unknown_transfer_coding"),
    ("GET", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "coding_on_http10"),
    (
        "GET",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "repeated_transfer_encoding",
    ),
    ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n", "200 chunked keep ! bare_lf"),
];

const INTERIM: &[(&str, &[u8], &str)] = &[
    ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x\r\n\r\n", "100 > 204 none keep"),
    ("GET", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 x\r\n\r\n", "103 > 204 none keep"),
    ("GET", b"HTTP/1.1 100 x\r\n\r\nHTTP/1.1 102 x\r\n\r\nHTTP/1.1 204 x\r\n\r\n", "100 > 102 > 204 none keep"),
    ("GET", b"HTTP/1.1 100 Continue\r\n\r\n", "100 >  ..."),
    ("GET", b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n", "body_on_interim"),
    ("GET", b"HTTP/1.1 103 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "body_on_interim"),
    ("GET", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "unasked_upgrade"),
    (
        "GET+upgrade",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nframe",
        "101 none keep upgrade 'frame' ...",
    ),
    ("GET+upgrade", b"HTTP/1.1 204 No Content\r\n\r\n", "204 none keep"),
];

#[test]
fn a_status_line_is_a_version_and_three_digits() {
    check(STATUS_LINES);
}

#[test]
fn a_body_ends_where_method_status_and_framing_say() {
    check(BODIES);
}

#[test]
fn an_instance_cannot_send_two_lengths_either() {
    check(FRAMING);
}

#[test]
fn interim_responses_precede_the_response() {
    check(INTERIM);
}

#[test]
fn an_instance_cannot_hold_a_caller_with_interim_responses_alone() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\n";
    let flood = |count: usize| {
        let input = interim.repeat(count) + "HTTP/1.1 204 x\r\n\r\n";
        response(input.as_bytes(), "GET", Limits::default(), WHOLE)
    };
    assert!(flood(16).ends_with("204 none keep"));
    assert!(flood(17).ends_with("! too_many_interim"));
}
