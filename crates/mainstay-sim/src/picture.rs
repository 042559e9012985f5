//! A play as a picture: what was asked, what became of it, how long it took and what changed, on one axis of time.
//!
//! Small multiples (E. Tufte: "Envisioning Information", 1990, chapter 4): each figure has a panel of its own with the
//! same axis, so that the cause above and the effect below stand in one column. Faults are bands through all of them,
//! and lines carry their names where they end. The picture is one file of SVG without anything from outside and without a
//! script; its bytes follow from the report alone, and its size is bounded however long the play was.

mod faults;
mod lines;
mod panels;
mod paper;
mod scale;
mod states;
mod style;
#[cfg(test)]
pub(crate) mod tests;

use faults::Faults;
pub(crate) use paper::Escaped;
use paper::{Anchor, Area, At, Paper};
use scale::{Column, Time};
use states::Breakers;

use crate::report::Second;
use crate::shown::{Shown, Side};
use crate::words;

/// How wide the sheet is.
const SHEET: f64 = 960.0;
/// What is left free around everything.
const MARGIN: f64 = 16.0;
/// Between things that belong together.
const GAP: f64 = 8.0;
/// What a panel's head takes above it.
const HEAD: f64 = 44.0;
/// Places in which a reader who points at the picture is told the figures.
const POINTS_MAX: u64 = 240;
/// Letters of a line of text over the whole sheet.
const LETTERS: usize = 128;

/// How the lines of a play are drawn.
struct Look {
    line: &'static str,
    thin: &'static str,
    text: &'static str,
}

/// The first play's and the other one's.
const LOOKS: [Look; 2] = [
    Look { line: "line first", thin: "line thin first", text: "of-first" },
    Look { line: "line other dashed", thin: "line thin other dashed", text: "of-other" },
];

type Draw = fn(&mut Paper, (f64, f64), Time, &Shown<'_>);

/// The panels from above, each with its height.
const PANELS: [(Draw, f64); 5] = [
    (panels::calls, 116.0),
    (panels::attempts, 64.0),
    (panels::latency, 104.0),
    (panels::under_way, 48.0),
    (panels::usable, 40.0),
];

/// The picture as a file of its own: with the scenario's name and what the play came to.
#[must_use]
pub fn svg(shown: &Shown<'_>) -> String {
    drawn(shown, true)
}

/// The picture within a page that has said what it is of.
pub(crate) fn figure(shown: &Shown<'_>) -> String {
    drawn(shown, false)
}

fn drawn(shown: &Shown<'_>, titled: bool) -> String {
    let time = Time::new(shown.seconds());
    let (faults, breakers) = (Faults::new(time, &shown.play.report.faults), Breakers::new(time, shown));
    let mut body = Paper::default();
    let y = if titled { title(&mut body, shown) } else { MARGIN };
    faults.draw_rows(&mut body, y);
    let top = y + faults.height() + GAP;
    let below = top + PANELS.iter().map(|(_, height)| HEAD + height).sum::<f64>();
    let bottom = below + if breakers.height() > 0.0 { breakers.height() + 2.0 * GAP } else { 0.0 };
    axis(&mut body, time, bottom);
    faults.draw_bands(&mut body, (if faults.height() > 0.0 { y } else { top }, bottom));
    let mut y = top;
    for (draw, height) in PANELS {
        grid(&mut body, time, (y + HEAD, y + HEAD + height));
        draw(&mut body, (y + HEAD, height), time, shown);
        y += HEAD + height;
    }
    breakers.draw(&mut body, below + 2.0 * GAP, shown);
    states::marks(&mut body, bottom + 2.0, time, &shown.play.report.events);
    let end = told(&mut body, bottom + 44.0, shown);
    points(&mut body, (top, bottom), time, shown);
    whole(shown, end + MARGIN, body)
}

/// The root, the style, the sheet, and what was drawn on it.
fn whole(shown: &Shown<'_>, height: f64, body: Paper) -> String {
    let mut paper = Paper::default();
    paper.put(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"play\" viewBox=\"0 0 {SHEET} {}\" role=\"img\" \
         aria-labelledby=\"play-title play-text\">",
        At(height),
    ));
    paper.put(format_args!("<title id=\"play-title\">{}</title>", Escaped(&shown.play.report.scenario)));
    paper.put(format_args!("<desc id=\"play-text\">{}</desc>", Escaped(&description(shown))));
    paper.put(format_args!("<style>\n{}</style>\n{}", style::sheet(), style::HATCHES));
    paper.area(Area { x: 0.0, y: 0.0, width: SHEET, height }, "sheet");
    paper.into_text() + &body.into_text() + "</svg>\n"
}

/// What the picture shows, for whoever does not see it.
fn description(shown: &Shown<'_>) -> String {
    let of = |side: Side<'_>| format!("{}: {}", side.name, words::verdict(side.report));
    let plays: Vec<_> = shown.sides().map(of).collect();
    let faults = match shown.play.report.faults.len() {
        0 => "No faults.".to_owned(),
        1 => "One fault.".to_owned(),
        many => format!("{many} faults."),
    };
    format!("{} {faults} Calls, attempts, latency, calls under way and usable endpoints over time.", plays.join(" "))
}

/// The scenario and what it came to; returns where the rest begins.
fn title(paper: &mut Paper, shown: &Shown<'_>) -> f64 {
    let mut y = 34.0;
    paper.text((MARGIN, y), "ink name", Anchor::Start, &words::clipped(&shown.play.report.scenario, 80));
    y += 8.0;
    for (side, look) in shown.sides().zip(&LOOKS) {
        y += 16.0;
        paper.level((MARGIN, MARGIN + 28.0), y - 4.0, look.line);
        let name = words::clipped(side.name, 60);
        let said = format!("{name}, seed {}: {}", side.report.seed, words::held(side.report));
        paper.text((MARGIN + 36.0, y), &format!("{} head", look.text), Anchor::Start, &said);
        for line in words::wrapped(&words::verdict(side.report), LETTERS).into_iter().take(3) {
            y += 16.0;
            paper.text((MARGIN + 36.0, y), "ink", Anchor::Start, &line);
        }
    }
    y + 20.0
}

/// Moments, under all panels.
fn axis(paper: &mut Paper, time: Time, bottom: f64) {
    for (second, name) in time.ticks() {
        paper.text((time.x(second as f64), bottom + 22.0), "soft small", Anchor::Middle, &name);
    }
}

/// Lines through a panel at these moments.
fn grid(paper: &mut Paper, time: Time, (top, bottom): (f64, f64)) {
    time.ticks().iter().for_each(|(second, _)| paper.upright(time.x(*second as f64), (top, bottom), "grid"));
}

/// The first events in words; returns where they end.
fn told(paper: &mut Paper, top: f64, shown: &Shown<'_>) -> f64 {
    let events = &shown.play.report.events;
    let mut y = top;
    for event in events.iter().take(states::EVENTS_TOLD) {
        let (at, what) = (words::seconds(event.second), words::clipped(&event.what, LETTERS - 10));
        paper.text((scale::LEFT + 40.0, y), "soft", Anchor::End, &at);
        paper.text((scale::LEFT + 50.0, y), "ink", Anchor::Start, &what);
        y += 16.0;
    }
    if events.len() > states::EVENTS_TOLD {
        let more = format!("and {} more", words::count((events.len() - states::EVENTS_TOLD) as u64));
        paper.text((scale::LEFT + 50.0, y), "soft", Anchor::Start, &more);
        y += 16.0;
    }
    y
}

/// Clear strips over everything that tell a second's figures to whoever points at them.
fn points(paper: &mut Paper, (top, bottom): (f64, f64), time: Time, shown: &Shown<'_>) {
    let own: Vec<_> = time.columns(&shown.play.report.timeline, POINTS_MAX).collect();
    let beside = shown.beside.map_or(&[][..], |beside| &beside.report.timeline);
    let beside: Vec<_> = time.columns(beside, POINTS_MAX).collect();
    let longer = if own.len() >= beside.len() { &own } else { &beside };
    for (place, Column { from, to, .. }) in longer.iter().enumerate() {
        let texts = shown.sides().zip([&own, &beside]).filter_map(|(side, columns)| {
            let figures = figures(lines::worst(columns.get(place)?.seconds));
            let text = if shown.beside.is_some() { format!("{}, {figures}", side.name) } else { figures };
            Some(Escaped(&text).to_string())
        });
        paper.put(format_args!(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" class=\"clear\"><title>{}</title></rect>",
            At(*from),
            At(top),
            At(to - from),
            At(bottom - top),
            texts.collect::<Vec<_>>().join("\n"),
        ));
    }
}

/// A second in words.
fn figures(second: &Second) -> String {
    let count = words::count;
    let breakers = if second.breakers.is_empty() { String::new() } else { format!("; {}", second.breakers.join(", ")) };
    let running = second.running.map_or_else(String::new, |running| format!("; {} instances run", count(running)));
    format!(
        "second {}: {} calls due, {} good, {} refused, {} failed; {} attempts, {} of them again; p50 {}, p99 {}; {} under \
         way; {} endpoints usable{running}{breakers}",
        second.second,
        count(second.requests),
        count(second.good),
        count(second.refused),
        count(words::failed(second)),
        count(second.attempts),
        count(second.retries),
        words::maybe_millis(second.p50_ms),
        words::maybe_millis(second.p99_ms),
        count(second.in_flight),
        count(second.usable),
    )
}
