//! One HTTP/1.1 exchange at a time, as a caller: what the load generator, the admin client and the demo ask with.
//!
//! Whether a gateway answers rightly is judged by what stands here, so it shares no code with the gateway: one mistake
//! in one codec would otherwise be made on both sides and be seen on neither. It understands what an answer's framing
//! can be (RFC 9112, section 6.3: no body, a length, chunked, until the end) and nothing more, takes no more than
//! 64 KiB of head, and keeps no more of a body than it was asked to.

use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes of a head that are read before the answer counts as malformed.
const HEAD_MAX: usize = 64 * 1024;

/// How an exchange failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// Nobody listens there.
    Refused,
    /// There is no way there.
    Unreachable,
    /// The connection ended before the answer did.
    Reset,
    /// The answer is not HTTP/1.1, and this is what is wrong with it.
    Malformed(&'static str),
    /// The time given was over first.
    Timeout,
}

impl WireError {
    /// The word for a table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::Malformed(_) => "malformed",
            Self::Timeout => "timeout",
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "the answer is not HTTP: {what}"),
            other => f.write_str(other.as_str()),
        }
    }
}

/// An answer, with as much of its body as was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// The beginning of its body.
    pub body: Vec<u8>,
}

/// A connection that carries one exchange after the other.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    held: Vec<u8>,
    used: usize,
    open: bool,
}

impl Connection {
    /// Connects to `address` (a host and a port).
    pub async fn open(address: &str) -> Result<Self, WireError> {
        let stream = TcpStream::connect(address).await.map_err(|error| match error.kind() {
            ErrorKind::ConnectionRefused => WireError::Refused,
            ErrorKind::TimedOut => WireError::Timeout,
            _ => WireError::Unreachable,
        })?;
        // Without this a request that follows another waits for an acknowledgement; failing only makes it slower.
        let _ = stream.set_nodelay(true);
        Ok(Self { stream, held: Vec::with_capacity(4096), used: 0, open: true })
    }

    /// Whether another exchange may follow.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether the other side has closed or spoken unasked while the connection was idle.
    pub fn is_stale(&self) -> bool {
        let mut byte = [0];
        !matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Writes `request` (head and body as they stand) and reads its answer, keeping `keep` bytes of the body.
    pub async fn exchange(&mut self, request: &[u8], keep: usize) -> Result<Answer, WireError> {
        // Whoever gives up waiting leaves half an answer behind: the connection is closed unless this ends well.
        self.open = false;
        self.stream.write_all(request).await.map_err(|_| WireError::Reset)?;
        let head = self.final_head().await?;
        let mut answer = Answer { status: head.status, body: Vec::new() };
        match head.framing {
            Framing::Length(_) | Framing::Chunked if request.starts_with(b"HEAD ") => {}
            Framing::Length(length) => self.take(length, keep, &mut answer.body).await?,
            Framing::Chunked => self.chunks(keep, &mut answer.body).await?,
            Framing::UntilEnd => self.until_end(keep, &mut answer.body).await?,
        }
        self.open = head.keep_alive && self.used == self.held.len();
        Ok(answer)
    }

    /// The first head that is not an interim answer.
    async fn final_head(&mut self) -> Result<Head, WireError> {
        loop {
            let block = self.head_block().await?;
            let head = Head::parse(&block)?;
            if !(100..200).contains(&head.status) {
                return Ok(head);
            }
        }
    }

    async fn head_block(&mut self) -> Result<Vec<u8>, WireError> {
        let mut searched: usize = 0;
        loop {
            let from = self.used + searched.saturating_sub(3);
            if let Some(at) = self.held[from..].windows(4).position(|four| four == b"\r\n\r\n") {
                let end = from + at + 4;
                let block = self.held[self.used..end].to_vec();
                self.used = end;
                return Ok(block);
            }
            if self.held.len() - self.used > HEAD_MAX {
                return Err(WireError::Malformed("its head does not end"));
            }
            // What does not even begin like an answer is told apart from a long head at once.
            let begun = &self.held[self.used..];
            if !b"HTTP/1.".starts_with(&begun[..begun.len().min(7)]) {
                return Err(WireError::Malformed("it does not begin with HTTP/1"));
            }
            searched = self.held.len() - self.used;
            self.more().await?;
        }
    }

    /// Reads on; the end of the connection is an error.
    async fn more(&mut self) -> Result<(), WireError> {
        if self.used > 0 {
            self.held.drain(..self.used);
            self.used = 0;
        }
        match self.stream.read_buf(&mut self.held).await {
            Ok(0) | Err(_) => Err(WireError::Reset),
            Ok(_) => Ok(()),
        }
    }

    async fn take(&mut self, mut length: u64, keep: usize, body: &mut Vec<u8>) -> Result<(), WireError> {
        while length > 0 {
            if self.used == self.held.len() {
                self.more().await?;
            }
            let there = (self.held.len() - self.used).min(usize::try_from(length).unwrap_or(usize::MAX));
            let room = keep.saturating_sub(body.len()).min(there);
            body.extend_from_slice(&self.held[self.used..self.used + room]);
            self.used += there;
            length -= there as u64;
        }
        Ok(())
    }

    async fn chunks(&mut self, keep: usize, body: &mut Vec<u8>) -> Result<(), WireError> {
        loop {
            let line = self.line().await?;
            let digits = line.split(';').next().unwrap_or("").trim();
            let length = u64::from_str_radix(digits, 16).map_err(|_| WireError::Malformed("a chunk has no length"))?;
            if length == 0 {
                break;
            }
            self.take(length, keep, body).await?;
            if !self.line().await?.is_empty() {
                return Err(WireError::Malformed("a chunk is longer than it says"));
            }
        }
        while !self.line().await?.is_empty() {}
        Ok(())
    }

    async fn line(&mut self) -> Result<String, WireError> {
        loop {
            let rest = &self.held[self.used..];
            if let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&rest[..end]).into_owned();
                self.used += end + 2;
                return Ok(line);
            }
            if rest.len() > HEAD_MAX {
                return Err(WireError::Malformed("a line does not end"));
            }
            self.more().await?;
        }
    }

    async fn until_end(&mut self, keep: usize, body: &mut Vec<u8>) -> Result<(), WireError> {
        loop {
            let there = (self.held.len() - self.used) as u64;
            self.take(there, keep, body).await?;
            if self.more().await.is_err() {
                return Ok(());
            }
        }
    }
}

/// How long an answer's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilEnd,
}

/// What an answer's head says about the connection.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    framing: Framing,
    keep_alive: bool,
}

impl Head {
    fn parse(block: &[u8]) -> Result<Self, WireError> {
        let text = std::str::from_utf8(block).map_err(|_| WireError::Malformed("its head is not text"))?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or("");
        let status = status_of(first).ok_or(WireError::Malformed("its status line"))?;
        let mut head = Self { status, framing: Framing::UntilEnd, keep_alive: first.starts_with("HTTP/1.1 ") };
        for line in lines.take_while(|line| !line.is_empty()) {
            head.field(line)?;
        }
        if matches!(status, 100..=199 | 204 | 304) {
            head.framing = Framing::Length(0);
        }
        head.keep_alive &= head.framing != Framing::UntilEnd;
        Ok(head)
    }

    fn field(&mut self, line: &str) -> Result<(), WireError> {
        let (name, value) = line.split_once(':').ok_or(WireError::Malformed("a header without a colon"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") && self.framing != Framing::Chunked {
            let length = value.parse().map_err(|_| WireError::Malformed("its content-length"))?;
            self.framing = Framing::Length(length);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            self.keep_alive = false;
        }
        Ok(())
    }
}

fn status_of(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    let digits = rest.split(' ').next()?;
    digits.parse().ok().filter(|status| (100..=999).contains(status) && digits.len() == 3)
}

/// Waits for an exchange no longer than `wait`.
pub async fn within<T>(wait: Duration, exchange: impl Future<Output = Result<T, WireError>>) -> Result<T, WireError> {
    tokio::time::timeout(wait, exchange).await.unwrap_or(Err(WireError::Timeout))
}

/// One request on a connection of its own, in at most `wait`.
pub async fn once(address: &str, request: &[u8], wait: Duration, keep: usize) -> Result<Answer, WireError> {
    within(wait, async {
        let mut connection = Connection::open(address).await?;
        connection.exchange(request, keep).await
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// What a caller makes of `answer` when it stands on the wire as it is.
    fn check(request: &'static str, answer: &'static str) -> Result<(u16, String, bool), WireError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            });
            let mut connection = Connection::open(&address).await?;
            let answer = connection.exchange(request.as_bytes(), 100).await?;
            server.await.unwrap();
            Ok((answer.status, String::from_utf8(answer.body).unwrap(), connection.is_open()))
        })
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        let get = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        let ok = |body: &str, open| Ok((200, body.to_owned(), open));
        assert_eq!(check(get, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"), ok("hi", true));
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n1\r\n!\r\n0\r\nx: y\r\n\r\n";
        assert_eq!(check(get, chunked), ok("hi!", true));
        assert_eq!(check(get, "HTTP/1.1 200 OK\r\n\r\nhi"), ok("hi", false));
        assert_eq!(
            check("HEAD / HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"),
            ok("", true)
        );
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(check(get, interim), ok("", true));
    }

    #[tokio::test]
    async fn one_exchange_follows_another_on_the_same_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for body in ["one", "two", "six"] {
                let mut request = [0; 1024];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let mut connection = Connection::open(&address).await.unwrap();
        for body in ["one", "two", "six"] {
            let answer = connection.exchange(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", 100).await.unwrap();
            assert_eq!((answer.status, answer.body.as_slice(), connection.is_open()), (200, body.as_bytes(), true));
        }
        server.await.unwrap();
    }

    #[test]
    fn an_answer_that_breaks_off_or_is_not_http_is_told_apart() {
        let get = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        assert_eq!(check(get, ""), Err(WireError::Reset));
        assert_eq!(check(get, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi"), Err(WireError::Reset));
        assert!(matches!(check(get, "lorem ipsum"), Err(WireError::Malformed(_))));
        assert!(matches!(check(get, "HTTP/1.1 2x0 OK\r\n\r\n"), Err(WireError::Malformed(_))));
        assert!(matches!(
            check(get, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n"),
            Err(WireError::Malformed(_))
        ));
    }

    #[test]
    fn bytes_after_the_answer_end_the_use_of_the_connection() {
        let (_, _, open) =
            check("GET / HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi there").unwrap();
        assert!(!open);
    }
}
