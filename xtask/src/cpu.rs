//! What a process takes: CPU time as the kernel accounts it, to the nanosecond (the first figure of
//! `/proc/PID/task/TID/schedstat`), and memory that is resident.

use std::fs;

/// Nanoseconds that the threads of a process and of its children have run so far.
pub(crate) fn of_process_and_children(pid: u32) -> Result<u64, String> {
    with_children(pid).into_iter().map(of_process).sum()
}

/// A process and its children.
pub(crate) fn with_children(pid: u32) -> Vec<u32> {
    let mut all = children(pid);
    all.push(pid);
    all
}

/// KiB that a process and its children have resident.
pub(crate) fn resident(pid: u32) -> Result<u64, String> {
    with_children(pid).into_iter().map(resident_of).sum()
}

fn resident_of(pid: u32) -> Result<u64, String> {
    let file = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("a process without memory")?;
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).ok_or_else(|| format!("{file}: {line}"))
}

/// Nanoseconds that the threads of a process have run so far.
pub(crate) fn of_process(pid: u32) -> Result<u64, String> {
    let dir = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&dir).map_err(|error| format!("{dir}: {error}"))?;
    let mut sum = 0;
    for task in tasks.flatten() {
        // A thread may end between the listing and the reading; what ends in a steady run has done little.
        let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
        sum += text.split_whitespace().next().and_then(|ran| ran.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(sum)
}

fn children(pid: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|&id| parent(id) == Some(pid)).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold spaces and parentheses of its own.
    let after_name = stat.rsplit_once(')')?.1;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_is_seen_to_work() {
        let before = of_process_and_children(std::process::id()).unwrap();
        let sum = (0..50_000_000_u64).fold(0, |sum: u64, n| std::hint::black_box(sum ^ n));
        std::hint::black_box(sum);
        assert!(of_process_and_children(std::process::id()).unwrap() > before);
    }

    #[test]
    fn a_child_is_found_by_its_parent() {
        let mut child = std::process::Command::new("sleep").arg("10").spawn().unwrap();
        assert!(children(std::process::id()).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
