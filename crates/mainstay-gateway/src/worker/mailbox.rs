//! What a worker is told, and the handle by which everybody else tells it.
//!
//! A worker shares no state: connections, configurations, look-ups, check results and an operator's orders come to it as
//! messages, through one bounded queue, and it answers through one-shot channels. Whoever asks waits for all workers;
//! a worker that has ended answers nothing and is left out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_policy::{BreakerOrder, CheckResult, EndpointSpec, Fault, FleetDelta, Order, ServiceView};
use mainstay_telemetry::{FoundRecord, Snapshot as Counters, merge_found};
use tokio::sync::{mpsc, oneshot};

use crate::listener::Accepted;
use crate::snapshot::Snapshot;

/// Messages that may wait for one worker. A worker takes some thousands a second, so a full queue means that it is
/// overloaded, and then new connections wait in the kernel.
const QUEUE: usize = 1024;

/// One thing that a worker is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// A caller has connected.
    Connection(Accepted),
    /// Another configuration is in force. The answer comes when it is.
    Reconfigure(Arc<Snapshot>, oneshot::Sender<()>),
    /// A service has these endpoints from now on.
    Endpoints(Arc<str>, Arc<[EndpointSpec]>),
    /// An active check of one endpoint ended.
    Check(Arc<str>, SocketAddr, CheckResult),
    /// An operator's word about an endpoint. The answer: whether there is one.
    OrderEndpoint(Arc<str>, SocketAddr, Order, oneshot::Sender<bool>),
    /// An operator's word about a breaker. The answer: whether there is such a service.
    OrderBreaker(Arc<str>, BreakerOrder, oneshot::Sender<bool>),
    /// A service has this fault on purpose, or none. The answer: whether there is such a service.
    OrderFault(Arc<str>, Option<Fault>, oneshot::Sender<bool>),
    /// What do the services look like?
    View(oneshot::Sender<Vec<(Arc<str>, ServiceView)>>),
    /// What was counted?
    Metrics(oneshot::Sender<Counters>),
    /// What was decided about this request?
    Explain(Arc<str>, oneshot::Sender<Vec<FoundRecord>>),
    /// What was decided about the last requests, or the last unhappy ones, and how many of them?
    Recent(bool, usize, oneshot::Sender<Vec<FoundRecord>>),
    /// What another worker has learned about a service.
    Learned(Arc<str>, Arc<FleetDelta>),
    /// No further connections come: close what is idle, and end when the last connection has.
    Drain,
}

/// The way to one worker.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    queue: mpsc::Sender<Message>,
    open: Arc<AtomicUsize>,
}

impl Mailbox {
    /// A mailbox and the end from which the worker reads it.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Message>) {
        let (queue, messages) = mpsc::channel(QUEUE);
        (Self { queue, open: Arc::default() }, messages)
    }

    /// Waits for room and delivers; false when the worker has ended.
    pub(crate) async fn send(&self, message: Message) -> bool {
        self.queue.send(message).await.is_ok()
    }

    /// The way for another worker, which must not keep this one alive.
    pub(crate) fn peer(&self) -> Peer {
        Peer(self.queue.downgrade())
    }

    /// Connections that the worker has.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// The count behind [`Mailbox::open`].
    pub(crate) fn counter(&self) -> &Arc<AtomicUsize> {
        &self.open
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(message(answer)).await.ok()?;
        answered.await.ok()
    }
}

/// The way from one worker to another.
#[derive(Debug)]
pub(crate) struct Peer(mpsc::WeakSender<Message>);

impl Peer {
    /// Tells the other worker what this one has learned, unless it has ended.
    pub(crate) async fn tell(&self, service: &Arc<str>, delta: &Arc<FleetDelta>) {
        if let Some(queue) = self.0.upgrade() {
            // An error says that it ended in the meantime.
            let _ = queue.send(Message::Learned(Arc::clone(service), Arc::clone(delta))).await;
        }
    }
}

/// The way to all workers.
#[derive(Debug, Clone)]
pub(crate) struct Workers(Arc<[Mailbox]>);

impl Workers {
    /// The workers behind `mailboxes`, at least one.
    pub(crate) fn new(mailboxes: Vec<Mailbox>) -> Self {
        Self(mailboxes.into())
    }

    /// The worker with the fewest connections; `None` when all have ended.
    pub(crate) fn emptiest(&self) -> Option<&Mailbox> {
        self.0.iter().filter(|mailbox| !mailbox.queue.is_closed()).min_by_key(|mailbox| mailbox.open())
    }

    /// Connections of all workers.
    pub(crate) fn open(&self) -> usize {
        self.0.iter().map(Mailbox::open).sum()
    }

    /// Tells every worker of another configuration and waits until it is in force on all of them.
    pub(crate) async fn reconfigure(&self, snapshot: &Arc<Snapshot>) {
        self.ask(|done| Message::Reconfigure(Arc::clone(snapshot), done)).await;
    }

    /// A service has these endpoints from now on.
    pub(crate) async fn endpoints(&self, service: &Arc<str>, endpoints: &Arc<[EndpointSpec]>) {
        self.tell(|| Message::Endpoints(Arc::clone(service), Arc::clone(endpoints))).await;
    }

    /// An active check of one endpoint ended.
    pub(crate) async fn check(&self, service: &Arc<str>, address: SocketAddr, result: CheckResult) {
        self.tell(|| Message::Check(Arc::clone(service), address, result)).await;
    }

    /// An operator's word about an endpoint; false when there is none at `address`.
    pub(crate) async fn order_endpoint(&self, service: &Arc<str>, address: SocketAddr, order: Order) -> bool {
        let found = self.ask(|found| Message::OrderEndpoint(Arc::clone(service), address, order, found)).await;
        found.contains(&true)
    }

    /// An operator's word about a breaker; false when there is no such service.
    pub(crate) async fn order_breaker(&self, service: &Arc<str>, order: BreakerOrder) -> bool {
        self.ask(|found| Message::OrderBreaker(Arc::clone(service), order, found)).await.contains(&true)
    }

    /// A service has this fault on purpose, or none; false when there is no such service.
    pub(crate) async fn order_fault(&self, service: &Arc<str>, fault: Option<Fault>) -> bool {
        self.ask(|found| Message::OrderFault(Arc::clone(service), fault, found)).await.contains(&true)
    }

    /// What each worker's services look like.
    pub(crate) async fn views(&self) -> Vec<Vec<(Arc<str>, ServiceView)>> {
        self.ask(Message::View).await
    }

    /// What all workers have counted together.
    pub(crate) async fn metrics(&self) -> Counters {
        let mut all = Counters::default();
        for counters in self.ask(Message::Metrics).await {
            all.merge(&counters);
        }
        all
    }

    /// What was decided about the requests with one id.
    pub(crate) async fn explain(&self, request_id: &Arc<str>) -> Vec<FoundRecord> {
        merge_found(self.ask(|found| Message::Explain(Arc::clone(request_id), found)).await)
    }

    /// What was decided about the last `max` requests, or the last unhappy ones, the newest first.
    pub(crate) async fn recent(&self, only_unhappy: bool, max: usize) -> Vec<FoundRecord> {
        let of_each = self.ask(|found| Message::Recent(only_unhappy, max, found)).await;
        let mut all: Vec<_> = of_each.into_iter().flatten().collect();
        all.sort_by_key(FoundRecord::since_its_end);
        all.truncate(max);
        all
    }

    /// Tells every worker that no further connections come.
    pub(crate) async fn drain(&self) {
        self.tell(|| Message::Drain).await;
    }

    async fn tell(&self, message: impl Fn() -> Message) {
        for mailbox in self.0.iter() {
            mailbox.send(message()).await;
        }
    }

    async fn ask<T>(&self, message: impl Fn(oneshot::Sender<T>) -> Message) -> Vec<T> {
        let mut answers = Vec::with_capacity(self.0.len());
        for mailbox in self.0.iter() {
            answers.extend(mailbox.ask(&message).await);
        }
        answers
    }
}
