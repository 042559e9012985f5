//! The consensus store: members that agree, what they keep on disk, and the face that etcd's clients know.

mod engine;
pub mod etcd;

pub use engine::{Engine, Failure, Header, Lease, Member, Seen, Status, Watcher};
