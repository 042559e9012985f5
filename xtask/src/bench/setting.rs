//! What ours is configured to while it is measured: the least by default, and one thing more in each comparison.

use std::fmt::Write;

/// The configuration of one measurement.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// Threads that carry requests.
    pub(crate) workers: u32,
    /// A line for each request, into a file.
    pub(crate) access_log: bool,
    /// A record of each request's decisions, for `mainstay explain`.
    pub(crate) explain: bool,
    /// Routes before the one that matches.
    pub(crate) routes: u32,
    /// Addresses at which the one instance answers.
    pub(crate) endpoints: u32,
    /// A rate limit by header stands before the route, with room for this many keys.
    pub(crate) limited_keys: Option<u32>,
}

impl Default for Setting {
    fn default() -> Self {
        Self { workers: 1, access_log: false, explain: true, routes: 0, endpoints: 1, limited_keys: None }
    }
}

impl Setting {
    /// The text of the file.
    pub(crate) fn configuration(&self, listen: u16, instance: u16, admin: u16) -> String {
        let mut text = format!(
            "[node]\nworkers = {}\n[admin]\naddress = \"127.0.0.1:{admin}\"\n[log]\naccess = {}\n\
             [limits]\nconnections = 20000\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:{listen}\"\n",
            self.workers, self.access_log,
        );
        if !self.explain {
            text.push_str("[explain]\nkeep = \"off\"\n");
        }
        if let Some(keys) = self.limited_keys {
            // So high that nobody is refused: what is measured is the look-up.
            let _ = write!(
                text,
                "[rate_limit.each]\nkey = \"header:x-key\"\nrate = \"1000000/s\"\nburst = 1000000\nmax_keys = {keys}\n"
            );
        }
        for route in 0..self.routes {
            let _ = write!(text, "[[route]]\npath = \"/area-{}/part-{route}\"\nservice = \"shop\"\n", route % 100);
        }
        text.push_str("[[route]]\nservice = \"shop\"\n");
        if self.limited_keys.is_some() {
            text.push_str("rate_limit = [\"each\"]\n");
        }
        let address = |n: u32| format!("\"127.{}.{}.{}:{instance}\"", n / 62_500, n / 250 % 250, n % 250 + 1);
        let endpoints: Vec<_> = (0..self.endpoints).map(address).collect();
        let _ = write!(text, "[service.shop]\nendpoints = [{}]\n", endpoints.join(", "));
        text
    }
}
