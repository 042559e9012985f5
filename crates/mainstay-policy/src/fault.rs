//! Faults that an operator lets a service have on purpose, to see what comes of them.
//!
//! In: an order under a lease, and for each attempt its luck and its endpoint. Out: what hits the attempt, before anything
//! of it is sent. It hits attempts and not calls, right after the choice of the endpoint: retries, hedges, ejection and
//! the breaker see it as they would see the instance's own, so a drill shows what they would do. (Where a proxy injects
//! faults before its retries, as Envoy's filter does, the two do not compose: istio#13705.)
//!
//! A service has one fault at a time. It ends with its lease whatever becomes of whoever ordered it.

use std::net::SocketAddr;

use mainstay_core::{Duration, Instant, Ratio, unit};

/// The longest lease: whoever wants more says so again.
pub const LEASE_MAX: Duration = Duration::from_secs(3600);
/// The longest delay.
pub const DELAY_MAX: Duration = Duration::from_secs(300);

/// What happens to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It begins later by this many milliseconds, and counts as sent in the meantime.
    Delay {
        /// How long.
        millis: u32,
    },
    /// It fails at once, as if the instance had answered this status.
    Abort {
        /// 500 to 599.
        status: u16,
    },
    /// It fails at once, as if the connection had broken after the request was sent.
    Reset,
}

impl FaultKind {
    /// The words by their index.
    pub const WORDS: [&str; 3] = ["delay", "abort", "reset"];

    /// The place of its word.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Delay { .. } => 0,
            Self::Abort { .. } => 1,
            Self::Reset => 2,
        }
    }

    /// The word for metrics and the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        Self::WORDS[self.index()]
    }
}

/// What an operator wants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaultOrder {
    /// What happens.
    pub kind: FaultKind,
    /// To this share of the attempts.
    pub share: Ratio,
    /// At this endpoint alone; `None` for all of the service.
    pub endpoint: Option<SocketAddr>,
    /// How long from now.
    pub lease: Duration,
}

/// A fault under its lease.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// As it was ordered.
    pub order: FaultOrder,
    /// When its lease ends.
    pub until: Instant,
}

impl Fault {
    /// The fault that `order` is when it is given at `now`.
    #[must_use]
    pub fn new(order: FaultOrder, now: Instant) -> Self {
        Self { order, until: now + order.lease.min(LEASE_MAX) }
    }

    /// What it does to an attempt at `address` that drew `luck`.
    pub(crate) fn hits(&self, now: Instant, address: Option<SocketAddr>, luck: u64) -> Option<FaultKind> {
        let FaultOrder { kind, share, endpoint, .. } = self.order;
        let is_there = endpoint.is_none() || endpoint == address;
        (now < self.until && is_there && unit(luck) < share.get()).then_some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::{Purpose, Seed};

    #[test]
    fn a_share_of_the_attempts_is_hit_until_the_lease_ends_and_only_where_it_was_meant() {
        let [here, there] = [9101, 9102].map(|port| Some(SocketAddr::from(([127, 0, 0, 1], port))));
        let share = Ratio::percent(10);
        let order = FaultOrder { kind: FaultKind::Reset, share, endpoint: here, lease: Duration::from_secs(30) };
        let fault = Fault::new(order, Instant::ORIGIN);
        let hits = |after: u64, address| {
            let now = Instant::ORIGIN + Duration::from_secs(after);
            let luck = |call| Seed::new(1).draw(call, 0, Purpose::Fault);
            (0..10_000).filter(|call| fault.hits(now, address, luck(*call)).is_some()).count()
        };
        assert!((900..1_100).contains(&hits(29, here)), "{}", hits(29, here));
        assert_eq!((hits(29, there), hits(30, here)), (0, 0));
    }

    #[test]
    fn no_lease_is_longer_than_an_hour() {
        let lease = Duration::from_secs(86_400);
        let order = FaultOrder { kind: FaultKind::Reset, share: Ratio::ONE, endpoint: None, lease };
        assert_eq!(Fault::new(order, Instant::ORIGIN).until, Instant::ORIGIN + LEASE_MAX);
    }
}
