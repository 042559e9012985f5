//! A worker's decisions written down: all that its policies were told, in its order, and all that they said to it.
//!
//! In a decision nothing counts but what it is told: `now`, luck by its seed, and the answers of the permits that workers
//! share. So whoever tells another driver the same hears the same, and whoever hears something else has found what is not
//! told. A recording holds [`Event`]s of one worker; it has no request in it, but for the facts that decisions depend on:
//! a class of methods, a hash, lengths of time.
//!
//! - [`Log`] writes events one after the other into bytes; [`Recording`] reads them again.
//! - [`mod@file`] frames them, so that a file that was torn or damaged says so and where.
//! - Any bytes give events or [`Wrong`], and never a panic (`mainstay-laws`, target `recording`).

mod code;
pub mod file;
mod words;

pub use code::Wrong;
pub(crate) use code::{Code, Reader, Writer, coded};
pub use file::{Damage, Ending, Head, Recording};

use std::sync::Arc;

use code::{Base, folded, unfolded};
use mainstay_core::{CallId, EndpointId, Instant, Seed};

use crate::{
    Admission, BreakerOrder, CheckResult, Decision, EndpointSpec, Entry, Facts, Fault, FleetDelta, Heard, Input,
    KeyEnd, Order, Output, Question, RetrySettings, ServiceSettings, WholeAnswer,
};
use std::net::SocketAddr;

/// One thing that a service of a worker was told, and what was said to it.
#[derive(Debug, Clone)]
pub struct Event {
    /// When.
    pub now: Instant,
    /// Which service, by the order in which they began.
    pub service: u32,
    /// What was told.
    pub step: Step,
    /// What the shared permits answered meanwhile.
    pub heard: Vec<Heard>,
    /// What was decided.
    pub said: Said,
}

/// What is told to a service or to a call of it.
#[derive(Debug, Clone)]
pub enum Step {
    /// It begins.
    Begin(Box<Beginning>),
    /// It has these settings from now on.
    Configure(Box<ServiceSettings>),
    /// It has these endpoints from now on.
    Update(Vec<EndpointSpec>),
    /// An active check ended.
    Check {
        /// Of which endpoint.
        endpoint: EndpointId,
        /// How.
        result: CheckResult,
    },
    /// An operator's word about an endpoint.
    Order {
        /// Which.
        address: SocketAddr,
        /// The word.
        order: Order,
    },
    /// An operator's word about the breaker.
    OrderBreaker(BreakerOrder),
    /// It has a fault on purpose from now on, or none.
    OrderFault(Option<Fault>),
    /// It looks after itself.
    Poke,
    /// It is looked at.
    View,
    /// What it has learned is taken for the other workers.
    Share,
    /// What another worker has learned.
    Learn(Arc<FleetDelta>),
    /// Whose wait in the queue is over?
    Turn,
    /// Who had a turn has vanished.
    Decline(Admission),
    /// A call is made.
    Call {
        /// Which.
        call: CallId,
        /// What it is.
        facts: Facts,
    },
    /// A call has a rule for retries of its own.
    Retry {
        /// Which.
        call: CallId,
        /// The rule; none for no retries.
        rule: Arc<Option<RetrySettings>>,
    },
    /// Something happened to a call.
    Input {
        /// Which.
        call: CallId,
        /// What.
        input: Input,
    },
    /// The deadline of a call may have come.
    Time {
        /// Which.
        call: CallId,
    },
    /// Does the call go on without its caller?
    GoOn {
        /// Which.
        call: CallId,
    },
    /// What becomes of the call's key?
    ReleaseKey {
        /// Which.
        call: CallId,
        /// The answer that its caller was given whole.
        answer: Option<WholeAnswer>,
        /// A call made in its place may have had an effect.
        applied: bool,
    },
    /// What became of it.
    TellKey {
        /// Which.
        call: CallId,
        /// The end.
        end: KeyEnd,
    },
    /// A call is dropped.
    Gone {
        /// Which.
        call: CallId,
    },
}

/// A service without endpoints.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// Its name.
    pub name: Arc<str>,
    /// Its luck.
    pub seed: Seed,
    /// Its settings.
    pub settings: ServiceSettings,
}

/// What is said to a step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    /// What was written into the record of the call.
    pub decisions: Vec<Decision>,
    /// What the driver of the call is to do.
    pub outputs: Vec<Output>,
    /// What else was answered.
    pub answer: Answer,
}

/// What is answered to a step beside a call's decisions and outputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    #[default]
    Nothing,
    /// Whether it is so.
    Is(bool),
    /// Whose wait is over.
    Turn(Option<Admission>),
    /// What was learned, as a checksum.
    Learned(u32),
    /// What becomes of a key.
    Key(Option<KeyEnd>),
}

impl Said {
    /// How many decisions it counts for: what a record has of a call, and what is answered beside it.
    #[must_use]
    pub fn decisions(&self) -> u64 {
        self.decisions.len() as u64 + u64::from(self.answer != Answer::Nothing)
    }
}

impl Step {
    /// The call that it is about.
    #[must_use]
    pub fn call(&self) -> Option<CallId> {
        match *self {
            Self::Call { call, .. }
            | Self::Retry { call, .. }
            | Self::Input { call, .. }
            | Self::Time { call }
            | Self::GoOn { call }
            | Self::ReleaseKey { call, .. }
            | Self::TellKey { call, .. }
            | Self::Gone { call } => Some(call),
            _ => None,
        }
    }
}

/// Writes events.
#[derive(Debug, Clone)]
pub struct Log {
    writer: Writer,
    scratch: Writer,
}

impl Default for Log {
    fn default() -> Self {
        Self { writer: Writer::new(), scratch: Writer::new() }
    }
}

/// An event as it is written, from what lies at hand.
#[derive(Debug)]
pub struct Told<'a> {
    /// When.
    pub now: Instant,
    /// Which service.
    pub service: u32,
    /// What was told.
    pub step: &'a Step,
    /// What the shared permits answered.
    pub heard: &'a [Heard],
    /// What was written into the record.
    pub entries: &'a [Entry],
    /// What is to be done.
    pub outputs: &'a [Option<Output>],
    /// What else was answered.
    pub answer: Answer,
}

/// Numbers up to which a count has room in the first byte of an event's second half.
const DECISIONS: u64 = 7;
const OUTPUTS: u64 = 3;
const HEARD: u64 = 3;

impl Log {
    /// Writes an event after those before.
    pub fn write(&mut self, told: &Told<'_>) {
        let to = &mut self.writer;
        to.number(told.service.into());
        to.near(told.now.as_nanos(), to.base.now.as_nanos());
        to.base.now = told.now;
        told.step.write(to);
        let outputs = told.outputs.iter().flatten();
        let counts = (told.entries.len() as u64, outputs.clone().count() as u64, told.heard.len() as u64);
        let has_answer = told.answer != Answer::Nothing;
        let first = counts.0.min(DECISIONS) | counts.1.min(OUTPUTS) << 3 | counts.2.min(HEARD) << 5;
        to.byte(first as u8 | u8::from(has_answer) << 7);
        for (count, max) in [(counts.0, DECISIONS), (counts.1, OUTPUTS), (counts.2, HEARD)] {
            if count >= max {
                to.number(count - max);
            }
        }
        told.heard.iter().for_each(|heard| heard.write(to));
        told.entries.iter().for_each(|entry| entry.what.write(to));
        outputs.for_each(|output| output.write(to));
        if has_answer {
            told.answer.write(to);
        }
    }

    /// Bytes that were written and not taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.writer.bytes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writer.bytes.is_empty()
    }

    /// Takes what was written, and leaves `empty` in its place.
    #[must_use]
    pub fn take(&mut self, empty: Vec<u8>) -> Vec<u8> {
        std::mem::replace(&mut self.writer.bytes, empty)
    }

    /// What a worker has learned, as a number.
    #[must_use]
    pub fn checksum(&mut self, now: Instant, delta: &FleetDelta) -> u32 {
        self.scratch.bytes.clear();
        self.scratch.base.now = now;
        delta.write(&mut self.scratch);
        mainstay_core::crc(&self.scratch.bytes)
    }
}

impl Writer {
    fn new() -> Self {
        Self { bytes: Vec::new(), base: Base::default() }
    }
}

/// Reads one event.
fn read_event(from: &mut Reader<'_>) -> Result<Event, Wrong> {
    let service = u32::read(from)?;
    let now = Instant::from_nanos(from.near(from.base.now.as_nanos())?);
    from.base.now = now;
    let step = Step::read(from)?;
    let first = from.byte()?;
    let mut count = |low: u8, max: u64| -> Result<usize, Wrong> {
        let few = u64::from(first >> low) & max;
        let more = if few == max { from.count()? } else { 0 };
        Ok(few as usize + more)
    };
    let (decisions, outputs, heard) = (count(0, DECISIONS)?, count(3, OUTPUTS)?, count(5, HEARD)?);
    let heard = (0..heard).map(|_| Heard::read(from)).collect::<Result<_, _>>()?;
    let decisions = (0..decisions).map(|_| Decision::read(from)).collect::<Result<_, _>>()?;
    let outputs = (0..outputs).map(|_| Output::read(from)).collect::<Result<_, _>>()?;
    let answer = if first >> 7 == 1 { Answer::read(from)? } else { Answer::Nothing };
    Ok(Event { now, service, step, heard, said: Said { decisions, outputs, answer } })
}

coded! { struct Beginning { name, seed, settings } }
coded! { enum Step {
    0 => Begin(beginning), 1 => Configure(settings), 2 => Update(endpoints), 3 => Check { endpoint, result },
    4 => Order { address, order }, 5 => OrderBreaker(order), 6 => OrderFault(fault), 7 => Poke, 8 => View, 9 => Share,
    10 => Learn(delta), 11 => Turn, 12 => Decline(admission), 13 => Call { call, facts }, 20 => Retry { call, rule },
    14 => Input { call, input }, 15 => Time { call }, 16 => GoOn { call }, 17 => ReleaseKey { call, answer, applied },
    18 => TellKey { call, end }, 19 => Gone { call },
} }
coded! { enum Answer { 0 => Nothing, 1 => Is(so), 2 => Turn(admission), 3 => Learned(checksum), 4 => Key(end) } }

/// The answer's difference to the last one to the same question, and the question: mostly a byte.
impl Code for Heard {
    fn write(&self, to: &mut Writer) {
        let place = self.question as usize;
        let difference = self.answer.wrapping_sub(to.base.heard[place]) as i64;
        to.base.heard[place] = self.answer;
        let folded = folded(difference);
        to.byte(place as u8 | (folded.min(31) as u8) << 3);
        if folded >= 31 {
            to.number(folded - 31);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        let byte = from.byte()?;
        let (place, few) = (usize::from(byte & 7), u64::from(byte >> 3));
        let question = *Question::ALL.get(place).ok_or(Wrong::Unknown)?;
        let folded = if few == 31 { from.number()?.checked_add(31).ok_or(Wrong::Unknown)? } else { few };
        let answer = from.base.heard[place].wrapping_add(unfolded(folded) as u64);
        from.base.heard[place] = answer;
        Ok(Self { question, answer })
    }
}

#[cfg(test)]
mod tests;
