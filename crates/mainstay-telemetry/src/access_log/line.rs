//! One request as one line.
//!
//! The query is cut off, because that is where tokens and names of people stand. Everything else that a caller can
//! choose is escaped and has a greatest length, so that a line has one too and a buffer can be checked beforehand.

use std::net::IpAddr;

use mainstay_core::{Duration, Origin, UnixTime};

use crate::json::{push_digits, push_display, push_escaped, push_number, push_string};
use crate::wall::push_time;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineFormat {
    /// One JSON object.
    #[default]
    Json,
    /// Words for a person.
    Text,
}

/// Bytes kept of a path.
const PATH_MAX: usize = 2048;
/// Bytes kept of every other text.
const WORD_MAX: usize = 256;
/// Longer than any line: one path and seven words, each byte escaped as six, and what stands around them.
pub(crate) const LINE_MAX: usize = 6 * (PATH_MAX + 7 * WORD_MAX) + 1024;

/// What the access log says of a request. Texts that do not apply are empty and left out.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// When it ended.
    pub at: UnixTime,
    /// Its id.
    pub request_id: &'a [u8],
    /// Who asked.
    pub caller: IpAddr,
    /// The method as it came.
    pub method: &'a [u8],
    /// The host that was asked for.
    pub host: &'a [u8],
    /// The target; what follows a question mark is not written.
    pub path: &'a [u8],
    /// The route that matched.
    pub route: &'a str,
    /// The service that it led to.
    pub service: &'a str,
    /// The endpoint of the last attempt.
    pub endpoint: &'a str,
    /// Attempts made.
    pub attempts: u32,
    /// The status that went down; 0 for none.
    pub status: u16,
    /// From the first byte to the last.
    pub duration: Duration,
    /// Bytes of the body that came from the caller.
    pub received: u64,
    /// Bytes of the body that went to the caller.
    pub sent: u64,
    /// How it ended: `answered`, or the word of a refusal.
    pub end: &'a str,
    /// Whose the end was, unless it was a success.
    pub origin: Option<Origin>,
}

impl Line<'_> {
    /// Appends the line and its end.
    pub(crate) fn write(&self, out: &mut Vec<u8>, format: LineFormat) {
        match format {
            LineFormat::Json => self.write_json(out),
            LineFormat::Text => self.write_text(out),
        }
        out.push(b'\n');
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":\"");
        push_time(out, self.at);
        out.extend_from_slice(b"\",\"kind\":\"access\"");
        push_field(out, "request_id", self.request_id);
        push_display(out, format_args!(",\"caller\":\"{}\"", self.caller));
        push_field(out, "method", self.method);
        push_field(out, "host", self.host);
        out.extend_from_slice(b",\"path\":");
        push_string(out, path_of(self.path));
        push_field(out, "route", self.route.as_bytes());
        push_field(out, "service", self.service.as_bytes());
        push_field(out, "endpoint", self.endpoint.as_bytes());
        for (name, number) in [("attempts", u64::from(self.attempts)), ("status", u64::from(self.status))] {
            push_name(out, name);
            push_number(out, number);
        }
        push_name(out, "duration_ms");
        push_millis(out, self.duration);
        for (name, number) in [("received_bytes", self.received), ("sent_bytes", self.sent)] {
            push_name(out, name);
            push_number(out, number);
        }
        push_field(out, "end", self.end.as_bytes());
        push_field(out, "origin", self.origin.map_or("", Origin::as_str).as_bytes());
        out.push(b'}');
    }

    fn write_text(&self, out: &mut Vec<u8>) {
        push_time(out, self.at);
        push_display(out, format_args!(" {:3} ", self.status));
        push_word(out, self.method);
        out.push(b' ');
        push_word(out, self.host);
        push_escaped(out, path_of(self.path));
        push_display(out, format_args!(" {}ms", Millis(self.duration)));
        push_pair(out, "route", self.route.as_bytes());
        push_pair(out, "service", self.service.as_bytes());
        push_pair(out, "endpoint", self.endpoint.as_bytes());
        push_display(out, format_args!(" attempts={} received={} sent={}", self.attempts, self.received, self.sent));
        push_pair(out, "end", self.end.as_bytes());
        push_pair(out, "origin", self.origin.map_or("", Origin::as_str).as_bytes());
        push_display(out, format_args!(" caller={}", self.caller));
        push_pair(out, "id", self.request_id);
    }
}

/// The target up to its query, and no longer than is kept.
fn path_of(target: &[u8]) -> &[u8] {
    let path = target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
    &path[..path.len().min(PATH_MAX)]
}

fn short(text: &[u8]) -> &[u8] {
    &text[..text.len().min(WORD_MAX)]
}

fn push_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if !value.is_empty() {
        push_name(out, name);
        push_string(out, short(value));
    }
}

fn push_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn push_millis(out: &mut Vec<u8>, length: Duration) {
    let micros = length.as_nanos() / 1000;
    push_number(out, micros / 1000);
    out.push(b'.');
    push_digits(out, micros % 1000, 3);
}

fn push_word(out: &mut Vec<u8>, value: &[u8]) {
    push_escaped(out, short(value));
}

fn push_pair(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if !value.is_empty() {
        push_display(out, format_args!(" {name}="));
        push_word(out, value);
    }
}

/// Milliseconds to the microsecond, by whole numbers.
pub(crate) struct Millis(pub(crate) Duration);

impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = self.0.as_nanos() / 1000;
        write!(f, "{}.{:03}", micros / 1000, micros % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn line<'a>(path: &'a [u8], id: &'a [u8]) -> Line<'a> {
        Line {
            at: UnixTime::from_nanos(1_000_000_000_042_000_000),
            request_id: id,
            caller: IpAddr::from([192, 0, 2, 7]),
            method: b"GET",
            host: b"shop.example",
            path,
            route: "/cart",
            service: "shop",
            endpoint: "127.0.0.1:9102",
            attempts: 2,
            status: 200,
            duration: Duration::from_micros(12_345),
            received: 0,
            sent: 128,
            end: "answered",
            origin: None,
        }
    }

    fn written(line: &Line<'_>, format: LineFormat) -> String {
        let mut out = Vec::new();
        line.write(&mut out, format);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_request_is_one_object_without_its_query() {
        expect![[r#"
            {"time":"2001-09-09T01:46:40.042Z","kind":"access","request_id":"r-1","caller":"192.0.2.7","method":"GET","host":"shop.example","path":"/cart","route":"/cart","service":"shop","endpoint":"127.0.0.1:9102","attempts":2,"status":200,"duration_ms":12.345,"received_bytes":0,"sent_bytes":128,"end":"answered"}
        "#]]
        .assert_eq(&written(&line(b"/cart?token=secret", b"r-1"), LineFormat::Json));
        expect![[r#"
            2001-09-09T01:46:40.042Z 200 GET shop.example/cart 12.345ms route=/cart service=shop endpoint=127.0.0.1:9102 attempts=2 received=0 sent=128 end=answered caller=192.0.2.7 id=r-1
        "#]]
        .assert_eq(&written(&line(b"/cart?token=secret", b"r-1"), LineFormat::Text));
    }

    #[test]
    fn a_caller_cannot_write_a_second_line() {
        for format in [LineFormat::Json, LineFormat::Text] {
            let text = written(&line(b"/a\n{\"status\":200}", b"id\r\nfake"), format);
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(!text.contains('\r'));
        }
    }

    #[test]
    fn no_line_is_longer_than_its_ceiling() {
        let nasty = vec![0x1b; 100_000];
        let word = "\u{1}".repeat(10_000);
        let mut longest = line(&nasty, &nasty);
        longest.method = &nasty;
        longest.host = &nasty;
        (longest.route, longest.service, longest.endpoint) = (&word, &word, &word);
        longest.end = &word;
        for format in [LineFormat::Json, LineFormat::Text] {
            assert!(written(&longest, format).len() <= LINE_MAX);
        }
    }
}
