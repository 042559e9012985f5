//! Processes that belong to another: one that was started for a demo or a test must not outlive it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use crate::outcome::{Outcome, Trouble, while_doing};

/// Lets the kernel end this process when `parent`, which started it, ends, however that ends.
pub(crate) fn end_with(parent: u32) -> Outcome {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(while_doing("binding to the parent process"))?;
    // A parent that ended before the line above is never noticed by the kernel.
    let still_there = getppid().is_some_and(|now| now.as_raw_nonzero().get().unsigned_abs() == parent);
    if still_there { Ok(()) } else { Err(Trouble::failed("the parent process has ended")) }
}

/// Becomes another program that ends with `parent`.
pub(crate) fn become_program(parent: u32, command: &[OsString]) -> Outcome {
    end_with(parent)?;
    let (program, arguments) = command.split_first().ok_or_else(|| Trouble::wrong("there is no program"))?;
    // It comes back only when it failed.
    let error = Command::new(program).args(arguments).exec();
    Err(Trouble::failed(format!("{}: {error}", program.to_string_lossy())))
}
