//! The data of the consensus store: what a committed command makes of it, and what may be read.
//!
//! In: [`Command`]s, in the order in which the members agreed on them, and questions. Out: what each did and the events
//! that it caused. Two stores that took the same commands are the same, byte for byte: nothing here reads a clock, draws
//! luck or touches a disk. Who agreed on a command, how it got onto a disk and who asks are other crates' thoughts.
//!
//! The model is etcd's, exactly (its documentation, "Data model" and "API guarantees"): a key space of bytes in all its
//! revisions. One command that writes anything makes one revision; all its writes share that main revision and are told
//! apart by the order in which they happened. A store without a write stands at revision 1.

mod check;
mod clock;
mod codec;
mod command;
mod cursor;
mod frozen;
mod hash;
mod history;
mod hub;
mod index;
mod intervals;
mod key;
pub mod laws;
mod lease;
mod pin;
mod range;
mod read;
mod ring;
mod snapshot;
mod span;
mod store;
mod txn;
mod varint;
mod watch;

pub use clock::LeaseClock;
pub use codec::Damaged;
pub use command::{
    Applied, Command, Compare, Delete, Deleted, Done, LeaseId, Op, Put, Refused, Relation, Response, Revision, Target,
    Txn, TxnDone,
};
pub use cursor::{Budget, Cursor, Step};
pub use hash::Hashing;
pub use hub::{Happened, Hub, Standing, WatchId};
pub use lease::Granted;
pub use pin::{Mark, Pin};
pub use read::{Found, KeyValue, Order, Range, SortBy};
pub use snapshot::{Restore, Saving};
pub use span::{End, Span, prefix_end};
pub use store::Store;
pub use watch::{Event, Watch};
