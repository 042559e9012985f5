//! In steady state a request takes no memory: everything it needs was used before.
//!
//! The node is counted from outside, by the library that counts for the bench: the product carries no counting.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Instance, Node, alone, find, http, skip};

/// Requests after which whatever a connection and a worker keep is there.
const WARM_UP: u64 = 500;
/// Requests that are counted.
const COUNTED: u64 = 2_000;

/// The library and the file in which it counts.
struct Counter {
    library: PathBuf,
    file: PathBuf,
}

impl Counter {
    fn build(compiler: &Path, dir: &Path) -> Self {
        let counter = Self { library: dir.join("count.so"), file: dir.join("count") };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/count-allocations.c");
        let mut command = Command::new(compiler);
        command.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&counter.library).arg(source);
        assert!(command.status().unwrap().success(), "{command:?}");
        std::fs::write(&counter.file, [0; 8]).unwrap();
        counter
    }

    fn watch(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("COUNT_ALLOCATIONS_IN", &self.file);
    }

    fn read(&self) -> u64 {
        u64::from_ne_bytes(std::fs::read(&self.file).unwrap().try_into().unwrap())
    }
}

/// Asks so often, one after the other, and reads each answer to its end.
fn ask(stream: &mut TcpStream, request: &[u8], times: u64) {
    let mut block = [0; 4096];
    for _ in 0..times {
        stream.write_all(request).unwrap();
        let mut read = 0;
        while !is_whole(&block[..read]) {
            let more = stream.read(&mut block[read..]).unwrap();
            assert!(more > 0, "{}", String::from_utf8_lossy(&block[..read]));
            read += more;
        }
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    length.parse() == Ok(body.len())
}

#[test]
fn a_request_in_steady_state_takes_no_memory() {
    let Some(compiler) = find("cc") else { return skip("what a request takes of memory", "cc") };
    let _stage = alone();
    let dir = tempfile::tempdir().unwrap();
    let counter = Counter::build(&compiler, dir.path());
    let instance = Instance::with(&["--service-time", "0ms"]);
    let node = Node::watched(&[instance.address], "[node]\nworkers = 1\n", |command| counter.watch(command));
    for request in ["GET /orders?page=2 HTTP/1.1\r\nhost: x\r\n\r\n", POST] {
        let mut stream = http::connect(node.web).unwrap();
        ask(&mut stream, request.as_bytes(), WARM_UP);
        let before = counter.read();
        assert!(before > 0, "what counts nothing holds nothing");
        ask(&mut stream, request.as_bytes(), COUNTED);
        let taken = counter.read() - before;
        // What the node takes beside its requests, some times a second, however long they last.
        assert!(taken < COUNTED / 2, "{taken} allocations in {COUNTED} requests: {request:?}");
    }
}

const POST: &str = "POST /orders HTTP/1.1\r\nhost: x\r\naccept: */*\r\ncontent-length: 5\r\n\r\nhello";
