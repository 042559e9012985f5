//! The endpoints of one service: who they are, and what changes when a new list of them comes.
//!
//! In goes a list of specifications; out goes the difference to the list before, by address. An endpoint that stays
//! keeps its id and all that was learned of it, whatever else about it changes. Ids are dealt out by one rule (the
//! lowest free slot, in the order of the list), so that owners who see the same lists in the same order have the same
//! ids without talking to each other.
//!
//! Invariants: an address has one endpoint; an id never names two endpoints, because a slot that is used again has
//! another generation.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;

use mainstay_core::EndpointId;

/// What is known of an endpoint from outside: the configuration, a look-up or a watched file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSpec {
    /// Where it listens. It is the endpoint's identity: the same address later is the same endpoint.
    pub address: SocketAddr,
    /// Its share of the calls against the others' weights, 1 or more (0 counts as 1).
    pub weight: u32,
    /// Where it stands; empty when that is not told.
    pub zone: Arc<str>,
    /// It is used only when too few of the others are left.
    pub backup: bool,
}

/// What a new list of endpoints changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointChanges {
    /// They came.
    pub added: Vec<EndpointId>,
    /// They left: nothing further is chosen there, and what is still running there is nobody's any more.
    pub removed: Vec<EndpointId>,
    /// They stayed, with another weight, zone or role.
    pub changed: Vec<EndpointId>,
}

impl EndpointChanges {
    /// Whether the list said nothing new.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// One endpoint with what its owner keeps about it.
#[derive(Debug)]
pub(crate) struct Endpoint<T> {
    pub(crate) id: EndpointId,
    pub(crate) spec: EndpointSpec,
    pub(crate) learned: T,
}

/// The table of endpoints, by slot and by address.
#[derive(Debug)]
pub(crate) struct Endpoints<T> {
    slots: Vec<Slot<T>>,
    free: BinaryHeap<Reverse<u32>>,
    by_address: BTreeMap<SocketAddr, u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    endpoint: Option<Endpoint<T>>,
}

impl<T> Endpoints<T> {
    pub(crate) fn new() -> Self {
        Self { slots: Vec::new(), free: BinaryHeap::new(), by_address: BTreeMap::new() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_address.len()
    }

    /// How many slots there are, used and free.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn find(&self, address: SocketAddr) -> Option<EndpointId> {
        self.at(*self.by_address.get(&address)?).map(|endpoint| endpoint.id)
    }

    pub(crate) fn get(&self, id: EndpointId) -> Option<&Endpoint<T>> {
        self.at(id.slot).filter(|endpoint| endpoint.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: EndpointId) -> Option<&mut Endpoint<T>> {
        self.at_mut(id.slot).filter(|endpoint| endpoint.id == id)
    }

    pub(crate) fn at(&self, slot: u32) -> Option<&Endpoint<T>> {
        self.slots.get(slot as usize)?.endpoint.as_ref()
    }

    pub(crate) fn at_mut(&mut self, slot: u32) -> Option<&mut Endpoint<T>> {
        self.slots.get_mut(slot as usize)?.endpoint.as_mut()
    }

    /// All endpoints in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Endpoint<T>> {
        self.slots.iter().filter_map(|slot| slot.endpoint.as_ref())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Endpoint<T>> {
        self.slots.iter_mut().filter_map(|slot| slot.endpoint.as_mut())
    }

    /// Makes `specs` the endpoints; the first of several with one address counts. `blank` is what is known of a new one.
    pub(crate) fn update(&mut self, specs: &[EndpointSpec], mut blank: impl FnMut() -> T) -> EndpointChanges {
        let mut wanted = BTreeMap::new();
        for (place, spec) in specs.iter().enumerate() {
            wanted.entry(spec.address).or_insert(place);
        }
        let mut changes = EndpointChanges { removed: self.remove_all_but(&wanted), ..EndpointChanges::default() };
        for (place, spec) in specs.iter().enumerate() {
            if wanted.get(&spec.address) == Some(&place) {
                self.put(spec, &mut blank, &mut changes);
            }
        }
        changes
    }

    fn remove_all_but(&mut self, wanted: &BTreeMap<SocketAddr, usize>) -> Vec<EndpointId> {
        let mut removed = Vec::new();
        for (number, slot) in self.slots.iter_mut().enumerate() {
            let Some(gone) = slot.endpoint.take_if(|endpoint| !wanted.contains_key(&endpoint.spec.address)) else {
                continue;
            };
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(Reverse(number as u32));
            self.by_address.remove(&gone.spec.address);
            removed.push(gone.id);
        }
        removed
    }

    fn put(&mut self, spec: &EndpointSpec, blank: &mut impl FnMut() -> T, changes: &mut EndpointChanges) {
        let spec = EndpointSpec { weight: spec.weight.max(1), ..spec.clone() };
        if let Some(endpoint) = self.by_address.get(&spec.address).copied().and_then(|slot| self.at_mut(slot)) {
            if endpoint.spec != spec {
                endpoint.spec = spec;
                changes.changed.push(endpoint.id);
            }
            return;
        }
        let slot = match self.free.pop() {
            Some(Reverse(slot)) => slot,
            None => {
                self.slots.push(Slot { generation: 0, endpoint: None });
                (self.slots.len() - 1) as u32
            }
        };
        let entry = &mut self.slots[slot as usize];
        let id = EndpointId { slot, generation: entry.generation };
        self.by_address.insert(spec.address, slot);
        entry.endpoint = Some(Endpoint { id, spec, learned: blank() });
        changes.added.push(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(port: u16) -> EndpointSpec {
        EndpointSpec { address: SocketAddr::from(([10, 0, 0, 1], port)), weight: 1, zone: "".into(), backup: false }
    }

    fn id(slot: u32, generation: u32) -> EndpointId {
        EndpointId { slot, generation }
    }

    #[test]
    fn what_stays_keeps_its_id_and_what_was_learned() {
        let mut endpoints = Endpoints::new();
        let changes = endpoints.update(&[spec(1), spec(2), spec(3)], || 0);
        assert_eq!(changes.added, [id(0, 0), id(1, 0), id(2, 0)]);
        endpoints.get_mut(id(2, 0)).unwrap().learned = 7;

        let heavier = EndpointSpec { weight: 5, ..spec(3) };
        let changes = endpoints.update(&[heavier, spec(1)], || 0);
        assert_eq!(changes, EndpointChanges { added: vec![], removed: vec![id(1, 0)], changed: vec![id(2, 0)] });
        let kept = endpoints.get(id(2, 0)).unwrap();
        assert_eq!((kept.spec.weight, kept.learned), (5, 7));
        assert!(endpoints.update(&[spec(1), EndpointSpec { weight: 5, ..spec(3) }], || 0).is_empty());
    }

    #[test]
    fn a_slot_that_is_used_again_is_somebody_else() {
        let mut endpoints = Endpoints::new();
        endpoints.update(&[spec(1), spec(2)], || ());
        endpoints.update(&[spec(2)], || ());
        let changes = endpoints.update(&[spec(2), spec(1), spec(3)], || ());
        assert_eq!(changes.added, [id(0, 1), id(2, 0)], "the lowest free slot first");
        assert!(endpoints.get(id(0, 0)).is_none(), "the old id names nobody");
        assert_eq!(endpoints.find(spec(1).address), Some(id(0, 1)));
        assert_eq!(endpoints.len(), 3);
    }

    #[test]
    fn an_address_given_twice_is_one_endpoint_and_no_weight_is_zero() {
        let mut endpoints = Endpoints::new();
        let twice = [EndpointSpec { weight: 0, ..spec(1) }, EndpointSpec { weight: 9, ..spec(1) }];
        assert_eq!(endpoints.update(&twice, || ()).added.len(), 1);
        assert_eq!(endpoints.at(0).unwrap().spec.weight, 1);
    }
}
