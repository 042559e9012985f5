//! Who may be chosen, and who is: the half of a fleet that every call waits for.

use mainstay_core::{Duration, EndpointId, Instant, Limit, Purpose};

use super::learned::Learned;
use super::zones::Side;
use super::{Ask, Choice, Crossing, Fleet, FleetEvent, NoEndpoint};
use crate::balance::{Candidates, Excluded, Luck};
use crate::endpoints::Endpoint;
use crate::latency::Scale;
use crate::{Balance, EndpointState, ServiceSettings};

/// How fast latencies fade. Ten seconds are Finagle's and Linkerd's.
const FADE: Duration = Duration::from_secs(10);

/// The adaptive rule forgets faster, because it prices failures: a stray one costs an endpoint two seconds of calls.
const FADE_ADAPTIVE: Duration = Duration::from_secs(2);

/// And one slow answer raises an estimate fourfold at the most: who is slow again and again is found to limp, and a
/// single stray of a minute must not cost its endpoint a minute's calls.
const STEP_ADAPTIVE: f64 = 4.0;

/// Primaries, or backups.
#[derive(Debug, Clone, Copy, Default)]
struct Group {
    all: u32,
    usable: u32,
    /// Those of the usable that do not keep pace.
    limping: u32,
}

impl Group {
    fn share(self) -> f64 {
        if self.all == 0 { 0.0 } else { f64::from(self.usable) / f64::from(self.all) }
    }

    fn count(&mut self, learned: &Learned) {
        let is_usable = learned.availability.state() == EndpointState::Ready;
        self.all += 1;
        self.usable += u32::from(is_usable);
        self.limping += u32::from(is_usable && learned.pace.limp().is_some());
    }
}

impl Fleet {
    /// Chooses the endpoint of an attempt and takes its place there, and the probe's if it is one.
    ///
    /// # Errors
    /// [`NoEndpoint`] when there is none to be had.
    pub fn choose(&mut self, now: Instant, ask: &Ask<'_>) -> Result<Choice, NoEndpoint> {
        self.refresh(now);
        let chosen = self.choose_among(now, ask);
        if chosen.is_ok() || !self.is_stale {
            return chosen;
        }
        // Nobody is left of those who were gathered last.
        self.gather_at_once();
        self.refresh(now);
        self.choose_among(now, ask)
    }

    fn choose_among(&mut self, now: Instant, ask: &Ask<'_>) -> Result<Choice, NoEndpoint> {
        if let Some(slot) = self.pick_probe(now, ask) {
            return self.begin(now, slot, false, None);
        }
        if let Some(slot) = self.pick_trial(now, ask) {
            return self.begin(now, slot, true, None);
        }
        let side = self.side_of(ask);
        let on_side = side.and_then(|side| self.pick_among(now, ask, side, &[], true));
        let picked = on_side.or_else(|| self.pick(now, ask, ask.tried)).or_else(|| self.pick_limping(ask));
        let slot = picked.or_else(|| self.pick_again(now, ask)).ok_or_else(|| self.refusal(ask))?;
        let crossing = side.and_then(|side| self.crossing(side, slot));
        self.begin(now, slot, false, crossing)
    }

    /// Whether an endpoint that is none of `tried` is usable now, be it busy or not.
    pub fn has_other(&mut self, now: Instant, tried: &[EndpointId]) -> bool {
        self.refresh(now);
        self.has_untried(tried)
    }

    fn has_untried(&self, tried: &[EndpointId]) -> bool {
        self.excluded(&self.candidates, tried).len() < self.candidates.len() || self.has_untried_limping(tried)
    }

    /// Lets due transitions happen, and gathers the candidates anew if anything changed.
    pub(super) fn refresh(&mut self, now: Instant) {
        let is_due = self.is_stale || self.next_transition <= now;
        if !is_due || now < self.rests_until {
            return;
        }
        self.rests_until = now + rest_of(self.endpoints.slots());
        if self.next_transition <= now {
            // Who was warming up may have its whole share.
            self.is_stale |= !self.warming.is_empty();
            self.next_transition = Instant::FAR_FUTURE;
            for slot in 0..self.endpoints.slots() as u32 {
                let due = self.due_at(slot);
                if due <= now {
                    self.change(now, slot, None, |availability, _| availability.handle_time(now));
                }
                self.next_transition = self.next_transition.min(if due <= now { self.due_at(slot) } else { due });
            }
        }
        if self.is_stale {
            self.is_stale = false;
            self.gather();
            self.gather_warming(now);
        }
    }

    /// When time next changes the state of an endpoint.
    fn due_at(&self, slot: u32) -> Instant {
        self.endpoints.at(slot).map_or(Instant::FAR_FUTURE, |endpoint| endpoint.learned.availability.due())
    }

    /// The next look at all endpoints is not put off.
    pub(super) fn gather_at_once(&mut self) {
        self.is_stale = true;
        self.rests_until = Instant::ORIGIN;
    }

    fn gather(&mut self) {
        let (mut primaries, mut backups) = (Group::default(), Group::default());
        for endpoint in self.endpoints.iter().filter(|endpoint| !endpoint.learned.availability.is_ordered_out()) {
            let group = if endpoint.spec.backup { &mut backups } else { &mut primaries };
            group.count(&endpoint.learned);
        }
        let enough = self.settings.panic.get();
        let are_primaries_enough = primaries.usable > 0 && primaries.share() >= enough;
        let panic = primaries.all + backups.all > 0 && primaries.share() + backups.share() < enough;
        let is_candidate = |endpoint: &&Endpoint<Learned>| {
            let is_wanted = !endpoint.spec.backup || !are_primaries_enough;
            is_wanted && is_usable(endpoint, panic)
        };
        let limps = |endpoint: &&Endpoint<Learned>| endpoint.learned.pace.limp().is_some();
        let candidates = || self.endpoints.iter().filter(is_candidate);
        let others = if are_primaries_enough { Group::default() } else { backups };
        let (usable, limping) = (primaries.usable + others.usable, primaries.limping + others.limping);
        let are_left_alone = limping > 0 && !panic && 2 * limping <= usable;
        self.limping.clear();
        if are_left_alone {
            self.limping.extend(candidates().filter(limps).map(|endpoint| endpoint.id.slot));
        }
        let fill = candidates().filter(|endpoint| !(are_left_alone && limps(endpoint)));
        self.candidates.fill(fill.map(|endpoint| (endpoint.id.slot, endpoint.spec.weight)));
        self.balancer.restart(&self.candidates);
        self.gather_zones(panic);
        if panic != self.census.panic {
            self.census.panic = panic;
            self.tell(FleetEvent::Panic { on: panic });
        }
    }

    /// The endpoint whose turn it is to be probed, if this call may be risked there.
    fn pick_probe(&mut self, now: Instant, ask: &Ask<'_>) -> Option<u32> {
        while let Some(slot) = self.probes.pop_front() {
            let Some(endpoint) = self.endpoints.at_mut(slot) else { continue };
            endpoint.learned.is_queued = false;
            if !endpoint.learned.availability.wants_probe() {
                continue;
            }
            if self.may_probe(now, slot, ask) {
                return Some(slot);
            }
            self.queue_probe(slot);
            break;
        }
        None
    }

    fn may_probe(&self, now: Instant, slot: u32, ask: &Ask<'_>) -> bool {
        let Some(endpoint) = self.endpoints.at(slot) else { return false };
        if ask.tried.contains(&endpoint.id) || !has_room(endpoint, &self.settings) {
            return false;
        }
        // A first attempt has others after it; a later one is risked only where it would have to go back.
        let is_harmless = ask.idempotent && (ask.attempt == 0 || !self.has_untried(ask.tried));
        self.candidates.is_empty()
            || (is_harmless && self.balancer.suits(ask.hash, slot))
            || endpoint.learned.availability.wants_any_probe(now)
    }

    pub(super) fn queue_probe(&mut self, slot: u32) {
        let Some(endpoint) = self.endpoints.at_mut(slot) else { return };
        if endpoint.learned.availability.wants_probe() && !endpoint.learned.is_queued {
            endpoint.learned.is_queued = true;
            self.probes.push_back(slot);
        }
    }

    /// The balancer's choice among the candidates that are none of `tried` and have room, with regard for those that
    /// warm up or have more than their share while that is possible.
    fn pick(&mut self, now: Instant, ask: &Ask<'_>, tried: &[EndpointId]) -> Option<u32> {
        if self.candidates.len() == 1 && self.limping.is_empty() {
            return self.pick_only(tried);
        }
        let has_regard = !self.warming.is_empty() || self.load_limit().is_some();
        let considerate = if has_regard { self.pick_among(now, ask, Side::All, tried, true) } else { None };
        considerate.or_else(|| self.pick_among(now, ask, Side::All, tried, false))
    }

    /// As [`Fleet::pick`] where there is one candidate: nothing is drawn or compared.
    fn pick_only(&self, tried: &[EndpointId]) -> Option<u32> {
        let slot = self.candidates.slot(0);
        let endpoint = self.endpoints.at(slot)?;
        let may_take_it = is_usable(endpoint, self.census.panic) && has_room(endpoint, &self.settings);
        (may_take_it && !tried.contains(&endpoint.id)).then_some(slot)
    }

    fn pick_among(
        &mut self,
        now: Instant,
        ask: &Ask<'_>,
        side: Side,
        tried: &[EndpointId],
        regard: bool,
    ) -> Option<u32> {
        let candidates = self.zones.candidates(side).unwrap_or(&self.candidates);
        let mut excluded = self.excluded(candidates, tried);
        if regard {
            self.leave_out_warming(now, ask, candidates, &mut excluded);
        }
        let load_limit = self.load_limit().filter(|_| regard);
        let scale = self.scale();
        let luck = Luck {
            first: self.seed.draw(ask.call.0, ask.attempt, Purpose::ChoiceA),
            second: self.seed.draw(ask.call.0, ask.attempt, Purpose::ChoiceB),
            hash: ask.hash,
        };
        let warming = self.warming_for(now, ask).filter(|_| regard);
        let panic = self.census.panic;
        let Self { endpoints, candidates, balancer, zones, settings, .. } = self;
        let (candidates, balancer) = zones.of(side).unwrap_or((candidates, balancer));
        let at = |place| endpoints.at(candidates.slot(place));
        let is_spared = |place, endpoint: &Endpoint<Learned>| {
            let most = load_limit.map(|limit| limit.of(candidates.weight(place), candidates.total()));
            most.is_some_and(|most| endpoint.learned.load.total() >= most)
                || warming.is_some_and(|warming| warming.is_refused_by(endpoint.id.slot, &endpoint.learned))
        };
        let is_open = |place| {
            at(place).is_some_and(|endpoint| {
                let may_take_it = is_usable(endpoint, panic) && has_room(endpoint, settings);
                may_take_it && !tried.contains(&endpoint.id) && !is_spared(place, endpoint)
            })
        };
        let rule = settings.balance;
        let cost_at = if ask.idempotent { Learned::cost } else { Learned::cost_of_risk };
        let cost =
            |place| at(place).map_or(0.0, |e| cost_at(&e.learned, now, rule, candidates.lightness(place), &scale));
        let slot = candidates.slot(balancer.pick(candidates, &luck, &excluded, is_open, cost)?);
        if self.limping.is_empty() {
            return Some(slot);
        }
        self.pick_sooner(now, ask, slot).or(Some(slot))
    }

    /// How much one endpoint may have in flight where keys say where calls go.
    fn load_limit(&self) -> Option<LoadLimit> {
        let Limit::At(hundredths) = self.settings.hash_load else { return None };
        let in_flight = self.in_flight.saturating_add(1);
        self.balancer.goes_by_key().then_some(LoadLimit { hundredths, in_flight })
    }

    /// When every candidate was tried: one of them again, the one tried last only if it is the only one.
    fn pick_again(&mut self, now: Instant, ask: &Ask<'_>) -> Option<u32> {
        if self.has_untried(ask.tried) {
            return None;
        }
        let last = ask.tried.len().saturating_sub(1);
        self.pick(now, ask, &ask.tried[last..]).or_else(|| self.pick(now, ask, &[]))
    }

    fn refusal(&self, ask: &Ask<'_>) -> NoEndpoint {
        if self.endpoints.len() == self.census.ordered_out as usize {
            return NoEndpoint::Empty;
        }
        if self.candidates.is_empty() {
            return NoEndpoint::AllEjected;
        }
        let mut tried = ask.tried.iter().filter_map(|id| self.endpoints.get(*id));
        if tried.any(|endpoint| has_room(endpoint, &self.settings)) {
            NoEndpoint::AllTried
        } else {
            NoEndpoint::AllBusy
        }
    }

    fn begin(
        &mut self,
        now: Instant,
        slot: u32,
        trial: bool,
        crossing: Option<Crossing>,
    ) -> Result<Choice, NoEndpoint> {
        let passed_over = self.passed_over();
        let endpoint = self.endpoints.at_mut(slot).ok_or(NoEndpoint::Empty)?;
        let learned = &mut endpoint.learned;
        learned.load.begin(now);
        self.in_flight = self.in_flight.saturating_add(1);
        learned.news.in_flight += 1;
        let probe = learned.availability.wants_probe();
        if probe {
            learned.availability.take_probe();
        }
        let panic = self.census.panic;
        let endpoint = endpoint.id;
        self.touch(slot);
        Ok(Choice { endpoint, probe, panic, trial, crossing, passed_over })
    }

    fn excluded(&self, candidates: &Candidates, tried: &[EndpointId]) -> Excluded {
        let mut excluded = Excluded::default();
        let known = tried.iter().filter(|id| self.endpoints.get(**id).is_some());
        known.filter_map(|id| candidates.place(id.slot)).for_each(|place| excluded.insert(place));
        excluded
    }

    pub(super) fn scale(&self) -> Scale {
        let is_adaptive = self.settings.balance == Balance::Adaptive;
        let (fade, step) = if is_adaptive { (FADE_ADAPTIVE, Some(STEP_ADAPTIVE)) } else { (FADE, None) };
        Scale { fade, step, median: self.median.nanos(), attempt: self.settings.timeout.attempt }
    }
}

/// A bound on the load of each endpoint as a multiple of the average, so that a key that is asked for more than others
/// spills over instead of bringing its endpoint down (Mirrokni, Thorup, Zadimoghaddam: "Consistent Hashing with Bounded
/// Loads", 2017).
#[derive(Debug, Clone, Copy)]
struct LoadLimit {
    hundredths: u32,
    /// With the one to come.
    in_flight: u32,
}

/// What an endpoint may have whatever the others have: a key must not wander because two of its calls met.
const LOAD_MIN: u64 = 8;

impl LoadLimit {
    /// Attempts for an endpoint of this weight among that total.
    fn of(self, weight: u64, total: u64) -> u32 {
        let share = u128::from(self.in_flight) * u128::from(self.hundredths) * u128::from(weight);
        let most = share.div_ceil(u128::from(total.max(1)) * 100).max(u128::from(LOAD_MIN));
        u32::try_from(most).unwrap_or(u32::MAX)
    }
}

/// How long a fleet with so many slots rests between two looks at all of them: five microseconds for each, of
/// which looking takes a small part, and no rest where a look is cheaper than a call.
fn rest_of(slots: usize) -> Duration {
    if slots > LOOKED_AT_ANY_TIME { Duration::from_micros(5 * slots as u64) } else { Duration::ZERO }
}

const LOOKED_AT_ANY_TIME: usize = 256;

/// Whether calls may go there now, whatever was gathered.
pub(super) fn is_usable(endpoint: &Endpoint<Learned>, panic: bool) -> bool {
    let availability = &endpoint.learned.availability;
    (panic || availability.state() == EndpointState::Ready) && !availability.is_ordered_out()
}

/// Room for one attempt more: at the endpoint over all workers, and among this worker's own connections to it.
pub(super) fn has_room(endpoint: &Endpoint<Learned>, settings: &ServiceSettings) -> bool {
    let load = &endpoint.learned.load;
    settings.bulkhead.per_endpoint.allows(load.total().saturating_add(1))
        && settings.pool.size.allows(load.in_flight().saturating_add(1))
}
