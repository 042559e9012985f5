//! What came of each request, one JSON object per line, for whoever judges more than sums: when it was due, how long it
//! took, how it ended.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use super::Sample;

/// A file of samples. What cannot be written is told at the end, once.
#[derive(Debug)]
pub struct Samples(Mutex<(BufWriter<File>, io::Result<()>)>);

impl Samples {
    /// Begins a new file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
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
    ///
    /// # Errors
    /// Something was not.
    pub fn end(&self) -> io::Result<()> {
        let (file, so_far) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(so_far, Ok(())).and_then(|()| file.flush())
    }
}

/// A line of such a file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Taken {
    /// Its `x-request-id`.
    pub id: String,
    /// `GET` or `POST`.
    pub method: String,
    /// When it was due, in milliseconds since the beginning.
    pub due_ms: f64,
    /// How long after that the end came.
    pub took_ms: f64,
    /// What the end was: `good`, or why not.
    pub end: String,
}

impl Taken {
    /// All lines of `path`, one after the other.
    ///
    /// # Errors
    /// The file cannot be opened; of each line, it cannot be read.
    pub fn all(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Self>> + use<>> {
        let lines = BufReader::new(File::open(path)?).lines();
        Ok(lines.map(|line| serde_json::from_str(&line?).map_err(io::Error::from)))
    }

    /// Whether a right answer came in time.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.end == "good"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::End;
    use serde_json::{Value, json};
    use std::time::Duration;

    #[test]
    fn every_request_has_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("samples");
        let samples = Samples::create(&path).unwrap();
        for (id, method, end) in [("a", "GET", End::Good), ("b", "POST", End::Status(503))] {
            let due = Duration::from_millis(1500);
            samples.write(&Sample {
                id: id.to_owned(),
                method: method.to_owned(),
                due,
                took: Duration::from_millis(10),
                end,
            });
        }
        samples.end().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let line =
            |id, method, end| json!({ "id": id, "method": method, "due_ms": 1500.0, "took_ms": 10.0, "end": end });
        assert_eq!(lines, [line("a", "GET", "good"), line("b", "POST", "status 503")]);
        let taken: Vec<Taken> = Taken::all(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(
            taken.iter().map(|taken| (taken.id.as_str(), taken.is_good())).collect::<Vec<_>>(),
            [("a", true), ("b", false)]
        );
    }
}
