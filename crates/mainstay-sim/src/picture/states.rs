//! What changed state: breakers as bars where they were not closed, events as marks on the axis.

use super::panels::in_margin;
use super::paper::{Anchor, At, Escaped, Paper, width};
use super::scale::{COLUMNS, LEFT, RIGHT, Time};
use super::{GAP, LOOKS};
use crate::report::{Event, Report};
use crate::shown::Shown;
use crate::words;

/// Breakers with a row of their own, for each play.
const BREAKERS_MAX: usize = 6;
/// Events that are told in words under the picture.
pub(super) const EVENTS_TOLD: usize = 6;
/// Events that are told where they stand, when a reader points at them.
const EVENTS_MARKED: usize = 400;
const ROW: f64 = 18.0;
const BAR: f64 = 12.0;

/// A breaker and the states other than closed that it had, each from where to where.
struct Breaker<'r> {
    service: &'r str,
    bars: Vec<(f64, f64, &'r str)>,
}

/// The breakers of all plays that were ever not closed.
pub(super) struct Breakers<'r> {
    rows: Vec<(usize, Breaker<'r>)>,
}

impl<'r> Breakers<'r> {
    /// Reads them off the time lines.
    pub(super) fn new(time: Time, shown: &Shown<'r>) -> Self {
        let of = |(place, side): (usize, crate::shown::Side<'r>)| {
            breakers(time, side.report).into_iter().map(move |breaker| (place, breaker))
        };
        Self { rows: shown.sides().enumerate().flat_map(of).collect() }
    }

    /// How high the rows are.
    pub(super) fn height(&self) -> f64 {
        if self.rows.is_empty() { 0.0 } else { (self.rows.len() as f64 + 1.0) * ROW + 6.0 }
    }

    /// The rows, from `top` on.
    pub(super) fn draw(&self, paper: &mut Paper, top: f64, shown: &Shown<'_>) {
        if self.rows.is_empty() {
            return;
        }
        paper.text((LEFT, top + 8.0), "ink head halo", Anchor::Start, "Breakers that were not closed");
        for (number, (place, breaker)) in self.rows.iter().enumerate() {
            let y = top + 16.0 + number as f64 * ROW;
            paper.level((LEFT, RIGHT), y + 6.0, "grid");
            paper.path(&bars(breaker, y, |state| state == "open"), "failing");
            paper.path(&bars(breaker, y, |state| state != "open"), "refusing");
            for &(from, to, state) in &breaker.bars {
                if to - from >= width(state) + 2.0 * GAP {
                    paper.text(((from + to) / 2.0, y + 10.0), "ink small halo", Anchor::Middle, state);
                }
            }
            let name = match (shown.beside, place) {
                (Some(beside), 1) => format!("{} {}", breaker.service, beside.name),
                (Some(_), _) => format!("{} {}", breaker.service, shown.play.name),
                (None, _) => breaker.service.to_owned(),
            };
            paper.text((RIGHT + GAP, y + 10.0), LOOKS[*place].text, Anchor::Start, &in_margin(&name));
        }
    }
}

/// The bars of some states as one path.
fn bars(breaker: &Breaker<'_>, y: f64, is_wanted: impl Fn(&str) -> bool) -> String {
    let wanted = breaker.bars.iter().filter(|(_, _, state)| is_wanted(state));
    wanted.map(|(from, to, _)| format!("M{},{}H{}v{BAR}H{}Z", At(*from), At(y), At(*to), At(*from))).collect()
}

fn breakers(time: Time, report: &Report) -> Vec<Breaker<'_>> {
    let mut all: Vec<Breaker<'_>> = Vec::new();
    for column in time.columns(&report.timeline, COLUMNS) {
        for said in column.seconds.iter().flat_map(|second| &second.breakers) {
            let (service, state) = said.split_once(": ").unwrap_or((said.as_str(), "open"));
            let known = all.iter().position(|breaker| breaker.service == service);
            let place = match known {
                Some(place) => place,
                None if all.len() < BREAKERS_MAX => {
                    all.push(Breaker { service, bars: Vec::new() });
                    all.len() - 1
                }
                None => continue,
            };
            extend(&mut all[place].bars, (column.from, column.to, state));
        }
    }
    all
}

/// Another bar, or more of the last one. In a column of many seconds the first state stands for all.
fn extend<'r>(bars: &mut Vec<(f64, f64, &'r str)>, (from, to, state): (f64, f64, &'r str)) {
    match bars.last_mut() {
        Some(last) if last.0 == from => {}
        Some(last) if last.2 == state && last.1 == from => last.1 = to,
        _ => bars.push((from, to, state)),
    }
}

/// Marks for the events of the first play; those in one place are one mark.
pub(super) fn marks(paper: &mut Paper, y: f64, time: Time, events: &[Event]) {
    let events = &events[..events.len().min(EVENTS_MARKED)];
    let place = |event: &Event| time.x(event.second).round();
    for together in events.chunk_by(|one, next| place(one) == place(next)) {
        let told: Vec<_> = together.iter().take(EVENTS_TOLD).map(said).collect();
        let x = place(&together[0]);
        paper.put(format_args!(
            "<g><title>{}</title><path d=\"M{},{}l-4,7h8z\" class=\"ink\"/></g>",
            Escaped(&told.join("; ")),
            At(x),
            At(y),
        ));
    }
}

/// An event in words.
pub(super) fn said(event: &Event) -> String {
    format!("{} {}", words::seconds(event.second), words::clipped(&event.what, 120))
}
