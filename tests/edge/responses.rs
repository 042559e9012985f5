//! Answers of an instance: refused with 502, or passed on as exactly what the table says; and a connection that could
//! hold something else than the next answer carries no other request.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::answers::{Answer, exchange, parse};
use super::requests::PLAIN;
use super::table::{self, Case};
use crate::support::{Node, alone};

/// An instance that answers `/case` with bytes as they are, and anything else with the number of its connection.
#[derive(Debug)]
struct Instance {
    address: SocketAddr,
    /// The bytes of the case, and whether the connection ends after them.
    next: Arc<Mutex<(Vec<u8>, bool)>>,
    /// The connection that served the case.
    served: Arc<Mutex<usize>>,
}

impl Instance {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let instance = Self { address, next: Arc::default(), served: Arc::default() };
        let (next, served) = (Arc::clone(&instance.next), Arc::clone(&instance.served));
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let (next, served) = (Arc::clone(&next), Arc::clone(&served));
                std::thread::spawn(move || serve(number, stream, &next, &served));
            }
        });
        instance
    }
}

fn serve(number: usize, stream: TcpStream, next: &Mutex<(Vec<u8>, bool)>, served: &Mutex<usize>) {
    let mut reader = BufReader::new(stream);
    while let Some(target) = head(&mut reader) {
        let (bytes, closes) = if target == "/case" {
            *served.lock().unwrap() = number;
            next.lock().unwrap().clone()
        } else {
            let body = number.to_string();
            (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes(), false)
        };
        // A gateway that has read enough does not read the rest.
        if reader.get_mut().write_all(&bytes).is_err() || closes {
            return;
        }
    }
}

fn head(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut target = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match target {
            None => target = Some(line.split(' ').nth(1)?.to_owned()),
            Some(target) if line == "\r\n" => return Some(target),
            Some(_) => {}
        }
    }
}

/// One answer in the table's words.
fn told(answer: &Answer) -> String {
    let broken = if answer.whole { "" } else { " broken" };
    match answer.reason() {
        Some(reason) => format!("{} {reason}", answer.status),
        None if answer.body.is_empty() => format!("{}{broken}", answer.status),
        None => format!("{} '{}'{broken}", answer.status, answer.body.escape_ascii()),
    }
}

fn play(node: &Node, instance: &Instance, case: &Case) -> Result<(), String> {
    let method = case.word("to").unwrap_or("GET");
    *instance.next.lock().unwrap() = (case.bytes.clone(), case.word("then") == Some("closes"));
    let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    let asked = format!("{method} /case HTTP/1.1\r\nHost: a\r\n\r\n{next}");
    let got = parse(&exchange(node.web, asked.as_bytes()), &[method.to_owned(), "GET".to_owned()]);
    let broken = case.want.last().is_some_and(|line| line.ends_with("broken"));
    let (answers, next) = if broken {
        (&got[..], parse(&exchange(node.web, next.as_bytes()), &[]))
    } else {
        let (next, answers) = got.split_last().ok_or("no answer at all")?;
        (answers, vec![next.clone()])
    };
    let heard: Vec<String> = answers.iter().map(told).collect();
    if heard != case.want {
        return Err(format!("the caller heard {heard:?}\n  instead of {:?}", case.want));
    }
    let [next] = &next[..] else { return Err(format!("the next request got {next:?}")) };
    let connection = String::from_utf8_lossy(&next.body).parse::<usize>();
    let connection = connection.map_err(|_| format!("the next request was answered {}", told(next)))?;
    let kept = if connection == *instance.served.lock().unwrap() { "kept" } else { "dropped" };
    if case.word("connection") != Some(kept) {
        return Err(format!("the connection was {kept}"));
    }
    let last = answers.last().map(|answer| answer.fields.as_slice()).unwrap_or_default();
    for (word, rest) in &case.words {
        let there = last.iter().any(|(name, value)| rest == name || *rest == format!("{name}: {value}"));
        if (word == "sees" && !there) || (word == "lacks" && there) {
            return Err(format!("the caller {word} {rest}: not so in {last:?}"));
        }
    }
    Ok(())
}

#[test]
fn every_answer_of_the_table_is_refused_or_passed_on_as_it_was_meant() {
    let _stage = alone();
    let instance = Instance::start();
    let node = Node::start(&[instance.address], &format!("retry = \"off\"\n{PLAIN}"));
    let cases = table::read(include_str!("responses.txt"));
    table::count("responses", &cases);
    let play = |case: &Case| play(&node, &instance, case).err().map(|why| format!("{}:\n  {why}", case.name));
    let wrong: Vec<String> = cases.iter().filter_map(play).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() >= 60);
}
