//! Recorded histories, with verdicts that others came to.

use std::path::Path;
use std::time::Instant;

use mainstay_checker::{History, Limits, Verdict, check};

/// The histories of a file: name, whether it is linearizable, and itself.
fn histories(file: &str) -> Vec<(String, bool, History)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let parts = text.split("\n= ").skip(1);
    let history = |part: &str| {
        let (head, rest) = part.split_once('\n').unwrap();
        let (name, verdict) = head.split_once(' ').unwrap();
        assert!(verdict == "linearizable" || verdict == "not", "{name}");
        (name.to_owned(), verdict == "linearizable", rest.parse().unwrap())
    };
    parts.map(history).collect()
}

fn judge(file: &str) -> usize {
    let histories = histories(file);
    for (name, expected, history) in &histories {
        let begun = Instant::now();
        match check(history, Limits::default()) {
            Verdict::Linearizable => assert!(expected, "{name} is not linearizable"),
            Verdict::Not(violation) => assert!(!expected, "{name} is linearizable:\n{violation}"),
            Verdict::Undecided(keys) => panic!("{name}: no verdict on {keys:?}"),
        }
        println!("{name}: {} operations, {:.1?}", history.operations.len(), begun.elapsed());
    }
    histories.len()
}

#[test]
fn every_history_of_a_register_is_judged_as_others_judged_it() {
    assert_eq!(judge("register.txt"), 102);
}

#[test]
fn every_history_of_a_key_value_store_is_judged_as_others_judged_it() {
    assert_eq!(judge("keys.txt"), 6);
}

#[test]
fn what_cannot_be_explained_is_less_than_the_whole() {
    for (name, linearizable, history) in histories("register.txt") {
        if linearizable {
            continue;
        }
        let Verdict::Not(violation) = check(&history, Limits::default()) else { panic!("{name}") };
        assert!(violation.window.len() < history.operations.len(), "{name}\n{violation}");
        let again = History { operations: violation.window.clone() };
        assert_eq!(again.to_string().parse::<History>().unwrap().operations.len(), violation.window.len());
    }
}
