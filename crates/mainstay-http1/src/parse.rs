//! Heads, from bytes to spans, in one pass and in any number of pieces.
//!
//! A parser reads line by line and remembers where the first line begins that it has not seen whole; when more bytes
//! come it goes on there. A slow peer can therefore make it read one line again for each piece that it sends, never the
//! lines before it, and a line is bounded by [`Limits::head`]: that work stays below the cost of receiving the pieces.
//!
//! The first error is the same however the input is cut, for each byte is judged in order and every limit counts bytes of
//! the head and not of the input.
//!
//! Deliberately narrower than RFC 9112 allows a recipient to be (sections 2.2, 3, 5.1, 5.2): lines end in CRLF, single
//! spaces separate the parts of a start line, nothing precedes a colon, no line is folded. At most two empty lines before
//! a request line are passed over, as section 2.2 asks.

use std::ops::Range;

use crate::Received;
use crate::fields::{Field, Span};
use crate::framing::{Notes, RequestFacts, ResponseFacts, Side};
use crate::head::{RequestHead, ResponseHead, Version};
use crate::known::Known;
use crate::reject::{Limits, Reject};
use crate::syntax::{PATH, QUERY, TOKEN, control, is_blank, is_token, near_colon, run};
use crate::target;

/// Empty lines that may precede a request line.
const EMPTY_LINES_MAX: u8 = 2;

/// Parses the heads of requests, one after the other.
#[derive(Debug, Clone)]
pub struct RequestParser {
    limits: Limits,
    began: bool,
    past_start_line: bool,
    empty_lines: u8,
    lines: Lines,
    notes: Notes,
}

impl RequestParser {
    /// A parser at the beginning of a head.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            began: false,
            past_start_line: false,
            empty_lines: 0,
            lines: Lines::default(),
            notes: Notes::default(),
        }
    }

    /// Whether a part of a head was seen that is not yet complete.
    #[must_use]
    pub const fn began(&self) -> bool {
        self.began
    }

    /// Parses a head that begins at `input[0]` and tells its length and what it says about the connection; `None` until
    /// it is complete, and then the next call wants the same bytes again, with more, and the same `head`.
    ///
    /// # Errors
    /// Why the head is refused; the parser is of no use afterwards.
    #[inline]
    pub fn parse(&mut self, input: &[u8], head: &mut RequestHead) -> Result<Option<Received<RequestFacts>>, Reject> {
        let window = &input[..input.len().min(self.limits.head_bytes())];
        if let Some(length) = self.parse_window(window, head)? {
            let facts = self.notes.request_facts();
            *self = Self::new(self.limits);
            return Ok(Some(Received::new(length, facts)));
        }
        self.began = window.len() > self.lines.at || self.past_start_line;
        if window.len() < self.limits.head_bytes() {
            return Ok(None);
        }
        Err(if self.past_start_line { Reject::HeadTooLarge } else { Reject::TargetTooLong })
    }

    fn parse_window(&mut self, input: &[u8], head: &mut RequestHead) -> Result<Option<usize>, Reject> {
        if !self.past_start_line {
            if !self.skip_empty_lines(input)? {
                return Ok(None);
            }
            head.clear();
            let Some(next) = request_line(input, self.lines.at, head)? else { return Ok(None) };
            self.lines.at = next;
            self.notes.version = head.version;
            self.past_start_line = true;
        }
        let notes = &mut self.notes;
        let fields = &mut head.fields;
        let end = self.lines.parse(input, self.limits.headers, |field| {
            notes.note(Side::Request, field.known, field.value, input)?;
            fields.push(field);
            Ok(())
        })?;
        let Some(end) = end else { return Ok(None) };
        if notes.host.is_none() && head.version == Version::Http11 {
            return Err(Reject::MissingHost);
        }
        target::settle_authority(head, input, notes.host)?;
        Ok(Some(end))
    }

    /// Passes over empty lines; `false` when what follows cannot be told yet.
    fn skip_empty_lines(&mut self, input: &[u8]) -> Result<bool, Reject> {
        loop {
            match input.get(self.lines.at..) {
                Some([b'\r', b'\n', ..]) if self.empty_lines < EMPTY_LINES_MAX => {
                    self.empty_lines += 1;
                    self.lines.at += 2;
                }
                None | Some([] | [b'\r']) => return Ok(false),
                Some([b'\n', ..]) => return Err(Reject::BareLf),
                Some(_) => return Ok(true),
            }
        }
    }
}

/// Parses the heads of responses, one after the other.
#[derive(Debug, Clone)]
pub struct ResponseParser {
    limits: Limits,
    past_start_line: bool,
    lines: Lines,
    notes: Notes,
}

impl ResponseParser {
    /// A parser at the beginning of a head.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, past_start_line: false, lines: Lines::default(), notes: Notes::default() }
    }

    /// Parses a head that begins at `input[0]` and tells its length and what it says about the connection; `None` until
    /// it is complete, and then the next call wants the same bytes again, with more, and the same `head`. `to_head` says
    /// that the request was a HEAD.
    ///
    /// # Errors
    /// Why the head is refused; the parser is of no use afterwards.
    #[inline]
    pub fn parse(
        &mut self,
        input: &[u8],
        to_head: bool,
        head: &mut ResponseHead,
    ) -> Result<Option<Received<ResponseFacts>>, Reject> {
        let window = &input[..input.len().min(self.limits.head_bytes())];
        if let Some(length) = self.parse_window(window, head)? {
            let facts = self.notes.response_facts(head.status, to_head)?;
            *self = Self::new(self.limits);
            return Ok(Some(Received::new(length, facts)));
        }
        if window.len() < self.limits.head_bytes() { Ok(None) } else { Err(Reject::HeadTooLarge) }
    }

    fn parse_window(&mut self, input: &[u8], head: &mut ResponseHead) -> Result<Option<usize>, Reject> {
        if !self.past_start_line {
            head.clear();
            let Some(next) = status_line(input, head)? else { return Ok(None) };
            self.lines.at = next;
            self.notes.version = head.version;
            self.past_start_line = true;
        }
        let notes = &mut self.notes;
        let fields = &mut head.fields;
        let end = self.lines.parse(input, self.limits.headers, |field| {
            notes.note(Side::Response, field.known, field.value, input)?;
            fields.push(field);
            Ok(())
        })?;
        Ok(end)
    }
}

/// Parses a trailer section and keeps the fields that may stand in one.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrailerParser {
    lines: Lines,
}

impl TrailerParser {
    /// Parses a section that begins at `input[0]` and tells its length; `None` until it is complete.
    pub(crate) fn parse(
        &mut self,
        input: &[u8],
        limits: Limits,
        trailers: &mut Vec<Field>,
    ) -> Result<Option<usize>, Reject> {
        let window = &input[..input.len().min(limits.head_bytes())];
        let end = self.lines.parse(window, limits.headers, |field| {
            if field.known.may_trail() {
                trailers.push(field);
            }
            Ok(())
        })?;
        if end.is_none() && window.len() == limits.head_bytes() { Err(Reject::HeadTooLarge) } else { Ok(end) }
    }
}

/// Where field lines are read, and how many have been.
#[derive(Debug, Clone, Default)]
struct Lines {
    /// Where the first line begins that was not seen whole.
    at: usize,
    count: usize,
}

enum Line {
    Partial,
    Field { field: Field, next: usize },
    Empty { next: usize },
}

impl Lines {
    /// Hands each field line to `take` and tells where the section ends; `None` until it does.
    #[inline]
    fn parse(
        &mut self,
        input: &[u8],
        count_max: usize,
        mut take: impl FnMut(Field) -> Result<(), Reject>,
    ) -> Result<Option<usize>, Reject> {
        loop {
            match field_line(input, self.at)? {
                Line::Partial => return Ok(None),
                Line::Empty { next } => return Ok(Some(next)),
                Line::Field { .. } if self.count == count_max => return Err(Reject::TooManyFields),
                Line::Field { field, next } => {
                    take(field)?;
                    self.count += 1;
                    self.at = next;
                }
            }
        }
    }
}

/// Reads the line that begins at `at`. Inlined with what it calls, so that no line is put together only to be taken apart.
#[inline(always)]
fn field_line(input: &[u8], at: usize) -> Result<Line, Reject> {
    let line = &input[at..];
    if line.starts_with(b"\r\n") {
        return Ok(Line::Empty { next: at + 2 });
    }
    match usual_line(line, at) {
        Some(usual) => Ok(usual),
        None => any_line(input, at),
    }
}

/// A whole field line, which begins at `at`, with a name that is not long and a value without control characters; `None`
/// for any other, of which [`any_line`] says what it is.
#[inline(always)]
fn usual_line(line: &[u8], at: usize) -> Option<Line> {
    let (name, text) = line.split_at_checked(near_colon(line)?)?;
    let known = Known::of(name);
    // A name that is known is a token.
    if known == Known::Other && !is_token(name) {
        return None;
    }
    let end = control(text)?;
    if !text[end..].starts_with(b"\r\n") {
        return None;
    }
    let begin = at + name.len();
    let field = Field { name: Span::new(at..begin), value: trimmed(text, 1..end, begin), known };
    Some(Line::Field { field, next: begin + end + 2 })
}

/// The span of `range` in `text`, which begins at `at`, without the blanks at both ends.
#[inline(always)]
fn trimmed(text: &[u8], range: Range<usize>, at: usize) -> Span {
    let (mut start, mut end) = (range.start, range.end);
    while start < end && is_blank(text[start]) {
        start += 1;
    }
    while end > start && is_blank(text[end - 1]) {
        end -= 1;
    }
    Span::new(at + start..at + end)
}

/// Any line, byte by byte.
#[inline(never)]
fn any_line(input: &[u8], at: usize) -> Result<Line, Reject> {
    let name_end = at + run(&input[at..], TOKEN);
    if name_end > at && input.get(name_end) == Some(&b':') {
        let Some(end) = line_end(input, name_end + 1, Reject::BadFieldValue)? else { return Ok(Line::Partial) };
        let name = &input[at..name_end];
        let (name, known) = (Span::new(at..name_end), Known::of(name));
        let field = Field { name, value: trimmed(input, name_end + 1..end, 0), known };
        return Ok(Line::Field { field, next: end + 2 });
    }
    match &input[at..] {
        [] | [b'\r'] => Ok(Line::Partial),
        [b'\r', ..] => Err(Reject::BareCr),
        [b'\n', ..] => Err(Reject::BareLf),
        [b' ' | b'\t', ..] => Err(Reject::Folding),
        _ if name_end == input.len() => Ok(Line::Partial),
        _ => Err(Reject::BadFieldName),
    }
}

/// The place of the CRLF that ends the text from `start` on; `None` until it has come. A control character other than
/// the tab before it is refused as `otherwise`.
#[inline(always)]
fn line_end(input: &[u8], start: usize, otherwise: Reject) -> Result<Option<usize>, Reject> {
    let mut at = start;
    while let Some(offset) = control(&input[at..]) {
        at += offset;
        match input[at] {
            b'\t' => at += 1,
            b'\r' => {
                return match input.get(at + 1) {
                    None => Ok(None),
                    Some(b'\n') => Ok(Some(at)),
                    Some(_) => Err(Reject::BareCr),
                };
            }
            b'\n' => return Err(Reject::BareLf),
            _ => return Err(otherwise),
        }
    }
    Ok(None)
}

/// Reads the request line that begins at `at` and tells where the next line does; `None` until it is complete.
#[inline]
fn request_line(input: &[u8], at: usize, head: &mut RequestHead) -> Result<Option<usize>, Reject> {
    let method_end = at + run(&input[at..], TOKEN);
    match input.get(method_end) {
        None => return Ok(None),
        Some(b' ') if method_end > at => {}
        Some(_) => return Err(Reject::BadMethod),
    }
    let target = method_end + 1;
    let path_end = target + run(&input[target..], PATH);
    let target_end = match input.get(path_end) {
        Some(b'?') => path_end + run(&input[path_end..], QUERY),
        _ => path_end,
    };
    match input.get(target_end) {
        None => return Ok(None),
        Some(b' ') if target_end > target => {}
        Some(b'\r' | b'\n') if target_end > target => return Err(Reject::BadVersion),
        Some(_) => return Err(Reject::BadTarget),
    }
    head.method = Span::new(at..method_end);
    head.target = Span::new(target..target_end);
    let Some(version) = request_version(&input[target_end + 1..], head.method.of(input))? else { return Ok(None) };
    head.version = version;
    target::classify(head, input, path_end)?;
    Ok(Some(target_end + 1 + REQUEST_VERSION.len()))
}

/// What ends a request line; other digits are other versions.
const REQUEST_VERSION: &[u8; 10] = b"HTTP/1.1\r\n";

#[inline]
fn request_version(input: &[u8], method: &[u8]) -> Result<Option<Version>, Reject> {
    if input.starts_with(REQUEST_VERSION) {
        return Ok(Some(Version::Http11));
    }
    for (at, (&byte, &wanted)) in input.iter().zip(REQUEST_VERSION).enumerate() {
        match at {
            5 | 7 if byte.is_ascii_digit() => {}
            _ if byte == wanted => {}
            8 if byte == b'\n' => return Err(Reject::BareLf),
            9 => return Err(Reject::BareCr),
            _ => return Err(Reject::BadVersion),
        }
    }
    match input.get(..REQUEST_VERSION.len()).map(|line| (line[5], line[7])) {
        None => Ok(None),
        Some((b'1', b'0')) => Ok(Some(Version::Http10)),
        Some((b'2', b'0')) if method == b"PRI" => Err(Reject::Http2Preface),
        Some(_) => Err(Reject::UnsupportedVersion),
    }
}

/// What begins a status line; other digits are other versions and statuses.
const STATUS_BEGIN: &[u8; 12] = b"HTTP/1.1 200";

/// Reads the status line at the front and tells where the next line begins; `None` until it is complete.
///
/// The space before an empty reason may be missing: RFC 9112 section 4 wants it, many servers leave it out, and it can be
/// read in one way only.
#[inline]
fn status_line(input: &[u8], head: &mut ResponseHead) -> Result<Option<usize>, Reject> {
    let usual = matches!(input.first_chunk::<12>(), Some([begin @ .., a, b, c])
        if begin == b"HTTP/1.1 " && a.is_ascii_digit() && b.is_ascii_digit() && c.is_ascii_digit());
    let looked_at = if usual { &[] } else { input };
    for (at, (&byte, &wanted)) in looked_at.iter().zip(STATUS_BEGIN).enumerate() {
        match at {
            5 | 7 | 9.. if byte.is_ascii_digit() => {}
            _ if byte == wanted && at != 5 && at != 7 => {}
            _ => return Err(Reject::BadStatusLine),
        }
    }
    let Some(begin) = input.first_chunk::<12>() else { return Ok(None) };
    head.version = match (begin[5], begin[7]) {
        (b'1', b'1') => Version::Http11,
        (b'1', b'0') => Version::Http10,
        _ => return Err(Reject::UnsupportedVersion),
    };
    head.status = begin[9..].iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    if !(100..600).contains(&head.status) {
        return Err(Reject::BadStatusLine);
    }
    let reason = match input.get(begin.len()) {
        None => return Ok(None),
        Some(b' ') => begin.len() + 1,
        Some(b'\r' | b'\n') => begin.len(),
        Some(_) => return Err(Reject::BadStatusLine),
    };
    let Some(end) = line_end(input, reason, Reject::BadStatusLine)? else { return Ok(None) };
    head.reason = Span::new(reason..end);
    Ok(Some(end + 2))
}
