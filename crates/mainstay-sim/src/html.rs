//! A play as a page: first whether it held, then the picture, then what is behind it.
//!
//! One file, nothing from outside, no script: it can be kept with a build, sent in a letter, printed, and read in ten
//! years. Long tables are cut, and say so; the JSON report has everything.

use std::fmt::{self, Write as _};

use crate::picture::{self, Escaped};
use crate::report::Report;
use crate::shown::{Shown, Side};
use crate::words;

/// Rows of a table of the page.
const ROWS_MAX: usize = 300;
/// Letters of a text in a table.
const LETTERS_MAX: usize = 240;

/// The whole page.
#[must_use]
pub fn page(shown: &Shown<'_>) -> String {
    let mut page = Page::default();
    head(&mut page, shown);
    verdicts(&mut page, shown);
    differences(&mut page, shown);
    page.put(format_args!(
        "<section>\n<h2>What happened</h2>\n<figure>\n{}</figure>\n</section>",
        picture::figure(shown)
    ));
    figures(&mut page, shown);
    for table in [workloads, failures, instances, events, seconds] {
        page.put(format_args!("<div class=\"pair\">"));
        for side in shown.sides() {
            let of = if shown.beside.is_some() { format!(": {}", side.name) } else { String::new() };
            table(&mut page, side.report, &of);
        }
        page.put(format_args!("</div>"));
    }
    again(&mut page, shown);
    page.0 + "</main>\n</body>\n</html>\n"
}

#[derive(Debug, Default)]
struct Page(String);

impl Page {
    fn put(&mut self, text: fmt::Arguments<'_>) {
        // Writing into memory does not fail.
        let _ = writeln!(self.0, "{text}");
    }

    /// A table under a head of its own, where it has rows; columns whose name ends with `#` are numbers.
    fn table(&mut self, title: &str, columns: &[&str], rows: impl ExactSizeIterator<Item = Vec<String>>) {
        if rows.len() == 0 {
            return;
        }
        self.put(format_args!("<section>\n<h2>{}</h2>", Escaped(title)));
        self.rows(columns, rows);
        self.put(format_args!("</section>"));
    }

    fn rows(&mut self, columns: &[&str], rows: impl ExactSizeIterator<Item = Vec<String>>) {
        let all = rows.len();
        self.put(format_args!("<div class=\"wide\"><table>\n<thead><tr>"));
        for column in columns {
            let name = column.trim_end_matches('#');
            self.put(format_args!("<th scope=\"col\"{}>{}</th>", class(column), Escaped(name)));
        }
        self.put(format_args!("</tr></thead>\n<tbody>"));
        for row in rows.take(ROWS_MAX) {
            let cells = row.iter().zip(columns).map(|(cell, column)| {
                format!("<td{}>{}</td>", class(column), Escaped(&words::clipped(cell, LETTERS_MAX)))
            });
            self.put(format_args!("<tr>{}</tr>", cells.collect::<String>()));
        }
        self.put(format_args!("</tbody>\n</table></div>"));
        if all > ROWS_MAX {
            let (shown, all) = (words::count(ROWS_MAX as u64), words::count(all as u64));
            self.put(format_args!("<p class=\"soft\">The first {shown} of {all}; the JSON report has them all.</p>"));
        }
    }
}

fn class(column: &str) -> &'static str {
    if column.ends_with('#') { " class=\"number\"" } else { "" }
}

fn head(page: &mut Page, shown: &Shown<'_>) {
    let report = shown.play.report;
    let title = format!("{}: {}", report.scenario, words::held(report));
    page.put(format_args!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n<main>\n<h1>{}</h1>\n<p class=\"soft\">{}, {} calls</p>",
        Escaped(&title),
        Escaped(&report.scenario),
        words::seconds(shown.seconds() as f64),
        words::count(report.requests),
    ));
}

/// Whether it held, each hold with what was wanted and what came.
fn verdicts(page: &mut Page, shown: &Shown<'_>) {
    page.put(format_args!("<div class=\"verdicts\">"));
    for (side, place) in shown.sides().zip(["first", "other"]) {
        verdict(page, side, place);
    }
    page.put(format_args!("</div>"));
}

fn verdict(page: &mut Page, Side { name, report }: Side<'_>, place: &str) {
    let (class, sign) = match (report.holds.is_empty(), report.held) {
        (true, _) => ("played", ""),
        (false, true) => ("held", "✓ "),
        (false, false) => ("broken", "✗ "),
    };
    let played = words::played(report);
    let played = if name == played { String::new() } else { format!(", {played}") };
    page.put(format_args!(
        "<section class=\"verdict {class} {place}\">\n<p class=\"name\">{}{played}, seed {}</p>\n\
         <p class=\"word\">{sign}{}</p>\n<p>{}</p>",
        Escaped(name),
        report.seed,
        words::held(report),
        Escaped(&words::verdict(report)),
    ));
    if !report.holds.is_empty() {
        let rows = report.holds.iter().map(|hold| {
            let word = if hold.held { "✓ held" } else { "✗ did not hold" };
            vec![hold.what.clone(), hold.wanted.clone(), hold.measured.clone(), word.to_owned()]
        });
        page.rows(&["what had to hold", "wanted#", "measured#", ""], rows);
    }
    page.put(format_args!("</section>"));
}

/// Where the configurations part.
fn differences(page: &mut Page, shown: &Shown<'_>) {
    if let Some(beside) = shown.beside {
        let rows = shown.differences.iter();
        let rows = rows.map(|one| vec![one.key.clone(), one.here.clone(), one.beside.clone()]);
        page.table("Where the configurations part", &["key", shown.play.name, beside.name], rows);
    }
}

fn figures(page: &mut Page, shown: &Shown<'_>) {
    let all: Vec<_> = shown.sides().map(|side| words::figures(side.report)).collect();
    let rows = all[0].iter().enumerate().map(|(place, (name, _))| {
        let figures = all.iter().map(|figures| figures[place].1.clone());
        std::iter::once((*name).to_owned()).chain(figures).collect()
    });
    let names: Vec<_> = shown.sides().map(|side| format!("{}#", side.name)).collect();
    let columns: Vec<_> = std::iter::once("").chain(names.iter().map(String::as_str)).collect();
    page.table("Figures", &columns, rows);
}

/// How each workload fared, where there are several.
fn workloads(page: &mut Page, report: &Report, of: &str) {
    let several = if report.workloads.len() > 1 { &report.workloads[..] } else { &[] };
    let rows = several.iter().map(|line| words::workload(line).to_vec());
    let columns = ["workload", "calls#", "good#", "attempts per call#", "p50#", "p99#"];
    let even = words::factor(report.workload_fairness.unwrap_or(1.0));
    page.table(&format!("Workloads{of}: evenness {even}"), &columns, rows);
}

fn failures(page: &mut Page, report: &Report, of: &str) {
    let all = report.requests.max(1) as f64;
    let rows = report.failures.iter().map(|failure| {
        vec![failure.what.clone(), words::count(failure.count), words::share(failure.count as f64 / all)]
    });
    page.table(&format!("Calls that were not good{of}"), &["what became of them", "calls#", "of all calls#"], rows);
}

fn instances(page: &mut Page, report: &Report, of: &str) {
    let rows = report.instances.iter().map(|instance| {
        let (waited, wait) = (words::share(instance.queued_ratio), words::millis(instance.queue_ms));
        vec![instance.name.clone(), words::count(instance.attempts), words::share(instance.busy_ratio), waited, wait]
    });
    page.table(&format!("Instances{of}"), &["instance", "attempts#", "busy#", "waited#", "for#"], rows);
}

fn events(page: &mut Page, report: &Report, of: &str) {
    let rows = report.events.iter().map(|event| vec![words::seconds(event.second), event.what.clone()]);
    page.table(&format!("What changed{of}"), &["when#", "what"], rows);
}

fn seconds(page: &mut Page, report: &Report, of: &str) {
    if report.timeline.is_empty() {
        return;
    }
    const COLUMNS: [&str; 13] = [
        "second#",
        "due#",
        "good#",
        "refused#",
        "failed#",
        "attempts#",
        "again#",
        "p50#",
        "p99#",
        "under way#",
        "usable#",
        "running#",
        "breakers",
    ];
    const RUNNING: &str = "running#";
    let changes = report.timeline.iter().any(|second| second.running.is_some());
    page.put(format_args!("<details>\n<summary>Second by second{}</summary>", Escaped(of)));
    let rows = report.timeline.iter().map(|second| {
        let counts =
            [second.requests, second.good, second.refused, words::failed(second), second.attempts, second.retries];
        let counts = counts.map(words::count);
        let latency = [second.p50_ms, second.p99_ms].map(words::maybe_millis);
        let running = second.running.map_or_else(String::new, words::count);
        let state = [words::count(second.in_flight), words::count(second.usable), running, second.breakers.join(", ")];
        let cells = std::iter::once(second.second.to_string()).chain(counts).chain(latency).chain(state);
        cells.zip(COLUMNS).filter(|(_, column)| changes || *column != RUNNING).map(|(cell, _)| cell).collect()
    });
    let columns = COLUMNS.into_iter().filter(|column| changes || *column != RUNNING);
    page.rows(&columns.collect::<Vec<_>>(), rows);
    page.put(format_args!("</details>"));
}

fn again(page: &mut Page, shown: &Shown<'_>) {
    page.put(format_args!("<section>\n<h2>To play it again</h2>"));
    for side in shown.sides() {
        page.put(format_args!("<pre>{}</pre>", Escaped(&side.report.replay)));
    }
    page.put(format_args!("</section>"));
}

const STYLE: &str = "\
:root{color-scheme:light dark;--sheet:#fff;--ink:#1b1f24;--soft:#57606a;--rule:#d8dee4;--held:#1a6b37;--broken:#b3261e;\
--first:#0b5fb0;--other:#a8450a;--wash:#f5f7f9}
@media (prefers-color-scheme:dark){:root{--sheet:#0f141a;--ink:#e6edf3;--soft:#9aa5b1;--rule:#2f3843;--held:#6fd08c;\
--broken:#ff8a80;--first:#6cb2ff;--other:#ffa263;--wash:#171d25}}
body{margin:0;background:var(--sheet);color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}
main{max-width:1000px;margin:0 auto;padding:24px 20px 64px}
h1{font-size:26px;line-height:1.2;margin:0 0 4px}
h2{font-size:17px;margin:36px 0 8px}
p{margin:0 0 8px}
.soft{color:var(--soft)}
.verdicts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,380px),1fr));gap:16px;margin-top:16px}
.verdict{border:1px solid var(--rule);border-left:5px solid var(--soft);border-radius:6px;padding:14px 18px}
.verdict.held{border-left-color:var(--held)}
.verdict.broken{border-left-color:var(--broken)}
.verdict .name{color:var(--soft)}
.verdicts .verdict:nth-child(1):not(:only-child) .name{color:var(--first)}
.verdicts .verdict:nth-child(2) .name{color:var(--other)}
.verdict .word{font-size:22px;font-weight:600;line-height:1.3}
.held .word{color:var(--held)}
.broken .word{color:var(--broken)}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,380px),1fr));gap:0 32px;align-items:start}
.pair section,.pair details{min-width:0}
figure{margin:0}
figure svg{display:block;width:100%;height:auto}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:4px 20px 4px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--rule)}
th{color:var(--soft);font-weight:500}
.number{text-align:right}
pre{background:var(--wash);border-radius:6px;padding:10px 14px;overflow-x:auto;white-space:pre-wrap}
summary{cursor:pointer;font-weight:600;margin:36px 0 8px}
@media print{main{max-width:none;padding:0}details{display:none}}
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{hostile, one_hangs, without_guards};
    use crate::picture::tests::check_well_formed;
    use crate::shown::Difference;

    #[test]
    fn the_verdict_comes_first_and_each_hold_says_what_was_wanted_and_what_came() {
        let report = one_hangs();
        let page = page(&Shown::one("mainstay.toml", &report));
        check_well_formed(&page);
        let order = [
            "✗ did not hold",
            "400ms",
            "<svg",
            "<h2>Figures",
            "<h2>Calls that were not good",
            "<h2>Instances",
            "<h2>What changed",
            "mainstay simulate",
        ];
        let places: Vec<_> =
            order.iter().map(|part| page.find(part).unwrap_or_else(|| panic!("{part} is missing"))).collect();
        assert!(places.is_sorted(), "{places:?}");
    }

    #[test]
    fn two_configurations_stand_side_by_side_with_what_they_differ_in() {
        let (one, other) = (one_hangs(), without_guards());
        let differences =
            [Difference { key: "service.shop.retry.attempts".into(), here: "3".into(), beside: "1".into() }];
        let sides = [("a.toml", &one), ("b.toml", &other)].map(|(name, report)| Side { name, report });
        let page = page(&Shown::two(sides[0], sides[1], &differences));
        check_well_formed(&page);
        for part in ["service.shop.retry.attempts", "a.toml", "b.toml", "Instances: b.toml"] {
            assert!(page.contains(part), "{part} is missing");
        }
    }

    #[test]
    fn a_number_of_instances_that_changes_is_told_second_by_second_and_drawn() {
        let mut report = one_hangs();
        assert!(!page(&Shown::one("a.toml", &report)).contains("running"));
        report.timeline.iter_mut().for_each(|second| second.running = Some(7));
        let page = page(&Shown::one("a.toml", &report));
        check_well_formed(&page);
        for part in [">running</th>", ">running</text>", "7 instances run", "Instances that run"] {
            assert!(page.contains(part), "{part} is missing");
        }
    }

    #[test]
    fn nothing_is_fetched_and_nothing_runs() {
        let report = one_hangs();
        let page = page(&Shown::one("mainstay.toml", &report)).replace("http://www.w3.org/2000/svg", "");
        for part in ["http:", "https:", "<script", "<link", "<img", "@import"] {
            assert!(!page.contains(part), "{part}");
        }
    }

    #[test]
    fn texts_of_others_are_texts() {
        let report = hostile();
        let page = page(&Shown::one("<b>.toml", &report));
        check_well_formed(&page);
        assert!(!page.contains("<b>") && !page.contains("<script"));
    }
}
