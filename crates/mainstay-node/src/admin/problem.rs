//! The admin API's errors: problem details that say what is wrong and how to mend it (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// An error as the caller sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    status: StatusCode,
    /// What kind it is, in one word for programs.
    reason: &'static str,
    detail: String,
    mend: String,
    more: Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        reason: &'static str,
        detail: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { status, reason, detail: detail.into(), mend: mend.into(), more: Map::new() }
    }

    /// Adds a member of its own.
    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn no_service(name: &str, known: &[String]) -> Self {
        let detail = format!("there is no service \"{name}\"");
        Self::new(StatusCode::NOT_FOUND, "no_service", detail, format!("name one of: {}", known.join(", ")))
    }

    pub(crate) fn no_endpoint(service: &str, address: &str, known: &[String]) -> Self {
        let detail = format!("the service \"{service}\" has no endpoint {address}");
        Self::new(StatusCode::NOT_FOUND, "no_endpoint", detail, format!("name one of: {}", known.join(", ")))
    }

    pub(crate) fn bad_body(detail: impl Into<String>, example: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_body", detail, format!("send {example}"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "reason": self.reason,
            "detail": self.detail,
            "mend": self.mend,
        });
        if let Value::Object(members) = &mut body {
            members.extend(self.more);
        }
        let mut answer = (self.status, body.to_string()).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        if self.status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}
