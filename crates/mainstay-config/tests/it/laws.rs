//! What holds for every text.

use mainstay_core::{Purpose, Seed, below};

use super::contract::BASE;
use super::{load, load_with};

/// A key that is nobody's: the known one with one letter more, at any place.
fn slip(key: &str, draw: u64) -> String {
    let at = below(draw, key.len() as u64 + 1) as usize;
    let letter = (b'a' + below(draw.rotate_left(32), 26) as u8) as char;
    format!("{}{letter}{}", &key[..at], &key[at..])
}

#[test]
fn an_unknown_key_is_always_caught() {
    let needed = [("route.1.service", "lite"), ("service.lite.endpoints", "[\"127.0.0.1:9103\"]")];
    let known = load_with(BASE, &[], &needed).unwrap().effective;
    let paths: Vec<&str> = known.settings().map(|setting| setting.path.as_str()).collect();
    let seed = Seed::new(11);
    for (case, path) in (0..).zip(paths.iter().cycle().take(600)) {
        let (table, key) = path.rsplit_once('.').unwrap();
        let wrong = slip(key, seed.draw(case, 0, Purpose::ChoiceA));
        let flag = format!("{}.{wrong}", table.replace('[', ".").replace(']', ""));
        if paths.iter().any(|path| *path == format!("{table}.{wrong}")) {
            continue;
        }
        let mut flags = needed.to_vec();
        flags.push((&flag, "1"));
        let problems = load_with(BASE, &[], &flags).expect_err(&flag);
        let [problem] = problems.list() else { panic!("{flag}: {problems}") };
        assert!(problem.message.starts_with(&format!("unknown key {wrong:?}")), "{flag}: {problems}");
        assert_eq!(problem.path, format!("{table}.{wrong}"));
    }
}

#[test]
fn no_text_makes_it_panic_and_every_error_has_its_place() {
    let text = format!("{BASE}endless = \"é\"\n[admin]\ntoken = \"x\"\n");
    let seed = Seed::new(5);
    for case in 0..3_000 {
        let mut bytes = text.clone().into_bytes();
        for round in 0..=below(seed.draw(case, 0, Purpose::ChoiceA), 4) as u32 {
            let draw = |purpose| seed.draw(case, round + 1, purpose);
            let at = below(draw(Purpose::ChoiceA), bytes.len() as u64) as usize;
            let byte = b"\"'[]{}=.,#\n\\~ 0a"[below(draw(Purpose::ChoiceB), 16) as usize];
            match below(draw(Purpose::Backoff), 3) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.drain(at..(at + 7).min(bytes.len()))),
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Err(problems) = load(&text) else { continue };
        for problem in problems.list() {
            let line = problem.place.map(|place| text.lines().nth(place.line as usize - 1).unwrap_or_default());
            let place =
                problem.place.filter(|place| place.column as usize <= line.unwrap_or_default().chars().count() + 1);
            assert!(place.is_some() || problem.path == "listener", "{problem:?}\n{text}");
        }
        let _ = problems.render(true);
    }
}
