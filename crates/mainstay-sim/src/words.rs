//! How figures are said: the same words in the picture, on the page and on the terminal.

use crate::report::{Played, Report, Second, WorkloadLine};

/// A count in groups of three digits: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share in percent, rounded down: only all of them are 100 %.
pub(crate) fn share(ratio: f64) -> String {
    // What a share of counts loses as a double is far under a millionth.
    let hundredths = (ratio.clamp(0.0, 1.0) * 1e4 + 1e-6).floor() as u64;
    format!("{} %", decimal(hundredths, 2))
}

/// `number` over ten to the `digits`, without zeros at its end.
fn decimal(number: u64, digits: u32) -> String {
    let scale = 10u64.pow(digits);
    let text = format!("{}.{:0width$}", number / scale, number % scale, width = digits as usize);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A latency with the digits that matter: `8.4 ms`, `812 ms`, `1.25 s`.
pub(crate) fn millis(ms: f64) -> String {
    let tenths = (ms.clamp(0.0, 1e15) * 10.0).round() as u64;
    match tenths {
        0..100 => format!("{} ms", decimal(tenths, 1)),
        100..10_000 => format!("{} ms", (tenths + 5) / 10),
        _ => format!("{} s", decimal((tenths + 50) / 100, 2)),
    }
}

/// A latency that may never have come.
pub(crate) fn maybe_millis(ms: Option<f64>) -> String {
    ms.map_or_else(|| "none".to_owned(), millis)
}

/// A moment or a length of a play: `12.5 s`.
pub(crate) fn seconds(seconds: f64) -> String {
    format!("{} s", decimal((seconds.max(0.0) * 10.0).round() as u64, 1))
}

/// A plain figure with two digits after the point.
pub(crate) fn factor(figure: f64) -> String {
    decimal((figure.max(0.0) * 100.0).round() as u64, 2)
}

/// How long it took until all was well.
pub(crate) fn recovery(report: &Report) -> String {
    match report.recovery_seconds {
        Some(length) => seconds(length),
        None => "never".to_owned(),
    }
}

/// How it was played, in a word.
pub(crate) fn played(report: &Report) -> &'static str {
    match report.played {
        Played::Simulated => "simulated",
        Played::Real => "real",
    }
}

/// Whether the play kept to what was asked for, in two words at the most; nothing where nothing was asked for.
pub(crate) fn held(report: &Report) -> &'static str {
    match (report.holds.is_empty(), report.held) {
        (true, _) => "played",
        (false, true) => "held",
        (false, false) => "did not hold",
    }
}

/// What a play came to, in a sentence or two.
pub(crate) fn verdict(report: &Report) -> String {
    let good =
        format!("{} of {} calls were good ({})", count(report.good), count(report.requests), share(report.good_ratio));
    let broken = report.holds.iter().filter(|hold| !hold.held);
    let broken: Vec<_> =
        broken.map(|hold| format!("{}: {}, wanted {}", hold.what, hold.measured, hold.wanted)).collect();
    let why = if broken.is_empty() { String::new() } else { format!("; {}", broken.join("; ")) };
    let stuck = if report.metastable { ". The cause is gone and it holds itself down" } else { "" };
    format!("{good}{why}{stuck}.")
}

/// The figures of a play, each under its name.
pub(crate) fn figures(report: &Report) -> [(&'static str, String); 11] {
    [
        ("calls", count(report.requests)),
        ("good", share(report.good_ratio)),
        ("attempts per call", factor(report.attempts_per_request)),
        ("p50", maybe_millis(report.p50_ms)),
        ("p99", maybe_millis(report.p99_ms)),
        ("p99.9", maybe_millis(report.p999_ms)),
        ("recovered after", recovery(report)),
        ("holds itself down", if report.metastable { "yes" } else { "no" }.to_owned()),
        ("POSTs carried out twice", count(report.duplicated_posts)),
        ("work for nobody", share(report.wasted_ratio)),
        ("evenness", factor(report.fairness)),
    ]
}

/// How a workload fared: its name, calls, good ones, attempts per call, median and 99th percentile.
pub(crate) fn workload(line: &WorkloadLine) -> [String; 6] {
    [
        line.name.clone(),
        count(line.requests),
        share(line.good_ratio),
        factor(line.attempts_per_request),
        maybe_millis(line.p50_ms),
        maybe_millis(line.p99_ms),
    ]
}

/// Calls that were due in a second and were not good, and not refused by us either.
pub(crate) fn failed(second: &Second) -> u64 {
    second.requests.saturating_sub(second.good).saturating_sub(second.refused)
}

/// Calls that were due in a second and were not good.
pub(crate) fn not_good(second: &Second) -> u64 {
    second.requests.saturating_sub(second.good)
}

/// A count over all seconds.
pub(crate) fn total(timeline: &[Second], of: impl Fn(&Second) -> u64) -> u64 {
    timeline.iter().map(of).fold(0, u64::saturating_add)
}

/// A text without what moves a cursor or ends a line.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// No more than `most` letters of a text.
pub(crate) fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// A text in lines of `width` letters, broken between words.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let used = lines.last().map_or(0, |line| line.chars().count());
        match lines.last_mut() {
            Some(line) if used == 0 => line.push_str(&clipped(word, width)),
            Some(line) if used + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(clipped(word, width)),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_in_groups() {
        let said: Vec<_> = [0, 999, 1_000, 12_345, 1_234_567].into_iter().map(count).collect();
        assert_eq!(said, ["0", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn only_all_of_them_are_a_hundred_percent() {
        let said: Vec<_> = [0.0, 0.29, 0.999_999, 1.0, 0.9995, 2.0, f64::NAN].into_iter().map(share).collect();
        assert_eq!(said, ["0 %", "29 %", "99.99 %", "100 %", "99.95 %", "100 %", "0 %"]);
    }

    #[test]
    fn lengths_have_the_digits_that_matter() {
        let said: Vec<_> = [0.0, 0.04, 8.44, 9.96, 99.5, 812.4, 1_250.0, 12_480.0].into_iter().map(millis).collect();
        assert_eq!(said, ["0 ms", "0 ms", "8.4 ms", "10 ms", "100 ms", "812 ms", "1.25 s", "12.48 s"]);
        assert_eq!([seconds(12.0), seconds(0.44), factor(1.204), factor(1.0)], ["12 s", "0.4 s", "1.2", "1"]);
    }

    #[test]
    fn lines_break_between_words_and_no_word_is_too_long() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("incomprehensibilities of", 8), ["incompr…", "of"]);
        assert_eq!(wrapped("", 8), [""]);
    }
}
