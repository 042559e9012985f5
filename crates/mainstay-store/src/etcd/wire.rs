//! Messages, servers and clients as `proto/` describes them, generated: see `tests/it/wire.rs`.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::redundant_closure_for_method_calls,
    clippy::semicolon_if_nothing_returned,
    clippy::needless_pass_by_value,
    reason = "generated; the descriptions are etcd's"
)]

/// Keys and events.
pub mod mvccpb {
    include!("wire/mvccpb.rs");
}

/// The store itself.
pub mod etcdserverpb {
    include!("wire/etcdserverpb.rs");
}

/// Locks.
pub mod v3lockpb {
    include!("wire/v3lockpb.rs");
}

/// Elections.
pub mod v3electionpb {
    include!("wire/v3electionpb.rs");
}

/// All of it as its compiler sees it, for those who must read messages by name.
pub(crate) const DESCRIPTORS: &[u8] = include_bytes!("wire/descriptors.bin");
