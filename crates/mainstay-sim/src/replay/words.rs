//! A difference in words: what was told, what either said, and the fields in which they part.
//!
//! The values are shown as they stand in the code, field by field, for whoever looks for the reason reads it next.

use std::fmt::Debug;

use mainstay_policy::recording::{Answer, Said, Step};

/// What was told, in one line.
#[must_use]
pub fn step(step: &Step) -> String {
    match step {
        Step::Input { input, .. } => shown(input),
        Step::Time { .. } => "its time may be over".to_owned(),
        Step::GoOn { .. } => "its caller left: does it go on?".to_owned(),
        Step::Poke => "look after yourself".to_owned(),
        Step::View => "what do you look like?".to_owned(),
        Step::Share => "what have you learned?".to_owned(),
        Step::Turn => "whose wait is over?".to_owned(),
        Step::Learn(_) => "what another worker has learned".to_owned(),
        Step::Configure(_) => "other settings".to_owned(),
        other => shown(other),
    }
}

/// What was said, a line for each.
#[must_use]
pub fn said(said: &Said) -> Vec<String> {
    let decisions = said.decisions.iter().map(shown);
    let outputs = said.outputs.iter().map(|output| format!("to do: {}", shown(output)));
    let answer = (said.answer != Answer::Nothing).then(|| format!("answer: {}", shown(&said.answer)));
    let lines: Vec<_> = decisions.chain(outputs).chain(answer).collect();
    if lines.is_empty() { vec!["nothing".to_owned()] } else { lines }
}

/// The fields in which two things that were said part, as `field: theirs instead of ours`.
#[must_use]
pub fn differing(gateway: &Said, replay: &Said) -> Vec<String> {
    let (ours, theirs) = (said(gateway), said(replay));
    let mut fields = Vec::new();
    for place in 0..ours.len().max(theirs.len()) {
        let of = |lines: &[String]| lines.get(place).cloned().unwrap_or_else(|| "nothing".to_owned());
        let (ours, theirs) = (of(&ours), of(&theirs));
        if ours != theirs {
            parts_that_differ(&ours, &theirs, &mut fields);
        }
    }
    fields
}

fn parts_that_differ(ours: &str, theirs: &str, fields: &mut Vec<String>) {
    let ((name, own), (other, others)) = (parts(ours), parts(theirs));
    if name != other || own.len() != others.len() {
        return fields.push(format!("{theirs} instead of {ours}"));
    }
    let differing = own.iter().zip(&others).filter(|(own, other)| own != other);
    fields.extend(differing.map(|(own, other)| format!("{name}: {other} instead of {own}")));
}

/// A value's name and its parts.
fn parts(text: &str) -> (&str, Vec<&str>) {
    let Some(begins) = text.find(" { ").map(|at| (at, 3)).or_else(|| text.find('(').map(|at| (at, 1))) else {
        return (text, Vec::new());
    };
    let (name, rest) = (&text[..begins.0], &text[begins.0 + begins.1..]);
    let rest = rest.trim_end_matches(['}', ')', ' ']);
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, letter) in rest.char_indices() {
        match letter {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(rest[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(rest[from..].trim());
    (name, parts)
}

fn shown(value: &impl Debug) -> String {
    format!("{value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::EndpointId;
    use mainstay_policy::{AttemptReason, Decision, NoRetry, PassedOver};

    fn attempt(slot: u32) -> Decision {
        Decision::Attempt {
            attempt: 1,
            endpoint: EndpointId { slot, generation: 0 },
            why: AttemptReason::Retry,
            probe: false,
            panic: false,
            trial: false,
            crossing: None,
            passed_over: PassedOver::default(),
        }
    }

    fn of(decision: Decision) -> Said {
        Said { decisions: vec![decision], ..Said::default() }
    }

    #[test]
    fn of_two_decisions_alike_only_the_fields_that_part_are_told() {
        assert_eq!(differing(&of(attempt(0)), &of(attempt(3))), ["Attempt: endpoint: e3.0 instead of endpoint: e0.0"]);
    }

    #[test]
    fn two_decisions_that_are_not_alike_are_told_whole() {
        let none = Decision::NoRetry { why: NoRetry::AttemptsUsed };
        let told = differing(&of(Decision::BreakerProbe), &of(none));
        assert_eq!(told, ["NoRetry { why: AttemptsUsed } instead of BreakerProbe"]);
        let told = differing(&of(Decision::BreakerProbe), &Said::default());
        assert_eq!(told, ["nothing instead of BreakerProbe"]);
    }
}
