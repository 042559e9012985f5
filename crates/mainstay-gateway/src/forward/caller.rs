//! Who is calling, as far as it can be believed.
//!
//! In: the address that the connection comes from, the listener's trusted proxies, the fields as they came. Out: the
//! client's address, the request's id, the caller's own deadline, and whether its forwarding fields count.
//!
//! Everybody can write `X-Forwarded-For`. It is read from the right, where the nearest proxy appended what it saw
//! itself: the first address there that is not one of our own proxies is the client, and what stands left of it is
//! hearsay. From a peer that is not trusted nothing is read at all. `Forwarded` (RFC 7239) is read in the same way where
//! there is no `X-Forwarded-For`. `Connection` cannot nominate these fields away: they are read before anything is
//! removed.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use mainstay_config::Cidr;
use mainstay_core::Duration;
use mainstay_http1::{FieldsView, Known};
use mainstay_policy::Priority;

/// Longest id of a request that is kept; a longer one is replaced.
const REQUEST_ID_MAX: usize = 128;

/// Longest text of an address: eight groups of four digits with colons between them, and a byte to spare.
const ADDRESS_MAX: usize = 40;

/// Whether `address` is one of a listener's `trusted_proxies`.
fn is_trusted(proxies: &[Cidr], address: IpAddr) -> bool {
    proxies.iter().any(|network| network.contains(address))
}

/// The other end of a caller's connection, looked at once for all requests on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    address: IpAddr,
    text: [u8; ADDRESS_MAX],
    text_len: u8,
    /// It is a trusted proxy: its forwarding fields are appended to, those of others are overwritten.
    pub(crate) trusted: bool,
    /// The connection is encrypted.
    pub(crate) https: bool,
}

impl Peer {
    /// The peer at `address`.
    #[must_use]
    pub(crate) fn new(address: SocketAddr, https: bool, proxies: &[Cidr]) -> Self {
        let address = address.ip().to_canonical();
        let mut text = [0; ADDRESS_MAX];
        let mut rest = &mut text[..];
        // The longest address has 39 characters, so this cannot run out of room.
        let written = write!(rest, "{address}");
        let text_len = if written.is_ok() { (ADDRESS_MAX - rest.len()) as u8 } else { 0 };
        Self { address, text, text_len, trusted: is_trusted(proxies, address), https }
    }

    /// Its address as text.
    #[must_use]
    pub(crate) fn text(&self) -> &[u8] {
        &self.text[..usize::from(self.text_len)]
    }

    /// `https` or `http`.
    #[must_use]
    pub(crate) const fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// Whether the address is written with colons.
    #[must_use]
    pub(crate) const fn is_ipv6(&self) -> bool {
        self.address.is_ipv6()
    }

    /// The client of a request, behind however many proxies that are trusted.
    #[must_use]
    pub(crate) fn client(&self, fields: FieldsView<'_>, proxies: &[Cidr]) -> IpAddr {
        if self.trusted { client_behind(fields, self.address, proxies) } else { self.address }
    }
}

fn client_behind(fields: FieldsView<'_>, peer: IpAddr, proxies: &[Cidr]) -> IpAddr {
    if fields.get(Known::XForwardedFor).is_some() {
        let hops = fields.get_all(Known::XForwardedFor).flat_map(|line| line.split(|byte| *byte == b','));
        nearest_stranger(hops, peer, proxies)
    } else {
        let hops = fields.get_all(Known::Forwarded).flat_map(|line| line.split(|byte| *byte == b',')).map(for_of);
        nearest_stranger(hops, peer, proxies)
    }
}

/// The rightmost hop that is not trusted; where all are, the leftmost. What cannot be read ends the walk: nobody knows
/// who stands behind it, so the hop that told of it is the last that counts.
fn nearest_stranger<'a>(hops: impl Iterator<Item = &'a [u8]>, peer: IpAddr, proxies: &[Cidr]) -> IpAddr {
    let mut found = None;
    for hop in hops {
        found = match (parse_address(hop), found) {
            (Some(address), Some(kept)) if is_trusted(proxies, address) => Some(kept),
            (address, _) => address,
        };
    }
    found.unwrap_or(peer)
}

/// The value of `for` in one element of `Forwarded`.
fn for_of(element: &[u8]) -> &[u8] {
    element
        .split(|byte| *byte == b';')
        .map(<[u8]>::trim_ascii)
        .find_map(|pair| pair.get(..4).filter(|name| name.eq_ignore_ascii_case(b"for=")).map(|_| &pair[4..]))
        .map_or(b"", |value| value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value))
}

/// An address with or without port, IPv6 with or without brackets.
fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.as_ref().map(IpAddr::to_canonical)
}

/// The caller's `x-request-id`, if it is short and of harmless characters: it ends up in logs, in answers and upstream.
#[must_use]
pub(crate) fn request_id<'a>(fields: FieldsView<'a>) -> Option<&'a [u8]> {
    let mut ids = fields.get_all(Known::XRequestId);
    let (id, None) = (ids.next()?, ids.next()) else { return None };
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@~".contains(byte);
    ((1..=REQUEST_ID_MAX).contains(&id.len()) && id.iter().all(harmless)).then_some(id)
}

/// How long the caller itself will wait: `x-mainstay-deadline-ms` from a trusted peer, `grpc-timeout` from everybody, for
/// who shortens its own call harms nobody else. The shorter of the two; `None` without one that can be read.
#[must_use]
pub(crate) fn caller_timeout(fields: FieldsView<'_>, trusted: bool) -> Option<Duration> {
    let ours = fields.get(Known::XMainstayDeadlineMs).filter(|_| trusted);
    let ours = ours.and_then(|value| decimal(value, 15)).map(Duration::from_millis);
    let grpc = is_grpc(fields).then(|| fields.get(Known::GrpcTimeout)).flatten().and_then(grpc_timeout);
    ours.into_iter().chain(grpc).min()
}

/// How much the call matters, as a trusted peer says: a gateway in front of this one has decided it already.
#[must_use]
pub(crate) fn caller_priority(fields: FieldsView<'_>, trusted: bool) -> Option<Priority> {
    let said = fields.get(Known::XMainstayPriority).filter(|_| trusted)?;
    Priority::ALL.into_iter().find(|priority| priority.as_str().as_bytes() == said)
}

/// Whether the request is a gRPC call.
#[must_use]
pub(crate) fn is_grpc(fields: FieldsView<'_>) -> bool {
    fields.get(Known::ContentType).is_some_and(|value| {
        value.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    })
}

/// At most eight digits and a unit (gRPC over HTTP/2, "Timeout").
fn grpc_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    let nanos = match unit {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        b'n' => 1,
        _ => return None,
    };
    Some(Duration::from_nanos(nanos).saturating_mul(decimal(digits, 8)?))
}

/// A plain decimal number of at most `digits_max` digits.
pub(crate) fn decimal(digits: &[u8], digits_max: usize) -> Option<u64> {
    if digits.is_empty() || digits.len() > digits_max || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::tests::fields;

    fn proxies() -> [Cidr; 2] {
        ["10.0.0.0/8", "fd00::/16"].map(|network| network.parse().unwrap())
    }

    fn client(peer: &str, lines: &[(&str, &str)]) -> String {
        let peer = SocketAddr::new(peer.parse().unwrap(), 4000);
        fields(lines, |view| Peer::new(peer, false, &proxies()).client(view, &proxies()).to_string())
    }

    #[test]
    fn the_client_is_the_nearest_that_is_not_one_of_our_proxies() {
        const XFF: &str = "x-forwarded-for";
        for (peer, lines, want) in [
            ("203.0.113.9", &[(XFF, "198.51.100.1")][..], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &[(XFF, "198.51.100.1")], "198.51.100.1"),
            ("10.0.0.1", &[(XFF, "6.6.6.6, 198.51.100.1")], "198.51.100.1"),
            ("10.0.0.1", &[(XFF, "198.51.100.1, 10.0.0.2")], "198.51.100.1"),
            ("10.0.0.1", &[(XFF, "6.6.6.6"), (XFF, "198.51.100.1,10.0.0.2 ,10.0.0.3")], "198.51.100.1"),
            ("10.0.0.1", &[(XFF, "10.0.0.7, 10.0.0.8")], "10.0.0.7"),
            ("10.0.0.1", &[(XFF, "198.51.100.1, unknown")], "10.0.0.1"),
            ("10.0.0.1", &[(XFF, "198.51.100.1, garbage, 10.0.0.2")], "10.0.0.2"),
            ("10.0.0.1", &[(XFF, "198.51.100.1:1234")], "198.51.100.1"),
            ("10.0.0.1", &[(XFF, "[2001:db8::1]:1234")], "2001:db8::1"),
            ("10.0.0.1", &[(XFF, "2001:db8::1, fd00::2")], "2001:db8::1"),
            ("10.0.0.1", &[("forwarded", "for=198.51.100.1;proto=https, for=10.0.0.2")], "198.51.100.1"),
            ("10.0.0.1", &[("forwarded", "proto=https; For=\"[2001:db8::1]:99\"")], "2001:db8::1"),
            ("10.0.0.1", &[("forwarded", "for=_hidden")], "10.0.0.1"),
            ("10.0.0.1", &[(XFF, "198.51.100.1"), ("connection", "x-forwarded-for")], "198.51.100.1"),
        ] {
            assert_eq!(client(peer, lines), want, "{peer} {lines:?}");
        }
    }

    #[test]
    fn an_id_is_kept_when_it_can_do_no_harm() {
        let id = |lines: &[(&str, &str)]| fields(lines, |view| request_id(view).map(<[u8]>::to_vec));
        assert_eq!(id(&[("x-request-id", "01J9-abc/DEF=")]).as_deref(), Some(&b"01J9-abc/DEF="[..]));
        for value in ["", "a b", "a\"b", "<script>", &"x".repeat(129)] {
            assert_eq!(id(&[("x-request-id", value)]), None, "{value}");
        }
        assert_eq!(id(&[("x-request-id", "a"), ("x-request-id", "b")]), None);
    }

    #[test]
    fn a_priority_is_believed_from_trusted_proxies_only() {
        let priority =
            |trusted, value| fields(&[("x-mainstay-priority", value)], |view| caller_priority(view, trusted));
        assert_eq!(priority(true, "critical"), Some(Priority::Critical));
        assert_eq!(priority(true, "sheddable"), Some(Priority::Sheddable));
        assert_eq!(priority(false, "critical"), None);
        assert_eq!(priority(true, "urgent"), None);
    }

    #[test]
    fn the_callers_own_deadline_is_read() {
        let timeout = |trusted, lines: &[(&str, &str)]| fields(lines, |view| caller_timeout(view, trusted));
        let ours = ("x-mainstay-deadline-ms", "250");
        let grpc = ("content-type", "application/grpc+proto");
        assert_eq!(timeout(true, &[ours]), Some(Duration::from_millis(250)));
        assert_eq!(timeout(false, &[ours]), None, "believed from trusted proxies only");
        assert_eq!(timeout(false, &[grpc, ("grpc-timeout", "100m")]), Some(Duration::from_millis(100)));
        assert_eq!(timeout(true, &[ours, grpc, ("grpc-timeout", "1S")]), Some(Duration::from_millis(250)));
        assert_eq!(timeout(true, &[("grpc-timeout", "1S")]), None, "only where it is gRPC");
        for value in ["", "S", "1", "1s", "123456789S", "-1S", "1.5S"] {
            assert_eq!(timeout(false, &[grpc, ("grpc-timeout", value)]), None, "{value}");
        }
        assert_eq!(timeout(true, &[("x-mainstay-deadline-ms", "-5")]), None);
    }
}
