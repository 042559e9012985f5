//! Looking at and steering a running node through its admin API.
//!
//! Every verb is one request and a table, or the node's own JSON with `--json`. An error says what to do about it: the
//! node's own words when it answered, and how to find it when it did not.

mod client;
mod tables;

use serde_json::{Value, json};

pub(crate) use client::Client;
pub(crate) use tables::why;

use crate::args::{AdminArgs, BreakerArgs, EndpointArgs, EndpointsArgs, ExplainArgs, FaultArgs, FaultWord};
use crate::outcome::{Outcome, Trouble};
use crate::{print, runtime};

/// `mainstay services`
pub(crate) fn services(args: &AdminArgs) -> Outcome {
    let found = ask(args, "GET", "/v1/services", None)?;
    if args.json { print::json(&found) } else { print::result(tables::services(&found)) }
}

/// `mainstay endpoints [SERVICE]`
pub(crate) fn endpoints(args: &EndpointsArgs) -> Outcome {
    let found = match &args.service {
        Some(service) => json!({ "services": [ask(&args.admin, "GET", &service_path(service), None)?] }),
        None => ask(&args.admin, "GET", "/v1/services", None)?,
    };
    if args.admin.json { print::json(&found) } else { print::result(tables::endpoints(&found)) }
}

/// `mainstay drain`, `eject` and `restore`: an operator's word about one endpoint.
pub(crate) fn order(args: &EndpointArgs, state: &str) -> Outcome {
    let path = format!("{}/endpoints/{}/state", service_path(&args.service), client::segment(&args.address));
    let now = ask(&args.admin, "PUT", &path, Some(&json!({ "state": state })))?;
    let shown = json!({ "services": [now] });
    if args.admin.json { print::json(&shown) } else { print::result(tables::endpoints(&shown)) }
}

/// `mainstay breaker SERVICE auto|open|closed`
pub(crate) fn breaker(args: &BreakerArgs) -> Outcome {
    let path = format!("{}/breaker", service_path(&args.service));
    let now = ask(&args.admin, "PUT", &path, Some(&json!({ "state": args.state.as_str() })))?;
    let shown = json!({ "services": [now] });
    if args.admin.json { print::json(&shown) } else { print::result(tables::services(&shown)) }
}

/// `mainstay fault SERVICE delay|abort|reset|off`
pub(crate) fn fault(args: &FaultArgs) -> Outcome {
    let path = format!("{}/fault", service_path(&args.service));
    let now = match fault_order(args)? {
        Some(order) => ask(&args.admin, "PUT", &path, Some(&order))?,
        None => ask(&args.admin, "DELETE", &path, None)?,
    };
    let shown = json!({ "services": [now] });
    if args.admin.json { print::json(&shown) } else { print::result(tables::services(&shown)) }
}

/// What the admin API is told; `None` for off.
fn fault_order(args: &FaultArgs) -> Outcome<Option<Value>> {
    let mut order = json!({ "share": args.share.to_string() });
    match (args.kind, &args.amount) {
        (FaultWord::Off, None) => return Ok(None),
        (FaultWord::Delay, Some(delay)) => (order["kind"], order["delay"]) = (json!("delay"), json!(delay)),
        (FaultWord::Abort, status) => {
            order["kind"] = json!("abort");
            if let Some(status) = status {
                let number: u16 = status.parse().map_err(|_| Trouble::wrong(format!("{status} is no status")))?;
                order["status"] = json!(number);
            }
        }
        (FaultWord::Reset, None) => order["kind"] = json!("reset"),
        (FaultWord::Delay, None) => return Err(Trouble::wrong("say how much later, as in delay 200ms")),
        (FaultWord::Reset | FaultWord::Off, Some(amount)) => {
            return Err(Trouble::wrong(format!("{amount} means nothing here")));
        }
    }
    order["lease"] = json!(args.lease.unwrap_or_default().to_string());
    if let Some(endpoint) = &args.endpoint {
        order["endpoint"] = json!(endpoint);
    }
    Ok(Some(order))
}

/// The last request that got no whole answer below 500.
const LAST: &str = "/v1/requests?unhappy=true&limit=1";

/// `mainstay explain REQUEST-ID` and `mainstay explain --last`
pub(crate) fn explain(args: &ExplainArgs) -> Outcome {
    let path = match &args.request_id {
        Some(id) => format!("/v1/requests/{}?", client::segment(id)),
        None => format!("{LAST}&"),
    };
    if args.admin.json {
        return print::json(&ask(&args.admin, "GET", &format!("{path}format=json"), None)?);
    }
    let client = Client::new(args.admin.address(), args.admin.token())?;
    let story = runtime()?.block_on(client.text(&format!("{path}format=text")))?;
    if story.is_empty() {
        return print::result("every request that is remembered got a whole answer below 500 of its service");
    }
    print::result(story.trim_end())
}

fn service_path(service: &str) -> String {
    format!("/v1/services/{}", client::segment(service))
}

fn ask(args: &AdminArgs, method: &str, path: &str, body: Option<&Value>) -> Outcome<Value> {
    let client = Client::new(args.address(), args.token())?;
    let text = runtime()?.block_on(client.ask(method, path, body))?;
    serde_json::from_str(&text).map_err(|error| Trouble::failed(format!("the node's answer is no JSON: {error}")))
}
