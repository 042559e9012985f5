//! A pool of connections to PostgreSQL behind a bulkhead and a breaker, with an answer that is kept for when it is down.
//!
//! ```sh
//! MAINSTAY_POSTGRES="host=127.0.0.1 user=postgres password=postgres" cargo run -p mainstay --example database_pool
//! ```
//!
//! Where no PostgreSQL can be reached it says so, and shows what a program sees then: the kept answer, at once.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mainstay::classify::{Verdict, of_io};
use mainstay::{BreakerSettings, BulkheadSettings, Facts, Limit, Service};
use tokio_postgres::{Client, Config, NoTls};

/// Connections, and so statements, at once.
const CONNECTIONS: u32 = 4;

/// Connections that are open and idle. There are never more than [`CONNECTIONS`], since the bulkhead lets no more through.
#[derive(Clone)]
struct Pool {
    config: Config,
    idle: Arc<Mutex<Vec<Client>>>,
}

impl Pool {
    async fn take(&self) -> Result<Client, tokio_postgres::Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(client) = idle.filter(|client| !client.is_closed()) {
            return Ok(client);
        }
        let (client, connection) = self.config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    fn give_back(&self, client: Client) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted = std::env::var("MAINSTAY_POSTGRES").unwrap_or_else(|_| "host=127.0.0.1 user=postgres".to_owned());
    let mut config: Config = wanted.parse()?;
    config.connect_timeout(Duration::from_millis(500));
    let pool = Pool { config, idle: Arc::default() };
    let database = Service::builder("postgres")
        .within(Duration::from_secs(2))
        .bulkhead(BulkheadSettings {
            concurrency: Limit::At(CONNECTIONS),
            queue: 32,
            queue_timeout: Duration::from_millis(250).into(),
            ..BulkheadSettings::default()
        })
        .breaker(BreakerSettings { minimum_calls: 20, ..BreakerSettings::default() })
        .build()?;

    let begun = Instant::now();
    let asked = (0..100).map(|_| tokio::spawn(count(database.clone(), pool.clone())));
    let (mut fresh, mut kept, mut shown) = (0, 0, 0);
    for answer in asked.collect::<Vec<_>>() {
        match answer.await? {
            Tables::Fresh(tables) => (fresh, shown) = (fresh + 1, tables),
            Tables::Kept(tables) => (kept, shown) = (kept + 1, tables),
        }
    }
    let connections = pool.idle.lock().unwrap_or_else(PoisonError::into_inner).len();
    println!("{fresh} fresh answers, {kept} kept ones, in {:?}, over {connections} connections", begun.elapsed());
    println!("the last page shows {shown} tables");
    println!("the breaker: {:?}", database.view().breaker);
    if fresh == 0 {
        println!("no PostgreSQL was reachable; name one in MAINSTAY_POSTGRES");
    }
    Ok(())
}

/// What a page shows.
#[derive(Debug, Clone, Copy)]
enum Tables {
    /// So many.
    Fresh(i64),
    /// So many when it was asked last.
    Kept(i64),
}

/// How many tables there are.
async fn count(database: Service<()>, pool: Pool) -> Tables {
    let asked = database.call(Facts::idempotent(), |attempt| {
        let pool = pool.clone();
        async move {
            let client = pool.take().await?;
            // The server gives up when nobody waits any more.
            client.batch_execute(&format!("SET statement_timeout = {}", attempt.left.as_millis().max(1))).await?;
            let row = client.query_one("SELECT count(*) FROM pg_catalog.pg_class", &[]).await?;
            pool.give_back(client);
            Ok::<_, tokio_postgres::Error>(Tables::Fresh(row.get(0)))
        }
    });
    let answer = asked.classify(meaning).fallback(|_, _| Ok(Tables::Kept(400))).await;
    answer.unwrap_or(Tables::Kept(0))
}

/// A statement that the server refuses is the program's own fault, and nobody is ill, unless the server lacks something
/// (class 53), is stopping (57) or is broken (58). A connection that did not come about carried nothing.
fn meaning(result: &Result<Tables, tokio_postgres::Error>) -> Verdict {
    let Err(error) = result else { return Verdict::Good };
    if let Some(code) = error.code() {
        let is_ill = ["08", "53", "57", "58"].iter().any(|class| code.code().starts_with(class));
        return if is_ill { Verdict::UNKNOWN } else { Verdict::Good };
    }
    match std::error::Error::source(error).and_then(|source| source.downcast_ref()) {
        Some(io) => of_io(io),
        None => Verdict::UNKNOWN,
    }
}
