//! One request as one line.
//!
//! The query is cut off, because that is where tokens and names of people stand. Everything else that a caller can
//! choose is escaped and has a greatest length, so that a line has one too and a buffer can be checked beforehand.
//! A request that took more than one attempt, or got no good answer, carries the list of its attempts ([`Try`]).

use std::net::IpAddr;

use mainstay_core::{Certainty, Duration, Origin, UnixTime};

use crate::AttemptResult;
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
/// Bytes kept of an address.
const ADDRESS_MAX: usize = 64;
/// Longer than any line without attempts: one path and seven words, each byte escaped as six, and what stands around
/// them.
const LINE_MAX: usize = 6 * (PATH_MAX + 7 * WORD_MAX) + 1024;
/// Longer than what is written of one attempt.
const TRY_MAX: usize = 6 * ADDRESS_MAX + 256;
/// Attempts that one line lists at most: as many as a call can make.
pub const TRIES_MAX: usize = mainstay_policy::ATTEMPTS_MAX as usize;

/// What the access log says of one attempt.
#[derive(Debug, Clone, Copy)]
pub struct Try<'a> {
    /// The address of the endpoint; empty when it has left.
    pub endpoint: &'a str,
    /// How the attempt ended.
    pub result: AttemptResult,
    /// Whether the instance may have acted on it.
    pub certainty: Certainty,
    /// When it began, since the request did.
    pub began: Duration,
    /// When it was over, since the request began.
    pub ended: Duration,
}

impl Default for Try<'_> {
    /// An attempt that never was, to fill a list with.
    fn default() -> Self {
        let result = AttemptResult::Cancelled;
        let (began, ended) = (Duration::ZERO, Duration::ZERO);
        Self { endpoint: "", result, certainty: Certainty::NotSent, began, ended }
    }
}

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
    /// Each attempt, at most [`TRIES_MAX`]; empty when there was none, or one that was answered well: then the fields
    /// above tell the same.
    pub tries: &'a [Try<'a>],
}

impl Line<'_> {
    /// The line has at most so many bytes.
    pub(crate) fn size_max(&self) -> usize {
        LINE_MAX + TRY_MAX * self.tries().len()
    }

    fn tries(&self) -> &[Try<'_>] {
        &self.tries[..self.tries.len().min(TRIES_MAX)]
    }

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
        if !self.tries.is_empty() {
            self.write_tries_json(out);
        }
        out.push(b'}');
    }

    fn write_tries_json(&self, out: &mut Vec<u8>) {
        push_name(out, "tries");
        for (number, attempt) in self.tries().iter().enumerate() {
            out.extend_from_slice(if number == 0 { b"[{\"endpoint\":" } else { b",{\"endpoint\":" });
            push_string(out, address_of(attempt));
            push_field(out, "result", attempt.result.as_str().as_bytes());
            push_field(out, "certainty", word_of(attempt.certainty).as_bytes());
            for (name, length) in [("began_ms", attempt.began), ("ended_ms", attempt.ended)] {
                push_name(out, name);
                push_millis(out, length);
            }
            out.push(b'}');
        }
        out.push(b']');
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
        for (number, attempt) in self.tries().iter().enumerate() {
            out.extend_from_slice(if number == 0 { b" tries=" } else { b"," });
            push_escaped(out, address_of(attempt));
            let (result, certainty) = (attempt.result.as_str(), word_of(attempt.certainty));
            let (began, ended) = (Millis(attempt.began), Millis(attempt.ended));
            push_display(out, format_args!("/{result}/{certainty}/{began}-{ended}"));
        }
    }
}

fn address_of<'a>(attempt: &Try<'a>) -> &'a [u8] {
    let address = attempt.endpoint.as_bytes();
    &address[..address.len().min(ADDRESS_MAX)]
}

/// One word, so that it can be searched for.
const fn word_of(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::NotSent => "not_sent",
        Certainty::Unknown => "unknown",
        Certainty::Applied => "applied",
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
            tries: &[],
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

    fn tries() -> [Try<'static>; 2] {
        let ms = Duration::from_millis;
        let failed = AttemptResult::Failed(mainstay_core::Failure::Refused);
        let first = Try { endpoint: "127.0.0.1:9101", result: failed, ended: ms(1), ..Try::default() };
        let (result, certainty) = (AttemptResult::Success(200), Certainty::Applied);
        [first, Try { endpoint: "127.0.0.1:9102", result, certainty, began: ms(1), ended: ms(12) }]
    }

    #[test]
    fn a_request_that_was_tried_twice_says_where_and_how_each_time() {
        let tries = tries();
        let line = Line { tries: &tries, ..line(b"/cart", b"r-1") };
        let json = written(&line, LineFormat::Json);
        expect![[r#"
            "tries":[{"endpoint":"127.0.0.1:9101","result":"refused","certainty":"not_sent","began_ms":0.000,"ended_ms":1.000},{"endpoint":"127.0.0.1:9102","result":"success","certainty":"applied","began_ms":1.000,"ended_ms":12.000}]}
        "#]]
        .assert_eq(&json[json.find("\"tries\"").unwrap()..]);
        let text = written(&line, LineFormat::Text);
        let tries = text.trim_end().rsplit_once(" tries=").unwrap().1;
        let (first, second) = tries.split_once(',').unwrap();
        assert_eq!(first, "127.0.0.1:9101/refused/not_sent/0.000-1.000");
        assert_eq!(second, "127.0.0.1:9102/success/applied/1.000-12.000");
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
        let lasted = Duration::MAX;
        let slow = Try { endpoint: &word, began: lasted, ended: lasted, ..Try::default() };
        let many = [slow; 2 * TRIES_MAX];
        for tries in [&[][..], &many[..1], &many] {
            longest.tries = tries;
            for format in [LineFormat::Json, LineFormat::Text] {
                assert!(written(&longest, format).len() <= longest.size_max());
            }
        }
    }
}
