//! The head of a request and of a response: what was asked, as spans, whatever protocol carried it.
//!
//! A head is filled by a parser and read through a view that pairs it with its bytes. It is reused from message to
//! message: `clear` keeps the memory. What concerns the connection and not the message (framing, keep-alive) stands in
//! [`crate::RequestFacts`] and [`crate::ResponseFacts`], so that HTTP/2 can fill the same heads.

use crate::fields::{Fields, FieldsView, Span};
use crate::known::Known;

/// The protocol version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2; never from this crate's parsers.
    Http2,
}

/// The four ways to write a request target (RFC 9112 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetForm {
    /// `/path?query`.
    #[default]
    Origin,
    /// `http://host/path?query`.
    Absolute,
    /// `host:port`, only with CONNECT.
    Authority,
    /// `*`, only with OPTIONS.
    Asterisk,
}

/// What a request asks, as spans into its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestHead {
    /// The method, a token; case matters.
    pub method: Span,
    /// The request target as it was written.
    pub target: Span,
    /// Which way it was written.
    pub form: TargetForm,
    /// Path and query, what an origin server is asked for; empty for the authority form and for an absolute form
    /// without a path. [`RequestView::path_and_query`] resolves that.
    pub path_and_query: Span,
    /// The path alone.
    pub path: Span,
    /// `host[:port]` from the absolute or authority form, otherwise from `Host`; empty when neither is there, which only
    /// HTTP/1.0 allows.
    pub authority: Span,
    /// The version that the caller speaks.
    pub version: Version,
    /// The field lines in the order of arrival.
    pub fields: Fields,
}

impl RequestHead {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }

    /// Pairs the head with the bytes that it was parsed from.
    #[must_use]
    pub const fn view<'a>(&'a self, bytes: &'a [u8]) -> RequestView<'a> {
        RequestView { bytes, head: self }
    }
}

/// A request's head together with its bytes.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    bytes: &'a [u8],
    head: &'a RequestHead,
}

impl<'a> RequestView<'a> {
    /// The method, for example `GET`.
    #[must_use]
    pub fn method(self) -> &'a [u8] {
        self.head.method.of(self.bytes)
    }

    /// The request target as it was written.
    #[must_use]
    pub fn target(self) -> &'a [u8] {
        self.head.target.of(self.bytes)
    }

    /// Which way the target was written.
    #[must_use]
    pub const fn form(self) -> TargetForm {
        self.head.form
    }

    /// The target to ask an origin server for: path and query, `*` for `OPTIONS *`, empty only for the authority form.
    ///
    /// An absolute form without a path means `/`, or `*` when the method is OPTIONS (RFC 9112 section 3.2.4).
    #[must_use]
    pub fn path_and_query(self) -> &'a [u8] {
        match self.head.form {
            TargetForm::Absolute if self.head.path_and_query.is_empty() => self.path_of_bare_authority(),
            _ => self.head.path_and_query.of(self.bytes),
        }
    }

    /// The path, never empty but for the authority form.
    #[must_use]
    pub fn path(self) -> &'a [u8] {
        match self.head.form {
            TargetForm::Absolute if self.head.path.is_empty() => self.path_of_bare_authority(),
            _ => self.head.path.of(self.bytes),
        }
    }

    fn path_of_bare_authority(self) -> &'static [u8] {
        if self.method() == b"OPTIONS" { b"*" } else { b"/" }
    }

    /// What follows the first `?`; `None` without one.
    #[must_use]
    pub fn query(self) -> Option<&'a [u8]> {
        self.head.path_and_query.of(self.bytes).get(self.head.path.len as usize + 1..)
    }

    /// `host[:port]`: of the target where it names one, otherwise of `Host`; `None` only on HTTP/1.0.
    #[must_use]
    pub fn authority(self) -> Option<&'a [u8]> {
        (!self.head.authority.is_empty()).then(|| self.head.authority.of(self.bytes))
    }

    /// The version that the caller speaks.
    #[must_use]
    pub const fn version(self) -> Version {
        self.head.version
    }

    /// The field lines.
    #[must_use]
    pub fn fields(self) -> FieldsView<'a> {
        self.head.fields.view(self.bytes)
    }

    /// The value of the first field line of `known`.
    #[must_use]
    pub fn get(self, known: Known) -> Option<&'a [u8]> {
        self.fields().get(known)
    }

    /// The value of the first field line called `name`, without regard to case.
    #[must_use]
    pub fn get_named(self, name: &str) -> Option<&'a [u8]> {
        self.fields().get_named(name)
    }
}

/// What a response says before its body, as spans into its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// The version that the instance speaks.
    pub version: Version,
    /// The status, 100 to 599; 0 in an empty head.
    pub status: u16,
    /// The reason phrase; may be empty.
    pub reason: Span,
    /// The field lines in the order of arrival.
    pub fields: Fields,
}

impl ResponseHead {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }

    /// Pairs the head with the bytes that it was parsed from.
    #[must_use]
    pub const fn view<'a>(&'a self, bytes: &'a [u8]) -> ResponseView<'a> {
        ResponseView { bytes, head: self }
    }
}

/// A response's head together with its bytes.
#[derive(Debug, Clone, Copy)]
pub struct ResponseView<'a> {
    bytes: &'a [u8],
    head: &'a ResponseHead,
}

impl<'a> ResponseView<'a> {
    /// The version that the instance speaks.
    #[must_use]
    pub const fn version(self) -> Version {
        self.head.version
    }

    /// The status, 100 to 599.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.head.status
    }

    /// The reason phrase; may be empty, and nothing should depend on it.
    #[must_use]
    pub fn reason(self) -> &'a [u8] {
        self.head.reason.of(self.bytes)
    }

    /// The field lines.
    #[must_use]
    pub fn fields(self) -> FieldsView<'a> {
        self.head.fields.view(self.bytes)
    }

    /// The value of the first field line of `known`.
    #[must_use]
    pub fn get(self, known: Known) -> Option<&'a [u8]> {
        self.fields().get(known)
    }

    /// The value of the first field line called `name`, without regard to case.
    #[must_use]
    pub fn get_named(self, name: &str) -> Option<&'a [u8]> {
        self.fields().get_named(name)
    }
}
