//! The face that etcd's clients know: gRPC, the JSON gateway and the pages beside them, on one port.
//!
//! In: what clients send. Out: commands and questions for an [`Engine`](crate::Engine), and its answers in etcd's words:
//! the same fields, the same codes, the same texts, because clients compare them. What can be refused by looking at a
//! request alone is refused before anybody agrees on it. Nothing here decides what the data is.
//!
//! The API is that of etcd 3.5 as far as its clients of today use it (the descriptions in `proto/`); where 3.4 and 3.5
//! differ and clients can tell, 3.5 is meant: [`VERSION`].

mod answer;
mod ask;
mod cluster;
mod count;
mod door;
mod election;
mod face;
mod gateway;
mod hold;
mod kv;
mod lease;
mod lock;
mod maintenance;
mod pages;
mod refusal;
mod saved;
mod serve;
mod timeout;
mod watch;
pub mod wire;

pub use mainstay_mvcc::prefix_end;
pub use serve::{Settings, serve};

/// The version of etcd that this is taken for. Clients look at it to know what they may ask: since 3.5.13 a requested
/// progress notification comes only when it is true, which kube-apiserver relies on.
pub const VERSION: &str = "3.5.21";
