//! An origin that reads to the letter of RFC 9112 and says in each answer what it read.
//!
//! It shares no line with the gateway's codec. What it cannot read strictly it writes down as an offence, for nothing
//! that the gateway sends may need leniency.

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) host: String,
    /// `none`, `length N` or `chunked`.
    pub(super) framing: String,
    pub(super) body: Vec<u8>,
    pub(super) fields: Vec<(String, String)>,
    pub(super) trailers: Vec<(String, String)>,
}

impl Seen {
    /// `POST /a @host length 5 'hello' (sum: 1)`.
    pub(super) fn told(&self) -> String {
        let data = if self.body.is_empty() { String::new() } else { format!(" '{}'", self.body.escape_ascii()) };
        let trailers: String = self.trailers.iter().map(|(name, value)| format!(" ({name}: {value})")).collect();
        format!("{} {} @{} {}{data}{trailers}", self.method, self.target, self.host, self.framing)
    }
}

/// What reached an origin, in order.
#[derive(Debug, Default)]
struct Books {
    seen: Vec<Seen>,
    offences: Vec<String>,
}

/// A listening origin.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    books: Arc<Mutex<Books>>,
}

impl Origin {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let books = Arc::new(Mutex::new(Books::default()));
        let shared = Arc::clone(&books);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let books = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &books));
            }
        });
        Self { address, books }
    }

    /// What was read since the last time, and what could not be read strictly.
    pub(super) fn take(&self) -> (Vec<Seen>, Vec<String>) {
        let mut books = self.books.lock().unwrap();
        (std::mem::take(&mut books.seen), std::mem::take(&mut books.offences))
    }
}

fn serve(stream: TcpStream, books: &Mutex<Books>) {
    let mut reader = BufReader::new(stream);
    loop {
        match request(&mut reader) {
            Ok(None) => return,
            Ok(Some(seen)) => {
                let told = seen.told();
                books.lock().unwrap().seen.push(seen);
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Read: {told}\r\n\r\n");
                let body = if told.starts_with("HEAD ") { "" } else { "ok" };
                if reader.get_mut().write_all(format!("{answer}{body}").as_bytes()).is_err() {
                    return;
                }
            }
            Err(offence) => {
                books.lock().unwrap().offences.push(offence);
                return;
            }
        }
    }
}

/// The requests that a strict reader finds in `bytes`, up to what it cannot read.
pub(super) fn read_all(mut bytes: &[u8]) -> Vec<Seen> {
    let mut all = Vec::new();
    while let Ok(Some(seen)) = request(&mut bytes) {
        all.push(seen);
    }
    all
}

type Lines = Vec<(String, String)>;

/// The next request; `None` when the connection has ended before one.
fn request(reader: &mut impl Read) -> Result<Option<Seen>, String> {
    let Some(line) = line(reader)? else { return Ok(None) };
    let words: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else { return Err(format!("the request line {line:?}")) };
    let fields = fields(reader)?;
    let (hosts, lengths, codings) =
        (values(&fields, "host"), values(&fields, "content-length"), values(&fields, "transfer-encoding"));
    let [host] = hosts[..] else { return Err(format!("{} hosts", hosts.len())) };
    let mut seen = Seen { method: method.into(), target: target.into(), host: host.into(), ..Seen::default() };
    match (&lengths[..], &codings[..]) {
        ([], []) => seen.framing = "none".into(),
        ([length], []) if !length.is_empty() && length.bytes().all(|digit| digit.is_ascii_digit()) => {
            seen.body = exactly(reader, length.parse().map_err(|_| format!("the length {length}"))?)?;
            seen.framing = format!("length {}", seen.body.len());
        }
        ([], ["chunked"]) => {
            (seen.body, seen.trailers) = chunks(reader)?;
            seen.framing = "chunked".into();
        }
        other => return Err(format!("the framing {other:?}")),
    }
    seen.fields = fields;
    Ok(Some(seen))
}

fn values<'a>(fields: &'a Lines, name: &str) -> Vec<&'a str> {
    fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str()).collect()
}

fn chunks(reader: &mut impl Read) -> Result<(Vec<u8>, Lines), String> {
    let mut body = Vec::new();
    loop {
        let size = line(reader)?.ok_or("chunks without an end")?;
        if size.is_empty() || !size.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(format!("the chunk size {size:?}"));
        }
        let size = usize::from_str_radix(&size, 16).map_err(|_| format!("the chunk size {size}"))?;
        if size == 0 {
            return Ok((body, fields(reader)?));
        }
        body.extend(exactly(reader, size)?);
        if exactly(reader, 2)? != b"\r\n" {
            return Err("a chunk that does not end".into());
        }
    }
}

fn fields(reader: &mut impl Read) -> Result<Lines, String> {
    let mut fields = Vec::new();
    loop {
        let line = line(reader)?.ok_or("a head without an end")?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = line.split_once(':').ok_or_else(|| format!("the field {line:?}"))?;
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return Err(format!("the field name {name:?}"));
        }
        fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
}

/// A line that ends in CRLF and holds no other control character than the tab; `None` at the end of the connection.
fn line(reader: &mut impl Read) -> Result<Option<String>, String> {
    let mut text = Vec::new();
    loop {
        let mut byte = [0];
        match reader.read(&mut byte) {
            Ok(1) => text.push(byte[0]),
            _ if text.is_empty() => return Ok(None),
            _ => return Err(format!("{:?} and then the end", text.escape_ascii().to_string())),
        }
        if let Some(line) = text.strip_suffix(b"\r\n") {
            return Ok(Some(line.iter().map(|byte| char::from(*byte)).collect()));
        }
        let [.., before, last] = &text[..] else { continue };
        if *last == b'\n' || *before == b'\r' || (before.is_ascii_control() && *before != b'\t') {
            return Err(format!("a stray control character in {:?}", text.escape_ascii().to_string()));
        }
    }
}

fn exactly(reader: &mut impl Read, length: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = reader.by_ref().take(length as u64).read_to_end(&mut bytes);
    match read {
        Ok(read) if read == length => Ok(bytes),
        other => Err(format!("{length} bytes: {other:?}")),
    }
}
