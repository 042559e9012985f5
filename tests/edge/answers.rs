//! The answers on a caller's connection, one after the other.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};

use crate::support::http;

/// An answer as a caller reads it.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// It came to its end as its head announced.
    pub(super) whole: bool,
}

impl Answer {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The reason of an answer of the gateway's own.
    pub(super) fn reason(&self) -> Option<String> {
        let ours = self.field("proxy-status").is_some_and(|value| value.starts_with("mainstay; error="));
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        ours.then(|| body["reason"].as_str().map(str::to_owned)).flatten()
    }
}

/// Sends all of `bytes` at once, says that no more comes, and reads to the end.
pub(super) fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    exchange_in_pieces(address, bytes, bytes.len())
}

/// As [`exchange`], in packets of `piece` bytes.
pub(super) fn exchange_in_pieces(address: SocketAddr, bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut stream = http::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in bytes.chunks(piece.max(1)) {
        // A gateway that has refused the first of them may close before the last are out.
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
    let mut got = Vec::new();
    let mut block = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut block) {
        got.extend_from_slice(&block[..read]);
    }
    got
}

/// Parts the answers; `methods` are those of the requests in turn, for HEAD has no body.
pub(super) fn parse(mut bytes: &[u8], methods: &[String]) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut methods = methods.iter();
    while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes = &bytes[end + 4..];
        let mut lines = head.split("\r\n");
        let status: u16 = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let fields = lines.map(|line| line.split_once(": ").unwrap_or((line, "")));
        let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let mut answer = Answer { status, fields, body: Vec::new(), whole: true };
        if status >= 200 {
            let to_head = methods.next().is_some_and(|method| method == "HEAD");
            bytes = body(&mut answer, bytes, to_head);
        }
        answers.push(answer);
    }
    answers
}

fn body<'a>(answer: &mut Answer, bytes: &'a [u8], to_head: bool) -> &'a [u8] {
    if to_head || matches!(answer.status, 204 | 304) {
        return bytes;
    }
    if answer.field("transfer-encoding").is_some() {
        return dechunk(answer, bytes);
    }
    let length = answer.field("content-length").map_or(bytes.len(), |length| length.parse().unwrap());
    answer.whole = bytes.len() >= length;
    let (body, rest) = bytes.split_at(length.min(bytes.len()));
    answer.body = body.to_vec();
    rest
}

fn dechunk<'a>(answer: &mut Answer, mut bytes: &'a [u8]) -> &'a [u8] {
    answer.whole = false;
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        bytes = &bytes[end + 2..];
        if size == 0 {
            let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else { return bytes };
            if end == 0 {
                answer.whole = true;
                return &bytes[2..];
            }
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
            answer.whole = end.is_some();
            return end.map_or(bytes, |end| &bytes[end + 4..]);
        }
        answer.body.extend_from_slice(&bytes[..size.min(bytes.len())]);
        let Some(rest) = bytes.get(size + 2..) else { return &[] };
        bytes = rest;
    }
    bytes
}
