//! What is drawn on: elements of SVG, with texts escaped and lengths in tenths of a unit.
//!
//! A length is printed as a whole number of tenths, so that the same play is the same bytes everywhere and nothing that
//! is not a number can stand in a picture.

use std::fmt::{self, Write as _};

/// A length as it is printed: what is no number becomes zero, and what is too large stays on a very large sheet.
pub(super) fn tenths(length: f64) -> i64 {
    (length.clamp(-1e6, 1e6) * 10.0).round() as i64
}

/// A length to be printed.
#[derive(Debug, Clone, Copy)]
pub(super) struct At(pub(super) f64);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = tenths(self.0);
        let (sign, size) = (if tenths < 0 { "-" } else { "" }, tenths.unsigned_abs());
        match size % 10 {
            0 => write!(f, "{sign}{}", size / 10),
            rest => write!(f, "{sign}{}.{rest}", size / 10),
        }
    }
}

/// A text between tags or in an attribute: it can end neither, and has only what XML 1.0 (section 2.2) allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Escaped<'t>(pub(crate) &'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}'),
            letter if letter.is_control() => f.write_char('\u{fffd}'),
            letter => f.write_char(letter),
        })
    }
}

/// Where a text stands to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A rectangle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Elements, one a line.
#[derive(Debug, Default)]
pub(super) struct Paper(String);

impl Paper {
    /// One element as it is.
    pub(super) fn put(&mut self, element: fmt::Arguments<'_>) {
        // Writing into memory does not fail.
        let _ = writeln!(self.0, "{element}");
    }

    /// A line of text.
    pub(super) fn text(&mut self, (x, y): (f64, f64), class: &str, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let text = Escaped(text);
        self.put(format_args!("<text x=\"{}\" y=\"{}\" class=\"{class}\"{anchor}>{text}</text>", At(x), At(y)));
    }

    /// A rectangle.
    pub(super) fn area(&mut self, area: Area, class: &str) {
        let Area { x, y, width, height } = area;
        self.put(format_args!(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" class=\"{class}\"/>",
            At(x),
            At(y),
            At(width.max(0.0)),
            At(height.max(0.0)),
        ));
    }

    /// A line from left to right.
    pub(super) fn level(&mut self, (from, to): (f64, f64), y: f64, class: &str) {
        self.put(format_args!("<path d=\"M{},{}H{}\" class=\"{class}\"/>", At(from), At(y), At(to)));
    }

    /// A line from top to bottom.
    pub(super) fn upright(&mut self, x: f64, (from, to): (f64, f64), class: &str) {
        self.put(format_args!("<path d=\"M{},{}V{}\" class=\"{class}\"/>", At(x), At(from), At(to)));
    }

    /// A path, where there is one.
    pub(super) fn path(&mut self, path: &str, class: &str) {
        if !path.is_empty() {
            self.put(format_args!("<path d=\"{path}\" class=\"{class}\"/>"));
        }
    }

    /// Everything that was drawn.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// About how wide a text is in the font of the picture. Where it must not be too narrow, a wide letter is counted on.
pub(super) fn width(text: &str) -> f64 {
    text.chars().map(|letter| if letter.is_ascii() { 6.6 } else { 9.0 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_a_tenth_at_most_and_is_always_a_number() {
        let lengths = [0.0, -0.04, 12.34, 12.96, -3.25, f64::NAN, f64::INFINITY];
        let printed: Vec<_> = lengths.into_iter().map(|length| At(length).to_string()).collect();
        assert_eq!(printed, ["0", "0", "12.3", "13", "-3.3", "0", "1000000"]);
    }

    #[test]
    fn no_text_can_end_its_element_or_its_attribute() {
        assert_eq!(
            Escaped("<a b=\"c\">&'\u{1}\u{ffff}ü").to_string(),
            "&lt;a b=&quot;c&quot;&gt;&amp;&#39;\u{fffd}\u{fffd}ü"
        );
    }
}
