//! What can be typed after `mainstay store`.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

/// `mainstay store`
#[derive(Debug, Group)]
pub(crate) struct StoreArgs {
    /// Where members are reached, HOST:PORT; the first that answers is asked
    #[arg(
        long,
        global = true,
        value_delimiter = ',',
        env = "MAINSTAY_STORE_ENDPOINTS",
        default_value = "127.0.0.1:2379",
        value_name = "ADDRESS,…"
    )]
    pub(crate) endpoints: Vec<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) deed: Deed,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Deed {
    /// Read keys
    Get(GetArgs),
    /// Set a key; a value of - is read from standard input
    Put(PutArgs),
    /// Delete keys
    Delete(DeleteArgs),
    /// Print what happens to keys, until interrupted
    Watch(WatchArgs),
    /// Compare, then do one of two lists of things as one: three paragraphs from a file or standard input
    #[command(after_help = "The paragraphs are comparisons, what is done if all hold, and what is done if not:\n\n  \
                            mod(\"job\") = \"0\"\n  value(\"owner\") = \"n1\"\n\n  put job running\n  get owner\n\n  \
                            get job\n\nA comparison is version, create, mod, lease or value of a key, then =, !=, < or >.")]
    Txn {
        /// The file; standard input if none is named
        file: Option<PathBuf>,
    },
    /// Make, end, keep alive and look at leases
    #[command(subcommand)]
    Lease(LeaseDeed),
    /// Hold a lock until interrupted, or while a command runs
    Lock(LockArgs),
    /// Stand for an election and lead until interrupted; with --listen, watch who leads
    Elect(ElectArgs),
    /// Look at the members, and change them
    #[command(subcommand)]
    Member(MemberDeed),
    /// How each endpoint stands
    Status,
    /// Say what is wrong with the cluster, and what to do
    Doctor,
    /// Forget revisions older than this one
    Compact {
        /// The oldest revision that stays
        revision: i64,
    },
    /// Hand leadership to another member
    MoveLeader {
        /// Its name or its number
        to: String,
    },
    /// Save all data in a file
    Snapshot {
        /// The file; it must not be there
        file: PathBuf,
    },
}

/// Which keys.
#[derive(Debug, Group)]
pub(crate) struct KeysArgs {
    /// The key
    pub(crate) key: String,
    /// Up to this key, exclusive
    pub(crate) end: Option<String>,
    /// All keys that begin with it
    #[arg(long, conflicts_with_all = ["end", "from_key"])]
    pub(crate) prefix: bool,
    /// All keys from it on
    #[arg(long, conflicts_with = "end")]
    pub(crate) from_key: bool,
}

/// `mainstay store get`
#[derive(Debug, Group)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    pub(crate) keys: KeysArgs,
    /// As of this revision
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub(crate) revision: i64,
    /// At most so many
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub(crate) limit: i64,
    /// Only the names
    #[arg(long)]
    pub(crate) keys_only: bool,
    /// Only how many
    #[arg(long)]
    pub(crate) count: bool,
    /// Only the values
    #[arg(long)]
    pub(crate) value_only: bool,
    /// What the member itself knows, which may be old: answered without a majority too
    #[arg(long)]
    pub(crate) serializable: bool,
}

/// `mainstay store put`
#[derive(Debug, Group)]
pub(crate) struct PutArgs {
    /// The key
    pub(crate) key: String,
    /// What it shall hold
    pub(crate) value: String,
    /// The lease that it shall hang on, in hexadecimal as `lease grant` prints it
    #[arg(long, value_parser = lease_id, default_value = "0", hide_default_value = true)]
    pub(crate) lease: i64,
    /// Print what it was before
    #[arg(long)]
    pub(crate) previous: bool,
}

/// `mainstay store delete`
#[derive(Debug, Group)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) keys: KeysArgs,
    /// Print what they were
    #[arg(long)]
    pub(crate) previous: bool,
}

/// `mainstay store watch`
#[derive(Debug, Group)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) keys: KeysArgs,
    /// From this revision on
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub(crate) revision: i64,
    /// Print what was there before, too
    #[arg(long)]
    pub(crate) previous: bool,
    /// End after so many events
    #[arg(long)]
    pub(crate) events: Option<u64>,
}

/// `mainstay store lease`
#[derive(Debug, Subcommand)]
pub(crate) enum LeaseDeed {
    /// Make a lease, and print its number
    Grant {
        /// How long it lives without a sign of life, in seconds
        seconds: i64,
    },
    /// End a lease: its keys are deleted
    Revoke {
        /// Its number
        #[arg(value_parser = lease_id)]
        id: i64,
    },
    /// Keep a lease alive until interrupted
    KeepAlive {
        /// Its number
        #[arg(value_parser = lease_id)]
        id: i64,
        /// Once only
        #[arg(long)]
        once: bool,
    },
    /// How long a lease still lives, and its keys
    Show {
        /// Its number
        #[arg(value_parser = lease_id)]
        id: i64,
    },
    /// All leases
    List,
}

/// `mainstay store lock`
#[derive(Debug, Group)]
pub(crate) struct LockArgs {
    /// The lock's name
    pub(crate) name: String,
    /// How long the lock outlives a process that is gone, in seconds
    #[arg(long, default_value_t = 10)]
    pub(crate) ttl: i64,
    /// Run this while the lock is held; it gets MAINSTAY_LOCK_KEY and, to fence what it writes, MAINSTAY_LOCK_REVISION
    #[arg(last = true)]
    pub(crate) command: Vec<String>,
}

/// `mainstay store elect`
#[derive(Debug, Group)]
pub(crate) struct ElectArgs {
    /// The election's name
    pub(crate) name: String,
    /// What the leader says of itself
    #[arg(required_unless_present = "listen")]
    pub(crate) value: Option<String>,
    /// Only watch who leads
    #[arg(long)]
    pub(crate) listen: bool,
    /// How long leadership outlives a process that is gone, in seconds
    #[arg(long, default_value_t = 10)]
    pub(crate) ttl: i64,
}

/// `mainstay store member`
#[derive(Debug, Subcommand)]
pub(crate) enum MemberDeed {
    /// All members
    List,
    /// Add a member: it learns, and votes once it has caught up. Start it with `store.join` then
    Add {
        /// Where the others will reach it, HOST:PORT: its store.peer
        peer: String,
        /// It only learns, until it is promoted
        #[arg(long)]
        learner: bool,
    },
    /// Remove a member, for good
    Remove {
        /// Its name or its number
        member: String,
    },
    /// Have a learner vote
    Promote {
        /// Its name or its number
        member: String,
    },
    /// Have the others reach a member at another address
    Update {
        /// Its name or its number
        member: String,
        /// The address, HOST:PORT
        peer: String,
    },
}

/// The number of a lease, as it is printed: hexadecimal.
fn lease_id(text: &str) -> Result<i64, String> {
    let digits = text.trim_start_matches("0x");
    u64::from_str_radix(digits, 16)
        .map(u64::cast_signed)
        .map_err(|_| "a lease has a hexadecimal number, as `lease grant` prints it".to_owned())
}
