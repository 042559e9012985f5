//! `mainstay store`: the consensus store at the keyboard. It speaks etcd's v3 API, so that it works with an etcd cluster
//! as well.

mod args;
mod connect;
mod doctor;
mod hold;
mod keys;
mod leases;
mod members;
mod show;
mod txn;

pub(crate) use args::StoreArgs;

use args::Deed;
use connect::Client;

use crate::outcome::Outcome;
use crate::runtime;

/// `mainstay store DEED`
pub(crate) fn command(args: &StoreArgs) -> Outcome {
    let json = args.json;
    runtime()?.block_on(async {
        let client = || Client::connect(args);
        match &args.deed {
            Deed::Get(get) => keys::get(client().await?, get, json).await,
            Deed::Put(put) => keys::put(client().await?, put, json).await,
            Deed::Delete(delete) => keys::delete(client().await?, delete, json).await,
            Deed::Watch(watch) => keys::watch(client().await?, watch, json).await,
            Deed::Compact { revision } => keys::compact(client().await?, *revision, json).await,
            Deed::Txn { file } => txn::command(client().await?, file.as_deref(), json).await,
            Deed::Lease(lease) => leases::command(client().await?, lease, json).await,
            Deed::Lock(lock) => hold::lock(client().await?, lock, json).await,
            Deed::Elect(elect) => hold::elect(client().await?, elect, json).await,
            Deed::Member(member) => members::command(client().await?, member, json).await,
            Deed::MoveLeader { to } => members::move_leader(client().await?, to, json).await,
            Deed::Snapshot { file } => members::snapshot(client().await?, file).await,
            Deed::Status => members::status(args).await,
            Deed::Doctor => doctor::command(args).await,
        }
    })
}
