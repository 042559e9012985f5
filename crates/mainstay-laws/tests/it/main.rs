//! What a fuzzer kept, played by every run of the tests.

#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect has failed")]
#![allow(clippy::print_stdout, reason = "how much was played is said")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use mainstay_laws::{TARGETS, law};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_input_that_was_kept_keeps_its_law() {
    for (target, law) in TARGETS {
        let kept = files(&corpus().join(target));
        for file in &kept {
            let bytes = fs::read(file).unwrap();
            assert!(catch_unwind(|| law(&bytes)).is_ok(), "{} breaks the law of {target}", file.display());
        }
        println!("{target}: {} inputs", kept.len());
        assert!(kept.len() > 20, "{target} has a corpus that says something");
    }
}

#[test]
fn every_corpus_has_its_law_and_all_of_them_stay_small() {
    let bytes_of = |dir: &PathBuf| files(dir).iter().map(|file| fs::metadata(file).unwrap().len()).sum::<u64>();
    let corpora = files(&corpus());
    for dir in &corpora {
        let name = dir.file_name().unwrap().to_str().unwrap();
        assert!(law(name).is_some(), "fuzz/corpus/{name} belongs to no law");
    }
    let total: u64 = corpora.iter().map(bytes_of).sum();
    assert!(total < 1_000_000, "{total} bytes of corpora");
}
