//! Endpoints that are the addresses of a name: all of them, IPv4 and IPv6.
//!
//! They are asked for again when their time to live is over, held between one second, so that a name with none does not
//! become a storm, and five minutes, so that no mistake in a zone lasts for a day. Our own look-up is the only one, so
//! the resolver keeps no cache that could answer it with something older.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use mainstay_policy::EndpointSpec;

use super::{Keeper, LookUpError, RETRY_MAX, RETRY_MIN};

/// Shortest time between two look-ups.
const TTL_MIN: Duration = Duration::from_secs(1);

/// Longest time between two look-ups.
const TTL_MAX: Duration = Duration::from_secs(300);

/// Longest wait for one look-up, over all servers and tries.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Addresses that are taken from one look-up; more than any answer over UDP holds.
const ADDRESSES_MAX: usize = 4096;

pub(super) async fn watch<F: Future<Output = ()>>(
    host: String,
    port: u16,
    mut keeper: Keeper,
    mut changed: impl FnMut(Vec<EndpointSpec>) -> F,
) {
    let mut resolver = None;
    let mut retry = RETRY_MIN;
    loop {
        let found = match &resolver {
            Some(resolver) => look_up(resolver, &host, port).await,
            None => match system_resolver() {
                Ok(made) => look_up(resolver.insert(made), &host, port).await,
                Err(error) => Err(error),
            },
        };
        let pause;
        let found = match found {
            Ok((endpoints, ttl)) => {
                (pause, retry) = (ttl, RETRY_MIN);
                Ok(endpoints)
            }
            Err(error) => {
                (pause, retry) = (retry, (retry * 2).min(RETRY_MAX));
                // The machine's resolvers may have changed since: they are read again.
                resolver = None;
                Err(error)
            }
        };
        if let Some(endpoints) = keeper.take(found) {
            changed(endpoints).await;
        }
        tokio::time::sleep(pause).await;
    }
}

fn system_resolver() -> Result<TokioResolver, LookUpError> {
    let fail = |error: hickory_resolver::net::NetError| LookUpError::Dns(error.to_string());
    let mut builder = TokioResolver::builder_tokio().map_err(fail)?;
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = 0;
    builder.build().map_err(fail)
}

/// The endpoints and how long they are good for.
pub(super) async fn look_up(
    resolver: &TokioResolver,
    host: &str,
    port: u16,
) -> Result<(Vec<EndpointSpec>, Duration), LookUpError> {
    let answer = match tokio::time::timeout(TIMEOUT, resolver.lookup_ip(host)).await {
        Ok(answer) => answer.map_err(|error| LookUpError::Dns(error.to_string()))?,
        Err(_) => return Err(LookUpError::Dns("no answer came within 10 s".to_owned())),
    };
    let ttl = answer.as_lookup().answers().iter().map(|record| record.ttl).min().unwrap_or_default();
    let endpoint = |ip| EndpointSpec { address: SocketAddr::new(ip, port), weight: 1, zone: "".into(), backup: false };
    let endpoints = answer.iter().take(ADDRESSES_MAX).map(endpoint).collect();
    Ok((endpoints, Duration::from_secs(ttl.into()).clamp(TTL_MIN, TTL_MAX)))
}
