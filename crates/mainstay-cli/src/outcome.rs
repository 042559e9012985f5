//! How the command ends: 0 done; 1 it failed, or what had to hold did not; 2 the arguments or the configuration are wrong.

use std::fmt;

/// Why the command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Trouble {
    status: u8,
    message: String,
}

/// What every verb gives back.
pub(crate) type Outcome<T = ()> = Result<T, Trouble>;

impl Trouble {
    /// It failed, or what had to hold did not: exit status 1.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { status: 1, message: message.into() }
    }

    /// The arguments or the configuration are wrong: exit status 2.
    pub(crate) fn wrong(message: impl Into<String>) -> Self {
        Self { status: 2, message: message.into() }
    }

    /// The same end when everything that there is to say has been printed.
    pub(crate) fn silent(status: u8) -> Self {
        Self { status, message: String::new() }
    }

    /// The process's exit status.
    pub(crate) fn status(&self) -> u8 {
        self.status
    }

    /// Whether there is something to print.
    pub(crate) fn is_silent(&self) -> bool {
        self.message.is_empty()
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// An error of the outside world, with what we were doing: `opening shop.log: permission denied`.
pub(crate) fn while_doing<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Trouble {
    move |error| Trouble::failed(format!("{what}: {error}"))
}
