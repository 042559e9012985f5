//! A gateway between a caller and origins, all of them in this process, on sockets of their own.
//!
//! An origin is a function over a blocking socket, so that a test can write down byte by byte what an instance does. Every
//! wait ends after [`PATIENCE`]: a test that would hang fails.
//!
//! Whatever a test does is recorded, and decided again by the simulator's driver at its end: another decision fails it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_config::{Source, load};
use mainstay_core::{Bytes, Seed};
use mainstay_gateway::{Gateway, Recordings};
use mainstay_policy::recording::{Ending, Recording};
use mainstay_sim::replay::{End, replay};
use mainstay_telemetry::AccessLog;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long anything may take before it counts as hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A running gateway and the runtime that it was started on.
pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    /// Looked at when the gateway has gone, hence the last.
    _recorded: Recorded,
}

/// What the gateway of a test decides.
struct Recorded {
    recordings: Recordings,
    directory: TempDir,
}

impl Recorded {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let recordings = Recordings::into_directory(directory.path(), Bytes::mib(64), "test").unwrap();
        Self { recordings, directory }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let recordings = std::mem::replace(&mut self.recordings, Recordings::off());
        if std::thread::panicking() {
            return;
        }
        assert!(recordings.finish(PATIENCE), "the recording has no end");
        for file in std::fs::read_dir(self.directory.path()).unwrap() {
            let file = std::fs::read(file.unwrap().path()).unwrap();
            let replayed = replay(Recording::open(&file).unwrap());
            assert_eq!(replayed.end, End::Recording(Ending::Stopped), "{:#?}", replayed.difference);
        }
    }
}

/// Configuration for one service on these endpoints; `more` is appended to it.
pub(crate) fn config(endpoints: &[SocketAddr], more: &str) -> String {
    let list: Vec<_> = endpoints.iter().map(|address| format!("\"{address}\"")).collect();
    format!(
        "[node]\nworkers = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nservice = \"shop\"\n[service.shop]\nendpoints = [{}]\n{more}",
        list.join(", ")
    )
}

impl World {
    /// A gateway with this configuration.
    pub(crate) fn new(text: &str) -> Self {
        Self::logging(text, &AccessLog::off())
    }

    /// A gateway with this configuration and this access log.
    pub(crate) fn logging(text: &str, log: &AccessLog) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let config = Arc::new(parse(text));
        let recorded = Recorded::new();
        let started = Gateway::start_recorded(config, log, Seed::new(1), &recorded.recordings);
        let gateway = runtime.block_on(started).unwrap();
        let address = runtime.block_on(gateway.addresses())[0].1;
        Self { runtime, gateway, address, _recorded: recorded }
    }

    /// A gateway with default settings before `origin`.
    pub(crate) fn before(origin: &Origin) -> Self {
        Self::new(&config(&[origin.address], ""))
    }

    /// A caller's connection.
    pub(crate) fn connect(&self) -> Caller {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Caller { reader: BufReader::new(stream) }
    }

    /// As [`World::connect`], of a caller at another address of this machine.
    pub(crate) fn connect_from(&self, address: [u8; 4]) -> Caller {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Caller { reader: BufReader::new(stream) }
    }

    /// Sends `request` on a connection of its own and reads the answer.
    pub(crate) fn ask(&self, request: &str) -> Answer {
        let mut caller = self.connect();
        caller.send(request);
        caller.answer()
    }

    /// Callers' connections that are open.
    pub(crate) fn open_connections(&self) -> u64 {
        self.runtime.block_on(self.gateway.connections()).iter().map(|(_, open)| open).sum()
    }

    /// Attempts that the metrics count.
    pub(crate) fn attempts(&self) -> u64 {
        self.runtime.block_on(self.gateway.metrics()).attempts()
    }
}

/// The typed configuration that `text` means.
pub(crate) fn parse(text: &str) -> mainstay_config::Config {
    match load(&Source::new("test.toml", text)) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{}", problems.render(false)),
    }
}

/// A caller's end of a connection.
pub(crate) struct Caller {
    reader: BufReader<TcpStream>,
}

/// What a caller was answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Caller {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// The answer to a request other than HEAD.
    pub(crate) fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    /// The answer to a request with `method`.
    pub(crate) fn answer_to(&mut self, method: &str) -> Answer {
        let mut answer = self.head();
        let chunked = answer.field("transfer-encoding") == Some("chunked");
        let length = answer.field("content-length").map(|length| length.parse().unwrap());
        if method == "HEAD" || matches!(answer.status, 100..200 | 204 | 304) {
            return answer;
        }
        if chunked {
            (answer.body, answer.trailers) = read_chunked(&mut self.reader);
        } else if let Some(length) = length {
            answer.body = vec![0; length];
            self.reader.read_exact(&mut answer.body).unwrap();
        } else {
            self.reader.read_to_end(&mut answer.body).unwrap();
        }
        answer
    }

    /// Only the head of an answer.
    pub(crate) fn head(&mut self) -> Answer {
        let (line, fields) = read_head(&mut self.reader).expect("a head");
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("{line}")).parse().unwrap();
        Answer { status, fields, body: Vec::new(), trailers: Vec::new() }
    }

    /// Whether the gateway has closed, and nothing came before.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    /// Everything up to the end, and whether that was a reset.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut got = Vec::new();
        let end = self.reader.read_to_end(&mut got);
        (got, end.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset))
    }

    pub(crate) fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.reader.read(bytes)
    }
}

/// A server that does what a test says.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    /// Connections accepted.
    pub(crate) connections: Arc<AtomicUsize>,
    /// Requests read by [`Instance::request`].
    pub(crate) requests: Arc<AtomicUsize>,
}

/// An origin's end of a connection.
pub(crate) struct Instance {
    pub(crate) reader: BufReader<TcpStream>,
    requests: Arc<AtomicUsize>,
}

/// What an origin was asked.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Origin {
    /// An origin that treats each connection, numbered from 0, as `act` says.
    pub(crate) fn new(act: impl Fn(usize, Instance) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let act = Arc::new(act);
        let (counted, asked) = (Arc::clone(&connections), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let number = counted.fetch_add(1, Ordering::SeqCst);
                let instance = Instance { reader: BufReader::new(stream), requests: Arc::clone(&asked) };
                let act = Arc::clone(&act);
                std::thread::spawn(move || act(number, instance));
            }
        });
        Self { address, connections, requests }
    }

    /// An origin that answers every request with `answer`, on connections that it keeps.
    pub(crate) fn answering(answer: &'static str) -> Self {
        Self::new(move |_, mut instance| {
            while instance.request().is_some() {
                instance.send(answer);
            }
        })
    }

    /// An address where nobody listens.
    pub(crate) fn nowhere() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }
}

impl Instance {
    /// The next request with its body; `None` when the gateway has closed.
    pub(crate) fn request(&mut self) -> Option<Request> {
        let mut request = self.head()?;
        if request.field("transfer-encoding") == Some("chunked") {
            (request.body, request.trailers) = read_chunked(&mut self.reader);
        } else if let Some(length) = request.field("content-length") {
            request.body = vec![0; length.parse().unwrap()];
            self.reader.read_exact(&mut request.body).unwrap();
        }
        Some(request)
    }

    /// The next request's head.
    pub(crate) fn head(&mut self) -> Option<Request> {
        let (line, fields) = read_head(&mut self.reader)?;
        self.requests.fetch_add(1, Ordering::SeqCst);
        Some(Request { line, fields, body: Vec::new(), trailers: Vec::new() })
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A gateway that has given the attempt up does not read it.
        let _ = self.reader.get_mut().write_all(bytes.as_ref());
    }

    /// Waits until the gateway closes.
    pub(crate) fn wait_for_close(&mut self) {
        let mut rest = Vec::new();
        let _ = self.reader.read_to_end(&mut rest);
    }
}

type Fields = Vec<(String, String)>;

fn read_head(reader: &mut impl BufRead) -> Option<(String, Fields)> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    Some((line.trim_end().to_owned(), read_fields(reader)))
}

fn read_fields(reader: &mut impl BufRead) -> Fields {
    let mut fields = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else { return fields };
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn read_chunked(reader: &mut impl BufRead) -> (Vec<u8>, Fields) {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap_or_else(|_| panic!("a chunk's size: {line:?}"));
        if size == 0 {
            return (body, read_fields(reader));
        }
        let start = body.len();
        body.resize(start + size + 2, 0);
        reader.read_exact(&mut body[start..]).unwrap();
        assert_eq!(&body[start + size..], b"\r\n");
        body.truncate(start + size);
    }
}
