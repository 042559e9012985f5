//! Why a message is refused, and how large a head may be.
//!
//! Every refusal closes the connection: after bytes that could be read in two ways nobody knows where the next message
//! begins. The words of [`Reject::as_str`] are stable, for metrics and logs; `Display` is for people.

use std::fmt;

/// How large a head, or a trailer section, may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the start line, the field lines and the empty line together; 16 KiB by default, room for large cookies
    /// while a thousand slow callers hold 16 MB at most. Values above 1 MiB count as 1 MiB.
    pub head: usize,
    /// Field lines; 100 by default, twice what browsers behind several proxies send.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: 16 * 1024, headers: 100 }
    }
}

impl Limits {
    /// The limit on bytes that holds; far below what a [`crate::Span`] can address.
    pub(crate) fn head_bytes(self) -> usize {
        self.head.min(1024 * 1024)
    }
}

macro_rules! rejects {
    ($($(#[$doc:meta])* $variant:ident = $status:literal, $word:literal, $text:literal;)*) => {
        /// Why a message is refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reject {
            $($(#[$doc])* $variant,)*
        }

        impl Reject {
            /// Every reason, for tables of metrics.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The status to answer a refused request with. A refused response is always a 502 to the caller.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// A stable word for metrics and logs, in snake_case as all such words.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for Reject {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)* })
            }
        }
    };
}

rejects! {
    /// A line ends in LF without CR before it.
    BareLf = 400, "bare_lf", "a line ends in LF without CR";
    /// A CR stands where no LF follows it.
    BareCr = 400, "bare_cr", "a CR without LF after it";
    /// The method is not a token followed by one space.
    BadMethod = 400, "bad_method", "the method is not a token followed by one space";
    /// The target holds a byte that none may hold, or does not fit the method.
    BadTarget = 400, "bad_target", "the request target is malformed or does not fit the method";
    /// The version is not `HTTP/` digit `.` digit at the end of the request line.
    BadVersion = 400, "bad_version", "the request line does not end in an HTTP version";
    /// The version is none that is spoken here.
    UnsupportedVersion = 505, "unsupported_version", "the HTTP version is neither 1.0 nor 1.1";
    /// The connection begins with the preface of HTTP/2.
    Http2Preface = 505, "http2_preface", "an HTTP/2 preface came where HTTP/1.1 is spoken";
    /// The request line alone exceeds [`Limits::head`].
    TargetTooLong = 414, "target_too_long", "the request line exceeds the limit";
    /// The head exceeds [`Limits::head`].
    HeadTooLarge = 431, "head_too_large", "the header fields exceed the limit";
    /// There are more fields than [`Limits::headers`].
    TooManyFields = 431, "too_many_fields", "there are more header fields than the limit";
    /// A field's name is not a token directly before a colon.
    BadFieldName = 400, "bad_field_name", "a field name is not a token followed by a colon";
    /// A field line begins with whitespace (obsolete folding, RFC 9112 section 5.2).
    Folding = 400, "folding", "a field line begins with whitespace";
    /// A field's value holds a control character.
    BadFieldValue = 400, "bad_field_value", "a field value holds a control character";
    /// An HTTP/1.1 request has no Host.
    MissingHost = 400, "missing_host", "the request has no Host";
    /// A request has more than one Host.
    RepeatedHost = 400, "repeated_host", "the request has more than one Host";
    /// Host, or the authority of the target, is not `host` or `host:port`.
    BadHost = 400, "bad_host", "the host is not host or host:port";
    /// The target's authority and Host name different places.
    HostMismatch = 400, "host_mismatch", "the target and Host name different hosts";
    /// Content-Length is not a plain decimal number.
    BadContentLength = 400, "bad_content_length", "Content-Length is not a plain number";
    /// Content-Length is above 2^63 - 1.
    ContentLengthTooLarge = 413, "content_length_too_large", "Content-Length is beyond 2^63 - 1";
    /// Content-Length stands there more than once.
    RepeatedContentLength = 400, "repeated_content_length", "Content-Length is repeated";
    /// Content-Length and Transfer-Encoding stand in one head.
    LengthAndCoding = 400, "length_and_coding", "Content-Length and Transfer-Encoding together";
    /// Transfer-Encoding stands there more than once.
    RepeatedTransferEncoding = 400, "repeated_transfer_encoding", "Transfer-Encoding is repeated";
    /// Transfer-Encoding is not exactly `chunked`.
    UnknownTransferCoding = 501, "unknown_transfer_coding", "Transfer-Encoding is not exactly chunked";
    /// Transfer-Encoding on HTTP/1.0.
    CodingOnHttp10 = 400, "coding_on_http10", "Transfer-Encoding on HTTP/1.0";
    /// Connection is not a list of tokens.
    BadConnection = 400, "bad_connection", "Connection is not a list of tokens";
    /// Expect is not exactly `100-continue`.
    BadExpect = 417, "bad_expect", "Expect is not exactly 100-continue";
    /// A chunk does not begin with 1 to 16 hexadecimal digits.
    BadChunkSize = 400, "bad_chunk_size", "a chunk size is not 1 to 16 hexadecimal digits";
    /// A chunk extension holds a control character.
    BadChunkExtension = 400, "bad_chunk_extension", "a chunk extension holds a control character";
    /// The chunk extensions of a body exceed [`crate::CHUNK_EXTENSIONS_MAX`].
    ChunkExtensionsTooLarge = 400, "chunk_extensions_too_large", "the chunk extensions exceed the limit";
    /// A chunk's data is not followed by CRLF.
    BadChunkEnd = 400, "bad_chunk_end", "a chunk's data is not followed by CRLF";
    /// A response does not begin with a status line.
    BadStatusLine = 400, "bad_status_line", "the status line is malformed";
    /// An interim response announces a body.
    BodyOnInterim = 400, "body_on_interim", "an interim response announces a body";
    /// More than [`crate::INTERIM_MAX`] interim responses came before the response.
    TooManyInterim = 400, "too_many_interim", "too many interim responses";
    /// A 101 came though no upgrade was asked.
    UnaskedUpgrade = 400, "unasked_upgrade", "101 though no upgrade was asked";
    /// Bytes came that answer no request.
    UnaskedBytes = 400, "unasked_bytes", "bytes that answer no request";
}

impl std::error::Error for Reject {}
