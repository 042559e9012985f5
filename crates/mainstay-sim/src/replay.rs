//! Plays again what a gateway was told, and compares decision by decision.
//!
//! In: the recording of one worker. Out: a [`Replayed`]: how many of its decisions were made again, and the first that
//! was not. The steps of the recording are told to the same `Desk` to which the world tells its own, in the same order,
//! with the same `now`; the answers of what several workers share are told again too. The first decision that differs ends
//! it: what was told to the gateway afterwards came of its own decision, and not of this one.

mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_core::{CallId, Instant};
use mainstay_policy::recording::{Answer, Beginning, Damage, Ending, Event, Head, Log, Recording, Said, Step};
use mainstay_policy::{Call, Facts, PermitPool, Record, ServiceSettings, ServiceView};

use crate::desk::Desk;

pub use words::{differing, said, step as told};

/// What the replay of one worker came to.
#[derive(Debug)]
pub struct Replayed {
    /// Whose recording it is.
    pub head: Head,
    /// Steps that were told.
    pub steps: u64,
    /// Calls that were made.
    pub calls: u64,
    /// Decisions that were the same.
    pub same: u64,
    /// The first that was not.
    pub difference: Option<Box<Difference>>,
    /// How it ended.
    pub end: End,
}

/// How a replay ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With the recording.
    Recording(Ending),
    /// Where the recording is torn or damaged.
    Damage(Damage),
    /// At a step about something that never began, after so many.
    Unfit {
        /// Steps before it.
        steps: u64,
    },
    /// At the first difference.
    Difference,
}

/// A step to which the gateway said something else than the replay.
#[derive(Debug)]
pub struct Difference {
    /// Steps before it.
    pub steps: u64,
    /// When, on the gateway's clock.
    pub now: Instant,
    /// The service.
    pub service: Arc<str>,
    /// The call, where it is one's.
    pub call: Option<CallId>,
    /// What the call is, where it is one's.
    pub facts: Option<Facts>,
    /// What was told.
    pub step: Step,
    /// What the gateway said to it.
    pub gateway: Said,
    /// What the replay said to it.
    pub replay: Said,
    /// Something else was asked of the permits that workers share than the gateway asked.
    pub asked_otherwise: bool,
    /// What the service looks like afterwards, in the replay.
    pub view: ServiceView,
}

/// Plays `recording` again.
#[must_use]
pub fn replay(recording: Recording<'_>) -> Replayed {
    play(recording, None)
}

/// As [`replay`], under other settings: `alter` changes those of a service by its name before they are in force. So the
/// first decision is found that they would have made another.
#[must_use]
pub fn replay_altered(recording: Recording<'_>, alter: &Alter<'_>) -> Replayed {
    play(recording, Some(alter))
}

/// Changes the settings of a service by its name.
pub type Alter<'a> = dyn Fn(&str, &mut ServiceSettings) + 'a;

fn play(mut recording: Recording<'_>, alter: Option<&Alter<'_>>) -> Replayed {
    let replayed = Replayed {
        head: recording.head().clone(),
        steps: 0,
        calls: 0,
        same: 0,
        difference: None,
        end: End::Recording(Ending::Stopped),
    };
    let mut stage = Stage { alter, services: Vec::new(), calls: BTreeMap::new(), log: Log::default(), replayed };
    stage.replayed.end = loop {
        match recording.next_event() {
            Ok(Some(event)) => {
                if let Err(end) = stage.play(event) {
                    break end;
                }
            }
            Ok(None) => break End::Recording(recording.ending().unwrap_or(Ending::Stopped)),
            Err(damage) => break End::Damage(damage),
        }
    };
    stage.replayed
}

struct Stage<'a> {
    alter: Option<&'a Alter<'a>>,
    services: Vec<(Arc<str>, Desk)>,
    calls: BTreeMap<CallId, Live>,
    log: Log,
    replayed: Replayed,
}

struct Live {
    call: Call,
    facts: Facts,
}

impl Live {
    fn new(id: CallId, facts: Facts, now: Instant) -> Self {
        let mut record = Record::default();
        record.begin(now);
        Self { call: Desk::call(id, facts, record), facts }
    }
}

impl Stage<'_> {
    /// What is learned under other settings is other, without any call that fares otherwise.
    fn is_the_same(&self, gateway: &Said, replay: &Said) -> bool {
        let is_learned = |said: &Said| matches!(said.answer, Answer::Learned(_));
        gateway == replay || (self.alter.is_some() && is_learned(gateway) && is_learned(replay))
    }

    fn play(&mut self, event: Event) -> Result<(), End> {
        let Event { now, service, step, heard, said } = event;
        let unfit = End::Unfit { steps: self.replayed.steps };
        if let Step::Begin(beginning) = step {
            return if service as usize == self.services.len() { self.begin(now, *beginning) } else { Err(unfit) };
        }
        let (name, desk) = self.services.get_mut(service as usize).ok_or(unfit)?;
        let step = match step {
            Step::Configure(mut settings) => {
                self.alter.into_iter().for_each(|alter| alter(name, &mut settings));
                Step::Configure(settings)
            }
            step => step,
        };
        desk.give_again(&heard);
        let replay = match (&step, step.call()) {
            (Step::Call { call, facts }, _) => {
                self.replayed.calls += 1;
                // A call that was not begun may be made anew.
                self.calls.insert(*call, Live::new(*call, *facts, now));
                Said::default()
            }
            (Step::Gone { call }, _) => {
                self.calls.remove(call).ok_or(unfit)?;
                Said::default()
            }
            (step, Some(call)) => {
                let live = self.calls.get_mut(&call).ok_or(unfit)?;
                tell_call(desk, &mut live.call, now, step)
            }
            (step, None) => Said { answer: tell(desk, now, step, &mut self.log), ..Said::default() },
        };
        let (asked_otherwise, name) = (!desk.was_asked_the_same(), Arc::clone(name));
        self.replayed.steps += 1;
        if self.is_the_same(&said, &replay) && !asked_otherwise {
            self.replayed.same += said.decisions();
            return Ok(());
        }
        let call = step.call();
        self.replayed.difference = Some(Box::new(Difference {
            steps: self.replayed.steps - 1,
            now,
            service: name,
            call,
            facts: call.and_then(|call| self.calls.get(&call)).map(|live| live.facts),
            step,
            gateway: said,
            replay,
            asked_otherwise,
            view: self.services[service as usize].1.view(now),
        }));
        Err(End::Difference)
    }

    fn begin(&mut self, now: Instant, beginning: Beginning) -> Result<(), End> {
        let Beginning { name, seed, mut settings } = beginning;
        self.alter.into_iter().for_each(|alter| alter(&name, &mut settings));
        // They are not asked: but for how many workers share them, by which a worker takes them.
        let permits = PermitPool::new(settings.bulkhead.concurrency, self.replayed.head.workers);
        let mut desk = Desk::begin(&settings, permits, seed, now);
        desk.hear_again();
        self.services.push((name, desk));
        self.replayed.steps += 1;
        Ok(())
    }
}

/// Tells a service something.
fn tell(desk: &mut Desk, now: Instant, step: &Step, log: &mut Log) -> Answer {
    match step {
        Step::Configure(settings) => desk.configure(now, settings),
        Step::Update(endpoints) => _ = desk.update(now, endpoints),
        Step::Check { endpoint, result } => desk.check(now, *endpoint, *result),
        Step::Order { address, order } => return Answer::Is(desk.order(now, *address, *order)),
        Step::OrderBreaker(order) => desk.order_breaker(now, *order),
        Step::OrderFault(fault) => desk.order_fault(*fault),
        Step::Poke => desk.poke(now),
        Step::View => _ = desk.view(now),
        Step::Share => return Answer::Learned(log.checksum(now, &desk.share())),
        Step::Learn(delta) => desk.learn(now, delta),
        Step::Turn => return Answer::Turn(desk.next_turn(now)),
        Step::Decline(admission) => desk.decline(now, *admission),
        // Of calls, and of what begins.
        _ => {}
    }
    while desk.next_event().is_some() {}
    Answer::Nothing
}

/// Tells a call something.
fn tell_call(desk: &mut Desk, call: &mut Call, now: Instant, step: &Step) -> Said {
    let before = call.record().entries().len();
    let answer = match step {
        Step::Input { input, .. } => {
            desk.input(call, now, *input);
            Answer::Nothing
        }
        Step::Time { .. } => {
            desk.time(call, now);
            Answer::Nothing
        }
        Step::Retry { rule, .. } => {
            Desk::set_retry(call, Arc::clone(rule));
            Answer::Nothing
        }
        Step::GoOn { .. } => Answer::Is(Desk::goes_on(call, now)),
        Step::ReleaseKey { answer, applied, .. } => Answer::Key(desk.release_key(call, *answer, *applied)),
        Step::TellKey { end, .. } => {
            Desk::tell_key(call, now, *end);
            Answer::Nothing
        }
        _ => Answer::Nothing,
    };
    let entries = call.record().entries();
    // A call that begins begins its record anew.
    let decisions = entries.get(before..).unwrap_or(entries).iter().map(|entry| entry.what).collect();
    let outputs = std::iter::from_fn(|| call.poll_output()).collect();
    Said { decisions, outputs, answer }
}
