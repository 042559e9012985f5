//! Reaching a member.

use std::time::Duration;

use mainstay_store::etcd::wire::etcdserverpb::cluster_client::ClusterClient;
use mainstay_store::etcd::wire::etcdserverpb::kv_client::KvClient;
use mainstay_store::etcd::wire::etcdserverpb::lease_client::LeaseClient;
use mainstay_store::etcd::wire::etcdserverpb::maintenance_client::MaintenanceClient;
use mainstay_store::etcd::wire::etcdserverpb::watch_client::WatchClient;
use mainstay_store::etcd::wire::v3electionpb::election_client::ElectionClient;
use mainstay_store::etcd::wire::v3lockpb::lock_client::LockClient;
use tonic::transport::{Channel, Endpoint};

use super::StoreArgs;
use crate::outcome::{Outcome, Trouble};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(2);

/// The largest answer that is taken.
const LARGEST: usize = 1 << 30;

/// A member that answers.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    channel: Channel,
}

impl Client {
    /// The first of the endpoints that can be connected to.
    pub(crate) async fn connect(args: &StoreArgs) -> Outcome<Self> {
        let mut why = Vec::new();
        for address in &args.endpoints {
            match Self::to(address).await {
                Ok(client) => return Ok(client),
                Err(trouble) => why.push(trouble.to_string()),
            }
        }
        Err(Trouble::failed(why.join("\n")))
    }

    /// The member at this address.
    pub(crate) async fn to(address: &str) -> Outcome<Self> {
        let uri = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let endpoint = Endpoint::from_shared(uri)
            .map_err(|error| Trouble::wrong(format!("{address:?} is no endpoint ({error}): write HOST:PORT")))?;
        let channel = endpoint.connect_timeout(CONNECT).tcp_nodelay(true).connect().await;
        let channel = channel.map_err(|error| {
            let why = std::iter::successors(std::error::Error::source(&error), |error| error.source()).last();
            let why = why.map_or_else(|| error.to_string(), ToString::to_string);
            Trouble::failed(format!(
                "no store answers at {address} ({why}): is `mainstay run` with a [store] running there? (--endpoints)"
            ))
        })?;
        Ok(Self { channel })
    }

    pub(crate) fn keys(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(LARGEST)
    }

    pub(crate) fn watches(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone()).max_decoding_message_size(LARGEST)
    }

    pub(crate) fn leases(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    pub(crate) fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
    }

    pub(crate) fn maintenance(&self) -> MaintenanceClient<Channel> {
        MaintenanceClient::new(self.channel.clone())
    }

    pub(crate) fn locks(&self) -> LockClient<Channel> {
        LockClient::new(self.channel.clone())
    }

    pub(crate) fn elections(&self) -> ElectionClient<Channel> {
        ElectionClient::new(self.channel.clone())
    }
}

/// What the store says when it does not do something.
pub(crate) fn refused(status: &tonic::Status) -> Trouble {
    Trouble::failed(match status.code() {
        tonic::Code::Unavailable => {
            format!("the store does not answer: {} (`mainstay store doctor` says why)", status.message())
        }
        _ => status.message().to_owned(),
    })
}
