//! A client of gRPC, with tonic, before a server that fails, hangs and goes away.
//!
//! ```sh
//! cargo run -p mainstay --features tower --example grpc
//! ```
//!
//! The deadline is the caller's `grpc-timeout`, and each attempt is told what is left of it. A status that speaks of the
//! server's health (`UNAVAILABLE`) is repeated, for the method of which that was said; the breaker answers while the server
//! is away. The messages are written by hand, so that nothing has to be generated.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use mainstay::tower::{Grpc, Layer};
use mainstay::{BreakerSettings, Error, Service};
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::server::NamedService;
use tonic::transport::{Channel, Server};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tower::{Service as TowerService, ServiceBuilder, service_fn};

const PIECES: &str = "/shop.Stock/Pieces";

#[derive(Clone, PartialEq, prost::Message)]
struct Article {
    #[prost(uint32, tag = "1")]
    number: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Pieces {
    #[prost(uint32, tag = "1")]
    pieces: u32,
}

/// The server: one request in ten fails, one in fifty hangs, and all fail while it is away.
#[derive(Debug, Clone, Default)]
struct Stock {
    asked: Arc<AtomicU32>,
    is_away: Arc<AtomicBool>,
}

impl Stock {
    async fn pieces(self, article: Article) -> Result<tonic::Response<Pieces>, Status> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        if self.is_away.load(Ordering::Relaxed) || number % 10 == 1 {
            return Err(Status::unavailable("the stock is being counted"));
        }
        if number % 50 == 7 {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        Ok(tonic::Response::new(Pieces { pieces: article.number * 2 }))
    }
}

impl NamedService for Stock {
    const NAME: &'static str = "shop.Stock";
}

impl TowerService<Request<Body>> for Stock {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let stock = self.clone();
        let pieces = service_fn(move |asked: tonic::Request<Article>| stock.clone().pieces(asked.into_inner()));
        Box::pin(async move { Ok(tonic::server::Grpc::new(ProstCodec::default()).unary(pieces, request).await) })
    }
}

/// Has the whole body of a request before it passes it on, so that it can be sent again, and gives errors as statuses.
#[derive(Clone)]
struct Whole<S>(S);

impl<S, E> TowerService<Request<Body>> for Whole<S>
where
    S: TowerService<Request<Full<Bytes>>, Response = Response<Body>, Error = Error<E>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut inner = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = Full::new(body.collect().await?.to_bytes());
            inner.call(Request::from_parts(head, body)).await.map_err(|error| in_grpc(&error))
        })
    }
}

fn in_grpc<E>(error: &Error<E>) -> Status {
    match error {
        Error::TimedOut { .. } => Status::deadline_exceeded("no answer in time"),
        Error::Refused { reason, .. } => Status::unavailable(format!("not asked: {}", reason.as_str())),
        _ => Status::unavailable("no attempt was answered"),
    }
}

/// Asks for the pieces of so many articles, one after another; how many were answered, and what became of the others.
async fn ask(client: &mut tonic::client::Grpc<impl GrpcClient>, articles: u32) -> (u32, Vec<Status>) {
    let (mut answered, mut failed) = (0, Vec::new());
    for number in 0..articles {
        let mut request = tonic::Request::new(Article { number });
        request.set_timeout(Duration::from_millis(600));
        let codec = ProstCodec::<Article, Pieces>::default();
        let asked = match client.ready().await {
            Ok(()) => client.unary(request, PathAndQuery::from_static(PIECES), codec).await,
            Err(_) => Err(Status::internal("it is always ready")),
        };
        match asked {
            Ok(answer) if answer.get_ref().pieces == number * 2 => answered += 1,
            Ok(answer) => failed.push(Status::data_loss(format!("{answer:?}"))),
            Err(status) => failed.push(status),
        }
    }
    (answered, failed)
}

/// What a client of tonic calls.
trait GrpcClient: TowerService<Request<Body>, Response = Response<Body>, Error = Status, Future: Send> {}

impl<S: TowerService<Request<Body>, Response = Response<Body>, Error = Status, Future: Send>> GrpcClient for S {}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Stock::default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    drop(listener);
    tokio::spawn(Server::builder().add_service(server.clone()).serve(address));

    let stock = Service::builder("stock")
        .attempt_timeout(Duration::from_millis(100))
        .breaker(BreakerSettings {
            minimum_calls: 10,
            window: Duration::from_secs(1).into(),
            open_for: Duration::from_millis(200).into(),
            ..BreakerSettings::default()
        })
        .shards(1)
        .build()?;
    let channel = Channel::from_shared(format!("http://{address}"))?.connect_lazy();
    let guarded = ServiceBuilder::new()
        .layer(Layer::new(stock.clone(), Grpc::idempotent(|path| path == PIECES)))
        .map_request(|request: Request<Full<Bytes>>| request.map(Body::new))
        .service(channel);
    let mut client = tonic::client::Grpc::new(Whole(guarded));

    let (answered, failed) = ask(&mut client, 300).await;
    let attempts = server.asked.swap(0, Ordering::Relaxed);
    println!("flaky:   {answered} answered, {} failed, in {attempts} attempts", failed.len());
    failed.iter().for_each(|status| println!("         {status}"));

    server.is_away.store(true, Ordering::Relaxed);
    let (answered, failed) = ask(&mut client, 200).await;
    let not_asked = failed.iter().filter(|status| status.message().starts_with("not asked")).count();
    assert!(failed.iter().all(|status| status.code() == Code::Unavailable), "{failed:?}");
    println!("away:    {answered} answered, {} failed, {not_asked} of them by the breaker at once", failed.len());

    server.is_away.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(400)).await;
    let (answered, failed) = ask(&mut client, 50).await;
    println!("back:    {answered} answered, {} failed, and the breaker is {:?}", failed.len(), stock.view().breaker);
    Ok(())
}
