//! A store behind a port, and those who ask it.
//!
//! A store has one member, or as many as `MAINSTAY_STORE_MEMBERS` says; of several, one that does not lead answers.

use std::net::SocketAddr;

use futures_util::{StreamExt as _, stream};
use mainstay_store::etcd::wire::etcdserverpb as pb;
use mainstay_store::etcd::wire::etcdserverpb::watch_request::RequestUnion;
use mainstay_store::etcd::{Settings, prefix_end, serve};
use pb::kv_client::KvClient;
use pb::lease_client::LeaseClient;
use pb::watch_client::WatchClient;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::stage::Cluster;
pub(crate) use crate::stage::PATIENCE;

/// A store that runs until it is dropped or stopped.
pub(crate) struct Store {
    pub(crate) address: SocketAddr,
    pub(crate) channel: Channel,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
    _members: Cluster,
}

/// A store as it comes.
pub(crate) async fn store() -> Store {
    store_with(Settings::default()).await
}

pub(crate) async fn store_with(settings: Settings) -> Store {
    let many = std::env::var("MAINSTAY_STORE_MEMBERS").ok().and_then(|many| many.parse().ok()).unwrap_or(1);
    let members = Cluster::of(many).await;
    let leader = members.leader().await;
    let asked = members.all().find(|(name, _)| many == 1 || **name != leader).unwrap().1.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(serve(asked, listener, settings, async { drop(stopped.await) }));
    Store { address, channel: channel(address).await, stop: Some(stop), served, _members: members }
}

pub(crate) async fn channel(to: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{to}")).unwrap().connect().await.unwrap()
}

impl Store {
    pub(crate) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }

    pub(crate) fn leases(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    /// Sets a key: the revision.
    pub(crate) async fn put(&self, key: &str, value: &str) -> i64 {
        self.kv().put(put(key, value)).await.unwrap().into_inner().header.unwrap().revision
    }

    pub(crate) async fn delete(&self, key: &str) -> i64 {
        self.kv().delete_range(delete(key)).await.unwrap().into_inner().header.unwrap().revision
    }

    pub(crate) async fn get(&self, key: &str) -> pb::RangeResponse {
        self.kv().range(get(key)).await.unwrap().into_inner()
    }

    pub(crate) async fn compact(&self, revision: i64) {
        self.kv().compact(pb::CompactionRequest { revision, physical: true }).await.unwrap();
    }

    /// A stream of watches that has begun with these.
    pub(crate) async fn watch(&self, creates: impl IntoIterator<Item = pb::WatchCreateRequest>) -> Watches {
        Watches::open(self.channel.clone(), creates).await
    }

    /// Posts JSON: the code and what was answered.
    pub(crate) async fn post(&self, path: &str, json: &str) -> (u16, Value) {
        let (code, text) = http(self.address, "POST", path, json).await;
        (code, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Stops it as an operator does, and waits.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        tokio::time::timeout(PATIENCE, self.served).await.unwrap().unwrap();
    }
}

pub(crate) fn put(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() }
}

pub(crate) fn get(key: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: key.to_owned().into(), ..Default::default() }
}

/// All keys between, the second not among them.
pub(crate) fn between(from: &str, end: &str) -> pb::RangeRequest {
    pb::RangeRequest { range_end: end.to_owned().into(), ..get(from) }
}

pub(crate) fn delete(key: &str) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest { key: key.to_owned().into(), ..Default::default() }
}

pub(crate) fn watch(key: &str) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest { key: key.to_owned().into(), ..Default::default() }
}

/// A watch of all keys that begin with this.
pub(crate) fn watch_prefix(prefix: &str) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest { range_end: prefix_end(prefix.as_bytes()), ..watch(prefix) }
}

pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.unwrap_err();
    (status.code(), status.message().to_owned())
}

/// A stream that sends what is put into the channel.
pub(crate) fn requests<T: Send + 'static>() -> (mpsc::Sender<T>, impl futures_util::Stream<Item = T> + Send + 'static) {
    let (to, from) = mpsc::channel(64);
    (to, stream::unfold(from, |mut from| async move { from.recv().await.map(|request| (request, from)) }))
}

/// A stream of watches.
pub(crate) struct Watches {
    to: mpsc::Sender<pb::WatchRequest>,
    from: Streaming<pb::WatchResponse>,
}

impl Watches {
    pub(crate) async fn open(to: Channel, creates: impl IntoIterator<Item = pb::WatchCreateRequest>) -> Self {
        let (sender, stream) = requests();
        for create in creates {
            let request = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
            sender.send(request).await.unwrap();
        }
        let from = WatchClient::new(to).watch(stream).await.unwrap().into_inner();
        Self { to: sender, from }
    }

    pub(crate) async fn ask(&self, request: RequestUnion) {
        self.to.send(pb::WatchRequest { request_union: Some(request) }).await.unwrap();
    }

    pub(crate) async fn create(&self, create: pb::WatchCreateRequest) {
        self.ask(RequestUnion::CreateRequest(create)).await;
    }

    pub(crate) async fn cancel(&self, watch_id: i64) {
        self.ask(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id })).await;
    }

    pub(crate) async fn progress(&self) {
        self.ask(RequestUnion::ProgressRequest(pb::WatchProgressRequest {})).await;
    }

    pub(crate) async fn next(&mut self) -> pb::WatchResponse {
        self.answer().await.unwrap().unwrap()
    }

    /// The next answer, or how the stream ends.
    pub(crate) async fn answer(&mut self) -> Option<Result<pb::WatchResponse, Status>> {
        tokio::time::timeout(PATIENCE, self.from.next()).await.expect("a watch that answers")
    }

    /// That a watch was opened: its id.
    pub(crate) async fn created(&mut self) -> i64 {
        let response = self.next().await;
        assert!(response.created && !response.canceled && response.events.is_empty(), "{response:?}");
        response.watch_id
    }

    /// The next events, as lines.
    pub(crate) async fn events(&mut self) -> Vec<String> {
        let response = self.next().await;
        assert!(!response.events.is_empty(), "{response:?}");
        response.events.iter().map(line).collect()
    }
}

/// An event as one line: what, key, value, revision.
pub(crate) fn line(event: &mainstay_store::etcd::wire::mvccpb::Event) -> String {
    let kv = event.kv.as_ref().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let what = if event.r#type == 1 { "del" } else { "put" };
    let was = event.prev_kv.as_ref().map(|was| format!(" was {}", text(&was.value))).unwrap_or_default();
    format!("{what} {}={} @{}{was}", text(&kv.key), text(&kv.value), kv.mod_revision)
}

/// One request of HTTP/1.1 on a connection of its own: the code and the body.
pub(crate) async fn http(to: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{text}"));
    (code, body.to_owned())
}
