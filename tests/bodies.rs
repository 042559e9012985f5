//! Bodies pass through; they are not collected.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Instance, Node, alone, http, pass};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// Reads the answer's head and then counts its body.
fn count_body(stream: &mut TcpStream, length: u64) -> u64 {
    let mut block = vec![0; 256 * 1024];
    let mut head = Vec::new();
    let mut body = 0;
    while body < length {
        let read = stream.read(&mut block).unwrap();
        assert!(read > 0, "the body ended after {body} of {length} bytes");
        if !head.ends_with(b"\r\n\r\n") {
            let end = block[..read].windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
            let end = end.expect("the head comes in one piece from a quick instance");
            head.extend_from_slice(&block[..end]);
            assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
            body += (read - end) as u64;
        } else {
            body += read as u64;
        }
    }
    body
}

#[test]
fn a_gibibyte_comes_down_to_a_reader_that_pauses_and_little_of_it_is_ever_held() {
    let _stage = alone();
    let instance = Instance::with(&["--size", &GIB.to_string(), "--service-time", "0ms"]);
    let node = Node::start(&[instance.address], "");
    let mut stream = http::connect(node.web).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    // A gateway that read on without being read from would hold all of it by now.
    pass(1.0);
    assert_eq!(count_body(&mut stream, GIB), GIB);
    let peak = node.memory_peak();
    assert!(peak < 20 * MIB, "{peak} bytes were resident");
}

#[test]
fn a_gibibyte_goes_up_and_comes_back_and_little_of_it_is_ever_held() {
    let _stage = alone();
    let instance = Instance::with(&["--service-time", "0ms"]);
    let node = Node::start(&[instance.address], "");
    let mut stream = http::connect(node.web).unwrap();
    let mut up = stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        write!(up, "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: {GIB}\r\n\r\n").unwrap();
        let block = vec![b'x'; 256 * 1024];
        (0..GIB / block.len() as u64).for_each(|_| up.write_all(&block).unwrap());
    });
    assert_eq!(count_body(&mut stream, GIB), GIB);
    writer.join().unwrap();
    let peak = node.memory_peak();
    assert!(peak < 20 * MIB, "{peak} bytes were resident");
}
