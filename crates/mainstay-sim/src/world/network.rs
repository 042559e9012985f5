//! What lies between a gateway and an instance: time, loss, and walls that stand for a while.

use mainstay_core::{Duration, Instant};

use super::World;

/// What is lost is sent again after this, then after twice that, and so on: the least that Linux waits.
const AGAIN: Duration = Duration::from_millis(200);
/// The same for what opens a connection (RFC 6298, section 2).
const CONNECT_AGAIN: Duration = Duration::from_secs(1);
/// Then the connection is given up.
const LOSSES_MAX: u32 = 10;

/// The lane of what opens a connection.
pub(super) const SYN_AGAIN: u32 = u32::MAX - 1024;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    There,
    Back,
}

/// The way to one instance.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Path {
    pub(super) there: Option<Wall>,
    pub(super) back: Option<Wall>,
    /// On top, each way.
    pub(super) delay: Duration,
    /// On top.
    pub(super) loss: f64,
}

/// Nothing comes through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wall {
    pub(super) until: Instant,
    /// What was sent meanwhile arrives when it falls.
    pub(super) delivered: bool,
}

impl World<'_> {
    /// How long it takes to open a connection from now on; none where that never comes about.
    pub(super) fn there_and_back(&self, gateway: u16, instance: u32, whose: u64) -> Option<Duration> {
        let there = self.pass(gateway, instance, Direction::There, whose, SYN_AGAIN)?;
        let back = self.pass_at(self.now + there, gateway, instance, Direction::Back, whose, SYN_AGAIN)?;
        Some(there + back)
    }

    /// How long a message takes that is sent now; none where it never arrives.
    pub(super) fn pass(&self, gateway: u16, instance: u32, way: Direction, whose: u64, lane: u32) -> Option<Duration> {
        self.pass_at(self.now, gateway, instance, way, whose, lane)
    }

    /// As [`World::pass`], of one that will be sent at `at`, as far as is known now.
    fn pass_at(
        &self,
        at: Instant,
        gateway: u16,
        instance: u32,
        way: Direction,
        whose: u64,
        lane: u32,
    ) -> Option<Duration> {
        let there = &self.instances[instance as usize];
        let lane = lane + if way == Direction::There { 0 } else { 8 };
        let network = &self.scenario.network;
        let mut takes = self.lucks.network.length(&network.latency, whose, lane) + there.path.delay;
        let zone = &self.gateways[usize::from(gateway)].zone;
        if *zone != there.zone && !zone.is_empty() && !there.zone.is_empty() {
            takes = takes + network.cross_zone;
        }
        let loss = network.loss.get() + there.path.loss;
        if loss > 0.0 {
            takes = takes + self.sent_again(loss, whose, lane)?;
        }
        match if way == Direction::There { there.path.there } else { there.path.back } {
            None => Some(takes),
            Some(wall) if wall.delivered || wall.until <= at => Some(wall.until.since(at) + takes),
            Some(_) => None,
        }
    }

    fn sent_again(&self, loss: f64, whose: u64, lane: u32) -> Option<Duration> {
        let luck = self.lucks.network.of(whose);
        let lost = |number: &u32| luck.strikes(loss, u64::from(lane), *number);
        let losses = (0..LOSSES_MAX).take_while(lost).count() as u32;
        let first = if lane >= SYN_AGAIN { CONNECT_AGAIN } else { AGAIN };
        (losses < LOSSES_MAX).then(|| first.saturating_mul((1 << losses) - 1))
    }
}
