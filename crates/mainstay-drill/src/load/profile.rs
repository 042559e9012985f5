//! How many requests are due per time, over time: steady, in steps, in ramps.
//!
//! In: a time and a number of requests, which need not be whole. Out: the time by which so many more are due. With one
//! request at a time that is an even schedule; with exponentially distributed numbers of mean 1 it is a Poisson process
//! of this very rate, also where the rate changes in between (time rescaling; Çınlar, "Introduction to Stochastic
//! Processes", 1975, section 4.7). So one request more or less early on shifts no later step.

use mainstay_core::{Duration, Rate};

/// Requests a second below which nothing is said to be due any more.
const LEAST: f64 = 1e-6;

/// A change of the rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// When it begins.
    pub at: Duration,
    /// To how many a second, 0 or more.
    pub rate: f64,
    /// How long it takes to get there from the rate before, in a straight line.
    pub over: Duration,
}

/// Steps that cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// There is no rate to begin with.
    #[error("the rate at the beginning is missing: let the first step be at 0s, or give a rate")]
    NoBeginning,
    /// One stands before the one before it.
    #[error("the step at {0} comes after a later one: write steps in their order")]
    OutOfOrder(Duration),
}

/// From here on: so many a second, and so many more of them with each second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Piece {
    from: f64,
    rate: f64,
    slope: f64,
}

/// The rate over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile(Vec<Piece>);

impl Profile {
    /// The same rate for ever.
    #[must_use]
    pub fn steady(rate: Rate) -> Self {
        Self(vec![Piece { from: 0.0, rate: a_second(rate), slope: 0.0 }])
    }

    /// A rate that changes. The first step is at the beginning.
    ///
    /// # Errors
    /// [`ProfileError`]: it is not, or they are not in order.
    pub fn of(steps: &[Step]) -> Result<Self, ProfileError> {
        let (first, rest) = steps.split_first().ok_or(ProfileError::NoBeginning)?;
        if !first.at.is_zero() {
            return Err(ProfileError::NoBeginning);
        }
        let mut profile = Self(vec![Piece { from: 0.0, rate: first.rate, slope: 0.0 }]);
        let mut before = first.at;
        for &step in rest {
            if step.at < before {
                return Err(ProfileError::OutOfOrder(step.at));
            }
            profile.turn(step);
            before = step.at;
        }
        Ok(profile)
    }

    /// From this step on it is as the step says, even if an earlier one has not come to its end.
    fn turn(&mut self, step: Step) {
        let (from, over) = (step.at.as_secs_f64(), step.over.as_secs_f64());
        let rate = self.at(step.at);
        self.0.retain(|piece| piece.from < from || piece.from == 0.0);
        if over > 0.0 {
            self.0.push(Piece { from, rate, slope: (step.rate - rate) / over });
        }
        self.0.push(Piece { from: from + over, rate: step.rate, slope: 0.0 });
    }

    /// The same, times `factor` between two moments.
    #[must_use]
    pub fn surge(&self, from: Duration, to: Duration, factor: f64) -> Self {
        let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
        let mut cuts: Vec<f64> = self.0.iter().map(|piece| piece.from).chain([from, to]).collect();
        cuts.sort_by(f64::total_cmp);
        cuts.dedup();
        let piece = |at: f64| {
            let Piece { from: begun, rate, slope } = self.piece(at);
            let times = if (from..to).contains(&at) { factor } else { 1.0 };
            Piece { from: at, rate: (rate + slope * (at - begun)) * times, slope: slope * times }
        };
        Self(cuts.into_iter().map(piece).collect())
    }

    /// Requests due a second at this moment.
    #[must_use]
    pub fn at(&self, moment: Duration) -> f64 {
        let moment = moment.as_secs_f64();
        let piece = self.piece(moment);
        piece.rate + piece.slope * (moment - piece.from)
    }

    /// The most that is ever due a second up to `end`.
    #[must_use]
    pub fn most(&self, end: Duration) -> f64 {
        let corners = self.0.iter().map(|piece| piece.from).filter(|from| *from < end.as_secs_f64());
        let before = corners.clone().filter(|from| *from > 0.0).map(|from| self.just_before(from));
        let after = corners.clone().map(|from| self.piece(from).rate);
        before.chain(after).chain([self.just_before(end.as_secs_f64())]).fold(0.0, f64::max)
    }

    fn just_before(&self, moment: f64) -> f64 {
        let piece = self.0.iter().rev().find(|piece| piece.from < moment).unwrap_or(&self.0[0]);
        piece.rate + piece.slope * (moment - piece.from)
    }

    /// How many are due between two moments, in seconds since the beginning.
    #[must_use]
    pub fn between(&self, from: f64, to: f64) -> f64 {
        let (mut at, mut all) = (from, 0.0);
        while at < to {
            let piece = self.piece(at);
            let next = self.0.iter().map(|other| other.from).find(|other| *other > at).map_or(to, |next| next.min(to));
            let middle = piece.rate + piece.slope * ((at + next) / 2.0 - piece.from);
            all += middle.max(0.0) * (next - at);
            at = next;
        }
        all
    }

    /// The piece in which `moment` lies.
    fn piece(&self, moment: f64) -> Piece {
        *self.0.iter().rev().find(|piece| piece.from <= moment).unwrap_or(&self.0[0])
    }

    /// The nanosecond by which `requests` more are due than at the nanosecond `from`; the end of time when never.
    #[must_use]
    pub fn after(&self, from: u64, requests: f64) -> u64 {
        let mut at = from as f64 / 1e9;
        let mut left = requests;
        loop {
            let piece = self.piece(at);
            let next = self.0.iter().find(|other| other.from > at).map(|other| other.from);
            let rate = piece.rate + piece.slope * (at - piece.from);
            let room = next.map_or(f64::INFINITY, |next| {
                let length = next - at;
                (rate + piece.slope * length / 2.0) * length
            });
            match next {
                Some(next) if room <= left => {
                    left -= room;
                    at = next;
                }
                _ if rate < LEAST && piece.slope <= 0.0 => return u64::MAX,
                _ => return nanos(at + within(rate, piece.slope, left)),
            }
        }
    }
}

/// Seconds in which so many come, from `rate` on and with `slope`: the root of `rate·t + slope·t²/2 = requests`, written
/// so that nothing cancels out.
fn within(rate: f64, slope: f64, requests: f64) -> f64 {
    let root = (rate * rate + 2.0 * slope * requests).max(0.0).sqrt();
    if rate + root > 0.0 { 2.0 * requests / (rate + root) } else { 0.0 }
}

fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

fn a_second(rate: Rate) -> f64 {
    rate.count() as f64 / rate.per().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(at: u64, rate: f64, over: u64) -> Step {
        Step { at: Duration::from_secs(at), rate, over: Duration::from_secs(over) }
    }

    /// How many come in each of the first seconds, one after the other.
    fn counts(profile: &Profile, seconds: usize) -> Vec<u32> {
        let mut counts = vec![0; seconds];
        let mut at = 0;
        loop {
            at = profile.after(at, 1.0);
            // What is due on the border belongs to the second that it ends.
            match counts.get_mut(((at - 1) / 1_000_000_000) as usize) {
                Some(count) => *count += 1,
                None => return counts,
            }
        }
    }

    /// One that lies on a border may fall to either side.
    #[track_caller]
    fn check(profile: &Profile, wanted: &[u32]) {
        let counts = counts(profile, wanted.len());
        assert!(counts.iter().zip(wanted).all(|(count, wanted)| count.abs_diff(*wanted) <= 1), "{counts:?}");
    }

    #[test]
    fn a_steady_rate_is_kept() {
        assert_eq!(counts(&Profile::steady("1000/s".parse().unwrap()), 3), [1000, 1000, 1000]);
        assert_eq!(Profile::steady("60/m".parse().unwrap()).after(0, 1.0), 1_000_000_000);
    }

    #[test]
    fn a_step_jumps_and_a_ramp_grows() {
        let profile = Profile::of(&[step(0, 100.0, 0), step(1, 300.0, 2), step(4, 100.0, 0)]).unwrap();
        check(&profile, &[100, 150, 250, 300, 100]);
        assert_eq!(profile.at(Duration::from_secs(2)), 200.0);
        assert_eq!(profile.most(Duration::from_secs(5)), 300.0);
        assert_eq!(profile.between(0.5, 4.5), 50.0 + 400.0 + 300.0 + 50.0);
    }

    #[test]
    fn a_ramp_that_is_cut_short_goes_on_from_where_it_was() {
        let profile = Profile::of(&[step(0, 0.0, 0), step(0, 400.0, 4), step(2, 0.0, 2)]).unwrap();
        check(&profile, &[50, 150, 150, 50, 0]);
    }

    #[test]
    fn nothing_is_due_where_the_rate_is_none_and_what_comes_after_is() {
        let profile = Profile::of(&[step(0, 0.0, 0), step(2, 10.0, 0)]).unwrap();
        check(&profile, &[0, 0, 10, 10]);
        assert_eq!(Profile::of(&[step(0, 0.0, 0)]).unwrap().after(0, 1.0), u64::MAX);
    }

    #[test]
    fn a_surge_multiplies_what_lies_between_its_ends() {
        let profile = Profile::of(&[step(0, 100.0, 0), step(2, 200.0, 0)]).unwrap();
        let surge = profile.surge(Duration::from_secs(1), Duration::from_secs(3), 3.0);
        check(&surge, &[100, 300, 600, 200]);
    }

    #[test]
    fn steps_out_of_order_or_without_a_beginning_are_refused() {
        assert_eq!(Profile::of(&[step(1, 1.0, 0)]), Err(ProfileError::NoBeginning));
        let steps = [step(0, 1.0, 0), step(3, 1.0, 0), step(2, 1.0, 0)];
        assert_eq!(Profile::of(&steps), Err(ProfileError::OutOfOrder(Duration::from_secs(2))));
    }
}
