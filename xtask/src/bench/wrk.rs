//! wrk: the load, and what it says it did.

use std::process::Command;

use crate::process;

/// What wrk counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    /// Requests that were answered.
    pub(crate) requests: u64,
    /// How long it took.
    pub(crate) seconds: f64,
}

/// Asks as fast as answers come; any answer but a good one spoils the measurement and is an error.
pub(crate) fn run(core: usize, connections: usize, port: u16, seconds: u64) -> Result<Load, String> {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string(), "wrk", "-t1", &format!("-c{connections}"), &format!("-d{seconds}s")]);
    parse(&process::output(command.arg(format!("http://127.0.0.1:{port}/")))?)
}

fn parse(text: &str) -> Result<Load, String> {
    if let Some(line) = text.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors")) {
        return Err(format!("wrk saw failures: {}", line.trim()));
    }
    let line = text.lines().find(|line| line.contains(" requests in ")).ok_or("wrk did not say what it did")?;
    let mut words = line.split_whitespace();
    let requests = words.next().and_then(|word| word.parse().ok()).filter(|&requests| requests > 0);
    let seconds = words.nth(2).and_then(|word| word.trim_end_matches(',').strip_suffix('s')?.parse().ok());
    match (requests, seconds) {
        (Some(requests), Some(seconds)) => Ok(Load { requests, seconds }),
        _ => Err(format!("wrk said: {line}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says_is_understood_and_failures_are_not_overlooked() {
        let text = "Running 4s test\n  1 threads and 64 connections\n  81234 requests in 4.05s, 12.3MB read\n";
        assert_eq!(parse(text), Ok(Load { requests: 81_234, seconds: 4.05 }));
        assert!(parse(&format!("{text}  Non-2xx or 3xx responses: 3\n")).is_err());
        assert!(parse(&format!("{text}  Socket errors: connect 0, read 3, write 0, timeout 0\n")).is_err());
        assert!(parse("").is_err());
    }
}
