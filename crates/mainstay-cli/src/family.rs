//! Processes that belong to another: one that was started for a demo or a test must not outlive it.

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use crate::outcome::{Outcome, Trouble, while_doing};

/// Lets the kernel end this process when `parent`, which started it, ends, however that ends.
pub(crate) fn end_with(parent: u32) -> Outcome {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(while_doing("binding to the parent process"))?;
    // A parent that ended before the line above is never noticed by the kernel.
    let still_there = getppid().is_some_and(|now| now.as_raw_nonzero().get().unsigned_abs() == parent);
    if still_there { Ok(()) } else { Err(Trouble::failed("the parent process has ended")) }
}
