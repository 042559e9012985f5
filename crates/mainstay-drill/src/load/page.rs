//! A load's report as one page of HTML that needs nothing else: the figures, the seconds and the latencies as pictures.

use std::fmt::Write as _;

use super::{Second, Tally};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 160.0;
const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222}\
table{border-collapse:collapse}td,th{padding:.2rem 1rem .2rem 0;text-align:left}\
td:last-child{text-align:right;font-variant-numeric:tabular-nums}svg{width:100%;height:auto;background:#f6f6f4}\
.good{fill:#3a7d44}.bad{fill:#c0392b}.line{fill:none;stroke:#2c5d8f;stroke-width:1.5}.bar{fill:#2c5d8f}";

/// The page of a load whose name is `title`.
#[must_use]
pub fn page(title: &str, tally: &Tally) -> String {
    let title = escaped(title);
    let count = tally.count();
    let mut body = String::new();
    let rows = [
        ("requests", count.requests.to_string()),
        ("good", format!("{} ({:.3} %)", count.good, tally.good_ratio() * 100.0)),
        ("p50", format!("{:.1} ms", tally.quantile_ms(0.5))),
        ("p90", format!("{:.1} ms", tally.quantile_ms(0.9))),
        ("p99", format!("{:.1} ms", tally.quantile_ms(0.99))),
        ("p99.9", format!("{:.1} ms", tally.quantile_ms(0.999))),
        ("worst", format!("{:.1} ms", tally.quantile_ms(1.0))),
    ];
    table(&mut body, rows.iter().map(|(name, value)| (*name, value.clone())));
    heading(&mut body, "Requests by the second in which they were due", "good, and above it in red what was not");
    body.push_str(&counts(tally.seconds()));
    heading(&mut body, "99 of 100 were answered within", "milliseconds from the moment they were due, by second");
    body.push_str(&waits(tally.seconds()));
    heading(&mut body, "Latencies", "how many took how long, from the moment they were due; each bar is a tenth wider");
    body.push_str(&bars(&tally.latencies()));
    heading(&mut body, "Ends", "");
    table(&mut body, tally.kinds().iter().map(|(kind, requests)| (kind.as_str(), requests.to_string())));
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{body}</html>\n"
    )
}

fn heading(out: &mut String, text: &str, more: &str) {
    // Writing to a String cannot fail, here and below.
    let _ = write!(out, "<h2>{text}</h2><p>{more}</p>");
}

fn table<'a>(out: &mut String, rows: impl Iterator<Item = (&'a str, String)>) {
    out.push_str("<table>");
    for (name, value) in rows {
        let _ = write!(out, "<tr><td>{}</td><td>{}</td></tr>", escaped(name), escaped(&value));
    }
    out.push_str("</table>");
}

fn counts(seconds: &[Second]) -> String {
    let most = seconds.iter().map(|second| second.count.requests).max().unwrap_or(0).max(1) as f64;
    let width = WIDTH / seconds.len().max(1) as f64;
    picture(&format!("at most {most} in a second"), |out| {
        for (at, second) in seconds.iter().enumerate() {
            let (good, all) = (second.count.good as f64, second.count.requests as f64);
            let (x, scale) = (at as f64 * width, HEIGHT / most);
            rect(out, "good", x, HEIGHT - good * scale, width, good * scale);
            rect(out, "bad", x, HEIGHT - all * scale, width, (all - good) * scale);
        }
    })
}

fn waits(seconds: &[Second]) -> String {
    let most = seconds.iter().map(Second::p99_ms).fold(0.001, f64::max);
    let width = WIDTH / seconds.len().max(1) as f64;
    picture(&format!("at most {most:.1} ms"), |out| {
        out.push_str("<polyline class=\"line\" points=\"");
        for (at, second) in seconds.iter().enumerate() {
            let _ = write!(out, "{:.1},{:.1} ", (at as f64 + 0.5) * width, HEIGHT * (1.0 - second.p99_ms() / most));
        }
        out.push_str("\"/>");
    })
}

fn bars(latencies: &[(f64, u64)]) -> String {
    let most = latencies.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1) as f64;
    let from = latencies.first().map_or(0.1, |(upto, _)| *upto).max(0.001);
    let to = latencies.last().map_or(1.0, |(upto, _)| *upto).max(from * 1.1);
    let scale = WIDTH / (to / from * 1.1).ln();
    picture(&format!("{from:.1} ms to {to:.1} ms; at most {most} in a bar"), |out| {
        for (upto, count) in latencies {
            let right = (upto / from * 1.1).ln() * scale;
            let height = *count as f64 / most * HEIGHT;
            rect(out, "bar", right - 1.1_f64.ln() * scale, HEIGHT - height, 1.1_f64.ln() * scale, height);
        }
    })
}

fn picture(caption: &str, draw: impl FnOnce(&mut String)) -> String {
    let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{caption}\">");
    draw(&mut out);
    let _ = write!(out, "</svg><p>{caption}</p>");
    out
}

fn rect(out: &mut String, class: &str, x: f64, y: f64, width: f64, height: f64) {
    if height > 0.0 {
        let _ = write!(
            out,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.2}\" height=\"{height:.1}\"/>"
        );
    }
}

/// Text that can stand between tags.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{End, Sample};
    use std::time::Duration;

    #[test]
    fn the_page_has_its_figures_and_what_a_name_says_is_no_tag() {
        let mut tally = Tally::new();
        for (due, took, end) in [(0, 5, End::Good), (1, 50, End::Good), (1, 9, End::Status(503))] {
            let (due, took) = (Duration::from_secs(due), Duration::from_millis(took));
            tally.add(Sample { id: "a".to_owned(), method: "GET".to_owned(), due, took, end });
        }
        let page = page("<script>", &tally);
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"), "{page}");
        for part in ["66.667 %", "status 503", "class=\"bad\"", "class=\"bar\"", "polyline"] {
            assert!(page.contains(part), "{part} is missing in {page}");
        }
    }
}
