//! The store as simply as it can be said: a full copy of the map for each revision, and a list of what happened.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mainstay_mvcc::{
    Applied, Command, Compare, Delete, Deleted, Done, Event, Found, KeyValue, Op, Order, Put, Range, Refused, Relation,
    Response, SortBy, Span, Target, Txn, TxnDone,
};

type Map = BTreeMap<Bytes, KeyValue>;

#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// By revision; the first two are the empty store.
    pub(crate) maps: Vec<Map>,
    pub(crate) events: Vec<Vec<Event>>,
    pub(crate) compacted: i64,
    pub(crate) leases: BTreeMap<i64, i64>,
}

impl Model {
    pub(crate) fn new() -> Self {
        Self { maps: vec![Map::new(); 2], events: vec![vec![]; 2], compacted: -1, leases: BTreeMap::new() }
    }

    pub(crate) fn revision(&self) -> i64 {
        self.maps.len() as i64 - 1
    }

    pub(crate) fn apply(&mut self, command: &Command) -> Applied {
        let mut next =
            Next { map: self.maps[self.maps.len() - 1].clone(), events: vec![], revision: self.revision() + 1 };
        let mut leases = self.leases.clone();
        let mut compacted = self.compacted;
        let done = self.carry_out(command, &mut next, &mut leases, &mut compacted);
        if done.is_ok() {
            (self.leases, self.compacted) = (leases, compacted);
            if !next.events.is_empty() {
                self.maps.push(next.map);
                self.events.push(next.events);
            }
        }
        Applied { revision: self.revision(), done }
    }

    fn carry_out(
        &self,
        command: &Command,
        next: &mut Next,
        leases: &mut BTreeMap<i64, i64>,
        compacted: &mut i64,
    ) -> Result<Done, Refused> {
        command.check()?;
        match command {
            Command::Put(put) => {
                self.check_lease(put)?;
                self.check_key(put)?;
                Ok(Done::Put(next.put(put)))
            }
            Command::Delete(delete) => Ok(Done::Deleted(next.delete(delete))),
            Command::Txn(txn) => self.txn(txn, next).map(Done::Txn),
            Command::Compact(at) if *at <= self.compacted => Err(Refused::Compacted { at: self.compacted }),
            Command::Compact(at) if *at > self.revision() => Err(Refused::Future { at: self.revision() }),
            Command::Compact(at) => {
                *compacted = *at;
                Ok(Done::Compacted)
            }
            Command::Grant { id: 0, .. } => Err(Refused::LeaseNotFound),
            Command::Grant { id, .. } if leases.contains_key(id) => Err(Refused::LeaseExists),
            Command::Grant { id, ttl } => {
                leases.insert(*id, (*ttl).max(1));
                Ok(Done::Granted { id: *id, ttl: (*ttl).max(1) })
            }
            Command::Revoke(id) if !leases.contains_key(id) => Err(Refused::LeaseNotFound),
            Command::Revoke(id) => Ok(Done::Ended(next.end(&[*id], leases))),
            Command::Expire(ids) => Ok(Done::Ended(next.end(ids, leases))),
        }
    }

    fn check_lease(&self, put: &Put) -> Result<(), Refused> {
        match put.lease {
            Some(id) if id != 0 && !self.leases.contains_key(&id) => Err(Refused::LeaseNotFound),
            _ => Ok(()),
        }
    }

    fn check_key(&self, put: &Put) -> Result<(), Refused> {
        let needs = put.value.is_none() || put.lease.is_none();
        if needs && !self.maps[self.maps.len() - 1].contains_key(&put.key) { Err(Refused::KeyNotFound) } else { Ok(()) }
    }

    fn txn(&self, txn: &Txn, next: &mut Next) -> Result<TxnDone, Refused> {
        // What is refused is refused before anything is done: first whatever is set, then whatever is read.
        let mut done = vec![];
        self.flat(txn, &mut done);
        for op in &done {
            if let Op::Put(put) = op {
                self.check_key(put)?;
                self.check_lease(put)?;
            }
        }
        for op in &done {
            if let Op::Range(range) = op {
                self.range(range)?;
            }
        }
        Ok(self.follow(txn, next))
    }

    fn flat(&self, txn: &Txn, into: &mut Vec<Op>) {
        for op in self.branch(txn).1 {
            match op {
                Op::Txn(txn) => self.flat(txn, into),
                op => into.push(op.clone()),
            }
        }
    }

    fn branch<'a>(&self, txn: &'a Txn) -> (bool, &'a [Op]) {
        let now = &self.maps[self.maps.len() - 1];
        if txn.when.iter().all(|compare| holds(now, compare)) { (true, &txn.then) } else { (false, &txn.otherwise) }
    }

    fn follow(&self, txn: &Txn, next: &mut Next) -> TxnDone {
        let (succeeded, ops) = self.branch(txn);
        let responses = ops.iter().map(|op| match op {
            Op::Range(range) if range.revision > 0 => Response::Range(self.range(range).unwrap()),
            Op::Range(range) => Response::Range(find(&next.map, range)),
            Op::Put(put) => Response::Put(next.put(put)),
            Op::Delete(delete) => Response::Deleted(next.delete(delete)),
            Op::Txn(txn) => Response::Txn(self.follow(txn, next)),
        });
        TxnDone { succeeded, responses: responses.collect() }
    }

    pub(crate) fn range(&self, range: &Range) -> Result<Found, Refused> {
        match range.revision {
            ..=0 => Ok(find(&self.maps[self.maps.len() - 1], range)),
            at if at > self.revision() => Err(Refused::Future { at: self.revision() }),
            at if at < self.compacted => Err(Refused::Compacted { at: self.compacted }),
            at => Ok(find(&self.maps[at as usize], range)),
        }
    }

    pub(crate) fn keys_of(&self, lease: i64) -> Vec<Bytes> {
        self.maps[self.maps.len() - 1].values().filter(|kv| kv.lease == lease).map(|kv| kv.key.clone()).collect()
    }
}

struct Next {
    map: Map,
    events: Vec<Event>,
    revision: i64,
}

impl Next {
    fn put(&mut self, put: &Put) -> Option<KeyValue> {
        let old = self.map.get(&put.key).cloned();
        let before = old.clone().unwrap_or_default();
        let kv = KeyValue {
            key: put.key.clone(),
            value: put.value.clone().unwrap_or(before.value),
            create: if old.is_some() { before.create } else { self.revision },
            modified: self.revision,
            version: before.version + 1,
            lease: put.lease.unwrap_or(before.lease),
        };
        self.map.insert(put.key.clone(), kv.clone());
        self.events.push(Event { deleted: false, kv, previous: None });
        old.filter(|_| put.previous)
    }

    fn delete(&mut self, delete: &Delete) -> Deleted {
        let keys: Vec<_> = self.map.keys().filter(|key| delete.span.contains(key)).cloned().collect();
        let gone: Vec<_> = keys.iter().map(|key| self.map.remove(key).unwrap()).collect();
        for key in keys {
            let kv = KeyValue { key, modified: self.revision, ..KeyValue::default() };
            self.events.push(Event { deleted: true, kv, previous: None });
        }
        Deleted { count: gone.len() as i64, previous: if delete.previous { gone } else { vec![] } }
    }

    fn end(&mut self, ids: &[i64], leases: &mut BTreeMap<i64, i64>) -> Vec<i64> {
        let mut seen = BTreeSet::new();
        let ended: Vec<_> = ids.iter().filter(|id| seen.insert(**id) && leases.contains_key(id)).copied().collect();
        for id in &ended {
            leases.remove(id);
            let keys: Vec<_> = self.map.values().filter(|kv| kv.lease == *id).map(|kv| kv.key.clone()).collect();
            for key in keys {
                self.delete(&Delete { span: Span::key(key), previous: false });
            }
        }
        ended
    }
}

fn holds(map: &Map, compare: &Compare) -> bool {
    let kvs: Vec<_> = map.values().filter(|kv| compare.span.contains(&kv.key)).collect();
    let missing = KeyValue::default();
    match (&compare.target, kvs.is_empty()) {
        (Target::Value(_), true) => false,
        (_, true) => stands(&missing, compare),
        (_, false) => kvs.into_iter().all(|kv| stands(kv, compare)),
    }
}

fn stands(kv: &KeyValue, compare: &Compare) -> bool {
    let order = match &compare.target {
        Target::Version(n) => kv.version.cmp(n),
        Target::Create(n) => kv.create.cmp(n),
        Target::Mod(n) => kv.modified.cmp(n),
        Target::Lease(n) => kv.lease.cmp(n),
        Target::Value(value) => kv.value.cmp(value),
    };
    match compare.relation {
        Relation::Equal => order.is_eq(),
        Relation::NotEqual => order.is_ne(),
        Relation::Greater => order.is_gt(),
        Relation::Less => order.is_lt(),
    }
}

fn find(map: &Map, range: &Range) -> Found {
    let mut kvs: Vec<_> = map.values().filter(|kv| range.span.contains(&kv.key)).cloned().collect();
    let count = kvs.len() as i64;
    if range.count_only {
        return Found { kvs: vec![], more: false, count };
    }
    kvs.retain(|kv| {
        (range.min_mod == 0 || kv.modified >= range.min_mod)
            && (range.max_mod == 0 || kv.modified <= range.max_mod)
            && (range.min_create == 0 || kv.create >= range.min_create)
            && (range.max_create == 0 || kv.create <= range.max_create)
    });
    if let Some((by, order)) = range.order {
        kvs.sort_by(|a, b| {
            let sorted = match by {
                SortBy::Key => a.key.cmp(&b.key),
                SortBy::Version => a.version.cmp(&b.version),
                SortBy::Create => a.create.cmp(&b.create),
                SortBy::Mod => a.modified.cmp(&b.modified),
                SortBy::Value => a.value.cmp(&b.value),
            };
            if order == Order::Ascending { sorted } else { sorted.reverse() }
        });
    }
    let more = range.limit > 0 && kvs.len() as i64 > range.limit;
    if more {
        kvs.truncate(range.limit as usize);
    }
    if range.keys_only {
        kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
    }
    Found { kvs, more, count }
}
