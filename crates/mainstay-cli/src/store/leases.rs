//! Leases.

use std::time::Duration;

use mainstay_store::etcd::wire::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest,
};
use serde_json::json;

use super::args::LeaseDeed;
use super::connect::{Client, refused};
use super::show;
use crate::outcome::{Outcome, Trouble};
use crate::print;

pub(crate) async fn command(client: Client, deed: &LeaseDeed, as_json: bool) -> Outcome {
    match *deed {
        LeaseDeed::Grant { seconds } => {
            let (id, ttl) = grant(&client, seconds).await?;
            if as_json {
                return print::json(&json!({ "lease": show::lease(id), "ttl": ttl }));
            }
            print::result(show::lease(id))
        }
        LeaseDeed::Revoke { id } => {
            client.leases().lease_revoke(LeaseRevokeRequest { id }).await.map_err(|status| refused(&status))?;
            if as_json {
                return print::json(&json!({ "ended": show::lease(id) }));
            }
            print::result(format_args!("lease {} ended", show::lease(id)))
        }
        LeaseDeed::KeepAlive { id, once } => loop {
            let ttl = renew(&client, id).await?;
            if as_json {
                print::result(json!({ "lease": show::lease(id), "ttl": ttl }))?;
            } else {
                print::result(format_args!("lease {} lives for {ttl} s", show::lease(id)))?;
            }
            if once {
                return Ok(());
            }
            tokio::time::sleep(third(ttl)).await;
        },
        LeaseDeed::Show { id } => show_one(&client, id, as_json).await,
        LeaseDeed::List => list(&client, as_json).await,
    }
}

/// How often a lease of this length is renewed: so that one sign of life may be lost.
pub(crate) fn third(ttl: i64) -> Duration {
    Duration::from_millis(u64::try_from(ttl).unwrap_or(1) * 1000 / 3)
}

/// Makes a lease: its number and its length.
pub(crate) async fn grant(client: &Client, seconds: i64) -> Outcome<(i64, i64)> {
    let request = LeaseGrantRequest { ttl: seconds, id: 0 };
    let answer = client.leases().lease_grant(request).await.map_err(|status| refused(&status))?.into_inner();
    Ok((answer.id, answer.ttl))
}

/// Gives a sign of life: the length that the lease has again.
pub(crate) async fn renew(client: &Client, id: i64) -> Outcome<i64> {
    let request = futures_util::stream::iter([LeaseKeepAliveRequest { id }]);
    let answers = client.leases().lease_keep_alive(request).await.map_err(|status| refused(&status))?;
    let answer = answers.into_inner().message().await.map_err(|status| refused(&status))?;
    match answer {
        Some(answer) if answer.ttl > 0 => Ok(answer.ttl),
        _ => Err(Trouble::failed(format!("there is no lease {}: it has ended", show::lease(id)))),
    }
}

async fn show_one(client: &Client, id: i64, as_json: bool) -> Outcome {
    let request = LeaseTimeToLiveRequest { id, keys: true };
    let answer = client.leases().lease_time_to_live(request).await.map_err(|status| refused(&status))?.into_inner();
    if answer.ttl < 0 {
        return Err(Trouble::failed(format!("there is no lease {}", show::lease(id))));
    }
    let keys = answer.keys.iter();
    if as_json {
        let keys: Vec<_> = keys.map(|key| show::bytes(key)).collect();
        return print::json(
            &json!({ "lease": show::lease(id), "granted": answer.granted_ttl, "left": answer.ttl, "keys": keys }),
        );
    }
    print::result(format_args!("lease {}: {} s of {} s left", show::lease(id), answer.ttl, answer.granted_ttl))?;
    keys.map(|key| show::text(key)).try_for_each(print::result)
}

async fn list(client: &Client, as_json: bool) -> Outcome {
    let answer = client.leases().lease_leases(LeaseLeasesRequest {}).await.map_err(|status| refused(&status))?;
    let leases = answer.into_inner().leases.into_iter().map(|lease| show::lease(lease.id));
    if as_json {
        return print::json(&json!({ "leases": leases.collect::<Vec<_>>() }));
    }
    leases.into_iter().try_for_each(print::result)
}
