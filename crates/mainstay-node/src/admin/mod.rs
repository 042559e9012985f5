//! The admin API: what an operator can see and steer, as JSON over HTTP.
//!
//! In: an address, who may ask, and a [`Running`] node. One table ([`routes`]) says which routes there are; the router
//! is built from it and the OpenAPI description is held to it by a test. Every request passes [`Guard`], has a greatest
//! length and a deadline, and every error is a problem of RFC 9457. The probe address has the routes that are marked so
//! and nothing else: it changes nothing and tells nothing about the configuration.

mod fault;
mod guard;
mod handlers;
mod openapi;
mod places;
mod problem;
mod server;
pub(crate) mod views;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::handler::Handler;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter};
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) use guard::Guard;
use problem::Problem;

use crate::running::Running;

/// The longest body of a request.
const BODY_MAX: usize = 16 * 1024;
/// The longest time for an answer; a reload looks names up, the rest is quick.
const DEADLINE: Duration = Duration::from_secs(20);

/// What handlers share.
type Node = Arc<dyn Running>;

/// One route.
struct Route {
    #[cfg_attr(not(test), expect(dead_code, reason = "the description is held to it by a test"))]
    method: &'static str,
    path: &'static str,
    handler: MethodRouter<Node>,
    /// It stands on the probe address too.
    probe: bool,
}

impl Route {
    fn get<H: Handler<T, Node>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self { method: "GET", path, handler: routing::get(handler), probe: false }
    }

    fn put<H: Handler<T, Node>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self { method: "PUT", path, handler: routing::put(handler), probe: false }
    }

    fn post<H: Handler<T, Node>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self { method: "POST", path, handler: routing::post(handler), probe: false }
    }

    fn delete<H: Handler<T, Node>, T: 'static>(path: &'static str, handler: H) -> Self {
        Self { method: "DELETE", path, handler: routing::delete(handler), probe: false }
    }

    fn on_probe(self) -> Self {
        Self { probe: true, ..self }
    }
}

fn routes() -> Vec<Route> {
    use handlers as h;
    vec![
        Route::get("/v1/services", h::services),
        Route::get("/v1/services/{name}", h::service),
        Route::put("/v1/services/{name}/endpoints/{address}/state", h::order_endpoint),
        Route::put("/v1/services/{name}/breaker", h::order_breaker),
        Route::put("/v1/services/{name}/fault", fault::order),
        Route::delete("/v1/services/{name}/fault", fault::end),
        Route::get("/v1/config", h::configuration),
        Route::post("/v1/reload", h::reload),
        Route::get("/v1/requests", h::recent),
        Route::get("/v1/requests/{id}", h::request),
        Route::get("/openapi.json", h::description),
        Route::get("/metrics", h::metrics).on_probe(),
        Route::get("/health/live", h::live).on_probe(),
        Route::get("/health/ready", h::ready).on_probe(),
    ]
}

/// Serves the admin API until `stop` says so.
pub(crate) async fn serve_admin(listener: TcpListener, guard: Guard, node: Node, stop: watch::Receiver<bool>) {
    let guarded = router(node, |_| true).layer(middleware::from_fn_with_state(Arc::new(guard), check));
    server::serve(listener, guarded, stop).await;
}

/// Serves the probe address until `stop` says so.
pub(crate) async fn serve_probe(listener: TcpListener, node: Node, stop: watch::Receiver<bool>) {
    server::serve(listener, router(node, |route| route.probe), stop).await;
}

fn router(node: Node, wanted: impl Fn(&Route) -> bool) -> Router {
    let mut router = Router::new();
    for route in routes().into_iter().filter(wanted) {
        router = router.route(route.path, route.handler);
    }
    router
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn(in_time))
        .with_state(node)
}

async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let open_to_all = path.starts_with("/health/");
    match guard.check(request.headers(), open_to_all) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(DEADLINE, next.run(request)).await {
        Ok(answer) => tidy(answer),
        Err(_) => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            format!("no answer within {} s", DEADLINE.as_secs()),
            "look at the node's log and its load",
        )
        .into_response(),
    }
}

/// What was refused before a handler saw it (a body that is too long, a path that is not UTF-8) is a problem too.
fn tidy(answer: Response) -> Response {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let plain = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    match answer.status() {
        StatusCode::PAYLOAD_TOO_LARGE if plain => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "long_body",
            format!("the body is longer than {BODY_MAX} bytes"),
            "see /openapi.json for what is expected",
        )
        .into_response(),
        status if plain && status.is_client_error() => {
            Problem::new(status, "bad_request", "the request cannot be read", "see /openapi.json").into_response()
        }
        _ => answer,
    }
}

async fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no_route", "there is nothing at this path", "see /openapi.json")
}

async fn wrong_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", "not with this method", "see /openapi.json")
}

#[cfg(test)]
mod tests;
