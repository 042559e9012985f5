//! `[[route]]`: which calls go where.

use mainstay_core::{Duration, Ratio};
use mainstay_policy::Priority;

use super::attempts;
use super::matching::{Method, conditions, cookie_name, header_name, query_name};
use super::names::Names;
use super::rewrite::{StripPrefix, header_ops, redirect, rewrite};
use crate::item::Item;
use crate::model::{HostMatch, ListenerId, Mirror, PathMatch, Redirect, Route, RouteRetry, ServiceId, Target};
use crate::section::Section;
use crate::value::{Fault, Positive, Weight};

pub(super) fn route(s: &mut Section<'_>, names: &Names) -> Option<Route> {
    let listeners = listeners(s, names);
    let host: Option<HostMatch> = s.find("host", "any");
    let path: PathMatch = s.find("path", "any").unwrap_or_else(|| PathMatch::Prefix("/".to_owned()));
    let methods: Option<Vec<Method>> = s.find("method", "any");
    let headers = conditions(s, "header", header_name);
    let query = conditions(s, "query", query_name);
    let cookies = conditions(s, "cookie", cookie_name);
    let service = s.item("service", "none").map(|item| names.service(&item));
    let split = split(s, names);
    let mirror = s.item_or_off("mirror").and_then(|item| mirror(&item, names));
    let timeout: Positive<Duration> = s.get("timeout", "15s");
    let stream_idle: Positive<Duration> = s.get("stream_idle", "5m");
    let priorities = Priority::ALL.map(|priority| (priority.as_str(), priority));
    let priority = s.choice("priority", "normal", &priorities, &[]).unwrap_or_default();
    let rate_limits = s.items("rate_limit", |item| names.rate_limit(item));
    let host_header = s.get("host_header", "preserve");
    let strip_prefix: Option<StripPrefix> = s.get("strip_prefix", "off");
    let rewrite = s.off_unless_given("rewrite", |s| rewrite(s, &path)).flatten();
    let request_headers = s.table("request_headers", header_ops);
    let response_headers = s.table("response_headers", header_ops);
    let redirect = s.off_unless_given("redirect", |s| redirect(s, &path));
    let retry = retry(s);
    if strip_prefix.is_some() && rewrite.is_some() {
        s.fault("strip_prefix", Fault::new("strip_prefix and rewrite both write the path").help("leave one away"));
    }
    Some(Route {
        listeners,
        host: host.unwrap_or(HostMatch::Any),
        path,
        methods: methods.unwrap_or_default().into_iter().map(|method| method.0).collect(),
        headers,
        query,
        cookies,
        target: target(s, service, split, redirect)?,
        timeout: timeout.0,
        stream_idle: stream_idle.0,
        priority,
        rate_limits,
        host_header,
        strip_prefix: strip_prefix.map(|prefix| prefix.0),
        rewrite,
        request_headers,
        response_headers,
        retry,
        mirror,
        line: s.line(),
    })
}

fn listeners(s: &mut Section<'_>, names: &Names) -> Vec<ListenerId> {
    match s.item("listener", "every http listener") {
        Some(item) => names.listener(&item).into_iter().collect(),
        None => (0..names.listeners.len()).map(ListenerId).collect(),
    }
}

/// The services of a split; `None` when there is none.
fn split(s: &mut Section<'_>, names: &Names) -> Option<Vec<(ServiceId, u32)>> {
    let parts = s.items("split", |item| share(item, names));
    let entry = s.given("split").filter(|entry| !entry.node.says("[]"))?;
    // A part that cannot be read is a problem already, and its weight is not known.
    let whole = matches!(&entry.node.raw, crate::raw::Raw::List(items) if items.len() == parts.len());
    if whole && parts.iter().all(|(_, weight)| *weight == 0) {
        let fault = Fault::new("the weights of the split sum to 0, so no call has a place to go");
        s.fault("split", fault.help("give one of them a weight of 1 or more"));
    }
    Some(parts)
}

fn share(item: &Item<'_>, names: &Names) -> Option<(ServiceId, u32)> {
    if !item.is_table() {
        item.fault(Fault::wanted("a table, as in { service = \"shop\", weight = 95 }", item.node));
        return None;
    }
    item.table(|s| {
        let service = match s.item("service", "") {
            Some(item) => names.service(&item),
            None => s.need::<String>("service", "\"shop\"").and(None),
        };
        let weight: Option<Weight> = s.need("weight", "1");
        Some((service?, weight?.0))
    })
}

fn mirror(item: &Item<'_>, names: &Names) -> Option<Mirror> {
    if !item.is_table() {
        item.fault(Fault::wanted("a table, as in { service = \"shadow\", share = \"1%\" }", item.node));
        return None;
    }
    item.table(|s| {
        let service = match s.item("service", "") {
            Some(item) => names.service(&item),
            None => s.need::<String>("service", "\"shadow\"").and(None),
        };
        let share: Option<Ratio> = s.need("share", "\"1%\"");
        Some(Mirror { service: service?, share: share? })
    })
}

/// Where the route leads: exactly one of three. The outer `None` of each is "not given", the inner one "given, and wrong".
fn target(
    s: &Section<'_>,
    service: Option<Option<ServiceId>>,
    split: Option<Vec<(ServiceId, u32)>>,
    redirect: Option<Option<Redirect>>,
) -> Option<Target> {
    match (service, split, redirect) {
        (Some(service), None, None) => service.map(Target::Service),
        (None, Some(split), None) => Some(Target::Split(split)),
        (None, None, Some(redirect)) => redirect.map(Target::Redirect),
        (None, None, None) => {
            let fault = Fault::new("the route leads nowhere").help("add service = \"…\", or split, or redirect");
            s.sink.error(s.at().as_ref(), s.path(), fault);
            None
        }
        (service, split, redirect) => {
            let given = [("service", service.is_some()), ("split", split.is_some()), ("redirect", redirect.is_some())];
            let given: Vec<&str> = given.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect();
            let fault = Fault::new(format!("the route leads to several: {}", given.join(" and ")));
            s.fault(given.last().copied().unwrap_or_default(), fault.help("leave all but one away"));
            None
        }
    }
}

/// A route's own table replaces the service's as a whole.
fn retry(s: &mut Section<'_>) -> RouteRetry {
    if s.given("retry").is_none() {
        s.item("retry", "the service's");
        return RouteRetry::Service;
    }
    RouteRetry::Own(s.on_unless_off("retry", attempts::retry))
}
