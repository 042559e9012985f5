//! `mainstay run` as a process, on free ports, with a configuration of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use super::{Metrics, Process, eventually, free_address, http, mainstay};

/// Everything goes to the one service.
const CATCH_ALL: &str = "[[route]]\nservice = \"shop\"\n\n";

/// A running node.
#[derive(Debug)]
pub(crate) struct Node {
    process: Process,
    /// Where callers ask.
    pub(crate) web: SocketAddr,
    /// Where operators ask.
    pub(crate) admin: SocketAddr,
    dir: TempDir,
}

impl Node {
    /// A node with the service `shop` on these endpoints; `more` is appended to the configuration.
    pub(crate) fn start(endpoints: &[SocketAddr], more: &str) -> Self {
        Self::with_routes(endpoints, CATCH_ALL, more)
    }

    /// As [`Node::start`], with these routes.
    pub(crate) fn with_routes(endpoints: &[SocketAddr], routes: &str, more: &str) -> Self {
        Self::launch(endpoints, routes, more, |_| {})
    }

    /// As [`Node::start`], by a command that `watch` has put something before.
    pub(crate) fn watched(endpoints: &[SocketAddr], more: &str, watch: impl FnOnce(&mut Command)) -> Self {
        Self::launch(endpoints, CATCH_ALL, more, watch)
    }

    /// As [`Node::with_routes`], with a recording of its decisions.
    pub(crate) fn recorded(endpoints: &[SocketAddr], routes: &str, more: &str, into: &Path) -> Self {
        Self::launch(endpoints, routes, more, |command| _ = command.arg("--record").arg(into))
    }

    fn launch(endpoints: &[SocketAddr], routes: &str, more: &str, watch: impl FnOnce(&mut Command)) -> Self {
        let (web, admin) = (free_address(), free_address());
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("mainstay.toml"), configuration(web, admin, endpoints, routes, more)).unwrap();
        let mut command = mainstay();
        command.arg("run").arg(dir.path().join("mainstay.toml")).current_dir(dir.path());
        command.args(["--with-parent", &std::process::id().to_string()]);
        watch(&mut command);
        let process = Process::start(&mut command, &dir.path().join("output"));
        let mut node = Self { process, web, admin, dir };
        node.wait_until_ready();
        node
    }

    fn wait_until_ready(&mut self) {
        eventually("a node that is ready", || {
            if let Some(status) = self.process.ended() {
                panic!("the node ended with {status}: {}", self.output());
            }
            http::ask(self.admin, "GET", "/health/ready", "").ok().filter(|answer| answer.status == 200)
        });
    }

    /// What it printed so far.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("output")).unwrap()
    }

    /// Its configuration's file.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("mainstay.toml")
    }

    /// Writes another configuration without telling the node.
    pub(crate) fn write(&self, endpoints: &[SocketAddr], more: &str) {
        self.write_routed(endpoints, CATCH_ALL, more);
    }

    /// As [`Node::write`], with these routes.
    pub(crate) fn write_routed(&self, endpoints: &[SocketAddr], routes: &str, more: &str) {
        // Renamed into place: the node looks at the file, and half a file is no configuration.
        let next = self.dir.path().join("next.toml");
        std::fs::write(&next, configuration(self.web, self.admin, endpoints, routes, more)).unwrap();
        std::fs::rename(next, self.file()).unwrap();
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end and tells whether it was a good one.
    #[track_caller]
    pub(crate) fn ended_well(&mut self) -> bool {
        self.process.end().success()
    }

    /// Its figures.
    #[track_caller]
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::scrape(self.admin)
    }

    /// The most memory that it ever had resident, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

fn configuration(web: SocketAddr, admin: SocketAddr, endpoints: &[SocketAddr], routes: &str, more: &str) -> String {
    let endpoints = endpoints.iter().map(|address| format!("\"{address}\"")).collect::<Vec<_>>().join(", ");
    format!(
        "[admin]\naddress = \"{admin}\"\n\n[log]\nformat = \"json\"\n\n\
         [[listener]]\nname = \"web\"\naddress = \"{web}\"\n\n{routes}\
         [service.shop]\nendpoints = [{endpoints}]\n\n{more}"
    )
}
