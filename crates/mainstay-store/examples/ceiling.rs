//! What the gRPC layer alone can do on this machine: a service that answers at once and keeps nothing, behind the same
//! kind of connections as the store's; and a load for it, for a store, or for an etcd.
//!
//! ```sh
//! cargo build --release -p mainstay-store --example ceiling
//! target/release/examples/ceiling empty 127.0.0.1:3379 &
//! target/release/examples/ceiling load 127.0.0.1:3379 $! put 256 4 5
//! ```
//! The load's arguments: where, the process whose CPU time counts, `put` or `range`, clients, connections, seconds.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement that meets what it did not expect ends")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use mainstay_store::etcd::wire::etcdserverpb as pb;
use pb::kv_client::KvClient;
use pb::kv_server::{Kv, KvServer};
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, async_trait};

struct Empty;

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl Kv for Empty {
    async fn range(&self, request: Request<pb::RangeRequest>) -> Answer<pb::RangeResponse> {
        let kv = mainstay_store::etcd::wire::mvccpb::KeyValue {
            key: request.into_inner().key,
            value: VALUE.into(),
            create_revision: 1,
            mod_revision: 1,
            version: 1,
            lease: 0,
        };
        Ok(Response::new(pb::RangeResponse { header: header(), kvs: vec![kv], more: false, count: 1 }))
    }

    async fn put(&self, _: Request<pb::PutRequest>) -> Answer<pb::PutResponse> {
        Ok(Response::new(pb::PutResponse { header: header(), prev_kv: None }))
    }

    async fn delete_range(&self, _: Request<pb::DeleteRangeRequest>) -> Answer<pb::DeleteRangeResponse> {
        Err(Status::unimplemented(""))
    }

    async fn txn(&self, _: Request<pb::TxnRequest>) -> Answer<pb::TxnResponse> {
        Err(Status::unimplemented(""))
    }

    async fn compact(&self, _: Request<pb::CompactionRequest>) -> Answer<pb::CompactionResponse> {
        Err(Status::unimplemented(""))
    }
}

static VALUE: &[u8] = &[b'x'; 256];

fn header() -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { cluster_id: 1 << 60, member_id: 1 << 59, revision: 1_000_000, raft_term: 2 })
}

async fn empty(at: &str) {
    let listener = tokio::net::TcpListener::bind(at).await.unwrap();
    let service = KvServer::new(Empty);
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let service = service.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let mut service = service.clone();
                async move { Ok::<_, Infallible>(service.call(request.map(Body::new)).await.unwrap()) }
            });
            let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).max_concurrent_streams(4096);
            drop(builder.serve_connection(TokioIo::new(stream), answer).await);
        });
    }
}

/// A store of one member, with its data in a directory.
async fn store(at: &str, directory: &str) {
    let peers = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = mainstay_store::Settings::new("n1", directory);
    settings.peer = peers.local_addr().unwrap().to_string();
    settings.client = at.to_owned();
    let engine = mainstay_store::Engine::start(settings, peers).await.unwrap();
    let listener = tokio::net::TcpListener::bind(at).await.unwrap();
    mainstay_store::etcd::serve(engine, listener, Default::default(), std::future::pending()).await;
}

/// The CPU time of a process so far.
fn cpu(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

async fn ask(kv: &mut KvClient<Channel>, put: bool, key: String) {
    if put {
        let request = pb::PutRequest { key: key.into(), value: VALUE.into(), ..Default::default() };
        kv.put(request).await.unwrap();
    } else {
        kv.range(pb::RangeRequest { key: key.into(), ..Default::default() }).await.unwrap();
    }
}

async fn load(arguments: &[String]) {
    let [at, process, what, clients, connections, seconds] = arguments else { panic!("six arguments") };
    let (clients, connections): (usize, usize) = (clients.parse().unwrap(), connections.parse().unwrap());
    let put = what == "put";
    let mut channels = Vec::new();
    for _ in 0..connections {
        channels.push(Channel::from_shared(format!("http://{at}")).unwrap().connect().await.unwrap());
    }
    let until = Instant::now() + Duration::from_secs(seconds.parse().unwrap());
    let (before, begun) = (cpu(process), Instant::now());
    let done = Arc::new(AtomicU64::new(0));
    let callers = (0..clients).map(|client| {
        let (mut kv, done) = (KvClient::new(channels[client % connections].clone()), done.clone());
        tokio::spawn(async move {
            let mut number = 0_u64;
            while Instant::now() < until {
                ask(&mut kv, put, format!("key-{client}-{}", number % 100)).await;
                number += 1;
            }
            done.fetch_add(number, Ordering::Relaxed);
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let (took, used) = (begun.elapsed().as_secs_f64(), (cpu(process) - before).as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a count of calls")]
    let done = done.load(Ordering::Relaxed) as f64;
    println!("{what}: {:.0} per second, {:.0} per CPU second of the server", done / took, done / used);
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((mode, rest)) if mode == "empty" => empty(&rest[0]).await,
        Some((mode, rest)) if mode == "store" => store(&rest[0], &rest[1]).await,
        Some((mode, rest)) if mode == "load" => load(rest).await,
        _ => {
            panic!("empty ADDRESS, store ADDRESS DIRECTORY, or load ADDRESS PID put|range CLIENTS CONNECTIONS SECONDS")
        }
    }
}
