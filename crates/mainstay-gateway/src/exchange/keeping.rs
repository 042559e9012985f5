//! Answers that are kept: the look-up of a key, the answer that is taken down as it passes, and one that is given again.

use std::sync::Arc;
use std::task::Context;

use mainstay_core::MethodClass;
use mainstay_http1::{BodyKind, BodyLength};
use mainstay_policy::{
    Input, KeyEnd, KeyLookup, KeyOutcome, KeyRefusal, KeyVerdict, StaleOrder, Usable, WholeAnswer, forbids_keeping,
    may_keep,
};

use super::relay::Piece;
use super::{Answer, Exchange};
use crate::clock::unix_time;
use crate::forward::{Again, ResponseContext, write_response_fields};
use crate::idempotency::{BODY_MIN, HeldKey, KeyParts};
use crate::kept::{Kept, Taking};
use crate::purse::Purse;
use crate::stale::{Presented, StaleStore, caching_answer, caching_request};
use crate::upstream::Attempt;
use crate::worker::Worker;

/// A kept answer on its way to the caller.
pub(super) struct Giving {
    kept: Arc<Kept>,
    /// Bytes of its body that were written.
    given: usize,
}

/// The key of the call.
impl Exchange<'_> {
    /// Asks for the key of the request.
    pub(super) fn ask_key(&mut self, cx: &Context<'_>) {
        let verdict = match self.ask_with() {
            Ok(()) => self.look_key_up(cx),
            Err(why) => KeyVerdict::Refused(why),
        };
        self.input(Input::Key(verdict));
    }

    /// The key of the request; `None` when it has none that is kept, or one that is no key.
    pub(super) fn read_key(&self) -> Option<Box<HeldKey>> {
        if !self.plan.facts.keyed {
            return None;
        }
        let parts = KeyParts {
            call: self.leg.call.id(),
            route: &self.plan.route.label,
            client: self.plan.asker.client,
            request: self.parts.caller.request(),
        };
        let store = self.parts.local.shared.services.get(self.leg.index)?.keys.as_ref()?;
        HeldKey::new(store, &parts, self.parts.worker.clock).map(Box::new)
    }

    /// Says what the key is asked with.
    fn ask_with(&mut self) -> Result<(), KeyRefusal> {
        let body = &*self.parts.body;
        let length = match self.plan.body {
            BodyLength::Exactly(length) => Some(length),
            _ => body.is_complete().then(|| body.end()),
        };
        let covered = kept_for_key(self.kept_for_retries());
        let beginning = body.after(0);
        let key = self.key.as_mut().ok_or(KeyRefusal::Malformed)?;
        if !body.is_complete() && beginning.len() < covered {
            // How much memory there was must not decide what a body stands for.
            return Err(KeyRefusal::Full);
        }
        key.ask_with(self.parts.caller.request(), &beginning[..beginning.len().min(covered)], length);
        Ok(())
    }

    fn look_key_up(&mut self, cx: &Context<'_>) -> KeyVerdict {
        let Some(key) = &mut self.key else { return KeyVerdict::Refused(KeyRefusal::Malformed) };
        match key.look_up(self.now, cx.waker()) {
            KeyLookup::First => KeyVerdict::First,
            KeyLookup::Waits => KeyVerdict::Waits,
            KeyLookup::Refused(why) => KeyVerdict::Refused(why),
            KeyLookup::NotKept { status, age } => {
                self.first_status = Some(status);
                KeyVerdict::NotKept { status, age }
            }
            KeyLookup::Replay { answer, age } => {
                let status = answer.view().status();
                self.giving = Some(Giving { kept: answer, given: 0 });
                KeyVerdict::Replay { status, age }
            }
        }
    }

    /// Looks again, while the first call of the key is under way.
    pub(super) fn poll_key(&mut self, cx: &Context<'_>) -> bool {
        let Some(key) = self.key.as_mut().filter(|key| key.waits()) else { return false };
        if self.leg.call.has_ended() {
            key.leave();
            return false;
        }
        let verdict = self.look_key_up(cx);
        let moved = verdict != KeyVerdict::Waits;
        if moved {
            self.input(Input::Key(verdict));
        }
        moved
    }

    /// Gives the first answer of the key again.
    pub(super) fn replay(&mut self) {
        let age = self.giving.as_ref().map(|giving| self.now.since(giving.kept.at)).unwrap_or_default();
        self.give(Again::Replayed { age });
    }

    /// Whether the call goes on although its caller has left.
    pub(super) fn goes_on_alone(&mut self) -> bool {
        let asked = self.alone.is_none()
            && self.parts.body.is_complete()
            && self.key.as_ref().is_some_and(|key| key.is_first())
            && self.leg.service.goes_on(&mut self.leg.call, self.now);
        if asked {
            self.alone = Some(self.status);
            self.parts.caller.forsake();
        }
        asked
    }

    /// What becomes of the key, now that there is an answer, or will be none.
    pub(super) fn release_key(&mut self, answer: Option<(WholeAnswer, Option<Arc<Kept>>)>) {
        let Some(key) = self.key.as_mut().filter(|key| key.is_first()) else { return };
        let inner = !self.outer.is_empty() && self.leg.call.may_be_applied();
        let leg = self.outer.first_mut().unwrap_or(&mut self.leg);
        let (whole, kept) = answer.map_or((None, None), |(whole, kept)| (Some(whole), kept));
        let status = whole.map_or(0, |whole| whole.status);
        let applied = self.applied || inner;
        let Some(end) = leg.service.release_key(&mut leg.call, self.now, whole, applied) else { return };
        let outcome = match end {
            KeyEnd::Kept | KeyEnd::NotKept => {
                let kept = kept.map(|kept| (Arc::clone(&kept), kept.size()));
                KeyOutcome::Answered { status, kept }
            }
            KeyEnd::Unknown => KeyOutcome::Unknown,
            KeyEnd::Free => KeyOutcome::Free,
        };
        let end = key.settle(self.now, outcome);
        leg.service.tell_key(&mut leg.call, self.now, end);
    }
}

/// The answer that passes.
impl Exchange<'_> {
    /// Begins to take the answer down whose head is about to go down, where somebody wants it.
    pub(super) fn begin_taking(&mut self, number: u8) {
        self.outdate(number);
        let Some(max) = self.wanted(number) else { return };
        let Some(attempt) = self.attempts.get(number) else { return };
        let length = attempt.framing.and_then(|framing| match framing.body {
            BodyKind::Length(length) => Some(length),
            _ => None,
        });
        self.taking = attempt.copy_head().map(|head| Box::new(Taking::new(head, length, max)));
    }

    /// How large an answer may be that somebody wants to have again.
    fn wanted(&mut self, number: u8) -> Option<u64> {
        match self.key.as_ref().filter(|key| key.is_first()) {
            Some(key) => Some(key.answer_max()),
            None => self.wanted_for_failure(number),
        }
    }

    /// As [`Exchange::wanted`], where the answer may stand in for its service.
    fn wanted_for_failure(&mut self, number: u8) -> Option<u64> {
        // What the body of a GET asks for nobody knows (RFC 9110, section 9.3.1).
        let is_plain = self.parts.caller.request().method() == b"GET" && self.has_no_body();
        let store = self.stale_store().filter(|_| is_plain)?;
        let attempt = self.attempts.get(number)?;
        let asked = caching_request(self.parts.caller.request());
        let facts = caching_answer(attempt.answer_head()?, unix_time().as_nanos() / 1_000_000_000);
        if forbids_keeping(&facts) && !asked.credentials {
            store.forget(&self.presented());
        }
        // Where only the end of the connection ends an answer, nobody knows whether it was whole.
        let ends_itself = attempt.framing.is_some_and(|framing| framing.body != BodyKind::UntilClose);
        let max = store.answer_max();
        self.terms = may_keep(&asked, &facts).filter(|_| ends_itself);
        self.terms.map(|_| max)
    }

    fn has_no_body(&self) -> bool {
        matches!(self.plan.body, BodyLength::Empty | BodyLength::Exactly(0))
    }

    fn stale_store(&self) -> Option<&StaleStore> {
        self.parts.local.shared.services.get(self.leg.index)?.stale.as_deref()
    }

    /// What is kept of a URI is out of date once something was done to it (RFC 9111, section 4.4), whichever service did it
    /// and whichever gave the answer that is kept.
    fn outdate(&self, number: u8) {
        if self.plan.facts.method == MethodClass::Safe {
            return;
        }
        let answer = self.attempts.get(number).and_then(Attempt::answer_head);
        if answer.is_some_and(|answer| answer.status() < 400) {
            let presented = self.presented();
            let stores = self.parts.local.shared.services.iter().filter_map(|base| base.stale.as_ref());
            stores.for_each(|store| store.forget(&presented));
        }
    }

    fn presented(&self) -> Presented<'_> {
        Presented {
            request: self.parts.caller.request(),
            peer: self.parts.peer,
            path: &self.parts.scratch.canonical,
            route: self.plan.route,
            target: &self.parts.scratch.target,
        }
    }

    /// The answer that passed is complete.
    pub(super) fn keep_answer(&mut self) {
        let Some(taking) = self.taking.take() else { return };
        let retry_after = taking.says_retry_after();
        let kept = taking.finish(self.now, &mut purse(&mut self.key, self.parts.worker));
        if let (Some(terms), Some(store), Some(kept)) = (self.terms.take(), self.stale_store(), &kept) {
            // Its age counts from when it was asked for: the way here is a part of it (RFC 9111, section 4.2.3).
            store.keep(self.plan.asker.began, &self.presented(), Arc::clone(kept), terms);
        }
        let whole = WholeAnswer { status: self.status, retry_after, kept: kept.is_some() };
        self.release_key(Some((whole, kept)));
    }

    /// What was taken down of an answer that is never complete.
    pub(super) fn drop_taking(&mut self) {
        if let Some(taking) = self.taking.take() {
            taking.finish(self.now, &mut purse(&mut self.key, self.parts.worker));
        }
    }
}

/// A kept answer that is given again.
impl Exchange<'_> {
    /// What was kept of what the call asks for and may stand in now.
    pub(super) fn find_stale(&self) -> Option<(Arc<Kept>, Usable)> {
        let is_plain = matches!(self.parts.caller.request().method(), b"GET" | b"HEAD");
        let store = self.stale_store().filter(|_| is_plain && self.has_no_body())?;
        let limit = self.leg.service.settings().settings().fallback.stale_if_error?;
        store.find(self.now, &self.presented(), limit)
    }

    /// Looks for an answer that may stand in.
    pub(super) fn ask_stale(&mut self) {
        let found = self.find_stale();
        let usable = found.as_ref().map(|(_, usable)| *usable);
        self.giving = found.map(|(kept, _)| Giving { kept, given: 0 });
        self.input(Input::Stale(usable));
    }

    /// Says whether an answer may stand in, while an attempt runs.
    pub(super) fn look_for_stale(&mut self, attempt: u8) {
        let kept = self.find_stale().is_some();
        self.input(Input::StaleIsKept { attempt, kept });
    }

    /// Gives the answer that stands in.
    pub(super) fn respond_stale(&mut self, order: &StaleOrder) {
        self.give(Again::Stale(*order));
        while !self.outer.is_empty() {
            self.leave_fallback(true);
        }
    }

    fn give(&mut self, again: Again) {
        self.announce_close();
        let limit = self.limit_told();
        let Some(Giving { kept, .. }) = &self.giving else { return self.abort() };
        let view = kept.view();
        self.status = view.status();
        let (_, machine, out) = self.parts.caller.answer(&self.parts.worker.buffers);
        let date = self.parts.worker.date.borrow();
        let context = ResponseContext {
            rules: &self.plan.route.response_fields,
            request_id: &self.parts.scratch.id,
            date: date.value(),
            limit,
            retries_used: false,
            chunked: false,
            again: Some(again),
        };
        let length = BodyLength::Exactly(kept.body.len() as u64);
        let written = machine.start_response(view.status(), length, out).and_then(|()| {
            write_response_fields(view, &context, out);
            machine.end_head(out)
        });
        drop(date);
        self.answer = Answer::Relaying;
        if written.is_err() {
            self.abort();
        }
    }

    /// Writes as much of a kept answer as the caller's side has room for.
    pub(super) fn give_piece(&mut self) -> Option<Piece> {
        let giving = self.giving.as_mut()?;
        let room = self.parts.caller.capacity();
        let (_, machine, out) = self.parts.caller.answer(&self.parts.worker.buffers);
        let rest = &giving.kept.body[giving.given..];
        let piece = &rest[..rest.len().min(room)];
        giving.given += piece.len();
        self.sent += piece.len() as u64;
        let mut written = machine.data(piece, out).map(|()| Piece::Passed);
        if piece.len() == rest.len() {
            written = written.and_then(|_| machine.finish([], out)).map(|()| Piece::Last);
        }
        Some(written.unwrap_or(Piece::Broken))
    }
}

/// From whose memory the call takes what it holds.
pub(super) fn purse<'p>(key: &'p mut Option<Box<HeldKey>>, worker: &'p Worker) -> Purse<'p> {
    match key {
        Some(key) => Purse::Key(key),
        None => worker.purse(),
    }
}

/// How much of a body is kept so that its key can stand for it.
pub(super) fn kept_for_key(for_retries: usize) -> usize {
    for_retries.max(BODY_MIN)
}
