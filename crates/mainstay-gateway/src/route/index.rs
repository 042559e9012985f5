//! Which routes can match a host and a path at all, at a cost that does not grow with their number.
//!
//! A route stands in one place: under its host (exact, `*.suffix` or any), and there at the node that its path's
//! segments lead to. A request passes one node per segment of its path, in at most one tree per label of its host;
//! whoever stands on the way is a candidate, and among the candidates the file's order decides. The number of routes
//! with the same host and path, and of routes by regular expression, is what is walked one by one.
//!
//! The tree ends where no route continues it, so a path of ten thousand segments costs no more than the longest
//! configured one.

use std::collections::HashMap;

use super::hash::StableHasher;

type Map<V> = HashMap<Box<[u8]>, V, StableHasher>;

/// The longest host that is looked up; DNS allows 253.
const HOST_MAX: usize = 255;

/// Where a route's host leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostRule {
    /// Every host.
    Any,
    /// This one, in lower case.
    Exact(Box<[u8]>),
    /// Every one that ends in a dot and this, in lower case.
    Suffix(Box<[u8]>),
}

/// Where a route's path leads. Paths are canonical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PathPlace {
    /// At a place of its own: this path and what lies below it.
    Prefix(Box<[u8]>),
    /// At a place of its own: this path.
    Exact(Box<[u8]>),
    /// Nowhere in particular (a regular expression).
    Anywhere,
    /// Nowhere at all: its path is one that no canonical path can be.
    Nowhere,
}

/// The index over routes `0..n` in the file's order.
#[derive(Debug, Default)]
pub(super) struct Index {
    any: Tree,
    exact: Map<Tree>,
    suffix: Map<Tree>,
}

#[derive(Debug)]
struct Tree {
    nodes: Vec<Node>,
    /// Routes that stand at no node.
    anywhere: Vec<u32>,
}

#[derive(Debug, Default)]
struct Node {
    children: Map<u32>,
    below: Vec<u32>,
    here: Vec<u32>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], anywhere: Vec::new() }
    }
}

impl Index {
    /// Adds a route; routes are added in the file's order.
    pub(super) fn add(&mut self, route: u32, host: &HostRule, path: &PathPlace) {
        let tree = match host {
            HostRule::Any => &mut self.any,
            HostRule::Exact(name) => self.exact.entry(name.clone()).or_default(),
            HostRule::Suffix(name) => self.suffix.entry(name.clone()).or_default(),
        };
        tree.add(route, path);
    }

    /// The first route in the file's order that stands on the way of `host` and `path` and that `accepts`.
    pub(super) fn first(&self, host: &[u8], path: &[u8], mut accepts: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut best = self.any.first(path, u32::MAX, &mut accepts);
        if !self.exact.is_empty() || !self.suffix.is_empty() {
            let mut lower = [0; HOST_MAX];
            let host = lowered(host_name(host), &mut lower);
            if let Some(tree) = self.exact.get(host) {
                best = tree.first(path, best, &mut accepts);
            }
            if !self.suffix.is_empty() {
                for dot in memchr::memchr_iter(b'.', host) {
                    if let Some(tree) = self.suffix.get(&host[dot + 1..]) {
                        best = tree.first(path, best, &mut accepts);
                    }
                }
            }
        }
        (best != u32::MAX).then_some(best)
    }
}

impl Tree {
    fn add(&mut self, route: u32, path: &PathPlace) {
        match path {
            PathPlace::Prefix(prefix) => {
                let node = self.node(prefix.strip_suffix(b"/").unwrap_or(prefix));
                self.nodes[node].below.push(route);
            }
            PathPlace::Exact(path) => {
                let node = self.node(path);
                self.nodes[node].here.push(route);
            }
            PathPlace::Anywhere => self.anywhere.push(route),
            PathPlace::Nowhere => {}
        }
    }

    /// The node of a path, made where it is missing.
    fn node(&mut self, path: &[u8]) -> usize {
        let mut at = 0;
        for segment in segments(path) {
            at = match self.nodes[at].children.get(segment) {
                Some(child) => *child as usize,
                None => {
                    self.nodes.push(Node::default());
                    let child = self.nodes.len() - 1;
                    self.nodes[at].children.insert(segment.into(), child as u32);
                    child
                }
            };
        }
        at
    }

    /// The first route before `best` that stands on the way and is accepted, else `best`.
    fn first(&self, path: &[u8], mut best: u32, accepts: &mut impl FnMut(u32) -> bool) -> u32 {
        best = first_of(&self.anywhere, best, accepts);
        let mut node = &self.nodes[0];
        best = first_of(&node.below, best, accepts);
        for segment in segments(path) {
            let Some(child) = node.children.get(segment) else { return best };
            node = &self.nodes[*child as usize];
            best = first_of(&node.below, best, accepts);
        }
        first_of(&node.here, best, accepts)
    }
}

fn first_of(routes: &[u32], best: u32, accepts: &mut impl FnMut(u32) -> bool) -> u32 {
    routes.iter().copied().take_while(|route| *route < best).find(|route| accepts(*route)).unwrap_or(best)
}

/// The segments of a canonical path: none of an empty one, one empty of `/`.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.strip_prefix(b"/").into_iter().flat_map(|rest| rest.split(|byte| *byte == b'/'))
}

/// The name in a `Host` value: without its port and without the dot that may end it.
pub(crate) fn host_name(host: &[u8]) -> &[u8] {
    let name = match host {
        [b'[', ..] => memchr::memchr(b']', host).map_or(host, |end| &host[..=end]),
        _ => memchr::memchr(b':', host).map_or(host, |end| &host[..end]),
    };
    name.strip_suffix(b".").unwrap_or(name)
}

/// `name` in lower case; a name too long for DNS is nobody's.
fn lowered<'a>(name: &[u8], buffer: &'a mut [u8; HOST_MAX]) -> &'a [u8] {
    let Some(lower) = buffer.get_mut(..name.len()) else { return b"" };
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    lower
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_host_has_no_port() {
        for (host, name) in [
            ("shop.example", "shop.example"),
            ("shop.example:8080", "shop.example"),
            ("shop.example.", "shop.example"),
            ("shop.example.:80", "shop.example"),
            ("[::1]:8080", "[::1]"),
            ("[::1]", "[::1]"),
            ("[::1", "[::1"),
            ("", ""),
        ] {
            assert_eq!(host_name(host.as_bytes()), name.as_bytes(), "{host}");
        }
    }

    #[test]
    fn only_routes_on_the_way_are_asked() {
        let mut index = Index::default();
        for route in 0..10_000 {
            let prefix = format!("/tenant/{route}").into_bytes().into();
            index.add(route, &HostRule::Any, &PathPlace::Prefix(prefix));
        }
        let mut asked = Vec::new();
        let found = index.first(b"x", b"/tenant/7000/orders/1", |route| {
            asked.push(route);
            true
        });
        assert_eq!((found, asked), (Some(7_000), vec![7_000]));
        assert_eq!(index.first(b"x", b"/tenant", |_| true), None);
        assert_eq!(index.first(b"x", b"/tenant/70000", |_| true), None, "a prefix ends on the border of a segment");
    }
}
