//! What a route is called. Metrics and the access log call it by its path, so that their labels stay few; who explains one
//! request has to know which of several routes it was.

use std::collections::HashMap;

use super::{Config, HostMatch, PathMatch, Route};

impl Route {
    /// Its path as it is configured, without `=` and `~`.
    #[must_use]
    pub fn label(&self) -> &str {
        match &self.path {
            PathMatch::Prefix(path) | PathMatch::Exact(path) => path,
            PathMatch::Pattern(pattern) => pattern.as_str(),
        }
    }

    fn with_host(&self) -> String {
        match &self.host {
            HostMatch::Any => self.label().to_owned(),
            HostMatch::Exact(host) => format!("{host}{}", self.label()),
            HostMatch::Suffix(host) => format!("*.{host}{}", self.label()),
        }
    }
}

impl Config {
    /// A name for each route that no other has: its path; where others have the same, with its host before it; where that
    /// does not tell them apart, with its place in the file behind it.
    #[must_use]
    pub fn route_names(&self) -> Vec<String> {
        let mut uses: HashMap<String, u32> = HashMap::new();
        for route in &self.routes {
            let (label, with_host) = (route.label().to_owned(), route.with_host());
            if label != with_host {
                *uses.entry(with_host).or_default() += 1;
            }
            *uses.entry(label).or_default() += 1;
        }
        let is_only = |name: &String| uses.get(name) == Some(&1);
        let name = |(index, route): (usize, &Route)| {
            let (label, with_host) = (route.label().to_owned(), route.with_host());
            match (is_only(&label), is_only(&with_host)) {
                (true, _) => label,
                (false, true) => with_host,
                (false, false) => format!("{with_host} (route[{index}])"),
            }
        };
        self.routes.iter().enumerate().map(name).collect()
    }
}
