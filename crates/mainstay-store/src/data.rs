//! What a member knows: the data, how far it has come, and who waits for it to come further.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use mainstay_core::Instant as Moment;
use mainstay_mvcc::{LeaseClock, Pin, Revision, Saving, Store};
use openraft::StoredMembership;
use tokio::sync::watch;

use crate::raft::{LogId, MemberId, Place};
use crate::watch::Watches;

/// The members as of an entry of the log.
pub(crate) type Members = StoredMembership<MemberId, Place>;

/// How much of the data is gathered under one lock of the store, in bytes: a fraction of a millisecond.
const PIECE: usize = 256 << 10;

/// What a member knows. Who takes several of its locks takes them in the order in which they stand here.
#[derive(Debug)]
pub(crate) struct Data {
    store: Arc<RwLock<Store>>,
    reached: Mutex<Reached>,
    leases: Mutex<LeaseClock>,
    applied: watch::Sender<Option<u64>>,
    pub(crate) watches: Watches,
    me: MemberId,
    /// This member is one, and does not vote.
    learns: AtomicBool,
    born: Instant,
}

/// How far the log has been carried out. It changes only under the store's lock, together with the store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reached {
    pub(crate) applied: Option<LogId>,
    pub(crate) members: Members,
}

impl Data {
    /// What the member of this number knows.
    pub(crate) fn new(store: Store, reached: Reached, me: MemberId) -> Self {
        let applied = watch::Sender::new(reached.applied.map(|id| id.index));
        let store = Arc::new(RwLock::new(store));
        Self {
            watches: Watches::new(Arc::clone(&store)),
            store,
            reached: Mutex::new(reached),
            leases: Mutex::default(),
            applied,
            me,
            learns: AtomicBool::new(false),
            born: Instant::now(),
        }
        .with_part()
    }

    fn with_part(self) -> Self {
        self.look_at_part();
        self
    }

    /// Looks at what part this member has: whenever the members have changed.
    pub(crate) fn look_at_part(&self) {
        let reached = self.reached();
        let members = reached.members.membership();
        let learns = members.get_node(&self.me).is_some() && !members.voter_ids().any(|id| id == self.me);
        self.learns.store(learns, Ordering::Relaxed);
    }

    /// Whether this member only learns.
    pub(crate) fn learns(&self) -> bool {
        self.learns.load(Ordering::Relaxed)
    }

    /// How long the member has been up: the clock of its elections.
    pub(crate) fn now(&self) -> Duration {
        self.born.elapsed()
    }

    /// The same as a moment: the clock of its leases.
    pub(crate) fn instant(&self) -> Moment {
        Moment::from_nanos(u64::try_from(self.now().as_nanos()).unwrap_or(u64::MAX))
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Store> {
        self.store.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is pinned, in pieces, each gathered under a lock of its own.
    pub(crate) fn pieces(&self, pin: Pin) -> impl Iterator<Item = Vec<u8>> {
        let mut saving = Saving::new(pin);
        std::iter::from_fn(move || self.read().piece(&mut saving, PIECE))
    }

    pub(crate) fn reached(&self) -> MutexGuard<'_, Reached> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn leases(&self) -> MutexGuard<'_, LeaseClock> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says to those who wait how far it has come.
    pub(crate) fn publish(&self) {
        let applied = self.reached().applied.map(|id| id.index);
        self.applied.send_replace(applied);
        self.watches.applied();
    }

    /// Waits until what is here is of this revision or later; whether it was in time.
    pub(crate) async fn reaches_revision(&self, revision: Revision, within: Duration) -> bool {
        let mut applied = self.applied.subscribe();
        let reached = applied.wait_for(|_| self.read().revision() >= revision);
        tokio::time::timeout(within, reached).await.is_ok_and(|reached| reached.is_ok())
    }

    /// Waits until an entry of the log is carried out here; whether it was in time.
    pub(crate) async fn reaches(&self, index: u64, within: Duration) -> bool {
        let mut applied = self.applied.subscribe();
        let reached = applied.wait_for(|applied| applied.is_some_and(|at| at >= index));
        tokio::time::timeout(within, reached).await.is_ok_and(|reached| reached.is_ok())
    }
}
