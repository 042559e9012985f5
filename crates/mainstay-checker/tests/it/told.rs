//! What an engineer reads.

use std::time::Duration;

use expect_test::{Expect, expect};
use mainstay_checker::{History, Limits, Verdict, check};

fn verdict(history: &str) -> String {
    match check(&history.parse().unwrap(), Limits::default()) {
        Verdict::Linearizable => "linearizable".to_owned(),
        Verdict::Not(violation) => violation.to_string(),
        Verdict::Undecided(keys) => format!("undecided: {keys:?}"),
    }
}

fn tells(history: &str, expected: &Expect) {
    expected.assert_eq(&verdict(history));
}

#[test]
fn a_read_that_goes_back_is_told_with_what_stood_there() {
    let history = r#"
        1  0  10  put x "a" = done
        2 20  30  put x "b" = done
        3 40  50  get x = "b"
        4 41  52  get x = "b"
        3 60  70  get x = "a"
        9  0  99  put y "1" = done
    "#;
    tells(
        history,
        &expect![[r#"
        no order explains this operation on x:
          before: x = "b"
        > 3 60 70 get x = "a"
          by the end of > it could only be: x = "b""#]],
    );
}

#[test]
fn overlapping_writes_leave_both_possible_until_one_was_seen() {
    let history = r#"
        1  0  10  put x "a" = done
        2  5  12  put x "b" = done
        3 11  30  append x "!" = done
        4 40  50  get x = "b"
    "#;
    tells(history, &expect!["linearizable"]);
    let fine = history.replace(r#"get x = "b""#, r#"get x = "b!""#);
    assert_eq!(verdict(&fine), "linearizable");
    assert_eq!(verdict(&fine.replace("b!", "a!")), "linearizable");
    // The append may have come between the two.
    assert_eq!(verdict(&history.replace("append x", "put z")), "linearizable");
}

#[test]
fn what_nobody_was_told_the_end_of_may_happen_late_or_never() {
    let history = r#"
        1  0   ?  put x "a" = ?
        2 10  20  put x "b" = done
        3 30  40  get x = "b"
        3 50  60  get x = "a"
        3 70  80  get x = "a"
    "#;
    assert_eq!(verdict(history), "linearizable");
    tells(
        &format!("{history}\n3 90 95 get x = \"b\""),
        &expect![[r#"
        no order explains this operation on x:
          before: x = "a"
        > 3 90 95 get x = "b"
          by the end of > it could only be: x = "a""#]],
    );
}

#[test]
fn what_was_refused_never_happens() {
    tells(
        "1 0 10 put x \"a\" = refused\n2 20 30 get x = \"a\"",
        &expect![[r#"
        no order explains this operation on x:
          before: x = nil
        > 2 20 30 get x = "a"
          by the end of > it could only be: x = nil"#]],
    );
}

#[test]
fn a_swap_says_whether_it_was_made() {
    let history = r#"
        1  0  10  put x "1" = done
        2 20  30  cas x "1" "2" = true
        3 21  31  cas x "1" "3" = true
    "#;
    tells(
        history,
        &expect![[r#"
        no order explains these 2 operations on x:
          before: x = "1"
          2 20 30 cas x "1" "2" = true
        > 3 21 31 cas x "1" "3" = true
          by the end of > it could only be: x = "2""#]],
    );
    assert_eq!(verdict(&history.replace("\"3\" = true", "\"3\" = false")), "linearizable");
    assert_eq!(verdict(&history.replace("\"3\" = true", "\"3\" = ?")), "linearizable");
}

#[test]
fn a_delete_says_whether_there_was_anything() {
    assert_eq!(verdict("1 0 9 put x \"1\" = done\n1 10 19 delete x = true\n1 20 29 get x = nil"), "linearizable");
    assert_ne!(verdict("1 0 9 put x \"1\" = done\n1 10 19 delete x = false"), "linearizable");
    assert_ne!(verdict("1 10 19 delete x = true"), "linearizable");
}

#[test]
fn a_transaction_joins_its_keys_and_is_one_moment() {
    let history = r#"
        1  0  10  put x "1" = done
        2 20  40  txn if x = "1" y = nil then put x "2" ; put y "2" else get x = then [done done]
        3 25  28  get y = "2"
        4 30  35  get x = "1"
    "#;
    tells(
        history,
        &expect![[r#"
        no order explains this operation on x, y:
          before: x = "2", y = "2"
        > 4 30 35 get x = "1"
          by the end of > it could only be: x = "2", y = "2""#]],
    );
    assert_eq!(verdict(&history.replace(r#"get x = "1""#, r#"get x = "2""#)), "linearizable");
    let other = r#"
        1  0  10  put x "1" = done
        2 20  40  txn if x != "1" then put y "9" else get x ; get y = else ["1" nil]
        3 50  60  get y = nil
    "#;
    assert_eq!(verdict(other), "linearizable");
    assert_ne!(verdict(&other.replace(r#"else ["1" nil]"#, r#"else ["1" "9"]"#)), "linearizable");
}

#[test]
fn memory_and_time_are_bounded() {
    let mut history = String::new();
    for at in 0..40 {
        history.push_str(&format!("{at} 0 1000 append x \"{at}\" = done\n"));
    }
    history.push_str("99 2000 2001 get x = \"none of them\"\n");
    let history: History = history.parse().unwrap();
    let few = Limits { configurations: 10_000, ..Limits::default() };
    assert_eq!(check(&history, few), Verdict::Undecided(vec!["x".into()]));
    let short = Limits { time: Duration::from_millis(50), ..Limits::default() };
    assert_eq!(check(&history, short), Verdict::Undecided(vec!["x".into()]));
}

#[test]
fn a_history_is_read_as_it_was_written_and_what_is_none_is_told_by_its_line() {
    let text = r#"1 0 10 put "a key" "\x00\"\\\n" = done
2 5 20 get x = nil
2 30 35 cas x nil "b" = true
3 31 ? append x "c" = ?
3 32 40 put x "c" = refused
4 50 60 txn if x = "bc" y != nil then put y "1" ; get x else delete x = else [true]
5 70 71 txn if then else = then []
"#;
    assert_eq!(text.parse::<History>().unwrap().to_string(), text);
    for (line, why) in [
        ("1 0 10 put x y = done", "\"y\" is no value: a value stands in quotes"),
        ("1 0 10 put x", "it ends too soon"),
        ("1 0 10 take x = done", "\"take\" is no call"),
        ("1 x 10 get x = nil", "\"x\" is no number"),
        ("1 0 10 get x = nil nil", "Word(\"nil\") after the outcome"),
    ] {
        let error = format!("# a comment\n{line}").parse::<History>().unwrap_err();
        assert_eq!(error.to_string(), format!("line 2: {why}"));
    }
}
