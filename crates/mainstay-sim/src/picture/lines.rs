//! Paths through a time line: steps, because a figure of a second holds for all of it and a fault's edge falls on one.
//!
//! Where seconds share a column, a line shows the least and the most of them, and an area the one second in which the
//! most calls were not good: what was worst is always seen.

use std::fmt::Write as _;

use super::paper::{At, tenths};
use super::scale::Column;
use crate::report::Second;
use crate::words;

/// Writes a path of steps, and of each stretch at one height only its end.
#[derive(Default)]
struct Pen {
    path: String,
    /// Where it stands; what lies behind it at this height is not written yet.
    at: Option<(f64, f64)>,
}

impl Pen {
    fn move_to(&mut self, x: f64, y: f64) {
        self.lift();
        // Writing into memory does not fail.
        let _ = write!(self.path, "M{},{}", At(x), At(y));
        self.at = Some((x, y));
    }

    fn step_to(&mut self, y: f64) {
        let Some((x, _)) = self.at.filter(|(_, before)| tenths(*before) != tenths(y)) else { return };
        let _ = write!(self.path, "H{}V{}", At(x), At(y));
        self.at = Some((x, y));
    }

    fn along(&mut self, x: f64) {
        self.at = self.at.map(|(_, y)| (x, y));
    }

    /// Ends the stretch that it is at.
    fn lift(&mut self) {
        if let Some((x, _)) = self.at.take() {
            let _ = write!(self.path, "H{}", At(x));
        }
    }

    fn is_at(&self, x: f64) -> bool {
        self.at.is_some_and(|(at, _)| at == x)
    }
}

/// A line through what there is; where there is nothing it is broken.
pub(super) fn line<'t>(
    columns: impl Iterator<Item = Column<'t>>,
    of: impl Fn(&Second) -> Option<f64>,
    y: impl Fn(f64) -> f64,
) -> String {
    let mut pen = Pen::default();
    for column in columns {
        let Some((one, other)) = extremes(column.seconds, &of) else { continue };
        if pen.is_at(column.from) {
            pen.step_to(y(one));
        } else {
            pen.move_to(column.from, y(one));
        }
        pen.step_to(y(other));
        pen.along(column.to);
    }
    pen.lift();
    pen.path
}

/// The least and the most of a column, in the order in which they came.
fn extremes(seconds: &[Second], of: impl Fn(&Second) -> Option<f64>) -> Option<(f64, f64)> {
    let mut figures = seconds.iter().filter_map(of).enumerate();
    let first = figures.next()?;
    let (mut least, mut most) = (first, first);
    for (place, figure) in figures {
        least = if figure < least.1 { (place, figure) } else { least };
        most = if figure > most.1 { (place, figure) } else { most };
    }
    Some(if least.0 <= most.0 { (least.1, most.1) } else { (most.1, least.1) })
}

/// What lies between two figures of each second.
pub(super) fn area<'t>(
    columns: impl Iterator<Item = Column<'t>>,
    between: impl Fn(&Second) -> (f64, f64),
    y: impl Fn(f64) -> f64,
) -> String {
    let steps: Vec<_> = columns
        .map(|column| {
            let (below, above) = between(worst(column.seconds));
            (column.from, column.to, y(below), y(above))
        })
        .collect();
    let mut pen = Pen::default();
    for stretch in steps.chunk_by(|one, next| one.1 == next.0 && is_flat(one) == is_flat(next)) {
        if !is_flat(&stretch[0]) {
            outline(&mut pen, stretch);
        }
    }
    pen.path
}

fn is_flat((_, _, below, above): &(f64, f64, f64, f64)) -> bool {
    below == above
}

/// Along the upper edge and back along the lower one.
fn outline(pen: &mut Pen, steps: &[(f64, f64, f64, f64)]) {
    pen.move_to(steps[0].0, steps[0].3);
    for (_, to, _, above) in steps {
        pen.step_to(*above);
        pen.along(*to);
    }
    for (from, _, below, _) in steps.iter().rev() {
        pen.step_to(*below);
        pen.along(*from);
    }
    pen.lift();
    pen.path.push('Z');
}

/// The second in which the most calls were not good.
pub(super) fn worst(seconds: &[Second]) -> &Second {
    seconds.iter().fold(
        &seconds[0],
        |worst, second| {
            if words::not_good(second) > words::not_good(worst) { second } else { worst }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::scale::{COLUMNS, Time};
    use super::*;

    fn timeline(figures: &[Option<f64>]) -> Vec<Second> {
        let second = |(second, p99_ms): (usize, &Option<f64>)| Second {
            second: second as u64,
            requests: 10,
            good: 10 - second as u64 % 3,
            p99_ms: *p99_ms,
            ..Second::default()
        };
        figures.iter().enumerate().map(second).collect()
    }

    #[test]
    fn a_line_steps_and_breaks_where_there_is_nothing() {
        let seconds = timeline(&[Some(1.0), Some(3.0), None, Some(2.0)]);
        let columns = Time::new(4).columns(&seconds, COLUMNS);
        assert_eq!(line(columns, |second| second.p99_ms, |ms| ms), "M64,1H248V3H432M616,2H800");
    }

    #[test]
    fn a_column_of_many_seconds_shows_their_least_and_their_most_in_order() {
        let seconds = timeline(&[Some(2.0), Some(9.0), Some(1.0), Some(5.0)]);
        let columns = Time::new(4).columns(&seconds, 1);
        assert_eq!(line(columns, |second| second.p99_ms, |ms| ms), "M64,9H64V1H800");
    }

    #[test]
    fn an_area_is_drawn_where_it_is_not_empty() {
        let seconds = timeline(&[None; 4]);
        let columns = Time::new(4).columns(&seconds, COLUMNS);
        let path = area(columns, |second| (second.good as f64, second.requests as f64), |y| y);
        assert_eq!(path, "M248,10H616V8H432V9H248Z");
    }
}
