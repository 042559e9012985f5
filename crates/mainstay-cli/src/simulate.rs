//! `mainstay simulate`: a scenario in virtual time, under the configuration that a node would run; or what a node decided.

mod against;
mod edges;
mod replay;

use std::io::ErrorKind;
use std::path::Path;

use mainstay_config::scenario::Scenario;
use mainstay_config::{Config, load_scenario};
use mainstay_node::ConfigFile;
use mainstay_sim::report::Report;
use mainstay_sim::shown::Shown;
use mainstay_sim::{Progress, Unplayable, left_out, play_and_tell, scenarios};
use serde_json::json;

use crate::args::SimulateArgs;
use crate::outcome::{Outcome, Trouble};
use crate::progress::Line;
use crate::{node, print, show};

/// `mainstay simulate -c FILE -s SCENARIO`
pub(crate) fn command(args: &SimulateArgs) -> Outcome {
    if let Some(directory) = &args.replay {
        return replay::command(args, directory);
    }
    let loaded = ConfigFile::new(args.config(), args.set.clone()).load().map_err(|error| node::explained(&error))?;
    let scenario = scenario(args.scenario(), &loaded.config)?;
    let seed = args.seed.unwrap_or(scenario.seed);
    for sentence in left_out(&loaded.config, &scenario) {
        print::note(format_args!("note: {sentence}"));
    }
    if args.search {
        return edges::command(args, &loaded.config, &scenario, seed);
    }
    let report = played(args, (args.config(), &args.set), &loaded.config, &scenario, seed)?;
    match &args.against {
        Some(file) => against::command(args, file, &scenario, &loaded.effective, &report)?,
        None => alone(args, &report)?,
    }
    if report.held { Ok(()) } else { Err(Trouble::silent(1)) }
}

/// Plays the scenario under a configuration; the file and the keys are for the line that plays it again.
fn played(
    args: &SimulateArgs,
    (file, set): (&Path, &[(String, String)]),
    config: &Config,
    scenario: &Scenario,
    seed: u64,
) -> Outcome<Report> {
    let replay = replay_line(file, set, args.scenario(), seed);
    let mut line = Line::on_standard_error();
    let mut tell = |Progress { share, calls }: Progress| {
        line.say(format_args!("{}: {:.0} % of the time, {calls} calls", scenario.name, share * 100.0));
    };
    let outcome = play_and_tell(config, scenario, seed, &replay, &mut tell);
    drop(line);
    Ok(outcome.map_err(|unplayable| refused(args.scenario(), &unplayable))?.report)
}

fn alone(args: &SimulateArgs, report: &Report) -> Outcome {
    let name = args.config().to_string_lossy();
    let shown = Shown::one(&name, report);
    if args.json { print::json(&json!(report)) } else { show::summary(&shown) }?;
    show::pictures(&shown, &args.pictures)
}

/// The scenario in a file, or one that comes along: a file of that name comes first.
pub(crate) fn scenario(named: &str, config: &Config) -> Outcome<Scenario> {
    let text = match std::fs::read_to_string(Path::new(named)) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => scenarios::text(named, scenarios::service(config))
            .ok_or_else(|| {
                let known = scenarios::names().collect::<Vec<_>>().join(", ");
                Trouble::wrong(format!("there is no file {named} and no scenario of that name; there are {known}"))
            })?,
        Err(error) => return Err(Trouble::wrong(format!("cannot read {named}: {error}"))),
    };
    load_scenario(named, &text).map_err(|problems| {
        print::note(problems.render(node::colour()));
        Trouble::silent(2)
    })
}

fn refused(scenario: &str, unplayable: &[Unplayable]) -> Trouble {
    for Unplayable { line, message } in unplayable {
        let line = line.map_or_else(String::new, |line| format!(":{line}"));
        print::note(format_args!("error: {message}\n  --> {scenario}{line}"));
    }
    Trouble::silent(2)
}

/// The line that plays the same again.
fn replay_line(file: &Path, set: &[(String, String)], scenario: &str, seed: u64) -> String {
    let set: String = set.iter().map(|(key, value)| format!(" --set {}", quoted(&format!("{key}={value}")))).collect();
    let config = quoted(&file.to_string_lossy());
    format!("mainstay simulate -c {config}{set} -s {} --seed {seed}", quoted(scenario))
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_split_it() {
        assert_eq!(quoted("service.shop.retry=off"), "service.shop.retry=off");
        assert_eq!(quoted("a b's"), r"'a b'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
