//! Looks for an order that explains the answers, over keys that belong together.
//!
//! Calls and returns stand in one list, in the order of time. The first call that can have taken effect is taken out with
//! its return, and the search begins at the front again; where a return is met whose call is still there, the operation
//! was over without having taken effect, and the last one that was taken out is put back. A configuration (what is taken
//! out, and the state) that was seen before leads nowhere new. Operations that nobody was told the end of have no return:
//! they may be taken out or left.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

use crate::model::{Act, Model, State};

/// How much a check may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Configurations that are remembered, of all keys that belong together; 16 million, which take half a gibibyte.
    pub configurations: usize,
    /// How long it may take, over all keys; a minute.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { configurations: 16 << 20, time: Duration::from_secs(60) }
    }
}

/// An operation of the history with what the search needs of it.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) called: u64,
    /// None where it may have happened or not.
    pub(crate) returned: Option<u64>,
    pub(crate) act: Act,
    /// Its number in the history.
    pub(crate) number: usize,
}

/// What a search came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// An order explains all.
    Order,
    /// No order does.
    None(Stuck),
    /// Memory or time were used up.
    Undecided,
}

/// How far every search came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stuck {
    /// The step that was over and cannot have taken effect, in the numbers of the search.
    pub(crate) step: usize,
    /// What the keys can have been until then, some of it.
    pub(crate) states: Vec<State>,
}

/// States that are kept of where it is stuck.
const STATES_MAX: usize = 16;

/// Turns after which the clock is looked at.
const LOOK_EVERY: u32 = 1 << 12;

/// What the search may still use.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) configurations: usize,
    pub(crate) until: Instant,
}

/// The list of calls and returns. Place 0 is before the first; every step has two places.
struct Events {
    next: Vec<u32>,
    before: Vec<u32>,
    /// The step of each place, and whether it is its return.
    of: Vec<(u32, bool)>,
    call: Vec<u32>,
    /// The place of a step's return; 0 where there is none.
    ret: Vec<u32>,
}

impl Events {
    fn of(steps: &[Step]) -> Self {
        // What touches overlaps: at one moment calls come before returns.
        let mut order: Vec<(u64, bool, u32)> = Vec::with_capacity(2 * steps.len());
        for (number, step) in (0..).zip(steps) {
            order.push((step.called, false, number));
            order.extend(step.returned.map(|returned| (returned, true, number)));
        }
        order.sort_unstable();
        let places = order.len() as u32 + 1;
        let mut events = Self {
            next: (1..places).chain([0]).collect(),
            before: std::iter::once(places - 1).chain(0..places - 1).collect(),
            of: vec![(u32::MAX, false)],
            call: vec![0; steps.len()],
            ret: vec![0; steps.len()],
        };
        for (place, (_, is_return, step)) in (1..).zip(order) {
            events.of.push((step, is_return));
            let places = if is_return { &mut events.ret } else { &mut events.call };
            places[step as usize] = place;
        }
        events
    }

    fn take_out(&mut self, step: usize) {
        for place in [self.call[step], self.ret[step]] {
            if place > 0 {
                let (before, next) = (self.before[place as usize], self.next[place as usize]);
                self.next[before as usize] = next;
                self.before[next as usize] = before;
            }
        }
    }

    fn put_back(&mut self, step: usize) {
        for place in [self.ret[step], self.call[step]] {
            if place > 0 {
                let (before, next) = (self.before[place as usize], self.next[place as usize]);
                self.next[before as usize] = place;
                self.before[next as usize] = place;
            }
        }
    }
}

/// Configurations that were seen. They are hashes already.
type Seen = HashSet<u128, BuildHasherDefault<AsItIs>>;

/// Takes a hash for its own.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, byte| sum.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

/// A search under way.
struct Search<'a> {
    model: &'a mut Model,
    steps: &'a [Step],
    events: Events,
    state: State,
    /// The hash of what is taken out.
    out: u128,
    /// Steps that were taken out, with the state before each.
    taken: Vec<(usize, State)>,
    /// Steps that must be taken out and are not.
    left: usize,
    seen: Seen,
    furthest: u32,
    stuck: Stuck,
}

/// Looks for an order from a state on.
pub(crate) fn search(model: &mut Model, steps: &[Step], from: State, budget: &Budget) -> Found {
    let mut order = false;
    let found = run(model, steps, from, budget, |_, _| {
        order = true;
        false
    });
    if order { Found::Order } else { found }
}

/// A way in which steps can have gone: the state then, and which of those that may have happened did not.
pub(crate) type End = (State, Vec<usize>);

/// Every way in which the steps can have gone; none if there are more than `max`, or the budget does not suffice.
pub(crate) fn ends(model: &mut Model, steps: &[Step], from: State, budget: &Budget, max: usize) -> Option<Vec<End>> {
    let mut ends: Vec<End> = Vec::new();
    let found = run(model, steps, from, budget, |state, taken| {
        let is_out = |step: &usize| taken.iter().any(|(out, _)| out == step);
        let left = (0..steps.len()).filter(|step| !is_out(step)).collect();
        let end = (state.clone(), left);
        if !ends.contains(&end) {
            ends.push(end);
        }
        ends.len() <= max
    });
    (ends.len() <= max && found != Found::Undecided).then_some(ends)
}

/// Searches; each order that is found is told with its state and what was taken out for it, and the search goes on if the
/// answer is yes.
fn run(
    model: &mut Model,
    steps: &[Step],
    from: State,
    budget: &Budget,
    mut found: impl FnMut(&State, &[(usize, State)]) -> bool,
) -> Found {
    let left = steps.iter().filter(|step| step.returned.is_some()).count();
    let mut search = Search {
        events: Events::of(steps),
        model,
        steps,
        state: from,
        out: 0,
        taken: Vec::new(),
        left,
        seen: Seen::default(),
        furthest: 0,
        stuck: Stuck::default(),
    };
    search.run(budget, &mut found)
}

impl Search<'_> {
    fn run(&mut self, budget: &Budget, found: &mut impl FnMut(&State, &[(usize, State)]) -> bool) -> Found {
        let mut turns = 0_u32;
        let mut place = self.events.next[0];
        loop {
            turns = turns.wrapping_add(1);
            let is_late = turns.is_multiple_of(LOOK_EVERY) && Instant::now() > budget.until;
            if is_late || self.seen.len() > budget.configurations {
                return Found::Undecided;
            }
            if self.left == 0 && !found(&self.state, &self.taken) {
                return Found::Order;
            }
            let (step, is_return) = self.events.of[place as usize];
            // At the end of the list nothing more can be taken out, and as little where everything that must be is.
            if place == 0 || is_return || self.left == 0 {
                self.note_stuck(place, is_return, step as usize);
                let Some((last, before)) = self.taken.pop() else { return Found::None(self.stuck.clone()) };
                self.put_back(last, before);
                place = self.events.next[self.events.call[last] as usize];
            } else if self.takes_out(step as usize) {
                place = self.events.next[0];
            } else {
                place = self.events.next[place as usize];
            }
        }
    }

    /// Takes a step out if it can have taken effect now and that leads somewhere new.
    fn takes_out(&mut self, step: usize) -> bool {
        let Step { act, returned, .. } = &self.steps[step];
        let Some(after) = self.model.step(act, &self.state) else { return false };
        // Whether what may have happened did is the same where it changes nothing.
        if returned.is_none() && after == self.state {
            return false;
        }
        let out = self.out ^ hash(1, step as u64);
        let configuration = after.iter().zip(2..).fold(out, |sum, (value, key)| sum ^ hash(key, u64::from(*value)));
        if !self.seen.insert(configuration) {
            return false;
        }
        self.taken.push((step, std::mem::replace(&mut self.state, after)));
        self.out = out;
        self.left -= usize::from(returned.is_some());
        self.events.take_out(step);
        true
    }

    fn put_back(&mut self, step: usize, before: State) {
        self.state = before;
        self.out ^= hash(1, step as u64);
        self.left += usize::from(self.steps[step].returned.is_some());
        self.events.put_back(step);
    }

    fn note_stuck(&mut self, place: u32, is_return: bool, step: usize) {
        if !is_return || place < self.furthest {
            return;
        }
        if place > self.furthest {
            self.furthest = place;
            self.stuck = Stuck { step, states: Vec::new() };
        }
        if self.stuck.states.len() < STATES_MAX && !self.stuck.states.contains(&self.state) {
            self.stuck.states.push(self.state.clone());
        }
    }
}

/// 128 evenly distributed bits: two rounds of the finaliser of SplitMix64.
const fn hash(what: u64, value: u64) -> u128 {
    let low = mix(mix(what).wrapping_add(value));
    ((mix(low ^ 0x5851_f42d_4c95_7f2d) as u128) << 64) | low as u128
}

const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
