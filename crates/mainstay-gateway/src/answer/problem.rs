//! The table of reasons: what each one is called, and what a caller is told.
//!
//! Statuses are the contract's: 400 malformed, 404 no route, 408, 413 and 431 over a limit, 429 rate, 502 an endpoint is
//! broken, 503 nothing usable, shed or open, 504 out of time. Those of refusals are [`Refusal::status`], which `explain`
//! tells too. Error types are those of RFC 9209, section 2.3.

use mainstay_core::Failure;
use mainstay_http1::Reject;
use mainstay_policy::{KeyRefusal, Refusal};

use crate::route::BadPath;

/// Why Mainstay answers itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The call was refused, or every attempt failed.
    Refused(Refusal),
    /// The request is not one that has one meaning.
    Rejected(Reject),
    /// Nor has its path.
    Path(BadPath),
    /// No route matches.
    NoRoute,
    /// A redirect or rewrite needs the host, and the caller named none.
    NoHost,
    /// CONNECT, which only a forward proxy serves.
    Connect,
    /// The body is longer than the limit.
    BodyTooLarge,
    /// The head did not come within `header_timeout`.
    HeadTimeout,
}

/// What is said about a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProblemFacts {
    /// The status of the answer.
    pub(crate) status: u16,
    /// The error type of RFC 9209; `None` when what matters is the status that was received.
    pub(crate) error: Option<&'static str>,
    /// The word for logs and metrics.
    pub(crate) reason: &'static str,
    /// The sentence for people.
    pub(crate) detail: &'static str,
    /// The status that an instance answered with.
    pub(crate) received: Option<u16>,
}

const fn facts(status: u16, error: &'static str, reason: &'static str, detail: &'static str) -> ProblemFacts {
    ProblemFacts { status, error: Some(error), reason, detail, received: None }
}

impl Problem {
    /// What is said about it.
    #[must_use]
    pub(crate) fn facts(self) -> ProblemFacts {
        const REQUEST: &str = "http_request_error";
        match self {
            Self::Refused(refusal) => refused(refusal),
            Self::Rejected(reject) => facts(reject.status(), REQUEST, reject.as_str(), rejected(reject)),
            Self::Path(bad) => facts(400, REQUEST, "bad_path", bad.as_str()),
            Self::NoRoute => facts(404, "destination_not_found", "no_route", "No route matches the request."),
            Self::NoHost => facts(400, REQUEST, "no_host", "The request names no host."),
            Self::Connect => facts(501, REQUEST, "connect", "CONNECT is not served here."),
            Self::BodyTooLarge => facts(413, REQUEST, "body_too_large", "The body is longer than is accepted."),
            Self::HeadTimeout => facts(408, REQUEST, "header_timeout", "The request's head took too long to arrive."),
        }
    }
}

fn refused(refusal: Refusal) -> ProblemFacts {
    let (error, detail) = match refusal {
        Refusal::DeadlinePassed => ("http_request_denied", "The caller's deadline had passed when the call came."),
        Refusal::RateLimited => ("http_request_denied", "The caller is over its rate limit."),
        Refusal::SlowRequest => ("http_request_error", "The request's body stopped arriving."),
        Refusal::BreakerOpen => ("destination_unavailable", "The service is failing and is given a rest."),
        Refusal::QueueFull => ("connection_limit_reached", "The service is busy and its queue is full."),
        Refusal::QueueTimeout => ("connection_limit_reached", "The service is busy; the call waited too long."),
        Refusal::LongWait => ("connection_limit_reached", "The service is busy; the call would wait too long."),
        Refusal::Displaced => ("connection_limit_reached", "The service is busy with more important calls."),
        Refusal::Hopeless => ("connection_limit_reached", "The service is busy; the deadline is too near."),
        Refusal::Exhausted => ("connection_limit_reached", "No connection to an instance could be opened here."),
        Refusal::NoEndpoint => ("destination_unavailable", "No instance of the service can be used."),
        Refusal::Deadline => ("http_response_timeout", "The deadline passed before an answer came."),
        Refusal::Key(why) => key(why),
        Refusal::Failed(failure) => return failed(failure),
    };
    facts(refusal.status(), error, refusal.as_str(), detail)
}

const fn key(why: KeyRefusal) -> (&'static str, &'static str) {
    match why {
        KeyRefusal::Malformed => ("http_request_error", "The Idempotency-Key is not one text of 1 to 255 characters."),
        KeyRefusal::Reused => ("http_request_denied", "The Idempotency-Key was used for another request."),
        KeyRefusal::InProgress => {
            ("http_request_denied", "The first request with this Idempotency-Key is still under way.")
        }
        KeyRefusal::NotKept => {
            ("http_request_denied", "The request with this Idempotency-Key was carried out; its answer is not kept.")
        }
        KeyRefusal::Unknown => (
            "http_request_denied",
            "A request with this Idempotency-Key may have been carried out; its answer is not known.",
        ),
        KeyRefusal::Full => ("http_request_denied", "Too much with an Idempotency-Key is under way from this address."),
    }
}

fn failed(failure: Failure) -> ProblemFacts {
    let (error, detail) = match failure {
        Failure::Refused => ("connection_refused", "The instance refused the connection."),
        Failure::Unreachable => ("destination_unavailable", "The instance cannot be reached."),
        Failure::ConnectTimeout => ("connection_timeout", "No connection to the instance came about in time."),
        Failure::Reset => ("connection_terminated", "The instance closed the connection before it answered."),
        Failure::Timeout => ("http_response_timeout", "The instance did not answer in time."),
        Failure::Malformed => ("http_protocol_error", "What the instance answered is not HTTP."),
        Failure::Status(received) => {
            return ProblemFacts {
                status: received,
                error: None,
                reason: failure.as_str(),
                detail: "The instance answered that it failed.",
                received: Some(received),
            };
        }
    };
    facts(Refusal::Failed(failure).status(), error, failure.as_str(), detail)
}

/// The codec's own words are for logs; a caller gets the kind of mistake, as far as it can be mended.
fn rejected(reject: Reject) -> &'static str {
    match reject.status() {
        413 => "The body is longer than is accepted.",
        414 => "The request line is longer than is accepted.",
        417 => "The only expectation that is met is 100-continue.",
        431 => "The header fields are larger or more than is accepted.",
        501 => "The only transfer coding that is understood is chunked.",
        505 => "The HTTP versions that are spoken are 1.0 and 1.1.",
        _ => "The request is malformed.",
    }
}
