//! Words and figures that several sentences share.

use std::fmt;

use mainstay_core::{Certainty, Duration, Failure, Origin};
use mainstay_policy::PassedOver;

/// A text of the caller's without what would move a terminal's cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// How an attempt failed, for a person.
pub(super) struct Cause(pub(super) Failure);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Failure::Refused => "the connection was refused",
            Failure::Unreachable => "the instance cannot be reached",
            Failure::ConnectTimeout => "no connection within the connect timeout",
            Failure::Reset => "the connection broke before the head of an answer",
            Failure::Timeout => "no head of an answer within the attempt's time",
            Failure::Malformed => "the answer was not HTTP",
            Failure::Status(status) => return write!(f, "status {status}"),
        })
    }
}

/// Who did something, as the subject of a sentence.
pub(super) struct Who(pub(super) Origin);

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Origin::Client => "the caller",
            Origin::Us => "Mainstay",
            Origin::Upstream => "the instance",
        })
    }
}

/// A length to about three digits.
pub(super) struct Short(pub(super) Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (micros, millis) = (self.0.as_nanos() / 1000, self.0.as_millis());
        match millis {
            0 => write!(f, "{micros} us"),
            1..1000 => write!(f, "{millis} ms"),
            _ if millis % 1000 < 100 => write!(f, "{} s", millis / 1000),
            _ => write!(f, "{}.{} s", millis / 1000, millis % 1000 / 100),
        }
    }
}

pub(super) fn left_behind(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::NotSent => "nothing was sent",
        Certainty::Unknown => "it may have been applied",
        Certainty::Applied => "the instance acted on it",
    }
}

pub(super) fn ordinal(attempt: u8) -> u32 {
    u32::from(attempt) + 1
}

/// Endpoints that could not be chosen, or not so often, as a list; empty when there are none.
pub(super) fn passed_over(counts: PassedOver) -> String {
    let PassedOver { ejected, ordered_out, limping, warming } = counts;
    let parts = [
        (ejected, "ejected"),
        (ordered_out, "taken out by an operator"),
        (limping, "limping"),
        (warming, "still warming up"),
    ];
    let told: Vec<_> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    told.join(", ")
}
