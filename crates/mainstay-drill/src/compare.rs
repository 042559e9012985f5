//! Prediction beside fact: the same scenario in virtual time and for real.
//!
//! One thing is measured for the prediction and no more: what a way takes here, from the look at the steady state, before
//! anything is broken. It can be frozen, and then holds for every scenario. All else is the simulator's own.

use mainstay_config::scenario::Distribution;
use mainstay_config::{Config, Scenario};
use mainstay_core::Duration;
use mainstay_sim::report::Report;
use serde_json::{Value, json};

/// Shares of good calls that differ by less are the same, in points.
pub const POINTS: f64 = 0.5;
/// As are latencies of 99 of 100 calls that differ by less, as a share of what was real.
pub const SHARE: f64 = 0.3;
/// How long a steady state is simulated to be laid beside the real one.
const CALM: Duration = Duration::from_secs(10);

/// Both, and what was measured.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// What was predicted.
    pub simulated: Report,
    /// What came.
    pub real: Report,
    /// What a way takes here, as it was measured or given.
    pub latency: Duration,
}

/// What the simulator refuses, in its words.
fn refused(unplayable: Vec<mainstay_sim::Unplayable>) -> Vec<String> {
    let line = |line: Option<u32>| line.map_or(String::new(), |line| format!("line {line}: "));
    unplayable.into_iter().map(|one| format!("{}{}", line(one.line), one.message)).collect()
}

/// What a way takes so that half of the calls of a steady state are answered as soon in the simulator as they really were, in
/// whole microseconds.
///
/// # Errors
/// What of the scenario cannot be simulated.
pub fn calibrate(config: &Config, scenario: &Scenario, real_p50_ms: f64) -> Result<Duration, Vec<String>> {
    let mut calm = scenario.clone();
    (calm.faults, calm.holds, calm.duration, calm.warmup) = (Vec::new(), Vec::new(), CALM, Duration::from_secs(1));
    let outcome = mainstay_sim::play(config, &calm, calm.seed, "").map_err(refused)?;
    let simulated = outcome.report.p50_ms.unwrap_or(real_p50_ms);
    let way = scenario.network.latency.mean().as_secs_f64() * 1e3;
    // A call goes one way and comes back.
    let millis = (way + (real_p50_ms - simulated) / 2.0).max(0.0);
    Ok(Duration::from_micros((millis * 1e3) as u64))
}

/// Simulates a scenario in which a way takes `latency`, and lays it beside what was real.
///
/// # Errors
/// What of the scenario cannot be simulated.
pub fn compare(
    config: &Config,
    scenario: &Scenario,
    latency: Duration,
    real: Report,
) -> Result<Comparison, Vec<String>> {
    let mut scenario = scenario.clone();
    scenario.network.latency = Distribution::Fixed(latency);
    let outcome = mainstay_sim::play(config, &scenario, scenario.seed, &real.replay).map_err(refused)?;
    Ok(Comparison { simulated: outcome.report, real, latency })
}

impl Comparison {
    /// By how many points the share of good calls was better than was predicted.
    #[must_use]
    pub fn points(&self) -> f64 {
        (self.real.good_ratio - self.simulated.good_ratio) * 100.0
    }

    /// By which share of it the real latency of 99 of 100 calls was longer than was predicted; none where one of both had
    /// no good answer.
    #[must_use]
    pub fn p99_share(&self) -> Option<f64> {
        let (simulated, real) = (self.simulated.p99_ms?, self.real.p99_ms?);
        (real > 0.0).then(|| (real - simulated) / real)
    }

    /// Whether both are as near as they are to be.
    #[must_use]
    pub fn is_near(&self) -> bool {
        self.points().abs() < POINTS && self.p99_share().is_none_or(|share| share.abs() < SHARE)
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "simulated": self.simulated,
            "real": self.real,
            "latency_ms": self.latency.as_secs_f64() * 1e3,
            "good_points": self.points(),
            "p99_share": self.p99_share(),
            "near": self.is_near(),
        })
    }
}
