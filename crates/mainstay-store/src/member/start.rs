//! How a member comes up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft::error::{Fatal, InitializeError, RaftError};
use openraft::{Config, SnapshotPolicy};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Inner;
use super::counts::Counts;
use crate::confirm::Confirmations;
use crate::elector::{Elector, lease};
use crate::identity::{Identity, Mistaken, number};
use crate::links::Links;
use crate::peer::{self, Hello, Link, Message};
use crate::propose::Proposals;
use crate::raft::{MemberId, Network, Opened, Place, Raft, open};
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
    /// No running cluster takes it in.
    #[error(
        "no cluster of store.join takes this node in ({why}): have it added there under the address {peer} (`mainstay store \
         member add {peer}`); one that was there before is removed first, and added anew"
    )]
    Join {
        /// The address at which it comes.
        peer: String,
        /// What was said by whoever was asked last.
        why: String,
    },
    /// The engine of consensus refuses.
    #[error("consensus cannot start: {0}")]
    Consensus(String),
}

/// How long is tried to come to a running cluster.
const JOIN: Duration = Duration::from_secs(10);

/// Entries that are kept behind a snapshot, for followers that are a little late.
const KEPT_ENTRIES: u64 = 1000;

/// Entries that go to a follower at once.
const ENTRIES: u64 = 64;

impl Inner {
    pub(crate) async fn start(settings: Settings, peers: TcpListener) -> Result<Arc<Self>, StartError> {
        let identity = match Identity::known(&settings)? {
            Some(known) => known,
            None if settings.join.is_empty() => Identity::begins(&settings)?,
            None => {
                let (cluster, member) = join(&settings).await?;
                Identity::joins(&settings, cluster, member)?
            }
        };
        let Opened { log, machine, keeper, data } = open(&settings, identity.member)?;
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
                changing: tokio::sync::Mutex::new(()),
                removed: watch::Sender::new(false),
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
                counts: Counts::default(),
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
        tasks.spawn(Arc::clone(self).look_after_members());
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
        tell_of_other_members(raft, settings);
        let members = raft.metrics().borrow().membership_config.membership().clone();
        // Whoever is alone need not wait until nobody else leads.
        if members.voter_ids().eq([identity.member]) {
            raft.trigger().elect().await.map_err(fatal)?;
        }
        return Ok(());
    }
    if identity.joined {
        return Ok(());
    }
    let mut members: BTreeMap<_, _> =
        settings.members.iter().map(|(name, peer)| (number(name), place(name, peer))).collect();
    if members.is_empty() {
        members.insert(identity.member, place(&settings.name, &settings.peer));
    }
    match raft.initialize(members).await {
        Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
        Err(error) => Err(StartError::Consensus(error.to_string())),
    }
}

fn place(name: &str, peer: &str) -> Place {
    Place { name: name.to_owned(), peer: peer.to_owned(), votes: true, ..Place::default() }
}

/// Says so when the members that the settings name are not those that are: the log's count.
fn tell_of_other_members(raft: &Raft, settings: &Settings) {
    let metrics = raft.metrics();
    let metrics = metrics.borrow();
    let places = metrics.membership_config.membership().nodes();
    let are: BTreeMap<_, _> = places.map(|(_, place)| (place.name.clone(), place.peer.clone())).collect();
    if !settings.members.is_empty() && settings.members != are {
        tracing::info!(named = ?settings.members, ?are, "the members have changed since store.members was written: it is not looked at");
    }
}

/// Asks those of a running cluster who this is: their cluster, and the number that this member was given.
async fn join(settings: &Settings) -> Result<(u64, MemberId), StartError> {
    let until = Instant::now() + JOIN;
    loop {
        let mut why = String::new();
        for address in &settings.join {
            let said = Message::Join { peer: settings.peer.clone() };
            let asked = Link::new(address, Hello::STRANGER).ask(said, JOIN).await;
            why = match asked {
                Ok(Message::Welcome { cluster, member }) => return Ok((cluster, member)),
                Ok(Message::Failed(failure)) => format!("{address}: {failure}"),
                Ok(_) => format!("{address} gives an answer that does not fit"),
                Err(unreachable) => unreachable.to_string(),
            };
        }
        if Instant::now() > until {
            return Err(StartError::Join { peer: settings.peer.clone(), why });
        }
        sleep(Duration::from_millis(500)).await;
    }
}
