//! Faults that an instance can be told to have, and which of its requests one hits.
//!
//! A fault is switched on, replaced and switched off at run time (`PUT /_fault`, `DELETE /_fault`), so that a test can
//! break a service that is under load. The words are those of a scenario's faults.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mainstay_core::{Purpose, Ratio, Seed, unit};
use serde::Deserialize;
use serde_json::{Value, json};

/// What is wrong with the instance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Work and health are answered with this status at once.
    Errors(u16),
    /// Work holds its slot for this much longer.
    Slow(Duration),
    /// Health passes and work is answered 500.
    Gray,
    /// Health fails and work is well.
    Sick,
    /// The connection is reset when a request's head has been read.
    Reset,
    /// A request is read and never answered.
    Stall,
    /// What is answered is not HTTP.
    Garbage,
    /// Work and health are answered 200, and the answer is false.
    Wrong,
}

/// A fault, and how much of the work it hits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fault {
    kind: Kind,
    share: Ratio,
}

/// A fault as it is written in JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: String,
    status: Option<u16>,
    delay: Option<String>,
    share: Option<String>,
}

impl Fault {
    /// The fault that `body` describes; none for `{"kind":"off"}`.
    ///
    /// # Errors
    ///
    /// What is wrong with the description, for whoever wrote it.
    pub(crate) fn parse(body: &[u8]) -> Result<Option<Self>, String> {
        let written: Written = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let share = written.share.as_deref().unwrap_or("100%");
        let share = share.parse().map_err(|error| format!("share: {error}"))?;
        let kind = match written.kind.as_str() {
            "off" => return Ok(None),
            "errors" => Kind::Errors(status(written.status.unwrap_or(503))?),
            "slow" => Kind::Slow(delay(written.delay.as_deref().unwrap_or("200ms"))?),
            "gray" => Kind::Gray,
            "sick" => Kind::Sick,
            "reset" => Kind::Reset,
            "stall" => Kind::Stall,
            "garbage" => Kind::Garbage,
            "wrong" => Kind::Wrong,
            other => return Err(format!("no fault is called {other}; there are {WORDS}")),
        };
        Ok(Some(Self { kind, share }))
    }

    fn word(self) -> &'static str {
        match self.kind {
            Kind::Errors(_) => "errors",
            Kind::Slow(_) => "slow",
            Kind::Gray => "gray",
            Kind::Sick => "sick",
            Kind::Reset => "reset",
            Kind::Stall => "stall",
            Kind::Garbage => "garbage",
            Kind::Wrong => "wrong",
        }
    }
}

const WORDS: &str = "errors, slow, gray, sick, reset, stall, garbage, wrong, off";

fn status(status: u16) -> Result<u16, String> {
    if (400..=599).contains(&status) { Ok(status) } else { Err(format!("status: {status} is no error (400 to 599)")) }
}

fn delay(text: &str) -> Result<Duration, String> {
    let delay: mainstay_core::Duration = text.parse().map_err(|error| format!("delay: {error}"))?;
    Ok(Duration::from_nanos(delay.as_nanos()))
}

/// The fault that an instance has at the moment.
#[derive(Debug, Default)]
pub(crate) struct Current(Mutex<Option<Fault>>);

impl Current {
    /// Switches to another fault, or to none.
    pub(crate) fn set(&self, fault: Option<Fault>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    fn get(&self) -> Option<Fault> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What hits the request `number`, if anything does.
    pub(crate) fn hits(&self, number: u64) -> Option<Kind> {
        let fault = self.get()?;
        let luck = unit(Seed::new(1).derive("fault").draw(number, 0, Purpose::Sample));
        (luck < fault.share.get()).then_some(fault.kind)
    }

    /// The fault for whoever asks.
    pub(crate) fn to_json(&self) -> Value {
        match self.get() {
            Some(fault) => json!({ "kind": fault.word(), "share": fault.share.to_string() }),
            None => json!({ "kind": "off" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_switched_on_and_off() {
        let current = Current::default();
        assert_eq!(current.hits(1), None);
        current.set(Fault::parse(br#"{"kind":"errors","status":502}"#).unwrap());
        assert_eq!(current.hits(1), Some(Kind::Errors(502)));
        current.set(Fault::parse(br#"{"kind":"off"}"#).unwrap());
        assert_eq!(current.hits(1), None);
    }

    #[test]
    fn a_share_of_the_requests_is_hit() {
        let current = Current::default();
        current.set(Fault::parse(br#"{"kind":"reset","share":"25%"}"#).unwrap());
        let hit = (0..10_000).filter(|&number| current.hits(number).is_some()).count();
        assert!((2_300..2_700).contains(&hit), "{hit}");
    }

    #[test]
    fn what_cannot_be_understood_is_refused_with_the_reason() {
        for (body, part) in [
            (&br#"{"kind":"tired"}"#[..], "no fault is called tired"),
            (br#"{"kind":"errors","status":200}"#, "is no error"),
            (br#"{"kind":"slow","delay":"soon"}"#, "delay"),
            (br#"{"kind":"gray","shar":"1%"}"#, "shar"),
            (b"", "EOF"),
        ] {
            let error = Fault::parse(body).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
