//! The examples run, and end well.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What an example prints. `cargo test` builds them with the tests; where it was asked for these tests alone, they are
/// built now.
fn run(name: &str, features: &str) -> String {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    let path = path.join(name);
    if !path.exists() {
        build(name, features, &path);
    }
    let output = Command::new(&path).output().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {out}{err}");
    out.into_owned()
}

fn build(name: &str, features: &str, path: &Path) {
    let profile = path.parent().and_then(Path::parent).unwrap();
    let (target, profile) = (profile.parent().unwrap(), profile.file_name().unwrap().to_str().unwrap());
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "-p", "mainstay", "--example", name, "--features", features, "--target-dir"]);
    cargo.arg(target).args(["--profile", if profile == "debug" { "dev" } else { profile }]);
    assert!(cargo.status().unwrap().success(), "{cargo:?}");
}

#[test]
fn no_page_is_broken_by_a_dependency_that_is() {
    let said = run("flaky_dependency", "");
    assert!(said.contains(" 0 broken"), "{said}");
}

#[test]
fn a_database_that_may_not_be_there_holds_nobody_up() {
    let said = run("database_pool", "");
    assert!(said.contains("fresh answers"), "{said}");
}

#[cfg(feature = "tower")]
#[test]
fn a_server_of_grpc_that_fails_hangs_and_goes_away_breaks_no_call_that_it_could_answer() {
    let said = run("grpc", "tower");
    assert!(said.contains("300 answered, 0 failed") && said.contains("50 answered, 0 failed"), "{said}");
    assert!(said.contains("by the breaker at once") && !said.contains("failed, 0 of them"), "{said}");
}
