//! Header and trailer fields as spans into bytes that somebody else holds.
//!
//! The bytes may be an HTTP/1 read buffer or an arena that another protocol filled: nothing here assumes a wire format.
//! A span is valid for exactly the slice that its head was parsed from, for as long as the driver keeps those bytes in
//! that order; moving the whole slice elsewhere (into a buffer that is kept for a retry) keeps every span valid.

use std::ops::Range;

use crate::known::Known;
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

/// Fields together with the bytes that they stand in.
#[derive(Debug, Clone, Copy)]
pub struct FieldsView<'a> {
    bytes: &'a [u8],
    fields: &'a [Field],
}

impl<'a> FieldsView<'a> {
    /// A view of `fields` whose spans lie in `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8], fields: &'a [Field]) -> Self {
        Self { bytes, fields }
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
        self.fields.iter().map(move |f| FieldRef { name: f.name.of(bytes), value: f.value.of(bytes), known: f.known })
    }

    /// The value of the first field line of `known`.
    #[must_use]
    pub fn get(self, known: Known) -> Option<&'a [u8]> {
        self.fields.iter().find(|f| f.known == known).map(|f| f.value.of(self.bytes))
    }

    /// The values of all field lines of `known`.
    pub fn get_all(self, known: Known) -> impl Iterator<Item = &'a [u8]> + Clone {
        let bytes = self.bytes;
        self.fields.iter().filter(move |f| f.known == known).map(move |f| f.value.of(bytes))
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

    /// Those of them that can be the names of fields, which are then of this connection only.
    pub fn nominations(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        // Nearly every such field says one word that names none.
        let telling = self.get_all(Known::Connection).filter(|value| is_nomination(value));
        telling.flat_map(list_members).filter(|option| is_nomination(option))
    }
}

fn is_nomination(option: &[u8]) -> bool {
    option != b"keep-alive" && !option.eq_ignore_ascii_case(b"close") && !option.eq_ignore_ascii_case(b"keep-alive")
}
