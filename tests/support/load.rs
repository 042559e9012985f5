//! `mainstay load` as a process, and what it reports.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Stdio};

use serde_json::Value;

use super::mainstay;

/// A load that is under way.
#[derive(Debug)]
pub(crate) struct Load(Child);

impl Load {
    /// Sends requests to `address` as `arguments` say.
    pub(crate) fn start(address: SocketAddr, arguments: &[&str]) -> Self {
        Self::start_at(address, "/work", arguments)
    }

    /// As [`Load::start`], for another path.
    pub(crate) fn start_at(address: SocketAddr, path: &str, arguments: &[&str]) -> Self {
        let mut command = mainstay();
        command.args(["load", "--json", "--target", &format!("http://{address}{path}")]).args(arguments);
        Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Waits for its end and its report.
    #[track_caller]
    pub(crate) fn end(mut self) -> Report {
        let mut text = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(self.0.wait().unwrap().success());
        Report(serde_json::from_str(&text).unwrap())
    }

    /// Whether it is still sending.
    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What came of a load.
#[derive(Debug, Clone)]
pub(crate) struct Report(Value);

impl Report {
    /// Requests by `method` and how many of them were good.
    pub(crate) fn count(&self, method: &str) -> (u64, u64) {
        let count = &self.0["methods"][method];
        (count["requests"].as_u64().unwrap(), count["good"].as_u64().unwrap())
    }

    /// All requests.
    pub(crate) fn requests(&self) -> u64 {
        self.0["requests"].as_u64().unwrap()
    }

    /// Requests that were due in the whole seconds that begin after this civil time in milliseconds, and how many of them
    /// were good.
    pub(crate) fn due_after(&self, civil: f64) -> (u64, u64) {
        let since = (civil - self.0["began_unix_ms"].as_f64().unwrap()) / 1000.0;
        let seconds = self.0["seconds"].as_array().unwrap().iter().skip(since.max(0.0).ceil() as usize);
        let sum = |what: &str| seconds.clone().map(|second| second[what].as_u64().unwrap()).sum();
        (sum("requests"), sum("good"))
    }

    /// Checks that every request was good.
    #[track_caller]
    pub(crate) fn all_good(&self) {
        assert_eq!(self.0["bad"], 0, "{:#}", self.failures());
    }

    /// Checks that at least 999 of 1,000 GETs were good.
    #[track_caller]
    pub(crate) fn gets_are_good(&self) {
        let (requests, good) = self.count("GET");
        assert!(requests > 100, "only {requests} GETs");
        assert!(good * 1000 >= requests * 999, "{good} of {requests} GETs were good: {:#}", self.failures());
    }

    /// Checks that every GET was good.
    #[track_caller]
    pub(crate) fn every_get_is_good(&self) {
        let (requests, good) = self.count("GET");
        assert!(requests > 100, "only {requests} GETs");
        assert_eq!(good, requests, "{:#}", self.failures());
    }

    fn failures(&self) -> &Value {
        &self.0["failures"]
    }
}
