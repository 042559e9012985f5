//! What a drill does to an attempt, between the choice of its endpoint and its sending.

use mainstay_core::{Certainty, Failure, Instant};

use super::*;
use crate::{Fault, FaultKind};

impl Call {
    /// Sends the attempt that has just been added, unless a drill has something else in mind.
    pub(super) fn send_or_suffer(&mut self, service: &mut Service, now: Instant, attempt: u8) {
        let Some(running) = self.running.get(attempt) else { return };
        let Some((fault, kind)) = service.fault_for(now, self.id, attempt, running.choice.endpoint) else {
            return self.order(running);
        };
        let left = fault.until.since(now).as_millis();
        let left_millis = u32::try_from(left).unwrap_or(u32::MAX);
        self.record.push(now, Decision::Fault { attempt, kind, left_millis });
        match kind {
            FaultKind::Abort { status } => {
                self.failed(service, now, attempt, Failure::Status(status), Certainty::Applied);
            }
            FaultKind::Reset => self.failed(service, now, attempt, Failure::Reset, Certainty::Unknown),
            FaultKind::Delay { millis } => self.hold(attempt, now + Duration::from_millis(millis.into())),
        }
    }

    /// Until it is let go the attempt counts as sent: a slow instance would have the request.
    fn hold(&mut self, attempt: u8, until: Instant) {
        if let Some(running) = self.running.get_mut(attempt) {
            (running.held_until, running.connected, running.sent) = (Some(until), true, true);
        }
    }

    /// The delay is over.
    pub(super) fn let_go(&mut self, service: &Service, now: Instant, attempt: u8) {
        let (connect, opaque) = (service.settings().timeout.connect, self.opaque);
        let Some(running) = self.running.get_mut(attempt) else { return };
        (running.held_until, running.connected, running.sent) = (None, opaque, opaque);
        running.connect_by = (now + connect).min(running.head_by);
        let running = *running;
        self.order(running);
    }

    fn order(&mut self, running: Running) {
        let Running { attempt, why, choice, .. } = running;
        let (endpoint, deadline) = (choice.endpoint, self.facts.deadline);
        self.output(Output::Attempt(AttemptOrder { attempt, endpoint, why, deadline }));
    }
}

impl Service {
    /// The fault that hits an attempt, if one does.
    fn fault_for(&self, now: Instant, call: CallId, attempt: u8, endpoint: EndpointId) -> Option<(Fault, FaultKind)> {
        let fault = self.fault.as_ref()?;
        let luck = self.seed().draw(call.0, u32::from(attempt), Purpose::Fault);
        fault.hits(now, self.address(endpoint), luck).map(|kind| (*fault, kind))
    }
}
