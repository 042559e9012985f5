//! `[instance.autoscale]`: what changes the number of instances.

use mainstay_core::{Duration, Limit, Ratio};
use mainstay_policy::{AutoscaleSettings, Measure, ScaleDown, ScaleUp};

use super::instances::INSTANCES_MAX;
use super::model::Autoscale;
use super::values::{Number, Target};
use crate::section::Section;
use crate::value::{Count, Fault, Positive};

/// Of instances that work on `slots` calls at once.
pub(super) fn autoscale(s: &mut Section<'_>, slots: Limit<u32>) -> Option<Autoscale> {
    let (min, max) = bounds(s);
    let measure = s.choice("measure", "utilisation", &Measure::ALL, &[]);
    let target = target(s, measure, slots);
    let tolerance: Ratio = s.get("tolerance", "10%");
    let every: Positive<Duration> = s.get("every", "15s");
    let lag: Duration = s.get("lag", "15s");
    let start = s.get("start", "30s");
    let drain: Duration = s.get("drain", "30s");
    let cooldown: Option<Positive<Duration>> = s.get("cooldown", "off");
    let (up, down) = (s.table("up", up), s.table("down", down));
    let cooldown = cooldown.map(|cooldown| cooldown.0);
    let policy =
        AutoscaleSettings { min, max: max?, measure: measure?, target: target?, tolerance, up, down, cooldown };
    Some(Autoscale { policy, every: every.0, lag, start, drain })
}

fn bounds(s: &mut Section<'_>) -> (u32, Option<u32>) {
    let min: Count = s.get("min", "1");
    let max: Option<Count> = s.need("max", "10");
    match max {
        Some(max) if max.0 > INSTANCES_MAX => {
            s.fault("max", Fault::new(format!("more than {INSTANCES_MAX} are not played")));
            (min.0, None)
        }
        Some(max) if max.0 < min.0 => {
            s.fault("max", Fault::new(format!("it is less than min, {}", min.0)));
            (min.0, None)
        }
        max => (min.0, max.map(|max| max.0)),
    }
}

fn target(s: &mut Section<'_>, measure: Option<Measure>, slots: Limit<u32>) -> Option<f64> {
    let target: Option<Target> = s.find("target", "60% of the slots");
    let given = s.given("target").is_some();
    match (measure?, target) {
        (Measure::Utilisation, _) if slots == Limit::Unlimited => {
            let wrong = Fault::new("who works on any number of calls at once has no utilisation");
            s.fault("measure", wrong.help("write measure = \"concurrency\" and target = 20, or give it a concurrency"));
            None
        }
        (Measure::Utilisation, Some(target)) if target.0 > 1.0 => {
            s.fault("target", Fault::new("no more than all slots are busy").help("write a share, as in \"60%\""));
            None
        }
        (Measure::Utilisation, None) if !given => Some(AutoscaleSettings::up_to(1).target),
        (Measure::Concurrency | Measure::Queue, None) if !given => {
            s.fault("target", Fault::new("target is missing").help("say how many calls each is to have: target = 5"));
            None
        }
        (_, target) => target.map(|target| target.0),
    }
}

fn up(s: &mut Section<'_>) -> ScaleUp {
    let factor: Option<Number<1_001, 1_000_000>> = s.get("factor", "2");
    let count: Option<Count> = s.get("count", "4");
    let period: Positive<Duration> = s.get("period", "15s");
    let window = s.get("window", "0s");
    ScaleUp { factor: factor.map(|factor| factor.0), count: count.map(|count| count.0), period: period.0, window }
}

fn down(s: &mut Section<'_>) -> ScaleDown {
    let share: Option<Positive<Ratio>> = s.get("share", "100%");
    let count: Option<Count> = s.get("count", "off");
    let period: Positive<Duration> = s.get("period", "15s");
    let window = s.get("window", "5m");
    ScaleDown { share: share.map(|share| share.0), count: count.map(|count| count.0), period: period.0, window }
}
