//! Where a request goes: to a service of gRPC by its path, to the JSON gateway, or to a page.

use std::sync::Arc;

use http::{HeaderMap, Request, Response, header};
use tonic::body::Body;
use tonic::codegen::Service as _;
use tonic::{Code, Status};

use super::face::Face;
use super::gateway::Gateway;
use super::refusal::{self, status};
use super::wire::etcdserverpb::cluster_server::ClusterServer;
use super::wire::etcdserverpb::kv_server::KvServer;
use super::wire::etcdserverpb::lease_server::LeaseServer;
use super::wire::etcdserverpb::maintenance_server::MaintenanceServer;
use super::wire::etcdserverpb::watch_server::WatchServer;
use super::wire::v3electionpb::election_server::ElectionServer;
use super::wire::v3lockpb::lock_server::LockServer;
use super::{pages, timeout};

/// More than a request may have, as etcd gives it, so that it can be told that it is too large.
const OVERHEAD: usize = 512 * 1024;

/// A method of the API.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    pub(crate) streams: Streams,
    /// Where the gateway has it, below `/v3`.
    pub(crate) paths: &'static [&'static str],
}

/// Which side may send more than one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    Neither,
    Server,
    Both,
}

impl Method {
    const fn unary(service: &'static str, name: &'static str, paths: &'static [&'static str]) -> Self {
        Self { service, name, streams: Streams::Neither, paths }
    }

    /// Whether a member that only learns answers it, as in etcd; of reads those that ask for no more than it knows.
    pub(crate) fn is_for_learners(&self) -> bool {
        matches!((self.service, self.name), (KV, "Range") | (MAINTENANCE, "Status" | "Snapshot"))
    }

    pub(crate) fn labels(&self) -> String {
        let kind = match self.streams {
            Streams::Neither => "unary",
            Streams::Server => "server_stream",
            Streams::Both => "bidi_stream",
        };
        format!("grpc_method=\"{}\",grpc_service=\"{}\",grpc_type=\"{kind}\"", self.name, self.service)
    }
}

const KV: &str = "etcdserverpb.KV";
const LEASE: &str = "etcdserverpb.Lease";
const WATCH: &str = "etcdserverpb.Watch";
const CLUSTER: &str = "etcdserverpb.Cluster";
const MAINTENANCE: &str = "etcdserverpb.Maintenance";
const AUTH: &str = "etcdserverpb.Auth";
const LOCK: &str = "v3lockpb.Lock";
const ELECTION: &str = "v3electionpb.Election";

/// All of them, and where etcd's gateway has them.
pub(crate) const METHODS: &[Method] = &[
    Method::unary(KV, "Range", &["/kv/range"]),
    Method::unary(KV, "Put", &["/kv/put"]),
    Method::unary(KV, "DeleteRange", &["/kv/deleterange"]),
    Method::unary(KV, "Txn", &["/kv/txn"]),
    Method::unary(KV, "Compact", &["/kv/compaction"]),
    Method { service: WATCH, name: "Watch", streams: Streams::Both, paths: &["/watch"] },
    Method::unary(LEASE, "LeaseGrant", &["/lease/grant"]),
    Method::unary(LEASE, "LeaseRevoke", &["/lease/revoke", "/kv/lease/revoke"]),
    Method { service: LEASE, name: "LeaseKeepAlive", streams: Streams::Both, paths: &["/lease/keepalive"] },
    Method::unary(LEASE, "LeaseTimeToLive", &["/lease/timetolive", "/kv/lease/timetolive"]),
    Method::unary(LEASE, "LeaseLeases", &["/lease/leases", "/kv/lease/leases"]),
    Method::unary(CLUSTER, "MemberAdd", &["/cluster/member/add"]),
    Method::unary(CLUSTER, "MemberRemove", &["/cluster/member/remove"]),
    Method::unary(CLUSTER, "MemberUpdate", &["/cluster/member/update"]),
    Method::unary(CLUSTER, "MemberList", &["/cluster/member/list"]),
    Method::unary(CLUSTER, "MemberPromote", &["/cluster/member/promote"]),
    Method::unary(MAINTENANCE, "Alarm", &["/maintenance/alarm"]),
    Method::unary(MAINTENANCE, "Status", &["/maintenance/status"]),
    Method::unary(MAINTENANCE, "Defragment", &["/maintenance/defragment"]),
    Method::unary(MAINTENANCE, "Hash", &["/maintenance/hash"]),
    Method::unary(MAINTENANCE, "HashKV", &["/maintenance/hashkv"]),
    Method { service: MAINTENANCE, name: "Snapshot", streams: Streams::Server, paths: &["/maintenance/snapshot"] },
    Method::unary(MAINTENANCE, "MoveLeader", &["/maintenance/transfer-leadership"]),
    Method::unary(LOCK, "Lock", &["/lock/lock"]),
    Method::unary(LOCK, "Unlock", &["/lock/unlock"]),
    Method::unary(ELECTION, "Campaign", &["/election/campaign"]),
    Method::unary(ELECTION, "Proclaim", &["/election/proclaim"]),
    Method::unary(ELECTION, "Leader", &["/election/leader"]),
    Method { service: ELECTION, name: "Observe", streams: Streams::Server, paths: &["/election/observe"] },
    Method::unary(ELECTION, "Resign", &["/election/resign"]),
];

/// The number of a method in [`METHODS`].
fn number(service: &str, name: &str) -> Option<usize> {
    METHODS.iter().position(|method| method.name == name && method.service == service)
}

/// Everything that answers on the port.
pub(crate) struct Door {
    pub(crate) face: Face,
    pub(crate) gateway: Arc<Gateway>,
    kv: KvServer<Face>,
    watch: WatchServer<Face>,
    lease: LeaseServer<Face>,
    cluster: ClusterServer<Face>,
    maintenance: MaintenanceServer<Face>,
    lock: LockServer<Face>,
    election: ElectionServer<Face>,
}

impl Door {
    pub(crate) fn new(face: Face) -> Self {
        Self::of(face, Arc::new(Gateway::new()))
    }

    /// A door of its own for one connection, whose requests stand in line apart from those of the others.
    pub(crate) fn apart(&self) -> Self {
        Self::of(Face { engine: self.face.engine.apart(), ..self.face.clone() }, Arc::clone(&self.gateway))
    }

    fn of(face: Face, gateway: Arc<Gateway>) -> Self {
        let most = face.settings.max_request + OVERHEAD;
        let shared = Arc::new(face.clone());
        Self {
            kv: KvServer::from_arc(shared.clone()).max_decoding_message_size(most),
            watch: WatchServer::from_arc(shared.clone()).max_decoding_message_size(most),
            lease: LeaseServer::from_arc(shared.clone()).max_decoding_message_size(most),
            cluster: ClusterServer::from_arc(shared.clone()).max_decoding_message_size(most),
            maintenance: MaintenanceServer::from_arc(shared.clone()).max_decoding_message_size(most),
            lock: LockServer::from_arc(shared.clone()).max_decoding_message_size(most),
            election: ElectionServer::from_arc(shared).max_decoding_message_size(most),
            gateway,
            face,
        }
    }

    /// Answers any request.
    pub(crate) async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = prost::bytes::Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let request = request.map(Body::new);
        if is_grpc(request.headers()) {
            return self.call(request).await;
        }
        match request.uri().path().strip_prefix("/v3beta").or_else(|| request.uri().path().strip_prefix("/v3")) {
            Some(below) => {
                let below = below.to_owned();
                self.gateway.answer(self, &below, request).await
            }
            None => {
                let (head, _) = request.into_parts();
                pages::answer(&self.face, &head.method, &head.uri).await
            }
        }
    }

    /// Answers a call of gRPC.
    pub(crate) async fn call(&self, request: Request<Body>) -> Response<Body> {
        let mut parts = request.uri().path().split('/').skip(1);
        let (service, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let Some(method) = number(service, name) else {
            return unknown(service, name).into_http();
        };
        self.face.counts.started(method);
        if let Err(why) = self.face.takes(&METHODS[method]) {
            self.face.counts.handled(method, why.code());
            return why.into_http();
        }
        let waits = timeout::of(request.headers());
        let answered = self.serve(METHODS[method].service, request);
        let answer = match waits {
            Some(waits) => tokio::time::timeout(waits, answered).await,
            None => Ok(answered.await),
        };
        let answer = answer.unwrap_or_else(|_| status(refusal::DEADLINE).into_http());
        let (answer, code) = coded(answer);
        self.face.counts.handled(method, code);
        answer
    }

    async fn serve(&self, service: &str, request: Request<Body>) -> Response<Body> {
        let Ok(answer) = match service {
            KV => self.kv.clone().call(request).await,
            WATCH => self.watch.clone().call(request).await,
            LEASE => self.lease.clone().call(request).await,
            CLUSTER => self.cluster.clone().call(request).await,
            MAINTENANCE => self.maintenance.clone().call(request).await,
            LOCK => self.lock.clone().call(request).await,
            _ => self.election.clone().call(request).await,
        };
        answer
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn unknown(service: &str, name: &str) -> Status {
    if service == AUTH {
        return status(refusal::NO_AUTHENTICATION);
    }
    Status::unimplemented(format!("unknown method {name} for service {service}"))
}

/// The answer and its code, which stands in its head unless it is good. What is larger than a message may be is said as
/// etcd's server says it.
fn coded(answer: Response<Body>) -> (Response<Body>, Code) {
    let code = answer.headers().get("grpc-status").map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
    let ours = || answer.headers().get("grpc-message").is_some_and(|text| text.as_bytes().starts_with(b"Error"));
    if code == Code::OutOfRange && ours() {
        let larger = Status::resource_exhausted("grpc: received message larger than max");
        return (larger.into_http(), Code::ResourceExhausted);
    }
    (answer, code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_has_every_call_and_every_path() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/etcd-api.md");
        let page = std::fs::read_to_string(page).unwrap();
        for method in METHODS {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", method.service))).unwrap();
            assert!(row.contains(&format!("`{}`", method.name)), "{}", method.name);
            for path in method.paths {
                assert!(row.contains(&format!("`{path}`")), "{path}");
            }
        }
    }
}
