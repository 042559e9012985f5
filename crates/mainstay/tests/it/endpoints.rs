//! Who answers: addresses, values, and how they come and go.

use std::sync::Arc;

use mainstay::{Balance, BuildError, Endpoint, EndpointState, Error, Order, Refusal, RetrySettings, Service};

use crate::world::{A, B, C, Script, ms, read, world};

#[test]
fn an_endpoint_that_fails_is_left_alone() {
    let (time, shop) = world(&[A, B], |builder| builder.balance(Balance::RoundRobin));
    let mut at_b = 0;
    for _ in 0..100 {
        let answer = time.run(async {
            let attempt = |attempt: mainstay::Attempt| {
                let is_b = attempt.endpoint.to_string() == B;
                at_b += usize::from(is_b);
                async move { if is_b { Err("lost") } else { Ok("page") } }
            };
            shop.call(read(), attempt).await
        });
        assert_eq!(answer.unwrap(), "page", "there was another one to ask");
    }
    assert_eq!(at_b, 5);
    let view = shop.view();
    let states: Vec<_> = view.endpoints.iter().map(|endpoint| (&*endpoint.name, endpoint.state)).collect();
    assert_eq!(states, [(A, EndpointState::Ready), (B, EndpointState::Ejected)]);
}

#[test]
fn values_of_ones_own_are_endpoints_too() {
    let pools = [
        Endpoint::named("primary", Arc::new("primary's pool")),
        Endpoint::named("replica", Arc::new("replica's pool")).backup(),
    ];
    let time = mainstay::time::VirtualTime::new();
    let database = Service::builder("orders").values(pools).time(time.clone()).build().unwrap();
    let asked = || {
        let call = database
            .call(read(), |attempt: mainstay::Attempt<Arc<&str>>| async move { Ok::<_, ()>(*attempt.endpoint) });
        time.run(async { call.await }).unwrap()
    };
    assert_eq!(asked(), "primary's pool");
    assert!(database.order("primary", Order::Draining));
    assert_eq!(asked(), "replica's pool");
    assert!(database.order("primary", Order::Ready));
    assert_eq!(asked(), "primary's pool");
    assert!(!database.order("nobody", Order::Draining));
}

#[test]
fn endpoints_come_and_go_while_calls_run() {
    let (time, shop) = world(&[A], |builder| builder);
    let script = Script::new(&time, &[(10, Ok("page"))]);
    let endpoint = |text: &str| Endpoint::from(text.parse::<std::net::SocketAddr>().unwrap());
    let page = time.run(async {
        let call = shop.call(read(), script.attempt()).into_future();
        let change = async {
            time.sleep(ms(5)).await;
            shop.update(&[endpoint(B), endpoint(C)]).unwrap();
        };
        futures_util::future::join(call, change).await.0
    });
    assert_eq!(page.unwrap(), "page", "what runs at an endpoint that leaves is finished");
    for _ in 0..10 {
        time.run(async { shop.call(read(), script.attempt()).await }).unwrap();
    }
    assert!(script.places()[1..].iter().all(|place| place != A), "{:?}", script.places());
    shop.update(&[]).unwrap();
    let error = time.run(async { shop.call(read(), script.attempt()).await }).unwrap_err();
    assert!(matches!(error, Error::Refused { reason: Refusal::NoEndpoint, .. }), "{error:?}");
}

#[test]
fn what_is_wrong_with_a_service_is_said_when_it_is_built() {
    let error = Service::builder("shop").endpoints(["shop:80"]).build().unwrap_err();
    assert_eq!(error.to_string(), "\"shop:80\" is not an address with a port, such as \"10.0.0.1:80\"");
    let error = Service::builder("shop").endpoints([A, B, A]).build().unwrap_err();
    assert_eq!(error, BuildError::SameEndpoint { name: A.to_owned() });
    let retry = RetrySettings { attempts: 0, ..RetrySettings::default() };
    let error = Service::builder("shop").retry(retry).build().unwrap_err();
    assert_eq!(error.to_string(), "retry.attempts is 0; it has to be 1 to 16");
}
