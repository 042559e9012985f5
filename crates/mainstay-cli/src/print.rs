//! What goes to standard output and standard error, and how a table is laid out.
//!
//! Results go to standard output; a reader that leaves early (`mainstay services | head -1`) ends the printing without
//! a word, because it has what it wanted. Everything else goes to standard error, where nobody may be listening either.

use std::fmt;
use std::io::{ErrorKind, Write};

use crate::outcome::{Outcome, Trouble};

/// Prints a result and a line end.
pub(crate) fn result(text: impl fmt::Display) -> Outcome {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Trouble::failed(format!("writing the result: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a JSON value as a result, indented for people.
pub(crate) fn json(value: &serde_json::Value) -> Outcome {
    result(format_args!("{value:#}"))
}

/// Says something that is no result.
pub(crate) fn note(text: impl fmt::Display) {
    // Nobody can be told that standard error is gone.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Rows under a head, in columns as wide as their widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row<I, S>(&mut self, cells: I)
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        widths
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (number, row) in self.rows.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            f.write_str(cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(["a", "in"]);
        table.row(["longer", ""]);
        assert_eq!(table.to_string(), "NAME    STATE\na       in\nlonger");
    }
}
