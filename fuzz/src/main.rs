//! One binary for every target: `MAINSTAY_LAW` names the law that the bytes are to break.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mainstay_laws::{Law, TARGETS, law};

static LAW: LazyLock<Law> = LazyLock::new(|| {
    let name = std::env::var("MAINSTAY_LAW").unwrap_or_default();
    law(&name).unwrap_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        panic!("MAINSTAY_LAW is {name:?} and not one of {}", names.join(", "))
    })
});

fuzz_target!(|bytes: &[u8]| (LAW)(bytes));
