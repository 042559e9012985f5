//! Answers of the store as they travel. Keys and values are handed over, not copied.

use mainstay_mvcc::{Deleted, Event, Found, KeyValue, Response, Revision, TxnDone};

use super::wire::etcdserverpb as pb;
use super::wire::mvccpb;
use crate::engine::Header;
use pb::response_op;

/// The header of every answer.
pub(crate) fn header(of: Header) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { cluster_id: of.cluster, member_id: of.member, revision: of.revision, raft_term: of.term })
}

/// The header of an answer that is of this revision.
pub(crate) fn header_at(of: Header, revision: Revision) -> Option<pb::ResponseHeader> {
    header(Header { revision, ..of })
}

pub(crate) fn key_value(kv: KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: kv.key,
        create_revision: kv.create,
        mod_revision: kv.modified,
        version: kv.version,
        value: kv.value,
        lease: kv.lease,
    }
}

fn key_values(kvs: Vec<KeyValue>) -> Vec<mvccpb::KeyValue> {
    kvs.into_iter().map(key_value).collect()
}

pub(crate) fn range(header: Option<pb::ResponseHeader>, found: Found) -> pb::RangeResponse {
    pb::RangeResponse { header, kvs: key_values(found.kvs), more: found.more, count: found.count }
}

pub(crate) fn put(header: Option<pb::ResponseHeader>, previous: Option<KeyValue>) -> pb::PutResponse {
    pb::PutResponse { header, prev_kv: previous.map(key_value) }
}

pub(crate) fn deleted(header: Option<pb::ResponseHeader>, deleted: Deleted) -> pb::DeleteRangeResponse {
    pb::DeleteRangeResponse { header, deleted: deleted.count, prev_kvs: key_values(deleted.previous) }
}

pub(crate) fn txn(header: Option<pb::ResponseHeader>, done: TxnDone, revision: Revision) -> pb::TxnResponse {
    let mut within = Within { revision: revision - Revision::from(wrote(&done)), changed: false };
    within.txn(header, done)
}

/// Whether a transaction wrote anything.
fn wrote(done: &TxnDone) -> bool {
    done.responses.iter().any(|response| match response {
        Response::Range(_) => false,
        Response::Put(_) => true,
        Response::Deleted(deleted) => deleted.count > 0,
        Response::Txn(done) => wrote(done),
    })
}

/// Where a transaction is, from one answer within it to the next: each tells the revision that it saw or made.
struct Within {
    /// The revision before the transaction.
    revision: Revision,
    changed: bool,
}

impl Within {
    fn txn(&mut self, header: Option<pb::ResponseHeader>, done: TxnDone) -> pb::TxnResponse {
        let responses = done.responses.into_iter().map(|response| self.op(response)).collect();
        pb::TxnResponse { header, succeeded: done.succeeded, responses }
    }

    fn op(&mut self, response: Response) -> pb::ResponseOp {
        let response = match response {
            Response::Range(found) => response_op::Response::ResponseRange(range(self.header(false), found)),
            Response::Put(previous) => response_op::Response::ResponsePut(put(self.header(true), previous)),
            Response::Deleted(gone) => {
                response_op::Response::ResponseDeleteRange(deleted(self.header(gone.count > 0), gone))
            }
            Response::Txn(done) => {
                response_op::Response::ResponseTxn(self.txn(Some(pb::ResponseHeader::default()), done))
            }
        };
        pb::ResponseOp { response: Some(response) }
    }

    fn header(&mut self, changes: bool) -> Option<pb::ResponseHeader> {
        self.changed |= changes;
        let revision = self.revision + Revision::from(self.changed);
        Some(pb::ResponseHeader { revision, ..pb::ResponseHeader::default() })
    }
}

pub(crate) fn event(event: Event) -> mvccpb::Event {
    let kind = if event.deleted { mvccpb::event::EventType::Delete } else { mvccpb::event::EventType::Put };
    mvccpb::Event { r#type: kind.into(), kv: Some(key_value(event.kv)), prev_kv: event.previous.map(key_value) }
}
