//! How far an adaptive limit is lowered: by how the calls fare that it lets through.
//!
//! Additive increase, multiplicative decrease (D. Chiu, R. Jain: "Analysis of the Increase and Decrease Algorithms for
//! Congestion Avoidance in Computer Networks", 1989): the only one of the simple rules that comes to rest at a fair share,
//! whatever the share is. Once a second, with s the share of the last second's calls that came to a bad end and p the
//! percentage at which the limit stands:
//!
//! - s > 10 % of ten calls or more: p ← max(10, p · (1 − s / 2)), rounded down;
//! - otherwise: p ← min(100, p + 5).
//!
//! A bad end is a failure or a refusal of ours ([`crate::End::went_well`]). So an outage brings a limit from 100 % to its
//! floor in four seconds, and it is whole again 18 s after the service is. The floor keeps enough calls going to see that.
//! Below ten calls a second a limit is not what the service suffers from.

use mainstay_core::{Duration, Instant};

/// How often it judges.
const PERIOD: Duration = Duration::from_secs(1);
/// Fewer calls say nothing.
const CALLS_MIN: u64 = 10;
/// Bad ends that every service has, in per cent.
const BAD_USUAL: u64 = 10;
/// What is added in a good second.
const STEP: u64 = 5;

/// The least that an adaptive limit is lowered to, in per cent of its rate.
pub const PERCENT_MIN: u8 = 10;

/// How far one limit is lowered.
#[derive(Debug, Clone)]
pub struct Throttle {
    percent: u8,
    calls: u64,
    bad: u64,
    judged: Instant,
    /// Whether somebody was told that the limit is lowered.
    told: bool,
}

impl Throttle {
    /// One that stands at the whole rate.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { percent: 100, calls: 0, bad: 0, judged: now, told: false }
    }

    /// At how much of its rate the limit stands now, from [`PERCENT_MIN`] to 100.
    #[must_use]
    pub fn percent(&mut self, now: Instant) -> u8 {
        let periods = now.since(self.judged).as_nanos() / PERIOD.as_nanos();
        if periods > 0 {
            self.judge();
            let idle = (periods - 1).saturating_mul(STEP);
            self.percent = (u64::from(self.percent).saturating_add(idle)).min(100) as u8;
            self.judged += PERIOD.saturating_mul(periods);
        }
        self.percent
    }

    /// Whether the limit is lowered, when that is news: once when it falls, and once when it is whole again.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<bool> {
        let lowered = self.percent < 100;
        let is_news = lowered != std::mem::replace(&mut self.told, lowered);
        is_news.then_some(lowered)
    }

    /// A call that the limit let through came to its end.
    pub fn record(&mut self, now: Instant, went_well: bool) {
        let _ = self.percent(now);
        self.calls += 1;
        self.bad += u64::from(!went_well);
    }

    fn judge(&mut self) {
        let (calls, bad) = (std::mem::take(&mut self.calls), std::mem::take(&mut self.bad));
        let percent = u64::from(self.percent);
        let next = if calls >= CALLS_MIN && bad * 100 > calls * BAD_USUAL {
            (percent * (2 * calls - bad) / (2 * calls)).max(PERCENT_MIN.into())
        } else {
            percent + STEP
        };
        self.percent = next.min(100) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(1_000_000 + millis)
    }

    /// Where the limit stands after each of these seconds, told as `(calls, of them bad)`.
    fn played(seconds: &[(u64, u64)]) -> Vec<u8> {
        let mut throttle = Throttle::new(at(0));
        (0..)
            .zip(seconds)
            .map(|(second, (calls, bad))| {
                (0..*calls).for_each(|call| throttle.record(at(second * 1_000 + 500), call >= *bad));
                throttle.percent(at((second + 1) * 1_000))
            })
            .collect()
    }

    #[test]
    fn an_outage_brings_it_to_its_floor_and_health_brings_it_back_step_by_step() {
        assert_eq!(played(&[(100, 100); 5]), [50, 25, 12, 10, 10]);
        let back = played(&[&[(100, 100); 4][..], &[(100, 0); 19]].concat());
        assert_eq!(back[3..8], [10, 15, 20, 25, 30]);
        assert_eq!(back[20..], [95, 100, 100]);
    }

    #[test]
    fn the_more_fail_the_further_it_falls() {
        assert_eq!(played(&[(100, 20)]), [90]);
        assert_eq!(played(&[(100, 50)]), [75]);
        assert_eq!(played(&[(100, 10)]), [100], "so many fail of every service");
        assert_eq!(played(&[(9, 9)]), [100], "too few to say anything");
    }

    #[test]
    fn a_silence_counts_as_health() {
        let mut throttle = Throttle::new(at(0));
        (0..100).for_each(|_| throttle.record(at(10), false));
        assert_eq!(throttle.percent(at(999)), 100);
        assert_eq!(throttle.percent(at(1_000)), 50);
        assert_eq!(throttle.percent(at(4_999)), 65);
        assert_eq!(throttle.percent(at(1_000_000_000)), 100);
    }

    #[test]
    fn that_it_is_lowered_is_told_once_and_that_it_is_whole_again_once() {
        let mut throttle = Throttle::new(at(0));
        let told: Vec<_> = (0..60)
            .filter_map(|second| {
                (0..20).for_each(|_| throttle.record(at(second * 1_000), second >= 3));
                throttle.poll_event()
            })
            .collect();
        assert_eq!(told, [true, false]);
    }

    #[test]
    fn extremes_are_no_trouble() {
        let mut throttle = Throttle::new(Instant::ORIGIN);
        throttle.record(Instant::FAR_FUTURE, false);
        assert_eq!(throttle.percent(Instant::ORIGIN), 100);
        assert_eq!(throttle.percent(Instant::FAR_FUTURE), 100);
    }
}
