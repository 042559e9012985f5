//! What can be meant, but hardly is: a route that never matches, a service that nothing leads to, a listener without
//! routes, a store that is open or cannot use a member, and settings that fight each other (`fights`). The defaults raise none of these.

mod fights;
mod said;

use crate::model::{Config, HostMatch, ListenerId, PathMatch, Route, ServiceId, Target};
use crate::raw::{At, Raw, Tree};
use crate::sink::Sink;
use crate::value::Fault;

/// Notes everything in `config` that its writer should look at again; `tree` has the places.
pub(crate) fn look(config: &Config, tree: &Tree, sink: &Sink<'_>) {
    routes_in_the_shadow(config, tree, sink);
    idle_listeners(config, tree, sink);
    unreached_services(config, tree, sink);
    an_open_store(config, tree, sink);
    an_even_number_of_members(config, tree, sink);
    fights::look(config, &said::Notes { tree, sink });
}

fn an_open_store(config: &Config, tree: &Tree, sink: &Sink<'_>) {
    let Some(store) = &config.store else { return };
    for (key, address) in [("client", store.client), ("peer", store.peer)] {
        if address.ip().to_canonical().is_loopback() {
            continue;
        }
        let fault = Fault::new(format!("the store is open to everybody who reaches {address}"))
            .help("keep it in a network that only its members and clients reach: it asks for no certificate yet");
        sink.warning(of_store(tree, key), &format!("store.{key}"), fault);
    }
}

fn an_even_number_of_members(config: &Config, tree: &Tree, sink: &Sink<'_>) {
    let members = config.store.as_ref().map_or(0, |store| store.members.len());
    if members == 0 || members % 2 == 1 {
        return;
    }
    let fault = Fault::new(format!("{members} members bear the loss of no more of them than {} do", members - 1))
        .help("take an odd number: three bear the loss of one, five of two");
    sink.warning(of_store(tree, "members"), "store.members", fault);
}

/// Where a key of the store stands.
fn of_store<'a>(tree: &'a Tree, key: &str) -> Option<&'a At> {
    tree.get("store")?.node.get(key).map(|entry| &entry.node.at)
}

fn routes_in_the_shadow(config: &Config, tree: &Tree, sink: &Sink<'_>) {
    for (number, route) in config.routes.iter().enumerate() {
        let earlier = config.routes[..number].iter().position(|earlier| covers(earlier, route));
        let Some(earlier) = earlier else { continue };
        let line = config.routes[earlier].line.map_or(String::new(), |line| format!(" in line {line}"));
        let fault = Fault::new(format!("the route can never match: route[{earlier}]{line} takes all its calls"))
            .help("put it before that one, or leave it away");
        sink.warning(place(tree, "route", number), &format!("route[{number}]"), fault);
    }
}

/// Whether every call that `later` is for is taken by `earlier`.
fn covers(earlier: &Route, later: &Route) -> bool {
    let unconditional = earlier.headers.is_empty() && earlier.query.is_empty() && earlier.cookies.is_empty();
    let methods = earlier.methods.is_empty()
        || (!later.methods.is_empty() && later.methods.iter().all(|method| earlier.methods.contains(method)));
    let listeners = later.listeners.iter().all(|listener| earlier.listeners.contains(listener));
    unconditional
        && methods
        && listeners
        && host_covers(&earlier.host, &later.host)
        && path_covers(&earlier.path, &later.path)
}

fn host_covers(earlier: &HostMatch, later: &HostMatch) -> bool {
    let below = |name: &str, suffix: &str| name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'));
    match (earlier, later) {
        (HostMatch::Any, _) => true,
        (HostMatch::Suffix(suffix), HostMatch::Exact(name)) => below(name, suffix),
        (HostMatch::Suffix(suffix), HostMatch::Suffix(name)) => name == suffix || below(name, suffix),
        (earlier, later) => earlier == later,
    }
}

fn path_covers(earlier: &PathMatch, later: &PathMatch) -> bool {
    match (earlier, later) {
        (PathMatch::Prefix(prefix), _) if prefix == "/" => true,
        (PathMatch::Prefix(prefix), PathMatch::Prefix(path) | PathMatch::Exact(path)) => {
            path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        (PathMatch::Pattern(pattern), PathMatch::Exact(path)) => pattern.is_match(path.as_bytes()),
        (earlier, later) => earlier == later,
    }
}

fn idle_listeners(config: &Config, tree: &Tree, sink: &Sink<'_>) {
    for (number, listener) in config.listeners.iter().enumerate() {
        if config.routes.iter().any(|route| route.listeners.contains(&ListenerId(number))) {
            continue;
        }
        let fault = Fault::new(format!("no route takes calls of listener {:?}: it answers 404 to all", listener.name))
            .help("add a [[route]], or leave the listener away");
        sink.warning(place(tree, "listener", number), &format!("listener[{number}]"), fault);
    }
}

fn unreached_services(config: &Config, tree: &Tree, sink: &Sink<'_>) {
    let reached = leads_to(
        config,
        config.routes.iter().flat_map(|route| targets(&route.target).into_iter().chain(mirrored(route))).collect(),
    );
    for (service, _) in config.services.iter().zip(reached).filter(|(_, reached)| !reached) {
        let at = tree.get("service").and_then(|services| services.node.get(&service.name)).map(|entry| &entry.key_at);
        let fault = Fault::new(format!("nothing leads to service {:?}", service.name))
            .help("name it in a route, a split or a fallback, or leave it away");
        sink.warning(at, &format!("service.{}", service.name), fault);
    }
}

/// Which services calls come to that go to those of `open`, fallbacks included.
fn leads_to(config: &Config, mut open: Vec<ServiceId>) -> Vec<bool> {
    let mut reached = vec![false; config.services.len()];
    while let Some(service) = open.pop() {
        let Some(mark) = reached.get_mut(service.0).filter(|mark| !**mark) else { continue };
        *mark = true;
        open.extend(config.service(service).and_then(|service| service.fallback.service));
    }
    reached
}

fn targets(target: &Target) -> Vec<ServiceId> {
    match target {
        Target::Service(service) => vec![*service],
        Target::Split(parts) => parts.iter().map(|(service, _)| *service).collect(),
        Target::Redirect(_) => Vec::new(),
    }
}

fn mirrored(route: &Route) -> Option<ServiceId> {
    route.mirror.map(|mirror| mirror.service)
}

/// Where an entry of a list of tables begins.
fn place<'t>(tree: &'t Tree, key: &str, number: usize) -> Option<&'t At> {
    match &tree.get(key)?.node.raw {
        Raw::List(items) => items.get(number).map(|item| &item.at),
        _ => None,
    }
}
