//! Places in a queue: what locks and elections are made of, as etcd's clients make them (`clientv3/concurrency`).
//!
//! A queue is a prefix. Whoever waits has a key of its own there, which hangs on its lease; the key that was made first
//! holds. Each waits for the one before it alone, so that one death wakes one. A place is looked at once more after the
//! wait: a lease may have ended meanwhile, and its key with it (Jepsen found etcd 3.4.3 without that look).

use std::time::Duration;

use mainstay_mvcc::{
    Command, Compare, Delete, Done, KeyValue, LeaseId, Op, Order, Put, Range, Relation, Response, Revision, SortBy,
    Span, Target, Txn, TxnDone, Watch,
};
use prost::bytes::Bytes;
use tonic::Status;

use super::face::Face;
use super::refusal::{self, status};
use crate::engine::{Engine, Header};

/// The length of a lease that is made for a caller without one, in seconds, as in etcd.
const LEASE: i64 = 60;

/// All keys of a queue.
pub(crate) fn queue(name: &[u8]) -> Bytes {
    [name, b"/"].concat().into()
}

/// The key that was made first.
pub(crate) fn first(prefix: &Bytes) -> Range {
    Range { limit: 1, order: Some((SortBy::Create, Order::Ascending)), ..Range::all(Span::prefix(prefix.clone())) }
}

/// A key is as it was when it was made at this revision: not gone, and not made anew.
pub(crate) fn still(key: &Bytes, made: Revision) -> Compare {
    Compare { span: Span::key(key.clone()), relation: Relation::Equal, target: Target::Create(made) }
}

/// A place in a queue. Dropped before it is kept, it is given up.
#[derive(Debug)]
pub(crate) struct Place {
    face: Face,
    pub(crate) key: Bytes,
    pub(crate) lease: LeaseId,
    pub(crate) made: Revision,
    /// The lease was made for this place alone.
    own: bool,
    /// It outlives this: it was there before, or the client has it now.
    kept: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.kept {
            let (engine, command) = (self.face.engine.clone(), self.give_up());
            // Whoever waited is gone; if this fails too, the lease ends its key.
            tokio::spawn(async move { drop(engine.propose(command).await) });
        }
    }
}

impl Place {
    /// Enters the queue with this value, or finds the place that the lease has there already: it and what it holds.
    pub(crate) async fn enter(
        face: &Face,
        prefix: &Bytes,
        lease: LeaseId,
        value: Bytes,
    ) -> Result<(Self, Option<KeyValue>), Status> {
        let own = lease == 0;
        let lease = if own { face.grant(0, LEASE).await.map_err(refusal::passed_on)?.1 } else { lease };
        let key: Bytes = [&prefix[..], format!("{lease:x}").as_bytes()].concat().into();
        let mut place = Self { face: face.clone(), key: key.clone(), lease, made: 0, own, kept: false };
        let enter = Txn {
            when: vec![still(&key, 0)],
            then: vec![Op::Put(Put { key: key.clone(), value: Some(value), lease: Some(lease), previous: false })],
            otherwise: vec![Op::Range(Range::all(Span::key(key)))],
        };
        let (header, done) = txn(face, enter).await?;
        let there = found(done);
        place.made = there.as_ref().map_or(header.revision, |kv| kv.create);
        place.kept = there.is_some();
        Ok((place, there))
    }

    /// Waits until nobody is before it, and looks whether it is still there.
    pub(crate) async fn first(&self, prefix: &Bytes) -> Result<Header, Status> {
        let refresh = Duration::from_secs(LEASE.unsigned_abs() / 3);
        let mut ticks = tokio::time::interval(refresh);
        let waited = self.nobody_before(prefix);
        tokio::pin!(waited);
        loop {
            tokio::select! {
                waited = &mut waited => break waited?,
                _ = ticks.tick(), if self.own => drop(self.face.engine.renew(self.lease).await),
            }
        }
        self.there().await
    }

    async fn nobody_before(&self, prefix: &Bytes) -> Result<(), Status> {
        let before = Range {
            limit: 1,
            order: Some((SortBy::Create, Order::Descending)),
            max_create: self.made - 1,
            ..Range::all(Span::prefix(prefix.clone()))
        };
        loop {
            let (header, mut found) = read(&self.face, &before).await?;
            let Some(ahead) = found.kvs.pop() else { return Ok(()) };
            deleted(&self.face.engine, ahead.key, header.revision + 1).await;
        }
    }

    /// Whether the place is still what it was, by a read that nobody's delay can fool.
    async fn there(&self) -> Result<Header, Status> {
        let (header, found) = read(&self.face, &Range::all(Span::key(self.key.clone()))).await?;
        let there = found.kvs.first().is_some_and(|kv| kv.create == self.made);
        if there { Ok(header) } else { Err(status(refusal::SESSION_EXPIRED)) }
    }

    /// It is the client's now.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }

    /// A lease that was made for the place ends with it.
    fn give_up(&self) -> Command {
        if self.own {
            return Command::Revoke(self.lease);
        }
        let delete = Op::Delete(Delete { span: Span::key(self.key.clone()), previous: false });
        Command::Txn(Txn { when: vec![still(&self.key, self.made)], then: vec![delete], otherwise: Vec::new() })
    }
}

/// Returns when the key has been deleted, or when that can no longer be seen: look again.
async fn deleted(engine: &Engine, key: Bytes, from: Revision) {
    let mut watcher = engine.watch(Watch { span: Span::key(key), from, puts: false, deletes: true, previous: false });
    watcher.next().await;
}

/// A linearizable read.
pub(crate) async fn read(face: &Face, range: &Range) -> Result<(Header, mainstay_mvcc::Found), Status> {
    face.engine.confirm().await?;
    face.engine.read(range).map_err(|why| refusal::passed_on(refusal::refused(why)))
}

/// A transaction that is carried out as it stands.
pub(crate) async fn txn(face: &Face, txn: Txn) -> Result<(Header, TxnDone), Status> {
    match face.done(Command::Txn(txn)).await.map_err(refusal::passed_on)? {
        (header, Done::Txn(done)) => Ok((header, done)),
        _ => Err(refusal::astray()),
    }
}

/// The first key that the first read of a transaction found.
fn found(done: TxnDone) -> Option<KeyValue> {
    match done.responses.into_iter().next()? {
        Response::Range(found) => found.kvs.into_iter().next(),
        _ => None,
    }
}
