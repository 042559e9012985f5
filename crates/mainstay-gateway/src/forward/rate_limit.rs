//! What a caller is told of the rate limit that is nearest to refusing it (RateLimit header fields for HTTP, draft 11).
//!
//! `RateLimit-Policy` has the quota and its window, `RateLimit` what is left and for how long that holds, both in whole
//! seconds. On a refusal that time is the one of `Retry-After`, to the second, and never nothing: who is told 0 asks at
//! once. Of several limits the one with the least left is told; a list of them would tempt a caller to add them up.

use mainstay_core::Duration;
use mainstay_http1::decimal;
use mainstay_policy::LimitVerdict;

use super::fields::FieldRules;

/// A limit and what it said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateLimitTold<'a> {
    pub(crate) name: &'a str,
    pub(crate) verdict: LimitVerdict,
    /// How long ago it said so.
    pub(crate) since: Duration,
}

impl RateLimitTold<'_> {
    /// Appends the two fields, where the configuration has none of its own in their place.
    pub(crate) fn write(&self, rules: Option<&FieldRules>, out: &mut Vec<u8>) {
        let LimitVerdict { quota, window, remaining, .. } = self.verdict;
        for (name, parameters) in [
            ("ratelimit-policy", [(";q=", quota), (";w=", window.as_secs_ceil())]),
            ("ratelimit", [(";r=", remaining), (";t=", self.holds_for())]),
        ] {
            if rules.is_some_and(|rules| rules.replaces_other(name.as_bytes())) {
                continue;
            }
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": \"");
            out.extend(self.name.bytes().filter(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')));
            out.push(b'"');
            for (key, value) in parameters {
                out.extend_from_slice(key.as_bytes());
                decimal(out, value);
            }
            out.extend_from_slice(b"\r\n");
        }
    }

    fn holds_for(&self) -> u64 {
        if self.verdict.admitted {
            let left = self.verdict.reset.as_nanos().saturating_sub(self.since.as_nanos());
            return Duration::from_nanos(left).as_secs_ceil();
        }
        retry_after(self.verdict.retry_after)
    }
}

/// A wait as `Retry-After` tells it: whole seconds, rounded up, and at least one.
pub(crate) fn retry_after(wait: Duration) -> u64 {
    wait.as_secs_ceil().max(1)
}
