//! Which connection to an endpoint carries the next call, and which are closed.
//!
//! The driver owns the sockets; this decides about them. A connection is known by a small number from the moment when
//! it is ordered ([`Checkout::Connect`]) until it is closed, so that a driver can use it as an index.
//!
//! - The connection used last is used next. So a few stay warm and the others grow old and are closed; in turn, all
//!   would be kept alive for a load that needs a few.
//! - A server closes a connection that was idle for its own keep-alive time, and its FIN may cross with our request.
//!   So none is used that was idle for [`PoolSettings::idle`], which is set under that time; and a call that must not be
//!   repeated gets only one that was used just now, or a new one ([`Freshness`]).
//! - Idle and busy connections together never exceed the size. When a new one is needed and there is no room, the
//!   oldest idle one makes room.
//!
//! What [`Pool::poll_expired`] names is to be closed, before a connection that [`Checkout::Connect`] orders is opened.

use std::collections::VecDeque;

use mainstay_core::{Deadline, Duration, Instant, MethodClass};

use crate::PoolSettings;

/// Idle for less than this is "just now": a quarter of the shortest keep-alive time that is common (1 s), which leaves
/// room for the way and for a driver that is busy.
const JUST_NOW: Duration = Duration::from_millis(250);

/// Idle connections kept at most: as many as a service's attempts at once by default.
const IDLE_MAX: usize = 1024;

/// One connection of one pool. Numbers are used again when a connection was closed, the lowest ones mostly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// How old an idle connection may be for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// As old as the settings allow.
    Any,
    /// Idle for less than 250 ms, or new.
    JustUsed,
    /// New: for one more attempt after an old connection broke.
    New,
}

impl Freshness {
    /// What a call with such a method needs.
    #[must_use]
    pub const fn of(method: MethodClass) -> Self {
        if method.is_idempotent() { Self::Any } else { Self::JustUsed }
    }
}

/// Where a call's connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkout {
    /// Take this one.
    Reuse(ConnectionId),
    /// Open one, and call it this. When that fails, it is [`Pool::closed`].
    Connect(ConnectionId),
    /// All are busy and no more are allowed.
    Full,
}

/// Why a pool wakes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolTimer {
    /// A connection was idle for long enough.
    Idle,
}

/// The connections of one worker to one endpoint.
#[derive(Debug, Clone)]
pub struct Pool {
    settings: PoolSettings,
    /// What each number stands for.
    states: Vec<State>,
    unused: Vec<ConnectionId>,
    /// The oldest in front.
    idle: VecDeque<Idle>,
    /// To be closed by the driver.
    retired: VecDeque<ConnectionId>,
    busy: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unused,
    Busy,
    Idle,
    Retired,
}

#[derive(Debug, Clone, Copy)]
struct Idle {
    id: ConnectionId,
    since: Instant,
}

impl Pool {
    /// A pool without connections.
    #[must_use]
    pub fn new(settings: &PoolSettings) -> Self {
        Self {
            settings: *settings,
            states: Vec::new(),
            unused: Vec::new(),
            idle: VecDeque::new(),
            retired: VecDeque::new(),
            busy: 0,
        }
    }

    /// Changes the settings. Idle connections that are too many now are closed; busy ones when they come back.
    pub fn configure(&mut self, settings: &PoolSettings) {
        self.settings = *settings;
        while self.is_over() && self.retire_oldest() {}
    }

    /// Finds a connection for one call.
    #[must_use]
    pub fn checkout(&mut self, now: Instant, needs: Freshness) -> Checkout {
        let idle_max = match needs {
            Freshness::Any => self.settings.idle,
            Freshness::JustUsed => self.settings.idle.min(JUST_NOW),
            Freshness::New => Duration::ZERO,
        };
        if let Some(idle) = self.idle.pop_back_if(|idle| now.since(idle.since) < idle_max) {
            self.set(idle.id, State::Busy);
            self.busy += 1;
            return Checkout::Reuse(idle.id);
        }
        if self.has_room() || self.retire_oldest() && self.has_room() {
            return Checkout::Connect(self.open());
        }
        Checkout::Full
    }

    /// A call is done with its connection, which can carry another one.
    pub fn checkin(&mut self, now: Instant, id: ConnectionId) {
        if self.state(id) != State::Busy {
            return;
        }
        self.busy -= 1;
        self.set(id, State::Idle);
        // Kept in order, should the clock have gone back.
        let since = self.idle.back().map_or(now, |last| last.since.max(now));
        self.idle.push_back(Idle { id, since });
        if self.idle.len() > IDLE_MAX || self.is_over() {
            self.retire_oldest();
        }
    }

    /// A connection is no more, whatever it was doing, or could not be opened.
    pub fn closed(&mut self, id: ConnectionId) {
        match self.state(id) {
            State::Unused => return,
            State::Busy => self.busy -= 1,
            State::Idle => self.idle.retain(|idle| idle.id != id),
            State::Retired => self.retired.retain(|retired| *retired != id),
        }
        self.forget(id);
    }

    /// The next connection to close. It has left the pool: [`Pool::closed`] need not be called for it.
    #[must_use]
    pub fn poll_expired(&mut self, now: Instant) -> Option<ConnectionId> {
        let id = self.retired.pop_front().or_else(|| {
            let idle_max = self.settings.idle;
            self.idle.pop_front_if(|idle| now.since(idle.since) >= idle_max).map(|idle| idle.id)
        })?;
        self.forget(id);
        Some(id)
    }

    /// When [`Pool::poll_expired`] will have something, if nothing else happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline<PoolTimer>> {
        if !self.retired.is_empty() {
            return Some(Deadline::new(Instant::ORIGIN, PoolTimer::Idle));
        }
        self.idle.front().map(|oldest| Deadline::new(oldest.since + self.settings.idle, PoolTimer::Idle))
    }

    /// Gives up all idle connections: [`Pool::poll_expired`] names them.
    pub fn drain(&mut self) {
        while self.retire_oldest() {}
    }

    /// Connections without a call.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Connections with a call, those being opened included.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.busy
    }

    fn open(&mut self) -> ConnectionId {
        self.busy += 1;
        if let Some(id) = self.unused.pop() {
            self.set(id, State::Busy);
            return id;
        }
        let id = ConnectionId(self.states.len() as u32);
        self.states.push(State::Busy);
        id
    }

    fn forget(&mut self, id: ConnectionId) {
        self.set(id, State::Unused);
        self.unused.push(id);
    }

    fn retire_oldest(&mut self) -> bool {
        let Some(oldest) = self.idle.pop_front() else { return false };
        self.set(oldest.id, State::Retired);
        self.retired.push_back(oldest.id);
        true
    }

    fn count(&self) -> u32 {
        (self.idle.len() + self.busy) as u32
    }

    fn has_room(&self) -> bool {
        self.settings.size.allows(self.count().saturating_add(1))
    }

    fn is_over(&self) -> bool {
        !self.settings.size.allows(self.count())
    }

    fn state(&self, id: ConnectionId) -> State {
        self.states.get(id.0 as usize).copied().unwrap_or(State::Unused)
    }

    fn set(&mut self, id: ConnectionId, state: State) {
        if let Some(slot) = self.states.get_mut(id.0 as usize) {
            *slot = state;
        }
    }
}

#[cfg(test)]
mod tests;
