//! Endpoints that come and go: from DNS, from a file, or from any stream of lists.
//!
//! An empty list, or a look-up that fails, changes nothing: the last good set stays, because a resolver or a file that is
//! broken for a minute must not take away endpoints that are well. DNS and files are looked up by the gateway's own code.
//!
//! ```
//! use futures_util::stream;
//! use mainstay::{Endpoint, Service, discover};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let shop = Service::builder("shop").values([Endpoint::named("a", 1)]).build()?;
//! let lists = stream::iter([vec![Endpoint::named("b", 2), Endpoint::named("c", 3)], Vec::new()]);
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! // It ends with its stream; a program would spawn it.
//! runtime.block_on(discover::follow_stream(shop.clone(), lists));
//! let names: Vec<_> = shop.view().endpoints.into_iter().map(|endpoint| endpoint.name).collect();
//! assert_eq!(names, ["b".into(), "c".into()]);
//! # Ok(())
//! # }
//! ```

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;

use futures_core::Stream;
use mainstay_config::Endpoints;
use mainstay_discover::Discovery;

use crate::config::Origin;
use crate::{Endpoint, Service};

/// A watch over the endpoints of a service. Dropped, it ends; the endpoints stay.
#[derive(Debug)]
#[must_use = "the endpoints are followed until this is dropped"]
pub struct Following {
    _discovery: Option<Discovery>,
}

/// Looks up the endpoints of `service` where `origin` says, on the current runtime of tokio, for as long as what it gives
/// lives. Endpoints that stand in the configuration are there already.
///
/// DNS is asked again when what it said grows old, between one second and five minutes; a file is looked at twice a second.
/// A file says `endpoints = [...]`, as in a service.
pub fn follow(service: &Service<SocketAddr>, origin: &Origin) -> Following {
    let endpoints = match origin {
        Origin::Fixed => return Following { _discovery: None },
        Origin::Dns { host, port } => Endpoints::Dns { host: host.clone(), port: *port },
        Origin::File(path) => Endpoints::File(path.clone()),
    };
    let followed = service.clone();
    let changed = move |specs: Vec<_>| {
        let found: Vec<_> = specs.into_iter().map(Endpoint::from).collect();
        update(&followed, &found);
        std::future::ready(())
    };
    Following { _discovery: Some(Discovery::start(service.name(), &endpoints, changed)) }
}

/// Makes each list that `lists` gives the endpoints of `service`, until it ends. On any runtime.
pub async fn follow_stream<V: Clone>(service: Service<V>, lists: impl Stream<Item = Vec<Endpoint<V>>>) {
    let mut lists = pin!(lists);
    while let Some(endpoints) = poll_fn(|cx| lists.as_mut().poll_next(cx)).await {
        if !endpoints.is_empty() {
            update(&service, &endpoints);
        }
    }
}

/// Two endpoints of one identity are a mistake of whoever lists them: the first counts.
fn update<V: Clone>(service: &Service<V>, endpoints: &[Endpoint<V>]) {
    let mut distinct: Vec<Endpoint<V>> = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        if distinct.iter().all(|before| before.spec.address != endpoint.spec.address) {
            distinct.push(endpoint.clone());
        }
    }
    // Each is there once, so nothing can be wrong with them.
    let _ = service.update(&distinct);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_file_is_followed_and_an_empty_one_is_not_believed() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let path = std::env::temp_dir().join(format!("mainstay-follow-{}.toml", std::process::id()));
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        let none: [&str; 0] = [];
        let shop = Service::builder("shop").endpoints(none).build().unwrap();
        let names = || shop.view().endpoints.into_iter().map(|endpoint| endpoint.name.to_string()).collect::<Vec<_>>();
        runtime.block_on(async {
            write("endpoints = [\"10.0.0.1:80\"]");
            let following = follow(&shop, &Origin::File(path.clone()));
            let until = async |wanted: &[&str]| {
                while names() != wanted {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            until(&["10.0.0.1:80"]).await;
            write("endpoints = []");
            tokio::time::sleep(Duration::from_millis(20)).await;
            write("endpoints = [\"10.0.0.1:80\", { address = \"10.0.0.2:80\", backup = true }]");
            until(&["10.0.0.1:80", "10.0.0.2:80"]).await;
            drop(following);
        });
        let _ = std::fs::remove_file(&path);
    }
}
