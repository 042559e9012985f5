//! An axum service whose dependency breaks: some answers are failures, some never come, and half-way an instance dies.
//!
//! ```sh
//! cargo run -p mainstay --example flaky_dependency
//! ```
//!
//! The shop's pages ask two instances of a stock service. Each page has 800 ms, each attempt 100 ms of them; who knows no
//! stock in the end shows the page without it.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mainstay::classify::{Verdict, of_io};
use mainstay::{Attempt, Facts, Service};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

type Failure = Box<dyn Error + Send + Sync>;
type HttpClient = Client<HttpConnector, Body>;

/// What a page needs.
#[derive(Clone)]
struct Shop {
    stock: Service,
    client: HttpClient,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (flaky, instance) = serve(stock_that_breaks()).await?;
    let (steady, _) = serve(stock_that_works()).await?;
    let stock = Service::builder("stock")
        .endpoints([flaky, steady])
        .within(Duration::from_millis(800))
        .attempt_timeout(Duration::from_millis(100))
        .build()?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let shop = Shop { stock: stock.clone(), client: client.clone() };
    let (front, _) = serve(Router::new().route("/page/{article}", get(page)).with_state(shop)).await?;

    let (mut whole, mut without_stock, mut broken) = (0, 0, 0);
    for article in 0..200 {
        if article == 100 {
            instance.abort();
            println!("the flaky instance is gone");
        }
        match ask(&client, format!("http://{front}/page/{article}")).await {
            Ok((200, page)) if page.contains("in stock") => whole += 1,
            Ok((200, _)) => without_stock += 1,
            _ => broken += 1,
        }
    }
    println!("{whole} pages whole, {without_stock} without the stock, {broken} broken");
    for endpoint in stock.view().endpoints {
        let (good, failed) = (endpoint.successes, endpoint.failures);
        println!("{}: {:?}, {good} attempts went well, {failed} failed", endpoint.name, endpoint.state);
    }
    if broken == 0 { Ok(()) } else { Err("a page was broken".into()) }
}

/// A page of the shop.
async fn page(State(shop): State<Shop>, Path(article): Path<u32>) -> (StatusCode, String) {
    let asked = shop.stock.call(Facts::idempotent(), |attempt: Attempt| {
        let client = shop.client.clone();
        async move { ask(&client, format!("http://{}/stock/{article}", attempt.endpoint)).await }
    });
    let answer =
        asked.classify(by_status).fallback(|_, _| Ok((200, "nobody knows how many are left".to_owned()))).await;
    match answer {
        Ok((200, stock)) => (StatusCode::OK, format!("article {article}: {stock}")),
        Ok((status, _)) => (StatusCode::BAD_GATEWAY, format!("the stock service says {status}")),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

/// A status counts as what it says; an error is looked through for one of I/O.
fn by_status(result: &Result<(u16, String), Failure>) -> Verdict {
    match result {
        Ok((status, _)) => Verdict::Answered { status: *status, retry_after: None },
        Err(error) => {
            let mut behind: Option<&(dyn Error + 'static)> = Some(&**error);
            while let Some(error) = behind {
                if let Some(io) = error.downcast_ref() {
                    return of_io(io);
                }
                behind = error.source();
            }
            Verdict::UNKNOWN
        }
    }
}

async fn ask(client: &HttpClient, uri: String) -> Result<(u16, String), Failure> {
    let response = client.get(uri.parse()?).await?;
    let status = response.status().as_u16();
    let body = to_bytes(Body::new(response.into_body()), 64 * 1024).await?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Serves on a port of its own until the task is aborted.
async fn serve(router: Router) -> Result<(SocketAddr, JoinHandle<()>), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        // It serves for as long as the example runs.
        let _ = axum::serve(listener, router).await;
    });
    Ok((address, task))
}

fn stock_that_works() -> Router {
    Router::new().route("/stock/{article}", get(|| async { "3 in stock" }))
}

/// Every fifth answer is a failure, every seventh does not come.
fn stock_that_breaks() -> Router {
    let asked = Arc::new(AtomicU32::new(0));
    let answer = move || {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        async move {
            match number {
                number if number % 7 == 6 => {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    (StatusCode::OK, "too late")
                }
                number if number % 5 == 4 => (StatusCode::SERVICE_UNAVAILABLE, "not now"),
                _ => (StatusCode::OK, "5 in stock"),
            }
        }
    };
    Router::new().route("/stock/{article}", get(answer))
}
