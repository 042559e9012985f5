//! The stage of a story: members of one cluster in one process, each with its directory and its address.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use mainstay_mvcc::{Command, Done, KeyValue, Put, Range, Span};
use mainstay_store::{Engine, Failure, Settings, StartError};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// How long anything may take to come about.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster whose members can be ended and started again.
pub(crate) struct Cluster {
    directory: TempDir,
    /// The members that the cluster began with.
    first: BTreeMap<String, String>,
    addresses: BTreeMap<String, SocketAddr>,
    pub(crate) election: Duration,
    snapshot_after: u64,
    running: BTreeMap<String, Engine>,
}

impl Cluster {
    /// So many members, all started.
    pub(crate) async fn of(count: usize) -> Self {
        Self::with(count, 256 << 20).await
    }

    /// So many members that make a snapshot after so many bytes.
    pub(crate) async fn with(count: usize, snapshot_after: u64) -> Self {
        let cluster = Self::begun_by(count, count, snapshot_after).await;
        cluster.leader().await;
        cluster
    }

    /// So many members of which only the first so many are started.
    pub(crate) async fn begun_by(started: usize, count: usize, snapshot_after: u64) -> Self {
        let mut listeners = BTreeMap::new();
        for number in 1..=count {
            listeners.insert(format!("n{number}"), TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let address = |(name, listener): (&String, &TcpListener)| (name.clone(), listener.local_addr().unwrap());
        let addresses: BTreeMap<_, _> = listeners.iter().map(address).collect();
        let mut cluster = Self {
            directory: tempfile::tempdir().unwrap(),
            first: addresses.iter().map(|(name, at)| (name.clone(), at.to_string())).collect(),
            addresses,
            election: Duration::from_millis(400),
            snapshot_after,
            running: BTreeMap::new(),
        };
        for (name, listener) in listeners.into_iter().take(started) {
            cluster.start_at(&name, listener).await;
        }
        cluster
    }

    async fn start_at(&mut self, name: &str, listener: TcpListener) {
        self.try_start_at(name, listener).await.unwrap();
    }

    async fn try_start_at(&mut self, name: &str, listener: TcpListener) -> Result<(), StartError> {
        let mut settings = Settings::new(name, self.directory.path().join(name));
        settings.peer = self.addresses[name].to_string();
        settings.election = self.election;
        settings.snapshot_after = self.snapshot_after;
        settings.client = format!("{name}:2379");
        if !self.first.contains_key(name) {
            settings.join = self.running.keys().map(|name| self.addresses[name].to_string()).collect();
        } else if self.first.len() > 1 {
            settings.members = self.first.clone();
        }
        let engine = Engine::start(settings, listener).await?;
        self.running.insert(name.to_owned(), engine);
        Ok(())
    }

    /// An address for a member that is to come: where the others will reach it.
    pub(crate) async fn place(&mut self, name: &str) -> String {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        self.addresses.insert(name.to_owned(), free);
        free.to_string()
    }

    /// Has a member added, started, and made a voter: its number.
    pub(crate) async fn grow(&mut self, name: &str) -> u64 {
        let peer = self.place(name).await;
        let id = eventually(async || self.any().add(&peer, false).await.ok()).await;
        self.start(name).await;
        self.votes(id).await;
        id
    }

    /// Waits until all know a member as one that votes.
    pub(crate) async fn votes(&self, id: u64) {
        let votes = |engine: &Engine| engine.members().iter().any(|member| member.id == id && !member.learner);
        eventually(async || self.running.values().all(votes).then_some(())).await;
    }

    /// The number of a member.
    pub(crate) fn id(&self, name: &str) -> u64 {
        self.running[name].header().member
    }

    /// Where the others reach a member.
    pub(crate) fn peer(&self, name: &str) -> String {
        self.addresses[name].to_string()
    }

    /// A member that the cluster began with comes anew from now on, as one that was never there.
    pub(crate) fn forget_that_it_was_among_the_first(&mut self, name: &str) {
        self.first.remove(name);
    }

    /// Starts a member that may not come up.
    pub(crate) async fn try_start(&mut self, name: &str) -> Result<(), StartError> {
        let listener = TcpListener::bind(self.addresses[name]).await.unwrap();
        self.try_start_at(name, listener).await
    }

    /// Starts a member that was ended.
    pub(crate) async fn start(&mut self, name: &str) {
        let listener = TcpListener::bind(self.addresses[name]).await.unwrap();
        self.start_at(name, listener).await;
    }

    /// Ends a member in good order.
    pub(crate) async fn stop(&mut self, name: &str) {
        let engine = self.running.remove(name).unwrap();
        engine.stop().await;
    }

    /// A member that was ended loses all its data.
    pub(crate) fn lose(&self, name: &str) {
        std::fs::remove_dir_all(self.directory.path().join(name)).unwrap();
    }

    pub(crate) fn member(&self, name: &str) -> &Engine {
        &self.running[name]
    }

    pub(crate) fn any(&self) -> &Engine {
        self.running.values().next().unwrap()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &Engine)> {
        self.running.iter()
    }

    /// The name of the member that leads, once all that run agree on it.
    pub(crate) async fn leader(&self) -> String {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let leaders: Vec<u64> = self.running.values().map(|engine| engine.status().leader).collect();
            if leaders[0] != 0 && leaders.iter().all(|leader| *leader == leaders[0]) {
                let members = self.any().members();
                let leader = members.iter().find(|member| member.id == leaders[0]).unwrap();
                if self.running.contains_key(&leader.name) {
                    return leader.name.clone();
                }
            }
            assert!(tokio::time::Instant::now() < end, "nobody leads: {leaders:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What comes about sooner or later.
pub(crate) async fn eventually<T>(mut seen: impl AsyncFnMut() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = seen().await {
            return seen;
        }
        assert!(tokio::time::Instant::now() < end, "it does not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sets a key.
pub(crate) fn put(key: &str, value: &str) -> Command {
    let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value.as_bytes()));
    Command::Put(Put { key, value: Some(value), lease: Some(0), previous: false })
}

/// Sets a key, and says at which revision.
pub(crate) async fn set(engine: &Engine, key: &str, value: &str) -> i64 {
    let applied = engine.propose(put(key, value)).await.unwrap();
    assert_eq!(applied.done, Ok(Done::Put(None)));
    applied.revision
}

/// Reads a key, linearizably.
pub(crate) async fn get(engine: &Engine, key: &str) -> Result<Option<KeyValue>, Failure> {
    engine.confirm().await?;
    let (_, found) = engine.read(&Range::all(Span::key(Bytes::copy_from_slice(key.as_bytes()))))?;
    Ok(found.kvs.into_iter().next())
}
