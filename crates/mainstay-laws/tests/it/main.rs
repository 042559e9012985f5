//! What a fuzzer kept, played by every run of the tests.

#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]
#![allow(clippy::print_stdout, reason = "how much was played is said")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use mainstay_laws::{TARGETS, corpus, law};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

#[test]
fn every_input_that_was_kept_keeps_its_law() {
    for (target, law) in TARGETS {
        let file = directory().join(target).with_extension("txt");
        let kept = corpus::read(&fs::read_to_string(&file).unwrap()).unwrap_or_else(|why| panic!("{target}: {why}"));
        for (number, input) in kept.iter().enumerate() {
            let told = || format!("{target}, input {number} {:?}: {}", input.name, input.bytes.escape_ascii());
            assert!(catch_unwind(|| law(&input.bytes)).is_ok(), "{} breaks its law", told());
        }
        println!("{target}: {} inputs", kept.len());
        assert!(kept.len() > 20, "{target} has a corpus that says something");
    }
}

#[test]
fn every_corpus_has_its_law_and_all_of_them_stay_small() {
    let mut total = 0;
    for file in fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(law(name).is_some(), "{} belongs to no law", file.display());
        total += fs::metadata(&file).unwrap().len();
    }
    assert!(total < 1_000_000, "{total} bytes of corpora");
}
