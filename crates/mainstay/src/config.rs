//! Services from a text: the gateway's configuration, in the gateway's words.
//!
//! One file may serve both. Of it the library reads `[service.*]`, `[rate_limit.*]` and `node.zone`; the keys, their defaults
//! and their reasons are those of the reference. What only a gateway does is named by [`Services::left_alone`] and never
//! silently dropped.
//!
//! ```
//! use mainstay::config::Services;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let services = Services::from_toml(r#"
//!     [service.shop]
//!     endpoints = ["127.0.0.1:9101", "127.0.0.1:9102"]
//!     retry = { attempts = 2 }
//!     [rate_limit.per-customer]
//!     rate = "100/s"
//! "#)?;
//! let shop = services.builder("shop")?.rate_limit(services.rate_limiter("per-customer")?).build()?;
//! assert_eq!(shop.view().endpoints.len(), 2);
//! # Ok(())
//! # }
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;

use mainstay_config::{Config, Endpoints, Source, load_for_program};

use crate::sync::RateLimiter;
use crate::{Builder, Endpoint, Service};

/// Services and rate limits, as a configuration has them.
#[derive(Debug, Clone)]
pub struct Services {
    config: Config,
}

/// A configuration cannot be used, or lacks what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// All that is wrong with it, each with its place and how to mend it.
    #[error("{problems}")]
    Problems {
        /// In words, some lines for each.
        problems: String,
    },
    /// There is no such section.
    #[error("there is no [{kind}.{name}]")]
    Missing {
        /// `service` or `rate_limit`.
        kind: &'static str,
        /// The name.
        name: String,
    },
}

/// Where a service's endpoints come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// They stand in the configuration.
    Fixed,
    /// All addresses of a name.
    Dns {
        /// The name.
        host: String,
        /// The port of each.
        port: u16,
    },
    /// A file of their own.
    File(PathBuf),
}

impl Services {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`ConfigError::Problems`] names every problem, not only the first.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let loaded = load_for_program(&Source::new("the configuration", text));
        let config = loaded.map_err(|problems| ConfigError::Problems { problems: problems.to_string() })?;
        Ok(Self { config })
    }

    /// A builder with the settings of `[service.NAME]` and the endpoints that stand there. Those that are looked up come by
    /// discovery, from where [`Services::origin`] says.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] when there is no such service.
    pub fn builder(&self, name: &str) -> Result<Builder<SocketAddr>, ConfigError> {
        let service = self.service(name)?;
        let fixed = match &service.endpoints {
            Endpoints::Fixed(fixed) => fixed.clone(),
            Endpoints::Dns { .. } | Endpoints::File(_) => Vec::new(),
        };
        let endpoints = fixed.into_iter().map(Endpoint::from);
        Ok(Service::builder(name).settings(service.policy.clone()).endpoints(endpoints))
    }

    /// Where the endpoints of `[service.NAME]` come from.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] when there is no such service.
    pub fn origin(&self, name: &str) -> Result<Origin, ConfigError> {
        Ok(match &self.service(name)?.endpoints {
            Endpoints::Fixed(_) => Origin::Fixed,
            Endpoints::Dns { host, port } => Origin::Dns { host: host.clone(), port: *port },
            Endpoints::File(path) => Origin::File(path.clone()),
        })
    }

    /// The limit of `[rate_limit.NAME]`, which has seen nobody. What is counted by, its `key`, is the program's affair
    /// ([`crate::Facts::counted_by`]).
    ///
    /// # Errors
    /// [`ConfigError::Missing`] when there is no such limit.
    pub fn rate_limiter(&self, name: &str) -> Result<RateLimiter, ConfigError> {
        let limit = self.config.rate_limits.iter().find(|limit| limit.name == name);
        let limit = limit.ok_or_else(|| ConfigError::Missing { kind: "rate_limit", name: name.to_owned() })?;
        Ok(RateLimiter::new(&limit.policy).named(name))
    }

    /// The names of all services, in the file's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.config.services.iter().map(|service| service.name.as_str())
    }

    /// What the file says of these services and only a gateway does, a sentence for each: tell somebody.
    #[must_use]
    pub fn left_alone(&self) -> Vec<String> {
        let mut left = Vec::new();
        for service in &self.config.services {
            let fallback = &service.fallback;
            let falls_back =
                fallback.stale_if_error.is_some() || fallback.service.is_some() || fallback.respond.is_some();
            let parts = [
                (service.policy.health.is_some(), "health", "active checks are made by a gateway"),
                (service.policy.idempotency.is_some(), "idempotency", "answers are kept by a gateway"),
                (falls_back, "fallback", "in a program a fallback belongs to a call"),
            ];
            let named = parts.into_iter().filter(|(given, ..)| *given);
            left.extend(named.map(|(_, key, why)| format!("service.{}.{key} has no effect here: {why}", service.name)));
        }
        for limit in &self.config.rate_limits {
            let parts = [
                (limit.tiers.is_some(), "tiers", "a program has a limit for each tier"),
                (limit.policy.adaptive, "adaptive", "a program does not tell the limit how its calls fare"),
            ];
            let named = parts.into_iter().filter(|(given, ..)| *given);
            left.extend(
                named.map(|(_, key, why)| format!("rate_limit.{}.{key} has no effect here: {why}", limit.name)),
            );
        }
        left
    }

    fn service(&self, name: &str) -> Result<&mainstay_config::Service, ConfigError> {
        let found = self.config.services.iter().find(|service| service.name == name);
        found.ok_or_else(|| ConfigError::Missing { kind: "service", name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateways_file_is_a_programs_too_and_what_only_a_gateway_does_is_said() {
        let services = Services::from_toml(
            r#"
            [[listener]]
            name = "web"
            address = "127.0.0.1:8080"
            [[route]]
            service = "shop"
            rate_limit = ["all"]
            [service.shop]
            discover = { dns = "shop.internal:80" }
            [service.shop.health]
            http = "/health"
            [service.shop.fallback]
            respond = { status = 200 }
            [rate_limit.all]
            key = "global"
            rate = "10/s"
            adaptive = true
            "#,
        )
        .unwrap();
        assert_eq!(services.names().collect::<Vec<_>>(), ["shop"]);
        assert_eq!(services.origin("shop").unwrap(), Origin::Dns { host: "shop.internal".to_owned(), port: 80 });
        assert_eq!(
            services.left_alone(),
            [
                "service.shop.health has no effect here: active checks are made by a gateway",
                "service.shop.fallback has no effect here: in a program a fallback belongs to a call",
                "rate_limit.all.adaptive has no effect here: a program does not tell the limit how its calls fare",
            ]
        );
        assert!(services.rate_limiter("all").unwrap().try_acquire().is_ok());
        let missing = services.builder("shops").unwrap_err();
        assert_eq!(missing.to_string(), "there is no [service.shops]");
    }

    #[test]
    fn every_problem_is_said_with_its_place() {
        let error = Services::from_toml("[service.shop]\nendpoints = [\"nowhere\"]\nretri = 1\n").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("retri") && text.contains("endpoints"), "{text}");
    }
}
