//! Header and trailer fields as spans into bytes that somebody else holds.
//!
//! The bytes may be an HTTP/1 read buffer or an arena that another protocol filled: nothing here assumes a wire format.
//! A span is valid for exactly the slice that its head was parsed from, for as long as the driver keeps those bytes in
//! that order; moving the whole slice elsewhere (into a buffer that is kept for a retry) keeps every span valid.

use std::ops::{Deref, Range};

use crate::encode;
use crate::known::{Known, KnownSet};
use crate::syntax::list_members;

/// Where something stands in the bytes of its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    /// The span of `range`.
    ///
    /// Offsets are 32 bits, for a head is at most 1 MiB ([`crate::Limits::head`]) and no driver reads 4 GiB at once.
    #[must_use]
    pub const fn new(range: Range<usize>) -> Self {
        Self { start: range.start as u32, len: (range.end - range.start) as u32 }
    }

    /// Whether it holds no byte.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The bytes that it names in `bytes`.
    ///
    /// # Panics
    /// When `bytes` is shorter than the slice that the span was made for: a mistake of the driver.
    #[must_use]
    #[inline]
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..][..self.len as usize]
    }
}

/// One field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name as it was written; compare without regard to case.
    pub name: Span,
    /// Its value without the whitespace around it; may be empty.
    pub value: Span,
    /// Which header it is.
    pub known: Known,
}

impl Field {
    fn of(self, bytes: &[u8]) -> FieldRef<'_> {
        FieldRef { name: self.name.of(bytes), value: self.value.of(bytes), known: self.known }
    }

    /// Where its line stands in `bytes`, if it stands there byte for byte as it would be written.
    fn plain_line(self, bytes: &[u8]) -> Option<Range<usize>> {
        let [name, value] = [self.name, self.value].map(|span| span.start as usize..(span.start + span.len) as usize);
        let is_plain = value.start == name.end + 2
            && bytes[name.end..].starts_with(b": ")
            && bytes[value.end..].starts_with(b"\r\n");
        is_plain.then_some(name.start..value.end + 2)
    }
}

/// One field line, resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldRef<'a> {
    /// Its name as it was written; compare without regard to case.
    pub name: &'a [u8],
    /// Its value without the whitespace around it; may be empty.
    pub value: &'a [u8],
    /// Which header it is.
    pub known: Known,
}

/// Field lines, and which headers are among them: most of those that are asked for are not, and that is then known
/// without a look at the lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    lines: Vec<Field>,
    headers: KnownSet,
}

impl Fields {
    /// Appends a line.
    #[inline]
    pub fn push(&mut self, field: Field) {
        self.headers.insert(field.known);
        self.lines.push(field);
    }

    /// Forgets every line and keeps the memory.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.headers = KnownSet::default();
    }

    /// Pairs the lines with the bytes in which their spans lie.
    #[must_use]
    pub fn view<'a>(&'a self, bytes: &'a [u8]) -> FieldsView<'a> {
        FieldsView { bytes, fields: &self.lines, headers: self.headers }
    }
}

impl Deref for Fields {
    type Target = [Field];

    fn deref(&self) -> &[Field] {
        &self.lines
    }
}

impl FromIterator<Field> for Fields {
    fn from_iter<I: IntoIterator<Item = Field>>(lines: I) -> Self {
        let mut fields = Self::default();
        lines.into_iter().for_each(|field| fields.push(field));
        fields
    }
}

/// Fields together with the bytes that they stand in.
#[derive(Debug, Clone, Copy)]
pub struct FieldsView<'a> {
    bytes: &'a [u8],
    fields: &'a [Field],
    headers: KnownSet,
}

impl<'a> FieldsView<'a> {
    /// A view of `fields` whose spans lie in `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8], fields: &'a [Field]) -> Self {
        let mut headers = KnownSet::default();
        fields.iter().for_each(|field| headers.insert(field.known));
        Self { bytes, fields, headers }
    }

    /// Number of field lines.
    #[must_use]
    pub const fn len(self) -> usize {
        self.fields.len()
    }

    /// Whether there is no field line.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.fields.is_empty()
    }

    /// Every field line in the order of arrival.
    pub fn iter(self) -> impl Iterator<Item = FieldRef<'a>> + Clone {
        let bytes = self.bytes;
        self.fields.iter().map(move |field| field.of(bytes))
    }

    /// Writes those that `passes` lets pass, in their order and each as [`crate::field`] writes it. Lines that stand side
    /// by side in that form already are copied at once.
    pub fn write_those(self, out: &mut Vec<u8>, mut passes: impl FnMut(&FieldRef<'a>) -> bool) {
        let mut side_by_side = 0..0;
        for field in self.fields {
            let line = field.of(self.bytes);
            if !passes(&line) {
                continue;
            }
            match field.plain_line(self.bytes) {
                Some(next) if next.start == side_by_side.end => side_by_side.end = next.end,
                next => {
                    out.extend_from_slice(&self.bytes[side_by_side]);
                    if next.is_none() {
                        encode::field(out, line.name, line.value);
                    }
                    side_by_side = next.unwrap_or_default();
                }
            }
        }
        out.extend_from_slice(&self.bytes[side_by_side]);
    }

    /// The value of the first field line of `known`.
    #[must_use]
    pub fn get(self, known: Known) -> Option<&'a [u8]> {
        self.get_all(known).next()
    }

    /// The values of all field lines of `known`.
    pub fn get_all(self, known: Known) -> impl Iterator<Item = &'a [u8]> + Clone {
        let Self { bytes, fields, headers } = self;
        let fields = if headers.has(known) { fields } else { &[] };
        fields.iter().filter(move |f| f.known == known).map(move |f| f.value.of(bytes))
    }

    /// The value of the first field line called `name`, without regard to case.
    #[must_use]
    pub fn get_named(self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|f| f.name.eq_ignore_ascii_case(name.as_bytes())).map(|f| f.value)
    }

    /// The options that the `Connection` fields list.
    pub fn connection_options(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.get_all(Known::Connection).flat_map(list_members)
    }

    /// Whether some may be the names of fields: `false` says that none is. Nearly always there are none, or one word that
    /// names none.
    #[must_use]
    pub fn nominates(self) -> bool {
        self.get_all(Known::Connection).any(is_nomination)
    }

    /// Those of them that can be the names of fields, which are then of this connection only.
    #[inline]
    pub fn nominations(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        let telling = self.get_all(Known::Connection).filter(|value| is_nomination(value));
        telling.flat_map(list_members).filter(|option| is_nomination(option))
    }
}

fn is_nomination(option: &[u8]) -> bool {
    option != b"keep-alive" && !option.eq_ignore_ascii_case(b"close") && !option.eq_ignore_ascii_case(b"keep-alive")
}
