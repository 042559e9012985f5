//! What was asked and what became of it, by method and code, as gRPC servers count it.

use std::sync::atomic::{AtomicU64, Ordering};

use tonic::Code;

use super::door::METHODS;

/// The names of codes, as metrics have them, by their number.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// The counts of one method.
#[derive(Debug, Default)]
struct Method {
    started: AtomicU64,
    handled: [AtomicU64; CODES.len()],
}

/// The counts of a server.
#[derive(Debug)]
pub(crate) struct Counts {
    methods: Vec<Method>,
}

impl Default for Counts {
    fn default() -> Self {
        Self { methods: METHODS.iter().map(|_| Method::default()).collect() }
    }
}

impl Counts {
    pub(crate) fn started(&self, method: usize) {
        if let Some(method) = self.methods.get(method) {
            method.started.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A stream counts when it has begun.
    pub(crate) fn handled(&self, method: usize, code: Code) {
        let code = usize::try_from(i32::from(code)).unwrap_or_default();
        if let Some(count) = self.methods.get(method).and_then(|method| method.handled.get(code)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes them as Prometheus reads them; what never happened is left out.
    pub(crate) fn write(&self, text: &mut String) {
        let name = "grpc_server_started_total";
        head(text, name, "counter", "Calls that were begun.");
        for (method, counts) in METHODS.iter().zip(&self.methods) {
            line(text, name, &method.labels(), counts.started.load(Ordering::Relaxed));
        }
        let name = "grpc_server_handled_total";
        head(text, name, "counter", "Calls that were answered, by the code of the answer; streams that were opened.");
        for (method, counts) in METHODS.iter().zip(&self.methods) {
            for (code, count) in CODES.iter().zip(&counts.handled) {
                line(text, name, &format!("grpc_code=\"{code}\",{}", method.labels()), count.load(Ordering::Relaxed));
            }
        }
    }
}

pub(crate) fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    *text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn line(text: &mut String, name: &str, labels: &str, value: u64) {
    if value > 0 {
        *text += &format!("{name}{{{labels}}} {value}\n");
    }
}
