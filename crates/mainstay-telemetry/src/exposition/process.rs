//! The figures of the process itself, from `/proc/self`, under the names that every exporter uses.
//!
//! What cannot be read is left out: a figure that is missing says less that is wrong than a zero.

use std::fs;

use super::text::{Kind, Text};

/// Ticks per second of the times in `/proc`: Linux tells programs 100 on every architecture in use, whatever its own
/// timer does.
const TICKS: f64 = 100.0;

/// What the system says of this process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessFigures {
    /// Processor time in seconds, user and system.
    pub cpu_seconds: Option<f64>,
    /// Memory in RAM, in bytes.
    pub resident_bytes: Option<u64>,
    /// Address space in bytes.
    pub virtual_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// The most that may be open.
    pub max_fds: Option<u64>,
    /// When it began, in seconds since 1970.
    pub start_seconds: Option<f64>,
    /// Threads.
    pub threads: Option<u64>,
}

impl ProcessFigures {
    /// Reads them now; blocks for as long as the kernel takes to answer, so never on a worker.
    #[must_use]
    pub fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let boot = fs::read_to_string("/proc/stat").ok().and_then(|text| number_after(&text, "btime"));
        Self {
            cpu_seconds: field(&stat, 14).zip(field(&stat, 15)).map(|(user, system)| (user + system) as f64 / TICKS),
            resident_bytes: number_after(&status, "VmRSS:").map(|kib| kib * 1024),
            virtual_bytes: number_after(&status, "VmSize:").map(|kib| kib * 1024),
            threads: number_after(&status, "Threads:"),
            // The directory that is read is open itself.
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|entries| (entries.count() as u64).saturating_sub(1)),
            max_fds: number_after(&limits, "Max open files"),
            start_seconds: boot.zip(field(&stat, 22)).map(|(boot, ticks)| boot as f64 + ticks as f64 / TICKS),
        }
    }

    pub(super) fn write(&self, text: &mut Text<'_>) {
        use Kind::{Counter, Gauge};
        if let Some(value) = self.cpu_seconds {
            text.single("process_cpu_seconds_total", Counter, "Processor time, user and system.", value);
        }
        let gauges = [
            ("process_resident_memory_bytes", "Memory in RAM.", self.resident_bytes),
            ("process_virtual_memory_bytes", "Address space.", self.virtual_bytes),
            ("process_open_fds", "Open file descriptors.", self.open_fds),
            ("process_max_fds", "The most file descriptors that may be open.", self.max_fds),
            ("process_threads", "Threads.", self.threads),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                text.single(name, Gauge, help, value);
            }
        }
        if let Some(value) = self.start_seconds {
            text.single("process_start_time_seconds", Gauge, "When the process began, since 1970.", value);
        }
    }
}

/// A field of `/proc/self/stat`, counted from 1 as in proc(5). The second is the name in parentheses, which may itself
/// hold spaces and parentheses.
fn field(stat: &str, number: usize) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

/// The number that follows `name` at the beginning of a line.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_shifts_no_field() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 777 1000 10";
        assert_eq!(field(stat, 14), Some(250));
        assert_eq!(field(stat, 15), Some(50));
        assert_eq!(field(stat, 22), Some(777));
        assert_eq!(field("", 14), None);
    }

    #[test]
    fn numbers_are_found_by_the_name_of_their_line() {
        assert_eq!(number_after("Name:\tx\nVmRSS:\t  1234 kB\n", "VmRSS:"), Some(1234));
        let limits =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096   files\n";
        assert_eq!(number_after(limits, "Max open files"), Some(1024));
        assert_eq!(number_after("Max open files unlimited", "Max open files"), None);
    }

    #[test]
    fn this_process_has_threads_and_memory() {
        let figures = ProcessFigures::read();
        if cfg!(target_os = "linux") {
            assert!(figures.threads.unwrap() >= 1);
            assert!(figures.resident_bytes.unwrap() > 100_000);
            assert!(figures.open_fds.unwrap() >= 1);
            assert!(figures.start_seconds.unwrap() > 1e9);
        }
    }
}
