//! What changes in a message on its way through: the target, `Host`, and the fields in both directions.
//!
//! In: a parsed head, the route's compiled rules, who calls. Out: bytes appended to a buffer. The connection's machine
//! in `mainstay-http1` writes the first line and the framing; everything between them and the empty line is written
//! here. In steady state nothing is allocated: what a configuration says is rendered once, when it is compiled.
//!
//! - Removal comes before addition: nobody can make us drop what we add.
//! - What an untrusted peer says about others is replaced and never believed.
//! - Nothing is copied that was not parsed.
//!
//! Sources: RFC 9110, section 7.6; RFC 7239; W3C Trace Context.

mod caller;
mod credentials;
mod date;
mod fields;
mod rate_limit;
mod request;
mod response;
mod target;
mod trace;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use caller::{Peer, caller_priority, caller_timeout, decimal, request_id};
pub(crate) use credentials::credentials;
pub(crate) use date::{HttpDate, parse_date};
pub(crate) use fields::FieldRules;
pub(crate) use rate_limit::{RateLimitTold, retry_after};
pub(crate) use request::{ForwardingLines, RequestContext, host_value, named_host, named_scheme, write_request_fields};
pub(crate) use response::{Again, ResponseContext, write_interim_fields, write_response_fields};
#[cfg(test)]
pub(crate) use target::NoHost;
pub(crate) use target::{Asked, PathChange, RedirectRule, escaped};
pub(crate) use trace::{Trace, make_request_id};
