//! Requests that nobody wrote down: a family drawn from seeds, some of it valid and most of it nearly so. A third is made
//! of good parts and a few bad ones, a third are the table's cases with a few bytes changed, and a third are requests in
//! which lines and bodies of the table stand beside each other that never did.
//!
//! No case knows what must come of it. What holds for all: a request that the origin read is one that its caller was
//! answered, in the same order and with the same words; a second reader reads what we read; and where a strict reading
//! of the caller's own bytes exists, what we forward is that reading. `MAINSTAY_EDGE_CASES` sets how many are played,
//! `MAINSTAY_EDGE_SEED` from which seed; a failure names the seed of its case.

use mainstay_core::{Purpose, Seed, below};

use super::answers::{Answer, exchange, parse};
use super::origin::{Origin, Seen, read_all};
use super::peers::{Peer, haproxy, meaning, nginx};
use super::requests::{PLAIN, cases};
use crate::support::{Node, alone, eventually, skip};

/// Cases of one run, unless the environment says otherwise.
const CASES: u64 = 400;

/// Request lines; the first ten are good.
const LINES: &[&str] = &[
    "GET /a HTTP/1.1",
    "POST /a HTTP/1.1",
    "PUT /a?b=c HTTP/1.1",
    "DELETE /a HTTP/1.1",
    "GET http://a/x HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "POST /a HTTP/1.0",
    "GET /a/../b HTTP/1.1",
    "GET //a//b HTTP/1.1",
    "PATCH /%61 HTTP/1.1",
    "GET  /a HTTP/1.1",
    "GET /a  HTTP/1.1",
    "GET /a HTTP/1.2",
    "get /a HTTP/1.1",
    "GET /a#b HTTP/1.1",
    "GET /a",
];

/// Fields; the first thirteen are good.
const FIELDS: &[&str] = &[
    "X: y",
    "X:y ",
    "X: a\tb",
    "Cookie: a=b; c=d",
    "Connection: keep-alive",
    "Connection: content-length",
    "Expect: 100-continue",
    "TE: trailers",
    "Upgrade: h2c",
    "X-Forwarded-For: 1.2.3.4",
    "Trailer: X-Sum",
    "Content_Length: 5",
    "Transfer_Encoding: chunked",
    "Connection: close",
    "Content-Length: 5",
    "Content-Length : 5",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding: x",
    "Host: b",
    ": y",
    " X: y",
];

/// A field, and a body that it frames; in the last ones it does not.
const FRAMINGS: &[(&str, &str)] = &[
    ("", ""),
    ("", ""),
    ("Content-Length: 5\r\n", "hello"),
    ("Content-Length: 0036\r\n", "GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "3;a=b\r\nabc\r\n02\r\nde\r\n00\r\nX-Sum: 1\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "24\r\nGET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n\r\n0\r\n\r\n"),
    ("Content-Length: 5\r\n", "0\r\n\r\n"),
    ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("", "GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "5\nhello\n0\n\n"),
];

/// The longest case that is taken from the table: its long ones are about bounds, and say nothing twice.
const CASE_MAX: usize = 1024;

/// The table, taken apart.
struct Parts {
    whole: Vec<Vec<u8>>,
    lines: Vec<Vec<u8>>,
    fields: Vec<Vec<u8>>,
    bodies: Vec<Vec<u8>>,
}

impl Parts {
    /// Those of the table's cases that ask for an answer with a body.
    fn of_the_table() -> Self {
        let mut parts = Self { whole: Vec::new(), lines: Vec::new(), fields: Vec::new(), bodies: Vec::new() };
        for case in cases() {
            let bytes = case.bytes;
            if bytes.len() > CASE_MAX || bytes.windows(4).any(|word| word == b"HEAD") {
                continue;
            }
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
            let head = String::from_utf8_lossy(&bytes[..end]);
            // What the bytes of a line are does not matter as much as that there are such lines.
            let mut lines = head.split("\r\n").map(|line| line.as_bytes().to_vec());
            parts.lines.extend(lines.next());
            parts.fields.extend(lines);
            parts.bodies.push(bytes.get(end + 4..).unwrap_or_default().to_vec());
            parts.whole.push(bytes);
        }
        parts
    }
}

/// Bytes where they do not belong.
const STRAY: &[&str] = &[
    "\r", "\n", "\r\n", "\0", " ", "\t", ":", ",", ";", "\x0b", "\x7f", "\u{85}", "0", "5", "x", "%", "\"", "\r\n ",
    "\r\n\r\n",
];

/// Luck from a seed, one draw after the other.
struct Luck {
    seed: Seed,
    drawn: u64,
}

impl Luck {
    fn below(&mut self, bound: usize) -> usize {
        self.drawn += 1;
        below(self.seed.draw(self.drawn, 0, Purpose::Sample), bound as u64) as usize
    }

    fn pick<'a>(&mut self, among: &[&'a str]) -> &'a str {
        among[self.below(among.len())]
    }

    /// One of the first `good`, five times in six.
    fn mostly<'a>(&mut self, among: &[&'a str], good: usize) -> &'a str {
        let among = if self.below(6) > 0 { &among[..good] } else { among };
        self.pick(among)
    }
}

/// The bytes of one case, with a request behind them that is to be told from it.
fn draw(seed: u64, table: &Parts) -> Vec<u8> {
    let mut luck = Luck { seed: Seed::new(seed), drawn: 0 };
    let (mut bytes, changes) = match seed % 3 {
        0 => (of_the_table(&mut luck, table), 1 + luck.below(2)),
        1 => (of_its_lines(&mut luck, table), luck.below(2)),
        _ => (of_good_parts(&mut luck), luck.below(4).saturating_sub(1)),
    };
    for _ in 0..changes {
        mutate(&mut bytes, &mut luck);
    }
    bytes.extend_from_slice(b"GET /second HTTP/1.1\r\nHost: second\r\n\r\n");
    bytes
}

fn of_the_table(luck: &mut Luck, table: &Parts) -> Vec<u8> {
    table.whole[luck.below(table.whole.len())].clone()
}

/// One part in three is the table's, the others are good.
fn of_its_lines(luck: &mut Luck, table: &Parts) -> Vec<u8> {
    let (field, body) = FRAMINGS[luck.below(FRAMINGS.len())];
    let (mut body, mut field) = (body.as_bytes(), field);
    if luck.below(3) == 0 {
        (field, body) = ("", &table.bodies[luck.below(table.bodies.len())][..]);
    }
    let mut bytes = match luck.below(3) {
        0 => table.lines[luck.below(table.lines.len())].clone(),
        _ => luck.mostly(LINES, 10).as_bytes().to_vec(),
    };
    bytes.extend_from_slice(b"\r\nHost: a\r\n");
    bytes.extend_from_slice(field.as_bytes());
    for _ in 0..1 + luck.below(2) {
        bytes.extend_from_slice(&table.fields[luck.below(table.fields.len())]);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

fn of_good_parts(luck: &mut Luck) -> Vec<u8> {
    let mut text = format!("{}\r\nHost: a\r\n", luck.mostly(LINES, 10));
    let (field, body) = FRAMINGS[luck.below(FRAMINGS.len())];
    text += field;
    for _ in 0..luck.below(3) {
        text += luck.mostly(FIELDS, 13);
        text += "\r\n";
    }
    text += "\r\n";
    text += body;
    text.into_bytes()
}

fn mutate(bytes: &mut Vec<u8>, luck: &mut Luck) {
    let at = luck.below(bytes.len());
    match luck.below(4) {
        0 => drop(bytes.splice(at..at, luck.pick(STRAY).bytes())),
        1 => drop(bytes.splice(at..=at, luck.pick(STRAY).bytes())),
        2 => drop(bytes.remove(at)),
        _ => {
            let end = (at + 1 + luck.below(12)).min(bytes.len());
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
    }
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Plays a case; tells how many requests were sent on.
fn play(node: &Node, origin: &Origin, bytes: &[u8]) -> Result<usize, String> {
    let answers = parse(&exchange(node.web, bytes), &[]);
    let answers: Vec<&Answer> = answers.iter().filter(|answer| answer.status >= 200).collect();
    let (seen, offences) = origin.take();
    let reached: Vec<String> = seen.iter().map(Seen::told).collect();
    let heard: Vec<&str> = answers.iter().filter_map(|answer| answer.field("x-read")).collect();
    if reached != heard || !offences.is_empty() {
        return Err(format!("the origin read {reached:?} {offences:?}\n  and the caller heard of {heard:?}"));
    }
    // In turn, as long as a strict reader could follow: each answered in its place.
    for (strict, answer) in read_all(bytes).iter().zip(&answers) {
        let Some(read) = answer.field("x-read") else { continue };
        if same_place(strict) && meaning(&strict.told()) != meaning(read) {
            return Err(format!("sent on as {read}\n  where a strict reader reads {}", strict.told()));
        }
    }
    Ok(answers.iter().filter(|answer| answer.reason().is_none()).count())
}

/// Whether the target is already as it goes on.
fn same_place(seen: &Seen) -> bool {
    seen.target.starts_with('/') && !["%", "/.", "//"].iter().any(|part| seen.target.contains(part))
}

fn play_all(name: &str, node: &Node, origin: &Origin, peer: Option<&Peer>) {
    let (count, first) = (from_environment("MAINSTAY_EDGE_CASES", CASES), from_environment("MAINSTAY_EDGE_SEED", 1));
    origin.take();
    let before = peer.map_or(0, Peer::read);
    let (mut sent, mut silent) = (0, 0);
    let table = Parts::of_the_table();
    for seed in first..first + count {
        let bytes = draw(seed, &table);
        match play(node, origin, &bytes) {
            Ok(0) => silent += 1,
            Ok(these) => sent += these,
            Err(why) => panic!("{name}, seed {seed}: {}\n  {why}", bytes.escape_ascii()),
        }
    }
    if let Some(peer) = peer {
        eventually("a line for each request", || (peer.read() - before >= sent).then_some(()));
        assert_eq!(peer.read() - before, sent, "{name} read as many requests as we sent it");
    }
    eprintln!("{name}: {count} drawn from seed {first}: {sent} requests sent on, nothing sent on of {silent}");
    assert!(sent as u64 > count / 4 && silent > count / 10, "a family with something of both");
}

#[test]
fn whatever_is_drawn_the_origin_reads_what_its_caller_is_answered() {
    let _stage = alone();
    let origin = Origin::start();
    let node = Node::start(&[origin.address], PLAIN);
    play_all("the origin", &node, &origin, None);
}

/// The stories with a second reader; their module's name is how they are left out where it is not installed.
mod peers {
    use super::*;

    #[test]
    fn nginx_reads_whatever_is_drawn_as_we_do() {
        let _stage = alone();
        let origin = Origin::start();
        let Some(peer) = nginx(origin.address) else { return skip("nginx as a second reader", "nginx") };
        play_all("nginx", &Node::start(&[peer.address], PLAIN), &origin, Some(&peer));
    }

    #[test]
    fn haproxy_reads_whatever_is_drawn_as_we_do() {
        let _stage = alone();
        let origin = Origin::start();
        let Some(peer) = haproxy(origin.address) else { return skip("HAProxy as a second reader", "haproxy") };
        play_all("HAProxy", &Node::start(&[peer.address], PLAIN), &origin, Some(&peer));
    }
}
