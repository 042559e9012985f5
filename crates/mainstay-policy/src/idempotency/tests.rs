//! Keys as callers meet them, and the laws that hold whatever they do.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const TTL: Duration = Duration::from_secs(60);

struct Stage {
    keys: IdempotencyKeys<&'static str, u64>,
    now: Instant,
}

impl Stage {
    fn new(memory: u64) -> Self {
        Self { keys: IdempotencyKeys::new(TTL, Bytes(memory)), now: Instant::ORIGIN }
    }

    fn look_up(&mut self, key: u128, body: u128, call: u64) -> KeyLookup<&'static str> {
        let asking = KeyAsking { key: KeyId(key), fingerprint: Fingerprint(body), call: CallId(call) };
        self.keys.look_up(self.now, asking, || call)
    }

    fn settle(&mut self, key: u128, call: u64, outcome: KeyOutcome<&'static str>) -> (KeyEnd, Vec<u64>) {
        let (end, woken) = self.keys.settle(self.now, KeyId(key), CallId(call), outcome);
        (end, woken.into_iter().map(|(call, _)| call.0).collect())
    }

    /// A call of `key` that is the first and is answered with `bytes`.
    fn answered(&mut self, key: u128, call: u64, bytes: u64) -> KeyEnd {
        assert_eq!(self.look_up(key, 0, call), KeyLookup::First);
        self.settle(key, call, KeyOutcome::Answer("done", bytes)).0
    }
}

fn refused(why: KeyRefusal) -> KeyLookup<&'static str> {
    KeyLookup::Refused(why)
}

#[test]
fn a_repeat_gets_the_first_answer_and_its_age() {
    let mut stage = Stage::new(1 << 20);
    assert_eq!(stage.look_up(1, 7, 1), KeyLookup::First);
    assert_eq!(stage.settle(1, 1, KeyOutcome::Answer("created", 100)), (KeyEnd::Kept, vec![]));
    stage.now += Duration::from_secs(5);
    assert_eq!(stage.look_up(1, 7, 2), KeyLookup::Replay { answer: "created", age: Duration::from_secs(5) });
}

#[test]
fn two_at_once_are_carried_out_once() {
    let mut stage = Stage::new(1 << 20);
    assert_eq!(stage.look_up(1, 7, 1), KeyLookup::First);
    assert_eq!(stage.look_up(1, 7, 2), KeyLookup::Waits);
    assert_eq!(stage.look_up(1, 7, 3), KeyLookup::Waits);
    stage.keys.leave(KeyId(1), CallId(3));
    assert_eq!(stage.settle(1, 1, KeyOutcome::Answer("created", 100)), (KeyEnd::Kept, vec![2]));
    assert_eq!(stage.look_up(1, 7, 2), KeyLookup::Replay { answer: "created", age: Duration::ZERO });
}

#[test]
fn when_nothing_was_done_one_of_those_that_wait_is_the_first() {
    let mut stage = Stage::new(1 << 20);
    assert_eq!(stage.look_up(1, 7, 1), KeyLookup::First);
    assert_eq!(stage.look_up(1, 7, 2), KeyLookup::Waits);
    assert_eq!(stage.look_up(1, 7, 3), KeyLookup::Waits);
    assert_eq!(stage.settle(1, 1, KeyOutcome::Free), (KeyEnd::Free, vec![2, 3]));
    assert_eq!(stage.look_up(1, 7, 3), KeyLookup::First);
    assert_eq!(stage.look_up(1, 7, 2), KeyLookup::Waits);
}

#[test]
fn a_key_stands_for_one_request() {
    let mut stage = Stage::new(1 << 20);
    assert_eq!(stage.look_up(1, 7, 1), KeyLookup::First);
    assert_eq!(stage.look_up(1, 8, 2), refused(KeyRefusal::Reused), "while it is under way");
    stage.settle(1, 1, KeyOutcome::Answer("created", 100));
    assert_eq!(stage.look_up(1, 8, 2), refused(KeyRefusal::Reused), "and after it");
}

#[test]
fn what_may_have_been_applied_is_not_carried_out_again_until_its_time_is_over() {
    let mut stage = Stage::new(1 << 20);
    assert_eq!(stage.look_up(1, 7, 1), KeyLookup::First);
    stage.settle(1, 1, KeyOutcome::Unknown);
    stage.now += Duration::from_secs(59);
    assert_eq!(stage.look_up(1, 7, 2), refused(KeyRefusal::Unknown));
    stage.now += Duration::from_secs(1);
    assert_eq!(stage.look_up(1, 7, 3), KeyLookup::First);
}

#[test]
fn no_more_wait_than_may() {
    let mut stage = Stage::new(1 << 20);
    assert_eq!(stage.look_up(1, 7, 0), KeyLookup::First);
    for call in 1..=KEY_WAITERS_MAX as u64 {
        assert_eq!(stage.look_up(1, 7, call), KeyLookup::Waits);
    }
    assert_eq!(stage.look_up(1, 7, 1000), refused(KeyRefusal::InProgress));
    assert_eq!(stage.look_up(1, 7, 1), KeyLookup::Waits, "who waits already may ask again");
}

#[test]
fn for_want_of_room_answers_go_first_and_their_keys_stay() {
    let mut stage = Stage::new(8 * ENTRY_BYTES);
    for key in 0..3 {
        assert_eq!(stage.answered(key, 0, 2 * ENTRY_BYTES), KeyEnd::Kept);
    }
    // The third made the first answer go.
    assert_eq!(stage.look_up(0, 0, 9), refused(KeyRefusal::NotKept));
    assert!(matches!(stage.look_up(1, 0, 9), KeyLookup::Replay { .. }));
    assert!(matches!(stage.look_up(2, 0, 9), KeyLookup::Replay { .. }));
    assert_eq!(stage.keys.figures(), KeyFigures { keys: 3, bytes: 7 * ENTRY_BYTES, dropped: 1, forgotten: 0 });
}

#[test]
fn keys_alone_never_fill_the_memory() {
    let mut stage = Stage::new(100 * ENTRY_BYTES);
    for key in 0..1000 {
        assert_eq!(stage.answered(key, 0, 3 * ENTRY_BYTES), KeyEnd::Kept, "a new answer always finds room");
    }
    let figures = stage.keys.figures();
    assert!(figures.bytes <= 100 * ENTRY_BYTES && figures.keys > 50, "{figures:?}");
    assert_eq!(stage.look_up(0, 0, 9), KeyLookup::First, "the oldest is forgotten, and counted");
    assert!(figures.forgotten > 900);
}

#[test]
fn what_is_under_way_is_never_forgotten() {
    let mut stage = Stage::new(4 * ENTRY_BYTES);
    for key in 0..4 {
        assert_eq!(stage.look_up(key, 0, 0), KeyLookup::First);
    }
    assert_eq!(stage.look_up(4, 0, 0), refused(KeyRefusal::Full));
    assert_eq!(stage.settle(0, 0, KeyOutcome::Answer("done", 1)).0, KeyEnd::NotKept, "no room for an answer");
    assert_eq!(stage.look_up(4, 0, 0), KeyLookup::First, "but what is over makes room");
}

#[test]
fn an_answer_counts_as_kept_unless_its_instance_did_nothing() {
    let answer = |status, retry_after| Some(WholeAnswer { status, retry_after, kept: true });
    for (answer, applied, honoured, end) in [
        (answer(201, false), false, false, KeyEnd::Kept),
        (answer(404, false), false, false, KeyEnd::Kept),
        (answer(500, false), false, false, KeyEnd::Kept),
        (answer(503, false), false, false, KeyEnd::Kept),
        (answer(503, true), false, false, KeyEnd::Free),
        (answer(429, false), false, false, KeyEnd::Free),
        (answer(429, false), true, false, KeyEnd::Unknown),
        (answer(201, false), true, false, KeyEnd::Kept),
        (None, false, false, KeyEnd::Free),
        (None, true, false, KeyEnd::Unknown),
        (None, true, true, KeyEnd::Free),
        (Some(WholeAnswer { status: 201, retry_after: false, kept: false }), false, false, KeyEnd::NotKept),
    ] {
        assert_eq!(key_end(answer, applied, honoured), end, "{answer:?} {applied} {honoured}");
    }
}

/// Something that happens to one of a few keys.
#[derive(Debug, Clone)]
enum Event {
    Ask { key: u128, body: u128 },
    Leave { key: u128 },
    Settle { key: u128, outcome: u8, bytes: u64 },
    Pass { secs: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..6u128, 0..2u128).prop_map(|(key, body)| Event::Ask { key, body }),
        1 => (0..6u128).prop_map(|key| Event::Leave { key }),
        3 => (0..6u128, 0..4u8, 0..3000u64).prop_map(|(key, outcome, bytes)| Event::Settle { key, outcome, bytes }),
        1 => (0..40u64).prop_map(|secs| Event::Pass { secs }),
    ]
}

proptest! {
    /// Of one key never two are under way; whoever waits is woken when the first is over, unless it left; no answer is
    /// given to another request; and the memory holds.
    #[test]
    fn one_at_a_time_nobody_is_stranded_and_the_memory_holds(
        events in prop::collection::vec(event(), 1..200),
        memory in 1..40u64,
    ) {
        let mut stage = Stage::new(memory * ENTRY_BYTES);
        // By key: the call under way with its body, and those that wait.
        let mut running: BTreeMap<u128, (u64, u128)> = BTreeMap::new();
        let mut waiting: BTreeMap<u128, Vec<u64>> = BTreeMap::new();
        for (call, event) in events.into_iter().enumerate() {
            let call = call as u64;
            match event {
                Event::Ask { key, body } => match stage.look_up(key, body, call) {
                    KeyLookup::First => {
                        prop_assert!(running.insert(key, (call, body)).is_none(), "two are under way");
                    }
                    KeyLookup::Waits => {
                        prop_assert_eq!(running.get(&key).map(|(_, body)| *body), Some(body));
                        waiting.entry(key).or_default().push(call);
                    }
                    KeyLookup::Replay { .. } => prop_assert!(!running.contains_key(&key)),
                    KeyLookup::Refused(KeyRefusal::NotKept | KeyRefusal::Unknown) => {
                        prop_assert!(!running.contains_key(&key));
                    }
                    KeyLookup::Refused(_) => {}
                },
                Event::Leave { key } => {
                    if let Some(left) = waiting.get_mut(&key).and_then(Vec::pop) {
                        stage.keys.leave(KeyId(key), CallId(left));
                    }
                }
                Event::Settle { key, outcome, bytes } => {
                    let Some((first, _)) = running.remove(&key) else { continue };
                    let outcome = match outcome {
                        0 => KeyOutcome::Answer("done", bytes),
                        1 => KeyOutcome::NotKept,
                        2 => KeyOutcome::Unknown,
                        _ => KeyOutcome::Free,
                    };
                    let (_, woken) = stage.settle(key, first, outcome);
                    prop_assert_eq!(woken, waiting.remove(&key).unwrap_or_default());
                }
                Event::Pass { secs } => stage.now += Duration::from_secs(secs),
            }
            let figures = stage.keys.figures();
            prop_assert!(figures.bytes <= memory * ENTRY_BYTES, "{figures:?}");
            prop_assert!(figures.keys * ENTRY_BYTES <= figures.bytes);
        }
    }
}
