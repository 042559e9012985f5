//! Which of the fields that came go on, and what a configuration adds, sets and removes.
//!
//! The order is the law here (RFC 9110, section 7.6.1): what belongs to one connection only is taken away **first**, and
//! what we write comes after, so no caller can make us drop a field of ours by naming it in `Connection`. Nor can it
//! nominate away what a message means or who sent it: credentials, caching, the content's type and the forwarding
//! fields stay whatever `Connection` says. The fields of the framing never go on; the connection's machine writes them
//! anew.

use mainstay_config::HeaderOps;
use mainstay_http1::{FieldRef, FieldsView, Known, KnownSet, field};

use crate::mirror::MARK;

/// Changes to the fields of a message, compiled from a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldRules {
    /// Headers of [`Known`] that were set or removed.
    known: KnownSet,
    /// Others that were set or removed, in lower case.
    others: Vec<Box<[u8]>>,
    /// The lines of what was set and added.
    lines: Box<[u8]>,
}

impl FieldRules {
    /// Removes, sets and adds in this order, so what is set or added stands there even when it is removed as well.
    /// Fields that only the framing may decide are left alone.
    #[must_use]
    pub(crate) fn new(ops: &HeaderOps) -> Self {
        let mut rules = Self::default();
        let mut lines = Vec::new();
        for name in &ops.remove {
            rules.replace(name);
        }
        for (name, value) in &ops.set {
            if rules.replace(name) {
                field(&mut lines, name.as_bytes(), value.as_bytes());
            }
        }
        for (name, value) in &ops.add {
            if !is_framing(Known::of(name.as_bytes())) {
                field(&mut lines, name.as_bytes(), value.as_bytes());
            }
        }
        rules.lines = lines.into();
        rules
    }

    fn replace(&mut self, name: &str) -> bool {
        match Known::of(name.as_bytes()) {
            framing if is_framing(framing) => return false,
            Known::Other => self.others.push(name.to_ascii_lowercase().into_bytes().into()),
            known => self.known.insert(known),
        }
        true
    }

    /// Whether a field that came, or that we would write ourselves, gives way to the configuration.
    #[must_use]
    pub(crate) fn replaces(&self, field: &FieldRef<'_>) -> bool {
        match field.known {
            Known::Other => self.replaces_other(field.name),
            known => self.replaces_known(known),
        }
    }

    /// As [`Self::replaces`], by a name that [`Known`] does not have.
    #[must_use]
    pub(crate) fn replaces_other(&self, name: &[u8]) -> bool {
        self.others.iter().any(|other| other.eq_ignore_ascii_case(name))
    }

    /// As [`Self::replaces`], by the header.
    #[must_use]
    pub(crate) const fn replaces_known(&self, known: Known) -> bool {
        self.known.has(known)
    }

    /// Which of `headers` give way to the configuration.
    #[must_use]
    pub(super) const fn replaced_of(&self, headers: KnownSet) -> KnownSet {
        self.known.and(headers)
    }

    /// Whether a trailer of this name may go on: not where the configuration decides about the field of that name, for a
    /// recipient that merges trailers into the head would read it there. Nor the mark of a copy: only we set it.
    #[must_use]
    pub(crate) fn lets_trail(&self, name: &[u8]) -> bool {
        let line = FieldRef { name, value: b"", known: Known::of(name) };
        let alias = &mut [0; ALIAS_MAX];
        let alias = hyphenated(&line, alias).unwrap_or(line);
        let is_mark = alias.name.eq_ignore_ascii_case(MARK);
        alias.known.may_trail() && !is_mark && !self.replaces(&line) && !self.replaces(&alias)
    }

    /// What the configuration sets and adds.
    #[must_use]
    pub(crate) fn lines(&self) -> &[u8] {
        &self.lines
    }
}

/// Meant for one connection (RFC 9110, section 7.6.1; RFC 9113, section 8.2.2), or written anew by its machine.
pub(super) const ONE_CONNECTION: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::ContentLength,
    Known::Http2Settings,
    Known::KeepAlive,
    Known::ProxyAuthenticate,
    Known::ProxyAuthorization,
    Known::ProxyConnection,
    Known::Te,
    Known::Trailer,
    Known::TransferEncoding,
    Known::Upgrade,
]);

/// Longest name whose other spelling is looked at: as long as any that servers give a meaning to.
pub(super) const ALIAS_MAX: usize = 128;

/// `line` under the name by which CGI and what descends from it knows it: there an underscore and a hyphen are one (RFC
/// 3875, section 4.1.18), so `X_Forwarded_For` speaks for `X-Forwarded-For`. `None` for a name that is too long.
pub(super) fn hyphenated<'a>(line: &FieldRef<'a>, buffer: &'a mut [u8; ALIAS_MAX]) -> Option<FieldRef<'a>> {
    let name = buffer.get_mut(..line.name.len())?;
    for (to, from) in name.iter_mut().zip(line.name) {
        *to = if *from == b'_' { b'-' } else { *from };
    }
    Some(FieldRef { name, value: line.value, known: Known::of(name) })
}

/// What `Connection` cannot nominate away.
const PROTECTED: KnownSet = KnownSet::of(&[
    Known::Authorization,
    Known::CacheControl,
    Known::ContentEncoding,
    Known::ContentRange,
    Known::ContentType,
    Known::Cookie,
    Known::Forwarded,
    Known::Host,
    Known::IdempotencyKey,
    Known::Range,
    Known::SetCookie,
    Known::Via,
    Known::XForwardedFor,
    Known::XForwardedHost,
    Known::XForwardedProto,
    Known::XRequestId,
]);

fn is_framing(known: Known) -> bool {
    matches!(known, Known::Connection | Known::ContentLength | Known::TransferEncoding | Known::Upgrade | Known::Host)
}

/// Names in `Connection` that are looked up one by one. Who sends more of them means no good: every field that is not
/// protected then counts as named, and the work stays bounded.
const NOMINATIONS_MAX: usize = 64;

/// Which fields may go on to the other side.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndToEnd<'a> {
    fields: FieldsView<'a>,
    stay: KnownSet,
    /// What `Connection` names, counted up to one more than is looked up.
    nominations: usize,
}

impl<'a> EndToEnd<'a> {
    /// Those of `fields`; `Trailer` is one of them where the body is chunked.
    pub(super) fn of(fields: FieldsView<'a>, chunked: bool) -> Self {
        let stay = if chunked { ONE_CONNECTION.without(Known::Trailer) } else { ONE_CONNECTION };
        let count = || fields.nominations().take(NOMINATIONS_MAX + 1).count();
        Self { fields, stay, nominations: if fields.nominates() { count() } else { 0 } }
    }

    #[inline]
    pub(super) fn has(&self, field: &FieldRef<'_>) -> bool {
        let is_named = || !PROTECTED.has(field.known) && self.is_nominated(field.name);
        !self.stay.has(field.known) && (self.nominations == 0 || !is_named())
    }

    fn is_nominated(&self, name: &[u8]) -> bool {
        self.nominations > NOMINATIONS_MAX || self.fields.nominations().any(|option| option.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::tests::fields;

    fn check(lines: &[(&str, &str)], chunked: bool, want: &[&str]) {
        let got = fields(lines, |view| {
            let end_to_end = EndToEnd::of(view, chunked);
            let names = view.iter().filter(|field| end_to_end.has(field) && field.known != Known::Host);
            names.map(|field| String::from_utf8_lossy(field.name).into_owned()).collect::<Vec<_>>()
        });
        assert_eq!(got, want, "{lines:?}");
    }

    #[test]
    fn what_belongs_to_one_connection_does_not_go_on() {
        check(
            &[
                ("Accept", "*/*"),
                ("Connection", "keep-alive"),
                ("Keep-Alive", "timeout=5"),
                ("Proxy-Authorization", "Basic eA=="),
                ("Proxy-Connection", "keep-alive"),
                ("TE", "trailers"),
                ("Trailer", "x-sum"),
                ("Upgrade", "h2c"),
                ("HTTP2-Settings", "AAMAAABk"),
                ("Proxy-Status", "other"),
                ("X-Own", "1"),
            ],
            false,
            &["Accept", "Proxy-Status", "X-Own"],
        );
        check(&[("Trailer", "x-sum")], true, &["Trailer"]);
    }

    #[test]
    fn what_connection_nominates_does_not_go_on() {
        check(
            &[("X-Hop", "1"), ("x-other", "2"), ("Connection", "close, x-hOP"), ("Connection", "foo"), ("Foo", "3")],
            false,
            &["x-other"],
        );
    }

    #[test]
    fn nominations_without_number_cost_no_more_than_many() {
        let many: Vec<String> = (0..=NOMINATIONS_MAX).map(|n| format!("x-{n}")).collect();
        check(&[("Accept", "*/*"), ("Cookie", "a=b"), ("Connection", &many.join(","))], false, &["Cookie"]);
        check(&[("Accept", "*/*"), ("Connection", &many[1..].join(","))], false, &["Accept"]);
    }

    #[test]
    fn nobody_nominates_away_who_they_are_or_what_they_mean() {
        let nominations = "authorization, cookie, cache-control, x-forwarded-for, content-type, host, x-request-id";
        check(
            &[
                ("Connection", nominations),
                ("Authorization", "Bearer x"),
                ("Cookie", "a=b"),
                ("Cache-Control", "no-store"),
                ("X-Forwarded-For", "1.2.3.4"),
                ("Content-Type", "text/plain"),
                ("X-Request-Id", "7"),
            ],
            false,
            &["Authorization", "Cookie", "Cache-Control", "X-Forwarded-For", "Content-Type", "X-Request-Id"],
        );
    }

    #[test]
    fn a_configuration_sets_adds_and_removes() {
        let pairs = |list: &[(&str, &str)]| list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let rules = FieldRules::new(&HeaderOps {
            set: pairs(&[("x-env", "prod"), ("content-length", "5")]),
            add: pairs(&[("x-tag", "a"), ("x-tag", "b"), ("transfer-encoding", "chunked")]),
            remove: vec!["user-agent".to_owned(), "x-secret".to_owned()],
        });
        assert_eq!(String::from_utf8_lossy(rules.lines()), "x-env: prod\r\nx-tag: a\r\nx-tag: b\r\n");
        let replaced = |name: &str| {
            rules.replaces(&FieldRef { name: name.as_bytes(), value: b"", known: Known::of(name.as_bytes()) })
        };
        assert!(replaced("X-Env") && replaced("user-agent") && replaced("X-SECRET"));
        assert!(!replaced("x-tag") && !replaced("accept") && !replaced("content-length"));
    }
}
