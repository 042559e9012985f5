//! Load for a store, as `cargo xtask bench store` puts it on ours and on etcd: so many clients, each of which asks again
//! as soon as it was answered. Prints one line of JSON.

#![allow(clippy::print_stdout, reason = "its result")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use mainstay_store::etcd::wire::etcdserverpb::kv_client::KvClient;
use mainstay_store::etcd::wire::etcdserverpb::{PutRequest, RangeRequest};
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
