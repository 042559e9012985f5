//! Bugs that can be let in again, to see that they are found (`cargo xtask soak mutants`): in a binary that is built for that
//! alone (the feature `mutants`) the one that `MAINSTAY_MUTANT` names, and in every other none.

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Entries count as flushed when they are taken in.
    EarlyAcknowledge,
    /// A read asks no majority.
    LoneRead,
    /// A leader that comes back leads on in its old term, and reads at what it knows to be committed.
    ForgetfulLeader,
    /// A watch leaves out the last of several events.
    DroppedEvent,
    /// A lease that has ended is kept alive.
    RevivedLease,
    /// What may have been carried out is proposed again.
    SecondProposal,
}

/// Whether a bug is there.
#[cfg(feature = "mutants")]
pub(crate) fn is(mutant: Mutant) -> bool {
    static NAMED: std::sync::LazyLock<Option<Mutant>> = std::sync::LazyLock::new(|| {
        Some(match std::env::var("MAINSTAY_MUTANT").ok()?.as_str() {
            "early-acknowledge" => Mutant::EarlyAcknowledge,
            "lone-read" => Mutant::LoneRead,
            "forgetful-leader" => Mutant::ForgetfulLeader,
            "dropped-event" => Mutant::DroppedEvent,
            "revived-lease" => Mutant::RevivedLease,
            "second-proposal" => Mutant::SecondProposal,
            _ => return None,
        })
    });
    *NAMED == Some(mutant)
}

/// Whether a bug is there.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is(_: Mutant) -> bool {
    false
}
