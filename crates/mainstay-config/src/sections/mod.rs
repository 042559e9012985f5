//! The sections of the contract, one file each: every key is read once, in the contract's order, with its default in the
//! contract's spelling.

mod attempts;
mod fallback;
mod listener;
mod matching;
mod names;
mod node;
mod policy;
mod rate_limit;
mod rewrite;
mod route;
mod service;
mod store;

pub(crate) use service::endpoints;

use crate::model::{Config, RateLimit, Service};
use crate::raw::Tree;
use crate::section::Section;
use crate::sink::Sink;

use names::Names;

/// Reads the whole tree; `None` when there is a problem, which the sink has. A node `serves`, and so has to listen.
pub(crate) fn read<'a>(sink: &'a Sink<'a>, tree: &'a Tree, serves: bool) -> Option<Config> {
    let names = Names::of(tree);
    let config = Section::root(sink, tree, |root| {
        let node = root.table("node", node::node);
        let admin = root.table("admin", node::admin);
        let log = root.table("log", node::log);
        let explain = root.table("explain", node::explain);
        root.table("trace", node::trace);
        let limits = root.table("limits", node::limits);
        let listeners = root.repeated("listener", listener::listener);
        if serves && listeners.is_empty() && root.given("store").is_none() {
            listener::nothing_to_listen_on(root);
        }
        let routes = root.repeated("route", |section| route::route(section, &names));
        let services = root.named("service", |name, section| service::service(name, section, &names, &node.zone));
        let rate_limits = root.named("rate_limit", rate_limit::rate_limit);
        let store = root.off_unless_given("store", store::store);
        Some(Config {
            node,
            admin: admin?,
            log: log?,
            explain,
            limits,
            listeners: listeners.into_iter().collect::<Option<_>>()?,
            routes: routes.into_iter().collect::<Option<_>>()?,
            services: services.into_iter().collect::<Option<Vec<Service>>>()?,
            rate_limits: rate_limits.into_iter().collect::<Option<Vec<RateLimit>>>()?,
            store,
        })
    });
    listener::refuse_doubles(sink, tree);
    fallback::refuse_circles(sink, tree);
    config.filter(|_| !sink.has_errors())
}
