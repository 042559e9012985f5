//! What became of each hedge of a call, read out of the call's record.

use mainstay_policy::{AttemptReason, Decision, Entry};

/// What became of a hedge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HedgeResult {
    /// Its answer went down.
    Won,
    /// Another attempt answered first.
    Lost,
    /// It failed, or its answer was a failure.
    Failed,
    /// It was given up for another reason: the caller left, or we lacked what it needs.
    Cancelled,
}

/// Results by index.
pub(crate) const HEDGES: [&str; 4] = ["won", "lost", "failed", "cancelled"];

/// The result of each hedge among the attempts of a call that is over.
pub fn hedge_results(entries: &[Entry]) -> impl Iterator<Item = HedgeResult> + '_ {
    entries.iter().filter_map(|entry| match entry.what {
        Decision::Attempt { attempt, why: AttemptReason::Hedge, .. } => Some(result_of(entries, attempt)),
        _ => None,
    })
}

fn result_of(entries: &[Entry], hedge: u8) -> HedgeResult {
    let result = entries.iter().rev().find_map(|entry| match entry.what {
        Decision::Head { attempt, status } if attempt == hedge => {
            Some(if status < 500 { HedgeResult::Won } else { HedgeResult::Failed })
        }
        Decision::Outpaced { attempt, .. } if attempt == hedge => Some(HedgeResult::Lost),
        Decision::Failed { attempt, .. } if attempt == hedge => Some(HedgeResult::Failed),
        _ => None,
    });
    result.unwrap_or(HedgeResult::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::{Certainty, Duration, EndpointId, Failure};
    use mainstay_policy::PassedOver;

    #[test]
    fn each_hedge_has_one_result() {
        let certainty = Certainty::Unknown;
        for (end, result) in [
            (Decision::Head { attempt: 1, status: 404 }, HedgeResult::Won),
            (Decision::Head { attempt: 1, status: 503 }, HedgeResult::Failed),
            (
                Decision::Failed { attempt: 1, failure: Failure::Reset, certainty, makes_way_for: None },
                HedgeResult::Failed,
            ),
            (Decision::Outpaced { attempt: 1, by: 0, certainty }, HedgeResult::Lost),
            (Decision::Cancelled { attempt: 1, certainty }, HedgeResult::Cancelled),
            (Decision::Unable { attempt: 1, pool: true }, HedgeResult::Cancelled),
        ] {
            let attempt = |attempt, why| {
                let endpoint = EndpointId { slot: 0, generation: 0 };
                Decision::Attempt {
                    attempt,
                    endpoint,
                    why,
                    probe: false,
                    panic: false,
                    trial: false,
                    crossing: None,
                    passed_over: PassedOver::default(),
                }
            };
            let story = [attempt(0, AttemptReason::First), attempt(1, AttemptReason::Hedge), end];
            let entries = story.map(|what| Entry { after: Duration::ZERO, what });
            assert_eq!(hedge_results(&entries).collect::<Vec<_>>(), [result], "{end:?}");
        }
    }
}
