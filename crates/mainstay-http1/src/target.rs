//! What a request target is, and whom it asks (RFC 9112 section 3.2, RFC 3986 section 3.2).
//!
//! Four forms, each bound to the methods that may use it. A host is what routing, caching and authorisation go by, so
//! its syntax is narrower than that of RFC 3986 where two spellings could name one place: no user information, no comma,
//! no empty host, no empty port, no address of the future. The target's authority and `Host` must agree; RFC 9112 would
//! have the target win, but an instance behind us may look at the other.

use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::fields::Span;
use crate::head::{RequestHead, TargetForm};
use crate::reject::Reject;
use crate::syntax::{NAME, PLAIN_NAME, all, run};

/// Classifies the target of `head` and finds its authority and path; `path_end` is where its query begins, or its end.
#[inline]
pub(crate) fn classify(head: &mut RequestHead, bytes: &[u8], path_end: usize) -> Result<(), Reject> {
    let target = head.target.of(bytes);
    let connect = head.method.of(bytes) == b"CONNECT";
    let start = head.target.start as usize;
    let end = start + target.len();
    if target[0] == b'/' && !connect {
        head.form = TargetForm::Origin;
        head.path = Span::new(start..path_end);
        head.path_and_query = head.target;
        return Ok(());
    }
    if connect {
        return authority_form(head, target);
    }
    if target == b"*" {
        return asterisk_form(head, bytes);
    }
    let scheme = scheme_len(target).ok_or(Reject::BadTarget)?;
    let authority = start + scheme;
    let path = bytes[authority..path_end].iter().position(|&byte| byte == b'/').map_or(path_end, |at| authority + at);
    if path == path_end && path_end < end {
        return Err(Reject::BadTarget);
    }
    validate_host(&bytes[authority..path])?;
    head.form = TargetForm::Absolute;
    head.authority = Span::new(authority..path);
    head.path = Span::new(path..path_end);
    head.path_and_query = Span::new(path..end);
    Ok(())
}

fn authority_form(head: &mut RequestHead, target: &[u8]) -> Result<(), Reject> {
    if validate_host(target) != Ok(Port::Given) {
        return Err(Reject::BadTarget);
    }
    head.form = TargetForm::Authority;
    head.authority = head.target;
    Ok(())
}

fn asterisk_form(head: &mut RequestHead, bytes: &[u8]) -> Result<(), Reject> {
    if head.method.of(bytes) != b"OPTIONS" {
        return Err(Reject::BadTarget);
    }
    head.form = TargetForm::Asterisk;
    head.path = head.target;
    head.path_and_query = head.target;
    Ok(())
}

/// The length of `http://` or `https://` at the front.
fn scheme_len(target: &[u8]) -> Option<usize> {
    [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|front| front.eq_ignore_ascii_case(scheme)))
        .map(<[u8]>::len)
}

/// Whether an authority names a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    Given,
    Default,
}

/// Checks `host[:port]`.
#[inline]
pub(crate) fn validate_host(authority: &[u8]) -> Result<Port, Reject> {
    // Nearly all are such, and are read once.
    let name = run(authority, PLAIN_NAME);
    match authority[name..].split_first() {
        None if name > 0 => return Ok(Port::Default),
        Some((b':', digits)) if name > 0 && is_port(digits) => return Ok(Port::Given),
        _ => {}
    }
    let (host, port) = split_port(authority);
    let host_is_good = match host {
        [b'[', address @ .., b']'] => std::str::from_utf8(address).is_ok_and(|text| Ipv6Addr::from_str(text).is_ok()),
        name => all(name, NAME) && escapes_are_whole(name),
    };
    match port {
        _ if !host_is_good => Err(Reject::BadHost),
        None => Ok(Port::Default),
        Some(digits) if is_port(digits) => Ok(Port::Given),
        Some(_) => Err(Reject::BadHost),
    }
}

/// Splits at the colon that follows the host; one inside brackets belongs to an address.
fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let host = match authority.first() {
        Some(b'[') => authority.iter().position(|&byte| byte == b']').map_or(authority.len(), |at| at + 1),
        _ => authority.iter().position(|&byte| byte == b':').unwrap_or(authority.len()),
    };
    match authority[host..].split_first() {
        Some((b':', port)) => (&authority[..host], Some(port)),
        Some(_) => (authority, None),
        None => (authority, None),
    }
}

fn is_port(digits: &[u8]) -> bool {
    let port = |port: u32, digit: &u8| digit.is_ascii_digit().then(|| port * 10 + u32::from(digit - b'0'));
    (1..=5).contains(&digits.len()) && digits.iter().try_fold(0, port).is_some_and(|port| port <= u32::from(u16::MAX))
}

/// Whether every `%` is followed by two hexadecimal digits.
fn escapes_are_whole(name: &[u8]) -> bool {
    name.iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'%')
        .all(|(at, _)| name.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// Reconciles the target's authority with `Host`, and takes it from there where the target names none.
#[inline]
pub(crate) fn settle_authority(head: &mut RequestHead, bytes: &[u8], host: Option<Span>) -> Result<(), Reject> {
    let Some(host) = host else { return Ok(()) };
    validate_host(host.of(bytes))?;
    if head.authority.is_empty() {
        head.authority = host;
        return Ok(());
    }
    let default_port: &[u8] = match head.form {
        TargetForm::Absolute if head.target.of(bytes)[4].eq_ignore_ascii_case(&b's') => b":443",
        TargetForm::Absolute => b":80",
        _ => b"",
    };
    let bare = |authority: Span| {
        let text = authority.of(bytes);
        text.strip_suffix(default_port).unwrap_or(text)
    };
    if bare(head.authority).eq_ignore_ascii_case(bare(host)) { Ok(()) } else { Err(Reject::HostMismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for host in ["a", "a.example", "a.example:8080", "127.0.0.1:1", "[::1]", "[::1]:65535", "a_b-c.", "%41.example"]
        {
            assert!(validate_host(host.as_bytes()).is_ok(), "{host}");
        }
    }

    #[test]
    fn what_could_name_two_places_is_no_host() {
        for host in [
            "",
            ":80",
            "a:",
            "a:65536",
            "a:+1",
            "a:1:2",
            "u@a",
            "a,b",
            "a b",
            "a/b",
            "a?b",
            "[::1",
            "::1",
            "[::1]x",
            "[v1.x]",
            "[::1%25eth0]",
            "[]",
            "a%4",
            "a%zz",
            "a\\b",
            "h\u{e9}",
            "a:000080",
        ] {
            assert_eq!(validate_host(host.as_bytes()), Err(Reject::BadHost), "{host}");
        }
    }
}
