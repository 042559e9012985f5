//! One HTTP request that can be written down: how an instance or a gateway is told of a fault, and that it is over.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wire::{self, Answer, WireError};

/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 4 * 1024 * 1024;

/// A request.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// `GET`, `PUT` or `DELETE`.
    pub method: String,
    /// Host and port.
    pub address: String,
    /// Path and query.
    pub path: String,
    /// JSON, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// What an admin API wants to see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Fields besides, each with its line end.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fields: String,
}

/// Why there is no good answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct AskError {
    /// In words.
    pub what: String,
    /// Nobody listens there.
    pub nobody: bool,
}

impl Ask {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, address: impl Into<String>, path: impl Into<String>) -> Self {
        let (method, address, path) = (method.to_owned(), address.into(), path.into());
        Self { method, address, path, body: None, token: None, fields: String::new() }
    }

    /// The same with a body of JSON.
    #[must_use]
    pub fn body(self, body: &serde_json::Value) -> Self {
        Self { body: Some(body.to_string()), ..self }
    }

    /// The same with what an admin API wants to see.
    #[must_use]
    pub fn token(self, token: Option<String>) -> Self {
        Self { token, ..self }
    }

    /// The same with a field besides; what cannot stand in one is left out.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        let line: String = format!("{name}: {value}").chars().filter(|c| !c.is_control()).collect();
        self.fields.push_str(&line);
        self.fields.push_str("\r\n");
        self
    }

    /// Asks, and gives whatever is answered.
    ///
    /// # Errors
    /// Nobody answers in `wait`.
    pub async fn answer(&self, wait: Duration) -> Result<Answer, AskError> {
        let answer = wire::once(&self.address, self.bytes().as_bytes(), wait, ANSWER_MAX).await;
        answer.map_err(|error| AskError {
            what: format!("{self}: {error}"),
            nobody: matches!(error, WireError::Refused | WireError::Unreachable),
        })
    }

    /// Asks, and gives the body of a 2xx answer.
    ///
    /// # Errors
    /// Nobody answers in `wait`, or with another status.
    pub async fn send(&self, wait: Duration) -> Result<String, AskError> {
        let answer = self.answer(wait).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if (200..300).contains(&answer.status) {
            return Ok(text);
        }
        Err(AskError { what: format!("{self}: status {}: {}", answer.status, text.trim()), nobody: false })
    }

    fn bytes(&self) -> String {
        let Self { method, address, path, fields, .. } = self;
        let token = self.token.as_ref().map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{fields}{token}");
        match &self.body {
            Some(body) => {
                format!("{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            }
            None => format!("{head}\r\n"),
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} http://{}{}", self.method, self.address, self.path)
    }
}

impl fmt::Debug for Ask {
    /// The token stays out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ask({self}, {:?})", self.body)
    }
}
