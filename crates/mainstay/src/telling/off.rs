//! Nothing is counted and nothing said: the feature `telemetry` is off.

use mainstay_core::EndpointId;
use mainstay_policy::{Entry, LimitId, Priority, Service};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Label;

impl Label {
    pub(crate) const NONE: Self = Self;

    pub(crate) fn of(_: &str, _: &str) -> Self {
        Self
    }
}

pub(crate) fn limit_id(_: Option<&str>) -> LimitId {
    LimitId::NONE
}

#[derive(Debug)]
pub(crate) struct Counters;

impl Counters {
    pub(crate) fn new(_: &str) -> Self {
        Self
    }

    pub(crate) fn call(&mut self, _: &[Entry], _: Priority, _: impl Fn(EndpointId) -> Label) {}

    pub(crate) fn events(&mut self, _: &mut Service, _: impl Fn(EndpointId) -> Label) -> Events {
        Events(())
    }
}

#[derive(Debug, Default)]
pub(crate) struct Events(());

impl Events {
    pub(crate) fn is_empty(&self) -> bool {
        true
    }

    pub(crate) fn tell(self, _: &str) {}
}
