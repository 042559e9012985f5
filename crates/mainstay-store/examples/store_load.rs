//! Load for a store, as `cargo xtask bench store` puts it on ours and on etcd: so many clients, each of which asks again
//! as soon as it was answered. Prints one line of JSON.

#![allow(clippy::print_stdout, reason = "its result")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use futures_util::{StreamExt as _, stream};
use mainstay_store::etcd::wire::etcdserverpb::kv_client::KvClient;
use mainstay_store::etcd::wire::etcdserverpb::watch_client::WatchClient;
use mainstay_store::etcd::wire::etcdserverpb::watch_request::RequestUnion;
use mainstay_store::etcd::wire::etcdserverpb::{
    PutRequest, RangeRequest, WatchCreateRequest, WatchRequest, WatchResponse,
};
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

/// How many keys there are.
const KEYS: u64 = 10_000;

#[derive(Debug, Parser)]
struct Args {
    /// Where members are reached, HOST:PORT
    #[arg(long, value_delimiter = ',')]
    endpoints: Vec<String>,
    /// Clients that ask at the same time
    #[arg(long, default_value_t = 256)]
    clients: usize,
    /// Connections that they share
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// How long it is counted
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// How long it runs before it is counted
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// What they ask
    #[arg(long, value_enum, default_value_t = Ask::Put)]
    ask: Ask,
    /// Bytes of a value
    #[arg(long, default_value_t = 256)]
    value: usize,
    /// Watches that are open meanwhile, each of a key of its own that nobody puts, beside those that are put
    #[arg(long, default_value_t = 0)]
    watches: usize,
    /// Put so many keys, each once, and do nothing else
    #[arg(long)]
    fill: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ask {
    Put,
    Get,
    Serializable,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let mut channels = Vec::new();
    for number in 0..args.connections.min(args.clients) {
        let address = &args.endpoints[number % args.endpoints.len()];
        channels.push(Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect().await?);
    }
    if let Some(many) = args.fill {
        return fill(&channels, args.clients, many, args.value).await;
    }
    let _open = watches(&args).await?;
    let (counted, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut clients = Vec::new();
    for number in 0..args.clients {
        let channel = channels[number % channels.len()].clone();
        let (counted, ended) = (Arc::clone(&counted), Arc::clone(&ended));
        clients.push(tokio::spawn(client(channel, number as u64, args.ask, args.value, counted, ended)));
    }
    tokio::time::sleep(Duration::from_secs_f64(args.warm_up)).await;
    // Who measures the servers' time waits for this line.
    println!("counting");
    counted.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs_f64(args.seconds)).await;
    let took = begun.elapsed();
    println!("counted");
    ended.store(true, Ordering::Relaxed);
    let (mut micros, mut failed) = (Vec::new(), 0);
    for client in clients {
        let (took, failures) = client.await?;
        micros.extend(took);
        failed += failures;
    }
    micros.sort_unstable();
    let at = |share: f64| micros.get(((micros.len() as f64 * share) as usize).min(micros.len().saturating_sub(1)));
    println!(
        "{}",
        serde_json::json!({
            "answered": micros.len(),
            "failed": failed,
            "per_second": micros.len() as f64 / took.as_secs_f64(),
            "p50_ms": at(0.5).map(|micros| f64::from(*micros) / 1000.0),
            "p99_ms": at(0.99).map(|micros| f64::from(*micros) / 1000.0),
        })
    );
    Ok(())
}

/// Puts so many keys, each once.
async fn fill(channels: &[Channel], clients: usize, many: u64, value: usize) -> Result<(), Box<dyn std::error::Error>> {
    let next = Arc::new(AtomicU64::new(0));
    let value = bytes::Bytes::from(vec![b'v'; value]);
    let mut filling = tokio::task::JoinSet::new();
    for number in 0..clients {
        let (mut keys, next) = (KvClient::new(channels[number % channels.len()].clone()), Arc::clone(&next));
        let value = value.clone();
        filling.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= many {
                    return Ok(());
                }
                let key = bytes::Bytes::from(format!("full-{number:010}"));
                keys.put(PutRequest { key, value: value.clone(), ..PutRequest::default() }).await?;
            }
        });
    }
    while let Some(filled) = filling.join_next().await {
        filled?.map_err(|status: tonic::Status| status)?;
    }
    println!("{}", serde_json::json!({ "filled": many }));
    Ok(())
}

/// How many watches share a stream.
const WATCHES: usize = 1_000;

/// Opens the watches that are wanted, spread over the members; they end when what is returned is dropped.
async fn watches(args: &Args) -> Result<Vec<Streaming<WatchResponse>>, Box<dyn std::error::Error>> {
    let mut open = Vec::new();
    for first in (0..args.watches).step_by(WATCHES) {
        let address = &args.endpoints[open.len() % args.endpoints.len()];
        let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
        let last = (first + WATCHES).min(args.watches);
        let creates = (first..last).map(|number| {
            let create = WatchCreateRequest { key: format!("key-{number:08}-watched").into(), ..Default::default() };
            WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }
        });
        let creates = stream::iter(creates).chain(stream::pending());
        let mut watching = WatchClient::new(channel).watch(creates).await?.into_inner();
        for _ in first..last {
            watching.message().await?.filter(|answer| answer.created).ok_or("a watch that is not opened")?;
        }
        open.push(watching);
    }
    Ok(open)
}

/// Asks until the end; how long each answer took that was counted, in microseconds, and how many failed.
async fn client(
    channel: Channel,
    number: u64,
    ask: Ask,
    value: usize,
    counted: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
) -> (Vec<u32>, u64) {
    let mut keys = KvClient::new(channel);
    let value = bytes::Bytes::from(vec![b'v'; value]);
    let (mut took, mut failed, mut luck) = (Vec::new(), 0, number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    while !ended.load(Ordering::Relaxed) {
        luck ^= luck << 13;
        luck ^= luck >> 7;
        luck ^= luck << 17;
        let key = bytes::Bytes::from(format!("key-{:08}", luck % KEYS));
        let begun = Instant::now();
        let answered = match ask {
            Ask::Put => keys.put(PutRequest { key, value: value.clone(), ..PutRequest::default() }).await.map(drop),
            Ask::Get | Ask::Serializable => {
                let serializable = matches!(ask, Ask::Serializable);
                keys.range(RangeRequest { key, serializable, ..RangeRequest::default() }).await.map(drop)
            }
        };
        if !counted.load(Ordering::Relaxed) {
            continue;
        }
        match answered {
            Ok(()) => took.push(u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX)),
            Err(_) => failed += 1,
        }
    }
    (took, failed)
}
