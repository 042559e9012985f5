//! Rate limits, as a gateway has them: exact over its workers, one behind another.

use mainstay_config::{KeyPart, RateLimit};
use mainstay_core::{Duration, Seed};
use mainstay_policy::{Decision, Input, KeyedLimiter, LimitId, LimitQuery, LimitVerdict, OnExceeded, Throttle, Ticket};

use super::World;
use super::gateway::Live;
use crate::luck::Luck;
use crate::slab::Key;

/// One limit of one gateway.
#[derive(Debug)]
pub(super) struct Limit {
    counts: KeyedLimiter,
    throttle: Throttle,
    /// Calls that wait for their places.
    waiting: u32,
    keys: Luck,
}

/// What the limits have said to one call so far.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    asked: usize,
    strictest: Option<(usize, LimitVerdict)>,
    /// The place that it waits for.
    place: Option<(usize, Ticket)>,
}

impl Limit {
    pub(super) fn new(limit: &RateLimit, seed: Seed) -> Self {
        let throttle = Throttle::new(mainstay_core::Instant::ORIGIN);
        Self { counts: KeyedLimiter::new(&limit.policy), throttle, waiting: 0, keys: Luck::new(seed, &limit.name) }
    }
}

impl World<'_> {
    pub(super) fn ask_limits(&mut self, key: Key) {
        let Some(live) = self.calls.get_mut(key) else { return };
        let gateway = usize::from(self.workers[live.worker as usize].gateway);
        let (now, route) = (self.now, &self.config.routes[live.ask.route]);
        if let Some((limit, _)) = live.hearing.place.take() {
            self.gateways[gateway].limits[limit].waiting -= 1;
        }
        let mut said = None;
        while let Some(id) = route.rate_limits.get(live.hearing.asked) {
            live.hearing.asked += 1;
            let configured = &self.config.rate_limits[id.0];
            let limit = &mut self.gateways[gateway].limits[id.0];
            let patience = live.deadline().since(now).as_nanos().saturating_sub(1);
            let query = LimitQuery {
                key: counted_by(&configured.key, live, limit.keys),
                tier: 0,
                patience: Duration::from_nanos(patience),
                percent: if configured.policy.adaptive { limit.throttle.percent(now) } else { 100 },
            };
            let (mut verdict, ticket) = limit.counts.admit(now, &query);
            if !verdict.wait.is_zero() {
                match configured.policy.on_exceeded {
                    OnExceeded::Queue { calls, .. } if limit.waiting < calls => {
                        limit.waiting += 1;
                        live.hearing.place = Some((id.0, ticket));
                    }
                    _ => {
                        limit.counts.give_back(&ticket);
                        verdict = verdict.refused();
                    }
                }
            }
            let heard = LimitVerdict { wait: Duration::ZERO, ..verdict };
            let stricter = |(_, kept): &(usize, LimitVerdict)| kept.stricter(heard) != *kept;
            if live.hearing.strictest.as_ref().is_none_or(stricter) {
                live.hearing.strictest = Some((id.0, heard));
            }
            if !verdict.admitted || !verdict.wait.is_zero() {
                said = Some((id.0, verdict));
                break;
            }
        }
        let said = said.or(live.hearing.strictest);
        let (limit, verdict) =
            said.map_or((LimitId::NONE, LimitVerdict::FREE), |(limit, verdict)| (LimitId(limit as u32 + 1), verdict));
        self.input(key, Input::Limits { limit, verdict });
    }

    /// The limits that let a call through learn how it went, and get back a place that it no longer wants.
    pub(super) fn tell_limits(&mut self, key: Key) {
        let Some(live) = self.calls.get(key) else { return };
        if live.hearing.asked == 0 {
            return;
        }
        let gateway = &mut self.gateways[usize::from(self.workers[live.worker as usize].gateway)];
        if let Some((limit, ticket)) = live.hearing.place {
            gateway.limits[limit].waiting -= 1;
            gateway.limits[limit].counts.give_back(&ticket);
        }
        let ended = live.record().entries().iter().rev().find_map(|entry| match entry.what {
            Decision::Ended(end) => end.went_well(),
            _ => None,
        });
        let Some(went_well) = ended else { return };
        for id in &self.config.routes[live.ask.route].rate_limits {
            if self.config.rate_limits[id.0].policy.adaptive {
                gateway.limits[id.0].throttle.record(self.now, went_well);
            }
        }
    }
}

/// Simulated requests have an address and a path; what else a limit may count by follows the caller.
fn counted_by(parts: &[KeyPart], live: &Live, keys: Luck) -> u64 {
    let request = &live.ask.request;
    let of = parts.iter().fold(0_u64, |key, part| match part {
        KeyPart::Global => key,
        KeyPart::ClientIp | KeyPart::Header(_) | KeyPart::Cookie(_) => {
            key ^ (u64::from(request.workload) << 32 | u64::from(request.caller) | 1 << 62)
        }
        KeyPart::Path | KeyPart::Query(_) => key ^ (u64::from(request.key) << 1 | 1 << 63),
    });
    keys.bits(of, 0)
}
