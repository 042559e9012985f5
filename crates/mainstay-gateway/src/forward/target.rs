//! What a request is rewritten or redirected to.
//!
//! In: the canonical path, the caller's host, the query. Out: bytes that can stand in a request line or in `Location`.
//! What keeps a redirect from being turned against its users: the path and the rest are canonical, so they begin with
//! exactly one slash and hold no backslash and no control character; the host is one that the codec accepted; the
//! literal parts are escaped when the template is compiled.

use mainstay_config::{Part, PathMatch, Route, Template, Variable};

/// What a request gives to a template.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The host with its port, as the caller named it.
    pub(crate) host: Option<&'a [u8]>,
    /// The canonical path.
    pub(crate) path: &'a [u8],
    /// The query without its question mark.
    pub(crate) query: Option<&'a [u8]>,
}

/// The template needs a host and the caller named none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoHost;

/// How the path of a route's requests changes on the way up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathChange {
    /// Not at all.
    Keep,
    /// This is taken away from the front, on a segment's border.
    Strip(Box<[u8]>),
    /// Something else stands in its place.
    Rewrite(Filled),
}

impl PathChange {
    /// The change that `route` asks for.
    #[must_use]
    pub(crate) fn new(route: &Route) -> Self {
        match (&route.rewrite, &route.strip_prefix) {
            (Some(template), _) => Self::Rewrite(Filled::new(template, &route.path)),
            (None, Some(prefix)) => Self::Strip(prefix.trim_end_matches('/').as_bytes().into()),
            (None, None) => Self::Keep,
        }
    }

    /// Appends path and query to `out`, as they go upstream.
    ///
    /// # Errors
    /// [`NoHost`].
    pub(crate) fn write(&self, asked: &Asked<'_>, out: &mut Vec<u8>) -> Result<(), NoHost> {
        let start = out.len();
        match self {
            Self::Keep => out.extend_from_slice(asked.path),
            Self::Strip(prefix) => out.extend_from_slice(rest(prefix, asked.path).unwrap_or(asked.path)),
            Self::Rewrite(template) => template.write(asked, out)?,
        }
        if out.len() == start || !matches!(out[start], b'/' | b'*') {
            out.insert(start, b'/');
        }
        let has_query = matches!(self, Self::Rewrite(template) if template.names_query);
        if !has_query {
            push_query(asked.query, out);
        }
        Ok(())
    }
}

/// A template that is ready to be filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filled {
    pieces: Vec<Piece>,
    prefix: Box<[u8]>,
    names_query: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<[u8]>),
    Variable(Variable),
}

impl Filled {
    /// `template` for the requests of a route with this path.
    #[must_use]
    pub(crate) fn new(template: &Template, path: &PathMatch) -> Self {
        let piece = |part: &Part| match part {
            Part::Text(text) => Piece::Text(escaped(text).into()),
            Part::Variable(variable) => Piece::Variable(*variable),
        };
        let prefix = match path {
            PathMatch::Prefix(path) | PathMatch::Exact(path) => escaped(path.trim_end_matches('/')).into(),
            PathMatch::Pattern(_) => Box::default(),
        };
        let pieces = template.parts().iter().map(piece).collect();
        Self { pieces, prefix, names_query: template.names(Variable::Query) }
    }

    /// Appends the filled template to `out`.
    ///
    /// # Errors
    /// [`NoHost`].
    pub(crate) fn write(&self, asked: &Asked<'_>, out: &mut Vec<u8>) -> Result<(), NoHost> {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Variable(Variable::Host) => out.extend_from_slice(asked.host.ok_or(NoHost)?),
                Piece::Variable(Variable::Path) => out.extend_from_slice(asked.path),
                Piece::Variable(Variable::Query) => push_query(asked.query, out),
                Piece::Variable(Variable::Rest) => {
                    out.extend_from_slice(rest(&self.prefix, asked.path).unwrap_or_default());
                }
            }
        }
        Ok(())
    }
}

/// Where a redirect leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RedirectRule {
    to: Filled,
    keep_query: bool,
    /// The status of the answer.
    pub(crate) status: u16,
}

impl RedirectRule {
    /// The rule of a route with this path.
    #[must_use]
    pub(crate) fn new(redirect: &mainstay_config::Redirect, path: &PathMatch) -> Self {
        Self { to: Filled::new(&redirect.to, path), keep_query: redirect.keep_query, status: redirect.status }
    }

    /// Appends the value of `Location` to `out`.
    ///
    /// # Errors
    /// [`NoHost`].
    pub(crate) fn location(&self, asked: &Asked<'_>, out: &mut Vec<u8>) -> Result<(), NoHost> {
        self.to.write(asked, out)?;
        if self.keep_query {
            push_query(asked.query, out);
        }
        Ok(())
    }
}

/// What follows `prefix` in `path`: nothing, or it begins with a slash. `None` when the path does not lie below it.
fn rest<'a>(prefix: &[u8], path: &'a [u8]) -> Option<&'a [u8]> {
    path.strip_prefix(prefix).filter(|rest| matches!(rest.first(), None | Some(b'/')))
}

fn push_query(query: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(query) = query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
}

/// `text` with what no URI may hold as triplets.
pub(crate) fn escaped(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}') {
            out.push(byte);
        } else {
            out.push(b'%');
            out.extend([byte >> 4, byte & 15].map(|digit| b"0123456789ABCDEF"[usize::from(digit)]));
        }
    }
    out
}
