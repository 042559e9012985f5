//! One check of one endpoint: a GET, or a connection that comes about.
//!
//! In: an address and what is asked. Out: pass, or how it failed, with the same words as for a call, because an endpoint
//! that refused is let back in sooner than one that answered badly. The answer is read up to the end of its head by the
//! same strict machine as any other; its body is not read. The whole takes no longer than the timeout. A check that
//! cannot be made, for what we lack ourselves, has no result.

use std::net::SocketAddr;
use std::time::Duration;

use mainstay_core::Failure;
use mainstay_http1::{
    BodyLength, ClientConnection, Limits, Misuse, OutgoingRequest, Received, ResponseEvent, ResponseHead,
};
use mainstay_policy::{CheckResult, HealthSettings, Probe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::connect::failure_of;

/// Checks `address` once; `None` when we lack what that needs.
pub(super) async fn check(address: SocketAddr, settings: &HealthSettings) -> Option<CheckResult> {
    let deadline = Instant::now() + Duration::from_nanos(settings.timeout.as_nanos());
    let answer = match timeout_at(deadline, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => ask(stream, address, &settings.probe, deadline).await,
        Ok(Err(error)) => Err(failure_of(&error, address)?),
        Err(_elapsed) => Err(Failure::ConnectTimeout),
    };
    Some(match answer {
        Ok(()) => CheckResult::Pass,
        Err(failure) => CheckResult::Fail(failure),
    })
}

async fn ask(stream: TcpStream, address: SocketAddr, probe: &Probe, deadline: Instant) -> Result<(), Failure> {
    let Probe::Http { path, expect } = probe else { return Ok(()) };
    let status = timeout_at(deadline, get(stream, address, path)).await.map_err(|_| Failure::Timeout)??;
    let expected = expect.iter().any(|(first, last)| (*first..=*last).contains(&status));
    if expected { Ok(()) } else { Err(Failure::Status(status)) }
}

/// The status that a GET of `path` is answered with.
async fn get(mut stream: TcpStream, address: SocketAddr, path: &str) -> Result<u16, Failure> {
    let limits = Limits::default();
    let mut machine = ClientConnection::new(limits);
    let request = write_request(&mut machine, address, path).map_err(|_| Failure::Malformed)?;
    stream.write_all(&request).await.map_err(|_| Failure::Reset)?;
    let mut head = ResponseHead::default();
    // The machine refuses a head that is longer than its limit, so this does not grow past it by more than one read.
    let mut unread = Vec::with_capacity(1024);
    loop {
        match stream.read_buf(&mut unread).await {
            Ok(0) | Err(_) => return Err(Failure::Reset),
            Ok(_) => {}
        }
        if let Some(status) = receive(&mut machine, &mut unread, &mut head)? {
            return Ok(status);
        }
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

/// The final status, once its head is complete.
fn receive(
    machine: &mut ClientConnection,
    unread: &mut Vec<u8>,
    head: &mut ResponseHead,
) -> Result<Option<u16>, Failure> {
    loop {
        let Received { consumed, event } = machine.receive(unread, head).map_err(|_| Failure::Malformed)?;
        unread.drain(..consumed);
        match event {
            ResponseEvent::Response(_) => return Ok(Some(head.status)),
            ResponseEvent::Interim(_) => {}
            _ => return Ok(None),
        }
    }
}
