//! What each route of the admin API does.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use mainstay_policy::{BreakerOrder, Order};
use mainstay_telemetry::FoundRecord;
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;
use super::{Node, openapi, views};
use crate::running::{OrderRefused, ServicesNow};

pub(super) type Answer = Result<Response, Problem>;

/// Carries `work` to its end even when the caller leaves in the middle of it: what an operator orders happens whole.
pub(super) async fn whole<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T, Problem> {
    tokio::spawn(work).await.map_err(|_| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(status, "broken", "the order broke off inside the node", "look at the node's log")
    })
}

pub(super) async fn services(State(node): State<Node>) -> Json<Value> {
    let ServicesNow { now, services } = node.services().await;
    let views: Vec<_> = services.iter().map(|(name, view)| views::Service::of(name, view, now)).collect();
    Json(json!({ "services": views }))
}

pub(super) async fn service(State(node): State<Node>, Path(name): Path<String>) -> Answer {
    let state = node.services().await;
    match state.services.iter().find(|(known, _)| *known == name) {
        Some((_, view)) => Ok(Json(views::Service::of(&name, view, state.now)).into_response()),
        None => Err(Problem::no_service(&name, &names(&state))),
    }
}

pub(super) fn names(state: &ServicesNow) -> Vec<String> {
    state.services.iter().map(|(name, _)| name.clone()).collect()
}

pub(super) async fn order_endpoint(
    State(node): State<Node>,
    Path((service_name, address)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let order = endpoint_order(&body)?;
    let Ok(socket) = address.parse::<SocketAddr>() else {
        return Err(unknown(&node, &service_name, &address).await);
    };
    let (ordered, to) = (Arc::clone(&node), service_name.clone());
    match whole(async move { ordered.order_endpoint(&to, socket, order).await }).await? {
        Ok(()) => {
            let order = order_word(order);
            tracing::info!(service = service_name, endpoint = address, order, "an operator gave an order");
            service(State(node), Path(service_name)).await
        }
        Err(_) => Err(unknown(&node, &service_name, &address).await),
    }
}

pub(super) async fn order_breaker(State(node): State<Node>, Path(name): Path<String>, body: Bytes) -> Answer {
    let order = breaker_order(&body)?;
    let (ordered, to) = (Arc::clone(&node), name.clone());
    match whole(async move { ordered.order_breaker(&to, order).await }).await? {
        Ok(()) => {
            let order = breaker_word(order);
            tracing::info!(service = name, order, "an operator gave an order to a breaker");
            service(State(node), Path(name)).await
        }
        Err(OrderRefused::NoService | OrderRefused::NoEndpoint) => {
            Err(Problem::no_service(&name, &names(&node.services().await)))
        }
    }
}

/// Which of the two, service or endpoint, is not there; an address that is none is an endpoint that is not there.
pub(super) async fn unknown(node: &Node, name: &str, address: &str) -> Problem {
    let state = node.services().await;
    match state.services.iter().find(|(known, _)| known == name) {
        None => Problem::no_service(name, &names(&state)),
        Some((_, view)) => {
            let known: Vec<_> = view.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect();
            Problem::no_endpoint(name, address, &known)
        }
    }
}

fn endpoint_order(body: &[u8]) -> Result<Order, Problem> {
    const EXAMPLE: &str = r#"{"state":"draining"}, or "ready" or "ejected""#;
    match state_of(body, EXAMPLE)?.as_str() {
        "ready" => Ok(Order::Ready),
        "draining" => Ok(Order::Draining),
        "ejected" => Ok(Order::Ejected),
        other => Err(Problem::bad_body(format!("there is no state \"{other}\""), EXAMPLE)),
    }
}

const fn order_word(order: Order) -> &'static str {
    match order {
        Order::Ready => "ready",
        Order::Draining => "draining",
        Order::Ejected => "ejected",
    }
}

const fn breaker_word(order: BreakerOrder) -> &'static str {
    match order {
        BreakerOrder::Auto => "auto",
        BreakerOrder::Open => "open",
        BreakerOrder::Closed => "closed",
    }
}

fn breaker_order(body: &[u8]) -> Result<BreakerOrder, Problem> {
    const EXAMPLE: &str = r#"{"state":"auto"}, or "open" or "closed""#;
    match state_of(body, EXAMPLE)?.as_str() {
        "auto" => Ok(BreakerOrder::Auto),
        "open" => Ok(BreakerOrder::Open),
        "closed" => Ok(BreakerOrder::Closed),
        other => Err(Problem::bad_body(format!("there is no state \"{other}\""), EXAMPLE)),
    }
}

fn state_of(body: &[u8], example: &str) -> Result<String, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        state: String,
    }
    serde_json::from_slice::<Wanted>(body)
        .map(|wanted| wanted.state)
        .map_err(|error| Problem::bad_body(format!("the body cannot be read: {error}"), example))
}

pub(super) async fn configuration(State(node): State<Node>) -> Json<Value> {
    Json(node.configuration())
}

pub(super) async fn reload(State(node): State<Node>) -> Answer {
    match whole(async move { node.reload().await }).await? {
        Ok(done) => Ok(Json(done).into_response()),
        Err(refused) => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "configuration",
            refused.why,
            "mend the file and reload; until then the old configuration is in force",
        )
        .with("problems", refused.problems)),
    }
}

/// Records listed in one answer, and as many as a node can be asked for.
const LISTED: usize = 20;
const LISTED_MAX: usize = 128;

/// How records are told.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Json,
    Text,
}

#[derive(Deserialize)]
pub(super) struct Form {
    format: Option<Format>,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    unhappy: bool,
    limit: Option<usize>,
    format: Option<Format>,
}

pub(super) async fn request(
    State(node): State<Node>,
    Path(id): Path<String>,
    Query(form): Query<Form>,
    headers: HeaderMap,
) -> Answer {
    let found = node.explain(&id).await;
    if found.is_empty() {
        return Err(Problem::new(
            StatusCode::NOT_FOUND,
            "no_request",
            "no request with this id is remembered",
            "look soon after the request, because explain.keep and explain.memory say how long it is kept; a request that \
             reached no service stands in the access log alone",
        ));
    }
    Ok(told(&node, &found, form.format, &headers))
}

pub(super) async fn recent(State(node): State<Node>, Query(wanted): Query<Wanted>, headers: HeaderMap) -> Answer {
    let limit = wanted.limit.unwrap_or(LISTED);
    if !(1..=LISTED_MAX).contains(&limit) {
        let detail = format!("limit is {limit}");
        let mend = format!("ask for 1 to {LISTED_MAX}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "bad_request", detail, mend));
    }
    let found = node.recent(wanted.unhappy, limit).await;
    Ok(told(&node, &found, wanted.format, &headers))
}

/// Records as stories or as JSON, whichever is asked for.
fn told(node: &Node, found: &[FoundRecord], format: Option<Format>, headers: &HeaderMap) -> Response {
    if wants_text(format, headers) {
        let stories: Vec<_> = found.iter().map(|record| record.story(|key| node.setting(key, &record.route))).collect();
        return stories.join("\n").into_response();
    }
    let records: Vec<_> = found.iter().map(|record| record.to_json(|key| node.setting(key, &record.route))).collect();
    let body = format!("{{\"records\":[{}]}}", records.join(","));
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn wants_text(format: Option<Format>, headers: &HeaderMap) -> bool {
    match format {
        Some(format) => matches!(format, Format::Text),
        None => headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/plain")),
    }
}

pub(super) async fn metrics(State(node): State<Node>) -> Response {
    ([(header::CONTENT_TYPE, mainstay_telemetry::CONTENT_TYPE)], node.metrics().await).into_response()
}

pub(super) async fn live() -> Json<Value> {
    Json(json!({ "live": true }))
}

pub(super) async fn ready(State(node): State<Node>) -> Response {
    let ready = node.ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": ready }))).into_response()
}

pub(super) async fn description() -> Json<Value> {
    Json(openapi::description())
}
