//! The consensus store: members that agree, what they keep on disk, and the face that etcd's clients know.

mod engine;
pub mod etcd;
mod watch;

pub use engine::{Engine, Failure, Header, Lease, Member, Status};
pub use watch::{Seen, Watcher, Watches};
