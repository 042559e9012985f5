//! One check of one endpoint: a GET, or a connection that comes about.
//!
//! In: an address, what is asked and what the answer must be. Out: pass, or how it failed, with the same words as for a
//! call, because an endpoint that refused is let back in sooner than one that answered badly. The answer is read by the
//! same strict machine as any other, up to the end of its head; its body only where something must be found in it, and
//! no more of it than [`BODY_MAX`]. The whole takes no longer than the timeout. A check that cannot be made, for what we
//! lack ourselves, has no result.

use std::net::SocketAddr;
use std::time::Duration;

use mainstay_config::BodyMatch;
use mainstay_core::Failure;
use mainstay_http1::{
    BodyLength, ClientConnection, InstanceEof, Limits, Misuse, OutgoingRequest, Received, ResponseEvent, ResponseHead,
};
use mainstay_policy::{CheckFailure, CheckResult, Probe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::Asked;
use crate::connect::failure_of;

/// Bytes of a body that are searched: many times what a health page has, and little for each of 128 checks at once.
const BODY_MAX: usize = 64 * 1024;

/// Checks `address` once; `None` when we lack what that needs.
pub(super) async fn check(address: SocketAddr, asked: &Asked) -> Option<CheckResult> {
    let deadline = Instant::now() + Duration::from_nanos(asked.settings.timeout.as_nanos());
    let answer = match timeout_at(deadline, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => {
            let answer = timeout_at(deadline, ask(stream, address, asked)).await;
            answer.unwrap_or(Err(Failure::Timeout.into()))
        }
        Ok(Err(error)) => Err(failure_of(&error, address)?.into()),
        Err(_elapsed) => Err(Failure::ConnectTimeout.into()),
    };
    Some(match answer {
        Ok(()) => CheckResult::Pass,
        Err(failure) => CheckResult::Fail(failure),
    })
}

async fn ask(stream: TcpStream, address: SocketAddr, asked: &Asked) -> Result<(), CheckFailure> {
    let Probe::Http { path, expect } = &asked.settings.probe else { return Ok(()) };
    let mut answer = Answer::new(stream);
    answer.ask(address, path).await?;
    let status = answer.status().await?;
    if !expect.iter().any(|(first, last)| (*first..=*last).contains(&status)) {
        return Err(Failure::Status(status).into());
    }
    match &asked.body {
        Some(wanted) => answer.find(wanted).await,
        None => Ok(()),
    }
}

/// The answer to a check, as far as it is read.
struct Answer {
    stream: TcpStream,
    machine: ClientConnection,
    head: ResponseHead,
    unread: Vec<u8>,
}

impl Answer {
    fn new(stream: TcpStream) -> Self {
        let machine = ClientConnection::new(Limits::default());
        // The machine refuses a head that is longer than its limit, so this does not grow past it by more than one read.
        Self { stream, machine, head: ResponseHead::default(), unread: Vec::with_capacity(1024) }
    }

    async fn ask(&mut self, address: SocketAddr, path: &str) -> Result<(), Failure> {
        let request = write_request(&mut self.machine, address, path).map_err(|_| Failure::Malformed)?;
        self.stream.write_all(&request).await.map_err(|_| Failure::Reset)
    }

    /// The final status, once its head is complete.
    async fn status(&mut self) -> Result<u16, Failure> {
        loop {
            match self.next_event()? {
                ResponseEvent::Response(_) => return Ok(self.head.status),
                ResponseEvent::Interim(_) => {}
                _ if self.read().await? => {}
                _ => return Err(Failure::Reset),
            }
        }
    }

    /// Looks for what the body must have.
    async fn find(&mut self, wanted: &BodyMatch) -> Result<(), CheckFailure> {
        let mut body = Vec::new();
        while body.len() < BODY_MAX {
            // What the event tells lies where the bytes were before they were taken.
            let Received { consumed, event } =
                self.machine.receive(&self.unread, &mut self.head).map_err(|_| Failure::Malformed)?;
            if let ResponseEvent::Data(range) = &event {
                body.extend_from_slice(self.unread.get(range.clone()).unwrap_or_default());
            }
            self.unread.drain(..consumed);
            match event {
                ResponseEvent::End => break,
                ResponseEvent::NeedMore if self.read().await? => {}
                ResponseEvent::NeedMore if self.machine.eof() == InstanceEof::EndOfBody => break,
                ResponseEvent::NeedMore => return Err(Failure::Reset.into()),
                _ => {}
            }
        }
        body.truncate(BODY_MAX);
        if wanted.is_in(&body) { Ok(()) } else { Err(CheckFailure::Body) }
    }

    fn next_event(&mut self) -> Result<ResponseEvent, Failure> {
        let received = self.machine.receive(&self.unread, &mut self.head);
        let Received { consumed, event } = received.map_err(|_| Failure::Malformed)?;
        self.unread.drain(..consumed);
        Ok(event)
    }

    /// More bytes; false when there are none any more.
    async fn read(&mut self) -> Result<bool, Failure> {
        self.stream.read_buf(&mut self.unread).await.map(|count| count > 0).map_err(|_| Failure::Reset)
    }
}

fn write_request(machine: &mut ClientConnection, address: SocketAddr, path: &str) -> Result<Vec<u8>, Misuse> {
    let mut out = Vec::with_capacity(256);
    let host = address.to_string();
    let request = OutgoingRequest {
        method: b"GET",
        target: path.as_bytes(),
        host: host.as_bytes(),
        body: BodyLength::Empty,
        upgrade: false,
    };
    machine.start_request(request, &mut out)?;
    out.extend_from_slice(b"user-agent: mainstay-check\r\naccept: */*\r\nconnection: close\r\n");
    machine.end_head(&mut out)?;
    machine.finish([], &mut out)?;
    Ok(out)
}
