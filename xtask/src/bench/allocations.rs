//! How often a program asks for memory: a library before the C library's allocator counts in a file that both map.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{process, root};

/// The library and the file in which it counts.
#[derive(Debug)]
pub(crate) struct Counter {
    library: PathBuf,
    file: PathBuf,
}

impl Counter {
    /// Builds the library in `dir`; none without a C compiler.
    pub(crate) fn build(dir: &Path) -> Result<Option<Self>, String> {
        if process::find("cc").is_none() {
            return Ok(None);
        }
        let counter = Self { library: dir.join("count-allocations.so"), file: dir.join("allocations") };
        let source = root().join("bench").join("count-allocations.c");
        process::run(Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&counter.library).arg(source))?;
        std::fs::write(&counter.file, [0; 8]).map_err(|error| format!("{}: {error}", counter.file.display()))?;
        Ok(Some(counter))
    }

    /// Lets whatever `command` starts be counted.
    pub(crate) fn watch(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("COUNT_ALLOCATIONS_IN", &self.file);
    }

    /// How many there have been.
    pub(crate) fn read(&self) -> Result<u64, String> {
        let bytes = std::fs::read(&self.file).map_err(|error| format!("{}: {error}", self.file.display()))?;
        let bytes = bytes.try_into().map_err(|_| "the file of counts has another length than a count")?;
        Ok(u64::from_ne_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_asks_for_memory_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let Some(counter) = Counter::build(dir.path()).unwrap() else {
            eprintln!("skipped: no C compiler");
            return;
        };
        let mut command = Command::new("ls");
        counter.watch(&mut command);
        process::output(&mut command).unwrap();
        assert!(counter.read().unwrap() > 0);
    }
}
