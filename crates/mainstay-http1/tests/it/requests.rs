//! What is taken for a request and what is refused, row by row: the words are those of [`crate::play`].
//!
//! Drawn from RFC 9112 and from the ways in which proxies and origins were made to disagree.

use mainstay_http1::Limits;

use crate::play::{WHOLE, request};

/// Plays every row and lists those that came out otherwise.
pub(crate) fn check(rows: &[(&[u8], &str)]) {
    let wrong: Vec<_> = rows
        .iter()
        .map(|(input, expected)| (String::from_utf8_lossy(input), *expected, request(input, Limits::default(), WHOLE)))
        .filter(|(_, expected, got)| expected != got)
        .map(|(input, expected, got)| format!("{input:?}\n  expected {expected}\n  got      {got}"))
        .collect();
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// All rows of this file, for the tests that cut them into pieces.
pub(crate) const ALL: &[&[(&[u8], &str)]] =
    &[REQUEST_LINES, TARGETS, HOSTS, FIELD_LINES, FRAMING, CONNECTIONS, CHUNKS, TRAILERS];

const REQUEST_LINES: &[(&[u8], &str)] = &[
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / @a none keep"),
    (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / @a none keep"),
    (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / @a none keep"),
    (b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_method"),
    (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bare_lf"),
    (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_method"),
    (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_method"),
    (b"GET / HTTP/1.1\nHost: a\r\n\r\n", "bare_lf"),
    (b"GET / HTTP/1.1\rHost: a\r\n\r\n", "bare_cr"),
    (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "bare_cr"),
    (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "bad_version"),
    (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad_method"),
    (b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "bad_version"),
    (b"GET /\r\n", "bad_version"),
    (b"GET /\n", "bad_version"),
    (b"GET\r\n\r\n", "bad_method"),
    (b"GET HTTP/1.1\r\nHost: a\r\n\r\n", "bad_version"),
    (b"G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_method"),
    (b"GE(T) / HTTP/1.1\r\nHost: a\r\n\r\n", "bad_method"),
    (b"g-e_t! / HTTP/1.1\r\nHost: a\r\n\r\n", "g-e_t! / @a none keep"),
    (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", "get / @a none keep"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "bad_method"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2_preface"),
    (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "unsupported_version"),
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "unsupported_version"),
    (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", "unsupported_version"),
    (b"GET / HTTP/11\r\nHost: a\r\n\r\n", "bad_version"),
    (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", "bad_version"),
    (b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", "bad_version"),
    (b"GET / http/1.1\r\nHost: a\r\n\r\n", "bad_version"),
    (b"GET / HTTP/1,1\r\nHost: a\r\n\r\n", "bad_version"),
    (b"GET / HTTPS/1.1\r\nHost: a\r\n\r\n", "bad_version"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n", "... +25"),
    (b"GET / HT", "... +8"),
    (b"", "..."),
];

const TARGETS: &[(&[u8], &str)] = &[
    (b"GET /a/b?c=d&e HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a/b?c=d&e @a none keep"),
    (b"GET /? HTTP/1.1\r\nHost: a\r\n\r\n", "GET /? @a none keep"),
    (b"GET //evil/x HTTP/1.1\r\nHost: a\r\n\r\n", "GET //evil/x @a none keep"),
    (b"GET /a|b\"{c}[d]^`~ HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a|b\"{c}[d]^`~ @a none keep"),
    (b"GET /?a\\b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /?a\\b @a none keep"),
    (b"GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"GET /?a#b HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"GET /a\x00b HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"GET /a\x7fb HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * @a none keep"),
    (b"OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"OPTIONS /a HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS /a @a none keep"),
    (b"GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n", "GET /b?c @a none keep"),
    (b"GET HTTP://A.example/b HTTP/1.1\r\nHost: a.EXAMPLE\r\n\r\n", "GET /b @A.example none keep"),
    (b"GET https://a:443/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET / @a:443 none keep"),
    (b"GET http://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n", "GET / @a none keep"),
    (b"GET http://a/ HTTP/1.1\r\nHost: a:443\r\n\r\n", "host_mismatch"),
    (b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "GET / @a none keep"),
    (b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * @a none keep"),
    (b"GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", "host_mismatch"),
    (b"GET http://a/ HTTP/1.1\r\n\r\n", "missing_host"),
    (b"GET http://a/ HTTP/1.0\r\n\r\n", "GET / @a none close"),
    (b"GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n", "bad_host"),
    (b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad_host"),
    (b"GET http:a HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "CONNECT  @a:443 none keep"),
    (b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"CONNECT http://a:80/1 HTTP/1.1\r\nHost: a\r\n\r\n", "bad_target"),
    (b"CONNECT a:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", "host_mismatch"),
];

const HOSTS: &[(&[u8], &str)] = &[
    (b"GET / HTTP/1.1\r\n\r\n", "missing_host"),
    (b"GET / HTTP/1.0\r\n\r\n", "GET / none close"),
    (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET / @a none close"),
    (b"GET / HTTP/1.0\r\nHost:\r\n\r\n", "bad_host"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "repeated_host"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nhOsT: b\r\n\r\n", "repeated_host"),
    (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "repeated_host"),
    (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", "bad_host"),
    (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "bad_host"),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "bad_host"),
    (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "bad_host"),
    (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "bad_host"),
    (b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", "bad_host"),
    (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "bad_host"),
    (b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", "bad_host"),
    (b"GET / HTTP/1.1\r\nHost: a.example:8080\r\n\r\n", "GET / @a.example:8080 none keep"),
    (b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "GET / @[::1]:8080 none keep"),
    (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "bad_host"),
    (b"GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", "missing_host"),
];

const FIELD_LINES: &[(&[u8], &str)] = &[
    (b"GET / HTTP/1.1\r\nHost:a\r\n\r\n", "GET / @a none keep"),
    (b"GET / HTTP/1.1\r\nHost: \t a \t \r\n\r\n", "GET / @a none keep"),
    (b"GET / HTTP/1.1\r\nHOST: a\r\n\r\n", "GET / @a none keep"),
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "bad_field_name"),
    (b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", "bad_field_name"),
    (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "folding"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", "folding"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n", "folding"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", "folding"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", "bad_field_name"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", "bad_field_name"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n", "bad_field_name"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX(Y): b\r\n\r\n", "bad_field_name"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\x00: b\r\n\r\n", "bad_field_name"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX\x80: b\r\n\r\n", "bad_field_name"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x00c\r\n\r\n", "bad_field_value"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x0bc\r\n\r\n", "bad_field_value"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x7fc\r\n\r\n", "bad_field_value"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x1b[0m\r\n\r\n", "bad_field_value"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", "bare_cr"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n", "bare_cr"),
    (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", "bare_lf"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\n\r\n", "bare_lf"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\n", "bare_lf"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n", "bare_cr"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", "GET / @a none keep"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: \t \r\n\r\n", "GET / @a none keep"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\tc d\r\n\r\n", "GET / @a none keep"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX: caf\xe9 \xff\r\n\r\n", "GET / @a none keep"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nX_Y: b\r\n\r\n", "GET / @a none keep"),
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\n", "GET / @a none keep +17"),
];

const FRAMING: &[(&[u8], &str)] = &[
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "POST / @a length 5 keep 'hello'"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nhello", "POST / @a length 5 keep 'hello'"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "POST / @a length 0 keep"),
    (b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", "POST / length 5 close 'hello'"),
    (b"POST / HTTP/1.1\r\nHost: a\r\n\r\nhello", "POST / @a none keep +5"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", "GET / @a length 1 keep 'x'"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel", "POST / @a length 5 keep 'hel' ..."),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello, you", "POST / @a length 5 keep 'hello' +5"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", "bad_content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello", "bad_content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", "bad_content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", "bad_content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nhello", "bad_content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\nhello", "bad_content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_000\r\n\r\nhello", "bad_content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xd9\xa5\r\n\r\nhello", "bad_content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello", "bad_content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"5\"\r\n\r\nhello", "bad_content_length"),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n",
        "POST / @a length 9223372036854775807 keep ...",
    ),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n", "content_length_too_large"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\n", "content_length_too_large"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "repeated_content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\ncontent-length: 6\r\n\r\nhello", "repeated_content_length"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", "bad_field_name"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "length_and_coding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "length_and_coding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", "POST / @a chunked keep"),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "repeated_transfer_encoding",
    ),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
        "repeated_transfer_encoding",
    ),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", "unknown_transfer_coding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "unknown_transfer_coding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", "unknown_transfer_coding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", "unknown_transfer_coding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: , chunked\r\n\r\n", "unknown_transfer_coding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", "unknown_transfer_coding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n", "unknown_transfer_coding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", "unknown_transfer_coding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", "unknown_transfer_coding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", "bad_field_value"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", "bad_field_name"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", "unknown_transfer_coding"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nX: y\n Transfer-Encoding: chunked\r\n\r\n", "bare_lf"),
    (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "coding_on_http10"),
    (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", "coding_on_http10"),
];

const CONNECTIONS: &[(&[u8], &str)] = &[
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET / @a none close"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: CLOSE\r\n\r\n", "GET / @a none close"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", "GET / @a none close"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n", "GET / @a none close"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", "GET / @a none keep"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: ,, ,\r\n\r\n", "GET / @a none keep"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close;x\r\n\r\n", "bad_connection"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep alive\r\n\r\n", "bad_connection"),
    (b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", "GET / @a none keep"),
    (b"GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive, close\r\n\r\n", "GET / @a none close"),
    (b"GET / HTTP/1.0\r\nHost: a\r\nKeep-Alive: timeout=5\r\n\r\n", "GET / @a none close"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "GET / @a none keep upgrade"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", "GET / @a none keep"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n", "GET / @a none keep"),
    (b"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "GET / @a none close"),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n",
        "POST / @a length 1 keep continue ...",
    ),
    (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "GET / @a none keep"),
    (b"POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx", "POST / length 1 close 'x'"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: y 100-continue\r\n\r\nx", "bad_expect"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue, y\r\n\r\nx", "bad_expect"),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect:\r\n\r\nx", "bad_expect"),
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\nx",
        "bad_expect",
    ),
];

macro_rules! chunked {
    ($body:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", $body).as_bytes()
    };
}

const CHUNKS: &[(&[u8], &str)] = &[
    (chunked!("5\r\nhello\r\n0\r\n\r\n"), "POST / @a chunked keep 'hello'"),
    (chunked!("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"), "POST / @a chunked keep 'hello world'"),
    (chunked!("A\r\n0123456789\r\n00000\r\n\r\n"), "POST / @a chunked keep '0123456789'"),
    (chunked!("0000000000000001\r\nx\r\n0\r\n\r\n"), "POST / @a chunked keep 'x'"),
    (chunked!("00000000000000001\r\nx\r\n0\r\n\r\n"), "POST / @a chunked keep ! bad_chunk_size"),
    (chunked!("ffffffffffffffff\r\nx"), "POST / @a chunked keep 'x' ..."),
    (chunked!("10000000000000001\r\nx\r\n0\r\n\r\n"), "POST / @a chunked keep ! bad_chunk_size"),
    (chunked!("\r\nx\r\n0\r\n\r\n"), "POST / @a chunked keep ! bad_chunk_size"),
    (chunked!("0x1\r\nx\r\n0\r\n\r\n"), "POST / @a chunked keep ! bad_chunk_size"),
    (chunked!("+1\r\nx\r\n0\r\n\r\n"), "POST / @a chunked keep ! bad_chunk_size"),
    (chunked!("-1\r\nx\r\n0\r\n\r\n"), "POST / @a chunked keep ! bad_chunk_size"),
    (chunked!(" 1\r\nx\r\n0\r\n\r\n"), "POST / @a chunked keep ! bad_chunk_size"),
    (chunked!("1 \r\nx\r\n0\r\n\r\n"), "POST / @a chunked keep ! bad_chunk_size"),
    (chunked!("1_0\r\nx\r\n0\r\n\r\n"), "POST / @a chunked keep ! bad_chunk_size"),
    (chunked!("g\r\nx\r\n0\r\n\r\n"), "POST / @a chunked keep ! bad_chunk_size"),
    (chunked!(";a\r\nx\r\n0\r\n\r\n"), "POST / @a chunked keep ! bad_chunk_size"),
    (chunked!("1\nx\r\n0\r\n\r\n"), "POST / @a chunked keep ! bare_lf"),
    (chunked!("1\rx\r\n0\r\n\r\n"), "POST / @a chunked keep ! bare_cr"),
    (chunked!("1\r\nxy\r\n0\r\n\r\n"), "POST / @a chunked keep 'x' ! bad_chunk_end"),
    (chunked!("1\r\nx\n0\r\n\r\n"), "POST / @a chunked keep 'x' ! bad_chunk_end"),
    (chunked!("1\r\nx\r0\r\n\r\n"), "POST / @a chunked keep 'x' ! bad_chunk_end"),
    (chunked!("1\r\nx0\r\n\r\n"), "POST / @a chunked keep 'x' ! bad_chunk_end"),
    (chunked!("2\r\nx\r\n0\r\n\r\n"), "POST / @a chunked keep 'x\r' ! bad_chunk_end"),
    (chunked!("1;a=b;c=\"d e\"\r\nx\r\n0;z\r\n\r\n"), "POST / @a chunked keep 'x'"),
    (chunked!("1;\ta\r\nx\r\n0\r\n\r\n"), "POST / @a chunked keep 'x'"),
    (chunked!("1;a\nx\r\n0\r\n\r\n"), "POST / @a chunked keep ! bare_lf"),
    (chunked!("1;a\rx\r\n0\r\n\r\n"), "POST / @a chunked keep ! bare_cr"),
    (chunked!("1;a\0b\r\nx\r\n0\r\n\r\n"), "POST / @a chunked keep ! bad_chunk_extension"),
    (chunked!("1\r\nx\r\n"), "POST / @a chunked keep 'x' ..."),
    (chunked!("1\r\nx\r\n0\r\n"), "POST / @a chunked keep 'x' ..."),
    (chunked!("0\r\n\r\nGET"), "POST / @a chunked keep +3"),
];

const TRAILERS: &[(&[u8], &str)] = &[
    (chunked!("0\r\nX-Sum: 1\r\n\r\n"), "POST / @a chunked keep (X-Sum: 1)"),
    (
        chunked!("1\r\nx\r\n0\r\nX-Sum: 1\r\ngrpc-status: 0\r\n\r\n"),
        "POST / @a chunked keep 'x' (X-Sum: 1) (grpc-status: 0)",
    ),
    (chunked!("0\r\nContent-Length: 5\r\nX: y\r\n\r\n"), "POST / @a chunked keep (X: y)"),
    (chunked!("0\r\nTransfer-Encoding: chunked\r\n\r\n"), "POST / @a chunked keep"),
    (chunked!("0\r\nHost: b\r\nConnection: close\r\nAuthorization: x\r\n\r\n"), "POST / @a chunked keep"),
    (chunked!("0\r\nX-Forwarded-For: 1.2.3.4\r\nCookie: a=b\r\n\r\n"), "POST / @a chunked keep"),
    (chunked!("0\r\nX : y\r\n\r\n"), "POST / @a chunked keep ! bad_field_name"),
    (chunked!("0\r\nX: y\n\r\n"), "POST / @a chunked keep ! bare_lf"),
    (chunked!("0\r\nX: y\r\n z\r\n\r\n"), "POST / @a chunked keep ! folding"),
    (chunked!("0\r\nGET / HTTP/1.1\r\n\r\n"), "POST / @a chunked keep ! bad_field_name"),
    (chunked!("0\r\n\n"), "POST / @a chunked keep ! bare_lf"),
    (chunked!("0\r\n\rX"), "POST / @a chunked keep ! bare_cr"),
];

#[test]
fn a_request_line_has_three_parts_and_two_spaces() {
    check(REQUEST_LINES);
}

#[test]
fn a_target_names_one_place_in_one_of_four_forms() {
    check(TARGETS);
}

#[test]
fn a_request_names_exactly_one_host() {
    check(HOSTS);
}

#[test]
fn a_field_line_is_a_token_a_colon_and_clean_text() {
    check(FIELD_LINES);
}

#[test]
fn a_body_has_one_end_and_not_two() {
    check(FRAMING);
}

#[test]
fn a_connection_goes_on_only_when_that_is_certain() {
    check(CONNECTIONS);
}

#[test]
fn chunks_are_read_to_the_letter() {
    check(CHUNKS);
}

#[test]
fn trailers_cannot_change_what_was_decided() {
    check(TRAILERS);
}

#[test]
fn a_head_that_grows_too_large_is_refused_by_its_part() {
    let limits = Limits { head: 200, headers: 3 };
    let long = "x".repeat(200);
    let refused = |head: String| request(head.as_bytes(), limits, WHOLE);
    assert_eq!(refused(format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n")), "target_too_long");
    assert_eq!(refused(format!("{long} / HTTP/1.1\r\nHost: a\r\n\r\n")), "target_too_long");
    assert_eq!(refused(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n")), "head_too_large");
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n".into()), "GET / @a none keep");
    assert_eq!(refused("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n".into()), "too_many_fields");
    let trailer = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: {long}\r\n\r\n");
    assert_eq!(refused(trailer), "POST / @a chunked keep ! head_too_large");
}

#[test]
fn a_head_may_be_as_long_as_the_limit_and_not_one_byte_longer() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let limit = |bytes| Limits { head: bytes, headers: 1 };
    assert_eq!(request(head, limit(head.len()), WHOLE), "GET / @a none keep");
    assert_eq!(request(head, limit(head.len() - 1), WHOLE), "head_too_large");
}

#[test]
fn extensions_are_bounded_over_the_whole_body() {
    let chunk = format!("1;{}\r\nx\r\n", "e".repeat(1000));
    let body = |chunks: usize| {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        request(format!("{head}{}0\r\n\r\n", chunk.repeat(chunks)).as_bytes(), Limits::default(), WHOLE)
    };
    assert_eq!(body(4), "POST / @a chunked keep 'xxxx'");
    assert_eq!(body(5), "POST / @a chunked keep 'xxxx' ! chunk_extensions_too_large");
}
