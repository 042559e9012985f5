//! `[instance]`, `[network]`, `[gateways]`: what stands there to meet the calls.

use mainstay_core::{Duration, Limit, Ratio};

use super::autoscale::autoscale;
use super::model::{Abandoned, Cache, Dependency, Discipline, Gateways, Instances, Network, WarmUp};
use super::values::{Factor, Number};
use super::workload::{ceiling, some};
use crate::section::Section;
use crate::value::{Count, Fault, Name, Positive};

/// More is not played.
pub(super) const INSTANCES_MAX: u32 = 10_000;
const GATEWAYS_MAX: u32 = 100;

pub(super) fn instances(s: &mut Section<'_>) -> Option<Instances> {
    let service: Option<Name> = s.find("service", "all services that have none of their own");
    let count: Option<Count> = s.find("count", "as many as the service has endpoints, or 4");
    if count.is_some_and(|count| count.0 > INSTANCES_MAX) {
        s.fault("count", Fault::new(format!("more than {INSTANCES_MAX} are not played")));
    }
    let concurrency = ceiling(s.get("concurrency", "8"));
    let service_time = s.get("service_time", r#"{ distribution = "exponential", mean = "10ms" }"#);
    let queue: Option<Limit<Count>> = s.get("queue", "400");
    let discipline = discipline(s);
    let drop_expired = s.get("drop_expired", "false");
    let abandoned = s.choice("abandoned", "done", &Abandoned::ALL, &[]);
    let slowdown: Ratio = s.get("slowdown", "0%");
    let warm_up = s.off_unless_given("warm_up", warm_up);
    let cache = s.off_unless_given("cache", cache);
    let calls = calls(s);
    let zones: Vec<Name> = s.get("zones", "[]");
    let autoscale = s.off_unless_given("autoscale", |s| autoscale(s, concurrency)).flatten();
    if let (Some(autoscale), Some(count)) = (&autoscale, count)
        && !(autoscale.policy.min..=autoscale.policy.max).contains(&count.0)
    {
        let wrong = format!("it begins with {}, and its autoscaler keeps to other bounds", count.0);
        let bounds = format!("from {} to {}", autoscale.policy.min, autoscale.policy.max);
        s.fault("count", Fault::new(wrong).help(bounds));
    }
    Some(Instances {
        service: service.map(|service| service.0),
        count: count.map(|count| count.0.min(INSTANCES_MAX)),
        concurrency,
        service_time,
        queue: queue.map_or(Limit::At(0), ceiling),
        discipline: discipline?,
        drop_expired,
        abandoned: abandoned?,
        slowdown,
        warm_up,
        cache,
        calls,
        zones: zones.into_iter().map(|zone| zone.0).collect(),
        autoscale,
        line: s.line(),
    })
}

fn discipline(s: &mut Section<'_>) -> Option<Discipline> {
    let codel = Discipline::Codel { target: Duration::ZERO, interval: Duration::ZERO };
    let words = [("fifo", Discipline::Fifo), ("lifo", Discipline::Lifo), ("codel", codel)];
    let discipline = s.choice("discipline", "fifo", &words, &[]);
    let target: Positive<Duration> = s.get("codel_target", "5ms");
    let interval: Positive<Duration> = s.get("codel_interval", "100ms");
    if discipline != Some(codel) {
        for key in ["codel_target", "codel_interval"].into_iter().filter(|key| s.given(key).is_some()) {
            s.fault(key, Fault::new("only codel has it").help("add discipline = \"codel\""));
        }
        return discipline;
    }
    Some(Discipline::Codel { target: target.0, interval: interval.0 })
}

fn warm_up(s: &mut Section<'_>) -> WarmUp {
    let factor: Number<1_000, 1_000_000> = s.get("factor", "4");
    let over: Positive<Duration> = s.get("over", "30s");
    WarmUp { factor: factor.0, over: over.0 }
}

fn cache(s: &mut Section<'_>) -> Cache {
    let ttl: Positive<Duration> = s.get("ttl", "60s");
    let hit_time = s.get("hit_time", "1ms");
    let keeps_late = s.get("keeps_late", "true");
    Cache { ttl: ttl.0, hit_time, keeps_late, warm: s.get("warm", "true") }
}

fn calls(s: &mut Section<'_>) -> Vec<Dependency> {
    s.items("calls", |item| {
        if !item.is_table() {
            let service = item.read::<Name>()?.0;
            let (share, times, deadline) = (Ratio::ONE, 1, Duration::from_secs(2));
            return Some(Dependency { service, share, times, deadline });
        }
        item.table(|call| {
            let service: Option<Name> = call.need("service", "\"stock\"");
            let share = some(call, "share", "100%");
            let times: Count = call.get("times", "1");
            let deadline: Positive<Duration> = call.get("deadline", "2s");
            Some(Dependency { service: service?.0, share, times: times.0.min(100), deadline: deadline.0 })
        })
    })
}

pub(super) fn network(s: &mut Section<'_>) -> Network {
    let latency = s.get("latency", "250us");
    let cross_zone = s.get("cross_zone", "1ms");
    let loss = s.get("loss", "0%");
    Network { latency, cross_zone, loss, handshake: s.get("handshake", "true") }
}

pub(super) fn gateways(s: &mut Section<'_>) -> Gateways {
    let count: Count = s.get("count", "1");
    let workers: Count = s.get("workers", "1");
    for (key, count) in [("count", count), ("workers", workers)] {
        if count.0 > GATEWAYS_MAX {
            s.fault(key, Fault::new(format!("more than {GATEWAYS_MAX} are not played")));
        }
    }
    let zones: Vec<Name> = s.get("zones", "[]");
    let zones = zones.into_iter().map(|zone| zone.0).collect();
    let discovery = s.get("discovery", "1s");
    let (count, workers) = (count.0.min(GATEWAYS_MAX), workers.0.min(GATEWAYS_MAX));
    Gateways { count, workers, zones, discovery }
}

/// How many times as much, for those who read faults.
pub(super) fn factor(s: &mut Section<'_>, key: &'static str, default: &str) -> f64 {
    let factor: Factor = s.get(key, default);
    factor.0
}
