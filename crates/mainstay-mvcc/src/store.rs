//! The store: what commands made of it.
//!
//! A write is frozen once and held by the index, for readers, and by the history, for watchers. A command is looked at
//! whole before it changes anything, so that a refusal changes nothing and there is nothing to take back.
//!
//! **Compaction** is two things. What may be asked changes with the command, at once and on every member alike. What
//! memory holds changes afterwards, a few writes at a time, when whoever drives the store calls [`Store::tidy`]. The
//! history tells what to forget: a write that leaves it has made what its key was before old. So the work is that of the
//! writes since the last compaction, however many keys lie still. A [`Pin`] holds the second back and not the first.

use mainstay_core::Crc;

use crate::command::{Applied, Command, Delete, Deleted, Done, LeaseId, Put, Refused, Revision};
use crate::frozen::{State, Write};
use crate::hash::Hashing;
use crate::history::History;
use crate::index::Index;
use crate::key::Key;
use crate::lease::{Granted, Leases};
use crate::pin::{Mark, Pin, Pins, View};
use crate::read::KeyValue;
use crate::span::Span;

/// The revision of a store in which nothing was written.
const BEGINNING: Revision = 1;

/// The revision of the first write.
pub(crate) const FIRST_WRITE: Revision = BEGINNING + 1;

/// What [`Store::compacted`] says of a store that never was, as etcd has it.
const NEVER: Revision = -1;

/// Keys in all their revisions since the last compaction, and leases.
#[derive(Debug)]
pub struct Store {
    revision: Revision,
    compacted: Revision,
    index: Index,
    history: History,
    leases: Leases,
    bytes: u64,
    pins: Pins,
    /// How many writes of the oldest revision that is remembered have been looked at for what they made old.
    seen_at_floor: (Revision, u64),
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            revision: BEGINNING,
            compacted: NEVER,
            index: Index::default(),
            history: History::after(BEGINNING),
            leases: Leases::default(),
            bytes: 0,
            pins: Pins::default(),
            seen_at_floor: (NEVER, 0),
        }
    }

    /// Carries out a command that was agreed on.
    pub fn apply(&mut self, command: &Command) -> Applied {
        let mut writes = 0;
        let done = self.carry_out(command, &mut writes);
        if writes > 0 {
            self.revision += 1;
        }
        Applied { revision: self.revision, done }
    }

    /// The revision of the last write.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The oldest revision that can be read and watched; -1 as long as nothing was compacted.
    #[must_use]
    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    /// What the data takes, in bytes: what a quota counts. It falls as [`Store::tidy`] goes on.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A lease and the keys that hang on it.
    #[must_use]
    pub fn lease(&self, id: LeaseId) -> Option<Granted> {
        let ttl = self.leases.ttl(id)?;
        Some(Granted { ttl, keys: self.leases.keys(id).map(Key::to_bytes).collect() })
    }

    /// The length a lease was granted, in seconds.
    #[must_use]
    pub fn ttl(&self, id: LeaseId) -> Option<i64> {
        self.leases.ttl(id)
    }

    /// All leases and the lengths they were granted, in seconds, in the order of their numbers.
    pub fn leases(&self) -> impl Iterator<Item = (LeaseId, i64)> {
        self.leases.all()
    }

    /// A checksum of every write that can be read or watched, up to this revision; 0 or less means up to now. It is the
    /// same on every member that has the revision and the same compaction. It reads all of it: [`Store::hashing`] does so
    /// in steps.
    ///
    /// # Errors
    /// The revision is not there.
    pub fn hash(&self, revision: Revision) -> Result<u32, Refused> {
        let revision = self.readable(revision, self.revision)?;
        let mut crc = Crc::default();
        for (_, chain) in self.index.after(None) {
            chain.hash(self.compacted, revision, &mut crc);
        }
        Ok(crc.sum())
    }

    /// Begins to take the checksum, of what is here now.
    ///
    /// # Errors
    /// The revision is not there.
    pub fn hashing(&mut self, revision: Revision) -> Result<Hashing, Refused> {
        let revision = self.readable(revision, self.revision)?;
        Ok(Hashing { revision, pin: self.pin(), after: None, crc: Crc::default() })
    }

    /// Goes on with a checksum, by so many keys; it, once it is there.
    #[must_use]
    pub fn hash_on(&self, hashing: &mut Hashing, keys: usize) -> Option<u32> {
        let Hashing { revision, pin, after, crc } = hashing;
        let from = after.take();
        for (at, (key, chain)) in (1..).zip(self.index.after(from.as_deref())) {
            chain.hash(pin.view.compacted, *revision, crc);
            if at >= keys {
                *after = Some(key.as_ref().to_vec());
                return None;
            }
        }
        Some(crc.sum())
    }

    /// Forgets some of what a compaction has made old: at most so many writes. Returns whether there is more to forget,
    /// now and not held back by a pin.
    pub fn tidy(&mut self, budget: usize) -> bool {
        let floor = self.pins.oldest().unwrap_or(self.compacted).min(self.compacted);
        for _ in 0..budget {
            if let Some(write) = self.history.pop_before(floor) {
                self.bytes = self.bytes.saturating_sub(self.index.forget(&write));
                continue;
            }
            if self.seen_at_floor.0 != floor {
                self.seen_at_floor = (floor, 0);
            }
            let Some(write) = self.history.nth(floor, self.seen_at_floor.1) else { return false };
            self.bytes = self.bytes.saturating_sub(self.index.forget_below(write));
            self.seen_at_floor.1 += 1;
        }
        true
    }

    /// Holds what can be read now for as long as the pin lives.
    pub fn pin(&mut self) -> Pin {
        let leases = self.leases.all().collect();
        self.pins.add(View { revision: self.revision, compacted: self.compacted, leases })
    }

    /// A place that follows the store: what happened after it is not forgotten until it has moved on.
    pub fn mark(&mut self) -> Mark {
        self.pins.mark(self.revision)
    }

    /// An empty one that stands at this revision, for [`Store::restore`].
    pub(crate) fn restoring(revision: Revision, compacted: Revision, first: Revision) -> Self {
        Self { revision, compacted, history: History::after(first - 1), ..Self::new() }
    }

    /// Takes on what was written before the compaction and still counts, by key, before anything else.
    pub(crate) fn restore_survivors(&mut self, writes: Vec<Write>) {
        self.bytes += writes.iter().map(Write::cost).sum::<u64>();
        self.index = Index::of(writes);
    }

    /// Takes on a write as it was, which comes after all others.
    pub(crate) fn restore(&mut self, write: Write) {
        self.bytes += write.cost();
        self.history.push(write.clone());
        self.index.push(write);
    }

    /// Takes on the leases, once every write is there. `false` when a key hangs on one that is not among them.
    pub(crate) fn restored(&mut self, leases: &[(LeaseId, i64)]) -> bool {
        leases.iter().for_each(|(id, ttl)| self.leases.grant(*id, *ttl));
        for (key, chain) in self.index.after(None) {
            let lease = chain.at(Revision::MAX).map_or(0, |write| write.state().lease);
            if lease != 0 && self.leases.ttl(lease).is_none() {
                return false;
            }
            self.leases.moved(key.as_ref(), 0, lease);
        }
        true
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    fn carry_out(&mut self, command: &Command, writes: &mut u32) -> Result<Done, Refused> {
        command.check()?;
        match command {
            Command::Put(put) => {
                self.check_lease(put)?;
                self.check_key(put)?;
                Ok(Done::Put(self.set(put, writes)))
            }
            Command::Delete(delete) => Ok(Done::Deleted(self.delete(delete, writes))),
            Command::Txn(txn) => self.transact(txn, writes).map(Done::Txn),
            Command::Compact(revision) => self.compact(*revision),
            Command::Grant { id, ttl } => self.grant(*id, *ttl),
            Command::Revoke(id) => match self.leases.ttl(*id) {
                Some(_) => Ok(Done::Ended(self.end(&[*id], writes))),
                None => Err(Refused::LeaseNotFound),
            },
            Command::Expire(ids) => Ok(Done::Ended(self.end(ids, writes))),
        }
    }

    /// That the lease which a key shall hang on is there.
    pub(crate) fn check_lease(&self, put: &Put) -> Result<(), Refused> {
        match put.lease {
            None | Some(0) => Ok(()),
            Some(id) => self.leases.ttl(id).map(drop).ok_or(Refused::LeaseNotFound),
        }
    }

    /// That the key is there, if something of it shall stay as it is.
    pub(crate) fn check_key(&self, put: &Put) -> Result<(), Refused> {
        if put.keeps() && self.now(&put.key).is_none() { Err(Refused::KeyNotFound) } else { Ok(()) }
    }

    /// Sets a key; what it was before, where that is wanted.
    pub(crate) fn set(&mut self, put: &Put, writes: &mut u32) -> Option<KeyValue> {
        let main = self.revision + 1;
        let sub = next(writes);
        let mut previous = None;
        let mut leases = (0, 0);
        self.index.change(&put.key, |last| {
            let old = last.map(Write::state).unwrap_or_default();
            let state = State {
                version: old.version + 1,
                create: if last.is_some() { old.create } else { main },
                lease: put.lease.unwrap_or(old.lease),
            };
            let value = put.value.as_deref().or(last.map(Write::value)).unwrap_or_default();
            previous = last.filter(|_| put.previous).map(Write::key_value);
            leases = (old.lease, state.lease);
            let write = Write::put(main, sub, state, &put.key, value);
            self.bytes += write.cost();
            self.history.push(write.clone());
            Some(write)
        });
        self.leases.moved(&put.key, leases.0, leases.1);
        previous
    }

    /// Deletes the keys of a span that live.
    pub(crate) fn delete(&mut self, delete: &Delete, writes: &mut u32) -> Deleted {
        let main = self.revision + 1;
        let mut deleted = Deleted::default();
        self.index.change_all(&delete.span, |last| {
            deleted.count += 1;
            if delete.previous {
                deleted.previous.push(last.key_value());
            }
            let key = last.key();
            self.leases.moved(key, last.state().lease, 0);
            let write = Write::delete(main, next(writes), key);
            self.bytes += write.cost();
            self.history.push(write.clone());
            write
        });
        deleted
    }

    /// The key as it is, in the midst of a command too.
    fn now(&self, key: &[u8]) -> Option<&Write> {
        self.index.get(key)?.at(Revision::MAX)
    }

    fn compact(&mut self, revision: Revision) -> Result<Done, Refused> {
        if revision <= self.compacted {
            return Err(Refused::Compacted { at: self.compacted });
        }
        if revision > self.revision {
            return Err(Refused::Future { at: self.revision });
        }
        self.compacted = revision;
        Ok(Done::Compacted)
    }

    fn grant(&mut self, id: LeaseId, ttl: i64) -> Result<Done, Refused> {
        if id == 0 {
            return Err(Refused::LeaseNotFound);
        }
        if self.leases.ttl(id).is_some() {
            return Err(Refused::LeaseExists);
        }
        let ttl = ttl.max(1);
        self.leases.grant(id, ttl);
        Ok(Done::Granted { id, ttl })
    }

    /// Ends those leases that are there, and deletes what hangs on them.
    fn end(&mut self, ids: &[LeaseId], writes: &mut u32) -> Vec<LeaseId> {
        let mut ended = Vec::new();
        for id in ids {
            if self.leases.ttl(*id).is_none() {
                continue;
            }
            for key in self.leases.end(*id) {
                self.delete(&Delete { span: Span::key(key.to_bytes()), previous: false }, writes);
            }
            ended.push(*id);
        }
        ended
    }
}

/// The place of the next write within its revision.
fn next(writes: &mut u32) -> u32 {
    let sub = *writes;
    *writes += 1;
    sub
}
