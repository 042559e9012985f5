//! A drill's fault: what an operator writes, and what it comes to.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use mainstay_core::{Duration, Ratio};
use mainstay_policy::{DELAY_MAX, FaultKind, FaultOrder, LEASE_MAX};
use serde::{Deserialize, Deserializer};

use super::Node;
use super::handlers::{Answer, names, service, unknown, whole};
use super::problem::Problem;
use crate::running::OrderRefused;

const EXAMPLE: &str =
    r#"{"kind":"delay","delay":"200ms","share":"10%","lease":"30s"}, or "abort" with a "status", or "reset""#;

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: String,
    #[serde(default, deserialize_with = "given")]
    delay: Option<String>,
    /// A whole number, as JSON writes one: 503 or 503.0.
    #[serde(default, deserialize_with = "given")]
    status: Option<f64>,
    #[serde(default, deserialize_with = "given")]
    share: Option<String>,
    #[serde(default, deserialize_with = "given")]
    endpoint: Option<String>,
    lease: String,
}

/// What stands there is a value: null is none.
fn given<'d, D: Deserializer<'d>, T: Deserialize<'d>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// `PUT`
pub(super) async fn order(State(node): State<Node>, Path(name): Path<String>, body: Bytes) -> Answer {
    let written: Written = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_body(format!("the body cannot be read: {error}"), EXAMPLE))?;
    let endpoint = written.endpoint.clone();
    if let Some(address) = endpoint.as_ref().filter(|address| address.parse::<SocketAddr>().is_err()) {
        return Err(unknown(&node, &name, address).await);
    }
    set(node, name, Some(written.read()?), endpoint).await
}

/// `DELETE`
pub(super) async fn end(State(node): State<Node>, Path(name): Path<String>) -> Answer {
    set(node, name, None, None).await
}

async fn set(node: Node, name: String, order: Option<FaultOrder>, endpoint: Option<String>) -> Answer {
    let (ordered, to) = (Arc::clone(&node), name.clone());
    match whole(async move { ordered.order_fault(&to, order).await }).await? {
        Ok(()) => {
            match order {
                Some(FaultOrder { kind, share, lease, .. }) => {
                    let kind = kind.as_str();
                    tracing::warn!(service = name, kind, %share, %lease, "an operator lets a service have a fault");
                }
                None => tracing::info!(service = name, "an operator ended a drill"),
            }
            service(State(node), Path(name)).await
        }
        Err(OrderRefused::NoService) => Err(Problem::no_service(&name, &names(&node.services().await))),
        Err(OrderRefused::NoEndpoint) => Err(unknown(&node, &name, &endpoint.unwrap_or_default()).await),
    }
}

impl Written {
    fn read(&self) -> Result<FaultOrder, Problem> {
        let wrong = |what: String| Problem::bad_body(what, EXAMPLE);
        let kind = self.kind()?;
        let share = self.share.as_deref().unwrap_or("100%");
        let share: Ratio = share.parse().map_err(|error| wrong(format!("share: {error}")))?;
        let lease = length("lease", &self.lease, LEASE_MAX)?;
        let endpoint = self.endpoint.as_deref().map(str::parse::<SocketAddr>).transpose();
        let endpoint = endpoint.map_err(|_| wrong("endpoint: expected an address and a port".to_owned()))?;
        Ok(FaultOrder { kind, share, endpoint, lease })
    }

    fn kind(&self) -> Result<FaultKind, Problem> {
        let wrong = |what: String| Err(Problem::bad_body(what, EXAMPLE));
        match (self.kind.as_str(), &self.delay, self.status) {
            ("delay", Some(delay), None) => {
                let millis = length("delay", delay, DELAY_MAX)?.as_millis();
                Ok(FaultKind::Delay { millis: u32::try_from(millis).unwrap_or(u32::MAX) })
            }
            ("delay", None, None) => wrong("a delay needs its length, as in \"delay\":\"200ms\"".to_owned()),
            ("abort", None, status) => match status.unwrap_or(503.0) {
                status if (500.0..600.0).contains(&status) && status.fract() == 0.0 => {
                    Ok(FaultKind::Abort { status: status as u16 })
                }
                other => wrong(format!("status: {other} is no failure of an instance; it is from 500 to 599")),
            },
            ("reset", None, None) => Ok(FaultKind::Reset),
            ("delay" | "abort" | "reset", ..) => wrong("delay goes with \"delay\", status with \"abort\"".to_owned()),
            (other, ..) => wrong(format!("no fault is called \"{other}\"")),
        }
    }
}

/// More than nothing and no more than `max`.
fn length(name: &str, text: &str, max: Duration) -> Result<Duration, Problem> {
    let wrong = |what: String| Problem::bad_body(format!("{name}: {what}"), EXAMPLE);
    let length: Duration = text.parse().map_err(|error| wrong(format!("{error}")))?;
    if length < Duration::from_millis(1) || length > max {
        return Err(wrong(format!("it is from 1ms to {max}")));
    }
    Ok(length)
}
