//! The examples run, and end well.

use std::path::PathBuf;
use std::process::Command;

/// What an example prints. They are built with the tests of this crate.
fn run(name: &str) -> String {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    let path = path.join(name);
    let output = Command::new(&path).output().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {out}{err}");
    out.into_owned()
}

#[test]
fn no_page_is_broken_by_a_dependency_that_is() {
    let said = run("flaky_dependency");
    assert!(said.contains(" 0 broken"), "{said}");
}

#[test]
fn a_database_that_may_not_be_there_holds_nobody_up() {
    let said = run("database_pool");
    assert!(said.contains("fresh answers"), "{said}");
}
