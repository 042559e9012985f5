//! Keys as callers meet them, and the laws that hold whatever they do.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const TTL: Duration = Duration::from_secs(60);
/// Whose keys they are where it does not matter.
const SOMEBODY: u64 = 1;

struct Stage {
    keys: IdempotencyKeys<&'static str, u64>,
    now: Instant,
}

impl Stage {
    fn new(memory: u64) -> Self {
        Self { keys: IdempotencyKeys::new(TTL, Bytes(memory)), now: Instant::ORIGIN }
    }

    fn look_up(&mut self, key: u128, body: u128, call: u64) -> KeyLookup<&'static str> {
        self.look_up_as(SOMEBODY, key, body, call)
    }

    fn look_up_as(&mut self, owner: u64, key: u128, body: u128, call: u64) -> KeyLookup<&'static str> {
        let (key, owner, fingerprint) = (KeyId(key), KeyOwner(owner), Fingerprint(body));
        self.keys.look_up(self.now, KeyAsking { key, owner, fingerprint, call: CallId(call) }, || call)
    }

    fn settle(&mut self, key: u128, call: u64, outcome: KeyOutcome<&'static str>) -> (KeyEnd, Vec<u64>) {
        let (end, woken) = self.keys.settle(self.now, KeyId(key), CallId(call), outcome);
        (end, woken.into_iter().map(|(call, _)| call.0).collect())
    }

    /// A call of `key` that is the first and is answered with `bytes`.
    fn answered(&mut self, key: u128, call: u64, bytes: u64) -> KeyEnd {
        self.answered_as(SOMEBODY, key, call, bytes)
    }

    fn answered_as(&mut self, owner: u64, key: u128, call: u64, bytes: u64) -> KeyEnd {
        assert_eq!(self.look_up_as(owner, key, 0, call), KeyLookup::First);
        self.settle(key, call, answer("done", bytes)).0
    }
}

fn answer(answer: &'static str, bytes: u64) -> KeyOutcome<&'static str> {
    KeyOutcome::Answered { status: 201, kept: Some((answer, bytes)) }
}

fn refused(why: KeyRefusal) -> KeyLookup<&'static str> {
    KeyLookup::Refused(why)
}

#[test]
fn a_repeat_gets_the_first_answer_and_its_age() {
    let mut stage = Stage::new(1 << 20);
    assert_eq!(stage.look_up(1, 7, 1), KeyLookup::First);
    assert_eq!(stage.settle(1, 1, answer("created", 100)), (KeyEnd::Kept, vec![]));
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
    assert_eq!(stage.settle(1, 1, answer("created", 100)), (KeyEnd::Kept, vec![2]));
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
    stage.settle(1, 1, answer("created", 100));
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
    let mut stage = Stage::new(8 * CALL_BYTES);
    for key in 0..5 {
        assert_eq!(stage.answered(key, 0, 2 * (CALL_BYTES - ENTRY_BYTES)), KeyEnd::Kept);
        stage.now += Duration::from_secs(1);
    }
    // The fifth made the first answer go.
    assert_eq!(stage.look_up(0, 0, 9), KeyLookup::NotKept { status: 201, age: Duration::from_secs(5) });
    assert!(matches!(stage.look_up(1, 0, 9), KeyLookup::Replay { .. }));
    assert!(matches!(stage.look_up(4, 0, 9), KeyLookup::Replay { .. }));
    let figures = stage.keys.figures();
    assert_eq!((figures.keys, figures.dropped, figures.forgotten), (5, 1, 0));
}

#[test]
fn keys_alone_never_fill_the_memory() {
    let mut stage = Stage::new(100 * ENTRY_BYTES);
    for key in 0..1000 {
        assert_eq!(stage.answered(key, 0, 3 * ENTRY_BYTES), KeyEnd::Kept, "a new answer always finds room");
        stage.now += Duration::from_millis(1);
    }
    let figures = stage.keys.figures();
    assert!(figures.bytes <= 100 * ENTRY_BYTES && figures.keys > 50, "{figures:?}");
    assert_eq!(stage.look_up(0, 0, 9), KeyLookup::First, "the oldest is forgotten, and counted");
    assert!(figures.forgotten > 900);
}

#[test]
fn what_is_under_way_is_never_forgotten_and_leaves_others_room() {
    let mut stage = Stage::new(16 * CALL_BYTES);
    for key in 0..4 {
        assert_eq!(stage.look_up(key, 0, 0), KeyLookup::First);
    }
    assert_eq!(stage.look_up(4, 0, 0), refused(KeyRefusal::Full), "a quarter is what one caller may have under way");
    assert_eq!(stage.look_up_as(2, 5, 0, 0), KeyLookup::First, "another finds room");
    for key in 0..2 {
        assert_eq!(stage.settle(key, 0, answer("done", 1)).0, KeyEnd::Kept);
    }
    assert_eq!(stage.look_up(4, 0, 0), KeyLookup::First, "and what is over makes room");
}

#[test]
fn whoever_fills_the_memory_with_keys_loses_its_own() {
    let mut stage = Stage::new(200 * ENTRY_BYTES);
    let (quiet, flood) = (1, 2);
    for key in 0..10 {
        assert_eq!(stage.answered_as(quiet, key, 0, 3 * ENTRY_BYTES), KeyEnd::Kept);
    }
    for key in 1000..11_000 {
        assert_eq!(stage.answered_as(flood, key, 0, 3 * ENTRY_BYTES), KeyEnd::Kept);
        stage.now += Duration::from_millis(1);
    }
    for key in 0..10 {
        assert!(matches!(stage.look_up_as(quiet, key, 0, 9), KeyLookup::Replay { .. }), "key {key} of the quiet one");
    }
    assert_eq!(stage.look_up_as(flood, 1000, 0, 9), KeyLookup::First, "the flood forgot its own");
}

#[test]
fn whoever_holds_the_memory_with_calls_under_way_shuts_nobody_out() {
    let mut stage = Stage::new(400 * CALL_BYTES);
    let flood = KeyOwner(2);
    let mut borrowed = 0;
    while stage.keys.lend(stage.now, flood, 16 * 1024) {
        borrowed += 16 * 1024;
    }
    assert!(borrowed <= 100 * CALL_BYTES, "a quarter of the memory: {borrowed}");
    for key in 0..50 {
        assert_eq!(stage.look_up_as(1, key, 0, 0), KeyLookup::First);
    }
    stage.keys.give_back(flood, borrowed);
    assert_eq!(stage.keys.figures().lent, 50 * CALL_BYTES);
}

#[test]
fn the_more_callers_there_are_the_less_each_keeps_and_none_is_left_without() {
    let mut stage = Stage::new(1000 * ENTRY_BYTES);
    for round in 0..20 {
        for owner in 0..100 {
            assert_eq!(stage.answered_as(owner, u128::from(round * 100 + owner), 0, ENTRY_BYTES), KeyEnd::Kept);
        }
        stage.now += Duration::from_secs(1);
    }
    for owner in 0..100 {
        let last = u128::from(1900 + owner);
        assert!(matches!(stage.look_up_as(owner, last, 0, 9), KeyLookup::Replay { .. }), "the last key of {owner}");
    }
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
        (Some(WholeAnswer { status: 201, retry_after: false, kept: false }), false, true, KeyEnd::Free),
    ] {
        assert_eq!(key_end(answer, applied, honoured), end, "{answer:?} {applied} {honoured}");
    }
}

/// Something that happens to one of a few keys. Each key has one owner.
#[derive(Debug, Clone)]
enum Event {
    Ask { key: u128, body: u128 },
    Leave { key: u128 },
    Settle { key: u128, outcome: u8, bytes: u64 },
    Lend { owner: u64, bytes: u64 },
    GiveBack { owner: u64 },
    Pass { secs: u64 },
}

const KEYS: u128 = 24;
const OWNERS: u64 = 4;

fn owner_of(key: u128) -> u64 {
    // Of 24 keys the first owner has one, and the last ten.
    match key {
        0 => 0,
        1..6 => 1,
        6..14 => 2,
        _ => 3,
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..KEYS, 0..2u128).prop_map(|(key, body)| Event::Ask { key, body }),
        1 => (0..KEYS).prop_map(|key| Event::Leave { key }),
        5 => (0..KEYS, 0..4u8, 0..6000u64).prop_map(|(key, outcome, bytes)| Event::Settle { key, outcome, bytes }),
        1 => (0..OWNERS, 0..6000u64).prop_map(|(owner, bytes)| Event::Lend { owner, bytes }),
        1 => (0..OWNERS).prop_map(|owner| Event::GiveBack { owner }),
        1 => (0..20u64).prop_map(|secs| Event::Pass { secs }),
    ]
}

/// What is remembered of calls that are over: whose, since when, and whether with an answer.
fn kept(stage: &Stage) -> BTreeMap<u128, (KeyOwner, Instant, bool)> {
    let over = stage.keys.entries.iter().filter_map(|(key, entry)| match entry.state {
        State::Over { at, .. } => Some((key.0, (entry.owner, at, entry.answer_bytes().is_some()))),
        State::Running { .. } => None,
    });
    over.collect()
}

proptest! {
    /// Of one key never two are under way; whoever waits is woken when the first is over, unless it left; no answer is
    /// given to another request; and the memory holds.
    #[test]
    fn one_at_a_time_nobody_is_stranded_and_the_memory_holds(
        events in prop::collection::vec(event(), 1..200),
        memory in 1..40u64,
    ) {
        let mut stage = Stage::new(memory * CALL_BYTES);
        // By key: the call under way with its body, and those that wait.
        let mut running: BTreeMap<u128, (u64, u128)> = BTreeMap::new();
        let mut waiting: BTreeMap<u128, Vec<u64>> = BTreeMap::new();
        let mut borrowed: BTreeMap<u64, u64> = BTreeMap::new();
        for (call, event) in events.into_iter().enumerate() {
            let call = call as u64;
            match event {
                Event::Ask { key, body } => match stage.look_up_as(owner_of(key), key, body, call) {
                    KeyLookup::First => {
                        prop_assert!(running.insert(key, (call, body)).is_none(), "two are under way");
                    }
                    KeyLookup::Waits => {
                        prop_assert_eq!(running.get(&key).map(|(_, body)| *body), Some(body));
                        waiting.entry(key).or_default().push(call);
                    }
                    KeyLookup::Replay { .. } | KeyLookup::NotKept { .. } | KeyLookup::Refused(KeyRefusal::Unknown) => {
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
                        0 => answer("done", bytes),
                        1 => KeyOutcome::Answered { status: 201, kept: None },
                        2 => KeyOutcome::Unknown,
                        _ => KeyOutcome::Free,
                    };
                    let (_, woken) = stage.settle(key, first, outcome);
                    prop_assert_eq!(woken, waiting.remove(&key).unwrap_or_default());
                }
                Event::Lend { owner, bytes } => {
                    if stage.keys.lend(stage.now, KeyOwner(owner), bytes) {
                        *borrowed.entry(owner).or_default() += bytes;
                    }
                }
                Event::GiveBack { owner } => {
                    stage.keys.give_back(KeyOwner(owner), borrowed.remove(&owner).unwrap_or(0));
                }
                Event::Pass { secs } => stage.now += Duration::from_secs(secs),
            }
            let figures = stage.keys.figures();
            prop_assert!(figures.bytes <= memory * CALL_BYTES, "{figures:?}");
            prop_assert!(figures.lent <= memory * CALL_BYTES / 2, "{figures:?}");
            prop_assert!(figures.keys * ENTRY_BYTES <= figures.bytes);
            let lent = running.len() as u64 * CALL_BYTES + borrowed.values().sum::<u64>();
            prop_assert_eq!(figures.lent, lent, "what was lent came back");
        }
    }

    /// Whoever keeps no more than half of the memory, divided by those who keep anything, loses neither a key nor an
    /// answer before its time, whatever the others do; and nobody has more under way than was left for all others.
    #[test]
    fn who_keeps_to_its_share_loses_nothing_to_others(
        events in prop::collection::vec(event(), 1..300),
        memory in 8..40u64,
    ) {
        let memory = memory * CALL_BYTES;
        let mut stage = Stage::new(memory);
        let mut running: BTreeMap<u128, u64> = BTreeMap::new();
        for (call, event) in events.into_iter().enumerate() {
            let call = call as u64;
            let before = kept(&stage);
            let mut kept_by: BTreeMap<KeyOwner, u64> = stage.keys.shares.keepers().collect();
            match event {
                Event::Ask { key, body } => {
                    if stage.look_up_as(owner_of(key), key, body, call) == KeyLookup::First {
                        running.insert(key, call);
                    }
                }
                Event::Settle { key, outcome, bytes } => {
                    let Some(first) = running.remove(&key) else { continue };
                    *kept_by.entry(KeyOwner(owner_of(key))).or_default() += ENTRY_BYTES + bytes;
                    let outcome = if outcome == 0 { KeyOutcome::Unknown } else { answer("done", bytes) };
                    stage.settle(key, first, outcome);
                }
                Event::Lend { owner, bytes } => {
                    let owner = KeyOwner(owner);
                    if stage.keys.lend(stage.now, owner, bytes) {
                        let (own, all) = (stage.keys.shares.lent_to(owner), stage.keys.figures().lent);
                        prop_assert!(own <= memory / 2 - all, "{own} of {all}");
                    }
                }
                Event::Pass { secs } => stage.now += Duration::from_secs(secs),
                Event::Leave { .. } | Event::GiveBack { .. } => {}
            }
            let after = kept(&stage);
            for (key, (owner, at, had_answer)) in before {
                let is_whole = after.get(&key).is_some_and(|(_, _, has_answer)| *has_answer == had_answer);
                if !is_whole && stage.now.since(at) < TTL {
                    let share = memory / 2 / kept_by.len() as u64;
                    prop_assert!(kept_by[&owner] > share, "{owner:?} kept {} of {share}", kept_by[&owner]);
                }
            }
        }
    }
}
