//! The time lines of figures: calls, attempts, latency, what is under way.

use super::lines;
use super::paper::{Anchor, Area, At, Paper, width};
use super::scale::{COLUMNS, LEFT, RIGHT, Scale, Time};
use super::{GAP, LOOKS, Look, MARGIN, SHEET};
use crate::report::{Report, Second};
use crate::shown::{Shown, Side};
use crate::words;

/// Between two names at the right of a panel, from line to line.
const LINE: f64 = 14.0;

/// A head, an axis of its own, the time line, and the names of its lines to the right.
pub(super) struct Panel {
    top: f64,
    height: f64,
    scale: Scale,
}

/// A name for a line, at the height at which the line ends.
struct Name {
    y: f64,
    class: &'static str,
    text: String,
}

impl Panel {
    /// Draws its head and axis; the time line follows.
    pub(super) fn open(
        paper: &mut Paper,
        top: f64,
        height: f64,
        scale: Scale,
        head: &str,
        say: fn(f64) -> String,
    ) -> Self {
        let panel = Self { top, height, scale };
        paper.text((LEFT, top - 10.0), "ink head halo", Anchor::Start, head);
        let (top, bottom) = (panel.top, panel.top + panel.height);
        let ticks = panel.scale.ticks().iter().map(|tick| panel.y(*tick));
        ticks.chain([top, bottom]).for_each(|y| paper.level((LEFT, RIGHT), y, "grid"));
        for &tick in panel.scale.ticks() {
            paper.text((LEFT - GAP, panel.y(tick) + 4.0), "soft small", Anchor::End, &say(tick));
        }
        panel
    }

    /// Where a figure stands.
    pub(super) fn y(&self, figure: f64) -> f64 {
        self.top + (1.0 - self.scale.place(figure)) * self.height
    }

    fn line(&self, paper: &mut Paper, time: Time, report: &Report, class: &str, of: impl Fn(&Second) -> Option<f64>) {
        let columns = time.columns(&report.timeline, COLUMNS);
        paper.path(&lines::line(columns, of, |figure| self.y(figure)), class);
    }

    fn area(
        &self,
        paper: &mut Paper,
        time: Time,
        report: &Report,
        class: &str,
        between: impl Fn(&Second) -> (f64, f64),
    ) {
        let columns = time.columns(&report.timeline, COLUMNS);
        paper.path(&lines::area(columns, between, |figure| self.y(figure)), class);
    }

    /// A name at the end of a line, where the line has one.
    fn name(
        &self,
        report: &Report,
        class: &'static str,
        text: String,
        of: impl Fn(&Second) -> Option<f64>,
    ) -> Option<Name> {
        let last = report.timeline.iter().rev().find_map(of)?;
        Some(Name { y: self.y(last), class, text })
    }

    /// Names beside their lines, moved apart where they would cover each other.
    fn names(&self, paper: &mut Paper, mut names: Vec<Name>) {
        names.sort_by(|one, other| one.y.total_cmp(&other.y));
        let room = names.len().saturating_sub(1) as f64 * LINE;
        let mut free = self.top;
        for (number, name) in names.iter().enumerate() {
            let below = self.top + self.height - room + number as f64 * LINE;
            let y = name.y.max(free).min(below.max(free));
            paper.text((RIGHT + GAP, y + 4.0), name.class, Anchor::Start, &name.text);
            free = y + LINE;
        }
    }

    /// What a panel says of the whole play, after its head.
    fn notes(&self, paper: &mut Paper, head: &str, notes: &[Note]) {
        let mut x = LEFT + width(head) * 1.15 + 14.0;
        for Note { swatch, class, text } in notes {
            if let Some(swatch) = swatch {
                paper.area(Area { x, y: self.top - 19.0, width: 14.0, height: 10.0 }, swatch);
                x += 18.0;
            }
            paper.text((x, self.top - 10.0), &format!("{class} halo"), Anchor::Start, text);
            x += width(text) + 14.0;
        }
    }
}

/// A few words after a panel's head.
struct Note {
    swatch: Option<&'static str>,
    class: &'static str,
    text: String,
}

impl Note {
    fn plain(text: String) -> Self {
        Self { swatch: None, class: "soft", text }
    }

    fn of(swatch: &'static str, class: &'static str, text: String) -> Self {
        Self { swatch: Some(swatch), class, text }
    }
}

/// One note for each play, in its colour where there are two.
fn note_each(shown: &Shown<'_>, say: impl Fn(&Report) -> String) -> Vec<Note> {
    match shown.beside {
        None => vec![Note::plain(say(shown.play.report))],
        Some(_) => {
            each(shown).map(|(side, look)| Note { swatch: None, class: look.text, text: say(side.report) }).collect()
        }
    }
}

/// The plays with how each is drawn.
fn each<'r>(shown: &Shown<'r>) -> impl Iterator<Item = (Side<'r>, &'static Look)> {
    shown.sides().zip(&LOOKS)
}

/// What a line is called: by its figure where there is one play, and by its play where there are two.
fn called(shown: &Shown<'_>, side: Side<'_>, figure: &str) -> String {
    match shown.beside {
        None => figure.to_owned(),
        Some(_) => in_margin(side.name),
    }
}

/// As much of a name as there is room for at the right.
pub(super) fn in_margin(name: &str) -> String {
    words::clipped(name, ((SHEET - MARGIN - RIGHT - GAP) / 6.6) as usize)
}

fn most(shown: &Shown<'_>, of: impl Fn(&Second) -> u64) -> f64 {
    shown.sides().flat_map(|side| &side.report.timeline).map(of).max().unwrap_or(0) as f64
}

fn whole(figure: f64) -> String {
    words::count(figure.max(0.0).round() as u64)
}

fn due(second: &Second) -> Option<f64> {
    Some(second.requests as f64)
}

fn good(second: &Second) -> Option<f64> {
    Some(second.good as f64)
}

/// The load and what was good of it; with one play also what became of the rest.
pub(super) fn calls(paper: &mut Paper, (top, height): (f64, f64), time: Time, shown: &Shown<'_>) {
    const HEAD: &str = "Calls a second";
    let scale = Scale::linear(most(shown, |second| second.requests), 3);
    let panel = Panel::open(paper, top, height, scale, HEAD, whole);
    let report = shown.play.report;
    panel.line(paper, time, report, "line thin due dots", due);
    let mut names: Vec<_> = panel.name(report, "soft", "due".to_owned(), due).into_iter().collect();
    if shown.beside.is_none() {
        panel.area(paper, time, report, "of-first wash", |second| (0.0, second.good as f64));
        panel.area(paper, time, report, "refusing", |second| {
            (second.good as f64, second.good.saturating_add(second.refused) as f64)
        });
        panel.area(paper, time, report, "failing", |second| {
            ((second.requests - words::failed(second)) as f64, second.requests as f64)
        });
    }
    for (side, look) in each(shown) {
        panel.line(paper, time, side.report, look.line, good);
        names.extend(panel.name(side.report, look.text, called(shown, side, "good"), good));
    }
    panel.names(paper, names);
    if shown.beside.is_none() {
        panel.notes(paper, HEAD, &fates(report));
        point_at_the_worst(paper, &panel, time, report);
    } else {
        panel.notes(paper, HEAD, &note_each(shown, |report| format!("{} good", words::share(report.good_ratio))));
    }
}

/// What became of the calls.
fn fates(report: &Report) -> Vec<Note> {
    let refused = words::total(&report.timeline, |second| second.refused);
    let failed = words::total(&report.timeline, words::failed);
    let mut notes = vec![Note::of("of-first wash", "of-first", format!("{} good", words::share(report.good_ratio)))];
    if refused > 0 {
        notes.push(Note::of("refusing", "of-refused", format!("{} refused", words::count(refused))));
    }
    if failed > 0 {
        notes.push(Note::of("failing", "of-failed", format!("{} failed", words::count(failed))));
    }
    notes
}

/// Names the second in which the fewest calls were good, where it stands.
fn point_at_the_worst(paper: &mut Paper, panel: &Panel, time: Time, report: &Report) {
    if report.timeline.is_empty() {
        return;
    }
    let second = lines::worst(&report.timeline);
    if words::not_good(second) == 0 {
        return;
    }
    let text = format!("worst second: {} of {} good", words::count(second.good), words::count(second.requests));
    let (from, to) = (time.x(second.second as f64), time.x(second.second as f64 + 1.0));
    let y = panel.y(second.good as f64);
    paper.put(format_args!("<circle cx=\"{}\" cy=\"{}\" r=\"3\" class=\"of-failed\"/>", At((from + to) / 2.0), At(y),));
    let (x, anchor) = match to + GAP + width(&text) <= RIGHT {
        true => (to + GAP, Anchor::Start),
        false => (from - GAP, Anchor::End),
    };
    let y = (y + 4.0).clamp(panel.top + 14.0, panel.top + panel.height - 6.0);
    paper.text((x, y), "ink halo", anchor, &text);
}

/// What was sent to instances, and with one play what of it was sent again.
pub(super) fn attempts(paper: &mut Paper, (top, height): (f64, f64), time: Time, shown: &Shown<'_>) {
    const HEAD: &str = "Attempts a second";
    let sent = |second: &Second| Some(second.attempts as f64);
    let scale = Scale::linear(most(shown, |second| second.attempts), 3);
    let panel = Panel::open(paper, top, height, scale, HEAD, whole);
    let mut names = Vec::new();
    if shown.beside.is_none() {
        let report = shown.play.report;
        panel.area(paper, time, report, "refusing", |second| {
            (second.attempts.saturating_sub(second.retries) as f64, second.attempts as f64)
        });
    }
    for (side, look) in each(shown) {
        panel.line(paper, time, side.report, look.line, sent);
        names.extend(panel.name(side.report, look.text, called(shown, side, "attempts"), sent));
    }
    panel.names(paper, names);
    let mut notes = note_each(shown, |report| format!("{} for each call", words::factor(report.attempts_per_request)));
    let again = words::total(&shown.play.report.timeline, |second| second.retries);
    if shown.beside.is_none() && again > 0 {
        notes.push(Note::of("refusing", "of-refused", format!("{} sent again", words::count(again))));
    }
    panel.notes(paper, HEAD, &notes);
}

/// How long good answers took. A play's scale is logarithmic: what matters is how many times slower.
pub(super) fn latency(paper: &mut Paper, (top, height): (f64, f64), time: Time, shown: &Shown<'_>) {
    const HEAD: &str = "Latency of good answers";
    let seconds = || shown.sides().flat_map(|side| &side.report.timeline);
    let least = seconds().filter_map(|second| second.p50_ms).fold(f64::INFINITY, f64::min);
    let most = seconds().filter_map(|second| second.p99_ms).fold(0.0, f64::max);
    let (least, most) = if least <= most { (least, most) } else { (1.0, 100.0) };
    let scale = Scale::logarithmic(least.clamp(0.01, 1e9), most.clamp(0.01, 1e9));
    let panel = Panel::open(paper, top, height, scale, HEAD, words::millis);
    let mut names = Vec::new();
    for (side, look) in each(shown) {
        panel.line(paper, time, side.report, look.thin, |second| second.p50_ms);
        panel.line(paper, time, side.report, look.line, |second| second.p99_ms);
        let called = |figure: &str| match shown.beside {
            None => figure.to_owned(),
            Some(_) => in_margin(&format!("{figure} {}", side.name)),
        };
        names.extend(panel.name(side.report, look.text, called("p50"), |second| second.p50_ms));
        names.extend(panel.name(side.report, look.text, called("p99"), |second| second.p99_ms));
    }
    panel.names(paper, names);
    let said = |report: &Report| {
        format!("p50 {}, p99 {}", words::maybe_millis(report.p50_ms), words::maybe_millis(report.p99_ms))
    };
    panel.notes(paper, HEAD, &note_each(shown, said));
    if shown.beside.is_none() {
        point_at_the_silence(paper, &panel, time, shown.play.report);
    }
}

/// Marks the seconds in which calls were due and none had a good answer.
fn point_at_the_silence(paper: &mut Paper, panel: &Panel, time: Time, report: &Report) {
    let silent = |second: &Second| second.requests > 0 && second.good == 0;
    let columns = time.columns(&report.timeline, COLUMNS).map(|column| {
        let silent = column.seconds.iter().all(silent);
        (column.from, column.to, silent)
    });
    let columns: Vec<_> = columns.collect();
    for stretch in columns.chunk_by(|one, next| one.2 && next.2).filter(|stretch| stretch[0].2) {
        let (from, to) = (stretch[0].0, stretch[stretch.len() - 1].1);
        paper.area(Area { x: from, y: panel.top, width: to - from, height: 5.0 }, "failing");
        if to - from >= width("no good answer") {
            let middle = ((from + to) / 2.0, panel.top + 18.0);
            paper.text(middle, "of-failed halo", Anchor::Middle, "no good answer");
        }
    }
}

/// How many calls are in the house.
pub(super) fn under_way(paper: &mut Paper, (top, height): (f64, f64), time: Time, shown: &Shown<'_>) {
    const HEAD: &str = "Calls under way";
    let inside = |second: &Second| Some(second.in_flight as f64);
    let scale = Scale::linear(most(shown, |second| second.in_flight), 3);
    let panel = Panel::open(paper, top, height, scale, HEAD, whole);
    let mut names = Vec::new();
    for (side, look) in each(shown) {
        panel.line(paper, time, side.report, look.line, inside);
        names.extend(panel.name(side.report, look.text, called(shown, side, "under way"), inside));
    }
    panel.names(paper, names);
    let peak = |report: &Report| report.timeline.iter().map(|second| second.in_flight).max().unwrap_or(0);
    panel.notes(paper, HEAD, &note_each(shown, |report| format!("{} at most", words::count(peak(report)))));
}

/// Endpoints that can be chosen, and how many instances there are where that changes.
pub(super) fn usable(paper: &mut Paper, (top, height): (f64, f64), time: Time, shown: &Shown<'_>) {
    let changes = shown.sides().flat_map(|side| &side.report.timeline).any(|second| second.running.is_some());
    let head =
        if changes { "Instances that run, endpoints that can be chosen" } else { "Endpoints that can be chosen" };
    let left = |second: &Second| Some(second.usable as f64);
    let running = |second: &Second| second.running.map(|running| running as f64);
    let scale = Scale::linear(most(shown, |second| second.usable.max(second.running.unwrap_or(0))), 2);
    let panel = Panel::open(paper, top, height, scale, head, whole);
    let mut names = Vec::new();
    for (side, look) in each(shown).filter(|_| changes) {
        panel.line(paper, time, side.report, look.thin, running);
        let text =
            if shown.beside.is_none() { "running".to_owned() } else { in_margin(&format!("running {}", side.name)) };
        names.extend(panel.name(side.report, look.text, text, running));
    }
    for (side, look) in each(shown) {
        panel.line(paper, time, side.report, look.line, left);
        names.extend(panel.name(side.report, look.text, called(shown, side, "usable"), left));
    }
    panel.names(paper, names);
    let fewest = |report: &Report| report.timeline.iter().map(|second| second.usable).min().unwrap_or(0);
    panel.notes(paper, head, &note_each(shown, |report| format!("{} at least", words::count(fewest(report)))));
}
