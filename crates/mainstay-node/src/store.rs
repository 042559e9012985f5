//! This node's replica of the consensus store: a member and its face, on a thread of their own.
//!
//! Nothing of the store runs on a worker that carries calls or on the control runtime: a flush that takes long, or a
//! client that asks for much, is felt by nobody else.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mainstay_config::{Config, Store};
use mainstay_store::{Engine, etcd};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The store's directory in the node's.
const DIRECTORY: &str = "store";

/// Why the store does not start.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An address cannot be listened on.
    #[error("{key} cannot listen on {address}")]
    Listen {
        /// The key of the configuration.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// It gets no threads.
    #[error("the store cannot start")]
    Threads(#[source] io::Error),
    /// Its data or its settings cannot be used.
    #[error("the store cannot start")]
    Member(#[from] mainstay_store::StartError),
}

/// A running replica.
#[derive(Debug)]
pub(crate) struct Replica {
    thread: Thread,
    engine: Engine,
    stop: Option<oneshot::Sender<()>>,
    face: JoinHandle<()>,
}

/// The thread on which the store runs, all of it: what its tasks tell each other wakes no other thread, and answers that
/// come of one batch leave a connection in one write. It ends when this is dropped.
#[derive(Debug)]
struct Thread {
    runtime: Handle,
    _end: oneshot::Sender<()>,
}

impl Thread {
    fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            drop(runtime.block_on(ended));
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, _end: end })
    }
}

impl Replica {
    /// Starts the replica that the configuration wants, if it wants one. `name` is the node's.
    pub(crate) async fn start(config: &Config, name: &str) -> Result<Option<Self>, StoreError> {
        let Some(store) = &config.store else { return Ok(None) };
        let thread = Thread::start().map_err(StoreError::Threads)?;
        let settings = settings(config, store, name);
        let (client, peer) = (store.client, store.peer);
        let face = etcd::Settings { election: settings.election, ..etcd::Settings::default() };
        let starting = thread.runtime.spawn(async move {
            let peers = listen("store.peer", peer).await?;
            let clients = listen("store.client", client).await?;
            Ok::<_, StoreError>((Engine::start(settings, peers).await?, clients))
        });
        let started = starting.await.unwrap_or_else(|broken| Err(StoreError::Threads(io::Error::other(broken))));
        let (engine, clients) = started?;
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        let face = thread.runtime.spawn(etcd::serve(engine.clone(), clients, face, stopped));
        tracing::info!(%client, %peer, "the store is running");
        Ok(Some(Self { thread, engine, stop: Some(stop), face }))
    }

    /// Ends it: clients first, then the member, which hands over if it leads.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        // A face that broke has ended too.
        _ = (&mut self.face).await;
        let engine = self.engine.clone();
        _ = self.thread.runtime.spawn(async move { engine.stop().await }).await;
    }
}

fn settings(config: &Config, store: &Store, name: &str) -> mainstay_store::Settings {
    let std = |length: mainstay_core::Duration| Duration::from_nanos(length.as_nanos());
    let mut settings = mainstay_store::Settings::new(name, config.node.data_dir.join(DIRECTORY));
    settings.client = store.client.to_string();
    settings.peer = store.peer.to_string();
    settings.members = store.members.iter().cloned().collect();
    settings.join.clone_from(&store.join);
    settings.election = std(store.election);
    settings.quota = store.quota.0;
    settings.keep = store.keep.map(std);
    settings
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, StoreError> {
    TcpListener::bind(address).await.map_err(|source| StoreError::Listen { key, address, source })
}
