//! Other programs: run to their end, or kept running until they are dropped.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a program may take to listen, or to end after it was asked to.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where `program` is, if it is installed; system programs of root count too.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = [PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")];
    std::env::split_paths(&path).chain(system).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Runs a command to its end; its output goes where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{}: {error}", name(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", name(command))) }
}

/// Runs a command to its end and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| format!("{}: {error}", name(command)))?;
    if !output.status.success() {
        return Err(format!("{} ended with {}", name(command), output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What the one who measures has set for Mainstay is no part of the measurement.
pub(crate) fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MAINSTAY_")) {
        command.env_remove(name);
    }
}

fn name(command: &Command) -> String {
    Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Ports that nobody listens on; they are all held until the last is found.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>, String> {
    let held: Result<Vec<TcpListener>, _> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let addresses = held.and_then(|held| held.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>());
    let ports = addresses.map(|all| all.iter().map(std::net::SocketAddr::port).collect());
    ports.map_err(|error| format!("free ports: {error}"))
}

/// A program that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    /// Starts it; what it prints goes to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self, String> {
        let file = std::fs::File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let errors = file.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn();
        child.map(Self).map_err(|error| format!("{}: {error}", name(command)))
    }

    /// Waits until something listens on `port`.
    pub(crate) fn listens(&mut self, port: u16) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Err(format!("it ended with {status} before it listened on port {port}"));
            }
            if Instant::now() > end {
                return Err(format!("nothing listens on port {port}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).ok_or("a process without a number")?;
        kill_process(pid, signal).map_err(|error| format!("a signal: {error}"))
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        self.signal(Signal::TERM)?;
        let end = Instant::now() + PATIENCE;
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() > end {
                return Err("it was asked to end and did not".to_owned());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends it at once, as a power cut would.
    pub(crate) fn kill(&mut self) -> Result<(), String> {
        self.0.kill().and_then(|()| self.0.wait()).map_err(|error| format!("killing: {error}")).map(|_| ())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Asked first: nginx ends its worker only then.
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let end = Instant::now() + PATIENCE;
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let _ = self.0.kill();
                let _ = self.0.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
