//! Metrics as text for Prometheus, under the gateway's names.
//!
//! ```
//! use mainstay::{Service, metrics};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (stock, mail) = (Service::builder("stock").build()?, Service::builder("mail").build()?);
//! // What an endpoint `/metrics` of the program answers.
//! let text = metrics::text(&[&stock, &mail]);
//! assert!(text.contains(r#"mainstay_breaker_state{service="stock",state="closed"} 1"#));
//! # Ok(())
//! # }
//! ```

use crate::Service;
use crate::telling::{self, Shown};

/// The `Content-Type` of what [`text`] gives.
pub const CONTENT_TYPE: &str = mainstay_telemetry::CONTENT_TYPE;

/// What has figures to show: a [`Service`], whatever its endpoints are.
pub trait Measured {
    /// Its figures now.
    fn figures(&self) -> Figures;
}

/// The figures of one service.
#[derive(Debug)]
pub struct Figures(Shown);

impl<V> Measured for Service<V> {
    fn figures(&self) -> Figures {
        Figures(self.shown())
    }
}

/// All of `services` in one text: how long attempts took and how they ended, by endpoint, retries, hedges, refusals, what is shed, fallbacks,
/// ejections; and the state of breakers, budgets, limits and endpoints.
#[must_use]
pub fn text(services: &[&dyn Measured]) -> String {
    telling::text(services.iter().map(|service| service.figures().0).collect())
}
