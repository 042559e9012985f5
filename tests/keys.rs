//! Orders with an `Idempotency-Key`, whichever worker they come to and whatever becomes of the configuration meanwhile.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::support::{Instance, Node, alone, eventually, http};

const MORE: &str = "[node]\nworkers = 2\n\n[service.shop.idempotency]\n";

fn send(stream: &mut TcpStream, key: &str) {
    write!(
        stream,
        "POST /orders HTTP/1.1\r\nhost: shop\r\nconnection: close\r\nidempotency-key: {key}\r\n\
         content-length: 5\r\n\r\n1 EUR"
    )
    .unwrap();
}

/// The status, and whether the answer is that of an earlier call.
fn answer(mut stream: TcpStream) -> (u16, bool) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    (text[9..12].parse().unwrap(), text.contains("idempotent-replayed: true"))
}

fn order(address: SocketAddr, key: &str) -> (u16, bool) {
    let mut stream = http::connect(address).unwrap();
    send(&mut stream, key);
    answer(stream)
}

fn orders_at(instance: &Instance) -> usize {
    instance.reached().iter().filter(|(_, method, _)| method == "POST").count()
}

#[test]
fn one_key_on_connections_of_two_workers_is_carried_out_once() {
    let _stage = alone();
    let instance = Instance::with(&["--service-time", "300ms", "--concurrency", "64"]);
    let node = Node::start(&[instance.address], MORE);
    for round in 0..5 {
        let key = format!("order-{round}");
        // Connections are handed out by their number, so every second one belongs to the other worker.
        let mut callers: Vec<_> = (0..8).map(|_| http::connect(node.web).unwrap()).collect();
        callers.iter_mut().for_each(|caller| send(caller, &key));
        let answers: Vec<_> = callers.into_iter().map(answer).collect();
        assert!(answers.iter().all(|(status, _)| *status == 200), "{answers:?}");
        assert_eq!(answers.iter().filter(|(_, replayed)| *replayed).count(), 7, "{answers:?}");
        assert_eq!(orders_at(&instance), round + 1);
        assert_eq!((0..4).map(|_| order(node.web, &key)).filter(|answer| *answer == (200, true)).count(), 4);
    }
    let metrics = node.metrics();
    let sum = |result| metrics.sum("mainstay_idempotency_total", &[("service", "shop"), ("result", result)]);
    assert_eq!((sum("first"), sum("replayed")), (5.0, 55.0));
    assert_eq!(metrics.sum("mainstay_idempotency_lent_bytes", &[("service", "shop")]), 0.0);
}

#[test]
fn a_key_outlives_a_reload_and_so_does_one_whose_call_is_under_way() {
    let _stage = alone();
    let instance = Instance::with(&["--service-time", "1s", "--concurrency", "64"]);
    let node = Node::start(&[instance.address], MORE);
    assert_eq!(order(node.web, "before"), (200, false));
    let mut under_way = http::connect(node.web).unwrap();
    send(&mut under_way, "under-way");
    eventually("the order at the instance", || (orders_at(&instance) == 2).then_some(()));
    node.write(&[instance.address], &format!("{MORE}ttl = \"1h\"\nmemory = \"32MiB\"\n"));
    let reloaded = http::ask(node.admin, "POST", "/v1/reload", "").unwrap();
    assert!((200..300).contains(&reloaded.status), "{reloaded:?}");
    assert_eq!(order(node.web, "under-way"), (200, true), "who waits for it gets its answer");
    assert_eq!(answer(under_way), (200, false));
    for _ in 0..4 {
        assert_eq!(order(node.web, "before"), (200, true));
    }
    assert_eq!(orders_at(&instance), 2, "nothing was carried out twice");
}
