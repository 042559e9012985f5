//! The stage of the demo: instances, a gateway, a directory; all of it goes when it is dropped.
//!
//! Every process is a child of this one and is bound to its life by the kernel besides, so that not even a `kill -9` of
//! the demo leaves one behind.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mainstay_drill::wire;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::outcome::{Outcome, Trouble, while_doing};

/// Instances on the stage.
pub(super) const INSTANCES: usize = 4;
/// Where the gateway listens if nobody says otherwise and it is free.
const USUAL_PORT: u16 = 8080;
/// Where it is steered, likewise.
const USUAL_ADMIN_PORT: u16 = 9900;
/// What the directory of a demo is called: this, the process and something of luck.
const DIRECTORY: &str = "mainstay-demo-";
/// What lies in it.
const CONFIGURATION: &str = "mainstay.toml";
const LOG: &str = "node.log";
/// How long a process may take to listen.
const PATIENCE: Duration = Duration::from_secs(15);

/// A process that ends when this is dropped.
#[derive(Debug)]
struct Owned(Child);

impl Owned {
    fn signal(&self, signal: Signal) -> Outcome {
        let pid = Pid::from_raw(self.0.id().cast_signed()).ok_or_else(|| Trouble::failed("a process without an id"))?;
        kill_process(pid, signal).map_err(while_doing("sending a signal"))
    }

    fn has_ended(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(Some(_)) | Err(_))
    }

    fn kill(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One instance and where it listens.
#[derive(Debug)]
struct Instance {
    address: SocketAddr,
    process: Owned,
}

/// Everything that the demo started.
#[derive(Debug)]
pub(crate) struct Stage {
    instances: Vec<Instance>,
    node: Owned,
    web: SocketAddr,
    admin: SocketAddr,
    dir: TempDir,
}

impl Stage {
    /// Starts everything and waits until it answers.
    pub(super) async fn set(port: Option<u16>) -> Outcome<Self> {
        sweep(&std::env::temp_dir());
        let dir = TempDir::with_prefix(format!("{DIRECTORY}{}-", std::process::id()))
            .map_err(while_doing("making a directory"))?;
        let web = SocketAddr::from((Ipv4Addr::LOCALHOST, port.map_or_else(|| free_port(USUAL_PORT), Ok)?));
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(USUAL_ADMIN_PORT)?));
        let mut instances: Vec<Instance> = Vec::new();
        for number in 1..=INSTANCES {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(0)?));
            instances.push(Instance { address, process: start_instance(number, address)? });
        }
        for instance in &mut instances {
            wait_for(&mut instance.process, instance.address, "/health").await.map_err(while_doing("an instance"))?;
        }
        let file = dir.path().join(CONFIGURATION);
        let addresses: Vec<SocketAddr> = instances.iter().map(|instance| instance.address).collect();
        std::fs::write(&file, configuration(web, admin, &addresses))
            .map_err(while_doing("writing the configuration"))?;
        let node = start_node(&file, &dir.path().join(LOG))?;
        let mut stage = Self { instances, node, web, admin, dir };
        let ready = wait_for(&mut stage.node, admin, "/health/ready").await;
        ready.map_err(|why| stage.node_failed(&why))?;
        Ok(stage)
    }

    fn node_failed(&self, why: &Trouble) -> Trouble {
        let log = std::fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default();
        Trouble::failed(format!("the gateway is not there: {why}\n{log}"))
    }

    /// Where to ask.
    pub(super) fn web(&self) -> SocketAddr {
        self.web
    }

    /// Where to steer.
    pub(super) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The configuration that is played with.
    pub(super) fn file(&self) -> PathBuf {
        self.dir.path().join(CONFIGURATION)
    }

    /// The addresses of the instances.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.instances.iter().map(|instance| instance.address.to_string()).collect()
    }

    /// What a person needs to look at it from another window.
    pub(super) fn introduction(&self) -> String {
        format!(
            "try it   curl -i http://{}/\nlook in  mainstay endpoints --admin {}\nread     {}",
            self.web,
            self.admin,
            self.file().display()
        )
    }

    /// Ends an instance as a power cut would.
    pub(super) fn kill(&mut self, number: usize) {
        self.instances[number - 1].process.kill();
    }

    /// Starts again, each where it was, the instances that have ended.
    ///
    /// # Errors
    /// One does not come up, or the gateway has ended, without which there is nothing to show.
    pub(super) async fn revive(&mut self) -> Outcome {
        if self.node.has_ended() {
            return Err(self.node_failed(&Trouble::failed("it has ended")));
        }
        for (number, instance) in (1..).zip(&mut self.instances) {
            if instance.process.has_ended() {
                instance.process = start_instance(number, instance.address)?;
                let up = wait_for(&mut instance.process, instance.address, "/health").await;
                up.map_err(while_doing("an instance"))?;
            }
        }
        Ok(())
    }

    /// The processes of the instances.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.instances.iter().map(|instance| instance.process.0.id()).collect()
    }

    /// Sends a signal to an instance.
    pub(super) fn signal(&self, number: usize, signal: Signal) -> Outcome {
        self.instances[number - 1].process.signal(signal)
    }

    /// Gives an instance a fault.
    pub(super) async fn fault(&self, number: usize, fault: &Value) -> Outcome {
        let address = self.instances[number - 1].address.to_string();
        let body = fault.to_string();
        let request = format!(
            "PUT /_fault HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = wire::once(&address, request.as_bytes(), PATIENCE, 1000).await;
        match answer.map_err(while_doing("switching a fault"))?.status {
            200 => Ok(()),
            status => Err(Trouble::failed(format!("switching a fault: status {status}"))),
        }
    }

    /// Takes the fault of an instance away.
    pub(super) async fn mend(&self, number: usize) -> Outcome {
        self.fault(number, &json!({ "kind": "off" })).await
    }
}

/// Takes away the directories of demos that were killed and could not do it themselves. Nothing but the two files that a
/// demo writes is ever removed.
fn sweep(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(DIRECTORY)?.split('-').next()?.parse::<i32>().ok());
        let Some(owner) = owner.and_then(Pid::from_raw) else { continue };
        if test_kill_process(owner) == Err(rustix::io::Errno::SRCH) {
            // What belongs to somebody else stays.
            let _ = std::fs::remove_file(entry.path().join(CONFIGURATION));
            let _ = std::fs::remove_file(entry.path().join(LOG));
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}

/// The usual port if it is free, else any that is.
fn free_port(usual: u16) -> Outcome<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, usual)).or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let address = listener.and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(while_doing("finding a free port"))
}

fn ourselves() -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe().map_err(while_doing("finding this program"))?);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // What is meant for the node that somebody runs is not meant for the one of the demo.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MAINSTAY_")) {
        command.env_remove(name);
    }
    Ok(command)
}

fn start(command: &mut Command) -> Outcome<Owned> {
    command.args(["--with-parent", &std::process::id().to_string()]);
    // A process group of its own: Ctrl-C is for the demo, which ends its children in order.
    std::os::unix::process::CommandExt::process_group(command, 0);
    command.spawn().map(Owned).map_err(while_doing("starting a process"))
}

fn start_instance(number: usize, address: SocketAddr) -> Outcome<Owned> {
    let name = format!("instance {number}");
    start(ourselves()?.args(["instance", "--listen", &address.to_string(), "--name", &name]))
}

fn start_node(file: &Path, log: &Path) -> Outcome<Owned> {
    let log = std::fs::File::create(log).map_err(while_doing("making a log"))?;
    start(ourselves()?.arg("run").arg(file).stderr(log))
}

async fn wait_for(process: &mut Owned, address: SocketAddr, path: &str) -> Outcome {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = wire::once(&address.to_string(), request.as_bytes(), PATIENCE, 0).await;
        match answer {
            Ok(answer) if answer.status == 200 => return Ok(()),
            _ if process.has_ended() => return Err(Trouble::failed("its process has ended")),
            _ if Instant::now() > end => return Err(Trouble::failed(format!("nothing answers at {address}"))),
            _ => sleep(Duration::from_millis(20)).await,
        }
    }
}

fn configuration(web: SocketAddr, admin: SocketAddr, instances: &[SocketAddr]) -> String {
    let endpoints: Vec<String> = instances.iter().map(|address| format!("\"{address}\"")).collect();
    format!(
        "[admin]\naddress = \"{admin}\"\n\n[log]\naccess = false\n\n\
         [[listener]]\nname = \"web\"\naddress = \"{web}\"\n\n\
         [[route]]\nservice = \"shop\"\n\n\
         [service.shop]\nendpoints = [{}]\n\n\
         [service.shop.health]\nhttp = \"/health\"\ninterval = \"500ms\"\n\n\
         # An instance that hangs is given up after this, so that another can still answer in time.\n\
         [service.shop.timeout]\nconnect = \"250ms\"\nattempt = \"600ms\"\n",
        endpoints.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_a_killed_demo_goes_and_no_other() {
        let parent = tempfile::tempdir().unwrap();
        let mut ended = Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let make = |name: String, file: &str| {
            let path = parent.path().join(name);
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join(file), "").unwrap();
            path
        };
        let killed = make(format!("{DIRECTORY}{}-a", ended.id()), LOG);
        let not_ours = make(format!("{DIRECTORY}{}-b", ended.id()), "letters");
        let running = make(format!("{DIRECTORY}{}-c", std::process::id()), LOG);
        let other = make("mainstay-demo-notes".to_owned(), LOG);
        sweep(parent.path());
        assert!(!killed.exists());
        assert!(not_ours.join("letters").exists() && running.join(LOG).exists() && other.join(LOG).exists());
    }
}
