//! What the access log says of a request.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use mainstay_telemetry::{AccessLog, LineFormat};

use crate::world::{Origin, PATIENCE, World, config};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Lines that were written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The answer's status and the line that is written of `request`.
fn logged(text: &str, request: &str) -> (u16, String, World) {
    let lines = Lines::default();
    let log = AccessLog::start(Box::new(lines.clone()), LineFormat::Json).unwrap();
    let world = World::logging(text, &log);
    let status = world.ask(request).status;
    let began = Instant::now();
    loop {
        let line = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        if line.ends_with('\n') {
            return (status, line, world);
        }
        assert!(began.elapsed() < PATIENCE, "no line was written");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Where the attempts of a line went and how they ended.
fn tries(line: &str) -> Vec<(&str, &str)> {
    let Some((_, list)) = line.split_once("\"tries\":[") else { return Vec::new() };
    let values = |entry| Some((value(entry, "endpoint")?, value(entry, "result")?));
    list.split('}').filter_map(values).collect()
}

fn value<'a>(entry: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = entry.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next()
}

#[test]
fn the_attempts_of_a_fallback_are_in_the_line_of_its_call() {
    let (closed, lite) = (Origin::nowhere(), Origin::answering(OK));
    let more =
        format!("[service.shop.fallback]\nservice = \"lite\"\n[service.lite]\nendpoints = [\"{}\"]\n", lite.address);
    let (status, line, world) = logged(&config(&[closed], &more), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (closed, lite) = (closed.to_string(), lite.address.to_string());
    assert_eq!(status, 200);
    let refused = (closed.as_str(), "refused");
    assert_eq!(tries(&line), [refused, refused, refused, (lite.as_str(), "success")], "{line}");
    assert!(line.contains(&format!("\"endpoint\":\"{lite}\",\"attempts\":4,\"status\":200")), "{line}");
    assert_eq!(world.attempts(), 4);
}

#[test]
fn the_fallback_of_a_fallback_stands_last() {
    let (first, second, last) = (Origin::nowhere(), Origin::nowhere(), Origin::answering(OK));
    let more = format!(
        "retry = \"off\"\n[service.shop.fallback]\nservice = \"b\"\n\
         [service.b]\nretry = \"off\"\nendpoints = [\"{second}\"]\n[service.b.fallback]\nservice = \"c\"\n\
         [service.c]\nendpoints = [\"{}\"]\n",
        last.address
    );
    let (status, line, world) = logged(&config(&[first], &more), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let (first, second, last) = (first.to_string(), second.to_string(), last.address.to_string());
    assert_eq!(status, 200);
    let told = [(first.as_str(), "refused"), (second.as_str(), "refused"), (last.as_str(), "success")];
    assert_eq!(tries(&line), told, "{line}");
    assert_eq!(world.attempts(), 3);
}

#[test]
fn what_was_wrong_with_a_request_is_told_by_its_name() {
    let origin = Origin::answering(OK);
    let text = config(&[origin.address], "[limits]\nbody = \"8B\"\n");
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (status, line, _) = logged(&text, &format!("{head}9\r\n123456789\r\n0\r\n\r\n"));
    assert_eq!(status, 413);
    assert!(line.contains("\"end\":\"body_too_large\",\"origin\":\"client\""), "{line}");
    let (status, line, _) = logged(&text, &format!("{head}zz\r\n"));
    assert_eq!(status, 400);
    assert!(!line.contains("caller_left") && line.contains("\"origin\":\"client\""), "{line}");
    let slow = text.replace("[[route]]\n", "[[route]]\ntimeout = \"100ms\"\n");
    let (status, line, _) = logged(&slow, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    assert_eq!(status, 408);
    assert!(
        line.contains("\"attempts\":0") && line.contains("\"end\":\"slow_request\",\"origin\":\"client\""),
        "{line}"
    );
}
