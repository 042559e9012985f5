//! The attempts of a request, read out of its call's record.
//!
//! In: the entries of one call. Out: for each attempt where it went, from when to when it ran, how it ended in the
//! words of `mainstay_attempts_total`, and what it left behind. With that every attempt can be looked for at the
//! instance that it went to. The usual request, one attempt that was answered, needs none of it: its line says the same
//! already.

use mainstay_core::{Certainty, Duration, EndpointId, Failure};
use mainstay_policy::{Decision, End, Entry};

use crate::AttemptResult;

/// One attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// Where.
    pub endpoint: EndpointId,
    /// When its endpoint was chosen, since the call began.
    pub began: Duration,
    /// When it was over, since the call began.
    pub ended: Duration,
    /// How.
    pub result: AttemptResult,
    /// Whether the instance may have acted on it.
    pub certainty: Certainty,
}

/// The attempts of a call in their order; none when its story is told by one line without them: no attempt at all, or
/// one that was answered whole and is no failure. `whole` says that the instance had given all of the answer that was
/// passed on, even if its caller did not stay for it.
pub fn tries(entries: &[Entry], whole: bool) -> impl Iterator<Item = Tried> + '_ {
    all_tries(if is_plain(entries) { &[] } else { entries }, whole)
}

/// As [`tries`], and the one attempt of a plain story too: for the call of a fallback, which is never told by the line
/// alone.
pub fn all_tries(entries: &[Entry], whole: bool) -> impl Iterator<Item = Tried> + '_ {
    let passed_on = last_head(entries);
    entries.iter().enumerate().filter_map(move |(at, entry)| match entry.what {
        Decision::Attempt { attempt, endpoint, .. } => {
            let is_answer = passed_on.is_none_or(|of| of == attempt);
            Some(tried(&entries[at..], attempt, endpoint, is_answer.then_some(whole)))
        }
        _ => None,
    })
}

/// The attempt whose head came last: if an answer went down at all it was this one's.
fn last_head(entries: &[Entry]) -> Option<u8> {
    entries.iter().rev().find_map(|entry| match entry.what {
        Decision::Head { attempt, .. } => Some(attempt),
        _ => None,
    })
}

fn is_plain(entries: &[Entry]) -> bool {
    let answered = matches!(entries.last(), Some(Entry { what: Decision::Ended(End::Answered { status: ..500 }), .. }));
    answered && entries.iter().filter(|entry| matches!(entry.what, Decision::Attempt { .. })).count() == 1
}

/// The attempt with which `entries` begin. Only of the answer that was passed on it is known whether it was `whole`.
fn tried(entries: &[Entry], attempt: u8, endpoint: EndpointId, whole: Option<bool>) -> Tried {
    let began = entries.first().map_or(Duration::ZERO, |entry| entry.after);
    let mut tried =
        Tried { endpoint, began, ended: began, result: AttemptResult::Cancelled, certainty: Certainty::NotSent };
    for entry in entries.iter().skip(1) {
        let end = match entry.what {
            // Not passed on, as long as nothing else is said.
            Decision::Head { attempt: of, status } if of == attempt => {
                Some((AttemptResult::Failed(Failure::Status(status)), Certainty::Applied))
            }
            Decision::Failed { attempt: of, failure, certainty, .. } if of == attempt => {
                Some((AttemptResult::Failed(failure), certainty))
            }
            Decision::Cancelled { attempt: of, certainty } | Decision::Outpaced { attempt: of, certainty, .. }
                if of == attempt =>
            {
                Some((AttemptResult::Cancelled, certainty))
            }
            Decision::Unable { attempt: of, .. } if of == attempt => {
                Some((AttemptResult::Cancelled, Certainty::NotSent))
            }
            Decision::Ended(End::Interrupted { status, .. }) if whole == Some(false) => {
                Some((AttemptResult::Interrupted(status), Certainty::Applied))
            }
            Decision::Ended(End::Answered { status } | End::Interrupted { status, .. }) if whole.is_some() => {
                Some((answered(status), Certainty::Applied))
            }
            _ => None,
        };
        if let Some((result, certainty)) = end {
            tried = Tried { ended: entry.after, result, certainty, ..tried };
        }
    }
    tried
}

const fn answered(status: u16) -> AttemptResult {
    if status < 500 { AttemptResult::Success(status) } else { AttemptResult::Failed(Failure::Status(status)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_policy::{AttemptReason, FallbackKind, NoRetry, PassedOver, Refusal};

    fn endpoint(slot: u32) -> EndpointId {
        EndpointId { slot, generation: 0 }
    }

    fn attempt(attempt: u8) -> Decision {
        let endpoint = endpoint(u32::from(attempt) + 10);
        let (why, passed_over) = (AttemptReason::First, PassedOver::default());
        Decision::Attempt {
            attempt,
            endpoint,
            why,
            probe: false,
            panic: false,
            trial: false,
            crossing: None,
            passed_over,
        }
    }

    fn told(story: &[(u64, Decision)]) -> Vec<(u32, u64, u64, &'static str, Certainty)> {
        let entry = |&(millis, what)| Entry { after: Duration::from_millis(millis), what };
        let entries: Vec<Entry> = story.iter().map(entry).collect();
        tries(&entries, false)
            .map(|tried| {
                let (began, ended) = (tried.began.as_millis(), tried.ended.as_millis());
                (tried.endpoint.slot, began, ended, tried.result.as_str(), tried.certainty)
            })
            .collect()
    }

    #[test]
    fn what_went_well_at_once_is_not_told_twice() {
        let head = Decision::Head { attempt: 0, status: 200 };
        assert_eq!(told(&[(0, attempt(0)), (9, head), (10, Decision::Ended(End::Answered { status: 200 }))]), []);
        assert_eq!(told(&[(0, Decision::Ended(End::Refused(Refusal::NoEndpoint)))]), []);
    }

    #[test]
    fn a_fallback_that_answers_at_once_is_told_even_so() {
        let story = [attempt(0), Decision::Ended(End::Answered { status: 200 })];
        let entries = story.map(|what| Entry { after: Duration::ZERO, what });
        let results: Vec<_> = all_tries(&entries, true).map(|tried| tried.result).collect();
        assert_eq!(results, [AttemptResult::Success(200)]);
    }

    #[test]
    fn each_attempt_on_the_way_to_an_answer_has_its_place_its_time_and_its_end() {
        let story = [
            (0, attempt(0)),
            (
                1,
                Decision::Failed {
                    attempt: 0,
                    failure: Failure::Refused,
                    certainty: Certainty::NotSent,
                    makes_way_for: None,
                },
            ),
            (1, attempt(1)),
            (
                601,
                Decision::Failed {
                    attempt: 1,
                    failure: Failure::Timeout,
                    certainty: Certainty::Unknown,
                    makes_way_for: None,
                },
            ),
            (601, Decision::Backoff { pause: Duration::from_millis(20) }),
            (621, attempt(2)),
            (622, Decision::Head { attempt: 2, status: 503 }),
            (622, Decision::Backoff { pause: Duration::from_millis(30) }),
            (652, attempt(3)),
            (660, Decision::Head { attempt: 3, status: 200 }),
            (662, Decision::Ended(End::Answered { status: 200 })),
        ];
        assert_eq!(
            told(&story),
            [
                (10, 0, 1, "refused", Certainty::NotSent),
                (11, 1, 601, "timeout", Certainty::Unknown),
                (12, 621, 622, "503", Certainty::Applied),
                (13, 652, 662, "success", Certainty::Applied),
            ]
        );
    }

    #[test]
    fn attempts_side_by_side_each_have_their_own_end() {
        let story = [
            (0, attempt(0)),
            (20, attempt(1)),
            (25, Decision::Head { attempt: 1, status: 503 }),
            (25, attempt(2)),
            (30, Decision::Head { attempt: 2, status: 200 }),
            (30, Decision::Outpaced { attempt: 0, by: 2, certainty: Certainty::Unknown }),
            (33, Decision::Ended(End::Answered { status: 200 })),
        ];
        assert_eq!(
            told(&story),
            [
                (10, 0, 30, "cancelled", Certainty::Unknown),
                (11, 20, 25, "503", Certainty::Applied),
                (12, 25, 33, "success", Certainty::Applied),
            ]
        );
    }

    #[test]
    fn a_caller_that_leaves_early_does_not_spoil_the_instances_answer() {
        let end = Decision::Ended(End::Interrupted { status: 200, origin: mainstay_core::Origin::Client });
        let story = [attempt(0), Decision::Head { attempt: 0, status: 200 }, end];
        let entries = story.map(|what| Entry { after: Duration::ZERO, what });
        let result = |whole| tries(&entries, whole).map(|tried| tried.result).collect::<Vec<_>>();
        assert_eq!(result(true), [AttemptResult::Success(200)]);
        assert_eq!(result(false), [AttemptResult::Interrupted(200)]);
    }

    #[test]
    fn an_attempt_without_an_answer_of_its_own_says_what_became_of_it() {
        let head = Decision::Head { attempt: 0, status: 500 };
        let stories = [
            (Decision::Cancelled { attempt: 0, certainty: Certainty::Unknown }, End::CallerLeft, "cancelled"),
            (Decision::Unable { attempt: 0, pool: true }, End::Refused(Refusal::Exhausted), "cancelled"),
            (head, End::Answered { status: 500 }, "500"),
            (head, End::Fallback(FallbackKind::Respond), "500"),
            (head, End::Interrupted { status: 500, origin: mainstay_core::Origin::Upstream }, "interrupted"),
            (Decision::NoRetry { why: NoRetry::Off }, End::CallerLeft, "cancelled"),
        ];
        for (what, end, word) in stories {
            let told = told(&[(0, attempt(0)), (5, what), (7, Decision::Ended(end))]);
            assert_eq!(told.iter().map(|(.., result, _)| *result).collect::<Vec<_>>(), [word], "{what:?} {end:?}");
        }
    }
}
