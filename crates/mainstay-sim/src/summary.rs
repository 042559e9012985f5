//! A play on the terminal: first whether it held, then the time line in a few rows, then what had to hold.
//!
//! Everything is told in words and blocks; a colour only helps the eye. Where the output is no terminal, blocks become
//! ASCII, so that a log of a build shows what a person saw.

use std::fmt::Write as _;

use crate::report::{FaultSpan, Report, Second};
use crate::shown::{Shown, Side};
use crate::words;

/// How wide the names before the rows are at the most.
const NAMES_MAX: usize = 24;
/// The least that can be drawn in.
const WIDTH_MIN: usize = 40;
/// Columns that one second may have where there is room.
const COLUMNS_PER_SECOND_MAX: usize = 4;
/// Rows of faults.
const FAULTS_MAX: usize = 6;
/// Workloads.
const WORKLOADS_MAX: usize = 12;
/// Lines of failures and of events.
const LINES_MAX: usize = 6;

/// How it may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Columns of a line.
    pub width: usize,
    /// Whether blocks and lines may be drawn, or letters of ASCII alone.
    pub unicode: bool,
    /// Whether colours help.
    pub colour: bool,
}

impl Terminal {
    /// For a file, a pipe, a log: 100 columns of ASCII.
    pub const PLAIN: Self = Self { width: 100, unicode: false, colour: false };
}

/// The summary, each line with its end.
#[must_use]
pub fn text(shown: &Shown<'_>, terminal: Terminal) -> String {
    let terminal = Terminal { width: terminal.width.max(WIDTH_MIN), ..terminal };
    let mut out = heading(shown.play.report, terminal) + "\n";
    for side in shown.sides() {
        verdict(&mut out, side, shown, terminal);
    }
    out.push('\n');
    timeline(&mut out, shown, terminal);
    holds(&mut out, shown, terminal);
    differences(&mut out, shown, terminal);
    workloads(&mut out, shown, terminal);
    figures(&mut out, shown, terminal);
    for side in shown.sides() {
        lists(&mut out, side, shown, terminal);
    }
    let mut replays: Vec<_> = shown.sides().map(|side| &side.report.replay).collect();
    // Prediction and fact are played again by one line.
    replays.dedup();
    for replay in replays {
        let _ = write!(out, "\nplay it again: {}\n", words::printable(replay));
    }
    plain(out, terminal)
}

/// Without what a reader of ASCII cannot read.
fn plain(out: String, terminal: Terminal) -> String {
    if terminal.unicode {
        return out;
    }
    out.replace('→', "->").replace('…', "~").replace('µ', "u").replace(|letter: char| !letter.is_ascii(), "?")
}

/// The scenario, and how and on which luck it was played.
fn heading(report: &Report, terminal: Terminal) -> String {
    let how = format!(" ({}, seed {})", words::played(report), report.seed);
    let room = terminal.width.saturating_sub(how.len());
    words::clipped(&words::printable(&report.scenario), room) + &how
}

fn verdict(out: &mut String, side: Side<'_>, shown: &Shown<'_>, terminal: Terminal) {
    let word = words::held(side.report);
    let colour = match word {
        "held" => "32",
        "did not hold" => "31",
        _ => "1",
    };
    let name = if shown.beside.is_some() { format!("{}: ", side.name) } else { String::new() };
    let sentence = format!("{}{word}: {}", words::printable(&name), words::printable(&words::verdict(side.report)));
    for (number, line) in words::wrapped(&sentence, terminal.width).into_iter().enumerate() {
        let line = match number {
            0 => line.replacen(word, &painted(word, colour, terminal), 1),
            _ => line,
        };
        out.push_str(&line);
        out.push('\n');
    }
}

fn painted(text: &str, colour: &str, terminal: Terminal) -> String {
    if terminal.colour { format!("\x1b[1;{colour}m{text}\x1b[0m") } else { text.to_owned() }
}

/// From seconds to columns.
#[derive(Debug, Clone, Copy)]
struct Columns {
    seconds: usize,
    count: usize,
}

impl Columns {
    fn new(seconds: u64, room: usize) -> Self {
        let seconds = (seconds as usize).max(1);
        let repeat = (room / seconds).min(COLUMNS_PER_SECOND_MAX);
        Self { seconds, count: if repeat > 0 { seconds * repeat } else { room } }
    }

    /// The column of a moment.
    fn of(self, second: f64) -> usize {
        let column = second.max(0.0) * self.count as f64 / self.seconds as f64;
        (column as usize).min(self.count - 1)
    }

    /// For each column, one figure of the seconds that stand in it.
    fn figures(
        self,
        timeline: &[Second],
        of: impl Fn(&Second) -> Option<f64>,
        worst: fn(f64, f64) -> f64,
    ) -> Vec<Option<f64>> {
        let mut figures: Vec<Option<f64>> = vec![None; self.count];
        for second in timeline {
            let Some(figure) = of(second) else { continue };
            let from = self.of(second.second as f64);
            let to = self.of((second.second + 1) as f64 - 1e-6);
            for column in &mut figures[from..=to] {
                *column = Some(column.map_or(figure, |known| worst(known, figure)));
            }
        }
        figures
    }
}

/// A row of the time line: its name, its figures, and the scale they are drawn on.
struct Row {
    name: &'static str,
    of: fn(&Second) -> Option<f64>,
    worst: fn(f64, f64) -> f64,
    say: fn(f64) -> String,
}

const ROWS: [Row; 5] = [
    Row {
        name: "good",
        of: |second| (second.requests > 0).then(|| second.good as f64 / second.requests as f64),
        worst: f64::min,
        say: words::share,
    },
    Row { name: "calls/s", of: |second| Some(second.requests as f64), worst: f64::max, say: whole },
    Row { name: "attempts/s", of: |second| Some(second.attempts as f64), worst: f64::max, say: whole },
    Row { name: "p99", of: |second| second.p99_ms, worst: f64::max, say: words::millis },
    Row { name: INSTANCES, of: |second| second.running.map(|running| running as f64), worst: f64::min, say: whole },
];

/// Told where their number changes.
const INSTANCES: &str = "instances";

fn whole(figure: f64) -> String {
    words::count(figure.round() as u64)
}

fn timeline(out: &mut String, shown: &Shown<'_>, terminal: Terminal) {
    if shown.seconds() == 0 {
        return;
    }
    let names = name_width(shown);
    // Behind each row stands its least and its most.
    let room = terminal.width.saturating_sub(names + 2 + 20).max(10);
    let columns = Columns::new(shown.seconds(), room);
    let _ = writeln!(out, "{:names$}  {}", "", axis(columns));
    faults(out, shown, names, columns, terminal);
    let changes = shown.sides().flat_map(|side| &side.report.timeline).any(|second| second.running.is_some());
    for row in ROWS.iter().filter(|row| changes || row.name != INSTANCES) {
        // Both plays were asked for the same.
        let sides = if row.name == "calls/s" { 1 } else { 2 };
        for side in shown.sides().take(sides) {
            let name = match shown.beside {
                Some(_) if sides > 1 => format!("{} {}", row.name, words::printable(side.name)),
                _ => row.name.to_owned(),
            };
            let name = words::clipped(&name, names);
            let figures = columns.figures(&side.report.timeline, row.of, row.worst);
            let (blocks, range) = (blocks(&figures, row, terminal), range(&side.report.timeline, row));
            let _ = writeln!(out, "{name:names$}  {blocks}  {range}");
        }
    }
}

fn name_width(shown: &Shown<'_>) -> usize {
    let longest = shown.sides().map(|side| side.name.chars().count()).max().unwrap_or(0);
    let beside = if shown.beside.is_some() { longest + 1 } else { 0 };
    ("attempts/s".len() + beside).min(NAMES_MAX)
}

/// The least and the most of a row.
fn range(timeline: &[Second], row: &Row) -> String {
    let figures = || timeline.iter().filter_map(row.of);
    let (least, most) = (figures().fold(f64::INFINITY, f64::min), figures().fold(f64::NEG_INFINITY, f64::max));
    match (least, most) {
        (least, most) if least > most => "none".to_owned(),
        (least, most) if (row.say)(least) == (row.say)(most) => (row.say)(most),
        (least, most) => format!("{} to {}", (row.say)(least), (row.say)(most)),
    }
}

/// A figure a column, from the lowest block for nothing to the highest for the most of the row.
fn blocks(figures: &[Option<f64>], row: &Row, terminal: Terminal) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const LETTERS: [char; 8] = ['_', '.', '-', '=', '+', '*', '%', '#'];
    let letters = if terminal.unicode { BLOCKS } else { LETTERS };
    let most = if row.name == "good" { 1.0 } else { figures.iter().flatten().copied().fold(0.0, f64::max) };
    let letter = |figure: &Option<f64>| match figure {
        None => ' ',
        Some(_) if most <= 0.0 => letters[0],
        // Rounded down: the highest block is all of it.
        Some(figure) => letters[((figure / most * 7.0 + 1e-9) as usize).min(7)],
    };
    figures.iter().map(letter).collect()
}

/// Moments over the rows.
fn axis(columns: Columns) -> String {
    const STEPS: [usize; 12] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600];
    let wide = |step: &usize| columns.of(*step as f64) >= 8;
    let step = STEPS.into_iter().find(wide).unwrap_or(columns.seconds);
    let mut axis = String::new();
    for second in (0..columns.seconds).step_by(step) {
        let place = columns.of(second as f64);
        let text = format!("{second}s");
        if place >= axis.len() && place + text.len() <= columns.count {
            let _ = write!(axis, "{:width$}{text}", "", width = place - axis.len());
        }
    }
    axis
}

/// A row for each fault, up to some: where it was, and what it was.
fn faults(out: &mut String, shown: &Shown<'_>, names: usize, columns: Columns, terminal: Terminal) {
    let all = &shown.play.report.faults;
    for fault in all.iter().take(FAULTS_MAX) {
        let bar = bar(fault, columns, terminal);
        let name = words::printable(&format!("{} {}", fault.kind, fault.target));
        let room = terminal.width.saturating_sub(names + 2 + bar.chars().count() + 1);
        let line = if room >= name.chars().count() {
            format!("{:names$}  {bar} {name}", "fault")
        } else {
            format!("{:names$}  {bar}", words::clipped(&name, names))
        };
        let _ = writeln!(out, "{}", line.trim_end());
    }
    if all.len() > FAULTS_MAX {
        let _ = writeln!(out, "{:names$}  and {} more faults", "", words::count((all.len() - FAULTS_MAX) as u64));
    }
}

fn bar(fault: &FaultSpan, columns: Columns, terminal: Terminal) -> String {
    let from = columns.of(fault.from_second);
    let to = columns.of((fault.to_second - 1e-6).max(fault.from_second));
    let letter = if terminal.unicode { '━' } else { '~' };
    let lead = std::iter::repeat_n(' ', from);
    lead.chain(std::iter::repeat_n(letter, to + 1 - from)).collect()
}

fn holds(out: &mut String, shown: &Shown<'_>, terminal: Terminal) {
    for side in shown.sides().filter(|side| !side.report.holds.is_empty()) {
        let head =
            if shown.beside.is_some() { format!("ASKED OF {}", side.name) } else { "WHAT HAD TO HOLD".to_owned() };
        let mut rows = vec![[head, "WANTED".to_owned(), "MEASURED".to_owned(), String::new()]];
        for hold in &side.report.holds {
            let word = if hold.held { "held" } else { "did not hold" };
            rows.push([hold.what.clone(), hold.wanted.clone(), hold.measured.clone(), word.to_owned()]);
        }
        out.push('\n');
        table(out, &rows, terminal);
    }
}

/// How each workload fared, where there are several.
fn workloads(out: &mut String, shown: &Shown<'_>, terminal: Terminal) {
    for side in shown.sides().filter(|side| side.report.workloads.len() > 1) {
        let report = side.report;
        let head = if shown.beside.is_some() { format!("WORKLOADS OF {}", side.name) } else { "WORKLOAD".to_owned() };
        let mut rows = vec![[head, "CALLS".into(), "GOOD".into(), "ATTEMPTS".into(), "P50".into(), "P99".into()]];
        rows.extend(report.workloads.iter().take(WORKLOADS_MAX).map(words::workload));
        out.push('\n');
        table(out, &rows, terminal);
        if report.workloads.len() > WORKLOADS_MAX {
            let _ = writeln!(out, "and {} more", words::count((report.workloads.len() - WORKLOADS_MAX) as u64));
        }
        let fairness = report.workload_fairness.unwrap_or(1.0);
        let line = format!("evenness {}: the worst share of good calls, of the best one", words::factor(fairness));
        let _ = writeln!(out, "{}", words::clipped(&line, terminal.width));
    }
}

fn differences(out: &mut String, shown: &Shown<'_>, terminal: Terminal) {
    if let (Some(beside), false) = (shown.beside, shown.differences.is_empty()) {
        let head = ["WHERE THEY PART".to_owned(), shown.play.name.to_owned(), beside.name.to_owned()];
        let rows = shown.differences.iter().map(|one| [one.key.clone(), one.here.clone(), one.beside.clone()]);
        out.push('\n');
        table(out, &std::iter::once(head).chain(rows).collect::<Vec<_>>(), terminal);
    }
}

fn figures(out: &mut String, shown: &Shown<'_>, terminal: Terminal) {
    let Some(beside) = shown.beside else { return };
    let both = words::figures(shown.play.report).into_iter().zip(words::figures(beside.report));
    let head = ["FIGURES".to_owned(), shown.play.name.to_owned(), beside.name.to_owned()];
    let rows = both.map(|((name, one), (_, other))| [name.to_owned(), one, other]);
    out.push('\n');
    table(out, &std::iter::once(head).chain(rows).collect::<Vec<_>>(), terminal);
}

/// What became of the calls that were not good, and what changed first.
fn lists(out: &mut String, side: Side<'_>, shown: &Shown<'_>, terminal: Terminal) {
    let of = if shown.beside.is_some() { format!(" OF {}", side.name) } else { String::new() };
    let failures = side.report.failures.iter().map(|failure| [words::count(failure.count), failure.what.clone()]);
    list(out, [format!("CALLS{of}"), "NOT GOOD BECAUSE".to_owned()], failures, terminal);
    let events = side.report.events.iter().map(|event| [words::seconds(event.second), event.what.clone()]);
    list(out, [format!("WHEN{of}"), "WHAT CHANGED".to_owned()], events, terminal);
}

fn list(out: &mut String, head: [String; 2], rows: impl ExactSizeIterator<Item = [String; 2]>, terminal: Terminal) {
    let all = rows.len();
    if all == 0 {
        return;
    }
    let mut shown = vec![head];
    shown.extend(rows.take(LINES_MAX));
    if all > LINES_MAX {
        shown.push([String::new(), format!("and {} more", words::count((all - LINES_MAX) as u64))]);
    }
    out.push('\n');
    table(out, &shown, terminal);
}

/// Columns as wide as their widest cell, lines no wider than the terminal.
fn table<const N: usize>(out: &mut String, rows: &[[String; N]], terminal: Terminal) {
    let cell = |text: &String| words::printable(&words::clipped(text, terminal.width - terminal.width / N / 2));
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(cell)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        out.push_str(words::clipped(line.trim_end(), terminal.width).as_str());
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::examples::{hostile, long, one_hangs, without_guards};
    use crate::report::WorkloadLine;

    const TERMINAL: Terminal = Terminal { width: 90, unicode: true, colour: false };

    fn check(shown: &Shown<'_>, terminal: Terminal, want: &Expect) {
        want.assert_eq(&text(shown, terminal));
    }

    #[test]
    fn a_play_is_told_from_its_verdict_down() {
        let report = one_hangs();
        check(
            &Shown::one("mainstay.toml", &report),
            TERMINAL,
            &expect![[r#"
                one instance hangs (simulated, seed 1)
                did not hold: 15,973 of 16,000 calls were good (99.83 %); good: 99.83%, wanted 99.9%.

                            0s             5s             10s            15s
                fault                   ━━━━━━━━━━━━ hang shop/0
                good        ████████████▇▇▇▇▇▇██████████████████████████████  97.6 % to 100 %
                calls/s     ████████████████████████████████████████████████  1,000
                attempts/s  ▆▆▆▆▆▆▆▆▆▆▆▆███▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆  1,002 to 1,250
                p99         ▁▁▁▁▁▁▁▁▁▁▁▁███▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  13 ms to 812 ms

                WHAT HAD TO HOLD  WANTED  MEASURED
                good              99.9%   99.83%    did not hold
                p99               400ms   45ms      held

                CALLS  NOT GOOD BECAUSE
                18     connection reset
                9      refused: queue_full

                WHEN   WHAT CHANGED
                4.3 s  shop/0 is ejected: 5 failures in a row
                8.1 s  shop/0 is back: a probe went well

                play it again: mainstay simulate -c mainstay.toml -s hang.toml --seed 1
            "#]],
        );
    }

    #[test]
    fn each_of_several_workloads_has_a_row() {
        let mut report = one_hangs();
        let line = |name: &str, good: u64| WorkloadLine {
            name: name.to_owned(),
            requests: 1_000,
            good,
            good_ratio: good as f64 / 1e3,
            attempts_per_request: 1.5,
            p50_ms: Some(8.0),
            p99_ms: None,
            p999_ms: None,
        };
        (report.workloads, report.workload_fairness) = (vec![line("people", 1_000), line("robots", 500)], Some(0.5));
        let text = text(&Shown::one("a.toml", &report), TERMINAL);
        let from = text.find("WORKLOAD").unwrap();
        expect![[r#"
            WORKLOAD  CALLS  GOOD   ATTEMPTS  P50   P99
            people    1,000  100 %  1.5       8 ms  none
            robots    1,000  50 %   1.5       8 ms  none
            evenness 0.5: the worst share of good calls, of the best one
        "#]]
        .assert_eq(&text[from..from + text[from..].find("\n\n").unwrap() + 1]);
    }

    #[test]
    fn a_number_of_instances_that_changes_has_a_row_of_its_own() {
        let mut report = one_hangs();
        assert!(!text(&Shown::one("a.toml", &report), TERMINAL).contains("\ninstances "));
        for second in &mut report.timeline {
            second.running = Some(if second.second < 8 { 4 } else { 8 });
        }
        let text = text(&Shown::one("a.toml", &report), TERMINAL);
        let row = "instances   ▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄████████████████████████  4 to 8\n";
        assert!(text.contains(row), "{text}");
    }

    #[test]
    fn a_change_of_state_can_be_read_in_ascii() {
        assert_eq!(plain("closed → open, 5 µs…".to_owned(), Terminal::PLAIN), "closed -> open, 5 us~");
    }

    #[test]
    fn without_a_terminal_it_is_ascii() {
        let report = one_hangs();
        check(
            &Shown::one("mainstay.toml", &report),
            Terminal::PLAIN,
            &expect![[r#"
                one instance hangs (simulated, seed 1)
                did not hold: 15,973 of 16,000 calls were good (99.83 %); good: 99.83%, wanted 99.9%.

                            0s      2s      4s      6s      8s      10s     12s     14s
                fault                       ~~~~~~~~~~~~~~~~ hang shop/0
                good        ################%%%%%%%%########################################  97.6 % to 100 %
                calls/s     ################################################################  1,000
                attempts/s  ****************####********************************************  1,002 to 1,250
                p99         ________________####____________________________________________  13 ms to 812 ms

                WHAT HAD TO HOLD  WANTED  MEASURED
                good              99.9%   99.83%    did not hold
                p99               400ms   45ms      held

                CALLS  NOT GOOD BECAUSE
                18     connection reset
                9      refused: queue_full

                WHEN   WHAT CHANGED
                4.3 s  shop/0 is ejected: 5 failures in a row
                8.1 s  shop/0 is back: a probe went well

                play it again: mainstay simulate -c mainstay.toml -s hang.toml --seed 1
            "#]],
        );
    }

    #[test]
    fn two_plays_stand_under_each_other() {
        let (one, other) = (one_hangs(), without_guards());
        let differences = [crate::shown::Difference {
            key: "service.shop.retry.attempts".into(),
            here: "3".into(),
            beside: "1".into(),
        }];
        let sides = [("a.toml", &one), ("b.toml", &other)].map(|(name, report)| Side { name, report });
        check(
            &Shown::two(sides[0], sides[1], &differences),
            TERMINAL,
            &expect![[r#"
                one instance hangs (simulated, seed 1)
                a.toml: did not hold: 15,973 of 16,000 calls were good (99.83 %); good: 99.83%, wanted
                99.9%.
                b.toml: did not hold: 7,973 of 16,000 calls were good (49.83 %); good: 99.83%, wanted
                99.9%. The cause is gone and it holds itself down.

                                   0s             5s             10s            15s
                fault                          ━━━━━━━━━━━━ hang shop/0
                good a.toml        ████████████▇▇▇▇▇▇██████████████████████████████  97.6 % to 100 %
                good b.toml        ████████████▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁████████████  0 % to 100 %
                calls/s            ████████████████████████████████████████████████  1,000
                attempts/s a.toml  ▆▆▆▆▆▆▆▆▆▆▆▆███▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆▆  1,002 to 1,250
                attempts/s b.toml  ████████████▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅▅████████████  600 to 1,002
                p99 a.toml         ▁▁▁▁▁▁▁▁▁▁▁▁███▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  13 ms to 812 ms
                p99 b.toml         ████████████                        ████████████  13 ms

                ASKED OF a.toml  WANTED  MEASURED
                good             99.9%   99.83%    did not hold
                p99              400ms   45ms      held

                ASKED OF b.toml  WANTED  MEASURED
                good             99.9%   99.83%    did not hold
                p99              400ms   45ms      held

                WHERE THEY PART              a.toml  b.toml
                service.shop.retry.attempts  3       1

                FIGURES                  a.toml   b.toml
                calls                    16,000   16,000
                good                     99.83 %  49.83 %
                attempts per call        1.02     1.02
                p50                      10 ms    10 ms
                p99                      45 ms    45 ms
                p99.9                    780 ms   780 ms
                recovered after          0.4 s    never
                holds itself down        no       yes
                POSTs carried out twice  0        0
                work for nobody          1.2 %    1.2 %
                evenness                 0.98     0.98

                CALLS OF a.toml  NOT GOOD BECAUSE
                18               connection reset
                9                refused: queue_full

                WHEN OF a.toml  WHAT CHANGED
                4.3 s           shop/0 is ejected: 5 failures in a row
                8.1 s           shop/0 is back: a probe went well

                CALLS OF b.toml  NOT GOOD BECAUSE
                18               connection reset
                9                refused: queue_full

                WHEN OF b.toml  WHAT CHANGED
                4.3 s           shop/0 is ejected: 5 failures in a row
                8.1 s           shop/0 is back: a probe went well

                play it again: mainstay simulate -c mainstay.toml -s hang.toml --seed 1

                play it again: mainstay simulate -c bare.toml -s hang.toml --seed 1
            "#]],
        );
    }

    #[test]
    fn no_line_but_the_replay_is_wider_than_the_terminal() {
        let (one, other) = (long(), hostile());
        for width in [0, 40, 61, 80, 200] {
            for shown in [Shown::one("a.toml", &one), Shown::one("b.toml", &other)] {
                let text = text(&shown, Terminal { width, ..TERMINAL });
                let mut lines = text.lines().filter(|line| !line.starts_with("play it again"));
                let wide = lines.find(|line| line.chars().count() > width.max(WIDTH_MIN));
                assert_eq!(wide, None, "{width}\n{text}");
            }
        }
    }

    #[test]
    fn what_others_wrote_moves_no_cursor() {
        let report = hostile();
        let text = text(&Shown::one("a.toml", &report), TERMINAL);
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_colour_marks_the_verdict_alone() {
        let report = one_hangs();
        let text = text(&Shown::one("a.toml", &report), Terminal { colour: true, ..TERMINAL });
        assert!(text.contains("\n\u{1b}[1;31mdid not hold\u{1b}[0m: "), "{text}");
        assert_eq!(text.matches('\u{1b}').count(), 2);
    }
}
