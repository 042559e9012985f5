//! What one process at a time has: a lock, or the lead.
//!
//! Both hang on a lease that is kept alive here, so that they end by themselves when the process is gone. A process that
//! was stopped for longer may believe that it still has them: what it writes must be fenced, by comparing the revision at
//! which it got the lock. `MAINSTAY_LOCK_REVISION` has it.

use std::process::Command;

use bytes::Bytes;
use mainstay_store::etcd::wire::etcdserverpb::{LeaseRevokeRequest, RangeRequest};
use mainstay_store::etcd::wire::v3electionpb::{CampaignRequest, LeaderRequest};
use mainstay_store::etcd::wire::v3lockpb::LockRequest;
use serde_json::json;

use super::args::{ElectArgs, LockArgs};
use super::connect::{Client, refused};
use super::leases::{grant, renew, third};
use super::show;
use crate::outcome::{Outcome, Trouble, while_doing};
use crate::print;

pub(crate) async fn lock(client: Client, args: &LockArgs, as_json: bool) -> Outcome {
    let (lease, ttl) = grant(&client, args.ttl).await?;
    let name = Bytes::copy_from_slice(args.name.as_bytes());
    let locked = async {
        let answer = client.locks().lock(LockRequest { name, lease }).await.map_err(|status| refused(&status))?;
        let key = answer.into_inner().key;
        let revision = created(&client, key.clone()).await?;
        if as_json {
            print::json(&json!({ "key": show::bytes(&key), "revision": revision }))?;
        } else if args.command.is_empty() {
            print::result(show::text(&key))?;
        }
        match args.command.split_first() {
            None => interrupted().await,
            Some((program, rest)) => run(program, rest, &key, revision).await,
        }
    };
    held(&client, lease, ttl, locked).await
}

pub(crate) async fn elect(client: Client, args: &ElectArgs, as_json: bool) -> Outcome {
    let name = Bytes::copy_from_slice(args.name.as_bytes());
    let tell = |key: &[u8], value: &[u8]| {
        if as_json {
            return print::result(json!({ "key": show::bytes(key), "leader": show::bytes(value) }));
        }
        print::result(show::text(value))
    };
    let Some(value) = args.value.as_ref().filter(|_| !args.listen) else {
        let watched = client.elections().observe(LeaderRequest { name }).await.map_err(|status| refused(&status))?;
        let mut watched = watched.into_inner();
        while let Some(leader) = watched.message().await.map_err(|status| refused(&status))? {
            let kv = leader.kv.unwrap_or_default();
            tell(&kv.key, &kv.value)?;
        }
        return Err(Trouble::failed("the store has ended the watch"));
    };
    let (lease, ttl) = grant(&client, args.ttl).await?;
    let value = Bytes::copy_from_slice(value.as_bytes());
    let leading = async {
        let request = CampaignRequest { name, lease, value: value.clone() };
        let answer = client.elections().campaign(request).await.map_err(|status| refused(&status))?;
        let key = answer.into_inner().leader.map_or_else(Bytes::new, |leader| leader.key);
        tell(&key, &value)?;
        interrupted().await
    };
    held(&client, lease, ttl, leading).await
}

/// Keeps a lease alive until `done` is, and ends it then.
async fn held(client: &Client, lease: i64, ttl: i64, done: impl Future<Output = Outcome>) -> Outcome {
    let kept = async {
        loop {
            tokio::time::sleep(third(ttl)).await;
            renew(client, lease).await?;
        }
    };
    let outcome = tokio::select! {
        outcome = done => outcome,
        lost = kept => lost,
    };
    // It would end by itself; who waits for it need not wait.
    _ = client.leases().lease_revoke(LeaseRevokeRequest { id: lease }).await;
    outcome
}

async fn created(client: &Client, key: Bytes) -> Outcome<i64> {
    let request = RangeRequest { key, ..RangeRequest::default() };
    let found = client.keys().range(request).await.map_err(|status| refused(&status))?.into_inner();
    let kv = found.kvs.first().ok_or_else(|| Trouble::failed("the lock was lost before it could be used"))?;
    Ok(kv.create_revision)
}

async fn interrupted() -> Outcome {
    tokio::signal::ctrl_c().await.map_err(while_doing("waiting for a signal"))
}

/// Runs a program while the lock is held; its end is ours.
async fn run(program: &str, rest: &[String], key: &[u8], revision: i64) -> Outcome {
    let mut command = Command::new(program);
    command.args(rest).env("MAINSTAY_LOCK_KEY", show::text(key)).env("MAINSTAY_LOCK_REVISION", revision.to_string());
    let mut command = tokio::process::Command::from(command);
    let ended = command.kill_on_drop(true).status().await.map_err(while_doing(format_args!("running {program}")))?;
    if ended.success() {
        return Ok(());
    }
    Err(Trouble::failed(format!("{program} ended with {ended}")))
}
