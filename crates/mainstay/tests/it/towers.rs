//! The service as `tower` middleware.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{Request, Response};
use mainstay::time::VirtualTime;
use mainstay::tower::{Aimed, Balanced, Http, Layer, Plain, Protocol, Streaming};
use mainstay::{Endpoint, Error, Facts, Refusal, Service};
use tower::{Service as _, ServiceBuilder, ServiceExt, service_fn};

use crate::world::plain_retry;

/// A service in virtual time that retries with fixed pauses.
fn service(time: &VirtualTime) -> Service<()> {
    Service::builder("shop").retry(plain_retry()).time(time.clone()).build().unwrap()
}

#[test]
fn a_get_is_repeated_and_a_post_is_not() {
    let time = VirtualTime::new();
    let asked = Arc::new(AtomicU32::new(0));
    let inner = {
        let asked = Arc::clone(&asked);
        service_fn(move |request: Request<&'static str>| {
            let number = asked.fetch_add(1, Ordering::SeqCst);
            let status = if number < 1 || request.method() == "POST" { 503 } else { 200 };
            async move { Ok::<_, Infallible>(Response::builder().status(status).body(*request.body()).unwrap()) }
        })
    };
    let client = ServiceBuilder::new().layer(Layer::new(service(&time), Http::new())).service(inner);
    let get = Request::get("/").body("body").unwrap();
    let answer = time.run(client.clone().oneshot(get)).unwrap();
    assert_eq!((answer.status().as_u16(), *answer.body()), (200, "body"));
    assert_eq!(asked.swap(0, Ordering::SeqCst), 2);
    let post = Request::post("/").body("body").unwrap();
    let answer = time.run(client.oneshot(post)).unwrap();
    assert_eq!((answer.status().as_u16(), asked.load(Ordering::SeqCst)), (503, 1));
}

#[test]
fn a_deadline_of_the_caller_is_kept_and_told_anew() {
    let time = VirtualTime::new();
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let inner = {
        let told = Arc::clone(&told);
        service_fn(move |request: Request<()>| {
            told.lock().unwrap().push(request.headers()["x-mainstay-deadline-ms"].to_str().unwrap().to_owned());
            async { Err::<Response<()>, _>(io::Error::from(io::ErrorKind::ConnectionReset)) }
        })
    };
    let client = ServiceBuilder::new().layer(Layer::new(service(&time), Http::new())).service(inner);
    let get = Request::get("/").header("x-mainstay-deadline-ms", "60").body(()).unwrap();
    let error = time.run(client.oneshot(get)).unwrap_err();
    assert!(matches!(error, Error::Failed { attempts: 2, .. }), "the third would come too late: {error:?}");
    assert_eq!(*told.lock().unwrap(), ["60", "35"]);
}

#[test]
fn what_streams_is_sent_once() {
    /// A body that cannot be cloned.
    struct Stream;
    let time = VirtualTime::new();
    let asked = Arc::new(AtomicU32::new(0));
    let inner = {
        let asked = Arc::clone(&asked);
        service_fn(move |_: Request<Stream>| {
            asked.fetch_add(1, Ordering::SeqCst);
            async { Err::<Response<()>, _>(io::Error::from(io::ErrorKind::ConnectionRefused)) }
        })
    };
    let client = ServiceBuilder::new().layer(Layer::new(service(&time), Streaming::new())).service(inner);
    time.run(client.oneshot(Request::get("/").body(Stream).unwrap())).unwrap_err();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn each_attempt_is_aimed_at_the_endpoint_that_was_chosen() {
    let time = VirtualTime::new();
    let shop = Service::builder("shop").endpoints(["10.0.0.1:80", "10.0.0.2:80"]).time(time.clone()).build().unwrap();
    let inner = service_fn(|request: Request<()>| async move {
        match request.uri().host() {
            Some("10.0.0.1") => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
            _ => Ok(Response::new(request.uri().to_string())),
        }
    });
    let client = ServiceBuilder::new().layer(Layer::new(shop, Aimed::new())).service(inner);
    for _ in 0..4 {
        let post = Request::post("http://shop/orders").body(()).unwrap();
        let answer = time.run(client.clone().oneshot(post)).unwrap();
        assert_eq!(answer.body(), "http://10.0.0.2:80/orders");
    }
}

#[test]
fn clients_of_ones_own_are_balanced() {
    let time = VirtualTime::new();
    let client = |name: &'static str| {
        tower::util::BoxCloneService::new(service_fn(move |_: u32| async move { Ok::<_, io::Error>(name) }))
    };
    let endpoints = ["a", "b"].map(|name| Endpoint::named(name, Shared(Arc::new(std::sync::Mutex::new(client(name))))));
    let shop = Service::builder("shop").values(endpoints).balance(mainstay::Balance::RoundRobin).time(time.clone());
    let mut balanced = Balanced::new(shop.build().unwrap(), Plain::new(Facts::idempotent()));
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(time.run(balanced.call(1)).unwrap());
    }
    answers.sort_unstable();
    assert_eq!(answers, ["a", "a", "b", "b"]);
}

/// A client that threads share.
#[derive(Clone)]
struct Shared(Arc<std::sync::Mutex<tower::util::BoxCloneService<u32, &'static str, io::Error>>>);

impl tower::Service<u32> for Shared {
    type Response = &'static str;
    type Error = io::Error;
    type Future = <tower::util::BoxCloneService<u32, &'static str, io::Error> as tower::Service<u32>>::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        self.0.lock().unwrap().poll_ready(cx)
    }

    fn call(&mut self, request: u32) -> Self::Future {
        self.0.lock().unwrap().call(request)
    }
}

#[test]
fn who_is_refused_is_told_so_before_the_inner_service_is_asked() {
    let time = VirtualTime::new();
    let shop = service(&time);
    shop.order_breaker(mainstay::BreakerOrder::Open);
    let never = service_fn(|_: u32| async { unreachable!() as Result<u32, io::Error> });
    let client = ServiceBuilder::new().layer(Layer::new(shop, Plain::default())).service(never);
    let error = time.run(client.oneshot(1)).unwrap_err();
    assert!(matches!(error, Error::Refused { reason: Refusal::BreakerOpen, .. }), "{error:?}");
}

#[test]
fn a_protocol_of_ones_own_says_what_a_request_is() {
    struct Look;
    impl Protocol<&'static str, ()> for Look {
        fn facts(&self, request: &&'static str) -> Facts {
            if request.starts_with("read") { Facts::idempotent() } else { Facts::once() }
        }
        fn copy(&self, request: &&'static str) -> Option<&'static str> {
            Some(request)
        }
    }
    impl<T, E> mainstay::classify::Classify<T, E> for Look {
        fn classify(&self, result: &Result<T, E>) -> mainstay::classify::Verdict {
            mainstay::classify::AnyError.classify(result)
        }
    }
    let time = VirtualTime::new();
    let asked = Arc::new(AtomicU32::new(0));
    let inner = {
        let asked = Arc::clone(&asked);
        service_fn(move |_: &'static str| {
            asked.fetch_add(1, Ordering::SeqCst);
            async { Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionReset)) }
        })
    };
    let database = Service::builder("db").within(Duration::from_secs(1)).time(time.clone()).build().unwrap();
    let client = ServiceBuilder::new().layer(Layer::new(database, Look)).service(inner);
    time.run(client.clone().oneshot("read")).unwrap_err();
    assert_eq!(asked.swap(0, Ordering::SeqCst), 3);
    time.run(client.oneshot("write")).unwrap_err();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
