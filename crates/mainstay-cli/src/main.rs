//! The binary `mainstay`: reads arguments, calls the rest, prints.
//!
//! Exit status: 0 done; 1 it failed, or what had to hold did not; 2 the arguments or the configuration are wrong.
//! Results go to standard output, everything else to standard error.

mod admin;
mod args;
mod demo;
mod drill;
mod family;
mod instance;
mod load;
mod node;
mod outcome;
mod print;
mod progress;
mod show;
mod simulate;
mod store;
mod top;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Verb};
use crate::outcome::{Outcome, Trouble, while_doing};

fn main() -> ExitCode {
    match dispatch(Args::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            if !trouble.is_silent() {
                print::note(format_args!("mainstay: {trouble}"));
            }
            ExitCode::from(trouble.status())
        }
    }
}

fn dispatch(verb: Verb) -> Outcome {
    match verb {
        Verb::Instance(args) => instance::command(&args),
        Verb::Demo(args) => demo::command(&args),
        Verb::Load(args) => load::command(&args),
        Verb::Top(args) => top::command(&args),
        Verb::Simulate(args) => simulate::command(&args),
        Verb::Drill(args) => drill::command(args),
        Verb::Watchdog(args) => drill::watchdog(&args),
        Verb::Exec(args) => family::become_program(args.with_parent, &args.command),
        Verb::Store(args) => store::command(&args),
        Verb::Registry(_) => later("registry"),
        Verb::Backup(_) => later("backup"),
        Verb::Explain(args) => admin::explain(&args),
        Verb::Services(args) => admin::services(&args),
        Verb::Endpoints(args) => admin::endpoints(&args),
        Verb::Drain(args) => admin::order(&args, "draining"),
        Verb::Eject(args) => admin::order(&args, "ejected"),
        Verb::Restore(args) => admin::order(&args, "ready"),
        Verb::Breaker(args) => admin::breaker(&args),
        Verb::Fault(args) => admin::fault(&args),
        Verb::Run(args) => node::run(&args),
        Verb::Check(args) => node::check(&args),
    }
}

fn later(verb: &str) -> Outcome {
    Err(Trouble::wrong(format!("`mainstay {verb}`: known, not in this version")))
}

/// A runtime on this thread: what the command does beside running a node is never more than one core's work.
fn runtime() -> Outcome<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(while_doing("starting"))
}
