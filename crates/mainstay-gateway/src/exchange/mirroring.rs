//! Whether a copy of a call that is over goes to another service, and what it is made of.

use std::rc::Rc;

use mainstay_config::HostHeader;
use mainstay_core::{Purpose, unit};
use mainstay_http1::{BodyLength, field};
use mainstay_policy::{Facts, Priority};
use mainstay_telemetry::MirrorResult;

use super::Exchange;
use super::keeping::purse;
use crate::forward::{ForwardingLines, RequestContext, write_request_fields};
use crate::message::Body;
use crate::mirror::{self, Copied};
use crate::plan::hash_for;

impl Exchange<'_> {
    /// Copies the call, if its draw falls within the share and an instance was asked for the original. The body is taken
    /// along and not copied.
    pub(super) fn mirror(&mut self) {
        let Some(mirror) = self.plan.route.mirror else { return };
        let (worker, asker) = (self.parts.worker, &self.plan.asker);
        let was_asked = self.leg.call.attempts() > 0 || !self.told.is_empty();
        let is_drawn = unit(worker.seed.draw(asker.call.0, 0, Purpose::Mirror)) < mirror.share.get();
        let Some(service) = self.parts.local.services.get(mirror.service.0) else { return };
        if !was_asked || !is_drawn {
            return;
        }
        if !self.parts.body.is_kept() || !self.parts.body.is_complete() {
            return worker.counters.borrow_mut().mirrored(service.key, MirrorResult::NotKept);
        }
        if !worker.begin_mirror() {
            return worker.counters.borrow_mut().mirrored(service.key, MirrorResult::Dropped);
        }
        let mut body = std::mem::take(self.parts.body);
        // The copy outlives the call and its key.
        body.refund(&mut purse(&mut self.key, worker));
        body.pay(&mut worker.purse());
        if !body.is_kept() {
            body.release(&worker.buffers, &mut worker.purse());
            worker.end_mirror();
            return worker.counters.borrow_mut().mirrored(service.key, MirrorResult::NotKept);
        }
        let request = self.parts.caller.request();
        let path = &self.parts.scratch.canonical;
        let hash = hash_for(self.parts.local, mirror.service.0, request, path, asker.client);
        let deadline = self.now + self.plan.route.timeout;
        // No limit and no key of the original stands before the copy, and it is shed before any call.
        let (limited, keyed, stale, priority) = (false, false, false, Priority::Sheddable);
        let facts = Facts { hash, deadline, covers_body: true, limited, keyed, stale, priority, ..self.plan.facts };
        let copied = self.copied(body);
        let (worker, service) = (Rc::clone(worker), Rc::clone(service));
        tokio::task::spawn_local(mirror::send(worker, service, copied, asker.method, facts));
    }

    fn copied(&self, body: Body) -> Copied {
        let request = self.parts.caller.request();
        let context = RequestContext {
            rules: &self.plan.route.request_fields,
            peer: self.parts.peer,
            request_id: &self.parts.scratch.id,
            trace: &self.plan.trace,
            left: self.plan.route.timeout,
            chunked: self.plan.body == BodyLength::Unknown,
        };
        let mut fields = Vec::with_capacity(1024);
        write_request_fields(request, &context, &mut ForwardingLines::default(), &mut fields);
        field(&mut fields, mirror::MARK, b"1");
        Copied {
            method: request.method().to_vec(),
            target: self.parts.scratch.target.clone(),
            host: match &self.plan.route.host_header {
                HostHeader::Fixed(host) => Some(host.as_bytes().to_vec()),
                HostHeader::Preserve => request.authority().map(<[u8]>::to_vec),
                HostHeader::Endpoint => None,
            },
            fields,
            length: self.plan.body,
            rules: self.plan.route.request_fields.clone(),
            body,
        }
    }
}
