//! An entry of the log as bytes: whose it is, then what it holds, as it came.
//!
//! The first byte is the kind and so the version of what follows; an unknown one is an error, never a guess.

use bytes::{BufMut, Bytes, BytesMut};
use openraft::{EntryPayload, Membership};

use super::{Batch, Entry, LogId, MemberId, Place};

const BLANK: u8 = 1;
const COMMANDS: u8 = 2;
/// 3 were members that had no address for clients.
const MEMBERS: u8 = 4;

/// Kind, term, leader and index.
const HEAD: usize = 1 + 3 * 8;

/// Why bytes are no entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// They end before the entry does.
    #[error("an entry ends in its midst")]
    Short,
    /// Their first byte is none of ours.
    #[error("an entry of kind {0}, which this version does not know")]
    Kind(u8),
    /// What it holds is not what its kind says.
    #[error("an entry whose members cannot be read")]
    Members,
}

/// The bytes of an entry.
pub(crate) fn encode(entry: &Entry) -> Bytes {
    let (kind, members): (_, Vec<u8>) = match &entry.payload {
        EntryPayload::Blank => (BLANK, Vec::new()),
        EntryPayload::Normal(_) => (COMMANDS, Vec::new()),
        EntryPayload::Membership(members) => (MEMBERS, postcard::to_allocvec(members).unwrap_or_default()),
    };
    let body: &[u8] = match &entry.payload {
        EntryPayload::Normal(batch) => &batch.0,
        _ => &members,
    };
    let mut bytes = BytesMut::with_capacity(HEAD + body.len());
    bytes.put_u8(kind);
    bytes.put_u64_le(entry.log_id.leader_id.term);
    bytes.put_u64_le(entry.log_id.leader_id.node_id);
    bytes.put_u64_le(entry.log_id.index);
    bytes.put_slice(body);
    bytes.freeze()
}

/// The entry that these bytes are. What it holds is a part of them, not a copy.
pub(crate) fn decode(mut bytes: Bytes) -> Result<Entry, Unreadable> {
    use bytes::Buf;
    if bytes.len() < HEAD {
        return Err(Unreadable::Short);
    }
    let kind = bytes.get_u8();
    let leader = openraft::CommittedLeaderId::new(bytes.get_u64_le(), bytes.get_u64_le());
    let log_id = LogId::new(leader, bytes.get_u64_le());
    let payload = match kind {
        BLANK => EntryPayload::Blank,
        COMMANDS => EntryPayload::Normal(Batch(bytes)),
        MEMBERS => {
            let members: Membership<MemberId, Place> = postcard::from_bytes(&bytes).map_err(|_| Unreadable::Members)?;
            EntryPayload::Membership(members)
        }
        other => return Err(Unreadable::Kind(other)),
    };
    Ok(Entry { log_id, payload })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn entry(payload: EntryPayload<super::super::Types>) -> Entry {
        Entry { log_id: LogId::new(openraft::CommittedLeaderId::new(7, 3), 42), payload }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let place = |name: &str| Place { name: name.to_owned(), peer: "127.0.0.1:2380".to_owned(), ..Place::default() };
        let members = Membership::new(
            vec![BTreeSet::from([1, 2])],
            BTreeMap::from([(1, place("a")), (2, place("b")), (3, place("c"))]),
        );
        for payload in [
            EntryPayload::Blank,
            EntryPayload::Normal(Batch(Bytes::from_static(b"anything"))),
            EntryPayload::Membership(members),
        ] {
            let written = entry(payload);
            assert_eq!(decode(encode(&written)), Ok(written));
        }
    }

    #[test]
    fn what_is_cut_or_unknown_is_told_as_such() {
        let whole = encode(&entry(EntryPayload::Blank));
        for end in 0..whole.len() {
            assert_eq!(decode(whole.slice(..end)), Err(Unreadable::Short));
        }
        let mut other = whole.to_vec();
        other[0] = 99;
        assert_eq!(decode(other.into()), Err(Unreadable::Kind(99)));
    }
}
