//! Members speak to each other: frames over TCP, questions and answers.
//!
//! One connection for each lane, so that a snapshot on its way never stands before a vote. A question has a number, and
//! its answer has the same; many are open at once. A lane connects when there is something to say, and says at once that
//! it cannot: who retries is the asker's care. An end that is silent is gone, and its connection with it.

mod frame;
mod link;
mod message;
mod server;

pub(crate) use frame::LONGEST;
pub(crate) use link::{Lane, Link, Unreachable};
pub(crate) use message::{Hello, Message, NONE, Transfer, VERSION};
pub(crate) use server::{Answers, serve};

#[cfg(test)]
mod tests;
