//! How a client speaks to a member: etcd's API in JSON, on a connection that is kept.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// Why there is no answer that tells what became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It may have been carried out.
    Unknown(String),
    /// It certainly was not, and never will be.
    Refused(String),
}

/// What the store says when a request has certainly not been carried out.
const REFUSALS: [&str; 3] =
    ["etcdserver: no leader", "etcdserver: too many requests", "etcdserver: mvcc: database space exceeded"];

/// The bytes of a text as the API takes them.
pub(crate) fn encoded(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

/// A text as the API gives it.
pub(crate) fn decoded(value: &Value) -> Option<String> {
    String::from_utf8(BASE64_STANDARD.decode(value.as_str()?).ok()?).ok()
}

/// A number of 64 bits as the API gives it.
pub(crate) fn number(value: &Value) -> i64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A client's connection to one member, made when it is needed.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    patience: Duration,
    stream: Option<TcpStream>,
}

impl Connection {
    pub(crate) fn new(address: SocketAddr, patience: Duration) -> Self {
        Self { address, patience, stream: None }
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, path: &str, body: &Value) -> Result<Value, Failed> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.address, self.patience).map_err(|error| Failed::Refused(error.to_string()))?,
        };
        let until = Instant::now() + self.patience;
        let exchanged =
            send(&mut stream, self.address, path, &body.to_string()).and_then(|()| answer(&mut stream, until));
        let (status, text) = exchanged.map_err(|error| Failed::Unknown(error.to_string()))?;
        self.stream = Some(stream);
        let said: Value = serde_json::from_str(&text).map_err(|error| Failed::Unknown(error.to_string()))?;
        if status == 200 {
            return Ok(said);
        }
        let why = said["message"].as_str().unwrap_or_default().to_owned();
        // What is wrong with the request itself has been carried out by nobody.
        let certain = REFUSALS.contains(&why.as_str()) || matches!(status, 400 | 404 | 412);
        Err(if certain { Failed::Refused(why) } else { Failed::Unknown(why) })
    }
}

fn connect(address: SocketAddr, patience: Duration) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

fn send(stream: &mut TcpStream, address: SocketAddr, path: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}"
    );
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes())
}

/// Status and body of an answer.
fn answer(stream: &mut TcpStream, until: Instant) -> std::io::Result<(u16, String)> {
    let mut body = Body::default();
    loop {
        if let Some(status) = body.status
            && body.ended
        {
            let text = String::from_utf8(body.whole).map_err(std::io::Error::other)?;
            return Ok((status, text));
        }
        if Instant::now() > until {
            return Err(ErrorKind::TimedOut.into());
        }
        body.read(stream)?;
    }
}

/// An answer that comes in.
#[derive(Debug, Default)]
struct Body {
    come: Vec<u8>,
    status: Option<u16>,
    /// What its head says of its length; none where it comes in pieces.
    length: Option<usize>,
    whole: Vec<u8>,
    ended: bool,
}

impl Body {
    /// Takes in what has come.
    fn read(&mut self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut buffer = [0; 16 << 10];
        match stream.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => self.come.extend_from_slice(&buffer[..read]),
        }
        self.take();
        Ok(())
    }

    fn take(&mut self) {
        if self.status.is_none() {
            let Some(end) = find(&self.come, b"\r\n\r\n") else { return };
            let head = String::from_utf8_lossy(&self.come[..end]).to_ascii_lowercase();
            self.come.drain(..end + 4);
            self.status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).or(Some(0));
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            self.length = length.and_then(|length| length.trim().parse().ok());
        }
        if let Some(length) = self.length {
            self.whole.append(&mut self.come);
            self.ended = self.whole.len() >= length;
            return;
        }
        while let Some(end) = find(&self.come, b"\r\n") {
            let length = usize::from_str_radix(&String::from_utf8_lossy(&self.come[..end]), 16).unwrap_or(0);
            if self.come.len() < end + 2 + length + 2 {
                return;
            }
            self.whole.extend_from_slice(&self.come[end + 2..end + 2 + length]);
            self.come.drain(..end + 2 + length + 2);
            self.ended = length == 0;
        }
    }
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len()).position(|window| window == what)
}

/// An answer of many lines, each of which is a message.
#[derive(Debug)]
pub(crate) struct Stream {
    stream: TcpStream,
    body: Body,
}

impl Stream {
    /// Asks for it. Whoever reads it looks up from time to time, after `look`.
    pub(crate) fn open(address: SocketAddr, path: &str, body: &Value, look: Duration) -> std::io::Result<Self> {
        let mut stream = connect(address, Duration::from_secs(2))?;
        send(&mut stream, address, path, &body.to_string())?;
        stream.set_read_timeout(Some(look))?;
        Ok(Self { stream, body: Body::default() })
    }

    /// The next message; none if none has come in a while.
    pub(crate) fn next(&mut self) -> std::io::Result<Option<Value>> {
        loop {
            if let Some(end) = find(&self.body.whole, b"\n") {
                let line: Vec<u8> = self.body.whole.drain(..=end).collect();
                return serde_json::from_slice(&line).map(Some).map_err(std::io::Error::other);
            }
            if self.body.ended {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            match self.body.read(&mut self.stream) {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}
