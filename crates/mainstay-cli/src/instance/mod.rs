//! `mainstay instance`: the small HTTP service that demo, quickstart, tests and drills put behind a gateway.
//!
//! It behaves as a plain service does: so many slots, each request holds one for the service time, so many may wait,
//! and what comes after that is refused at once. It tells who it is, and it can be told to be ill ([`fault`]). What
//! really reached it can be counted: a line per request is appended to a file when its head has been read, before any
//! work, so that even an instance that is killed a moment later has said so.
//!
//! One thread serves everything: an instance is one core's worth of service, and several make a fleet.

mod clock;
mod connection;
mod fault;
mod serve;
mod slots;
mod work;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::args::InstanceArgs;
use crate::outcome::{Outcome, Trouble, while_doing};
use crate::{family, print, runtime};
use clock::Clock;
use fault::Current;
use slots::Slots;
pub(crate) use work::Spread;
use work::Work;

/// How long requests that run may take to end after a stop was asked for; longer than any sensible service time.
const DRAIN: Duration = Duration::from_secs(30);
/// How long to wait when no connection can be accepted (no descriptor is left) before trying again.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// What all connections of one instance share.
struct Instance {
    name: String,
    work: Work,
    clock: Clock,
    size: Option<usize>,
    slots: Slots,
    fault: Current,
    served: AtomicU64,
    checked: AtomicU64,
    accepted: AtomicU64,
    log: Option<File>,
}

impl Instance {
    fn new(args: &InstanceArgs, name: String) -> Outcome<Self> {
        mainstay_http1::validate_value(name.as_bytes())
            .map_err(|_| Trouble::wrong("--name must be text that can stand in a header"))?;
        let open = |path| OpenOptions::new().create(true).append(true).open(path);
        let log = args.log.as_ref().map(open).transpose().map_err(while_doing("opening the log"))?;
        Ok(Self {
            name,
            work: Work::new(Duration::from_nanos(args.service_time.as_nanos()), args.distribution, args.seed),
            clock: Clock::start().map_err(while_doing("starting the clock"))?,
            size: args.size,
            slots: Slots::new(args.concurrency, args.queue),
            fault: Current::default(),
            served: AtomicU64::new(0),
            checked: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            log,
        })
    }

    /// Counts a piece of work and gives it its number, from 1.
    fn number(&self) -> u64 {
        self.served.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The same for a question after its health. They are numbered apart: who asks how often changes no other luck.
    fn check_number(&self) -> u64 {
        self.checked.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The same for a connection.
    fn connection_number(&self) -> u64 {
        self.accepted.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Appends one line with one write, so that lines of several processes in one file never mix.
    fn log(&self, line: &[u8]) {
        if let Some(Err(error)) = self.log.as_ref().map(|mut file| file.write_all(line)) {
            print::note(format_args!("the log misses a line: {error}"));
        }
    }
}

/// `mainstay instance`
pub(crate) fn command(args: &InstanceArgs) -> Outcome {
    if let Some(parent) = args.with_parent {
        family::end_with(parent)?;
    }
    runtime()?.block_on(run(args))
}

async fn run(args: &InstanceArgs) -> Outcome {
    let listener =
        TcpListener::bind(args.listen).await.map_err(while_doing(format_args!("listening on {}", args.listen)))?;
    let address = listener.local_addr().map_err(while_doing("listening"))?;
    let instance = Arc::new(Instance::new(args, args.name.clone().unwrap_or_else(|| address.to_string()))?);
    let mut terminate = signal(SignalKind::terminate()).map_err(while_doing("waiting for signals"))?;
    print::result(format_args!("listening on {address}"))?;
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::select! {
        () = accept(listener, &instance, &stopped, &mut connections) => {}
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    // Nobody is listening when every connection has ended already.
    let _ = stop.send(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(DRAIN, ended).await.is_err() {
        print::note("some requests did not end in time");
    }
    Ok(())
}

/// Takes connections until it is dropped, and the listener with it.
async fn accept(
    listener: TcpListener,
    instance: &Arc<Instance>,
    stopped: &watch::Receiver<bool>,
    connections: &mut JoinSet<()>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, Arc::clone(instance), stopped.clone()));
            }
            Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, instance: Arc<Instance>, stopped: watch::Receiver<bool>) {
    // How a connection ends is the caller's affair: there is nobody here to tell.
    let _ = serve::serve(connection::Connection::new(stream, stopped), &instance).await;
}
