//! What the pages name is there: paths, tests, links. A page that tells of what was is worse than none.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::root;

/// Where a path in a page can begin.
const ROOMS: &[&str] = &["crates/", "xtask/", "tests/", "bench/", "docs/", "fuzz/", "scenarios/", ".ci/", ".cargo/"];

fn read(page: &Path) -> String {
    std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}

/// What stands between backticks in a page, outside blocks of code.
fn code_spans(text: &str) -> Vec<String> {
    let mut in_block = false;
    let mut spans = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            spans.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    spans
}

/// Checks a `path` or a `path::test` that a page names.
fn check_reference(span: &str) -> Result<(), String> {
    let (path, test) = match span.split_once("::") {
        Some((path, test)) => (path, Some(test.rsplit("::").next().unwrap_or(test))),
        None => (span, None),
    };
    let file = root().join(path);
    if !file.exists() {
        return Err(format!("{path} is not there"));
    }
    match test {
        Some(test) if !read(&file).contains(&format!("fn {test}")) => Err(format!("{path} has no test {test}")),
        _ => Ok(()),
    }
}

fn is_reference(span: &str) -> bool {
    ROOMS.iter().any(|room| span.starts_with(room)) && !span.contains([' ', '*', '…', '{', '<'])
}

#[test]
fn every_path_and_test_that_the_architecture_names_exists() {
    let page = read(&root().join("ARCHITECTURE.md"));
    let wrong = code_spans(&page)
        .iter()
        .filter(|span| is_reference(span))
        .filter_map(|span| check_reference(span).err())
        .collect::<Vec<_>>();
    assert!(wrong.is_empty(), "ARCHITECTURE.md: {}", wrong.join("; "));
}

/// The invariants of a page, `**I1** …` each, as number and text up to the next one.
fn invariants(page: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in page.lines() {
        let begun = line.trim_start_matches(['-', '*', ' ']).strip_prefix('I').filter(|_| line.contains("**I"));
        let number = begun.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
        match (number.filter(|number| !number.is_empty()), found.last_mut()) {
            (Some(number), _) => found.push((number, line.to_owned())),
            (None, Some((_, text))) if !line.starts_with('#') => *text = format!("{text}\n{line}"),
            (None, _) => {}
        }
    }
    found
}

#[test]
fn every_invariant_has_a_number_of_its_own_and_names_a_test_that_holds_it() {
    let page = read(&root().join("ARCHITECTURE.md"));
    let mut numbers = BTreeSet::new();
    for (number, text) in invariants(&page) {
        let held = code_spans(&text).iter().any(|span| is_reference(span) && span.contains("::"));
        assert!(held, "I{number} names no test");
        assert!(numbers.insert(number.clone()), "I{number} stands twice");
    }
    assert!(!numbers.is_empty(), "ARCHITECTURE.md names no invariant");
}

/// The Markdown pages of the project.
fn markdown() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// What the links of a page lead to, when it is a file.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.map(|target| target.split('#').next().unwrap_or(""));
    files.filter(|file| !file.is_empty() && !file.contains(':')).map(str::to_owned).collect()
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    for page in markdown() {
        for link in links(&read(&page)) {
            let target = page.parent().unwrap().join(&link);
            assert!(target.exists(), "{}: the link to {link} leads nowhere", page.display());
        }
    }
}

/// Whoever writes a page of the guide puts it where a reader finds it: into its folder's index, and that into the guide's.
#[test]
fn the_guides_index_lists_every_page() {
    let guide = root().join("docs/guide");
    for page in markdown().iter().filter(|page| page.starts_with(&guide) && **page != guide.join("README.md")) {
        let folder = page.parent().unwrap();
        let above = if page.ends_with("README.md") { folder.parent().unwrap() } else { folder };
        let name = page.strip_prefix(above).unwrap().to_string_lossy().into_owned();
        let index = above.join("README.md");
        assert!(links(&read(&index)).contains(&name), "{} does not list {name}", index.display());
    }
}

#[test]
fn a_wrong_reference_is_found() {
    assert!(check_reference("xtask/tests/it/pages.rs::a_wrong_reference_is_found").is_ok());
    assert!(check_reference("xtask/tests/it/pages.rs::no_such").is_err());
    assert!(check_reference("xtask/tests/it/no.rs").is_err());
    let two = invariants("# In\n\n**I1** a `b`\nc\n\n- **I2**: d\n# e\n");
    assert_eq!(two.iter().map(|(number, _)| number.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    assert!(two[0].1.contains("`b`\nc"));
    assert_eq!(code_spans("a `b` c\n```\n`d`\n```\n`e`"), ["b", "e"]);
    assert_eq!(links("[a](b.md#c) [d](https://e) [f](#g)"), ["b.md"]);
}
