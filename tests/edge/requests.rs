//! Requests: refused, or read by the origin as exactly what the table says, one for one.

use super::answers::{Answer, exchange_in_pieces, parse};
use super::origin::{Origin, Seen};
use super::table::{self, Case};
use crate::support::{Node, alone};

/// What follows every case on its connection: answered only where the connection goes on.
pub(super) const PROBE: &str = "GET /probe HTTP/1.1\r\nHost: probe\r\n\r\n";
pub(super) const PROBED: &str = "GET /probe @probe none";

/// One worker, and nothing that would answer in an instance's place.
pub(super) const PLAIN: &str = "outlier = \"off\"\nbreaker = \"off\"\n[node]\nworkers = 1\n";

/// The table's cases.
pub(super) fn cases() -> Vec<Case> {
    table::read(include_str!("requests.txt"))
}

/// What a case wants of its connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The next request is served.
    GoesOn,
    /// Nothing after it is read as a request.
    Closes,
    /// More was expected: no answer, and nobody hears of it.
    Waits,
}

/// The answers that a case wants, and what becomes of its connection.
pub(super) fn wanted(case: &Case) -> (Vec<String>, Then) {
    let mut want = case.want.clone();
    let then = match want.last().map(String::as_str) {
        Some("closes") => Then::Closes,
        Some("waits") => Then::Waits,
        Some("goes on") => Then::GoesOn,
        Some(last) if is_refusal(last) => return (want, Then::Closes),
        _ => return (want, Then::GoesOn),
    };
    want.pop();
    (want, then)
}

fn is_refusal(line: &str) -> bool {
    line.starts_with(|first: char| first.is_ascii_digit()) && line.len() > 3
}

/// Sends a case, with the probe behind it where one can be told from it.
pub(super) fn send(node: &Node, case: &Case) -> Vec<Answer> {
    send_in_pieces(node, case, usize::MAX)
}

fn send_in_pieces(node: &Node, case: &Case, piece: usize) -> Vec<Answer> {
    let (want, then) = wanted(case);
    let mut bytes = case.bytes.clone();
    if then != Then::Waits {
        bytes.extend_from_slice(PROBE.as_bytes());
    }
    let methods = want.iter().filter(|line| *line != "100").map(|line| line.split(' ').next().unwrap().to_owned());
    let methods: Vec<String> = methods.collect();
    parse(&exchange_in_pieces(node.web, &bytes, piece), &methods)
}

/// One answer in the table's words.
pub(super) fn told(answer: &Answer) -> String {
    match (answer.reason(), answer.field("x-read")) {
        (Some(reason), _) => format!("{} {reason}", answer.status),
        (None, Some(read)) => read.to_owned(),
        (None, None) => answer.status.to_string(),
    }
}

/// How a table is played.
#[derive(Debug, Clone, Copy)]
struct How {
    /// A request reaches the origin only when all of it is there.
    whole: bool,
    /// Bytes that are sent at once.
    piece: usize,
}

fn play(node: &Node, origin: &Origin, case: &Case, how: How) -> Result<(), String> {
    let (mut want, then) = wanted(case);
    if then == Then::GoesOn {
        want.push(PROBED.to_owned());
    }
    let answers: Vec<String> = send_in_pieces(node, case, how.piece).iter().map(told).collect();
    let (seen, offences) = origin.take();
    let reached: Vec<String> = seen.iter().map(Seen::told).collect();
    let forwarded: Vec<&String> = want.iter().filter(|line| !is_refusal(line) && *line != "100").collect();
    if answers != want {
        return Err(format!("answered {answers:?}\n  instead of {want:?}"));
    }
    if (how.whole && !offences.is_empty()) || reached.iter().collect::<Vec<_>>() != forwarded {
        return Err(format!("the origin read {reached:?} {offences:?}\n  instead of {forwarded:?}"));
    }
    let first = seen.first().map(|seen| seen.fields.as_slice()).unwrap_or_default();
    for (word, rest) in &case.words {
        let there = first.iter().any(|(name, value)| rest == name || *rest == format!("{name}: {value}"));
        match word.as_str() {
            "sees" if there => {}
            "lacks" if !there => {}
            _ => return Err(format!("the origin {word} {rest}: not so in {first:?}")),
        }
    }
    Ok(())
}

fn play_all(more: &str, how: How) {
    let _stage = alone();
    let origin = Origin::start();
    let node = Node::start(&[origin.address], more);
    let cases = cases();
    table::count("requests", &cases);
    let play = |case: &Case| play(&node, &origin, case, how).err().map(|why| format!("{}:\n  {why}", case.name));
    let wrong: Vec<String> = cases.iter().filter_map(play).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() >= 250 && cases.iter().filter(|case| case.is_public()).count() >= 100);
}

#[test]
fn every_request_of_the_table_is_refused_or_read_as_it_was_sent() {
    play_all(PLAIN, How { whole: true, piece: usize::MAX });
}

#[test]
fn a_body_that_is_refused_while_it_is_sent_on_is_never_read_as_whole() {
    play_all(&format!("retry = \"off\"\n{PLAIN}"), How { whole: false, piece: usize::MAX });
}

#[test]
fn every_request_of_the_table_means_the_same_in_small_packets() {
    play_all(PLAIN, How { whole: true, piece: 9 });
}
