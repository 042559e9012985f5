//! The reference of the configuration (`docs/reference/configuration.md`) says what the loader does: the same keys, the
//! same defaults, the same keys of later versions, and examples that load.
//!
//! In the page a heading names its table (`[admin]`, `[[route]]`, `[service.NAME.retry]`), and each row under it has a
//! key, what it may hold, its default and a text. An example without a `[[listener]]` is a piece that is put at the end
//! of the least configuration.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_config::{Origin, Setting};

use super::{LEAST, load};

const PAGE: &str = include_str!("../../../../docs/reference/configuration.md");

/// How the text of a key begins that this version does not have.
const LATER: &str = "*Not in this version.*";

/// Tables within a list, whose keys are not among the listed values.
const ITEMS: [&str; 2] = ["route.split", "service.NAME.endpoints"];

/// Every table stands somewhere, with as little in it as it can have, and each key is left away somewhere.
const EVERY_TABLE: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:8080"

[[route]]
service = "shop"
rewrite = { path = "/v2{rest}" }
retry = {}

[[route]]
split = [{ service = "named", weight = 1 }, { service = "listed", weight = 1 }]

[[route]]
redirect = { to = "https://{host}{path}" }

[service.shop]
endpoints = ["127.0.0.1:9101"]
health = { http = "/health" }
fallback = { respond = {} }
retry = { hedge = {} }
idempotency = {}

[service.named]
discover = { dns = "shop.internal:80" }
health = { tcp = true }

[service.listed]
discover = { file = "shop.toml" }

[rate_limit.per-caller]

[store]
"#;

/// A row of the page.
pub(super) struct Row {
    /// The key with its table, as `service.NAME.retry.attempts`.
    pub(super) path: String,
    table: String,
    pub(super) default: String,
    text: String,
}

impl Row {
    /// The default as TOML; `None` where the page says in words what holds.
    pub(super) fn value(&self) -> Option<&str> {
        self.default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'))
    }
}

/// Every row under a heading that names a table; one under a heading that names two is a row of both.
fn rows() -> Vec<Row> {
    let (mut rows, mut tables) = (Vec::new(), Vec::new());
    for line in PAGE.lines() {
        if line.starts_with('#') {
            tables = tables_of(line);
        } else if let Some(row) = line.strip_prefix("| `") {
            for table in &tables {
                rows.push(row_of(table, row).unwrap_or_else(|| panic!("four cells: {line}")));
            }
        }
    }
    rows
}

/// The tables that a heading names, without their brackets.
pub(super) fn tables_of(heading: &str) -> Vec<String> {
    let quoted = heading.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.starts_with('[')).map(|text| text.trim_matches(['[', ']']).to_owned()).collect()
}

pub(super) fn row_of(table: &str, row: &str) -> Option<Row> {
    let cells: Vec<&str> = row.strip_suffix(" |")?.split(" | ").collect();
    let [key, _, default, text] = cells.as_slice() else { return None };
    let key = key.strip_suffix('`')?;
    Some(Row {
        path: format!("{table}.{key}"),
        table: table.to_owned(),
        default: (*default).to_owned(),
        text: (*text).to_owned(),
    })
}

/// The rows that are keys of the configuration's tables, and not of tables within a list.
fn listed_rows() -> impl Iterator<Item = Row> {
    rows().into_iter().filter(|row| !ITEMS.contains(&row.table.as_str()))
}

/// Every value of [`EVERY_TABLE`] by its key as the page writes it.
fn settings() -> BTreeMap<String, Vec<Setting>> {
    let loaded = load(EVERY_TABLE).unwrap_or_else(|problems| panic!("{problems}"));
    let mut by_path: BTreeMap<String, Vec<Setting>> = BTreeMap::new();
    for setting in loaded.effective.settings() {
        by_path.entry(as_in_the_page(&setting.path)).or_default().push(setting.clone());
    }
    by_path
}

/// `route[0].retry.attempts` is told of once, with the service's.
fn as_in_the_page(path: &str) -> String {
    let mut levels: Vec<&str> = path.split('.').map(|level| level.split('[').next().unwrap_or(level)).collect();
    if levels.len() > 2 && levels[..2] == ["route", "retry"] {
        levels.splice(..1, ["service", "NAME"]);
    } else if ["service", "rate_limit"].contains(&levels[0]) {
        levels[1] = "NAME";
    }
    levels.join(".")
}

#[test]
fn every_key_that_is_read_is_told_of_and_no_other() {
    let told: BTreeSet<String> = listed_rows().map(|row| row.path).collect();
    let read: BTreeSet<String> = settings().into_keys().collect();
    let (missing, invented): (Vec<_>, Vec<_>) = (read.difference(&told).collect(), told.difference(&read).collect());
    assert!(missing.is_empty() && invented.is_empty(), "not told of: {missing:?}; not read: {invented:?}");
    assert_eq!(told.len(), listed_rows().count(), "a key is told of twice");
}

/// What the loader says it knows, where a key stands that it does not: this finds also what is not listed as a value.
fn known_beside(text: &str) -> BTreeSet<String> {
    let problems = load(text).expect_err("a key that nobody knows");
    let helps: Vec<&str> = problems.list().iter().filter_map(|problem| problem.help.as_deref()).collect();
    let known = helps.iter().find_map(|help| help.strip_prefix("known here: "));
    known.unwrap_or_else(|| panic!("{problems}")).split(", ").map(str::to_owned).collect()
}

#[test]
fn every_table_and_every_key_of_a_list_is_told_of() {
    let headings: BTreeSet<String> = PAGE
        .lines()
        .filter(|line| line.starts_with("## "))
        .flat_map(tables_of)
        .map(|table| table.split('.').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(headings, known_beside(&format!("qqqqqqqq = 1\n{LEAST}")));
    for (table, known) in [
        ("route.split", known_beside(&format!("{LEAST}[[route]]\nsplit = [{{ qqqqqqqq = 1 }}]\n"))),
        ("service.NAME.endpoints", known_beside(&LEAST.replace("\"127.0.0.1:9101\"", "{ qqqqqqqq = 1 }"))),
    ] {
        let told: BTreeSet<String> =
            rows().iter().filter(|row| row.table == table).map(|row| row.path[table.len() + 1..].to_owned()).collect();
        assert_eq!(told, known, "{table}");
    }
}

#[test]
fn every_default_is_the_loaders() {
    let settings = settings();
    for row in listed_rows() {
        let of_key = settings.get(&row.path).map(Vec::as_slice).unwrap_or_default();
        let defaults: Vec<&Setting> = of_key.iter().filter(|setting| setting.origin == Origin::Default).collect();
        assert_eq!(defaults.is_empty(), row.default == "required", "{}: {}", row.path, row.default);
        for setting in defaults {
            assert_eq!(row.value(), setting.value.as_deref(), "{}: {}", row.path, row.default);
            if setting.value.is_none() {
                assert_eq!(Some(row.default.as_str()), setting.note, "{}", row.path);
            }
        }
    }
}

#[test]
fn a_default_of_a_list_is_what_holds_without_it() {
    let with = |more: &str| {
        let endpoint = format!("{{ address = \"127.0.0.1:9101\"{more} }}");
        load(&LEAST.replace("\"127.0.0.1:9101\"", &endpoint)).map(|loaded| loaded.config)
    };
    for row in rows().iter().filter(|row| ITEMS.contains(&row.table.as_str())) {
        match row.value() {
            Some(value) => {
                let key = row.path.rsplit('.').next().unwrap_or_default();
                assert!(with(&format!(", {key} = {value}")).unwrap() == with("").unwrap(), "{}: {value}", row.path);
            }
            None => assert_eq!(row.default, "required", "{}", row.path),
        }
    }
}

#[test]
fn what_is_not_in_this_version_says_so() {
    let settings = settings();
    for row in listed_rows() {
        let inactive = settings[&row.path]
            .iter()
            .any(|setting| setting.note.is_some_and(|note| note.contains("not in this version")));
        assert_eq!(row.text.starts_with(LATER), inactive, "{}", row.path);
    }
}

#[test]
fn every_example_loads() {
    let examples: Vec<&str> = PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() > 5, "the page has examples");
    assert_eq!(examples[0], LEAST, "the first example is the least configuration");
    for example in examples {
        let whole = example.contains("[[listener]]");
        let text = if whole { example.to_owned() } else { format!("{LEAST}\n{example}") };
        let loaded = load(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        assert!(!whole || loaded.warnings.is_empty(), "{}\n{text}", loaded.warnings);
    }
}
