//! Pictures: their form, their bounds, and what they tell.

use expect_test::{Expect, expect};

use super::svg;
use crate::examples::{hostile, long, one_hangs, without_guards};
use crate::report::Report;
use crate::shown::{Shown, Side};

fn one(report: &Report) -> String {
    svg(&Shown::one("mainstay.toml", report))
}

fn two(report: &Report, beside: &Report) -> String {
    svg(&Shown::two(Side { name: "a.toml", report }, Side { name: "b.toml", report: beside }, &[]))
}

/// Every tag is closed in order, every attribute quoted once, and nothing stands in it that is no number.
pub(crate) fn check_well_formed(text: &str) {
    let mut open: Vec<&str> = Vec::new();
    let text = text.trim_start_matches("<!DOCTYPE html>\n");
    for part in text.split('<').skip(1) {
        let (tag, after) = part.split_once('>').unwrap_or_else(|| panic!("<{part} has no end"));
        assert!(!after.contains('>') || open.last() == Some(&"style"), "a bare > in {after:?}");
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap_or_default();
        assert!(name.chars().all(|letter| letter.is_ascii_alphanumeric()), "<{tag}> is no element");
        check_attributes(tag);
        match tag.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed)),
            None if tag.ends_with('/') => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?} are not closed");
    for entity in text.split('&').skip(1) {
        let known = ["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|known| entity.starts_with(known));
        assert!(known, "a bare & before {:?}", &entity[..entity.len().min(10)]);
    }
    assert!(!text.contains("NaN") && !text.contains("inf\""), "something is no number");
    assert!(text.chars().all(|letter| letter == '\n' || !letter.is_control()), "a control character");
}

fn check_attributes(tag: &str) {
    let pieces: Vec<_> = tag.split('"').collect();
    assert_eq!(pieces.len() % 2, 1, "a quote is open in <{tag}>");
    let names = pieces.iter().step_by(2).take(pieces.len() / 2);
    for name in names {
        assert!(name.ends_with('='), "an attribute without a name in <{tag}>");
    }
}

/// The texts of a picture, a line each.
fn texts(picture: &str) -> String {
    let texts = picture.lines().filter(|line| line.starts_with("<text"));
    let inner = |line: &str| line.split_once('>').and_then(|(_, rest)| rest.strip_suffix("</text>")).map(str::to_owned);
    texts.filter_map(inner).map(|text| text + "\n").collect()
}

fn check(picture: &str, want: &Expect) {
    check_well_formed(picture);
    want.assert_eq(&texts(picture));
}

#[test]
fn a_picture_says_what_was_wanted_what_came_and_when() {
    check(
        &one(&one_hangs()),
        &expect![[r#"
            one instance hangs
            mainstay.toml, seed 1: did not hold
            15,973 of 16,000 calls were good (99.83 %); good: 99.83%, wanted 99.9%.
            hang shop/0
            0
            2 s
            4 s
            6 s
            8 s
            10 s
            12 s
            14 s
            16 s
            Calls a second
            0
            500
            1,000
            due
            good
            99.83 % good
            9 refused
            18 failed
            worst second: 976 of 1,000 good
            Attempts a second
            0
            500
            1,000
            1,500
            attempts
            1.02 for each call
            307 sent again
            Latency of good answers
            10 ms
            100 ms
            1 s
            p99
            p50
            p50 10 ms, p99 45 ms
            Calls under way
            0
            20
            40
            60
            under way
            48 at most
            Endpoints that can be chosen
            0
            2
            4
            usable
            3 at least
            4.3 s
            shop/0 is ejected: 5 failures in a row
            8.1 s
            shop/0 is back: a probe went well
        "#]],
    );
}

#[test]
fn two_plays_have_the_same_axes_and_their_names() {
    check(
        &two(&one_hangs(), &without_guards()),
        &expect![[r#"
            one instance hangs
            a.toml, seed 1: did not hold
            15,973 of 16,000 calls were good (99.83 %); good: 99.83%, wanted 99.9%.
            b.toml, seed 1: did not hold
            7,973 of 16,000 calls were good (49.83 %); good: 99.83%, wanted 99.9%. The cause is gone and it holds itself down.
            hang shop/0
            0
            2 s
            4 s
            6 s
            8 s
            10 s
            12 s
            14 s
            16 s
            Calls a second
            0
            500
            1,000
            due
            a.toml
            b.toml
            99.83 % good
            49.83 % good
            Attempts a second
            0
            500
            1,000
            1,500
            a.toml
            b.toml
            1.02 for each call
            1.02 for each call
            Latency of good answers
            10 ms
            100 ms
            1 s
            p99 a.toml
            p99 b.toml
            p50 a.toml
            p50 b.toml
            p50 10 ms, p99 45 ms
            p50 10 ms, p99 45 ms
            Calls under way
            0
            500
            1,000
            1,500
            a.toml
            b.toml
            48 at most
            1,024 at most
            Endpoints that can be chosen
            0
            2
            4
            a.toml
            b.toml
            3 at least
            4 at least
            Breakers that were not closed
            open
            shop b.toml
            4.3 s
            shop/0 is ejected: 5 failures in a row
            8.1 s
            shop/0 is back: a probe went well
        "#]],
    );
}

#[test]
fn a_picture_is_the_same_bytes_whenever_it_is_drawn() {
    let report = without_guards();
    assert_eq!(one(&report), one(&report));
    expect![[r#"
        <path d="M16,54H44" class="line first"/>
        <path d="M64,166H248V168.8H294V166.3H340V166H800" class="line first"/>
        <path d="M64,347.2H248V336.7H294V346H340V347.2H800" class="line first"/>
        <path d="M64,533H248V438.7H294V497.2H340V533H800" class="line first"/>
        <path d="M64,621.2H294V591.6H340V621.2H800" class="line first"/>
        <path d="M64,674H248V684H478V674H800" class="line first"/>
    "#]]
    .assert_eq(&paths(&one(&one_hangs()), "line first"));
}

fn paths(picture: &str, class: &str) -> String {
    let ends = format!("class=\"{class}\"/>");
    picture
        .lines()
        .filter(|line| line.starts_with("<path") && line.ends_with(&ends))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn texts_of_others_end_no_element_and_what_is_no_number_is_not_drawn() {
    for picture in [one(&hostile()), two(&one_hangs(), &hostile()), two(&hostile(), &hostile())] {
        check_well_formed(&picture);
        assert!(!picture.contains("<script"));
    }
}

#[test]
fn a_day_takes_no_more_than_half_a_megabyte() {
    let report = long();
    for picture in [one(&report), two(&report, &report)] {
        check_well_formed(&picture);
        assert!(picture.len() < 500_000, "{} bytes", picture.len());
    }
}

#[test]
fn a_play_of_nothing_is_a_picture_too() {
    let report = Report {
        timeline: Vec::new(),
        faults: Vec::new(),
        events: Vec::new(),
        holds: Vec::new(),
        requests: 0,
        p50_ms: None,
        p99_ms: None,
        ..one_hangs()
    };
    check_well_formed(&one(&report));
}

#[test]
fn no_name_of_a_line_covers_another() {
    let picture = two(&one_hangs(), &one_hangs());
    let at = |line: &str, name: &str| {
        let rest = line.split_once(&format!(" {name}=\""))?.1;
        rest.split_once('"')?.0.parse::<f64>().ok()
    };
    let names = picture.lines().filter(|line| line.starts_with("<text x=\"808\""));
    let mut heights: Vec<f64> = names.filter_map(|line| at(line, "y")).collect();
    heights.sort_by(f64::total_cmp);
    assert!(heights.len() > 8 && heights.windows(2).all(|two| two[1] - two[0] >= 13.9), "{heights:?}");
}

/// To be looked at.
#[test]
#[ignore = "writes pictures for people"]
fn pictures() {
    let (one, other, long) = (one_hangs(), without_guards(), long());
    let side = |name, report| Side { name, report };
    let differences =
        [crate::shown::Difference { key: "service.shop.retry.attempts".into(), here: "3".into(), beside: "1".into() }];
    for (name, shown) in [
        ("one", Shown::one("mainstay.toml", &one)),
        ("falls", Shown::one("bare.toml", &other)),
        ("two", Shown::two(side("mainstay.toml", &one), side("bare.toml", &other), &differences)),
        ("long", Shown::one("mainstay.toml", &long)),
    ] {
        let at = |kind: &str| std::env::temp_dir().join(format!("{name}.{kind}"));
        std::fs::write(at("svg"), svg(&shown)).unwrap();
        std::fs::write(at("html"), crate::html::page(&shown)).unwrap();
    }
}
