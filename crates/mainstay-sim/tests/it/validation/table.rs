//! Rows of figures, theirs and ours, held to each other and to the page that shows them.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// One case.
pub(super) struct Row {
    case: String,
    figures: Vec<Figure>,
}

/// One figure of a case; `None` is something that never comes.
struct Figure {
    theirs: Option<f64>,
    ours: Option<f64>,
    tolerance: f64,
}

impl Row {
    /// A case without figures.
    pub(super) fn new(case: impl Into<String>) -> Self {
        Self { case: case.into(), figures: Vec::new() }
    }

    /// A figure that may be off by this share of theirs.
    pub(super) fn within(self, share: f64, theirs: f64, ours: f64) -> Self {
        self.near(share * theirs.abs(), Some(theirs), Some(ours))
    }

    /// A figure that may be off by this much.
    pub(super) fn near(mut self, tolerance: f64, theirs: impl Into<Option<f64>>, ours: impl Into<Option<f64>>) -> Self {
        self.figures.push(Figure { theirs: theirs.into(), ours: ours.into(), tolerance });
        self
    }

    fn line(&self) -> String {
        let figures = self.figures.iter().map(|figure| format!(" {} | {} |", said(figure.theirs), said(figure.ours)));
        format!("| {} |{}", self.case, figures.collect::<String>())
    }
}

impl Figure {
    /// Whether `other` is as good as ours.
    fn is_near(&self, one: Option<f64>, other: Option<f64>) -> bool {
        match (one, other) {
            (None, None) => true,
            // A figure stands on the page with four digits.
            (Some(one), Some(other)) => (one - other).abs() <= self.tolerance + 5e-5 + one.abs() * 5e-4,
            _ => false,
        }
    }
}

fn said(figure: Option<f64>) -> String {
    let Some(figure) = figure else { return "never".to_owned() };
    let text = match figure.abs() {
        1_000.0.. => return format!("{figure:.0}"),
        100.0.. => format!("{figure:.1}"),
        10.0.. => format!("{figure:.2}"),
        _ => format!("{figure:.4}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Whether every figure is near to theirs and to the page's. `id` names the table of the page.
pub(super) fn hold(id: &str, rows: &[Row]) {
    let far = rows.iter().filter(|row| row.figures.iter().any(|figure| !figure.is_near(figure.theirs, figure.ours)));
    let far: Vec<_> = far.map(Row::line).collect();
    assert!(far.is_empty(), "{id}: theirs and ours are too far from each other\n{}", far.join("\n"));
    with_page(|page| rows.iter().for_each(|row| on_page(page, id, row)));
}

/// The page, one test at a time; what was changed is written back.
fn with_page(look: impl FnOnce(&mut String)) {
    static PAGE: Mutex<()> = Mutex::new(());
    let _guard = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/validation.md");
    let before = std::fs::read_to_string(&path).expect("the page is there");
    let mut page = before.clone();
    look(&mut page);
    if page != before {
        std::fs::write(&path, page).expect("the page can be written");
    }
}

#[allow(clippy::disallowed_methods, reason = "whether the page is to be written is for the one who starts the tests")]
fn is_update() -> bool {
    std::env::var_os("UPDATE_EXPECT").is_some()
}

fn on_page(page: &mut String, id: &str, row: &Row) {
    let begin = format!("<!-- table: {id} -->\n");
    let from = page.find(&begin).unwrap_or_else(|| panic!("the page has no table {id}")) + begin.len();
    let to = from + page[from..].find("<!-- end -->").expect("the table has an end");
    let case = format!("| {} |", row.case);
    let known = page[from..to].lines().find(|line| line.starts_with(&case)).map(str::to_owned);
    match known {
        _ if is_update() => match known {
            Some(known) => *page = page.replacen(&format!("{known}\n"), &format!("{}\n", row.line()), 1),
            None => page.insert_str(to, &format!("{}\n", row.line())),
        },
        None => panic!("the page's table {id} lacks\n{}", row.line()),
        Some(known) => {
            let cells: Vec<_> = known[case.len()..].split('|').map(str::trim).collect();
            let figures = cells.chunks(2).filter_map(|two| two.get(1)).map(|cell| cell.parse().ok());
            let near = figures.zip(&row.figures).filter(|(page, figure)| figure.is_near(figure.ours, *page)).count();
            assert_eq!(near, row.figures.len(), "{id}: the page says\n{known}\nand the simulator\n{}", row.line());
        }
    }
}
