//! The life of one caller's connection: one task, request after request.
//!
//! Wait without a buffer; read a head; decide what it comes to; answer it, mostly through an [`Exchange`]; go on or close.
//! What holds: every wait has a deadline (`header_timeout` from the first byte of a request, or from the accept for the
//! first one; `keep_alive` between requests), and a draining worker closes connections that are between requests.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use mainstay_config::ListenerId;
use mainstay_core::{Duration, Instant};
use mainstay_http1::{Reject, RequestFacts};
use mainstay_telemetry::Method;
use tokio::net::TcpStream;

use crate::answer::Problem;
use crate::caller::{Arrival, CallerSide};
use crate::exchange::{Exchange, Parts, answer_alone};
use crate::forward::Peer;
use crate::listener::{ListenerNumber, Seat};
use crate::message::Body;
use crate::plan::{Asker, Own, OwnAnswer, Scratch, asker, plan};
use crate::timer::Timer;
use crate::worker::{Local, Worker};

/// How long a caller that is told to go may take to read the answer, and what it may still send meanwhile is read.
const LINGER: Duration = Duration::from_secs(2);

/// What is kept from request to request.
struct Serving {
    worker: Rc<Worker>,
    local: Rc<Local>,
    listener: ListenerNumber,
    /// What `local` calls that listener.
    id: ListenerId,
    caller: CallerSide,
    peer: Peer,
    timer: Timer,
    body: Body,
    scratch: Scratch,
    /// Since when a request is awaited: the accept, or the end of the one before.
    since: Instant,
    /// When the first byte of the request was seen.
    began: Option<Instant>,
    first: bool,
}

/// What came of waiting for a request.
enum Awaited {
    /// A head, and when its last byte was seen.
    Request(RequestFacts, Instant),
    Refused(Reject),
    TooSlow,
    Over,
}

/// A place among the worker's connections, left when it is dropped.
struct Place<'a>(&'a Worker, usize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

/// Serves one connection until it closes. `_seat` is free again when it has.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    address: SocketAddr,
    listener: ListenerNumber,
    _seat: Seat,
) {
    let local = worker.local();
    let Some((id, key)) = local.shared.listener(listener) else { return };
    worker.counters.borrow_mut().accepted(key);
    let proxies = local.shared.config.listener(id).map_or(&[][..], |listener| &listener.trusted_proxies);
    let peer = Peer::new(address, false, proxies);
    let place = poll_fn(|cx| Poll::Ready(worker.enter(cx.waker().clone()))).await;
    let _place = Place(&worker, place);
    let mut serving = Serving {
        caller: CallerSide::new(stream, address, local.shared.heads),
        since: worker.clock.now(),
        timer: Timer::new(worker.clock),
        worker: Rc::clone(&worker),
        local,
        listener,
        id,
        peer,
        body: Body::default(),
        scratch: Scratch::default(),
        began: None,
        first: true,
    };
    while serving.turn().await {}
    serving.caller.close(&worker.buffers);
}

impl Serving {
    /// One request; false when the connection is over.
    async fn turn(&mut self) -> bool {
        let mut since = Some(self.since);
        let awaited = poll_fn(|cx| {
            let now = since.take().unwrap_or_else(|| self.worker.clock.now());
            self.poll_awaited(cx, now)
        });
        let goes_on = match awaited.await {
            Awaited::Request(framing, now) => self.request(framing, now).await,
            Awaited::Refused(reject) => self.refuse(Problem::Rejected(reject)).await,
            Awaited::TooSlow => self.refuse(Problem::HeadTimeout).await,
            Awaited::Over => return false,
        };
        (self.began, self.first) = (None, false);
        self.scratch.trim();
        let goes_on = goes_on && self.caller.next_request(&self.worker.buffers);
        if !goes_on && !self.caller.is_broken() {
            self.linger().await;
        }
        goes_on
    }

    fn poll_awaited(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Awaited> {
        if let Poll::Ready(arrival) = self.caller.poll_request(cx, &self.worker.buffers) {
            return Poll::Ready(match arrival {
                Arrival::Request(facts) => Awaited::Request(facts, now),
                Arrival::Refused(reject) => Awaited::Refused(reject),
                Arrival::Gone => Awaited::Over,
            });
        }
        let limits = &self.local.shared.config.limits;
        let begun = self.caller.has_begun();
        if begun {
            self.began.get_or_insert(now);
        } else if self.worker.is_draining() {
            return Poll::Ready(Awaited::Over);
        }
        let deadline = match self.began {
            Some(began) if !self.first => began + limits.header_timeout,
            _ if self.first => self.since + limits.header_timeout,
            _ => self.since + limits.keep_alive,
        };
        self.timer.poll(cx, now, Some(deadline)).map(|()| if begun { Awaited::TooSlow } else { Awaited::Over })
    }

    /// Serves a request; false when the connection is to close.
    async fn request(&mut self, framing: RequestFacts, now: Instant) -> bool {
        let began = self.began.unwrap_or(now);
        let current = self.worker.local();
        // A listener that a reload took away serves what is on its connections by the rules that it knew, and closes.
        if !Rc::ptr_eq(&current, &self.local) {
            match current.shared.listener(self.listener) {
                Some((id, _)) => self.follow(current, id),
                None => self.caller.machine.close_after_response(),
            }
        }
        if self.worker.is_draining() {
            self.caller.machine.close_after_response();
        }
        let local = Rc::clone(&self.local);
        let id = &mut self.scratch.id;
        let asker = asker(&self.worker, &local, self.id, &self.peer, self.caller.request(), (began, id));
        let request = (self.caller.request(), framing);
        let planned = plan(&self.worker, &local, self.id, &self.peer, request, asker, &mut self.scratch);
        let goes_on;
        (goes_on, self.since) = match planned {
            Ok(plan) => {
                let mut exchange = Exchange::new(self.parts(&local), plan, now);
                (exchange.run().await, exchange.ended())
            }
            Err(own) => (answer_alone(self.parts(&local), asker, &own).await, self.worker.clock.now()),
        };
        goes_on
    }

    /// Takes on another configuration.
    fn follow(&mut self, current: Rc<Local>, id: ListenerId) {
        let proxies = current.shared.config.listener(id).map_or(&[][..], |listener| &listener.trusted_proxies);
        self.peer = Peer::new(self.caller.peer, false, proxies);
        (self.local, self.id) = (current, id);
    }

    fn parts<'a>(&'a mut self, local: &'a Local) -> Parts<'a> {
        Parts {
            worker: &self.worker,
            local,
            caller: &mut self.caller,
            timer: &mut self.timer,
            body: &mut self.body,
            scratch: &mut self.scratch,
            peer: &self.peer,
        }
    }

    /// Answers something that is not a request; the connection closes.
    async fn refuse(&mut self, problem: Problem) -> bool {
        let now = self.worker.clock.now();
        let asker = Asker {
            call: self.worker.next_call(),
            method: Method::Other,
            client: self.caller.peer.ip(),
            began: self.began.unwrap_or(now),
        };
        let local = Rc::clone(&self.local);
        self.scratch.id.clear();
        self.caller.machine.close_after_response();
        let own = OwnAnswer { route: None, what: Own::Problem(problem) };
        answer_alone(self.parts(&local), asker, &own).await;
        false
    }

    /// Closes so that the caller can read the answer: a socket that is closed while bytes of the caller lie unread
    /// resets, and the reset may overtake the answer (RFC 9112, section 9.6).
    async fn linger(&mut self) {
        let deadline = self.worker.clock.now() + LINGER;
        poll_fn(|cx| {
            if self.caller.poll_shutdown(cx).is_ready() && self.caller.poll_discard(cx, &self.worker.buffers).is_ready()
            {
                return Poll::Ready(());
            }
            self.timer.poll(cx, self.worker.clock.now(), Some(deadline))
        })
        .await;
    }
}
