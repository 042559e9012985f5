//! The members as processes, each of which can be killed, stopped, held and started again.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::ask::Connection;
use crate::clients::Stage;
use crate::run::Plan;
use crate::shim::{Control, Shim};
use crate::ways::Ways;

/// How long a member may take to answer, or to end in good order.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ports that the system gives to nobody who connects.
const PORTS: std::ops::Range<u16> = 10_240..32_000;

/// Where everything of one member is.
#[derive(Debug)]
struct Home {
    config: PathBuf,
    data: PathBuf,
    log: PathBuf,
    control: Option<Control>,
}

/// All members.
#[derive(Debug)]
pub(crate) struct Members {
    binary: PathBuf,
    mutant: Option<String>,
    homes: Vec<Home>,
    processes: Vec<Option<Child>>,
    stage: Arc<Stage>,
    shim: Option<Arc<Shim>>,
    ways: Arc<Ways>,
    /// What members did that nobody had asked for.
    pub(crate) wrong: Vec<String>,
}

/// What members take, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// Of memory.
    pub memory: u64,
    /// Of their disks.
    pub disk: u64,
}

/// The lengths of all files below a directory.
fn length(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => length(&entry.path()),
        Ok(about) => about.len(),
        // It has just gone.
        Err(_) => 0,
    };
    entries.map(of).sum()
}

/// Addresses that nobody listens on, from so many ports on.
pub(crate) fn free_addresses(count: usize, from: u64) -> Vec<SocketAddr> {
    let span = u64::from(PORTS.end - PORTS.start);
    let ports = (0..span).map(|more| PORTS.start + ((from % span + more) % span) as u16);
    let free = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port))).filter(|at| TcpListener::bind(at).is_ok());
    free.take(count).collect()
}

impl Members {
    /// Writes down who they are. `admin` and `peer` are where each listens itself; others reach it by the ways.
    pub(crate) fn new(
        plan: &Plan,
        directory: &Path,
        stage: Arc<Stage>,
        shim: Option<Arc<Shim>>,
        ways: Arc<Ways>,
        own: &[(SocketAddr, SocketAddr)],
    ) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
        let fronts = ways.fronts();
        let all: Vec<_> = fronts.iter().zip(1..).map(|(front, name)| format!("n{name} = \"{front}\"")).collect();
        let mut homes = Vec::new();
        for (at, (admin, peer)) in own.iter().enumerate() {
            let name = format!("n{}", at + 1);
            let data = directory.join(&name);
            fs::create_dir_all(&data).map_err(failed)?;
            let text = format!(
                "[node]\nname = \"{name}\"\ndata_dir = \"{}\"\n\n[admin]\naddress = \"{admin}\"\n\n[store]\nclient = \
                 \"{}\"\npeer = \"{peer}\"\nmembers = {{ {} }}\nelection = \"{}ms\"\n",
                data.display(),
                stage.addresses[at],
                all.join(", "),
                plan.election.as_millis(),
            );
            let config = directory.join(format!("{name}.toml"));
            fs::write(&config, text).map_err(failed)?;
            let control = match &shim {
                Some(_) => Some(Control::new(directory, &name, &data)?),
                None => None,
            };
            homes.push(Home { config, data, log: directory.join(format!("{name}.log")), control });
        }
        let processes = homes.iter().map(|_| None).collect();
        Ok(Self {
            binary: plan.binary.clone(),
            mutant: plan.mutant.clone(),
            homes,
            processes,
            stage,
            shim,
            ways,
            wrong: Vec::new(),
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.homes.len()
    }

    /// Starts a member; it comes back to its data.
    pub(crate) fn start(&mut self, member: usize) -> Result<(), String> {
        let home = &self.homes[member];
        let failed = |error: std::io::Error| format!("n{}: {error}", member + 1);
        let mut command = Command::new(&self.binary);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MAINSTAY_")) {
            command.env_remove(name);
        }
        if let Some(mutant) = &self.mutant {
            command.env("MAINSTAY_MUTANT", mutant);
        }
        command.arg("run").arg(&home.config).args(["--with-parent", &std::process::id().to_string()]);
        if let (Some(shim), Some(control)) = (&self.shim, &home.control) {
            shim.stand_before(&mut command, control);
        }
        let log = File::options().create(true).append(true).open(&home.log).map_err(failed)?;
        let errors = log.try_clone().map_err(failed)?;
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().map_err(failed)?;
        self.ways.member_is(member, child.id());
        self.processes[member] = Some(child);
        Ok(())
    }

    /// Waits until a member answers.
    pub(crate) fn answers(&mut self, member: usize) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        let mut connection = Connection::new(self.stage.addresses[member], Duration::from_secs(1));
        while connection.ask("/v3/maintenance/status", &json!({})).is_err() {
            self.look();
            if self.processes[member].is_none() || Instant::now() > end {
                return Err(format!("n{} does not come up: see its log", member + 1));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends one at once. With `power`, what it had not flushed is gone.
    pub(crate) fn kill(&mut self, members: &[usize], power: bool) {
        for member in members {
            if let Some(child) = &mut self.processes[*member] {
                _ = child.kill();
            }
        }
        for member in members {
            if let Some(mut child) = self.processes[*member].take() {
                _ = child.wait();
            }
            self.stage.lives[*member].fetch_add(1, Ordering::SeqCst);
            let Home { control: Some(control), data, .. } = &self.homes[*member] else { continue };
            match control.lose(data, power) {
                Ok(()) => {}
                Err(error) => self.wrong.push(format!("losing the power of n{}: {error}", member + 1)),
            }
        }
    }

    /// Ends one in good order.
    pub(crate) fn stop(&mut self, member: usize) {
        self.signal(member, Signal::TERM);
        let Some(mut child) = self.processes[member].take() else { return };
        let end = Instant::now() + PATIENCE;
        loop {
            match child.try_wait() {
                // Who has not come up yet knows of no good order.
                Ok(Some(status)) if status.success() || status.signal() == Some(Signal::TERM.as_raw()) => break,
                Ok(Some(status)) => {
                    self.wrong.push(format!("n{} was asked to end and ended with {status}", member + 1));
                    break;
                }
                _ if Instant::now() > end => {
                    self.wrong.push(format!("n{} was asked to end and did not", member + 1));
                    _ = child.kill();
                    _ = child.wait();
                    break;
                }
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        self.stage.lives[member].fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn signal(&self, member: usize, signal: Signal) {
        let Some(child) = &self.processes[member] else { return };
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            // One that has ended is seen elsewhere.
            _ = kill_process(pid, signal);
        }
    }

    /// Notices who has ended by itself. One cannot start on a disk that fails, and nothing else is a reason.
    pub(crate) fn look(&mut self) {
        for (member, process) in self.processes.iter_mut().enumerate() {
            if let Some(child) = process
                && let Ok(Some(status)) = child.try_wait()
            {
                if !self.homes[member].control.as_ref().is_some_and(Control::fails) {
                    self.wrong.push(format!("n{} ended by itself with {status}", member + 1));
                }
                *process = None;
                self.stage.lives[member].fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    pub(crate) fn runs(&self, member: usize) -> bool {
        self.processes[member].is_some()
    }

    /// What all members take together, if all run: of memory and of their disks, in bytes.
    pub(crate) fn weigh(&self) -> Option<Weight> {
        let mut weight = Weight::default();
        for (home, process) in self.homes.iter().zip(&self.processes) {
            let status = fs::read_to_string(format!("/proc/{}/status", process.as_ref()?.id())).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            weight.memory += line.split_whitespace().next()?.parse::<u64>().ok()? << 10;
            weight.disk += length(&home.data);
        }
        Some(weight)
    }

    /// What stands before a member's disk and clock.
    pub(crate) fn control(&self, member: usize) -> Option<&Control> {
        self.homes[member].control.as_ref()
    }

    /// Who leads, by what one of them says.
    pub(crate) fn leader(&self) -> Option<usize> {
        let status = |member: usize| {
            let mut connection = Connection::new(self.stage.addresses[member], Duration::from_millis(200));
            connection.ask("/v3/maintenance/status", &json!({})).ok()
        };
        let said: Vec<_> =
            (0..self.count()).map(|member| if self.runs(member) { status(member) } else { None }).collect();
        let newest = said.iter().flatten().max_by_key(|status| crate::ask::number(&status["raftTerm"]))?;
        let leader = newest["leader"].as_str()?;
        said.iter().position(|status| status.as_ref().is_some_and(|status| status["header"]["member_id"] == leader))
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for child in self.processes.iter_mut().flatten() {
            _ = child.kill();
            _ = child.wait();
        }
    }
}
