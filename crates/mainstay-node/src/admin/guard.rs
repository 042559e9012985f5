//! Who may ask the admin API.
//!
//! A page in an operator's browser can send requests to loopback addresses. Two rules keep it out, whatever it does to
//! DNS: the `Host` must be a name that only this machine has, or an address (a page that was rebound to us comes with
//! its own name), and a request that carries the mark of another site (`Origin`, `Sec-Fetch-Site`) is refused. A token,
//! when one is set, must be shown besides; with one, any `Host` is good, since a page does not have it.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use mainstay_config::Secret;

use super::problem::Problem;

/// The rules of one listening address. A copy is the same guard.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    /// Where it listens.
    address: IpAddr,
    /// What must be shown.
    token: Arc<RwLock<Option<Secret>>>,
}

impl Guard {
    pub(crate) fn new(address: IpAddr, token: Option<Secret>) -> Self {
        Self { address, token: Arc::new(RwLock::new(token)) }
    }

    /// Another token is asked for from now on.
    pub(crate) fn change_token(&self, token: Option<Secret>) {
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// Whether the request may go on.
    pub(crate) fn check(&self, headers: &HeaderMap, open_to_all: bool) -> Result<(), Problem> {
        let token = self.token.read().unwrap_or_else(PoisonError::into_inner).clone();
        let host = single(headers, &header::HOST).unwrap_or_default();
        if token.is_none() && !self.is_ours(host) {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "wrong_host",
                format!("this API does not go by the name \"{}\"", host.escape_debug()),
                "ask by address or as localhost, or set admin.token",
            ));
        }
        if is_foreign(headers, host) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "cross_site",
                "the request comes from a page of another site",
                "ask from a program, or from a page of this address",
            ));
        }
        match &token {
            Some(token) if !open_to_all && !shows(headers, token) => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "no_token",
                "the token is missing or wrong",
                "send Authorization: Bearer with the value of admin.token",
            )),
            _ => Ok(()),
        }
    }

    /// Whether `host` names this machine and cannot name another: a loopback name, or an address that is ours.
    fn is_ours(&self, host: &str) -> bool {
        let name = without_port(host);
        if name.eq_ignore_ascii_case("localhost") {
            return true;
        }
        match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback() || ip == self.address || self.address.is_unspecified(),
            Err(_) => false,
        }
    }
}

/// The field's value when it stands there once and is text.
fn single<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let only = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(only)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(']') => name,
        _ => host,
    }
}

/// Whether a browser says that another site than `host` sends this.
fn is_foreign(headers: &HeaderMap, host: &str) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if matches!(site, Some(site) if site != b"same-origin" && site != b"none") {
        return true;
    }
    if !headers.contains_key(header::ORIGIN) {
        return false;
    }
    let origin = single(headers, &header::ORIGIN).unwrap_or_default();
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_none_or(|authority| !authority.eq_ignore_ascii_case(host))
}

fn shows(headers: &HeaderMap, token: &Secret) -> bool {
    let Some(given) = single(headers, &header::AUTHORIZATION) else { return false };
    let Some((scheme, given)) = given.split_once(' ') else { return false };
    scheme.eq_ignore_ascii_case("bearer") && same(given.trim().as_bytes(), token.expose().as_bytes())
}

/// Compares without telling by its time how much of `given` is right; the length of `secret` is no secret.
fn same(given: &[u8], secret: &[u8]) -> bool {
    let mut difference = u8::from(given.len() != secret.len() || secret.is_empty());
    for (at, byte) in secret.iter().enumerate() {
        difference |= black_box(byte ^ given.get(at).copied().unwrap_or_default());
    }
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(guard: &Guard, fields: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        match guard.check(&headers, false) {
            Ok(()) => "ok".to_owned(),
            Err(problem) => format!("{problem:?}").split('"').nth(1).unwrap().to_owned(),
        }
    }

    fn on(address: &str, token: Option<&str>) -> Guard {
        Guard::new(address.parse().unwrap(), token.map(Secret::new))
    }

    #[test]
    fn a_name_that_was_rebound_to_this_machine_is_refused() {
        let guard = on("127.0.0.1", None);
        for host in ["localhost:9900", "127.0.0.1:9900", "LOCALHOST", "[::1]:9900", "[::1]"] {
            assert_eq!(code(&guard, &[("host", host)]), "ok", "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "192.0.2.1", "", "127.0.0.1.evil.example:9900"] {
            assert_eq!(code(&guard, &[("host", host)]), "wrong_host", "{host}");
        }
        assert_eq!(code(&guard, &[]), "wrong_host");
        assert_eq!(code(&guard, &[("host", "localhost"), ("host", "evil.example")]), "wrong_host");
        assert_eq!(code(&on("192.0.2.1", None), &[("host", "192.0.2.1:9900")]), "ok");
    }

    #[test]
    fn a_page_of_another_site_is_refused_and_one_of_ours_is_not() {
        let guard = on("127.0.0.1", None);
        let host = ("host", "127.0.0.1:9900");
        assert_eq!(code(&guard, &[host, ("origin", "http://127.0.0.1:9900")]), "ok");
        assert_eq!(code(&guard, &[host, ("sec-fetch-site", "none")]), "ok");
        for origin in ["http://evil.example", "null", "http://127.0.0.1:8080", "http://127.0.0.1:9900.evil.example"] {
            assert_eq!(code(&guard, &[host, ("origin", origin)]), "cross_site", "{origin}");
        }
        assert_eq!(code(&guard, &[host, ("sec-fetch-site", "cross-site")]), "cross_site");
        assert_eq!(code(&guard, &[host, ("sec-fetch-site", "same-site")]), "cross_site");
    }

    #[test]
    fn a_token_is_asked_for_and_then_any_name_will_do() {
        let guard = on("192.0.2.1", Some("s3cret"));
        let host = ("host", "node-1.internal:9900");
        assert_eq!(code(&guard, &[host]), "no_token");
        assert_eq!(code(&guard, &[host, ("authorization", "Bearer s3cret")]), "ok");
        assert_eq!(code(&guard, &[host, ("authorization", "bearer s3cret")]), "ok");
        for wrong in ["Bearer s3cre", "Bearer s3cret1", "Bearer ", "Basic s3cret", "s3cret"] {
            assert_eq!(code(&guard, &[host, ("authorization", wrong)]), "no_token", "{wrong}");
        }
        let evil = ("origin", "http://evil.example");
        assert_eq!(code(&guard, &[host, evil, ("authorization", "Bearer s3cret")]), "cross_site");
    }
}
