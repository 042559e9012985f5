//! Room for as many connections as the configuration allows: each takes a file descriptor, and usually one more towards
//! an instance.
//!
//! The soft limit is raised as far as needed and as the hard limit lets it; what is missing then is said at the start,
//! because otherwise it would be found out under the first real load.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the node itself needs: listeners, admin, logs, name look-ups, runtimes.
const OWN: u64 = 256;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// There is room for all.
    Enough,
    /// There is room for this many connections only.
    Short {
        /// How many.
        connections: u64,
    },
}

/// Makes room for `connections` callers.
pub(crate) fn make_room(connections: u32) -> Room {
    let limit = getrlimit(Resource::Nofile);
    let wanted = needed(u64::from(connections));
    let Some(target) = target(limit.current, limit.maximum, wanted) else { return Room::Enough };
    let raised = Rlimit { current: Some(target), maximum: limit.maximum };
    let got = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => target,
        Err(_) => limit.current.unwrap_or(u64::MAX),
    };
    if got >= wanted { Room::Enough } else { Room::Short { connections: got.saturating_sub(OWN) / 2 } }
}

const fn needed(connections: u64) -> u64 {
    connections * 2 + OWN
}

/// The soft limit to ask for; `None` when the one in force is enough. No limit is `None` in the arguments.
fn target(soft: Option<u64>, hard: Option<u64>, wanted: u64) -> Option<u64> {
    let soft = soft?;
    (soft < wanted).then(|| hard.map_or(wanted, |hard| hard.min(wanted)).max(soft))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_needed_and_allowed() {
        assert_eq!(target(Some(1024), Some(1 << 20), 20_256), Some(20_256));
        assert_eq!(target(Some(1024), Some(4096), 20_256), Some(4096));
        assert_eq!(target(Some(1024), None, 20_256), Some(20_256));
        assert_eq!(target(Some(65_536), Some(65_536), 20_256), None);
        assert_eq!(target(None, None, 20_256), None);
        assert_eq!(target(Some(1024), Some(1024), 20_256), Some(1024));
    }

    #[test]
    fn a_configuration_that_fits_needs_nothing_said() {
        assert_eq!(make_room(1), Room::Enough);
    }
}
