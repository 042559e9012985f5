//! Refusals in etcd's words. Clients compare codes and texts, so that both are here to the letter
//! (`etcdserver/api/v3rpc/rpctypes/error.go`); what etcd has no word for says so in ours.

use mainstay_mvcc::Refused;
use tonic::{Code, Status};

use crate::engine::Failure;
use crate::members::Unchanged;

/// A refusal that a request earns before anybody looks at the data, or that is etcd's word for what the data says.
pub(crate) type Refusal = (Code, &'static str);

pub(crate) const EMPTY_KEY: Refusal = (Code::InvalidArgument, "etcdserver: key is not provided");
pub(crate) const KEY_NOT_FOUND: Refusal = (Code::InvalidArgument, "etcdserver: key not found");
pub(crate) const VALUE_PROVIDED: Refusal = (Code::InvalidArgument, "etcdserver: value is provided");
pub(crate) const LEASE_PROVIDED: Refusal = (Code::InvalidArgument, "etcdserver: lease is provided");
pub(crate) const TOO_MANY_OPS: Refusal = (Code::InvalidArgument, "etcdserver: too many operations in txn request");
pub(crate) const TOO_DEEP: Refusal = (Code::InvalidArgument, "etcdserver: transactions are nested too deeply");
pub(crate) const DUPLICATE_KEY: Refusal = (Code::InvalidArgument, "etcdserver: duplicate key given in txn request");
pub(crate) const INVALID_SORT: Refusal = (Code::InvalidArgument, "etcdserver: invalid sort option");
pub(crate) const INVALID_COMPARE: Refusal = (Code::InvalidArgument, "etcdserver: invalid comparison");
pub(crate) const COMPACTED: Refusal = (Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted");
pub(crate) const FUTURE: Refusal = (Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision");
pub(crate) const NO_SPACE: Refusal = (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded");
pub(crate) const LEASE_NOT_FOUND: Refusal = (Code::NotFound, "etcdserver: requested lease not found");
pub(crate) const LEASE_EXISTS: Refusal = (Code::FailedPrecondition, "etcdserver: lease already exists");
pub(crate) const LEASE_TOO_LONG: Refusal = (Code::OutOfRange, "etcdserver: too large lease TTL");
pub(crate) const TOO_LARGE: Refusal = (Code::InvalidArgument, "etcdserver: request is too large");
pub(crate) const TOO_MANY: Refusal = (Code::ResourceExhausted, "etcdserver: too many requests");
pub(crate) const NO_LEADER: Refusal = (Code::Unavailable, "etcdserver: no leader");
pub(crate) const UNREADABLE: Refusal = (Code::Unimplemented, "etcdserver: a member does not know this command");
pub(crate) const NOT_LEADER: Refusal = (Code::FailedPrecondition, "etcdserver: not leader");
pub(crate) const BAD_HEIR: Refusal = (Code::FailedPrecondition, "etcdserver: bad leader transferee");
pub(crate) const PEER_EXISTS: Refusal = (Code::FailedPrecondition, "etcdserver: Peer URLs already exists");
pub(crate) const BAD_PEER: Refusal = (Code::InvalidArgument, "etcdserver: given member URLs are invalid");
pub(crate) const MEMBER_NOT_FOUND: Refusal = (Code::NotFound, "etcdserver: member not found");
pub(crate) const NOT_A_LEARNER: Refusal = (Code::FailedPrecondition, "etcdserver: can only promote a learner member");
pub(crate) const LEARNER_NOT_READY: Refusal =
    (Code::FailedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader");
pub(crate) const TOO_MANY_LEARNERS: Refusal =
    (Code::FailedPrecondition, "etcdserver: too many learner members in cluster");
pub(crate) const TOO_FEW_STARTED: Refusal =
    (Code::FailedPrecondition, "etcdserver: re-configuration failed due to not enough started members");
pub(crate) const UNHEALTHY: Refusal = (Code::Unavailable, "etcdserver: unhealthy cluster");
pub(crate) const ONE_PEER: Refusal = (Code::InvalidArgument, "mainstay: a member has one peer address");
/// As in etcd 3.5, whose clients then ask another member.
pub(crate) const NOT_FOR_LEARNERS: Refusal = (Code::Unavailable, "etcdserver: rpc not supported for learner");
pub(crate) const REMOVED: Refusal =
    (Code::Unavailable, "etcdserver: the member has been permanently removed from the cluster");
pub(crate) const TIMEOUT: Refusal = (Code::Unavailable, "etcdserver: request timed out");
pub(crate) const STOPPED: Refusal = (Code::Unavailable, "etcdserver: server stopped");
pub(crate) const DEADLINE: Refusal = (Code::DeadlineExceeded, "context deadline exceeded");
pub(crate) const SESSION_EXPIRED: Refusal = (Code::Unknown, "mutex: session is expired");
pub(crate) const ELECTION_NOT_LEADER: Refusal = (Code::Unknown, "election: not leader");
pub(crate) const ELECTION_NO_LEADER: Refusal = (Code::Unknown, "election: no leader");
pub(crate) const MISSING_LEADER_KEY: Refusal = (Code::Unknown, "\"leader\" field must be provided");
pub(crate) const NO_AUTHENTICATION: Refusal =
    (Code::Unimplemented, "mainstay: users and roles are not built; the store is open to whoever reaches its port");

/// The refusal as it travels.
pub(crate) fn status(refusal: Refusal) -> Status {
    Status::new(refusal.0, refusal.1)
}

/// What the data says no to.
pub(crate) fn refused(refused: Refused) -> Status {
    status(match refused {
        Refused::Compacted { .. } => COMPACTED,
        Refused::Future { .. } => FUTURE,
        Refused::KeyNotFound => KEY_NOT_FOUND,
        Refused::LeaseNotFound => LEASE_NOT_FOUND,
        Refused::LeaseExists => LEASE_EXISTS,
        Refused::DuplicateKey => DUPLICATE_KEY,
        Refused::EmptyKey => EMPTY_KEY,
        Refused::TooDeep => TOO_DEEP,
        Refused::LeaseTooLong => LEASE_TOO_LONG,
        Refused::Unreadable => UNREADABLE,
    })
}

/// Why the members stay as they are.
fn unchanged(why: Unchanged) -> Status {
    status(match why {
        Unchanged::Unknown => MEMBER_NOT_FOUND,
        Unchanged::AddressTaken => PEER_EXISTS,
        Unchanged::TooManyLearners => TOO_MANY_LEARNERS,
        Unchanged::NotALearner => NOT_A_LEARNER,
        Unchanged::NotReady => LEARNER_NOT_READY,
        Unchanged::TooFewStarted => TOO_FEW_STARTED,
        Unchanged::Unhealthy => UNHEALTHY,
    })
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(why) => refused(why),
            Failure::NoLeader => status(NO_LEADER),
            Failure::Timeout => status(TIMEOUT),
            Failure::TooMany => status(TOO_MANY),
            Failure::Unchanged(why) => unchanged(why),
            Failure::Removed => status(REMOVED),
            Failure::TooLong => status(TOO_LARGE),
            Failure::NoSpace => status(NO_SPACE),
            Failure::Stopped(_) => status(STOPPED),
        }
    }
}

/// What a lock or an election says that fails: etcd's are clients of its own, and pass on texts without codes. That
/// nobody answers is still said as such.
pub(crate) fn passed_on(why: Status) -> Status {
    match why.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => why,
        _ => Status::new(Code::Unknown, why.message()),
    }
}

/// What no engine answers: the command did one thing and says that it did another.
pub(crate) fn astray() -> Status {
    Status::internal("mainstay: the answer is of another request")
}
