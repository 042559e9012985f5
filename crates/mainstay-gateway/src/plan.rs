//! What one request comes to before any attempt is made: its route, its service, its names, its time.
//!
//! In: a parsed head, the connection that it came by, the configuration. Out: a [`Plan`], or the answer that Mainstay
//! gives itself. Everything that depends on the request's bytes more than once is decided here, once.

use std::net::IpAddr;

use mainstay_config::ListenerId;
use mainstay_core::{CallId, Duration, Instant, Limit, MethodClass, Purpose};
use mainstay_http1::{BodyKind, BodyLength, Known, RequestFacts, RequestView, TargetForm};
use mainstay_policy::Facts;
use mainstay_telemetry::Method;

use crate::answer::Problem;
use crate::forward::{
    Asked, ForwardingLines, Peer, Trace, caller_priority, caller_timeout, make_request_id, request_id,
};
use crate::route::{CompiledRoute, RouteTarget, balance_hash, normalise};
use crate::worker::{Local, Worker};

/// Texts that are put together for one request, in memory that the connection keeps.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The request's id, the caller's or one of ours; empty where no head could be read.
    pub(crate) id: Vec<u8>,
    /// Work space of the path's normalising.
    path: Vec<u8>,
    /// The canonical path.
    pub(crate) canonical: Vec<u8>,
    /// What an instance is asked for, or where a redirect leads.
    pub(crate) target: Vec<u8>,
    /// `Host`, where it is not the caller's.
    pub(crate) host: Vec<u8>,
    /// The body of an answer of our own.
    pub(crate) answer: Vec<u8>,
    /// What instances are told of the caller.
    pub(crate) forwarding: ForwardingLines,
}

/// What each text of an idle connection may keep: more than ordinary requests need, and ten thousand connections that
/// each had one very long request do not keep its length.
const KEPT: usize = 1024;

impl Scratch {
    /// Gives back what a request needed that was longer than most.
    pub(crate) fn trim(&mut self) {
        let Self { id, path, canonical, target, host, answer, forwarding } = self;
        for text in [id, path, canonical, target, host, answer] {
            if text.capacity() > KEPT {
                *text = Vec::new();
            }
        }
        if forwarding.kept() > KEPT {
            *forwarding = ForwardingLines::default();
        }
    }
}

/// What is known of every request whose head could be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) call: CallId,
    pub(crate) method: Method,
    pub(crate) client: IpAddr,
    /// When its first byte was seen.
    pub(crate) began: Instant,
}

/// What a request comes to.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) asker: Asker,
    pub(crate) route: &'a CompiledRoute,
    /// Position in [`Local::services`].
    pub(crate) service: usize,
    pub(crate) trace: Trace,
    pub(crate) facts: Facts,
    /// From the arrival to the deadline.
    pub(crate) allowed: Duration,
    /// How the body goes upstream.
    pub(crate) body: BodyLength,
}

/// The gateway answers itself.
#[derive(Debug)]
pub(crate) struct OwnAnswer<'a> {
    pub(crate) route: Option<&'a CompiledRoute>,
    pub(crate) what: Own,
}

/// What it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    Problem(Problem),
    /// To the place in [`Scratch::target`], with this status.
    Redirect(u16),
}

impl<'a> OwnAnswer<'a> {
    fn problem(route: Option<&'a CompiledRoute>, problem: Problem) -> Self {
        Self { route, what: Own::Problem(problem) }
    }
}

/// Who asks, as far as it can be believed. The request's id goes into `id`.
pub(crate) fn asker(
    worker: &Worker,
    local: &Local,
    listener: ListenerId,
    peer: &Peer,
    request: RequestView<'_>,
    (began, id): (Instant, &mut Vec<u8>),
) -> Asker {
    let call = worker.next_call();
    let fields = request.fields();
    let proxies = local.shared.config.listener(listener).map_or(&[][..], |listener| &listener.trusted_proxies);
    id.clear();
    match request_id(fields) {
        Some(kept) => id.extend_from_slice(kept),
        None => id.extend_from_slice(&make_request_id(worker.seed, call.0)),
    }
    Asker { call, method: Method::of(request.method()), client: peer.client(fields, proxies), began }
}

/// Decides what the request comes to.
///
/// # Errors
/// The answer that the gateway gives itself.
pub(crate) fn plan<'a>(
    worker: &Worker,
    local: &'a Local,
    listener: ListenerId,
    peer: &Peer,
    (request, framing): (RequestView<'_>, RequestFacts),
    asker: Asker,
    scratch: &mut Scratch,
) -> Result<Plan<'a>, OwnAnswer<'a>> {
    if request.form() == TargetForm::Authority {
        return Err(OwnAnswer::problem(None, Problem::Connect));
    }
    let limit = local.shared.config.limits.body;
    if let (BodyKind::Length(length), Limit::At(limit)) = (framing.body, limit)
        && length > limit.0
    {
        return Err(OwnAnswer::problem(None, Problem::BodyTooLarge));
    }
    let path =
        normalise(request.path(), &mut scratch.path).map_err(|bad| OwnAnswer::problem(None, Problem::Path(bad)))?;
    scratch.canonical.clear();
    scratch.canonical.extend_from_slice(path);
    let route = local.shared.routes.find(request, path, listener);
    let Some(route) = route else { return Err(OwnAnswer::problem(None, Problem::NoRoute)) };
    let asked = Asked { host: request.authority(), path, query: request.query() };
    scratch.target.clear();
    if let RouteTarget::Redirect(redirect) = &route.target {
        let written = redirect.location(&asked, &mut scratch.target);
        let what = written.map_or(Own::Problem(Problem::NoHost), |()| Own::Redirect(redirect.status));
        return Err(OwnAnswer { route: Some(route), what });
    }
    if route.path_change.write(&asked, &mut scratch.target).is_err() {
        return Err(OwnAnswer::problem(Some(route), Problem::NoHost));
    }
    let draw = worker.seed.draw(asker.call.0, 0, Purpose::Split);
    let Some(service) = route.target.service(draw).filter(|service| service.0 < local.services.len()) else {
        return Err(OwnAnswer::problem(Some(route), Problem::NoRoute));
    };
    let fields = request.fields();
    let own = caller_timeout(fields, peer.trusted).filter(|own| *own <= route.timeout);
    let allowed = own.unwrap_or(route.timeout);
    let facts = Facts {
        method: MethodClass::of(request.method()),
        idempotency_key: fields.get(Known::IdempotencyKey).is_some(),
        hash: hash_for(local, service.0, request, path, asker.client),
        deadline: asker.began + allowed,
        covers_body: own.is_some(),
        limited: !route.rate_limits.is_empty(),
        priority: caller_priority(fields, peer.trusted).unwrap_or(route.priority),
        keyed: is_keyed(local, service.0, request),
        stale: has_stale(local, service.0, request),
    };
    let body = match framing.body {
        BodyKind::None => BodyLength::Empty,
        BodyKind::Length(length) => BodyLength::Exactly(length),
        BodyKind::Chunked | BodyKind::UntilClose => BodyLength::Unknown,
    };
    let trace = Trace::of(fields, worker.seed, asker.call.0);
    Ok(Plan { asker, route, service: service.0, trace, facts, allowed, body })
}

/// Whether the first answer of the request's `Idempotency-Key` is kept: what is idempotent needs no key.
fn is_keyed(local: &Local, service: usize, request: RequestView<'_>) -> bool {
    local.shared.services.get(service).is_some_and(|base| base.keys.is_some())
        && request.get(Known::IdempotencyKey).is_some()
        && !MethodClass::of(request.method()).is_idempotent()
}

/// Whether an answer to such a request may have been kept to stand in for the service.
pub(crate) fn has_stale(local: &Local, service: usize, request: RequestView<'_>) -> bool {
    local.shared.services.get(service).is_some_and(|base| base.stale.is_some())
        && matches!(request.method(), b"GET" | b"HEAD")
}

/// The hash by which the service's balancing goes, where it goes by one.
pub(crate) fn hash_for(local: &Local, service: usize, request: RequestView<'_>, path: &[u8], client: IpAddr) -> u64 {
    let Some(service) = local.shared.config.services.get(service) else { return 0 };
    if service.policy.balance.goes_by_key() { balance_hash(&service.hash_on, request, path, client) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_does_not_keep_the_length_of_its_longest_request() {
        let mut scratch = Scratch::default();
        scratch.target.extend_from_slice(&[b'a'; 16 * 1024]);
        scratch.canonical.extend_from_slice(b"/orders/42");
        scratch.trim();
        assert_eq!(scratch.target.capacity(), 0);
        assert_eq!(scratch.canonical, b"/orders/42", "what ordinary requests need stays");
    }
}
