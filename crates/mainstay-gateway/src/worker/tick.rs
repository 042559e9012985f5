//! What a worker does when nobody asks: every few milliseconds while calls wait or other workers want to know what it
//! learned, else a few times a second.
//!
//! Permits that came free on other workers, connections that were idle for too long, events for people, the text of the
//! date, the access log's buffer. None of it is needed for a call to end in time: calls have their own deadlines.

use std::rc::Rc;
use std::sync::Arc;

use mainstay_core::{Duration, Instant};
use mainstay_policy::{BreakerCause, BreakerEvent, Cause, FleetEvent, Recovery, ServiceEvent};

use super::{Peer, ServiceCell, Worker, to_std};
use crate::clock::unix_time;

/// While calls wait for permits, or the workers have news for each other.
const BUSY: Duration = Duration::from_millis(5);
/// Otherwise.
const QUIET: Duration = Duration::from_millis(100);

impl Worker {
    /// Ticks for as long as the worker lives.
    pub(super) async fn tick(self: Rc<Self>, peers: Vec<Peer>) {
        let mut slow = self.clock.now();
        loop {
            let local = self.local();
            let now = self.clock.now();
            let mut waiting = false;
            for cell in &local.services {
                if cell.has_waiting() {
                    waiting = true;
                    cell.poke(now);
                    cell.admit(now);
                }
            }
            if now >= slow {
                slow = now + QUIET;
                self.tick_slowly(&local.services);
            }
            let mut told = false;
            for cell in &local.services {
                told |= tell_peers(cell, now, &peers).await;
            }
            drop(local);
            tokio::time::sleep(to_std(if waiting || told { BUSY } else { QUIET })).await;
        }
    }

    fn tick_slowly(&self, services: &[Rc<ServiceCell>]) {
        let now = self.clock.now();
        for cell in services {
            // A poke also takes back what dropped calls held.
            cell.poke(now);
            cell.admit(now);
            cell.close_expired(now);
            self.tell_events(cell);
        }
        self.date.borrow_mut().update(unix_time());
        self.access.borrow_mut().flush();
        if let Some(tape) = &self.tape {
            tape.flush();
        }
    }

    /// Counts and logs what changed about a service.
    pub(super) fn tell_events(&self, cell: &ServiceCell) {
        loop {
            let event = cell.next_event();
            match event {
                None => return,
                Some(ServiceEvent::Breaker(BreakerEvent { from, to, why, .. })) => {
                    // An order reaches every worker; what was counted is each worker's own.
                    if self.is_first || why != BreakerCause::Ordered {
                        tracing::warn!(service = %cell.name, %from, %to, %why, "the breaker changed its state");
                    }
                }
                Some(ServiceEvent::Fleet(event)) => self.tell_fleet_event(cell, &event),
            }
        }
    }

    fn tell_fleet_event(&self, cell: &ServiceCell, event: &FleetEvent) {
        if is_told_to_all(event) && !self.is_first {
            return;
        }
        let service = &*cell.name;
        match event {
            FleetEvent::Ejected { endpoint, address, cause, .. } => {
                self.counters.borrow_mut().ejection(cell.key_of(*endpoint), *cause);
                tracing::warn!(service, endpoint = %address, %cause, "an endpoint is ejected");
            }
            FleetEvent::Probing { address, .. } => {
                tracing::info!(service, endpoint = %address, "an ejected endpoint is probed");
            }
            FleetEvent::Restored { address, by, .. } => {
                tracing::info!(service, endpoint = %address, by = by.as_str(), "an endpoint is back");
            }
            FleetEvent::Limping { address, latency, others, .. } => {
                tracing::warn!(service, endpoint = %address, %latency, %others, "an endpoint limps and is left alone");
            }
            FleetEvent::CheckFailed { address, failure, .. } => {
                tracing::warn!(service, endpoint = %address, %failure, "an active check failed");
            }
            FleetEvent::CheckPassed { address, .. } => {
                tracing::info!(service, endpoint = %address, "an active check passed");
            }
            FleetEvent::Draining { address, .. } => {
                tracing::info!(service, endpoint = %address, "an endpoint is drained");
            }
            FleetEvent::Panic { on: true } => {
                tracing::warn!(service, "too few endpoints are usable: health and ejection are ignored");
            }
            FleetEvent::Panic { on: false } => {
                tracing::info!(service, "enough endpoints are usable again");
            }
        }
    }
}

/// Whether every worker learns it alike: checks, an operator's orders, and what time brings.
fn is_told_to_all(event: &FleetEvent) -> bool {
    match event {
        FleetEvent::Ejected { cause, .. } => matches!(cause, Cause::Check(_) | Cause::Operator),
        FleetEvent::Restored { by, .. } => !matches!(by, Recovery::Probe | Recovery::Pace),
        FleetEvent::Limping { .. } => false,
        FleetEvent::Probing { .. }
        | FleetEvent::CheckFailed { .. }
        | FleetEvent::CheckPassed { .. }
        | FleetEvent::Draining { .. }
        | FleetEvent::Panic { .. } => true,
    }
}

/// Tells the other workers what this one has learned about a service since the last time; whether that was anything.
async fn tell_peers(cell: &ServiceCell, now: Instant, peers: &[Peer]) -> bool {
    if peers.is_empty() {
        return false;
    }
    let delta = cell.share(now);
    if delta.is_empty() {
        return false;
    }
    let delta = Arc::new(delta);
    for peer in peers {
        peer.tell(&cell.name, &delta).await;
    }
    true
}
