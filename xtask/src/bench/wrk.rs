//! wrk: the load, and what it says it did.

use std::path::Path;
use std::process::Command;

use crate::process;

/// What wrk counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Done {
    /// Requests that were answered.
    pub(crate) requests: u64,
    /// How long it took.
    pub(crate) seconds: f64,
}

/// Who asks, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load<'a> {
    /// The cores that it may use, as taskset writes them.
    pub(crate) cores: &'a str,
    pub(crate) connections: usize,
    pub(crate) port: u16,
    pub(crate) keys: Option<Keys>,
}

/// Each request carries one of so many keys in `x-key`, drawn at random.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys(pub(crate) u32);

/// Asks as fast as answers come; any answer but a good one spoils the measurement and is an error.
pub(crate) fn run(load: &Load<'_>, dir: &Path, seconds: u64) -> Result<Done, String> {
    let mut command = Command::new("taskset");
    command.args(["-c", load.cores, "wrk", "-t1", &format!("-c{}", load.connections), &format!("-d{seconds}s")]);
    if let Some(keys) = load.keys {
        let script = dir.join("keys.lua");
        let text = format!(
            "request = function()\n  return \"GET / HTTP/1.1\\r\\nhost: bench\\r\\nx-key: \" .. math.random({}) .. \
             \"\\r\\n\\r\\n\"\nend\n",
            keys.0
        );
        std::fs::write(&script, text).map_err(|error| format!("{}: {error}", script.display()))?;
        command.arg("-s").arg(script);
    }
    parse(&process::output(command.arg(format!("http://127.0.0.1:{}/", load.port)))?)
}

fn parse(text: &str) -> Result<Done, String> {
    if let Some(line) = text.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors")) {
        return Err(format!("wrk saw failures: {}", line.trim()));
    }
    let line = text.lines().find(|line| line.contains(" requests in ")).ok_or("wrk did not say what it did")?;
    let mut words = line.split_whitespace();
    let requests = words.next().and_then(|word| word.parse().ok()).filter(|&requests| requests > 0);
    let seconds = words.nth(2).and_then(|word| seconds(word.trim_end_matches(',')));
    match (requests, seconds) {
        (Some(requests), Some(seconds)) => Ok(Done { requests, seconds }),
        _ => Err(format!("wrk said: {line}")),
    }
}

/// A length of time as wrk writes it: in milliseconds, seconds or minutes.
fn seconds(text: &str) -> Option<f64> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0)];
    units.iter().find_map(|(unit, length)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_understood_and_failures_are_not_overlooked() {
        let text = "Running 4s test\n  1 threads and 64 connections\n  81234 requests in 4.05s, 12.3MB read\n";
        assert_eq!(parse(text), Ok(Done { requests: 81_234, seconds: 4.05 }));
        assert_eq!(parse("  90 requests in 1.50m, 1MB read"), Ok(Done { requests: 90, seconds: 90.0 }));
        assert!(parse(&format!("{text}  Non-2xx or 3xx responses: 3\n")).is_err());
        assert!(parse(&format!("{text}  Socket errors: connect 0, read 3, write 0, timeout 0\n")).is_err());
        assert!(parse("").is_err());
    }
}
