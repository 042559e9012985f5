//! `[rate_limit.NAME]`: how often something may happen.

use mainstay_core::{Duration, Rate};
use mainstay_policy::{OnExceeded, RateLimitAlgorithm, RateLimitSettings, TierSettings};

use super::matching::{cookie_name, header_name, query_name};
use crate::item::{Item, word_fault};
use crate::model::{KeyPart, RateLimit, Tiers};
use crate::raw::{Raw, Tree};
use crate::section::Section;
use crate::value::{Count, Fault, Positive, Read, Value, name_fault};

/// What a key part may be, without what follows a colon.
const PARTS: [&str; 6] = ["client_ip", "header:NAME", "path", "query:NAME", "cookie:NAME", "global"];

/// More tiers than anybody sells.
const TIERS_MAX: usize = 64;

pub(super) fn rate_limit(name: &str, s: &mut Section<'_>) -> Option<RateLimit> {
    let key: Key = s.get("key", "client_ip");
    let rate: Rate = s.get("rate", "100/s");
    let algorithm = s.choice("algorithm", "token_bucket", &RateLimitAlgorithm::ALL, &[]).unwrap_or_default();
    let queues = s.given("on_exceeded").is_some_and(|entry| entry.node.text() == Some("queue"));
    let burst = burst(s, algorithm, queues, rate);
    s.choice("on_exceeded", "reject", &[("reject", ()), ("queue", ())], &[]);
    let on_exceeded = on_exceeded(s, queues);
    let (names, tiers) = tiers(s, rate, burst);
    let tier_from: Option<TierFrom> = s.get("tier_from", "off");
    s.choice("scope", "node", &[("node", ())], &["cluster"]);
    let adaptive = s.get("adaptive", "false");
    let max_keys: Count = s.get("max_keys", "1000000");
    tiers_fit_together(s, !names.is_empty());
    let policy = RateLimitSettings { algorithm, rate, burst, tiers, on_exceeded, adaptive, max_keys: max_keys.0 };
    let tiers = tier_from.map(|from| Tiers { header: from.0, names });
    Some(RateLimit { name: name.to_owned(), key: key.0, tiers, policy, line: s.line() })
}

/// How many may come at once, or wait; what has no meaning beside the algorithm is refused where it stands.
fn burst(s: &mut Section<'_>, algorithm: RateLimitAlgorithm, queues: bool, rate: Rate) -> u64 {
    let second = per_second(rate);
    let (absent, fault) = match algorithm {
        RateLimitAlgorithm::FixedWindow | RateLimitAlgorithm::SlidingWindow => (
            "a window has none",
            Fault::new("a window has no burst: the rate's count may come in each of its periods")
                .help("leave it away, or choose \"token_bucket\""),
        ),
        RateLimitAlgorithm::LeakyBucket if !queues => (
            "nobody waits",
            Fault::new("the burst of a leaky bucket is how many wait in it, and nobody waits")
                .help("leave it away, or write on_exceeded = \"queue\""),
        ),
        RateLimitAlgorithm::TokenBucket | RateLimitAlgorithm::LeakyBucket => {
            return s.get::<Burst>("burst", &second.to_string()).0;
        }
    };
    if s.find::<Burst>("burst", absent).is_some() {
        s.fault("burst", fault);
    }
    second
}

fn on_exceeded(s: &mut Section<'_>, queues: bool) -> OnExceeded {
    if queues {
        let timeout: Positive<Duration> = s.get("queue_timeout", "1s");
        let calls: Count = s.get("queue", "1000");
        return OnExceeded::Queue { timeout: timeout.0, calls: calls.0 };
    }
    let timeout = s.find::<Positive<Duration>>("queue_timeout", "\"1s\" where calls wait").is_some();
    let calls = s.find::<Count>("queue", "1000 where calls wait").is_some();
    for (key, _) in [("queue_timeout", timeout), ("queue", calls)].into_iter().filter(|(_, given)| *given) {
        let fault = Fault::new(format!("{key} has no meaning where calls over the limit are refused at once"));
        s.fault(key, fault.help("leave it away, or write on_exceeded = \"queue\""));
    }
    OnExceeded::Reject
}

fn tiers_fit_together(s: &Section<'_>, tiers: bool) {
    let tier_from = s.given("tier_from").is_some_and(|entry| entry.node.text() != Some("off"));
    if tier_from && !tiers {
        let fault = Fault::new("tier_from says where a caller's tier stands, and there are no tiers");
        s.fault("tier_from", fault.help("add tiers = { gold = \"1000/s\" }"));
    }
    if tiers && !tier_from {
        let fault = Fault::new("there are tiers, and nothing says which of them a caller has");
        s.fault("tiers", fault.help("add tier_from = \"header:x-tier\", which is believed from trusted_proxies"));
    }
}

/// The names of the tiers, and what each may.
fn tiers(s: &mut Section<'_>, rate: Rate, burst: u64) -> (Vec<String>, Vec<TierSettings>) {
    let tiers = s.pairs("tiers", |name, item| {
        if let Some(fault) = name_fault(name) {
            item.fault(fault);
        }
        Some((name.to_owned(), tier(item, rate, burst)?))
    });
    if tiers.len() > TIERS_MAX {
        s.fault("tiers", Fault::new(format!("{} tiers are more than the {TIERS_MAX} that there may be", tiers.len())));
    }
    tiers.into_iter().unzip()
}

/// A rate, or a table with a burst of its own.
fn tier(item: &Item<'_>, rate: Rate, burst: u64) -> Option<TierSettings> {
    if !item.is_table() {
        let own: Rate = item.read()?;
        return Some(TierSettings { rate: own, burst: scaled(burst, rate, own) });
    }
    item.table(|s| {
        let own: Option<Rate> = s.need("rate", "\"1000/s\"");
        let burst: Burst = s.get("burst", &scaled(burst, rate, own.unwrap_or(rate)).to_string());
        Some(TierSettings { rate: own?, burst: burst.0 })
    })
}

/// The burst of another rate that lasts as long as that of this one.
fn scaled(burst: u64, rate: Rate, own: Rate) -> u64 {
    let speed = |rate: Rate| rate.count() as f64 / rate.per().as_secs_f64();
    ((burst as f64 * speed(own) / speed(rate)).round() as u64).clamp(1, MOST)
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

/// Where a caller's tier stands: the name of a header.
struct TierFrom(String);

impl Value for TierFrom {
    fn read(node: &Tree) -> Read<Self> {
        match node.text().and_then(|text| text.split_once(':')) {
            Some(("header", name)) => header_name(name).map(Self).map_err(|fault| vec![fault]),
            Some(("jwt", _)) => {
                Err(vec![word_fault(node, ["header:NAME"].into_iter(), &[node.text().unwrap_or_default()])])
            }
            _ => Err(vec![Fault::wanted("where a caller's tier stands, as in \"header:x-tier\"", node)]),
        }
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
        let named = |part: Result<Self, Fault>| part.map_err(|fault| vec![fault]);
        match node.text() {
            Some("client_ip") => Ok(Self::ClientIp),
            Some("path") => Ok(Self::Path),
            Some("global") => Ok(Self::Global),
            Some(text) => match text.split_once(':') {
                Some(("header", name)) => named(header_name(name).map(Self::Header)),
                Some(("query", name)) => named(query_name(name).map(Self::Query)),
                Some(("cookie", name)) => named(cookie_name(name).map(Self::Cookie)),
                Some(("jwt", _)) => Err(vec![word_fault(node, PARTS.into_iter(), &[text])]),
                _ => Err(vec![word_fault(node, PARTS.into_iter(), &["api_key"])]),
            },
            None => Err(vec![word_fault(node, PARTS.into_iter(), &[])]),
        }
    }
}
