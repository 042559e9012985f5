//! Who stands before the instances, and with which configuration.
//!
//! Two sets. `careful`: each as somebody who knows it well would set it up for this service, with the same deadlines for
//! all: 250 ms to connect, 600 ms for an attempt, 1.9 s for a call, checks each 500 ms with two to fall and two to rise,
//! POSTs never repeated once they may have been applied, and at most 64 requests at one instance where the proxy lets
//! that be said. `least`: the endpoints, and nothing else that can be left away. Each has as many threads as there are
//! cores and writes an access log of its own, because each is asked what became of a request that was not good.

mod envoy;
mod haproxy;
mod mainstay;
mod nginx;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::process;

/// Who answers callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Peer {
    /// Ours
    Mainstay,
    /// nginx
    Nginx,
    /// HAProxy
    Haproxy,
    /// Envoy
    Envoy,
    /// Nobody: callers ask the instances in turn. Only in the surge, to know what the instances can do
    Direct,
}

/// What a configuration is made of.
#[derive(Debug)]
pub(super) struct Setting<'a> {
    /// Where everything lies.
    pub(super) dir: &'a Path,
    /// Where callers ask.
    pub(super) web: u16,
    /// Where operators ask, for those that have such a door.
    pub(super) admin: u16,
    /// Who is behind.
    pub(super) instances: &'a [u16],
    /// Nothing but endpoints.
    pub(super) least: bool,
    /// Checks look at what the answer says.
    pub(super) expect_body: bool,
}

impl Setting<'_> {
    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// One piece of text for each instance.
    fn each(&self, text: impl Fn(usize, u16) -> String) -> String {
        self.instances.iter().enumerate().map(|(number, &port)| text(number, port)).collect()
    }
}

/// Where a peer writes what became of each request: `id^what^details`, or lines of its own.
pub(super) const ACCESS_LOG: &str = "access.log";
/// Where a process writes what else it has to say.
pub(super) const OUTPUT: &str = "proxy";

impl Peer {
    /// The word in tables and results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mainstay => "mainstay",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Direct => "direct",
        }
    }

    /// Its program, if it is installed; none is needed to ask the instances themselves.
    pub(super) fn program(self, mainstay: &Path) -> Option<PathBuf> {
        match self {
            Self::Mainstay => Some(mainstay.to_path_buf()),
            Self::Nginx | Self::Haproxy => process::find(self.name()),
            Self::Envoy => envoy::find(),
            Self::Direct => Some(PathBuf::new()),
        }
    }

    /// Writes its configuration and gives the command that runs it in front.
    pub(super) fn command(self, program: &Path, setting: &Setting<'_>) -> Result<Command, String> {
        let (name, text) = match self {
            Self::Mainstay => ("mainstay.toml", mainstay::configuration(setting)),
            Self::Nginx => ("nginx.conf", nginx::configuration(setting)),
            Self::Haproxy => ("haproxy.cfg", haproxy::configuration(setting)),
            Self::Envoy => ("envoy.yaml", envoy::configuration(setting)),
            Self::Direct => return Err("nobody stands before the instances".to_owned()),
        };
        let file = setting.file(name);
        std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut command = Command::new(program);
        match self {
            Self::Mainstay => {
                command.arg("run").arg(&file).args(["--with-parent", &std::process::id().to_string()]);
                process::without_settings(&mut command);
            }
            Self::Nginx => drop(command.arg("-p").arg(setting.dir).arg("-c").arg(&file)),
            Self::Haproxy => drop(command.args(["-db", "-f"]).arg(&file)),
            _ => drop(envoy::arguments(&mut command).arg("-c").arg(&file)),
        }
        command.current_dir(setting.dir);
        Ok(command)
    }

    /// Whether its checks can look at what an answer says.
    pub(super) fn reads_bodies(self) -> bool {
        matches!(self, Self::Mainstay | Self::Haproxy | Self::Envoy)
    }
}
