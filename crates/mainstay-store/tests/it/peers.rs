//! Beside the real ones: etcdctl as a client, and etcd itself asked the same.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mainstay_store::etcd::wire::{etcdserverpb as pb, mvccpb};
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::kv_client::KvClient;
use pb::lease_client::LeaseClient;
use pb::request_op::Request;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::support::{PATIENCE, Store, Watches, line, store};

pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

#[allow(clippy::print_stderr, reason = "whoever runs the tests wants to know")]
pub(crate) fn skip(program: &str) {
    eprintln!("skipped: {program} is not installed");
}

/// What etcdctl says, both of its outputs in one.
async fn etcdctl(store: &Store, arguments: &[&str], input: &str) -> String {
    etcdctl_at(store.address, arguments, input).await
}

pub(crate) async fn etcdctl_at(at: SocketAddr, arguments: &[&str], input: &str) -> String {
    let (endpoint, input) = (at.to_string(), input.to_owned());
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    tokio::task::spawn_blocking(move || {
        let mut child = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .env("ETCDCTL_ENDPOINTS", endpoint)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        // Its own log tells the error a second time, with what differs from run to run.
        let errors: String = errors.lines().filter(|line| !line.starts_with('{')).collect();
        String::from_utf8_lossy(&output.stdout).into_owned() + &errors
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcdctl_does_with_keys_what_it_does() {
    if find("etcdctl").is_none() {
        return skip("etcdctl");
    }
    let store = store().await;
    let run = async |line: &str| etcdctl(&store, &line.split(' ').collect::<Vec<_>>(), "").await;
    assert_eq!(run("put a 1").await, "OK\n");
    assert_eq!(run("put b 2").await, "OK\n");
    assert_eq!(run("get a").await, "a\n1\n");
    assert_eq!(run("get a z --keys-only").await, "a\n\nb\n\n");
    assert_eq!(run("put a 3 --prev-kv").await, "OK\na\n1\n");
    assert_eq!(run("get a --rev=2").await, "a\n1\n");
    assert_eq!(run("get --prefix a --sort-by=VALUE --order=DESCEND --limit=1 --print-value-only").await, "3\n");
    assert_eq!(run("get a --rev=99").await, "Error: etcdserver: mvcc: required revision is a future revision");
    assert_eq!(run("del b --prev-kv").await, "1\nb\n2\n");
    assert_eq!(run("put nothing --ignore-value").await, "Error: etcdserver: key not found");
    let txn = "mod(\"a\") > \"0\"\n\nput x 1\nget a\ndel nothing\n\nput y 1\n\n";
    assert_eq!(etcdctl(&store, &["txn"], txn).await, "SUCCESS\n\nOK\n\na\n3\n\n0\n");
    assert_eq!(run("compaction 4").await, "compacted revision 4\n");
    assert_eq!(run("get a --rev=2").await, "Error: etcdserver: mvcc: required revision has been compacted");
    assert_eq!(run("compaction 4").await, "Error: etcdserver: mvcc: required revision has been compacted");
    assert_eq!(run("defrag").await, format!("Finished defragmenting etcd member[{}]\n", store.address));
    let healthy = run("endpoint health").await;
    assert!(healthy.contains("is healthy: successfully committed proposal"), "{healthy}");
    let status = run("endpoint status").await;
    assert!(status.contains(mainstay_store::etcd::VERSION), "{status}");
    assert_eq!(run("alarm list").await, "");
    assert!(run("member list").await.contains("started"));
    assert!(run("user list").await.contains("users and roles are not built"));
}

#[tokio::test(flavor = "multi_thread")]
async fn etcdctl_saves_all_data_and_takes_the_file_for_whole() {
    if find("etcdctl").is_none() {
        return skip("etcdctl");
    }
    let store = store().await;
    for number in 0..200 {
        store.put(&format!("k{number}"), &"v".repeat(1000)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("saved.db");
    let said = etcdctl(&store, &["snapshot", "save", file.to_str().unwrap()], "").await;
    assert!(said.contains("Snapshot saved at"), "{said}");
    let length = std::fs::metadata(&file).unwrap().len();
    assert!(length > 200_000 && length % 512 == 32, "{length}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcdctl_does_with_leases_what_it_does() {
    if find("etcdctl").is_none() {
        return skip("etcdctl");
    }
    let store = store().await;
    let run = async |line: &str| etcdctl(&store, &line.split(' ').collect::<Vec<_>>(), "").await;
    let granted = run("lease grant 60").await;
    let id = granted.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(granted, format!("lease {id} granted with TTL(60s)\n"));
    assert_eq!(run(&format!("put a 1 --lease={id}")).await, "OK\n");
    let stands = run(&format!("lease timetolive {id} --keys")).await;
    assert!(stands.contains("granted with TTL(60s)") && stands.contains("attached keys([a])"), "{stands}");
    assert_eq!(run(&format!("lease keep-alive --once {id}")).await, format!("lease {id} keepalived with TTL(60)\n"));
    assert_eq!(run("lease list").await, format!("found 1 leases\n{id}\n"));
    assert_eq!(run(&format!("lease revoke {id}")).await, format!("lease {id} revoked\n"));
    assert_eq!(run("get a").await, "");
    assert_eq!(run("lease timetolive 1234").await, "lease 0000000000001234 already expired\n");
    let gone = "Error: failed to revoke lease (etcdserver: requested lease not found)";
    assert_eq!(run("lease revoke 1234").await, gone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcdctl_watches_locks_and_elects() {
    if find("etcdctl").is_none() {
        return skip("etcdctl");
    }
    let store = store().await;
    store.put("k/a", "1").await;
    store.put("k/b", "2").await;
    let child = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", &store.address.to_string(), "watch", "--prefix", "k/", "--rev=2", "--prev-kv"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut watching = Process(child);
    let output = watching.0.stdout.take().unwrap();
    store.put("k/a", "3").await;
    store.delete("k/b").await;
    let read = tokio::task::spawn_blocking(move || {
        let lines = std::io::BufRead::lines(std::io::BufReader::new(output));
        lines.take(14).map(Result::unwrap).collect::<Vec<_>>()
    });
    let told = tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap().join(" ");
    assert_eq!(told, "PUT k/a 1 PUT k/b 2 PUT k/a 1 k/a 3 DELETE k/b 2");
    assert_eq!(etcdctl(&store, &["lock", "l", "echo", "held"], "").await, "held\n");
    assert_eq!(etcdctl(&store, &["lock", "l", "echo", "again"], "").await, "again\n");
}

/// A program that ends with its story.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A real etcd of one member.
struct Etcd {
    _process: Process,
    _directory: TempDir,
    channel: Channel,
}

impl Etcd {
    async fn start() -> Option<Self> {
        find("etcd")?;
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (client, peer, directory) = (free(), free(), TempDir::new().unwrap());
        let (client_url, peer_url) = (format!("http://{client}"), format!("http://{peer}"));
        let process = Command::new("etcd")
            .args(["--name", "n", "--data-dir"])
            .arg(directory.path())
            .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("n={peer_url}"), "--log-level", "error", "--unsafe-no-fsync"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let process = Process(process);
        let ready = async {
            loop {
                if let Ok(channel) = Channel::from_shared(client_url.clone()).unwrap().connect().await {
                    let asked = pb::RangeRequest { key: "a".into(), ..Default::default() };
                    if KvClient::new(channel.clone()).range(asked).await.is_ok() {
                        break channel;
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let channel = tokio::time::timeout(PATIENCE, ready).await.expect("an etcd that answers");
        Some(Self { _process: process, _directory: directory, channel })
    }
}

/// What is asked of both.
#[derive(Debug, Clone)]
enum Ask {
    Range(pb::RangeRequest),
    Put(pb::PutRequest),
    Delete(pb::DeleteRangeRequest),
    Txn(pb::TxnRequest),
    Compact(i64),
    Grant(i64, i64),
    Revoke(i64),
    TimeToLive(i64),
}

/// Draws requests that are often right and often wrong.
struct Draw(u64);

impl Draw {
    fn next(&mut self, below: u64) -> u64 {
        // Xorshift: enough for a test, and the same everywhere.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }

    fn number(&mut self, below: u64) -> i64 {
        i64::try_from(self.next(below)).unwrap()
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.next(many) == 0
    }

    fn key(&mut self) -> prost::bytes::Bytes {
        let keys = ["a", "b", "c", "d", "k/1", "k/2", "k/3", "", "\0"];
        let likely = if self.one_in(12) { 9 } else { 7 };
        keys[usize::try_from(self.next(likely)).unwrap()].into()
    }

    fn end(&mut self) -> prost::bytes::Bytes {
        let ends = ["", "", "", "c", "k0", "\0", "z"];
        ends[usize::try_from(self.next(7)).unwrap()].into()
    }

    fn lease(&mut self) -> i64 {
        [0, 0, 0, 1, 2, 404][usize::try_from(self.next(6)).unwrap()]
    }

    fn range(&mut self, now: i64) -> pb::RangeRequest {
        let mut bound = || if self.one_in(4) { 1 + self.number(now.unsigned_abs() + 1) } else { 0 };
        let (min_mod_revision, max_mod_revision) = (bound(), bound());
        let (min_create_revision, max_create_revision) = (bound(), bound());
        let sort_target = i32::try_from(self.next(5)).unwrap();
        // Without an order, etcd limits before it sorts by what is not the key; here it is sorted first, always.
        let orders = if sort_target == 0 { 0..3 } else { 1..3 };
        let sort_order = orders.start + i32::try_from(self.next(orders.len() as u64)).unwrap();
        pb::RangeRequest {
            key: self.key(),
            range_end: self.end(),
            limit: self.number(4),
            revision: if self.one_in(3) { self.number(now.unsigned_abs() + 3) - 1 } else { 0 },
            sort_order,
            sort_target,
            serializable: self.one_in(2),
            keys_only: self.one_in(4),
            count_only: self.one_in(6),
            min_mod_revision,
            max_mod_revision,
            min_create_revision,
            max_create_revision,
        }
    }

    /// A read in a transaction. A revision below 0 means now, but in a transaction etcd takes it for a compacted one.
    fn range_within(&mut self, now: i64) -> pb::RangeRequest {
        let range = self.range(now);
        pb::RangeRequest { revision: range.revision.max(0), ..range }
    }

    fn put(&mut self) -> pb::PutRequest {
        let ignore_value = self.one_in(8);
        let ignore_lease = self.one_in(8);
        let with_both = self.one_in(6);
        let value = if ignore_value && !with_both { String::new() } else { self.next(20).to_string() };
        pb::PutRequest {
            key: self.key(),
            value: value.into(),
            lease: if ignore_lease && !with_both { 0 } else { self.lease() },
            prev_kv: self.one_in(2),
            ignore_value,
            ignore_lease,
        }
    }

    fn delete(&mut self) -> pb::DeleteRangeRequest {
        pb::DeleteRangeRequest { key: self.key(), range_end: self.end(), prev_kv: self.one_in(2) }
    }

    /// A deletion in a transaction. etcd does not see that one without an end deletes what another thing of the
    /// transaction sets, and does both; it is refused here.
    fn delete_within(&mut self) -> pb::DeleteRangeRequest {
        let delete = self.delete();
        let range_end = if &delete.range_end[..] == b"\0" { "z".into() } else { delete.range_end };
        pb::DeleteRangeRequest { range_end, ..delete }
    }

    fn compare(&mut self, now: i64) -> pb::Compare {
        let number = self.number(now.unsigned_abs() + 1);
        let (target, with) = match self.next(5) {
            0 => (CompareTarget::Version, TargetUnion::Version(number % 4)),
            1 => (CompareTarget::Create, TargetUnion::CreateRevision(number)),
            2 => (CompareTarget::Mod, TargetUnion::ModRevision(number)),
            3 => (CompareTarget::Value, TargetUnion::Value((number % 20).to_string().into())),
            _ => (CompareTarget::Lease, TargetUnion::Lease(self.lease())),
        };
        let results = [CompareResult::Equal, CompareResult::NotEqual, CompareResult::Less, CompareResult::Greater];
        pb::Compare {
            result: results[usize::try_from(self.next(4)).unwrap()].into(),
            target: target.into(),
            key: self.key(),
            target_union: Some(with),
            range_end: if self.one_in(4) { self.end() } else { prost::bytes::Bytes::new() },
        }
    }

    fn txn(&mut self, now: i64, depth: u32) -> pb::TxnRequest {
        let mut ops = || {
            let many = self.next(4);
            (0..many).map(|_| self.op(now, depth)).collect()
        };
        let (success, failure) = (ops(), ops());
        let many = self.next(3);
        pb::TxnRequest { compare: (0..many).map(|_| self.compare(now)).collect(), success, failure }
    }

    fn op(&mut self, now: i64, depth: u32) -> pb::RequestOp {
        let request = match self.next(if depth == 0 { 6 } else { 8 }) {
            0 | 1 => Request::RequestRange(self.range_within(now)),
            2..=4 => Request::RequestPut(self.put()),
            5 => Request::RequestDeleteRange(self.delete_within()),
            _ => Request::RequestTxn(self.txn(now, depth - 1)),
        };
        pb::RequestOp { request: Some(request) }
    }

    fn ask(&mut self, now: i64) -> Ask {
        match self.next(40) {
            0..12 => Ask::Put(self.put()),
            12..20 => Ask::Range(self.range(now)),
            20..25 => Ask::Delete(self.delete()),
            25..35 => Ask::Txn(self.txn(now, 2)),
            35 => Ask::Compact(self.number(now.unsigned_abs() + 2)),
            36 | 37 => Ask::Grant(1 + self.number(2), 600),
            38 => Ask::Revoke(self.lease()),
            _ => Ask::TimeToLive(self.lease()),
        }
    }
}

fn header(header: Option<pb::ResponseHeader>) -> i64 {
    header.expect("a header").revision
}

/// An answer without what differs between two stores: as text.
async fn answer(of: &Channel, ask: &Ask) -> (Option<i64>, String) {
    let mut kv = KvClient::new(of.clone());
    let mut leases = LeaseClient::new(of.clone());
    let told = match ask.clone() {
        Ask::Range(request) => kv.range(request).await.map(|answer| {
            let answer = answer.into_inner();
            (header(answer.header), format!("{:?} {} {}", answer.kvs, answer.more, answer.count))
        }),
        Ask::Put(request) => kv.put(request).await.map(|answer| {
            let answer = answer.into_inner();
            (header(answer.header), format!("{:?}", answer.prev_kv))
        }),
        Ask::Delete(request) => kv.delete_range(request).await.map(|answer| {
            let answer = answer.into_inner();
            (header(answer.header), format!("{} {:?}", answer.deleted, answer.prev_kvs))
        }),
        Ask::Txn(request) => kv.txn(request).await.map(|answer| {
            let answer = answer.into_inner();
            (header(answer.header), format!("{} {:?}", answer.succeeded, answer.responses))
        }),
        Ask::Compact(revision) => {
            let compacted = kv.compact(pb::CompactionRequest { revision, physical: false }).await;
            compacted.map(|answer| (header(answer.into_inner().header), "compacted".to_owned()))
        }
        Ask::Grant(id, ttl) => leases.lease_grant(pb::LeaseGrantRequest { id, ttl }).await.map(|answer| {
            let answer = answer.into_inner();
            (header(answer.header), format!("{} {}", answer.id, answer.ttl))
        }),
        Ask::Revoke(id) => {
            let revoked = leases.lease_revoke(pb::LeaseRevokeRequest { id }).await;
            revoked.map(|answer| (header(answer.into_inner().header), "revoked".to_owned()))
        }
        Ask::TimeToLive(id) => {
            let asked = leases.lease_time_to_live(pb::LeaseTimeToLiveRequest { id, keys: true }).await;
            asked.map(|answer| {
                let mut answer = answer.into_inner();
                answer.keys.sort();
                (header(answer.header), format!("{} {} {:?}", answer.id, answer.granted_ttl, answer.keys))
            })
        }
    };
    match told {
        Ok((revision, told)) => (Some(revision), told),
        Err(why) => (None, format!("{:?}: {}", why.code(), why.message())),
    }
}

/// All events since a revision, until one of this revision.
async fn events(of: &Channel, from: i64, last: i64) -> Vec<String> {
    let all = pb::WatchCreateRequest {
        key: "\0".into(),
        range_end: "\0".into(),
        start_revision: from,
        prev_kv: true,
        ..Default::default()
    };
    let mut watches = Watches::open(of.clone(), [all]).await;
    watches.created().await;
    let mut told = Vec::new();
    let mut seen: Vec<mvccpb::Event> = Vec::new();
    while seen.last().is_none_or(|event| event.kv.as_ref().unwrap().mod_revision < last) {
        let response = watches.next().await;
        assert!(!response.canceled, "{response:?}");
        seen.extend(response.events);
    }
    told.extend(seen.iter().map(|event| format!("{} {:?}", line(event), event.kv)));
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_gives_the_same_answers_to_the_same_requests() {
    let Some(etcd) = Etcd::start().await else { return skip("etcd") };
    let store = store().await;
    let seed: u64 = std::env::var("MAINSTAY_STORE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let steps: usize = std::env::var("MAINSTAY_STORE_STEPS").ok().and_then(|many| many.parse().ok()).unwrap_or(2000);
    let mut draw = Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (mut now, mut compacted) = (1, 0);
    let mut refusals = 0;
    for step in 0..steps {
        let ask = draw.ask(now);
        let (theirs, ours) = (answer(&etcd.channel, &ask).await, answer(&store.channel, &ask).await);
        assert_eq!(ours, theirs, "seed {seed}, step {step}, revision {now}: {ask:?}");
        refusals += usize::from(theirs.0.is_none());
        if let (Ask::Compact(revision), Some(_)) = (&ask, theirs.0) {
            compacted = *revision;
        }
        now = theirs.0.unwrap_or(now).max(now);
    }
    assert!(refusals > steps / 20 && refusals < steps / 2, "{refusals} of {steps} were refused");
    // etcd forgets a deletion at the very revision of a compaction; that it is remembered here is a story of its own.
    let from = compacted + 1;
    let (ours, theirs) = (events(&store.channel, from, now).await, events(&etcd.channel, from, now).await);
    assert_eq!(ours.len(), theirs.len(), "seed {seed}");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "seed {seed}");
    }
}
