//! `mainstay instance` as a process, with the file in which it writes what reached it.

use std::net::SocketAddr;
use std::path::PathBuf;

use rustix::process::Signal;
use tempfile::TempDir;

use super::{Process, http, mainstay};

/// An instance, its address and its log.
#[derive(Debug)]
pub(crate) struct Instance {
    process: Process,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    arguments: Vec<String>,
    dir: TempDir,
}

impl Instance {
    /// An instance with these arguments on a free port.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        Self::on("127.0.0.1:0", arguments)
    }

    /// An instance with these arguments at `listen`.
    pub(crate) fn on(listen: &str, arguments: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let (process, address) = launch(listen, &arguments, dir.path().join("log"));
        Self { process, address, arguments, dir }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again where it was; the log goes on.
    pub(crate) fn restart(&mut self) {
        (self.process, _) = launch(&self.address.to_string(), &self.arguments, self.dir.path().join("log"));
    }

    /// Lets it hang: its sockets stay open and nothing in it runs.
    pub(crate) fn hang(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it run on.
    pub(crate) fn go_on(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Gives it a fault, as JSON.
    #[track_caller]
    pub(crate) fn fault(&self, fault: &str) {
        let answer = http::put(self.address, "/_fault", fault);
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Every request that reached it, as `(id, method, path)`, in the order of their coming.
    pub(crate) fn reached(&self) -> Vec<(String, String, String)> {
        self.log().lines().map(reached).collect()
    }

    /// The file in which it wrote what reached it.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }
}

fn reached(line: &str) -> (String, String, String) {
    let mut words = line.split(' ').map(str::to_owned);
    let mut word = || words.next().unwrap();
    (word(), word(), word())
}

fn launch(listen: &str, arguments: &[String], log: PathBuf) -> (Process, SocketAddr) {
    let mut command = mainstay();
    command.args(["instance", "--listen", listen, "--with-parent", &std::process::id().to_string(), "--log"]);
    let (process, line) = Process::start_and_listen(command.arg(log).args(arguments));
    let address = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("the instance said: {line}"));
    (process, address.parse().unwrap())
}
