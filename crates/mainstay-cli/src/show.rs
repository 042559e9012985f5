//! How a play is shown: on standard output, and in the files that were asked for.

use std::io::IsTerminal;
use std::path::Path;

use mainstay_sim::shown::Shown;
use mainstay_sim::summary::{self, Terminal};
use mainstay_sim::{html, picture};
use ratatui::crossterm::terminal;

use crate::args::PictureArgs;
use crate::outcome::{Outcome, while_doing};
use crate::print;

/// Prints the summary.
pub(crate) fn summary(shown: &Shown<'_>) -> Outcome {
    print::result(summary::text(shown, standard_output()).trim_end())
}

/// Draws what was asked for.
pub(crate) fn pictures(shown: &Shown<'_>, args: &PictureArgs) -> Outcome {
    if let Some(file) = &args.plot {
        write(file, &picture::svg(shown))?;
    }
    if let Some(file) = &args.html {
        write(file, &html::page(shown))?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Outcome {
    std::fs::write(file, text).map_err(while_doing(format_args!("writing {}", file.display())))
}

/// What standard output can show.
fn standard_output() -> Terminal {
    if !std::io::stdout().is_terminal() {
        return Terminal::PLAIN;
    }
    let width = terminal::size().map_or(Terminal::PLAIN.width, |(columns, _)| usize::from(columns));
    let said = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    // The first of these that is set is the one that counts (POSIX.1-2024, section 8.2).
    let charset = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(said).unwrap_or_default().to_ascii_lowercase();
    let unicode = charset.contains("utf-8") || charset.contains("utf8");
    Terminal { width, unicode, colour: said("NO_COLOR").is_none() }
}
