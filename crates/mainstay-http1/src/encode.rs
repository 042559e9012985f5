//! Writing heads and chunks into a `Vec<u8>`.
//!
//! These functions trust their arguments, for on the path of a request every one comes from a parser that has looked at
//! each byte. What comes from a configuration is looked at once, when it is loaded: [`validate_name`],
//! [`validate_value`], [`validate_target`].

use std::fmt;

use crate::syntax;

/// Why a configured name, value or target cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidField {
    /// The name is not a token.
    Name,
    /// The value holds a control character, or begins or ends with a blank.
    Value,
    /// The target does not begin with `/`, or holds a byte that none may hold.
    Target,
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "a header name is letters, digits and hyphens",
            Self::Value => "a header value holds no control characters and no blanks at its ends",
            Self::Target => "a target begins with / and holds no spaces, control characters, # or bytes beyond ASCII",
        })
    }
}

impl std::error::Error for InvalidField {}

/// Whether `name` can be a field name.
///
/// # Errors
/// [`InvalidField::Name`] unless it is a token.
pub fn validate_name(name: &[u8]) -> Result<(), InvalidField> {
    if syntax::is_token(name) { Ok(()) } else { Err(InvalidField::Name) }
}

/// Whether `value` can be a field value.
///
/// # Errors
/// [`InvalidField::Value`] for CR, LF, NUL and every other control character but the tab, and for blanks at the ends.
pub fn validate_value(value: &[u8]) -> Result<(), InvalidField> {
    let clean = value.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
    if clean && syntax::trim(value).len() == value.len() { Ok(()) } else { Err(InvalidField::Value) }
}

/// Whether `target` can be asked of an instance.
///
/// # Errors
/// [`InvalidField::Target`] unless it is a path with an optional query.
pub fn validate_target(target: &[u8]) -> Result<(), InvalidField> {
    let path = syntax::run(target, syntax::PATH);
    let rest_is_query = match target.get(path) {
        None => true,
        Some(b'?') => syntax::run(&target[path + 1..], syntax::QUERY) == target.len() - path - 1,
        Some(_) => false,
    };
    if target.first() == Some(&b'/') && rest_is_query { Ok(()) } else { Err(InvalidField::Target) }
}

/// Writes a request line for HTTP/1.1.
#[inline]
pub fn request_line(out: &mut Vec<u8>, method: &[u8], target: &[u8]) {
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Writes a status line for HTTP/1.1 with the registered reason, or an empty one.
#[inline]
pub fn status_line(out: &mut Vec<u8>, status: u16) {
    if status == 200 {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes a field line. Inlined, for the name is a constant nearly always.
#[inline(always)]
pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    debug_assert!(validate_name(name).is_ok() && validate_value(value).is_ok());
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a field line whose value is a number.
#[inline]
pub fn field_u64(out: &mut Vec<u8>, name: &[u8], value: u64) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    decimal(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Ends a head.
#[inline]
pub fn end_of_head(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Writes what precedes a chunk's data; CRLF must follow it. `len` is not 0, for that is the last chunk.
#[inline]
pub fn chunk_header(out: &mut Vec<u8>, len: u64) {
    debug_assert!(len > 0);
    let digits = (u64::BITS - len.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(len >> (place * 4)) as usize & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the last chunk and the trailers.
pub fn last_chunk<'a>(out: &mut Vec<u8>, trailers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a number in decimal.
#[inline]
pub fn decimal(out: &mut Vec<u8>, mut number: u64) {
    const DIGITS: usize = 20;
    let mut text = [0u8; DIGITS];
    let mut at = DIGITS;
    loop {
        at -= 1;
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

/// The registered reason phrase of a status; empty for others.
#[must_use]
pub const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_written_as_the_rfc_draws_them() {
        assert_eq!(written(|out| request_line(out, b"GET", b"/a?b")), "GET /a?b HTTP/1.1\r\n");
        assert_eq!(written(|out| status_line(out, 200)), "HTTP/1.1 200 OK\r\n");
        assert_eq!(written(|out| status_line(out, 503)), "HTTP/1.1 503 Service Unavailable\r\n");
        assert_eq!(written(|out| status_line(out, 599)), "HTTP/1.1 599 \r\n");
        assert_eq!(written(|out| field(out, b"Via", b"1.1 m")), "Via: 1.1 m\r\n");
        assert_eq!(written(|out| last_chunk(out, [(&b"a"[..], &b"b"[..])])), "0\r\na: b\r\n\r\n");
    }

    #[test]
    fn a_configured_value_cannot_split_a_response() {
        for value in ["a\r\nSet-Cookie: x", "a\nb", "a\rb", "a\0b", " a", "a\t", "\x7f", "a\x0bb"] {
            assert_eq!(validate_value(value.as_bytes()), Err(InvalidField::Value), "{value:?}");
        }
        for value in ["", "a", "a b", "a\tb", "caf\u{e9}"] {
            assert_eq!(validate_value(value.as_bytes()), Ok(()), "{value:?}");
        }
    }

    #[test]
    fn a_configured_name_or_target_is_one_word() {
        for name in ["", "a b", "a:", "a\r", "h\u{e9}"] {
            assert_eq!(validate_name(name.as_bytes()), Err(InvalidField::Name), "{name:?}");
        }
        for target in ["", "healthz", "/a b", "/a#b", "/a\r\n", "/\\", "/?a#b", "/\u{e9}"] {
            assert_eq!(validate_target(target.as_bytes()), Err(InvalidField::Target), "{target:?}");
        }
        assert_eq!(validate_name(b"x-Beta"), Ok(()));
        assert_eq!(validate_target(b"/healthz?deep=\\1"), Ok(()));
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_the_standard_library_writes_them(number: u64) {
            prop_assert_eq!(written(|out| decimal(out, number)), number.to_string());
        }

        #[test]
        fn chunk_sizes_are_plain_hexadecimal(number in 1u64..) {
            prop_assert_eq!(written(|out| chunk_header(out, number)), format!("{number:x}\r\n"));
        }
    }
}
