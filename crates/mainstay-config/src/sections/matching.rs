//! Which requests a route is for: names, hosts, paths and values as the contract writes them.

use crate::model::{HostMatch, PathMatch, Pattern, ValueMatch};
use crate::raw::Tree;
use crate::section::Section;
use crate::value::{Fault, Read, Value};

impl Value for HostMatch {
    fn read(node: &Tree) -> Read<Self> {
        let text = String::read(node)?.to_ascii_lowercase();
        let found = match text.strip_prefix("*.") {
            Some(suffix) => host_name(suffix).map(Self::Suffix),
            None => host_name(&text).map(Self::Exact),
        };
        found.ok_or_else(|| {
            let fault = Fault::wanted("a host's name without a port, as in \"shop.example\" or \"*.example\"", node);
            let without_port =
                text.rsplit_once(':').and_then(|(host, port)| port.parse::<u16>().ok().and(host_name(host)));
            vec![match without_port {
                _ if text == "*" => fault.help("for every host, leave host away"),
                Some(host) => fault.help(format!("write {host:?}")),
                None => fault,
            }]
        })
    }
}

/// `text` when it is a host's name, an IPv4 address or an IPv6 address in brackets.
fn host_name(text: &str) -> Option<String> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let name = text.len() <= 253 && text.split('.').all(|label| !label.is_empty() && label.bytes().all(fine));
    let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = address.is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
    (name || address).then(|| text.to_owned())
}

impl Value for PathMatch {
    fn read(node: &Tree) -> Read<Self> {
        let text = String::read(node)?;
        if let Some(pattern) = text.strip_prefix('~') {
            return Pattern::parse(pattern).map(Self::Pattern).map_err(|message| vec![Fault::new(message)]);
        }
        if let Some(exact) = text.strip_prefix('=') {
            return canonical(exact).map(Self::Exact);
        }
        let prefix = canonical(&text)?;
        let trimmed = prefix.strip_suffix('/').filter(|trimmed| !trimmed.is_empty()).map(str::to_owned);
        Ok(Self::Prefix(trimmed.unwrap_or(prefix)))
    }
}

/// `path` when a request's path can look like it after normalising (RFC 3986, section 6.2.2); any other would never
/// match anything.
pub(super) fn canonical(path: &str) -> Read<String> {
    match path_fault(path) {
        None => Ok(path.to_owned()),
        Some(why) => {
            let fault = Fault::new(format!("{path:?} is a path that no request has: {why}"));
            let rooted =
                Some(format!("/{path}")).filter(|rooted| !path.starts_with('/') && path_fault(rooted).is_none());
            Err(vec![Fault { help: rooted.map(|rooted| format!("write {rooted:?}")), ..fault }])
        }
    }
}

fn path_fault(path: &str) -> Option<&'static str> {
    let Some(segments) = path.strip_prefix('/') else { return Some("it does not begin with a slash") };
    if path.bytes().any(|b| matches!(b, b'?' | b'#')) {
        return Some("it has no query and no fragment");
    }
    if path.bytes().any(|b| b <= b' ' || b >= 0x7f || b == b'\\') {
        return Some("spaces, backslashes and what is not ASCII are percent-encoded");
    }
    if segments.contains("//") || segments.starts_with('/') {
        return Some("runs of slashes become one before matching");
    }
    if segments.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Some("dot segments are resolved before matching");
    }
    path.match_indices('%').find_map(|(at, _)| triplet_fault(path.as_bytes().get(at + 1..at + 3)))
}

fn triplet_fault(digits: Option<&[u8]>) -> Option<&'static str> {
    let digit = |b: u8| (b as char).to_digit(16);
    let value = match digits {
        Some([high, low]) => digit(*high).zip(digit(*low)).map(|(high, low)| (high * 16 + low) as u8),
        _ => None,
    };
    let Some(value) = value else { return Some("a percent sign stands before two hexadecimal digits") };
    if digits.is_some_and(|digits| digits.iter().any(u8::is_ascii_lowercase)) {
        return Some("percent-encodings are written with capital digits");
    }
    match value {
        0 | b'/' | b'\\' => Some("an encoded slash, backslash or NUL is refused before matching"),
        b if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') => {
            Some("letters, digits, -, ., _ and ~ are decoded before matching")
        }
        _ => None,
    }
}

/// A method of a request.
pub(super) struct Method(pub(super) String);

impl Value for Method {
    fn read(node: &Tree) -> Read<Self> {
        const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
        let text = String::read(node)?;
        let upper = text.to_ascii_uppercase();
        if text != upper && KNOWN.contains(&upper.as_str()) {
            let fault = Fault::new(format!("methods are case-sensitive, and {text:?} is none"));
            return Err(vec![fault.help(format!("write {upper:?}"))]);
        }
        if is_token(&text) { Ok(Self(text)) } else { Err(vec![Fault::wanted("a method, as in \"GET\"", node)]) }
    }
}

/// The name of a field in lower case.
pub(crate) fn header_name(text: &str) -> Result<String, Fault> {
    if is_token(text) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Fault::new(format!("expected the name of a header, found {text:?}")))
}

/// The name of a cookie.
pub(crate) fn cookie_name(text: &str) -> Result<String, Fault> {
    if is_token(text) {
        return Ok(text.to_owned());
    }
    Err(Fault::new(format!("expected the name of a cookie, found {text:?}")))
}

/// The name of a query parameter, decoded.
pub(crate) fn query_name(text: &str) -> Result<String, Fault> {
    if text.is_empty() {
        return Err(Fault::new("expected the name of a query parameter, found nothing"));
    }
    Ok(text.to_owned())
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(fine)
}

/// Names and what their values must be.
pub(super) fn conditions(
    s: &mut Section<'_>,
    key: &'static str,
    name: fn(&str) -> Result<String, Fault>,
) -> Vec<(String, ValueMatch)> {
    s.pairs(key, |text, item| {
        let value = item.read();
        match name(text) {
            Ok(name) => Some((name, value?)),
            Err(fault) => {
                item.fault(fault);
                None
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_no_request_has_is_refused() {
        for path in [
            "", "api", "/a//b", "//a", "/a/../b", "/.", "/a?b", "/a#b", "/a b", "/é", "/a%2fb", "/a%2Fb", "/%zz",
            "/%4", "/%7E", "/%c3%a9", "/a\\b", "/%00",
        ] {
            assert!(canonical(path).is_err(), "{path}");
        }
        for path in ["/", "/a", "/a/", "/a.b/..c", "/caf%C3%A9", "/a%20b", "/a;v=1/b"] {
            assert!(canonical(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for host in ["shop.example", "localhost", "10.0.0.1", "[::1]", "a_b.example"] {
            assert!(host_name(host).is_some(), "{host}");
        }
        for host in ["", "shop.example:80", "http://shop", "a..b", ".a", "a.", "~x", "::1", "*"] {
            assert!(host_name(host).is_none(), "{host}");
        }
    }
}
