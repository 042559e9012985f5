//! Settings that fight each other: each is right by itself, and together they do not do what their writer wanted.
//!
//! One function for each fight. A warning names the settings with their lines and the value that would be right; a
//! configuration that takes this value on has peace. The defaults do not fight.

use mainstay_core::{Duration, Limit, Rate};
use mainstay_policy::{BackoffKind, Balance, OnExceeded, RateLimitAlgorithm, RateLimitSettings, RetrySettings};

mod hedges;

use super::said::{Notes, Said};
use super::{leads_to, targets};
use crate::model::{
    Config, Endpoints, KeyPart, ListenerId, RateLimit, RateLimitId, Route, RouteRetry, Service, ServiceId,
};

/// Common servers close an idle connection after this (Node.js, Apache, Uvicorn).
const SERVERS_CLOSE_AFTER: Duration = Duration::from_secs(5);

/// Notes every fight in `config`.
pub(super) fn look(config: &Config, notes: &Notes<'_>) {
    for (number, service) in config.services.iter().enumerate() {
        let look = Look { config, notes, id: ServiceId(number), service };
        look.attempts_outlast_their_call();
        look.pauses_outlast_their_call();
        look.the_queue_outlasts_its_call();
        look.connecting_outlasts_its_attempt();
        look.slow_calls_are_never_seen();
        look.a_check_outlasts_its_interval();
        look.ejection_runs_into_panic();
        look.the_breaker_never_has_enough_calls();
        look.the_bulkhead_is_wider_than_the_endpoints();
        look.nothing_catches_closed_connections();
        look.the_budget_never_fills();
        look.hedges_go_wrong();
        look.what_has_no_effect();
        look.calls_come_back();
    }
    drain_cuts_calls_short(config, notes);
    bursts_below_the_rate(config, notes);
    limits_outlast_their_call(config, notes);
}

/// A look at one service.
struct Look<'a> {
    config: &'a Config,
    notes: &'a Notes<'a>,
    id: ServiceId,
    service: &'a Service,
}

/// A rule for retries, and where it stands.
struct Rule<'a> {
    number: usize,
    route: &'a Route,
    retry: &'a RetrySettings,
    of_route: bool,
}

/// Time.
impl<'a> Look<'a> {
    fn attempts_outlast_their_call(&self) {
        let attempt = self.service.policy.timeout.attempt;
        let too_long = |rule: &Rule<'_>| attempt.saturating_mul(rule.retry.attempts.into()) > rule.route.timeout;
        let share = |rule: &Rule<'_>| {
            let left = rule.route.timeout.as_nanos().saturating_sub(pauses(rule.retry).as_nanos());
            tidy(Duration::from_nanos(left / u64::from(rule.retry.attempts.max(1))))
        };
        let rules = self.rules().filter(|rule| rule.retry.attempts > 1 && rule.retry.on.timeout && too_long(rule));
        let Some(rule) = rules.min_by_key(share) else { return };
        let attempts = rule.retry.attempts;
        let said = self.said(&["timeout", "attempt"], &text(attempt));
        self.notes.fight(
            format!("{attempts} attempts of {attempt} do not fit into a call of {}", rule.route.timeout),
            &[&said, &self.said_of(&rule, &["attempts"], &attempts), &self.timeout(rule.number, rule.route)],
            (&said, text(share(&rule))),
        );
    }

    fn pauses_outlast_their_call(&self) {
        let rules = self.rules().filter(|rule| rule.retry.backoff.base >= rule.route.timeout);
        let Some(rule) = rules.min_by_key(|rule| rule.route.timeout) else { return };
        let said = self.said_of(&rule, &["backoff", "base"], &text(rule.retry.backoff.base));
        self.notes.fight(
            "the pause before a retry is as long as the whole call, so most retries are never made",
            &[&said, &self.timeout(rule.number, rule.route)],
            (&said, text(tidy(part(rule.route.timeout, 20)))),
        );
    }

    fn the_queue_outlasts_its_call(&self) {
        let bulkhead = &self.service.policy.bulkhead;
        let routes = self.routes().filter(|(_, route)| bulkhead.queue > 0 && bulkhead.queue_timeout >= route.timeout);
        let Some((number, route)) = routes.min_by_key(|(_, route)| route.timeout) else { return };
        let said = self.said(&["bulkhead", "queue_timeout"], &text(bulkhead.queue_timeout));
        self.notes.fight(
            "a call may wait in the queue until its deadline, and is then not worth serving",
            &[&said, &self.timeout(number, route)],
            (&said, text(tidy(part(route.timeout, 4)))),
        );
    }

    fn connecting_outlasts_its_attempt(&self) {
        let timeout = &self.service.policy.timeout;
        let connect = self.said(&["timeout", "connect"], &text(timeout.connect));
        // The default stands behind the attempt by itself.
        if connect.is_given() && timeout.connect >= timeout.attempt {
            self.notes.fight(
                "an instance that takes no connection is given up only when the whole attempt is",
                &[&connect, &self.said(&["timeout", "attempt"], &text(timeout.attempt))],
                (&connect, text(tidy(part(timeout.attempt, 2)))),
            );
        }
    }

    fn slow_calls_are_never_seen(&self) {
        let slow_call = self.service.policy.breaker.as_ref().and_then(|breaker| breaker.slow_call);
        let longest = self.routes().max_by_key(|(_, route)| route.timeout);
        if let (Some(slow), Some((number, route))) = (slow_call, longest)
            && slow >= route.timeout
        {
            let said = self.said(&["breaker", "slow_call"], &text(slow));
            self.notes.fight(
                "no call is slow: each has failed at its deadline before",
                &[&said, &self.timeout(number, route)],
                (&said, text(tidy(part(route.timeout, 2)))),
            );
        }
    }

    fn a_check_outlasts_its_interval(&self) {
        let Some(health) = &self.service.policy.health else { return };
        if health.timeout > health.interval {
            let timeout = self.said(&["health", "timeout"], &text(health.timeout));
            let interval = self.said(&["health", "interval"], &text(health.interval));
            let falls = (health.timeout.saturating_mul(2)).saturating_mul(health.unhealthy_threshold.into());
            self.notes.fight(
                format!("a check waits longer than the interval, so a hanging instance is found after up to {falls}"),
                &[&timeout, &interval],
                (&timeout, text(health.interval)),
            );
        }
    }
}

/// Numbers.
impl<'a> Look<'a> {
    fn ejection_runs_into_panic(&self) {
        let policy = &self.service.policy;
        let Some(outlier) = &policy.outlier else { return };
        // A share such as 29 % must not be less than itself for its last bit.
        let left = 1.0 - outlier.max_ejected.get() + 1e-9;
        if left < policy.panic.get() {
            let panic = self.said(&["panic"], &text(policy.panic));
            self.notes.fight(
                "more endpoints may be ejected than panic allows: below it ejection is ignored",
                &[&self.said(&["outlier", "max_ejected"], &text(outlier.max_ejected)), &panic],
                (&panic, format_args!("\"{}%\"", (left * 100.0) as u32)),
            );
        }
    }

    fn the_breaker_never_has_enough_calls(&self) {
        let Some(breaker) = &self.service.policy.breaker else { return };
        let Some((limit, most)) = self.calls_in(breaker.window) else { return };
        if most < u64::from(breaker.minimum_calls) {
            let minimum = self.said(&["breaker", "minimum_calls"], &breaker.minimum_calls);
            self.notes.fight(
                format!("the breaker never opens: its window of {} sees {most} calls at the most", breaker.window),
                &[&minimum, &self.rate_of(limit)],
                (&minimum, (most / 2).max(1)),
            );
        }
    }

    /// How many calls all rate limits together let through in `window`, and one of the limits; `None` where they do not
    /// bound the sum.
    fn calls_in(&self, window: Duration) -> Option<(RateLimitId, u64)> {
        let is_fallback = self.config.services.iter().any(|other| other.fallback.service == Some(self.id));
        let mut limits: Vec<RateLimitId> = Vec::new();
        for (_, route) in self.routes() {
            let global = |id: &&RateLimitId| self.config.rate_limit(**id).is_some_and(|l| l.key == [KeyPart::Global]);
            let limit = *route.rate_limits.iter().find(global)?;
            if !limits.contains(&limit) {
                limits.push(limit);
            }
        }
        let of = |id: &RateLimitId| {
            let policy = self.config.rate_limit(*id).map(|limit| &limit.policy)?;
            policy.tiers.is_empty().then(|| at_once(policy).saturating_add(brought(policy.rate, window)))
        };
        let most = limits.iter().map(of).try_fold(0_u64, |sum, most| Some(sum.saturating_add(most?)))?;
        limits.first().filter(|_| !is_fallback).map(|limit| (*limit, most))
    }

    fn rate_of(&self, limit: RateLimitId) -> Said<'a> {
        let name = self.config.rate_limit(limit).map_or("", |limit| &limit.name);
        self.notes.said(&["rate_limit", name, "rate"], "\"100/s\"")
    }

    fn the_bulkhead_is_wider_than_the_endpoints(&self) {
        let (Endpoints::Fixed(endpoints), policy) = (&self.service.endpoints, &self.service.policy) else { return };
        let primaries = endpoints.iter().filter(|endpoint| !endpoint.backup).count().max(1) as u64;
        let of_pool = bound(policy.pool.size).map(|size| (size, self.said(&["pool", "size"], &size)));
        let of_endpoint = bound(policy.bulkhead.per_endpoint);
        let of_endpoint = of_endpoint.map(|size| (size, self.said(&["bulkhead", "per_endpoint"], &size)));
        let narrowest = [of_endpoint, of_pool].into_iter().flatten().min_by_key(|(size, _)| *size);
        let Some((size, narrow)) = narrowest else { return };
        let room = u64::from(size).saturating_mul(primaries);
        if bound(policy.bulkhead.concurrency).is_none_or(|wide| u64::from(wide) > room) {
            let wide = bound(policy.bulkhead.concurrency).map_or("\"unlimited\"".to_owned(), |wide| wide.to_string());
            let wide = self.said(&["bulkhead", "concurrency"], &wide);
            let count =
                if primaries == 1 { "the endpoint takes".to_owned() } else { format!("{primaries} endpoints take") };
            self.notes.fight(
                format!(
                    "more attempts are let in than {count} ({room}), so the queue never fills and callers are refused"
                ),
                &[&narrow, &wide],
                (&wide, room),
            );
        }
    }

    fn nothing_catches_closed_connections(&self) {
        let (idle, retry) = (self.service.policy.pool.idle, &self.service.policy.retry);
        if idle >= SERVERS_CLOSE_AFTER && retry.is_none() {
            let said = self.said(&["pool", "idle"], &text(idle));
            self.notes.fight(
                "a request may cross with the close of its connection (common servers close after 5s), and nothing \
                 repeats it",
                &[&said, &self.said(&["retry"], &"\"off\"")],
                (&said, "\"4s\""),
            );
        }
    }

    fn the_budget_never_fills(&self) {
        let Some(budget) = self.service.policy.retry.as_ref().and_then(|retry| retry.budget) else { return };
        if budget.per_second == 0 && budget.share.get() <= 0.0 {
            let share = self.said(&["retry", "budget", "share"], &text(budget.share));
            self.notes.fight(
                format!("nothing fills the retry budget: after {} retries there are no more", budget.cap),
                &[&share, &self.said(&["retry", "budget", "per_second"], &budget.per_second)],
                (&share, "\"20%\""),
            );
        }
    }

    /// What is set, and means nothing without another setting.
    fn what_has_no_effect(&self) {
        let policy = &self.service.policy;
        let balance = policy.balance;
        let balance_word = Balance::ALL.iter().find(|(_, rule)| *rule == balance).map_or("", |(word, _)| word);
        self.has_no_effect(!balance.goes_by_key(), &["hash_on"], (&["balance"], &text(balance_word)), "\"ring_hash\"");
        self.has_no_effect(
            !balance.goes_by_key(),
            &["hash_load"],
            (&["balance"], &text(balance_word)),
            "\"ring_hash\"",
        );
        self.has_no_effect(balance.goes_by_key(), &["slow_start"], (&["balance"], &text(balance_word)), "\"adaptive\"");
        self.has_no_effect(
            policy.fallback.stale_if_error.is_none(),
            &["fallback", "stale_memory"],
            (&["fallback", "stale_if_error"], &"\"off\""),
            "\"1m\"",
        );
        let bulkhead = &policy.bulkhead;
        self.has_no_effect(
            bulkhead.queue == 0,
            &["bulkhead", "queue_timeout"],
            (&["bulkhead", "queue"], &"128"),
            "128",
        );
        self.has_no_effect(
            bulkhead.concurrency == Limit::Unlimited && bulkhead.queue > 0,
            &["bulkhead", "queue"],
            (&["bulkhead", "concurrency"], &"1024"),
            "1024",
        );
        if let Some(breaker) = &policy.breaker {
            let off = breaker.slow_call.is_none();
            self.has_no_effect(off, &["breaker", "slow_rate"], (&["breaker", "slow_call"], &"\"off\""), "\"1s\"");
        }
    }

    fn has_no_effect(&self, without: bool, set: &[&str], lacking: (&[&str], &dyn std::fmt::Display), right: &str) {
        let set = self.said(set, &"");
        if without && set.is_given() {
            let lacking = self.said(lacking.0, lacking.1);
            self.notes.fight("what is set here has no effect", &[&set, &lacking], (&lacking, right));
        }
    }
}

/// Calls that come in again.
impl<'a> Look<'a> {
    fn calls_come_back(&self) {
        let Endpoints::Fixed(endpoints) = &self.service.endpoints else { return };
        for (at, endpoint) in endpoints.iter().enumerate() {
            let own = self.config.listeners.iter().position(|listener| {
                let (ours, theirs) = (listener.address, endpoint.address);
                let everywhere =
                    ours.ip().is_unspecified() && (theirs.ip().is_loopback() || theirs.ip().is_unspecified());
                ours.port() == theirs.port() && (ours.ip() == theirs.ip() || everywhere)
            });
            if let Some(listener) = own {
                self.calls_come_back_at(at, ListenerId(listener));
            }
        }
    }

    fn calls_come_back_at(&self, endpoint: usize, listener: ListenerId) {
        let routes = self.config.routes.iter().filter(|route| route.listeners.contains(&listener));
        let reached = leads_to(self.config, routes.flat_map(|route| targets(&route.target)).collect());
        let name = self.config.listener(listener).map_or("", |listener| &listener.name);
        let said = self.said(&["endpoints", &endpoint.to_string()], &"");
        let number = listener.0.to_string();
        let address = self.notes.said(&["listener", &number, "address"], "");
        if reached.get(self.id.0) == Some(&true) {
            let what =
                format!("calls go round in a circle until their deadline: the endpoint is our listener {name:?}");
            return self.notes.note(what, &[&said, &address], &said, "name the address of an instance");
        }
        let inner = self.config.services.iter().zip(&reached).filter(|(_, reached)| **reached);
        let inner = inner.filter_map(|(service, _)| service.policy.retry.as_ref()).map(|retry| retry.attempts).max();
        let outer = self.service.policy.retry.as_ref().map_or(1, |retry| retry.attempts);
        if let Some(inner) = inner.filter(|inner| *inner > 1 && outer > 1) {
            let retry = self.said(&["retry"], &"on");
            self.notes.fight(
                format!("the endpoint is our listener {name:?}, so two layers retry: up to {outer} × {inner} attempts"),
                &[&said, &address],
                (&retry, "\"off\""),
            );
        }
    }
}

/// Finding.
impl<'a> Look<'a> {
    /// The routes that lead straight to the service, with their numbers.
    fn routes(&self) -> impl Iterator<Item = (usize, &'a Route)> {
        let id = self.id;
        self.config.routes.iter().enumerate().filter(move |(_, route)| targets(&route.target).contains(&id))
    }

    /// The rules for retries that hold for calls of the service.
    fn rules(&self) -> impl Iterator<Item = Rule<'a>> {
        let of_service = self.service.policy.retry.as_ref();
        self.routes().filter_map(move |(number, route)| match &route.retry {
            RouteRetry::Service => of_service.map(|retry| Rule { number, route, retry, of_route: false }),
            RouteRetry::Own(own) => own.as_ref().map(|retry| Rule { number, route, retry, of_route: true }),
        })
    }

    fn said(&self, path: &[&str], default: &dyn std::fmt::Display) -> Said<'a> {
        let path: Vec<&str> = ["service", self.service.name.as_str()].into_iter().chain(path.iter().copied()).collect();
        self.notes.said(&path, default)
    }

    /// A key of `[…retry]`, the route's or the service's.
    fn said_of(&self, rule: &Rule<'_>, path: &[&str], default: &dyn std::fmt::Display) -> Said<'a> {
        let number = rule.number.to_string();
        let owner = if rule.of_route { ["route", &number] } else { ["service", &self.service.name] };
        let path: Vec<&str> = owner.into_iter().chain(["retry"]).chain(path.iter().copied()).collect();
        self.notes.said(&path, default)
    }

    fn timeout(&self, number: usize, route: &Route) -> Said<'a> {
        self.notes.said(&["route", &number.to_string(), "timeout"], text(route.timeout))
    }
}

fn drain_cuts_calls_short(config: &Config, notes: &Notes<'_>) {
    let longest = config.routes.iter().enumerate().max_by_key(|(_, route)| route.timeout);
    let Some((number, route)) = longest.filter(|(_, route)| route.timeout > config.node.drain) else { return };
    if config.node.drain.is_zero() {
        return;
    }
    let drain = notes.said(&["node", "drain"], text(config.node.drain));
    let timeout = notes.said(&["route", &number.to_string(), "timeout"], text(route.timeout));
    let what = "a stopping node cuts calls off that still have time";
    notes.fight(what, &[&drain, &timeout], (&drain, text(route.timeout)));
}

fn bursts_below_the_rate(config: &Config, notes: &Notes<'_>) {
    let refuses = |limit: &&RateLimit| {
        limit.policy.algorithm == RateLimitAlgorithm::TokenBucket && limit.policy.on_exceeded == OnExceeded::Reject
    };
    for limit in config.rate_limits.iter().filter(refuses) {
        let second = brought(limit.policy.rate, Duration::from_secs(1));
        if limit.policy.burst.saturating_mul(10) < second {
            let burst = notes.said(&["rate_limit", &limit.name, "burst"], limit.policy.burst);
            let rate = notes.said(&["rate_limit", &limit.name, "rate"], "\"100/s\"");
            let what = "callers never get their rate: calls come in bunches, and the burst is used up by the first few";
            notes.fight(what, &[&burst, &rate], (&burst, second));
        }
    }
}

fn limits_outlast_their_call(config: &Config, notes: &Notes<'_>) {
    for (id, limit) in config.rate_limits.iter().enumerate() {
        let OnExceeded::Queue { timeout, .. } = limit.policy.on_exceeded else { continue };
        let asking = config.routes.iter().enumerate().filter(|(_, route)| route.rate_limits.contains(&RateLimitId(id)));
        let shortest = asking.min_by_key(|(_, route)| route.timeout);
        if let Some((number, route)) = shortest.filter(|(_, route)| timeout >= route.timeout) {
            let said = notes.said(&["rate_limit", &limit.name, "queue_timeout"], text(timeout));
            let whole = notes.said(&["route", &number.to_string(), "timeout"], text(route.timeout));
            let what = "a call may wait for the limit until its deadline, and has then no time for its service";
            notes.fight(what, &[&said, &whole], (&said, text(tidy(part(route.timeout, 4)))));
        }
    }
}

/// All pauses before the last attempt, each as long as it may be.
fn pauses(retry: &RetrySettings) -> Duration {
    let nanos = (1..retry.attempts).map(|number| {
        let doublings = if retry.backoff.kind == BackoffKind::Fixed { 0 } else { number - 1 };
        let factor = 1_u64.checked_shl(doublings).unwrap_or(u64::MAX);
        retry.backoff.base.saturating_mul(factor).min(retry.backoff.max).as_nanos()
    });
    Duration::from_nanos(nanos.fold(0, u64::saturating_add))
}

/// How many a rate lets through in a time.
fn brought(rate: Rate, time: Duration) -> u64 {
    let calls = u128::from(rate.count()) * u128::from(time.as_nanos()) / u128::from(rate.per().as_nanos().max(1));
    u64::try_from(calls).unwrap_or(u64::MAX)
}

/// What a limit lets through beside its rate.
fn at_once(policy: &RateLimitSettings) -> u64 {
    match policy.algorithm {
        RateLimitAlgorithm::TokenBucket => policy.burst,
        RateLimitAlgorithm::LeakyBucket => 1,
        RateLimitAlgorithm::FixedWindow => policy.rate.count().saturating_mul(2),
        RateLimitAlgorithm::SlidingWindow => policy.rate.count().saturating_add(1),
    }
}

fn bound(limit: Limit<u32>) -> Option<u32> {
    match limit {
        Limit::At(most) => Some(most),
        Limit::Unlimited => None,
    }
}

fn part(whole: Duration, parts: u64) -> Duration {
    Duration::from_nanos(whole.as_nanos() / parts)
}

/// A length as a person would write it: its first two digits, in milliseconds or more.
fn tidy(length: Duration) -> Duration {
    let millis = length.as_millis().max(1);
    let mut unit = 1;
    while millis / unit >= 100 {
        unit *= 10;
    }
    Duration::from_millis(millis / unit * unit)
}

/// As it stands in TOML.
fn text(value: impl std::fmt::Display) -> String {
    format!("\"{value}\"")
}
