//! The live view: what happens, what the gateway makes of it, and how the callers fare.

use std::time::Duration;

use mainstay_drill::load::{self, Tally, locked};
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table, Wrap};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::stage::{INSTANCES, Stage};
use super::watch::{Endpoint, Seen, Watch};
use super::{Now, Shared, read};
use crate::outcome::{Outcome, while_doing};

/// How often the picture is drawn anew and keys are looked at.
const EVERY: Duration = Duration::from_millis(100);
/// Seconds of the past in the picture.
const PAST: usize = 120;

/// The terminal while the demo has it; given back when this is dropped, also by a panic.
pub(super) struct View {
    terminal: ratatui::DefaultTerminal,
    introduction: String,
    names: Vec<String>,
    tally: Shared<Tally>,
    seen: Shared<Seen>,
    now: Shared<Now>,
}

impl Drop for View {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// One second as the callers saw it.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    good: u64,
    bad: u64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Everything in one picture.
struct Picture {
    now: Now,
    seen: Seen,
    seconds: Vec<Second>,
    good: u64,
    bad: u64,
}

impl View {
    /// Takes the terminal.
    pub(super) fn open(stage: &Stage, tally: &Shared<Tally>, watch: &Watch, now: &Shared<Now>) -> Self {
        Self {
            terminal: ratatui::init(),
            introduction: stage.introduction(),
            names: stage.addresses(),
            tally: Shared::clone(tally),
            seen: Shared::clone(&watch.seen),
            now: Shared::clone(now),
        }
    }

    /// Draws until somebody leaves.
    pub(super) async fn show(&mut self) -> Outcome {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if wants_to_leave().map_err(while_doing("reading a key"))? {
                return Ok(());
            }
            let picture = self.picture();
            let (introduction, names) = (&self.introduction, &self.names);
            let drawn = self.terminal.draw(|frame| draw(frame, &picture, introduction, names));
            drawn.map_err(while_doing("drawing"))?;
        }
    }

    fn picture(&self) -> Picture {
        let tally = locked(&self.tally);
        let count = tally.count();
        let seconds = tally.seconds();
        // The last second is not over: it would look like a fall.
        let past = &seconds[seconds.len().saturating_sub(PAST + 1)..seconds.len().saturating_sub(1)];
        let second = |second: &load::Second| Second {
            good: second.count.good,
            bad: second.count.bad(),
            p50_ms: second.p50_ms(),
            p99_ms: second.p99_ms(),
        };
        let seconds = past.iter().map(second).collect();
        Picture { now: read(&self.now), seen: read(&self.seen), seconds, good: count.good, bad: count.bad() }
    }
}

/// Whether q, Esc or Ctrl-C was pressed; in this mode Ctrl-C is a key and no signal.
fn wants_to_leave() -> std::io::Result<bool> {
    while event::poll(Duration::ZERO)? {
        if let Event::Key(key) = event::read()? {
            let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if control_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// A terminal of this many rows and more shows the callers' past at length.
const TALL: u16 = 32;
/// A terminal of this many columns and more shows addresses besides process ids.
const WIDE: u16 = 100;

fn draw(frame: &mut Frame<'_>, picture: &Picture, introduction: &str, names: &[String]) {
    let tall = frame.area().height >= TALL;
    let rows = [
        Constraint::Length(4),
        Constraint::Length(5),
        Constraint::Length(INSTANCES as u16 + 3),
        Constraint::Length(if tall { 10 } else { 4 }),
        Constraint::Min(3),
    ];
    let [head, now, endpoints, callers, changes] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(Paragraph::new(format!("{introduction}\nleave    q or Ctrl-C")), head);
    draw_now(frame, now, &picture.now);
    draw_endpoints(frame, endpoints, picture, names);
    draw_callers(frame, callers, picture, tall);
    draw_changes(frame, changes, &picture.seen);
}

fn draw_now(frame: &mut Frame<'_>, area: Rect, now: &Now) {
    let title = Line::styled(now.title.as_str(), Style::new().add_modifier(Modifier::BOLD));
    let text = Text::from(vec![title, Line::raw(now.why.as_str())]);
    let (number, count) = now.place;
    let mut block = Block::bordered().title(format!(" what happens now: {number} of {count} "));
    if let Some((at, next)) = &now.next {
        let left = at.saturating_duration_since(Instant::now()).as_secs_f64().ceil();
        block = block.title(Line::raw(format!(" in {left:.0} s: {next} ")).right_aligned());
    }
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }).block(block), area);
}

fn draw_endpoints(frame: &mut Frame<'_>, area: Rect, picture: &Picture, names: &[String]) {
    let wide = area.width >= WIDE;
    let address = if wide { 16 } else { 0 };
    let widths = [8, 8, address, 8, 4, 8].map(Constraint::Length).into_iter().chain([Constraint::Min(20)]);
    let head = Row::new(["INSTANCE", "PROCESS", "ADDRESS", "STATE", "BUSY", "LATENCY", "WHY IT IS NOT READY"]);
    let seen = &picture.seen;
    let rows = seen.endpoints.iter().map(|endpoint| row(endpoint, names, &picture.now.pids));
    let title =
        format!(" {:.0} retries, {:.0} ejections so far; kill -9 a process and see ", seen.retries, seen.ejections);
    frame.render_widget(Table::new(rows, widths).header(head).block(Block::bordered().title(title)), area);
}

/// The state's word tells everything; its colour only helps the eye.
fn row<'a>(endpoint: &'a Endpoint, names: &[String], pids: &[u32]) -> Row<'a> {
    let place = names.iter().position(|name| *name == endpoint.address);
    let colour = match endpoint.state.as_str() {
        "ready" => Color::Green,
        "ejected" => Color::Red,
        _ => Color::Yellow,
    };
    Row::new([
        Cell::from(place.map_or_else(|| "?".to_owned(), |place| (place + 1).to_string())),
        Cell::from(place.and_then(|place| pids.get(place)).map_or_else(String::new, u32::to_string)),
        Cell::from(endpoint.address.as_str()),
        Cell::from(endpoint.state.as_str()).style(Style::new().fg(colour)),
        Cell::from(endpoint.in_flight.to_string()),
        Cell::from(endpoint.latency_ms.map_or("-".to_owned(), |latency| format!("{latency:.0} ms"))),
        Cell::from(endpoint.why.as_str()),
    ])
}

fn draw_callers(frame: &mut Frame<'_>, area: Rect, picture: &Picture, tall: bool) {
    let block = Block::bordered().title(format!(" callers: {} good, {} bad so far ", picture.good, picture.bad));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let last = picture.seconds.last().copied().unwrap_or_default();
    let text = format!(
        "last second: {} good, {} bad, p50 {:.0} ms, p99 {:.0} ms",
        last.good, last.bad, last.p50_ms, last.p99_ms
    );
    let of = |figure: fn(&Second) -> u64| picture.seconds.iter().map(figure).collect::<Vec<_>>();
    let (good, slow) = (of(|second| second.good), of(|second| second.p99_ms as u64));
    if tall {
        let lines = [1, 1, 3, 3].map(Constraint::Length);
        let [figures, legend, above, below] = Layout::vertical(lines).areas(inside);
        frame.render_widget(Paragraph::new(text), figures);
        frame.render_widget(Paragraph::new("good calls (above) and p99 (below), a column a second"), legend);
        bars(frame, above, &good, Color::Green);
        bars(frame, below, &slow, Color::Yellow);
    } else {
        let [figures, past] = Layout::vertical([1, 1].map(Constraint::Length)).areas(inside);
        frame.render_widget(Paragraph::new(text), figures);
        let [legend, past] = Layout::horizontal([Constraint::Length(25), Constraint::Min(1)]).areas(past);
        frame.render_widget(Paragraph::new("good calls every second: "), legend);
        bars(frame, past, &good, Color::Green);
    }
}

/// The newest that fit.
fn bars(frame: &mut Frame<'_>, area: Rect, values: &[u64], colour: Color) {
    let fit = values.len().saturating_sub(usize::from(area.width));
    frame.render_widget(Sparkline::default().data(&values[fit..]).style(Style::new().fg(colour)), area);
}

fn draw_changes(frame: &mut Frame<'_>, area: Rect, seen: &Seen) {
    let room = usize::from(area.height.saturating_sub(2));
    let lines =
        seen.changes.iter().skip(seen.changes.len().saturating_sub(room)).map(|change| Line::raw(change.as_str()));
    let block = Block::bordered().title(" what the gateway decided ");
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn drawn(width: u16, height: u16) -> String {
        let endpoint = Endpoint {
            address: "127.0.0.1:9102".to_owned(),
            state: "ejected".to_owned(),
            why: "its checks fail: refused".to_owned(),
            in_flight: 0,
            latency_ms: Some(10.0),
        };
        let mut seen = Seen { endpoints: vec![endpoint], ..Seen::default() };
        seen.changes.push_back("3.0 s  instance 2: ready → ejected".to_owned());
        let next = Some((Instant::now(), "instance 2 is back".to_owned()));
        let now = Now {
            title: "instance 2 is killed".to_owned(),
            why: "tried elsewhere".to_owned(),
            place: (2, 9),
            next,
            pids: vec![4242, 4343],
        };
        let picture = Picture { now, seen, seconds: vec![Second::default(); 300], good: 100, bad: 0 };
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let names = ["127.0.0.1:9101".to_owned(), "127.0.0.1:9102".to_owned()];
        terminal.draw(|frame| draw(frame, &picture, "curl http://127.0.0.1:8080/", &names)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn the_picture_says_what_happens_and_what_was_decided() {
        let text = drawn(110, 40);
        let parts = ["curl http://", "instance 2 is killed", "2 of 9", "instance 2 is back", "4343", "127.0.0.1:9102"];
        for part in parts.into_iter().chain(["ejected", "refused", "100 good, 0 bad", "ready → ejected"]) {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
    }

    #[test]
    fn on_a_small_terminal_the_reason_of_an_ejection_is_not_cut_off() {
        let text = drawn(80, 24);
        for part in ["2 of 9", "4343", "its checks fail: refused", "q or Ctrl-C", "ready → ejected", "100 good, 0 bad"]
        {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
    }

    #[test]
    fn a_terminal_of_any_size_will_do() {
        for (width, height) in [(1, 1), (20, 5), (80, 24), (300, 100)] {
            drawn(width, height);
        }
    }
}
