//! `[rate_limit.NAME]`: how often something may happen.

use mainstay_core::Rate;
use mainstay_policy::RateLimitSettings;

use super::matching::header_name;
use crate::item::word_fault;
use crate::model::{KeyPart, RateLimit};
use crate::raw::{Raw, Tree};
use crate::section::Section;
use crate::value::{Count, Fault, Read, Value};

/// What a key part may be, without what follows a colon.
const PARTS: [&str; 4] = ["client_ip", "header:NAME", "path", "global"];

pub(super) fn rate_limit(name: &str, s: &mut Section<'_>) -> Option<RateLimit> {
    let key: Key = s.get("key", "client_ip");
    let rate: Rate = s.get("rate", "100/s");
    let burst: Burst = s.get("burst", &per_second(rate).to_string());
    let algorithm = s.choice(
        "algorithm",
        "token_bucket",
        &[("token_bucket", ())],
        &["leaky_bucket", "fixed_window", "sliding_window"],
    );
    let on_exceeded = s.choice("on_exceeded", "reject", &[("reject", ())], &["queue"]);
    s.later("queue_timeout", "off");
    s.later("tiers", "{}");
    s.later("tier_from", "off");
    s.choice("scope", "node", &[("node", ())], &["cluster"]);
    s.later("adaptive", "false");
    let max_keys: Count = s.get("max_keys", "1000000");
    algorithm?;
    on_exceeded?;
    let policy = RateLimitSettings { rate, burst: burst.0, max_keys: max_keys.0 };
    Some(RateLimit { name: name.to_owned(), key: key.0, policy, line: s.line() })
}

/// What a second brings, at least 1.
fn per_second(rate: Rate) -> u64 {
    let nanos = u128::from(rate.count()) * 1_000_000_000 / u128::from(rate.per().as_nanos().max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX).clamp(1, MOST)
}

/// More than any bucket needs, and few enough to count in nanoseconds.
const MOST: u64 = 1_000_000_000;

struct Burst(u64);

impl Value for Burst {
    fn read(node: &Tree) -> Read<Self> {
        let count = Count::read(node)?;
        if u64::from(count.0) > MOST {
            return Err(vec![Fault::wanted(format!("a whole number from 1 to {MOST}"), node)]);
        }
        Ok(Self(count.0.into()))
    }
}

/// A part, or a list of parts.
struct Key(Vec<KeyPart>);

impl Value for Key {
    fn read(node: &Tree) -> Read<Self> {
        let parts = match &node.raw {
            Raw::List(_) => Vec::<KeyPart>::read(node)?,
            _ => vec![KeyPart::read(node)?],
        };
        if parts.is_empty() {
            return Err(vec![
                Fault::new("expected at least one part of a key").help("for all calls together, write \"global\""),
            ]);
        }
        if parts.len() > 1 && parts.contains(&KeyPart::Global) {
            return Err(vec![Fault::new("\"global\" stands alone: it counts all calls together")]);
        }
        Ok(Self(parts))
    }
}

impl Value for KeyPart {
    fn read(node: &Tree) -> Read<Self> {
        match node.text() {
            Some("client_ip") => Ok(Self::ClientIp),
            Some("path") => Ok(Self::Path),
            Some("global") => Ok(Self::Global),
            Some(text) => match text.split_once(':') {
                Some(("header", name)) => header_name(name).map(Self::Header).map_err(|fault| vec![fault]),
                Some(("jwt", _)) => Err(vec![word_fault(node, PARTS.into_iter(), &[text])]),
                _ => Err(vec![word_fault(node, PARTS.into_iter(), &["api_key"])]),
            },
            None => Err(vec![word_fault(node, PARTS.into_iter(), &[])]),
        }
    }
}
