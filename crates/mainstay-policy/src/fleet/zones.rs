//! Calls stay in the zone of their node while its endpoints carry their part of the load.
//!
//! In: the zones of the candidates and the own one. Out: which share of the calls stays, who takes these, and who takes
//! the rest.
//!
//! A node does not see what others bring, so it takes every zone for one that brings as much. Where the candidates of a
//! zone have the weight w of W in all and there are Z zones, the zone carries w·Z/W of what it brings: all of it, and a
//! surplus, when that is 1 or more. Of what it does not carry, each other zone takes by its surplus, and endpoints whose
//! zone is not told by their weight, as a zone that brings nothing. So if all nodes do the same, each endpoint gets what
//! its weight says, and no more calls leave a zone than must. (Envoy's zone-aware routing, which asks for the real
//! shares of the nodes instead; where they differ much, zones are not for this rule.)
//!
//! A zone without candidates is none: its nodes send by weight to all, which leaves the others' shares as they are.
//!
//! Zones are not looked at when health is not (in a panic), by rules that go by keys, and by any attempt after the first:
//! what failed it may be the zone.

use std::sync::Arc;

use mainstay_core::{Purpose, below};

use super::learned::Learned;
use super::{Ask, Crossing, Fleet};
use crate::balance::{Balancer, Candidates};
use crate::endpoints::Endpoint;

/// What the largest part of a weight that takes others' calls is multiplied by, so that parts are whole numbers.
const PARTS: u128 = 4096;

/// Which of the candidates a call looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    All,
    /// Those of the own zone.
    Near,
    /// Those of other zones that carry more than theirs brings.
    Far,
}

/// The zones of a fleet; empty while they are not looked at.
#[derive(Debug, Default)]
pub(super) struct Zones {
    /// Their names, in order. Endpoints whose zone is not told have one together, the empty one.
    names: Vec<Arc<str>>,
    /// The weight of the candidates of each.
    weights: Vec<u64>,
    own: Option<u32>,
    share: Option<Share>,
    near: Part,
    far: Part,
}

/// Candidates and whose turn it is among them.
#[derive(Debug, Default)]
struct Part {
    candidates: Candidates,
    balancer: Balancer,
}

/// So many of so many calls stay.
#[derive(Debug, Clone, Copy)]
struct Share {
    stay: u64,
    of: u64,
}

impl Zones {
    /// The candidates of one side and their rule; `None` for all.
    pub(super) fn of(&mut self, side: Side) -> Option<(&mut Candidates, &mut Balancer)> {
        let part = match side {
            Side::All => return None,
            Side::Near => &mut self.near,
            Side::Far => &mut self.far,
        };
        Some((&mut part.candidates, &mut part.balancer))
    }

    /// The candidates of one side; `None` for all.
    pub(super) fn candidates(&self, side: Side) -> Option<&Candidates> {
        match side {
            Side::All => None,
            Side::Near => Some(&self.near.candidates),
            Side::Far => Some(&self.far.candidates),
        }
    }

    /// How many zones with a name have candidates.
    fn count(&self) -> u64 {
        let named = self.names.iter().zip(&self.weights).filter(|(name, weight)| !name.is_empty() && **weight > 0);
        named.count() as u64
    }

    /// What the candidates of a zone carry beyond what it brings, as a weight times the number of zones.
    fn surplus(&self, zone: u32, count: u64, total: u64) -> u64 {
        let is_told = !self.names[zone as usize].is_empty();
        (self.weights[zone as usize] * count).saturating_sub(if is_told { total } else { 0 })
    }

    /// The weight of an endpoint where calls of other zones are dealt out.
    fn weight_for_others(&self, endpoint: &Endpoint<Learned>, count: u64, total: u64) -> u32 {
        let zone = endpoint.learned.zone;
        let surplus = u128::from(self.surplus(zone, count, total)) * PARTS * u128::from(endpoint.spec.weight);
        let most = u128::from(self.weights[zone as usize]) * u128::from(count);
        u32::try_from(surplus.div_ceil(most.max(1))).unwrap_or(u32::MAX)
    }
}

impl Fleet {
    /// Gives each endpoint the number of its zone: when endpoints or settings change.
    pub(super) fn number_zones(&mut self) {
        self.zones = Zones::default();
        let own = &self.settings.zone;
        if own.is_empty() || self.balancer.goes_by_key() || self.endpoints.iter().all(|e| e.spec.zone != *own) {
            return;
        }
        let mut names: Vec<_> = self.endpoints.iter().map(|endpoint| endpoint.spec.zone.clone()).collect();
        names.sort_unstable();
        names.dedup();
        let number = |zone: &Arc<str>| names.partition_point(|name| name < zone) as u32;
        self.endpoints.iter_mut().for_each(|endpoint| endpoint.learned.zone = number(&endpoint.spec.zone));
        let (own, weights) = (Some(number(own)), vec![0; names.len()]);
        let part = || {
            let mut part = Part { balancer: Balancer::new(self.settings.balance), ..Part::default() };
            part.candidates.reserve(self.endpoints.slots());
            part
        };
        self.zones = Zones { near: part(), far: part(), names, weights, own, share: None };
    }

    /// Finds out which share of the calls stays, and who takes the rest.
    pub(super) fn gather_zones(&mut self, panic: bool) {
        let Self { zones, endpoints, candidates, .. } = self;
        zones.share = None;
        let Some(own) = zones.own.filter(|_| !panic) else { return };
        let members = || (0..candidates.len()).filter_map(|place| endpoints.at(candidates.slot(place)));
        zones.weights.fill(0);
        members().for_each(|e| zones.weights[e.learned.zone as usize] += u64::from(e.spec.weight));
        let (total, count) = (zones.weights.iter().sum(), zones.count());
        let stay = zones.weights[own as usize] * count;
        if stay == 0 || count < 2 {
            return;
        }
        zones.share = Some(Share { stay: stay.min(total), of: total });
        let near = members().filter(|e| e.learned.zone == own);
        zones.near.candidates.fill(near.map(|e| (e.id.slot, e.spec.weight)));
        zones.near.balancer.restart(&zones.near.candidates);
        let mut far = std::mem::take(&mut zones.far);
        let weighted = members().map(|e| (e.id.slot, zones.weight_for_others(e, count, total)));
        far.candidates.fill(weighted.filter(|(_, weight)| stay < total && *weight > 0));
        far.balancer.restart(&far.candidates);
        zones.far = far;
    }

    /// Where a call looks first; `None` when zones are nothing to it.
    pub(super) fn side_of(&self, ask: &Ask<'_>) -> Option<Side> {
        let Share { stay, of } = self.zones.share.filter(|_| ask.attempt == 0)?;
        let point = below(self.seed.draw(ask.call.0, ask.attempt, Purpose::Zone), of);
        Some(if point < stay { Side::Near } else { Side::Far })
    }

    /// Why a call that was to look on this side first left the own zone, if it did.
    pub(super) fn crossing(&self, side: Side, slot: u32) -> Option<Crossing> {
        let is_far = self.endpoints.at(slot).is_some_and(|endpoint| Some(endpoint.learned.zone) != self.zones.own);
        is_far.then_some(if side == Side::Near { Crossing::Room } else { Crossing::Share })
    }

    /// The share of the calls in hundredths that stays in the own zone, where `endpoint` stands in another.
    pub(super) fn zone_keeps(&self, endpoint: &Endpoint<Learned>) -> Option<u8> {
        let Share { stay, of } = self.zones.share.filter(|_| Some(endpoint.learned.zone) != self.zones.own)?;
        u8::try_from(stay * 100 / of.max(1)).ok()
    }
}
