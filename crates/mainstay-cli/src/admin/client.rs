//! One request to the admin API, and what is said when it fails.

use std::time::Duration;

use mainstay_drill::wire::{self, Answer, WireError};
use serde_json::Value;

use crate::outcome::{Outcome, Trouble};

/// How long a node may take to answer; it looks at its own state and waits for nobody.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read: the endpoints of very many services.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// Asks one node.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    address: String,
    token: Option<String>,
}

impl Client {
    /// Asks the node at `address`, and shows `token` if there is one.
    ///
    /// # Errors
    /// Neither can stand in a request.
    pub(crate) fn new(address: String, token: Option<String>) -> Outcome<Self> {
        let has_port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if !has_port || !is_printable(&address) {
            return Err(Trouble::wrong(format!("{address:?} is no admin address: write it as 127.0.0.1:9900")));
        }
        if token.as_deref().is_some_and(|token| !is_printable(token)) {
            return Err(Trouble::wrong("the token has characters that cannot stand in a header"));
        }
        Ok(Self { address, token })
    }

    /// The answer's body; an answer other than 2xx is an error in the node's words.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Outcome<String> {
        let request = self.request(method, path, body);
        let answer = wire::once(&self.address, request.as_bytes(), PATIENCE, ANSWER_MAX).await;
        let answer = answer.map_err(|error| self.unreachable(error))?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if (200..300).contains(&answer.status) { Ok(text) } else { Err(refused(&answer, &text)) }
    }

    /// A page of text.
    pub(crate) async fn text(&self, path: &str) -> Outcome<String> {
        self.ask("GET", path, None).await
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> String {
        let token = self.token.as_ref().map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{token}", self.address);
        match body.map(Value::to_string) {
            Some(body) => {
                format!("{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            }
            None => format!("{head}\r\n"),
        }
    }

    fn unreachable(&self, error: WireError) -> Trouble {
        let address = &self.address;
        Trouble::failed(match error {
            WireError::Refused => format!(
                "no node answers at {address}: is mainstay running? Start it with `mainstay run`, or name its admin \
                 address with --admin or MAINSTAY_ADMIN__ADDRESS"
            ),
            WireError::Timeout => format!("the node at {address} does not answer within {} s", PATIENCE.as_secs()),
            WireError::Unreachable => format!("there is no way to {address}"),
            WireError::Reset => format!("{address} closed the connection without an answer"),
            WireError::Malformed(what) => format!("what answers at {address} does not speak HTTP: {what}"),
        })
    }
}

/// A node's refusal: what is wrong, and how to mend it.
fn refused(answer: &Answer, text: &str) -> Trouble {
    let problem: Value = serde_json::from_str(text).unwrap_or_default();
    if answer.status == 401 {
        return Trouble::failed(
            "the token is missing or wrong: give the node's admin.token in MAINSTAY_ADMIN__TOKEN or with --token",
        );
    }
    // How a body is mended says nothing to somebody who wrote words.
    let mend = problem["mend"].as_str().filter(|_| problem["reason"] != "bad_body");
    match (problem["detail"].as_str(), mend) {
        (Some(detail), Some(mend)) => Trouble::failed(format!("{detail}: {mend}")),
        (Some(detail), None) => Trouble::failed(detail),
        _ => Trouble::failed(format!("the node answered with status {}", answer.status)),
    }
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A text as one segment of a path (RFC 3986, section 2.1).
pub(crate) fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' => {
                segment.push(char::from(byte));
            }
            other => segment.push_str(&format!("%{other:02X}")),
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment_of_the_path_whatever_is_in_it() {
        assert_eq!(segment("127.0.0.1:9101"), "127.0.0.1:9101");
        assert_eq!(segment("[::1]:80"), "%5B::1%5D:80");
        assert_eq!(segment("a/b?c d"), "a%2Fb%3Fc%20d");
    }

    #[test]
    fn what_cannot_stand_in_a_request_is_refused_before_it_is_sent() {
        assert_eq!(Client::new("localhost".to_owned(), None).unwrap_err().status(), 2);
        let token = Some("a\r\nb: c".to_owned());
        assert_eq!(Client::new("127.0.0.1:1".to_owned(), token).unwrap_err().status(), 2);
    }

    #[test]
    fn a_refusal_is_told_in_the_nodes_words() {
        let answer = Answer { status: 404, body: Vec::new() };
        let told = refused(&answer, r#"{"detail":"there is no service \"x\"","mend":"name one of: shop"}"#);
        assert_eq!(told.to_string(), "there is no service \"x\": name one of: shop");
        let body = r#"{"reason":"bad_body","detail":"lease: it is from 1ms to 1h","mend":"send {}"}"#;
        assert_eq!(refused(&answer, body).to_string(), "lease: it is from 1ms to 1h");
        assert_eq!(refused(&answer, "").to_string(), "the node answered with status 404");
        let answer = Answer { status: 401, ..answer };
        assert!(refused(&answer, "{}").to_string().contains("MAINSTAY_ADMIN__TOKEN"), "not in the words of HTTP");
    }
}
