//! What the tests need of a world: instances, a node with its file, and a client.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use mainstay_node::{ConfigFile, Node, StartError};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Longer than anything here takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// An instance that answers every request with 200 once `gate` has a permit for it.
pub(crate) async fn instance(gate: &'static Semaphore) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_all(stream, gate));
        }
    });
    address
}

async fn answer_all(mut stream: TcpStream, gate: &'static Semaphore) {
    let mut heard = Vec::new();
    loop {
        while !heard.ends_with(b"\r\n\r\n") {
            match stream.read_buf(&mut heard).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        heard.clear();
        gate.acquire().await.unwrap().forget();
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err() {
            return;
        }
    }
}

/// An instance that is always ready to answer.
pub(crate) async fn ready_instance() -> SocketAddr {
    instance(Box::leak(Box::new(Semaphore::new(1 << 20)))).await
}

/// The configuration of a node in front of `instances`, and what else is to stand in it.
pub(crate) fn text(instances: &[SocketAddr], more: &str) -> String {
    let endpoints: Vec<_> = instances.iter().map(|address| format!("\"{address}\"")).collect();
    format!(
        "[node]\nworkers = 1\n[admin]\naddress = \"127.0.0.1:0\"\nprobe = \"127.0.0.1:0\"\n\
         [log]\nlevel = \"error\"\naccess = false\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n[[route]]\nservice = \"shop\"\n\
         [service.shop]\nendpoints = [{}]\n{more}",
        endpoints.join(", ")
    )
}

/// A configuration in a directory of its own.
pub(crate) struct File {
    path: PathBuf,
    _directory: TempDir,
}

impl File {
    pub(crate) fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = Self { path: directory.path().join("mainstay.toml"), _directory: directory };
        file.write(text);
        file
    }

    pub(crate) fn write(&self, text: &str) {
        std::fs::write(&self.path, text).unwrap();
    }

    pub(crate) async fn start(&self) -> Result<Node, StartError> {
        let file = ConfigFile::new(&self.path, Vec::new());
        let loaded = file.load().unwrap_or_else(|error| panic!("{error}"));
        Node::start(loaded, file).await
    }
}

/// Where a node listens.
#[derive(Clone, Copy)]
pub(crate) struct At {
    pub(crate) web: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) probe: SocketAddr,
}

pub(crate) fn at(node: &Node) -> At {
    At { web: node.addresses()[0].1, admin: node.admin_address(), probe: node.probe_address().unwrap() }
}

/// One exchange on a connection of its own: the status and the body.
pub(crate) async fn ask(to: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {to}\r\nx-request-id: test-{length}{method}\r\n");
    let text = format!("{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
    let exchange = async {
        let mut stream = TcpStream::connect(to).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap()
}

pub(crate) async fn get(to: SocketAddr, path: &str) -> (u16, String) {
    ask(to, "GET", path, "").await
}

pub(crate) async fn json(to: SocketAddr, path: &str) -> Value {
    let (status, body) = get(to, path).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// Asks `question` again and again until it is answered with yes.
pub(crate) async fn until(what: &str, question: impl AsyncFn() -> bool) {
    let asking = async {
        while !question().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, asking).await.is_ok(), "in vain: {what}");
}
