//! How a member is set up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How a member is set up. What is not in here follows from it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The member's name, one of those in `members` where there are any.
    pub name: String,
    /// The directory of its data, its own alone.
    pub directory: PathBuf,
    /// Where clients reach it, `HOST:PORT`: told to those who ask for the members.
    pub client: String,
    /// Where other members reach it, `HOST:PORT`.
    pub peer: String,
    /// The members of a new cluster, name and peer address, this one among them. Nobody means a cluster of one. Looked at
    /// on the first start only: later the log knows.
    pub members: BTreeMap<String, String>,
    /// Where members of a running cluster are reached, `HOST:PORT`, for a member that comes to them. Looked at on the first
    /// start only.
    pub join: Vec<String>,
    /// The longest that a dead leader goes unnoticed; 1 s, ten times a round trip between cities and a slow flush.
    pub election: Duration,
    /// How much the data may take, in bytes; 2 GiB, as etcd has it: all of it is in memory on every member.
    pub quota: u64,
    /// How much the log grows until a snapshot takes its place, in bytes, or more where the data is larger, so that no more
    /// is written for snapshots than for the log; 256 MiB, some seconds of a restart.
    pub snapshot_after: u64,
    /// How long old revisions are remembered; 1 h. `None` for as long as nobody compacts.
    pub keep: Option<Duration>,
}

impl Settings {
    /// A member of this name with its data in this directory, alone, with the defaults.
    #[must_use]
    pub fn new(name: impl Into<String>, directory: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            directory: directory.into(),
            client: "127.0.0.1:2379".to_owned(),
            peer: "127.0.0.1:2380".to_owned(),
            members: BTreeMap::new(),
            join: Vec::new(),
            election: Duration::from_secs(1),
            quota: 2 << 30,
            snapshot_after: 256 << 20,
            keep: Some(Duration::from_secs(3600)),
        }
    }
}
