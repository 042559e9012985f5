//! This node's replica of the consensus store: a member and its face, on threads of their own.
//!
//! Nothing of the store runs on a worker that carries calls or on the control runtime: a flush that takes long, or a
//! client that asks for much, is felt by nobody else.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mainstay_config::{Config, Store};
use mainstay_store::{Engine, etcd};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How many threads the store has: its agreement on one, its clients on the other.
const THREADS: usize = 2;

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
    runtime: Option<Runtime>,
    engine: Engine,
    stop: Option<oneshot::Sender<()>>,
    face: JoinHandle<()>,
}

impl Replica {
    /// Starts the replica that the configuration wants, if it wants one. `name` is the node's.
    pub(crate) async fn start(config: &Config, name: &str) -> Result<Option<Self>, StoreError> {
        let Some(store) = &config.store else { return Ok(None) };
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(THREADS).thread_name("store").enable_all().build();
        let runtime = runtime.map_err(StoreError::Threads)?;
        let settings = settings(config, store, name);
        let (client, peer) = (store.client, store.peer);
        let face = etcd::Settings { election: settings.election, ..etcd::Settings::default() };
        let starting = runtime.spawn(async move {
            let peers = listen("store.peer", peer).await?;
            let clients = listen("store.client", client).await?;
            Ok::<_, StoreError>((Engine::start(settings, peers).await?, clients))
        });
        let started = starting.await.unwrap_or_else(|broken| Err(StoreError::Threads(io::Error::other(broken))));
        let (engine, clients) = match started {
            Ok(started) => started,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) };
        let face = runtime.spawn(etcd::serve(engine.clone(), clients, face, stopped));
        tracing::info!(%client, %peer, "the store is running");
        Ok(Some(Self { runtime: Some(runtime), engine, stop: Some(stop), face }))
    }

    /// Ends it: clients first, then the member, which hands over if it leads.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        // A face that broke has ended too.
        _ = (&mut self.face).await;
        let Some(runtime) = self.runtime.take() else { return };
        let engine = self.engine.clone();
        _ = runtime.spawn(async move { engine.stop().await }).await;
        runtime.shutdown_background();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn settings(config: &Config, store: &Store, name: &str) -> mainstay_store::Settings {
    let std = |length: mainstay_core::Duration| Duration::from_nanos(length.as_nanos());
    let mut settings = mainstay_store::Settings::new(name, config.node.data_dir.join(DIRECTORY));
    settings.client = store.client.to_string();
    settings.peer = store.peer.to_string();
    settings.members = store.members.iter().cloned().collect();
    settings.election = std(store.election);
    settings.quota = store.quota.0;
    settings.keep = store.keep.map(std);
    settings
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, StoreError> {
    TcpListener::bind(address).await.map_err(|source| StoreError::Listen { key, address, source })
}
