//! HTTP requests and their answers, as decisions see them.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use http::uri::{Authority, Uri};
use http::{Request, Response};
use mainstay_core::Duration;

use super::Protocol;
use crate::classify::{Classify, Verdict, of_io};
use crate::{Attempt, Facts};

/// The field in which a caller says how long it waits, in milliseconds; the gateway's own.
const DEADLINE: HeaderName = HeaderName::from_static("x-mainstay-deadline-ms");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// `http::Request`s whose body can be cloned.
///
/// - What the method promises about being sent twice is believed (RFC 9110, section 9.2.2), and `Idempotency-Key` is seen.
/// - A time in `x-mainstay-deadline-ms` or `grpc-timeout` is the call's, and each attempt carries what is left of it.
/// - An answer counts by its status; the status of gRPC is read where it stands in the head. `Retry-After` is heard.
/// - An error is looked through for one of I/O: a connection that was refused carried nothing.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Http;

impl Http {
    /// The protocol.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

/// As [`Http`], for endpoints that are addresses: the request's URI is made to lead to the one that was chosen. `Host`
/// stays what it was.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Aimed;

impl Aimed {
    /// The protocol.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

/// As [`Http`], for bodies that cannot be cloned, such as those that stream: each call has one attempt.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Streaming;

impl Streaming {
    /// The protocol.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

/// As [`Http`], for calls of gRPC whose body can be cloned. Each of them is a POST, so which methods may be called twice
/// has to be said, by their paths. Where one answer streams, its status comes after it and is not seen here.
///
/// ```
/// use mainstay::tower::Grpc;
///
/// let reads = Grpc::idempotent(|path| path == "/shop.Stock/Pieces");
/// let nothing = Grpc::new();
/// # let _ = (reads, nothing);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Grpc<F = fn(&str) -> bool> {
    is_idempotent: F,
}

impl Grpc {
    /// The protocol, of calls that must not be made twice.
    #[must_use]
    pub const fn new() -> Self {
        Self { is_idempotent: |_| false }
    }
}

impl Default for Grpc {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: Fn(&str) -> bool> Grpc<F> {
    /// The protocol, where `is_idempotent` says of a path such as `"/shop.Stock/Pieces"` that its call may be made twice.
    #[must_use]
    pub const fn idempotent(is_idempotent: F) -> Self {
        Self { is_idempotent }
    }
}

impl<B: Clone, V, F: Fn(&str) -> bool> Protocol<Request<B>, V> for Grpc<F> {
    fn facts(&self, request: &Request<B>) -> Facts {
        let may_repeat = (self.is_idempotent)(request.uri().path());
        with_headers(if may_repeat { Facts::idempotent() } else { Facts::once() }, request.headers())
    }

    fn copy(&self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }

    fn aim(&self, request: &mut Request<B>, attempt: &Attempt<V>) {
        tell_what_is_left(request.headers_mut(), attempt.left.into());
    }
}

impl<B, E: StdError + 'static, F> Classify<Response<B>, E> for Grpc<F> {
    fn classify(&self, result: &Result<Response<B>, E>) -> Verdict {
        verdict(result)
    }
}

impl<B, V> Protocol<Request<B>, V> for Streaming {
    fn facts(&self, request: &Request<B>) -> Facts {
        facts_of(request)
    }

    fn copy(&self, _: &Request<B>) -> Option<Request<B>> {
        None
    }

    fn aim(&self, request: &mut Request<B>, attempt: &Attempt<V>) {
        tell_what_is_left(request.headers_mut(), attempt.left.into());
    }
}

impl<B, E: StdError + 'static> Classify<Response<B>, E> for Streaming {
    fn classify(&self, result: &Result<Response<B>, E>) -> Verdict {
        verdict(result)
    }
}

impl<B: Clone, V> Protocol<Request<B>, V> for Http {
    fn facts(&self, request: &Request<B>) -> Facts {
        facts_of(request)
    }

    fn copy(&self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }

    fn aim(&self, request: &mut Request<B>, attempt: &Attempt<V>) {
        tell_what_is_left(request.headers_mut(), attempt.left.into());
    }
}

impl<B: Clone> Protocol<Request<B>, SocketAddr> for Aimed {
    fn facts(&self, request: &Request<B>) -> Facts {
        facts_of(request)
    }

    fn copy(&self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }

    fn aim(&self, request: &mut Request<B>, attempt: &Attempt<SocketAddr>) {
        tell_what_is_left(request.headers_mut(), attempt.left.into());
        if let Some(uri) = uri_at(request.uri(), attempt.endpoint) {
            *request.uri_mut() = uri;
        }
    }
}

impl<B, E: StdError + 'static> Classify<Response<B>, E> for Http {
    fn classify(&self, result: &Result<Response<B>, E>) -> Verdict {
        verdict(result)
    }
}

impl<B, E: StdError + 'static> Classify<Response<B>, E> for Aimed {
    fn classify(&self, result: &Result<Response<B>, E>) -> Verdict {
        verdict(result)
    }
}

fn facts_of<B>(request: &Request<B>) -> Facts {
    with_headers(Facts::of_method(request.method().as_str()), request.headers())
}

fn with_headers(mut facts: Facts, headers: &HeaderMap) -> Facts {
    if headers.contains_key(IDEMPOTENCY_KEY) {
        facts = facts.with_idempotency_key();
    }
    match allowed(headers) {
        Some(allowed) => facts.within(allowed),
        None => facts,
    }
}

/// How long the caller waits, if it says so.
fn allowed(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let millis = text(DEADLINE).and_then(|text| text.parse().ok()).map(Duration::from_millis);
    millis.or_else(|| text(GRPC_TIMEOUT).and_then(of_grpc))
}

/// `TimeoutValue TimeoutUnit` of gRPC over HTTP/2: at most eight digits and a unit.
fn of_grpc(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let value: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

/// Who was told how long the caller waits is told anew, for some of it has passed.
fn tell_what_is_left(headers: &mut HeaderMap, left: Duration) {
    if let Some(told) = headers.get_mut(DEADLINE) {
        *told = HeaderValue::from(left.as_millis());
    }
    if let Some(told) = headers.get_mut(GRPC_TIMEOUT)
        && let Ok(text) = HeaderValue::from_str(&format!("{}m", left.as_millis().min(99_999_999)))
    {
        *told = text;
    }
}

fn uri_at(uri: &Uri, endpoint: SocketAddr) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    parts.authority = Some(Authority::try_from(endpoint.to_string()).ok()?);
    parts.scheme = parts.scheme.or(Some(http::uri::Scheme::HTTP));
    parts.path_and_query = parts.path_and_query.or_else(|| Some(http::uri::PathAndQuery::from_static("/")));
    Uri::from_parts(parts).ok()
}

fn verdict<B, E: StdError + 'static>(result: &Result<Response<B>, E>) -> Verdict {
    match result {
        Ok(response) => {
            let headers = response.headers();
            let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            let status = text(GRPC_STATUS).and_then(status_of_grpc).unwrap_or(response.status().as_u16());
            let retry_after = text(RETRY_AFTER).and_then(|text| text.parse().ok()).map(Duration::from_secs);
            Verdict::Answered { status, retry_after }
        }
        Err(error) => of_error(error),
    }
}

/// What a status of gRPC is in the words of HTTP, as gateways map them: only those that speak of the server's health are
/// failures.
fn status_of_grpc(text: &str) -> Option<u16> {
    Some(match text {
        "0" => 200,
        "4" => 504,
        "8" => 429,
        "14" => 503,
        "2" | "13" | "15" => 500,
        "1" | "3" | "5" | "6" | "7" | "9" | "10" | "11" | "12" | "16" => 400,
        _ => return None,
    })
}

/// Looks through an error and what is behind it.
fn of_error(error: &(dyn StdError + 'static)) -> Verdict {
    let mut behind = Some(error);
    while let Some(error) = behind {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return of_io(io);
        }
        behind = error.source();
    }
    Verdict::UNKNOWN
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::MethodClass;

    #[test]
    fn a_request_says_what_its_call_is() {
        let request = Request::get("/").header("x-mainstay-deadline-ms", "250").body(()).unwrap();
        let facts = facts_of(&request);
        assert_eq!((facts.method, facts.within), (MethodClass::Safe, Some(Duration::from_millis(250))));
        let request = Request::post("/").header("idempotency-key", "1").header("grpc-timeout", "2S").body(()).unwrap();
        let facts = facts_of(&request);
        assert_eq!(facts.method, MethodClass::NonIdempotent);
        assert!(facts.idempotency_key);
        assert_eq!(facts.within, Some(Duration::from_secs(2)));
        for nonsense in ["", "S", "5", "5x", "123456789S", "-1S", "é"] {
            assert_eq!(of_grpc(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn an_answer_counts_by_its_status_and_an_error_by_what_is_behind_it() {
        let ok = |response: http::response::Builder| verdict(&Ok::<_, io::Error>(response.body(()).unwrap()));
        let answered = |status, retry_after| Verdict::Answered { status, retry_after };
        assert_eq!(ok(Response::builder().status(404)), answered(404, None));
        let patient = Response::builder().status(503).header("retry-after", "3");
        assert_eq!(ok(patient), answered(503, Some(Duration::from_secs(3))));
        assert_eq!(ok(Response::builder().header("grpc-status", "14")), answered(503, None));
        assert_eq!(ok(Response::builder().header("grpc-status", "5")), answered(400, None));

        #[derive(Debug, thiserror::Error)]
        #[error("the client gave up")]
        struct Client(#[source] io::Error);
        let refused = Client(io::ErrorKind::ConnectionRefused.into());
        assert_eq!(verdict::<(), _>(&Err(refused)), Verdict::NOT_SENT);
        assert_eq!(verdict::<(), _>(&Err(Client(io::ErrorKind::ConnectionReset.into()))), Verdict::UNKNOWN);
    }

    #[test]
    fn a_request_is_made_to_lead_to_the_endpoint() {
        let endpoint = "[::1]:80".parse().unwrap();
        let at = |uri: &str| uri_at(&uri.parse().unwrap(), endpoint).unwrap().to_string();
        assert_eq!(at("http://shop.example/a?b=c"), "http://[::1]:80/a?b=c");
        assert_eq!(at("/a"), "http://[::1]:80/a");
    }
}
