//! A strict HTTP/1.1 codec and the two machines that speak it, without I/O.
//!
//! [`ServerConnection`] is the machine of one caller's connection, [`ClientConnection`] that of one connection to an
//! instance. Bytes that were read go in, events come out; what is to be written is appended to a `Vec<u8>` that the
//! driver hands in. The machines own no socket, no buffer and no clock: a driver on epoll, on tokio, on io_uring or in
//! a test treats them alike, and every timeout is the driver's.
//!
//! Three ideas hold the crate together.
//!
//! - **One meaning only.** Whatever two implementations could read in two ways is refused ([`Reject`]): that is what
//!   request smuggling is made of. Where RFC 9112 lets a recipient be lenient, this one is not.
//! - **Nothing is copied to be understood.** A parsed head is a list of [`Span`]s into the bytes that the driver has
//!   read; a body comes out as ranges of them. In steady state a message costs no allocation.
//! - **Nothing is copied through unread.** What goes out is written anew from parsed parts, with framing that the
//!   machine alone decides. Which fields may cross to the other side is for the driver to say.
//!
//! ```
//! use mainstay_http1::{BodyLength, Limits, RequestEvent, RequestHead, ServerConnection};
//!
//! let mut caller = ServerConnection::new(Limits::default());
//! let (mut head, mut out) = (RequestHead::default(), Vec::new());
//! let read = b"GET /cart?item=7 HTTP/1.1\r\nHost: shop.example\r\n\r\n";
//!
//! let received = caller.receive(read, &mut head)?;
//! assert!(matches!(received.event, RequestEvent::Request(facts) if facts.keep_alive));
//! assert_eq!(head.view(read).path(), b"/cart");
//!
//! caller.start_response(200, BodyLength::Exactly(2), &mut out)?;
//! caller.end_head(&mut out)?;
//! caller.data(b"ok", &mut out)?;
//! caller.finish([], &mut out)?;
//! assert_eq!(out, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
//! assert!(caller.next_request());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Sources: RFC 9110 (semantics), RFC 9112 (HTTP/1.1), RFC 3986 (authorities).

mod body;
mod caching;
mod client;
mod encode;
mod fields;
mod framing;
mod head;
mod known;
mod parse;
mod reject;
mod server;
mod syntax;
mod target;
mod writer;

pub use body::{BodyDecoder, BodyEvent, BodyKind, CHUNK_EXTENSIONS_MAX};
pub use caching::CacheControl;
pub use client::{ClientConnection, INTERIM_MAX, InstanceEof, OutgoingRequest, ResponseEvent};
pub use encode::{
    InvalidField, chunk_header, decimal, end_of_head, field, field_u64, last_chunk, reason, request_line, status_line,
    validate_name, validate_target, validate_value,
};
pub use fields::{Field, FieldRef, Fields, FieldsView, Span};
pub use framing::{RequestFacts, ResponseFacts};
pub use head::{RequestHead, RequestView, ResponseHead, ResponseView, TargetForm, Version};
pub use known::{Known, KnownSet};
pub use parse::{RequestParser, ResponseParser};
pub use reject::{Limits, Reject};
pub use server::{CallerEof, RequestEvent, ServerConnection};
pub use writer::{BodyLength, Misuse};

/// What one call of `receive` or `decode` made of its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received<E> {
    /// Bytes at the front of the input that are done with; the next call's input begins after them.
    pub consumed: usize,
    /// What they were.
    pub event: E,
}

impl<E> Received<E> {
    pub(crate) const fn new(consumed: usize, event: E) -> Self {
        Self { consumed, event }
    }
}
