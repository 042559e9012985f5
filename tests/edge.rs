//! The edge: what is refused there, and that nobody behind it ever reads a request in another way.
//!
//! Two tables of malformed and ambiguous messages, `tests/edge/requests.txt` and `tests/edge/responses.txt`, each row with
//! its source, its bytes and what must come of them, played over real sockets. Behind the gateway stands an origin that
//! reads strictly and says what it read, and between them, where they are installed, nginx and HAProxy, which read in
//! ways of their own. A family of requests drawn from seeds goes the same way.

mod answers;
mod family;
mod origin;
mod peers;
mod requests;
mod responses;
mod table;
