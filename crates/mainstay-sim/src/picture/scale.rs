//! From seconds and figures to places on the sheet.

use mainstay_core::math::ln;

use crate::report::Second;

/// The left end of every time line.
pub(super) const LEFT: f64 = 64.0;
/// Its right end; what follows is for the names of the lines.
pub(super) const RIGHT: f64 = 800.0;
/// Columns of a time line: seconds beyond this many share them.
pub(super) const COLUMNS: u64 = 736;

/// The axis of time, the same for every panel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time {
    seconds: u64,
}

/// Seconds that stand in one place of a time line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column<'t> {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) seconds: &'t [Second],
}

impl Time {
    /// From the beginning to the end of this many seconds.
    pub(super) fn new(seconds: u64) -> Self {
        Self { seconds: seconds.max(1) }
    }

    /// Where a moment stands; what lies outside stands at the nearer end.
    pub(super) fn x(self, second: f64) -> f64 {
        LEFT + (second / self.seconds as f64).clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    /// A time line in `most` columns or fewer, in order.
    pub(super) fn columns(self, timeline: &[Second], most: u64) -> impl Iterator<Item = Column<'_>> {
        let columns = self.seconds.min(most);
        let column = move |second: &Second| u128::from(second.second) * u128::from(columns) / u128::from(self.seconds);
        let place = move |column: u128| LEFT + column as f64 / columns as f64 * (RIGHT - LEFT);
        timeline.chunk_by(move |one, next| column(one) == column(next)).map(move |seconds| {
            let number = column(&seconds[0]).min(u128::from(columns) - 1);
            Column { from: place(number), to: place(number + 1), seconds }
        })
    }

    /// Moments to be named, and how.
    pub(super) fn ticks(self) -> Vec<(u64, String)> {
        const STEPS: [u64; 16] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600];
        let fits = |step: &u64| self.seconds / step <= 12;
        let step = STEPS.into_iter().find(fits).unwrap_or_else(|| (self.seconds / 12).next_multiple_of(43_200));
        (0..=self.seconds / step).map(|n| (n * step, moment(n * step, step))).collect()
    }
}

fn moment(second: u64, step: u64) -> String {
    match step {
        _ if second == 0 => "0".to_owned(),
        0..60 => format!("{second} s"),
        60..3_600 => format!("{} min", second / 60),
        _ => format!("{} h", second / 3_600),
    }
}

/// From a figure to the share of a panel's height.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    log: bool,
    ticks: Vec<f64>,
}

impl Scale {
    /// From nothing to `max` and a little more, in `steps` steps at most.
    pub(super) fn linear(max: f64, steps: u32) -> Self {
        let max = max.max(1.0);
        let step = rounds().find(|step| *step >= 1.0 && max / step <= f64::from(steps)).unwrap_or(max);
        let ticks: Vec<_> = (0..=(max / step).ceil() as u32).map(|n| f64::from(n) * step).collect();
        Self { low: 0.0, high: ticks[ticks.len() - 1], log: false, ticks }
    }

    /// From the round figure under `min` to the one over `max`. For what is above zero.
    pub(super) fn logarithmic(min: f64, max: f64) -> Self {
        let low = rounds().take_while(|round| *round <= min).last().unwrap_or(0.001);
        let high = rounds().find(|round| *round >= max && *round > low).unwrap_or(low * 10.0);
        let between: Vec<_> = rounds().enumerate().filter(|(_, round)| (low..=high).contains(round)).collect();
        let tens: Vec<_> = between.iter().filter(|(place, _)| place.is_multiple_of(3)).collect();
        let named = if tens.len() > 1 { tens } else { between.iter().collect() };
        Self { low, high, log: true, ticks: named.into_iter().map(|(_, round)| *round).collect() }
    }

    /// What the axis names, from below.
    pub(super) fn ticks(&self) -> &[f64] {
        &self.ticks
    }

    /// Where a figure stands, from 0 below to 1 above.
    pub(super) fn place(&self, figure: f64) -> f64 {
        let place = if self.log {
            (ln(figure.max(self.low)) - ln(self.low)) / (ln(self.high) - ln(self.low))
        } else {
            (figure - self.low) / (self.high - self.low)
        };
        place.clamp(0.0, 1.0)
    }
}

/// 0.001, 0.002, 0.005, 0.01, …: each power of ten at a place that three divides.
fn rounds() -> impl Iterator<Item = f64> {
    (0..17).flat_map(|power| [1u64, 2, 5].map(|first| (first * 10u64.pow(power)) as f64 / 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_round_figures_and_room_for_the_largest() {
        assert_eq!(Scale::linear(1_037.0, 3).ticks(), [0.0, 500.0, 1_000.0, 1_500.0]);
        assert_eq!(Scale::linear(4.0, 2).ticks(), [0.0, 2.0, 4.0]);
        assert_eq!(Scale::linear(0.0, 2).ticks(), [0.0, 1.0]);
        assert_eq!(Scale::logarithmic(8.0, 1_900.0).ticks(), [10.0, 100.0, 1_000.0]);
        assert_eq!(Scale::logarithmic(8.0, 11.0).ticks(), [5.0, 10.0, 20.0]);
        assert_eq!(Scale::logarithmic(10.0, 10.0).ticks(), [10.0, 20.0]);
    }

    #[test]
    fn seconds_share_columns_when_they_are_many() {
        let timeline: Vec<_> = (0..7_360).map(|second| Second { second, ..Second::default() }).collect();
        let time = Time::new(7_360);
        let columns: Vec<_> = time.columns(&timeline, COLUMNS).collect();
        assert_eq!(columns.len(), 736);
        assert!(
            columns.iter().all(|column| column.seconds.len() == 10 && (column.to - column.from - 1.0).abs() < 1e-9)
        );
        assert_eq!((columns[0].from, columns[735].to), (LEFT, RIGHT));
        assert_eq!(Time::new(4).columns(&timeline[..4], COLUMNS).count(), 4);
    }

    #[test]
    fn moments_are_named_a_dozen_times_at_most() {
        for seconds in [1, 7, 60, 61, 600, 3_600, 86_400, 1_000_000] {
            assert!(Time::new(seconds).ticks().len() <= 13, "{seconds}");
        }
        assert_eq!(Time::new(20).ticks()[1], (2, "2 s".to_owned()));
        assert_eq!(Time::new(600).ticks()[1], (60, "1 min".to_owned()));
    }
}
