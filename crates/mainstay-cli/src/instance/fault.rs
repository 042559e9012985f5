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
    /// Work holds its slot for this much longer: what it does has become slower, and so the instance can do less.
    Slow(Duration),
    /// Work takes so many times as long.
    Slower(f64),
    /// Work and health are answered this much later, with no slot held: the way is longer, or something that is waited
    /// for, and the instance can do as much as before.
    Limp(Duration),
    /// Health passes and work is answered with this status.
    Gray(u16),
    /// Health fails and work is well.
    Sick,
    /// The connection is reset when a request's head has been read, health's too.
    Reset,
    /// A request is read and never answered, health's too.
    Stall,
    /// What is answered is not HTTP, to health too.
    Garbage,
    /// Work and health are answered 200, and the answer is false.
    Wrong,
}

/// What a share is a share of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// One request is hit and the next may not be.
    Requests,
    /// A connection has the fault as long as it lasts, or never.
    Connections,
}

/// A fault, and how much of the work it hits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fault {
    kind: Kind,
    share: Ratio,
    of: Of,
}

/// A fault as it is written in JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    kind: String,
    status: Option<u16>,
    delay: Option<String>,
    times: Option<f64>,
    share: Option<String>,
    of: Option<String>,
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
            "slow" if written.times.is_some() => Kind::Slower(times(written.times.unwrap_or(1.0))?),
            "slow" => Kind::Slow(delay(written.delay.as_deref().unwrap_or("200ms"))?),
            "limp" => Kind::Limp(delay(written.delay.as_deref().unwrap_or("200ms"))?),
            "gray" => Kind::Gray(status(written.status.unwrap_or(500))?),
            "sick" => Kind::Sick,
            "reset" => Kind::Reset,
            "stall" => Kind::Stall,
            "garbage" => Kind::Garbage,
            "wrong" => Kind::Wrong,
            other => return Err(format!("no fault is called {other}; there are {WORDS}")),
        };
        let of = match written.of.as_deref().unwrap_or("requests") {
            "requests" => Of::Requests,
            "connections" => Of::Connections,
            other => return Err(format!("of: {other} is neither requests nor connections")),
        };
        Ok(Some(Self { kind, share, of }))
    }

    fn word(self) -> &'static str {
        match self.kind {
            Kind::Errors(_) => "errors",
            Kind::Slow(_) | Kind::Slower(_) => "slow",
            Kind::Limp(_) => "limp",
            Kind::Gray(_) => "gray",
            Kind::Sick => "sick",
            Kind::Reset => "reset",
            Kind::Stall => "stall",
            Kind::Garbage => "garbage",
            Kind::Wrong => "wrong",
        }
    }
}

const WORDS: &str = "errors, slow, limp, gray, sick, reset, stall, garbage, wrong, off";

fn status(status: u16) -> Result<u16, String> {
    if (400..=599).contains(&status) { Ok(status) } else { Err(format!("status: {status} is no error (400 to 599)")) }
}

fn times(times: f64) -> Result<f64, String> {
    if times > 0.0 && times <= 1000.0 {
        Ok(times)
    } else {
        Err(format!("times: {times} is not above 0 and up to 1000"))
    }
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

    /// What hits the request `number` on the connection `connection`, if anything does.
    pub(crate) fn hits(&self, number: u64, connection: u64) -> Option<Kind> {
        let fault = self.get()?;
        let number = if fault.of == Of::Connections { connection } else { number };
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
        assert_eq!(current.hits(1, 1), None);
        current.set(Fault::parse(br#"{"kind":"errors","status":502}"#).unwrap());
        assert_eq!(current.hits(1, 1), Some(Kind::Errors(502)));
        current.set(Fault::parse(br#"{"kind":"off"}"#).unwrap());
        assert_eq!(current.hits(1, 1), None);
    }

    #[test]
    fn a_share_of_the_requests_is_hit() {
        let current = Current::default();
        current.set(Fault::parse(br#"{"kind":"reset","share":"25%"}"#).unwrap());
        let hit = (0..10_000).filter(|&number| current.hits(number, 1).is_some()).count();
        assert!((2_300..2_700).contains(&hit), "{hit}");
    }

    #[test]
    fn a_share_of_the_connections_is_hit_with_every_request_on_them() {
        let current = Current::default();
        current.set(Fault::parse(br#"{"kind":"reset","share":"25%","of":"connections"}"#).unwrap());
        let hit = |connection: &u64| (0..10).filter(|&number| current.hits(number, *connection).is_some()).count();
        let (all, none) = ((0..10_000).filter(|c| hit(c) == 10).count(), (0..10_000).filter(|c| hit(c) == 0).count());
        assert!((2_300..2_700).contains(&all), "{all}");
        assert_eq!(all + none, 10_000);
    }

    #[test]
    fn what_cannot_be_understood_is_refused_with_the_reason() {
        for (body, part) in [
            (&br#"{"kind":"tired"}"#[..], "no fault is called tired"),
            (br#"{"kind":"errors","status":200}"#, "is no error"),
            (br#"{"kind":"slow","delay":"soon"}"#, "delay"),
            (br#"{"kind":"slow","times":0}"#, "times"),
            (br#"{"kind":"gray","shar":"1%"}"#, "shar"),
            (br#"{"kind":"gray","of":"fridays"}"#, "neither requests nor connections"),
            (b"", "EOF"),
        ] {
            let error = Fault::parse(body).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
