//! Who answers for a service: addresses, or whatever values a program calls by.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use mainstay_core::Seed;
use mainstay_policy::EndpointSpec;

use crate::BuildError;

/// One of those that answer for a service, and the value by which an attempt reaches it: an address, a client, a pool.
///
/// ```
/// use mainstay::Endpoint;
///
/// # struct Pool;
/// let pools = [
///     Endpoint::named("primary", Pool).weight(3),
///     Endpoint::named("replica", Pool).backup(),
/// ];
/// # let _ = pools;
/// ```
#[derive(Debug, Clone)]
pub struct Endpoint<V> {
    pub(crate) name: Arc<str>,
    pub(crate) value: V,
    pub(crate) spec: EndpointSpec,
}

impl<V> Endpoint<V> {
    /// One that is known by a name, which is its identity: the same name later is the same endpoint, and what was learned
    /// of it stays. Metrics and views call it so.
    #[must_use]
    pub fn named(name: impl Into<Arc<str>>, value: V) -> Self {
        let name = name.into();
        let address = SocketAddr::new(IpAddr::V6(address_of(&name)), 0);
        Self::new(name, value, address)
    }

    fn new(name: Arc<str>, value: V, address: SocketAddr) -> Self {
        Self { name, value, spec: EndpointSpec { address, weight: 1, zone: "".into(), backup: false } }
    }

    /// Its share of the calls against the others' weights. Default 1; 0 counts as 1.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.spec.weight = weight;
        self
    }

    /// Where it stands. Default not told. See [`crate::Builder::zone`].
    #[must_use]
    pub fn zone(mut self, zone: impl Into<Arc<str>>) -> Self {
        self.spec.zone = zone.into();
        self
    }

    /// It is used only when too few of the others are left.
    #[must_use]
    pub fn backup(mut self) -> Self {
        self.spec.backup = true;
        self
    }
}

impl From<SocketAddr> for Endpoint<SocketAddr> {
    fn from(address: SocketAddr) -> Self {
        Self::new(address.to_string().into(), address, address)
    }
}

impl From<EndpointSpec> for Endpoint<SocketAddr> {
    fn from(spec: EndpointSpec) -> Self {
        Self { spec: spec.clone(), ..spec.address.into() }
    }
}

/// What can be read as an endpoint with an address: `"10.0.0.1:80"`, a [`SocketAddr`], an [`Endpoint`].
pub trait IntoEndpoint {
    /// Reads it.
    ///
    /// # Errors
    /// [`BuildError::Address`] when a text is not an address with a port. Names are looked up by discovery, not here.
    fn into_endpoint(self) -> Result<Endpoint<SocketAddr>, BuildError>;
}

impl IntoEndpoint for Endpoint<SocketAddr> {
    fn into_endpoint(self) -> Result<Endpoint<SocketAddr>, BuildError> {
        Ok(self)
    }
}

impl IntoEndpoint for SocketAddr {
    fn into_endpoint(self) -> Result<Endpoint<SocketAddr>, BuildError> {
        Ok(self.into())
    }
}

impl IntoEndpoint for &str {
    fn into_endpoint(self) -> Result<Endpoint<SocketAddr>, BuildError> {
        let address: Result<SocketAddr, _> = self.parse();
        address.map(Endpoint::from).map_err(|_| BuildError::Address { text: self.to_owned() })
    }
}

impl IntoEndpoint for String {
    fn into_endpoint(self) -> Result<Endpoint<SocketAddr>, BuildError> {
        self.as_str().into_endpoint()
    }
}

/// Decisions know endpoints by address. A name has one in `fd00::/8`, which no packet is ever sent to from here.
fn address_of(name: &str) -> Ipv6Addr {
    let half = |label| u128::from(Seed::new(0).derive(label).derive(name).get());
    let hash = half("high") << 64 | half("low");
    Ipv6Addr::from_bits(0xfd << 120 | hash >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_an_identity() {
        let address = |name: &str| Endpoint::named(name, ()).spec.address;
        assert_eq!(address("primary"), address("primary"));
        assert_ne!(address("primary"), address("replica"));
        assert!(address("primary").to_string().starts_with("[fd"));
    }

    #[test]
    fn what_is_no_address_is_said_so() {
        let error = "shop.internal".into_endpoint().unwrap_err();
        assert_eq!(error.to_string(), "\"shop.internal\" is not an address with a port, such as \"10.0.0.1:80\"");
    }
}
