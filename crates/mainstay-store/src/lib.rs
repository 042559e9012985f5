//! The consensus store: members that agree, what they keep on disk, and the face that etcd's clients know.

mod confirm;
mod data;
mod elector;
mod engine;
pub mod etcd;
mod identity;
mod links;
mod member;
mod members;
mod mutant;
mod peer;
mod propose;
mod raft;
mod settings;
mod turns;
mod voice;
mod watch;

pub use engine::{Engine, Failure, Header, Lease, Member, Status};
pub use identity::Mistaken;
pub use member::StartError;
pub use members::Unchanged;
pub use raft::Flushes;
pub use settings::Settings;
pub use watch::{Seen, Watcher};
