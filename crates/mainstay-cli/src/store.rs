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
    runtime()?.block_on(async {
        if let Deed::Doctor = args.deed {
            return doctor::command(args).await;
        }
        let client = Client::connect(args).await?;
        match &args.deed {
            Deed::Get(get) => keys::get(client, get, args.json).await,
            Deed::Put(put) => keys::put(client, put, args.json).await,
            Deed::Delete(delete) => keys::delete(client, delete, args.json).await,
            Deed::Watch(watch) => keys::watch(client, watch, args.json).await,
            Deed::Compact { revision } => keys::compact(client, *revision, args.json).await,
            Deed::Txn { file } => txn::command(client, file.as_deref(), args.json).await,
            Deed::Lease(lease) => leases::command(client, lease, args.json).await,
            Deed::Lock(lock) => hold::lock(client, lock, args.json).await,
            Deed::Elect(elect) => hold::elect(client, elect, args.json).await,
            Deed::Member(member) => members::command(client, member, args.json).await,
            Deed::Status => members::status(args).await,
            Deed::MoveLeader { to } => members::move_leader(client, to, args.json).await,
            Deed::Snapshot { file } => members::snapshot(client, file).await,
            Deed::Doctor => Ok(()),
        }
    })
}
