//! The edges between the crates. A new edge is a change of this list, to be thought about.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::root;

/// Every crate, lowest first, and the crates of ours that it may use. A crate uses only those above it in the list.
const ALLOWED: &[(&str, &[&str])] = &[
    ("mainstay-core", &[]),
    ("mainstay-policy", &["mainstay-core"]),
    ("mainstay-http1", &[]),
    ("mainstay-config", &["mainstay-core", "mainstay-policy"]),
    ("mainstay-telemetry", &["mainstay-core", "mainstay-policy"]),
    ("mainstay-mvcc", &["mainstay-core"]),
    ("mainstay-wal", &[]),
    ("mainstay-store", &["mainstay-core", "mainstay-mvcc", "mainstay-wal"]),
    ("mainstay-discover", &["mainstay-policy", "mainstay-config"]),
    (
        "mainstay-gateway",
        &[
            "mainstay-core",
            "mainstay-policy",
            "mainstay-http1",
            "mainstay-config",
            "mainstay-telemetry",
            "mainstay-discover",
        ],
    ),
    ("mainstay-sim", &["mainstay-core", "mainstay-policy", "mainstay-config", "mainstay-telemetry"]),
    ("mainstay", &["mainstay-core", "mainstay-policy", "mainstay-config", "mainstay-telemetry", "mainstay-discover"]),
    ("mainstay-drill", &["mainstay-core", "mainstay-policy", "mainstay-config", "mainstay-telemetry", "mainstay-sim"]),
    (
        "mainstay-node",
        &[
            "mainstay-core",
            "mainstay-policy",
            "mainstay-config",
            "mainstay-telemetry",
            "mainstay-store",
            "mainstay-gateway",
        ],
    ),
    (
        "mainstay-cli",
        &[
            "mainstay-core",
            "mainstay-policy",
            "mainstay-http1",
            "mainstay-config",
            "mainstay-telemetry",
            "mainstay-store",
            "mainstay-sim",
            "mainstay-drill",
            "mainstay-node",
        ],
    ),
    (
        "mainstay-laws",
        &[
            "mainstay-core",
            "mainstay-policy",
            "mainstay-http1",
            "mainstay-config",
            "mainstay-wal",
            "mainstay-gateway",
            "mainstay-mvcc",
        ],
    ),
    ("mainstay-checker", &[]),
    ("mainstay-soak", &["mainstay-checker"]),
    ("xtask", &["mainstay-soak"]),
];

/// The crates that decide and never look, and the crates of others that they may use: searching bytes, sharing them and
/// writing them down is no I/O.
const PURE: &[(&str, &[&str])] = &[
    ("mainstay-core", &[]),
    ("mainstay-policy", &[]),
    ("mainstay-http1", &["memchr"]),
    ("mainstay-mvcc", &["bytes", "serde", "postcard", "thiserror"]),
];

/// The workspace's crates and what each uses when it is built, tests aside.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--no-deps", "--format-version", "1", "--offline"]).current_dir(root());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(|package| (name(package), used(package))).collect()
}

fn name(of: &Value) -> String {
    of["name"].as_str().unwrap().to_owned()
}

fn used(package: &Value) -> Vec<String> {
    let dependencies = package["dependencies"].as_array().unwrap();
    dependencies.iter().filter(|dependency| dependency["kind"].as_str() != Some("dev")).map(name).collect()
}

#[test]
fn a_crate_uses_only_those_that_the_list_allows() {
    for (name, used) in dependencies() {
        let allowed = ALLOWED.iter().find(|(of, _)| *of == name);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{name} is not in the list of crates"));
        for ours in used.iter().filter(|used| used.starts_with("mainstay")) {
            assert!(allowed.contains(&ours.as_str()), "{name} must not use {ours}");
        }
    }
}

#[test]
fn the_list_goes_in_one_direction_and_names_only_what_is_there() {
    let there = dependencies();
    for (place, (name, allowed)) in ALLOWED.iter().enumerate() {
        assert!(there.contains_key(*name), "{name} is in the list and not in the workspace");
        for below in *allowed {
            let above = ALLOWED[..place].iter().any(|(of, _)| of == below);
            assert!(above, "{name} may use {below}, which does not stand above it");
        }
    }
}

#[test]
fn a_pure_crate_uses_nothing_that_could_look() {
    let there = dependencies();
    for (name, allowed) in PURE {
        for used in there[*name].iter().filter(|used| !used.starts_with("mainstay")) {
            assert!(allowed.contains(&used.as_str()), "{name} is pure and must not use {used}");
        }
    }
}

#[test]
fn a_pure_crate_bans_clocks_luck_and_the_outside_world() {
    let bans = |name: &str| std::fs::read_to_string(root().join("crates").join(name).join("clippy.toml")).unwrap();
    let first = bans(PURE[0].0);
    for word in ["Instant::now", "SystemTime", "env::var", "thread::spawn", "TcpStream", "fs::File", "RandomState"] {
        assert!(first.contains(word), "{word} is not banned");
    }
    for (name, _) in PURE {
        assert_eq!(bans(name), first, "{name} bans something else than {}", PURE[0].0);
    }
}
