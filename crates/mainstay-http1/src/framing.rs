//! Where a message ends and what becomes of its connection, decided from the few fields that say so.
//!
//! [`Notes`] looks at each field once, while the head is parsed, and refuses every combination that two readers could
//! take differently: RFC 9112 section 6.3 tells a recipient how to repair some of them, and each of those repairs has
//! been a smuggling attack somewhere. There is therefore one framing field at most, in one spelling.

use crate::body::BodyKind;
use crate::fields::Span;
use crate::head::Version;
use crate::known::Known;
use crate::reject::Reject;
use crate::syntax::{is_token, list_members};
use crate::writer::BodyLength;

/// What a request's head says about its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestFacts {
    /// How the body is delimited; never [`BodyKind::UntilClose`].
    pub body: BodyKind,
    /// Whether the caller wishes to keep the connection (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// Whether the caller waits for a 100 before it sends the body.
    pub expect_continue: bool,
    /// Whether the caller asks for another protocol; which one, `Upgrade` says.
    pub upgrade: bool,
}

impl RequestFacts {
    /// The length to send the request on with.
    #[must_use]
    pub const fn body_length(&self) -> BodyLength {
        match self.body {
            BodyKind::None => BodyLength::Empty,
            BodyKind::Length(length) => BodyLength::Exactly(length),
            BodyKind::Chunked | BodyKind::UntilClose => BodyLength::Unknown,
        }
    }
}

/// What a response's head says about its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseFacts {
    /// How the body is delimited.
    pub body: BodyKind,
    /// What `Content-Length` says, which answers to HEAD and 304 carry without a body.
    pub content_length: Option<u64>,
    /// Whether the instance keeps the connection.
    pub keep_alive: bool,
    /// Whether the connection now belongs to another protocol: the status is 101.
    pub upgrade: bool,
}

impl ResponseFacts {
    /// The length to send the response on with: for an answer to HEAD and a 304 the one that it announces.
    #[must_use]
    pub const fn body_length(&self) -> BodyLength {
        match (self.body, self.content_length) {
            (_, Some(length)) => BodyLength::Exactly(length),
            (BodyKind::Chunked | BodyKind::UntilClose, None) => BodyLength::Unknown,
            (BodyKind::None | BodyKind::Length(_), None) => BodyLength::Empty,
        }
    }
}

/// Which kind of head the fields belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// What the fields so far say about framing and connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    pub(crate) version: Version,
    pub(crate) host: Option<Span>,
    content_length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    upgrade_option: bool,
    upgrade_field: bool,
    expect_continue: bool,
}

impl Notes {
    /// Looks at one field.
    #[inline]
    pub(crate) fn note(&mut self, side: Side, known: Known, span: Span, bytes: &[u8]) -> Result<(), Reject> {
        match known {
            Known::Host if side == Side::Request => self.host(span),
            Known::ContentLength => self.content_length(span.of(bytes)),
            Known::TransferEncoding => self.transfer_encoding(span.of(bytes)),
            Known::Connection => self.connection(span.of(bytes)),
            Known::Expect if side == Side::Request => self.expect(span.of(bytes)),
            Known::Upgrade => {
                self.upgrade_field = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn host(&mut self, span: Span) -> Result<(), Reject> {
        match self.host.replace(span) {
            None => Ok(()),
            Some(_) => Err(Reject::RepeatedHost),
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Reject> {
        if self.content_length.is_some() {
            return Err(Reject::RepeatedContentLength);
        }
        if self.chunked {
            return Err(Reject::LengthAndCoding);
        }
        self.content_length = Some(plain_number(value)?);
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Reject> {
        if self.chunked {
            return Err(Reject::RepeatedTransferEncoding);
        }
        if self.version == Version::Http10 {
            return Err(Reject::CodingOnHttp10);
        }
        if self.content_length.is_some() {
            return Err(Reject::LengthAndCoding);
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Reject::UnknownTransferCoding);
        }
        self.chunked = true;
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) -> Result<(), Reject> {
        if value == b"keep-alive" {
            self.keep_alive = true;
            return Ok(());
        }
        for option in list_members(value) {
            if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade_option = true;
            } else if !is_token(option) {
                return Err(Reject::BadConnection);
            }
        }
        Ok(())
    }

    /// Any other expectation than `100-continue` is refused and not passed on: a peer that reads it another way waits
    /// for a body that was never asked for.
    fn expect(&mut self, value: &[u8]) -> Result<(), Reject> {
        if self.expect_continue || !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Reject::BadExpect);
        }
        self.expect_continue = true;
        Ok(())
    }

    fn keeps_alive(&self) -> bool {
        !self.close && (self.version >= Version::Http11 || self.keep_alive)
    }

    /// The facts of a request, when its head is complete.
    pub(crate) fn request_facts(&self) -> RequestFacts {
        let body = match (self.chunked, self.content_length) {
            (true, _) => BodyKind::Chunked,
            (false, Some(length)) => BodyKind::Length(length),
            (false, None) => BodyKind::None,
        };
        let http11 = self.version >= Version::Http11;
        RequestFacts {
            body,
            keep_alive: self.keeps_alive(),
            expect_continue: self.expect_continue && http11 && !body.is_empty(),
            upgrade: self.upgrade_field && self.upgrade_option && http11,
        }
    }

    /// The facts of a response with `status`, when its head is complete; `to_head` says that the request was a HEAD.
    pub(crate) fn response_facts(&self, status: u16, to_head: bool) -> Result<ResponseFacts, Reject> {
        let announced = self.chunked || self.content_length.is_some_and(|length| length > 0);
        if status < 200 && (self.chunked || self.content_length.is_some()) {
            return Err(Reject::BodyOnInterim);
        }
        let body = match (self.chunked, self.content_length) {
            _ if to_head || status < 200 || status == 204 || status == 304 => BodyKind::None,
            (true, _) => BodyKind::Chunked,
            (false, Some(length)) => BodyKind::Length(length),
            (false, None) => BodyKind::UntilClose,
        };
        // A 204 has no body, yet an instance that announces one may send it: nothing more is read from this connection.
        let deceptive = status == 204 && announced;
        Ok(ResponseFacts {
            body,
            content_length: self.content_length,
            keep_alive: self.keeps_alive() && body != BodyKind::UntilClose && !deceptive,
            upgrade: status == 101,
        })
    }
}

/// Reads digits and nothing else.
fn plain_number(digits: &[u8]) -> Result<u64, Reject> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Reject::BadContentLength);
    }
    digits
        .iter()
        .try_fold(0i64, |sum, digit| sum.checked_mul(10)?.checked_add(i64::from(digit - b'0')))
        .map(i64::unsigned_abs)
        .ok_or(Reject::ContentLengthTooLarge)
}
