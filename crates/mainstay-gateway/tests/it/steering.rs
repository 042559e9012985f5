//! A running gateway is looked at and changed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mainstay_core::Seed;
use mainstay_gateway::{Gateway, OrderError, StartError};
use mainstay_policy::{BreakerOrder, EndpointState, Order};
use mainstay_telemetry::AccessLog;

use crate::world::{Origin, World, config, parse};

const ONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none";
const TWO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_drained_endpoint_gets_no_calls_until_it_is_restored_even_after_a_reload() {
    let (one, two) = (Origin::answering(ONE), Origin::answering(TWO));
    let text = config(&[one.address, two.address], "balance = \"round_robin\"\nslow_start = \"off\"\n");
    let world = World::new(&text);
    let order = |order| world.runtime.block_on(world.gateway.order_endpoint("shop", one.address, order)).unwrap();
    order(Order::Draining);
    world.runtime.block_on(world.gateway.reload(Arc::new(parse(&text)))).unwrap();
    for _ in 0..6 {
        assert_eq!(world.ask(GET).text(), "two");
    }
    let services = world.runtime.block_on(world.gateway.services());
    let state = services[0].view.endpoints.iter().find(|endpoint| endpoint.address == one.address).unwrap().state;
    assert_eq!((services[0].name.as_str(), state), ("shop", EndpointState::Draining));
    order(Order::Ready);
    let answers: Vec<_> = (0..6).map(|_| world.ask(GET).text().to_owned()).collect();
    assert!(answers.contains(&"one".to_owned()), "{answers:?}");
}

#[test]
fn an_order_for_nobody_is_an_error() {
    let one = Origin::answering(ONE);
    let world = World::before(&one);
    let nobody = Origin::nowhere();
    let order = |service, address| world.runtime.block_on(world.gateway.order_endpoint(service, address, Order::Ready));
    assert_eq!(order("shop", nobody), Err(OrderError::NoEndpoint { service: "shop".to_owned(), address: nobody }));
    assert_eq!(order("no", one.address), Err(OrderError::NoService("no".to_owned())));
}

#[test]
fn a_breaker_that_is_forced_open_refuses() {
    let one = Origin::answering(ONE);
    let world = World::before(&one);
    let order = |order| world.runtime.block_on(world.gateway.order_breaker("shop", order)).unwrap();
    order(BreakerOrder::Open);
    assert_eq!(world.ask(GET).status, 503);
    order(BreakerOrder::Auto);
    assert_eq!(world.ask(GET).status, 200);
    assert_eq!(one.requests.load(Ordering::SeqCst), 1);
}

#[test]
fn a_reload_changes_the_next_request_on_a_connection_that_stays() {
    let (one, two) = (Origin::answering(ONE), Origin::answering(TWO));
    let world = World::new(&config(&[one.address], ""));
    let mut caller = world.connect();
    caller.send(GET);
    assert_eq!(caller.answer().text(), "one");
    world.runtime.block_on(world.gateway.reload(Arc::new(parse(&config(&[two.address], ""))))).unwrap();
    caller.send(GET);
    assert_eq!(caller.answer().text(), "two");
    assert_eq!(world.attempts(), 2);
}

#[test]
fn a_reload_that_cannot_listen_changes_nothing() {
    let (one, two) = (Origin::answering(ONE), Origin::answering(TWO));
    let world = World::new(&config(&[one.address], ""));
    let taken = config(&[two.address], "").replace("127.0.0.1:0", &two.address.to_string());
    let error = world.runtime.block_on(world.gateway.reload(Arc::new(parse(&taken)))).unwrap_err();
    assert!(
        matches!(&error, StartError::Listen { listener, address, .. } if listener == "web" && *address == two.address)
    );
    assert_eq!(world.ask(GET).text(), "one");
}

#[test]
fn a_drain_lets_what_runs_end_and_closes_the_rest() {
    let origin = Origin::new(|_, mut instance| {
        while instance.request().is_some() {
            std::thread::sleep(Duration::from_millis(300));
            instance.send(ONE);
        }
    });
    let world = World::before(&origin);
    let mut idle = world.connect();
    idle.send(GET);
    assert_eq!(idle.answer().status, 200);
    let mut busy = world.connect();
    busy.send(GET);
    while origin.requests.load(Ordering::SeqCst) < 2 {
        std::thread::yield_now();
    }
    std::thread::scope(|scope| {
        scope.spawn(|| world.runtime.block_on(world.gateway.drain(Duration::from_secs(5))));
        assert!(idle.is_closed());
        let answer = busy.answer();
        assert_eq!((answer.text(), answer.field("connection")), ("one", Some("close")));
        assert!(busy.is_closed());
        drop((idle, busy));
    });
    assert!(!world.gateway.ready());
    assert!(std::net::TcpStream::connect(world.address).is_err());
}

#[test]
fn what_was_decided_about_a_request_is_remembered() {
    let origin = Origin::answering(ONE);
    let world = World::new(&config(&[Origin::nowhere(), origin.address], "balance = \"round_robin\"\n"));
    for _ in 0..2 {
        let answer = world.ask("GET /cart?x=1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: r-1\r\n\r\n");
        assert_eq!(answer.field("x-request-id"), Some("r-1"));
    }
    let found = world.runtime.block_on(world.gateway.explain("r-1"));
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].service.as_str(), found[0].path.as_str()), ("shop", "/cart"));
    assert!(found.iter().any(|record| record.endpoints.len() == 2), "one of them was refused first");
}

#[test]
fn a_taken_address_is_named_in_the_error() {
    let origin = Origin::answering(ONE);
    let text = config(&[origin.address], "").replace("127.0.0.1:0", &origin.address.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(Gateway::start(Arc::new(parse(&text)), &AccessLog::off(), Seed::new(1))).unwrap_err();
    assert_eq!(error.to_string(), format!("listener \"web\" cannot listen on {}", origin.address));
}

#[test]
fn all_workers_together_are_one_gateway() {
    let origin = Origin::answering(ONE);
    let nowhere = Origin::nowhere();
    let text = config(&[origin.address, nowhere], "balance = \"round_robin\"\n").replace("workers = 1", "workers = 3");
    let world = World::new(&text);
    let mut callers: Vec<_> = (0..12).map(|_| world.connect()).collect();
    for _ in 0..10 {
        for caller in &mut callers {
            caller.send(GET);
            assert_eq!(caller.answer().text(), "one");
        }
    }
    let services = world.runtime.block_on(world.gateway.services());
    let counted: u64 = services[0].view.endpoints.iter().map(|endpoint| endpoint.successes).sum();
    assert_eq!((services.len(), counted), (1, 120));
    let dead = services[0].view.endpoints.iter().find(|endpoint| endpoint.address == nowhere).unwrap();
    assert_ne!(dead.state, EndpointState::Ready, "five refusals in a row, whoever saw them");
    assert_eq!(world.runtime.block_on(world.gateway.connections()), [("web".to_owned(), 12)]);
    world.runtime.block_on(world.gateway.order_endpoint("shop", origin.address, Order::Draining)).unwrap();
    for caller in &mut callers {
        caller.send(GET);
        assert_ne!(caller.answer().status, 200, "no worker uses an endpoint that is drained");
    }
}

#[test]
fn an_instance_whose_checks_fail_gets_no_calls_and_one_whose_checks_pass_again_does() {
    let well = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = Arc::clone(&well);
    let one = Origin::new(move |_, mut instance| {
        while let Some(request) = instance.request() {
            let sick = request.line.contains("/health") && !told.load(Ordering::SeqCst);
            instance.send(if sick { "HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n" } else { ONE });
        }
    });
    let two = Origin::answering(TWO);
    let checks = "balance = \"round_robin\"\nslow_start = \"off\"\n[service.shop.health]\nhttp = \"/health\"\ninterval = \"50ms\"\n";
    let world = World::new(&config(&[one.address, two.address], checks));
    let wait_for = |state| {
        let begun = std::time::Instant::now();
        let mut seen = None;
        while seen != Some(state) {
            assert!(begun.elapsed() < crate::world::PATIENCE, "it is {seen:?} and never {state:?}");
            std::thread::sleep(Duration::from_millis(5));
            let services = world.runtime.block_on(world.gateway.services());
            let endpoint = services[0].view.endpoints.iter().find(|endpoint| endpoint.address == one.address);
            seen = endpoint.map(|endpoint| endpoint.state);
        }
    };
    wait_for(EndpointState::Ejected);
    for _ in 0..6 {
        assert_eq!(world.ask(GET).text(), "two");
    }
    well.store(true, Ordering::SeqCst);
    wait_for(EndpointState::Ready);
    let answers: Vec<_> = (0..6).map(|_| world.ask(GET).text().to_owned()).collect();
    assert!(answers.contains(&"one".to_owned()), "{answers:?}");
}

#[test]
fn endpoints_come_from_a_file_that_is_watched() {
    let (one, two) = (Origin::answering(ONE), Origin::answering(TWO));
    let path = std::env::temp_dir().join(format!("mainstay-endpoints-{}.toml", std::process::id()));
    let write = |origin: &Origin| std::fs::write(&path, format!("endpoints = [\"{}\"]\n", origin.address)).unwrap();
    write(&one);
    let source = format!("discover = {{ file = \"{}\" }}\n", path.display());
    let text = config(&[], &source).replace("endpoints = []\n", "");
    let world = World::new(&text);
    let wait_for = |body| {
        let begun = std::time::Instant::now();
        while world.ask(GET).text() != body {
            assert!(begun.elapsed() < crate::world::PATIENCE);
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait_for("one");
    world.runtime.block_on(world.gateway.reload(Arc::new(parse(&text)))).unwrap();
    assert_eq!(world.ask(GET).text(), "one", "a reload keeps what was found");
    write(&two);
    wait_for("two");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn reloads_under_load_cost_no_request() {
    let (one, two) = (Origin::answering(ONE), Origin::answering(ONE));
    let texts = [config(&[one.address, two.address], ""), config(&[two.address], ""), config(&[one.address], "")];
    let world = World::new(&texts[0].replace("workers = 1", "workers = 2"));
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let (mut caller, mut asked) = (world.connect(), 0);
                    while !done.load(Ordering::SeqCst) {
                        caller.send(GET);
                        assert_eq!(caller.answer().status, 200);
                        asked += 1;
                    }
                    asked
                })
            })
            .collect();
        for turn in 0..20 {
            let before = world.attempts();
            world.runtime.block_on(world.gateway.reload(Arc::new(parse(&texts[turn % 3])))).unwrap();
            while world.attempts() < before + 50 {
                std::thread::yield_now();
            }
        }
        done.store(true, Ordering::SeqCst);
        let asked: u64 = callers.into_iter().map(|caller| caller.join().unwrap()).sum();
        assert!(world.attempts() >= asked && asked >= 1000, "{asked}");
    });
}
