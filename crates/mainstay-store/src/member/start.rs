//! How a member comes up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft::error::{Fatal, InitializeError, RaftError};
use openraft::{Config, SnapshotPolicy};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Inner;
use crate::confirm::Confirmations;
use crate::elector::{Elector, lease};
use crate::identity::{Identity, Mistaken, number};
use crate::links::Links;
use crate::peer;
use crate::propose::Proposals;
use crate::raft::{Network, Opened, Place, Raft, open};
use crate::settings::Settings;
use crate::turns::{Asker, Reads};
use crate::voice::Voice;

/// Why a member cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It is not who its settings say.
    #[error(transparent)]
    Mistaken(#[from] Mistaken),
    /// Its data cannot be used.
    #[error("{0}")]
    Data(String),
    /// The engine of consensus refuses.
    #[error("consensus cannot start: {0}")]
    Consensus(String),
}

/// Entries that are kept behind a snapshot, for followers that are a little late.
const KEPT_ENTRIES: u64 = 1000;

/// Entries that go to a follower at once.
const ENTRIES: u64 = 64;

impl Inner {
    pub(crate) async fn start(settings: Settings, peers: TcpListener) -> Result<Arc<Self>, StartError> {
        let identity = Identity::of(&settings)?;
        let Opened { log, machine, keeper, data } = open(&settings)?;
        let links = Arc::new(Links::new(identity.cluster, identity.member));
        let voice = Arc::new(Mutex::new(Voice::new(identity.member, identity.whole)));
        let network = Network { links: Arc::clone(&links), voice: Arc::clone(&voice) };
        let raft = Raft::new(identity.member, Arc::new(config(&settings)), network, log.clone(), machine).await;
        let raft = raft.map_err(|fatal| StartError::Consensus(fatal.to_string()))?;
        begin(&raft, &settings, &identity).await?;

        let inner = Arc::new_cyclic(|this: &std::sync::Weak<Self>| {
            let (proposals, proposing) = Proposals::start(this.clone());
            let this = this.clone();
            let (confirmations, confirming) = Confirmations::start(move || {
                let this = this.clone();
                async move {
                    match this.upgrade() {
                        Some(this) => this.confirm_round().await,
                        None => Err(crate::Failure::Stopped("the member has ended".to_owned())),
                    }
                }
            });
            let mut tasks = JoinSet::new();
            tasks.spawn(proposing);
            tasks.spawn(confirming);
            Self {
                elector: Mutex::new(Elector::new(settings.election, identity.member, Duration::ZERO)),
                clients: Mutex::new(BTreeMap::from([(identity.member, settings.client.clone())])),
                voice,
                settings,
                identity,
                data,
                metrics: raft.metrics(),
                raft,
                log,
                keeper,
                links,
                proposals,
                own: Asker::default(),
                askers: Mutex::default(),
                reads: Reads::default(),
                confirmations,
                receiving: tokio::sync::Mutex::new(None),
                counted: Mutex::new(None),
                yielding: AtomicBool::new(false),
                rounds: AtomicU64::new(0),
                tasks: Mutex::new(Some(tasks)),
            }
        });
        inner.keep_going(peers);
        Ok(inner)
    }

    /// Starts what goes on by itself.
    fn keep_going(self: &Arc<Self>, peers: TcpListener) {
        let mut tasks = self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(tasks) = tasks.as_mut() else { return };
        tasks.spawn(peer::serve(peers, Arc::clone(self)));
        tasks.spawn(Arc::clone(self).beat());
        tasks.spawn(Arc::clone(self).elect());
        tasks.spawn(Arc::clone(self).recall());
        tasks.spawn(Arc::clone(self).expire());
        tasks.spawn(Arc::clone(self).compact());
        tasks.spawn(Arc::clone(self).tidy());
        tasks.spawn(Arc::clone(self).introduce());
        tasks.spawn(Arc::clone(self).look_at_disk());
        let watches = self.data.watches.clone();
        tasks.spawn(async move { watches.run().await });
    }
}

/// What the engine of consensus is told. Elections and signs of life are ours, so that its own are off; its heartbeat is
/// how long it waits for an answer to entries.
fn config(settings: &Settings) -> Config {
    let ms = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let lease = ms(lease(settings.election));
    Config {
        cluster_name: "mainstay".to_owned(),
        election_timeout_min: lease.saturating_sub(1),
        election_timeout_max: lease,
        heartbeat_interval: lease * 4 / 5,
        max_payload_entries: ENTRIES,
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: KEPT_ENTRIES,
        enable_elect: false,
        enable_heartbeat: false,
        ..Config::default()
    }
}

/// Makes a new cluster of the members that the settings name, if this is the first start.
async fn begin(raft: &Raft, settings: &Settings, identity: &Identity) -> Result<(), StartError> {
    let fatal = |fatal: Fatal<u64>| StartError::Consensus(fatal.to_string());
    if raft.is_initialized().await.map_err(fatal)? {
        let members = raft.metrics().borrow().membership_config.membership().clone();
        // Whoever is alone need not wait until nobody else leads.
        if members.voter_ids().eq([identity.member]) {
            raft.trigger().elect().await.map_err(fatal)?;
        }
        return Ok(());
    }
    let mut members: BTreeMap<_, _> = settings
        .members
        .iter()
        .map(|(name, peer)| (number(name), Place { name: name.clone(), peer: peer.clone() }))
        .collect();
    if members.is_empty() {
        let place = Place { name: settings.name.clone(), peer: settings.peer.clone() };
        members.insert(identity.member, place);
    }
    match raft.initialize(members).await {
        Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
        Err(error) => Err(StartError::Consensus(error.to_string())),
    }
}
