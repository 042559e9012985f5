//! Leases: their lengths, and the keys that hang on them.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::LeaseId;
use crate::key::Key;

#[derive(Debug, Default)]
pub(crate) struct Leases {
    ttls: BTreeMap<LeaseId, i64>,
    attached: BTreeSet<(LeaseId, Key)>,
}

/// A lease as the data knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The length it was granted, in seconds.
    pub ttl: i64,
    /// The keys that hang on it, in their order.
    pub keys: Vec<bytes::Bytes>,
}

impl Leases {
    pub(crate) fn ttl(&self, id: LeaseId) -> Option<i64> {
        self.ttls.get(&id).copied()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (LeaseId, i64)> {
        self.ttls.iter().map(|(id, ttl)| (*id, *ttl))
    }

    pub(crate) fn keys(&self, id: LeaseId) -> impl Iterator<Item = &Key> {
        let least = (id, Key::from(&[][..]));
        self.attached.range(least..).take_while(move |(lease, _)| *lease == id).map(|(_, key)| key)
    }

    pub(crate) fn grant(&mut self, id: LeaseId, ttl: i64) {
        self.ttls.insert(id, ttl);
    }

    /// Ends a lease: the keys that hung on it, in their order.
    pub(crate) fn end(&mut self, id: LeaseId) -> Vec<Key> {
        self.ttls.remove(&id);
        self.keys(id).cloned().collect()
    }

    pub(crate) fn moved(&mut self, key: &[u8], from: LeaseId, to: LeaseId) {
        if from == to {
            return;
        }
        if from != 0 {
            self.attached.remove(&(from, Key::from(key)));
        }
        if to != 0 {
            self.attached.insert((to, Key::from(key)));
        }
    }
}
