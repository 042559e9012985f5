//! Which header a field is, for the headers that a gateway treats in a special way.
//!
//! A name is classified once, when it is parsed, so that nobody compares names again on the way through. The length
//! leaves a handful of candidates, and each is compared in whole words; most names match none and cost one comparison.

/// Declares the headers, their names and nothing else, so that the enum and its spellings cannot part.
macro_rules! known {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A header that a gateway treats in a special way; everything else is [`Known::Other`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Known {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
            /// Any other name.
            Other,
        }

        impl Known {
            /// Every header but [`Known::Other`].
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in lower case; empty for [`Known::Other`].
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other => "",
                }
            }
        }
    };
}

known! {
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    Age = "age",
    Authorization = "authorization",
    CacheControl = "cache-control",
    Connection = "connection",
    ContentEncoding = "content-encoding",
    ContentLength = "content-length",
    ContentRange = "content-range",
    ContentType = "content-type",
    Cookie = "cookie",
    Date = "date",
    Etag = "etag",
    Expect = "expect",
    Forwarded = "forwarded",
    GrpcStatus = "grpc-status",
    GrpcTimeout = "grpc-timeout",
    Host = "host",
    Http2Settings = "http2-settings",
    IdempotencyKey = "idempotency-key",
    KeepAlive = "keep-alive",
    MaxForwards = "max-forwards",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthorization = "proxy-authorization",
    ProxyConnection = "proxy-connection",
    ProxyStatus = "proxy-status",
    Range = "range",
    RetryAfter = "retry-after",
    Server = "server",
    SetCookie = "set-cookie",
    Te = "te",
    Traceparent = "traceparent",
    Tracestate = "tracestate",
    Trailer = "trailer",
    TransferEncoding = "transfer-encoding",
    Upgrade = "upgrade",
    UserAgent = "user-agent",
    Via = "via",
    XForwardedFor = "x-forwarded-for",
    XForwardedHost = "x-forwarded-host",
    XForwardedProto = "x-forwarded-proto",
    XMainstayDeadlineMs = "x-mainstay-deadline-ms",
    XMainstayPriority = "x-mainstay-priority",
    XMainstayRetries = "x-mainstay-retries",
    XRequestId = "x-request-id",
}

impl Known {
    /// Classifies a field name, without regard to case. A name that is not a token is [`Known::Other`].
    #[inline]
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        use Known::*;
        let Some(first) = name.first() else { return Other };
        match (name.len(), first | 0x20) {
            (2, b't') => one(name, b"te", Te),
            (3, b'v') => one(name, b"via", Via),
            (3, b'a') => one(name, b"age", Age),
            (4, b'h') => one(name, b"host", Host),
            (4, b'd') => one(name, b"date", Date),
            (4, b'e') => one(name, b"etag", Etag),
            (5, b'r') => one(name, b"range", Range),
            (6, b'a') => one(name, b"accept", Accept),
            (6, b'c') => one(name, b"cookie", Cookie),
            (6, b'e') => one(name, b"expect", Expect),
            (6, b's') => one(name, b"server", Server),
            (7, b't') => one(name, b"trailer", Trailer),
            (7, b'u') => one(name, b"upgrade", Upgrade),
            (9, b'f') => one(name, b"forwarded", Forwarded),
            (10, b'c') => one(name, b"connection", Connection),
            (10, b'k') => one(name, b"keep-alive", KeepAlive),
            (10, b's') => one(name, b"set-cookie", SetCookie),
            (10, b't') => one(name, b"tracestate", Tracestate),
            (10, b'u') => one(name, b"user-agent", UserAgent),
            (11, b'g') => one(name, b"grpc-status", GrpcStatus),
            (11, b'r') => one(name, b"retry-after", RetryAfter),
            (11, b't') => one(name, b"traceparent", Traceparent),
            (12, b'c') => one(name, b"content-type", ContentType),
            (12, b'g') => one(name, b"grpc-timeout", GrpcTimeout),
            (12, b'm') => one(name, b"max-forwards", MaxForwards),
            (12, b'p') => one(name, b"proxy-status", ProxyStatus),
            (12, b'x') => one(name, b"x-request-id", XRequestId),
            (13, b'a') => one(name, b"authorization", Authorization),
            (13, b'c') => either(name, b"cache-control", CacheControl, b"content-range", ContentRange),
            (14, b'c') => one(name, b"content-length", ContentLength),
            (14, b'h') => one(name, b"http2-settings", Http2Settings),
            (15, b'a') => one(name, b"accept-encoding", AcceptEncoding),
            (15, b'i') => one(name, b"idempotency-key", IdempotencyKey),
            (15, b'x') => one(name, b"x-forwarded-for", XForwardedFor),
            (16, b'c') => one(name, b"content-encoding", ContentEncoding),
            (16, b'p') => one(name, b"proxy-connection", ProxyConnection),
            (16, b'x') => one(name, b"x-forwarded-host", XForwardedHost),
            (17, b't') => one(name, b"transfer-encoding", TransferEncoding),
            (17, b'x') => one(name, b"x-forwarded-proto", XForwardedProto),
            (18, b'p') => one(name, b"proxy-authenticate", ProxyAuthenticate),
            (18, b'x') => one(name, b"x-mainstay-retries", XMainstayRetries),
            (19, b'p') => one(name, b"proxy-authorization", ProxyAuthorization),
            (19, b'x') => one(name, b"x-mainstay-priority", XMainstayPriority),
            (22, b'x') => one(name, b"x-mainstay-deadline-ms", XMainstayDeadlineMs),
            _ => Other,
        }
    }

    /// Whether it may stand in a trailer section.
    ///
    /// A header that a gateway acts upon comes too late there, so of those that are known only the ones that are made
    /// for trailers may.
    #[must_use]
    pub const fn may_trail(self) -> bool {
        matches!(self, Self::Other | Self::Etag | Self::GrpcStatus | Self::ProxyStatus)
    }
}

const _: () = assert!(Known::ALL.len() < 64, "each header has a bit of its own");

/// A set of headers; [`Known::Other`] may be one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KnownSet(u64);

impl KnownSet {
    /// These.
    #[must_use]
    pub const fn of(members: &[Known]) -> Self {
        let (mut set, mut at) = (Self(0), 0);
        while at < members.len() {
            set.insert(members[at]);
            at += 1;
        }
        set
    }

    /// Adds one.
    pub const fn insert(&mut self, known: Known) {
        self.0 |= 1 << known as u64;
    }

    /// Whether it is one of them.
    #[must_use]
    pub const fn has(self, known: Known) -> bool {
        self.0 & (1 << known as u64) != 0
    }

    /// The others of them.
    #[must_use]
    pub const fn without(self, known: Known) -> Self {
        Self(self.0 & !(1 << known as u64))
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// What a lower-case letter has in each byte of a word, and neither a digit nor a hyphen has.
const LETTER: u64 = u64::from_ne_bytes([0x40; 8]);

/// `known` when the name is `lower`, which is of letters, digits and hyphens.
///
/// Only bit 5 of a letter may differ. The length being fixed, this is a few operations on whole words.
#[inline(always)]
fn one<const N: usize>(name: &[u8], lower: &[u8; N], known: Known) -> Known {
    let Ok(name) = <&[u8; N]>::try_from(name) else { return Known::Other };
    let (mut difference, mut at) = (0, 0);
    while at < N {
        let lower = word(lower, at);
        difference |= (word(name, at) ^ lower) & !((lower & LETTER) >> 1);
        at += 8;
    }
    if difference == 0 { known } else { Known::Other }
}

/// The eight bytes from `at` on, or as many as there are.
#[inline(always)]
fn word<const N: usize>(text: &[u8; N], at: usize) -> u64 {
    let mut word = [0; 8];
    let bytes = &text[at..N.min(at + 8)];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

#[inline(always)]
fn either<const N: usize>(name: &[u8], a: &[u8; N], known_a: Known, b: &[u8; N], known_b: Known) -> Known {
    match one(name, a, known_a) {
        Known::Other => one(name, b, known_b),
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_header_is_recognised_in_any_case() {
        for &known in Known::ALL {
            assert_eq!(Known::of(known.as_str().as_bytes()), known);
            assert_eq!(Known::of(known.as_str().to_ascii_uppercase().as_bytes()), known);
        }
    }

    #[test]
    fn a_name_that_differs_in_one_byte_is_another_header() {
        for &known in Known::ALL {
            for at in 0..known.as_str().len() {
                for byte in 0..=u8::MAX {
                    let mut name = known.as_str().as_bytes().to_vec();
                    let same = name[at].eq_ignore_ascii_case(&byte);
                    name[at] = byte;
                    assert_eq!(Known::of(&name) == known, same, "{}", String::from_utf8_lossy(&name));
                }
            }
        }
    }

    #[test]
    fn a_longer_or_shorter_name_is_another_header() {
        for &known in Known::ALL {
            let name = known.as_str().as_bytes();
            assert_eq!(Known::of(&name[1..]), Known::Other);
            assert_eq!(Known::of(&[name, b"s"].concat()), Known::Other);
        }
    }

    #[test]
    fn what_frames_or_routes_a_message_never_trails() {
        for known in
            [Known::Host, Known::ContentLength, Known::TransferEncoding, Known::Connection, Known::Authorization]
        {
            assert!(!known.may_trail());
        }
        assert!(Known::Other.may_trail());
    }
}
