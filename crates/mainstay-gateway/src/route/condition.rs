//! What a request must say beside its host and path.
//!
//! Only candidates are asked, and the cheap questions come first. A parameter or a cookie that stands there several
//! times matches when one of its values does. Query parameters are compared decoded (`+` is a space), as the server
//! behind will see them.

use std::borrow::Cow;

use mainstay_config::{ListenerId, PathMatch, Pattern, Route, ValueMatch};
use mainstay_http1::{Known, RequestView};

use super::path::hex;

/// The conditions of one route.
#[derive(Debug)]
pub(super) struct Conditions {
    listeners: Vec<ListenerId>,
    methods: Vec<Box<[u8]>>,
    path: Option<Pattern>,
    headers: Vec<HeaderCondition>,
    query: Vec<(Box<[u8]>, ValueMatch)>,
    cookies: Vec<(Box<[u8]>, ValueMatch)>,
}

#[derive(Debug)]
struct HeaderCondition {
    name: Box<[u8]>,
    known: Known,
    value: ValueMatch,
}

impl Conditions {
    pub(super) fn new(route: &Route) -> Self {
        let named = |list: &[(String, ValueMatch)]| {
            list.iter().map(|(name, value)| (name.as_bytes().into(), value.clone())).collect()
        };
        let header = |(name, value): &(String, ValueMatch)| HeaderCondition {
            name: name.as_bytes().into(),
            known: Known::of(name.as_bytes()),
            value: value.clone(),
        };
        let path = match &route.path {
            PathMatch::Pattern(pattern) => Some(pattern.clone()),
            PathMatch::Prefix(_) | PathMatch::Exact(_) => None,
        };
        Self {
            listeners: route.listeners.clone(),
            methods: route.methods.iter().map(|method| method.as_bytes().into()).collect(),
            path,
            headers: route.headers.iter().map(header).collect(),
            query: named(&route.query),
            cookies: named(&route.cookies),
        }
    }

    /// Whether all of them hold.
    pub(super) fn hold(&self, request: RequestView<'_>, path: &[u8], listener: ListenerId) -> bool {
        self.listeners.contains(&listener)
            && (self.methods.is_empty() || self.methods.iter().any(|method| **method == *request.method()))
            && self.headers.iter().all(|condition| condition.holds(request))
            && self.query.iter().all(|(name, value)| parameters(request, name).any(|given| value.matches(&given)))
            && self.cookies.iter().all(|(name, value)| cookies(request, name).any(|given| value.matches(given)))
            && self.path.as_ref().is_none_or(|pattern| pattern.is_match(path))
    }
}

impl HeaderCondition {
    fn holds(&self, request: RequestView<'_>) -> bool {
        request.fields().iter().any(|field| {
            field.known == self.known
                && (self.known != Known::Other || field.name.eq_ignore_ascii_case(&self.name))
                && self.value.matches(field.value)
        })
    }
}

/// The decoded values of the query parameter `name`.
pub(crate) fn parameters<'a>(request: RequestView<'a>, name: &[u8]) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let pairs = request.query().into_iter().flat_map(|query| query.split(|byte| *byte == b'&'));
    pairs.filter_map(move |pair| {
        let (given, value) = split_once(pair, b'=').unwrap_or((pair, b""));
        (*decoded(given) == *name).then(|| decoded(value))
    })
}

/// The values of the cookie `name`, without the quotes that may stand around them (RFC 6265, section 4.1.1).
pub(crate) fn cookies<'a>(request: RequestView<'a>, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    let pairs = request.fields().get_all(Known::Cookie).flat_map(|line| line.split(|byte| *byte == b';'));
    pairs.filter_map(move |pair| {
        let (given, value) = split_once(pair.trim_ascii(), b'=')?;
        let value = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
        (*given == *name).then_some(value)
    })
}

fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    memchr::memchr(at, text).map(|place| (&text[..place], &text[place + 1..]))
}

/// Decodes a part of a query; what is not a triplet stays as it is. Only a part with something to decode is copied.
fn decoded(part: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', part).is_none() {
        return Cow::Borrowed(part);
    }
    let mut out = Vec::with_capacity(part.len());
    let mut rest = part;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match (byte, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                out.push((hex(*high).unwrap_or_default() << 4) | hex(*low).unwrap_or_default());
                rest = after;
            }
            (plain, _) => out.push(*plain),
        }
    }
    Cow::Owned(out)
}
