//! `mainstay run` and `mainstay check`: a configuration that is used, and one that is only looked at.

use std::io::IsTerminal;

use mainstay_node::{ConfigError, ConfigFile, Node, RecordTo};
use serde_json::json;

use crate::args::{CheckArgs, FileArgs, RunArgs};
use crate::outcome::{Outcome, Trouble, while_doing};
use crate::{family, print};

/// `mainstay run [FILE]`
pub(crate) fn run(args: &RunArgs) -> Outcome {
    if let Some(parent) = args.with_parent {
        family::end_with(parent)?;
    }
    let file = file(&args.config);
    let loaded = file.load().map_err(|error| explained(&error))?;
    if !loaded.warnings.is_empty() {
        print::note(loaded.warnings.render(colour()));
    }
    // Calls run on threads of their own; here stand the admin API, health checks and all that is slow.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).thread_name("control").enable_all().build();
    runtime.map_err(while_doing("starting"))?.block_on(async {
        let record = args.record.clone().map(|directory| RecordTo { directory, max: args.record_max });
        let node = Node::start_recorded(loaded, file, record).await.map_err(|error| Trouble::failed(chain(&error)))?;
        node.run_until_stopped().await.map_err(while_doing("waiting for signals")).map(|_| ())
    })
}

/// `mainstay check [FILE]`
pub(crate) fn check(args: &CheckArgs) -> Outcome {
    let loaded = match file(&args.config).load() {
        Ok(loaded) => loaded,
        Err(ConfigError::Wrong(problems)) if args.json => {
            print::json(&json!({ "good": false, "problems": problems.to_json() }))?;
            return Err(Trouble::silent(2));
        }
        Err(error) => return Err(explained(&error)),
    };
    let good = loaded.warnings.is_empty() || !args.strict;
    if args.json {
        let effective = args.effective.then(|| loaded.effective.to_json());
        print::json(&json!({ "good": good, "problems": loaded.warnings.to_json(), "effective": effective }))?;
    } else {
        if !loaded.warnings.is_empty() {
            print::note(loaded.warnings.render(colour()));
        }
        if args.effective {
            print::result(loaded.effective.to_text().trim_end())?;
        } else if good {
            print::result(format_args!("{} is good", args.config.file.display()))?;
        }
    }
    if good { Ok(()) } else { Err(Trouble::silent(2)) }
}

fn file(args: &FileArgs) -> ConfigFile {
    ConfigFile::new(&args.file, args.set.clone())
}

/// A configuration that cannot be used: exit status 2, and every problem as it is drawn for people.
pub(crate) fn explained(error: &ConfigError) -> Trouble {
    match error {
        ConfigError::Wrong(problems) => {
            print::note(problems.render(colour()));
            Trouble::silent(2)
        }
        ConfigError::Read { path, source } if source.kind() == std::io::ErrorKind::NotFound => Trouble::wrong(format!(
            "there is no file {}: name your configuration (`mainstay VERB --help` says where); `mainstay demo` needs none",
            path.display()
        )),
        ConfigError::Read { .. } => Trouble::wrong(chain(error)),
    }
}

/// Whether standard error is read by a person who wants colours.
pub(crate) fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// An error and what it came from, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
