//! A running node: its start, its reloads and its end.
//!
//! The start is whole or not at all: whatever cannot be had (an address, a thread) ends it with a word about what and
//! why, and nothing is left running. The end has an order: readiness fails; `node.drain_delay` passes, in which load
//! balancers notice; nothing new is accepted; what runs is finished, up to `node.drain`. A second signal ends it at
//! once. The admin API answers to the last, so that the end can be watched.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mainstay_config::{Config, Level, Loaded, LogFormat};
use mainstay_core::{Bytes, Seed};
use mainstay_gateway::{Gateway, Recordings};
use mainstay_telemetry::{AccessLog, LineFormat};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::{self, Guard};
use crate::descriptors::{self, Room};
use crate::file::{ConfigFile, Watch};
use crate::running::Running;
use crate::shared::Shared;
use crate::store::{Replica, StoreError};

/// How often the configuration's file is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// The longest wait for the last lines of the access log, and for the last answers of the admin API.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address of the admin API cannot be listened on.
    #[error("{key} cannot listen on {address}")]
    Listen {
        /// The key of the configuration.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The access log gets no thread.
    #[error("the access log cannot start")]
    AccessLog(#[source] io::Error),
    /// The directory for a recording cannot be made or read.
    #[error("nothing can be recorded into {directory}")]
    Recording {
        /// The directory.
        directory: String,
        /// What the system says.
        source: io::Error,
    },
    /// The gateway does not start.
    #[error("the gateway cannot start")]
    Gateway(#[source] mainstay_gateway::StartError),
    /// The store does not start.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a node is told to record of its decisions.
#[derive(Debug, Clone)]
pub struct RecordTo {
    /// Where.
    pub directory: PathBuf,
    /// Bytes over all workers.
    pub max: Bytes,
}

/// How a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// What ran was finished, or the time for it was over.
    Drained,
    /// A second signal ended it at once.
    AtOnce,
}

/// A running node. Dropping it ends it at once.
pub struct Node {
    shared: Arc<Shared>,
    admin: SocketAddr,
    probe: Option<SocketAddr>,
    listeners: Vec<(String, SocketAddr)>,
    store: Option<Replica>,
    stop_admin: watch::Sender<bool>,
    tasks: JoinSet<()>,
    watcher: tokio::task::AbortHandle,
    recordings: Recordings,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("admin", &self.admin).field("probe", &self.probe).finish_non_exhaustive()
    }
}

impl Node {
    /// Starts a node with `loaded`; reloads read `file`. On the runtime that calls it stand the admin API and all that
    /// is slow; calls run on threads of their own. The log is started unless the process has one.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub async fn start(loaded: Loaded, file: ConfigFile) -> Result<Self, StartError> {
        Self::start_recorded(loaded, file, None).await
    }

    /// As [`Node::start`], and what its workers decide is recorded.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub async fn start_recorded(
        loaded: Loaded,
        file: ConfigFile,
        record: Option<RecordTo>,
    ) -> Result<Self, StartError> {
        let config = Arc::new(loaded.config.clone());
        // A process that has started a log of its own keeps it.
        let _ = mainstay_telemetry::start_logs(level(config.log.level), format(config.log.format));
        make_room(&config);
        let admin = listen("admin.address", config.admin.address).await?;
        let probe = match config.admin.probe {
            Some(address) => Some(listen("admin.probe", address).await?),
            None => None,
        };
        let access = access_log(&config).map_err(StartError::AccessLog)?;
        let began = std::time::Instant::now();
        let recordings = recordings(record)?;
        let gateway = Gateway::start_recorded(Arc::clone(&config), &access, seed(), &recordings).await;
        let gateway = gateway.map_err(StartError::Gateway)?;
        let guard = Guard::new(config.admin.address.ip(), config.admin.token.clone());
        let shared = Arc::new(Shared::new((gateway, began), access, file, guard.clone(), Arc::new(loaded)));
        let listeners = shared.gateway.addresses().await;
        let store = Replica::start(&config, &shared.name()).await?;
        Ok(Self { store, recordings, ..Self::serve(shared, guard, admin, probe, listeners) })
    }

    fn serve(
        shared: Arc<Shared>,
        guard: Guard,
        (admin, admin_address): (TcpListener, SocketAddr),
        probe: Option<(TcpListener, SocketAddr)>,
        listeners: Vec<(String, SocketAddr)>,
    ) -> Self {
        let (stop_admin, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let running = || -> Arc<dyn Running> { Arc::<Shared>::clone(&shared) };
        tasks.spawn(admin::serve_admin(admin, guard, running(), stopped.clone()));
        let probe = probe.map(|(listener, address)| {
            tasks.spawn(admin::serve_probe(listener, running(), stopped));
            address
        });
        let watcher = tasks.spawn(watch_file(Arc::clone(&shared)));
        for (listener, address) in &listeners {
            tracing::info!(listener, %address, "listening");
        }
        let (node, place) = (shared.name(), shared.loaded().config.node.clone());
        let told = |text: String| Some(text).filter(|text| !text.is_empty());
        let (region, zone) = (told(place.region), told(place.zone));
        tracing::info!(node, region, zone, admin = %admin_address, probe = probe.map(tracing::field::display), "the node is running");
        Self {
            shared,
            admin: admin_address,
            probe,
            listeners,
            store: None,
            stop_admin,
            tasks,
            watcher,
            recordings: Recordings::off(),
        }
    }

    /// Where the admin API listens: what port the system chose for port 0.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Where the probe address listens, when there is one.
    #[must_use]
    pub fn probe_address(&self) -> Option<SocketAddr> {
        self.probe
    }

    /// Where the listeners listened at the start, by name: what ports the system chose for port 0.
    #[must_use]
    pub fn addresses(&self) -> &[(String, SocketAddr)] {
        &self.listeners
    }

    /// Runs until SIGTERM or SIGINT and then drains; SIGHUP reloads. A second SIGTERM or SIGINT ends it at once.
    ///
    /// # Errors
    /// The system does not let signals be handled.
    pub async fn run_until_stopped(self) -> io::Result<Ending> {
        let mut stops =
            Stops { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
        let mut hangup = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                () = stops.recv() => break,
                // What came of it stands in the log.
                Some(()) = hangup.recv() => drop(self.shared.reload().await),
            }
        }
        tracing::info!("stopping: what runs is finished; a second signal ends it at once");
        tokio::select! {
            () = self.drain() => Ok(Ending::Drained),
            () = stops.recv() => Ok(Ending::AtOnce),
        }
    }

    /// Drains and ends the node.
    pub async fn drain(self) {
        let Self { shared, store, stop_admin, mut tasks, watcher, recordings, .. } = self;
        let config = shared.loaded().config.node.clone();
        watcher.abort();
        shared.begin_stop();
        tokio::time::sleep(std(config.drain_delay)).await;
        shared.gateway.drain(std(config.drain)).await;
        if let Some(store) = store {
            store.stop().await;
        }
        // Nobody is left to be told when this fails; those who wait for an answer get it.
        let _ = stop_admin.send(true);
        let _ = tokio::time::timeout(LAST_WORDS, async { while tasks.join_next().await.is_some() {} }).await;
        tasks.abort_all();
        let access = shared.access.clone();
        // With the gateway go its workers, each of which hands over its last lines.
        drop((tasks, shared));
        let written = tokio::task::spawn_blocking(move || (access.finish(LAST_WORDS), recordings.finish(LAST_WORDS)));
        let (access, recordings) = written.await.unwrap_or((false, false));
        if !access {
            tracing::warn!("the last lines of the access log may be missing");
        }
        if !recordings {
            tracing::warn!("the end of the recording may be missing");
        }
        tracing::info!("stopped");
    }
}

struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn watch_file(shared: Arc<Shared>) {
    let mut watch = Watch::default();
    loop {
        tokio::time::sleep(LOOK).await;
        let file = shared.file().clone();
        let looking = tokio::task::spawn_blocking(move || {
            let settled = watch.settled(file.look());
            (watch, settled && file.is_news())
        });
        // A look that panicked would panic again.
        let Ok((watched, news)) = looking.await else { return };
        watch = watched;
        if news {
            // What came of it stands in the log.
            drop(shared.reload().await);
        }
    }
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { key, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn make_room(config: &Config) {
    let wanted = config.limits.connections;
    if let Room::Short { connections } = descriptors::make_room(wanted) {
        tracing::warn!(
            wanted,
            connections,
            "the system does not give enough file descriptors for limits.connections: raise the hard limit (ulimit -Hn)"
        );
    }
}

fn recordings(record: Option<RecordTo>) -> Result<Recordings, StartError> {
    let Some(RecordTo { directory, max }) = record else { return Ok(Recordings::off()) };
    Recordings::into_directory(&directory, max, env!("CARGO_PKG_VERSION"))
        .map_err(|source| StartError::Recording { directory: directory.display().to_string(), source })
}

fn access_log(config: &Config) -> io::Result<AccessLog> {
    if !config.log.access {
        return Ok(AccessLog::off());
    }
    let lines = if format(config.log.format).is_json() { LineFormat::Json } else { LineFormat::Text };
    AccessLog::start(Box::new(io::stderr()), lines)
}

/// Luck that is another at each start.
fn seed() -> Seed {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Seed::new(now.as_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(32))
}

fn std(length: mainstay_core::Duration) -> Duration {
    Duration::from_nanos(length.as_nanos())
}

fn level(level: Level) -> mainstay_telemetry::LogLevel {
    use mainstay_telemetry::LogLevel;
    match level {
        Level::Error => LogLevel::Error,
        Level::Warn => LogLevel::Warn,
        Level::Info => LogLevel::Info,
        Level::Debug => LogLevel::Debug,
        Level::Trace => LogLevel::Trace,
    }
}

fn format(format: LogFormat) -> mainstay_telemetry::LogFormat {
    match format {
        LogFormat::Auto => mainstay_telemetry::LogFormat::Auto,
        LogFormat::Text => mainstay_telemetry::LogFormat::Text,
        LogFormat::Json => mainstay_telemetry::LogFormat::Json,
    }
}
