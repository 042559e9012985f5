//! What came of each request, one JSON object per line, for whoever judges more than sums: when it was due, how long it
//! took, how it ended.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::report::Sample;

/// A file of samples. What cannot be written is told at the end, once.
#[derive(Debug)]
pub(crate) struct Samples(Mutex<(BufWriter<File>, io::Result<()>)>);

impl Samples {
    /// Begins a new file.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(Mutex::new((BufWriter::new(File::create(path)?), Ok(())))))
    }

    /// Appends one.
    pub(super) fn write(&self, sample: &Sample) {
        let (file, so_far) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if so_far.is_ok() {
            *so_far = writeln!(file, "{}", sample.to_json());
        }
    }

    /// Writes out what is held, and tells whether all was written.
    pub(super) fn end(&self) -> io::Result<()> {
        let (file, so_far) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(so_far, Ok(())).and_then(|()| file.flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::report::End;
    use serde_json::{Value, json};
    use std::time::Duration;

    #[test]
    fn every_request_has_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("samples");
        let samples = Samples::create(&file).unwrap();
        for (id, post, end) in [("a", false, End::Good), ("b", true, End::Status(503))] {
            let due = Duration::from_millis(1500);
            samples.write(&Sample { id: id.to_owned(), post, due, took: Duration::from_millis(10), end });
        }
        samples.end().unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let line =
            |id, method, end| json!({ "id": id, "method": method, "due_ms": 1500.0, "took_ms": 10.0, "end": end });
        assert_eq!(lines, [line("a", "GET", "good"), line("b", "POST", "status 503")]);
    }
}
