//! The consensus store under faults for a few seconds at a time; `cargo xtask soak store` plays the same for long.

use std::path::PathBuf;
use std::time::Duration;

use mainstay_soak::{Kind, Plan, Verdict, run};

use crate::support::alone;

fn plan(seed: u64, faults: &[Kind]) -> Plan {
    Plan {
        binary: PathBuf::from(env!("CARGO_BIN_EXE_mainstay")),
        mutant: None,
        seed,
        length: Duration::from_secs(3),
        faults: faults.to_vec(),
        members: 3,
        clients: 8,
        election: Duration::from_secs(1),
        keep: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("soak"),
    }
}

#[test]
fn ten_short_runs_under_every_fault_break_no_promise() {
    let _stage = alone();
    for seed in 1..=10 {
        let report = run(&plan(seed, &Kind::ALL)).unwrap();
        let kept = report.kept.clone().unwrap_or_default();
        assert!(!matches!(report.verdict, Verdict::Bad(_)), "{report}\nwhat led to it: {}", kept.display());
    }
}
