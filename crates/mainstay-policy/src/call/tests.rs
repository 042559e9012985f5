//! Stories of calls: a script of events goes in, what was decided comes out.
//!
//! Each line of a script is `+TIME VERB CALL …`; what the call then wants done, and how long it waits, is printed behind
//! it. Endpoints are named by their slot.

mod attempts;
mod ending;
mod entering;
mod faults;
mod hedging;
mod our_limits;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use expect_test::{Expect, expect};
use mainstay_core::{CallId, Certainty, Duration, Failure, Instant, Limit, MethodClass, Ratio, Seed};

use super::*;
use crate::{
    BackoffKind, BackoffSettings, Balance, BreakerOrder, CheckResult, EndpointSpec, Fault, FaultKind, FaultOrder,
    HealthSettings, Jitter, Order, Percentile, PermitPool, Priority, Probe, ServiceSettings,
};

struct Stage {
    now: Instant,
    service: Service,
    calls: BTreeMap<u64, Call>,
    told: String,
}

/// Settings under which luck decides nothing: endpoints in turn, pauses of exactly 25 ms, 50 ms, …
fn settings() -> ServiceSettings {
    let mut settings = ServiceSettings { balance: Balance::RoundRobin, ..Default::default() };
    let retry = settings.retry.as_mut().unwrap();
    retry.backoff = BackoffSettings { kind: BackoffKind::Exponential, jitter: Jitter::None, ..retry.backoff };
    settings
}

impl Stage {
    fn new(endpoints: u16, settings: &ServiceSettings) -> Self {
        let now = Instant::ORIGIN;
        let mut service = Service::new(settings, PermitPool::new(settings.bulkhead.concurrency, 1), Seed::new(1), now);
        let specs: Vec<_> = (0..endpoints)
            .map(|n| EndpointSpec {
                address: ([127, 0, 0, 1], 9000 + n).into(),
                weight: 1,
                zone: "".into(),
                backup: false,
            })
            .collect();
        service.update(now, &specs);
        Self { now, service, calls: BTreeMap::new(), told: String::new() }
    }

    fn line(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let after: Duration = words.next().unwrap().strip_prefix('+').unwrap().parse().unwrap();
        self.now += after;
        let rest: Vec<&str> = words.collect();
        writeln!(self.told, "{line}").unwrap();
        self.act(&rest);
        self.settle();
    }

    fn act(&mut self, words: &[&str]) {
        let now = self.now;
        match words {
            [method @ ("GET" | "POST" | "PUT"), call, options @ ..] => {
                let option = |key: &str| options.iter().find_map(|option| option.strip_prefix(key));
                let facts = Facts {
                    method: MethodClass::of(method.as_bytes()),
                    idempotency_key: options.contains(&"key"),
                    hash: 0,
                    deadline: now + option("deadline=").map_or(Duration::from_secs(15), |text| text.parse().unwrap()),
                    covers_body: options.contains(&"own-deadline"),
                    limited: options.contains(&"limited"),
                    priority: Priority::ALL
                        .into_iter()
                        .find(|priority| options.contains(&priority.as_str()))
                        .unwrap_or_default(),
                    keyed: options.contains(&"keyed"),
                    stale: options.contains(&"stale"),
                };
                let id = name_to_id(call);
                let mut new = Call::new(CallId(id), facts, Record::default());
                new.handle_input(&mut self.service, now, Input::Begin);
                self.calls.insert(id, new);
            }
            ["drop", call] => drop(self.calls.remove(&name_to_id(call))),
            ["check", endpoint, result] => {
                let result =
                    if *result == "pass" { CheckResult::Pass } else { CheckResult::Fail(Failure::Refused.into()) };
                let id = EndpointId { slot: endpoint.parse().unwrap(), generation: 0 };
                self.service.check(now, id, result);
            }
            ["drain", endpoint] => {
                let address = ([127, 0, 0, 1], 9000 + endpoint.parse::<u16>().unwrap()).into();
                assert!(self.service.order(now, address, Order::Draining));
            }
            ["breaker", order] => {
                let order = if *order == "open" { BreakerOrder::Open } else { BreakerOrder::Auto };
                self.service.order_breaker(now, order);
            }
            ["fault", kind, amount, lease, endpoint @ ..] => {
                let kind = match *kind {
                    "delay" => FaultKind::Delay { millis: amount.parse().unwrap() },
                    "abort" => FaultKind::Abort { status: amount.parse().unwrap() },
                    _ => FaultKind::Reset,
                };
                let endpoint =
                    endpoint.first().map(|slot| ([127, 0, 0, 1], 9000 + slot.parse::<u16>().unwrap()).into());
                let order = FaultOrder { kind, share: Ratio::ONE, endpoint, lease: lease.parse().unwrap() };
                self.service.order_fault(Some(Fault::new(order, now)));
            }
            ["wait"] => {
                for call in self.calls.values_mut() {
                    call.handle_timeout(&mut self.service, now);
                }
            }
            [verb, call, rest @ ..] => {
                let input = input(verb, rest);
                let call = self.calls.get_mut(&name_to_id(call)).expect("a call that was begun");
                call.handle_input(&mut self.service, now, input);
            }
            other => panic!("no such line: {other:?}"),
        }
    }

    /// Prints what the calls want and hands permits to those that wait for them.
    fn settle(&mut self) {
        loop {
            self.service.poke(self.now);
            for (id, call) in &mut self.calls {
                while let Some(output) = call.poll_output() {
                    writeln!(self.told, "    {}: {}", id_to_name(*id), tell(&output)).unwrap();
                }
            }
            let Some(admission) = self.service.poll_admitted(self.now) else { break };
            let turn = admission.turn;
            match self.calls.get_mut(&admission.call.0) {
                Some(call) => call.handle_input(&mut self.service, self.now, Input::Admitted { turn }),
                None => self.service.decline(self.now, admission),
            }
        }
        for (id, call) in &self.calls {
            if let Some(deadline) = call.poll_timeout().filter(|_| !call.has_ended()) {
                let wait = deadline.at.since(self.now);
                writeln!(self.told, "    {} waits {wait} at most: {:?}", id_to_name(*id), deadline.why).unwrap();
            }
        }
    }
}

fn name_to_id(name: &str) -> u64 {
    u64::from(name.as_bytes()[0] - b'a') + 1
}

fn id_to_name(id: u64) -> char {
    char::from(b'a' + (id - 1) as u8)
}

fn input(verb: &str, rest: &[&str]) -> Input {
    let attempt = || rest[0].parse().unwrap();
    match (verb, rest) {
        ("limits", [word]) => Input::Limits {
            limit: LimitId(7),
            verdict: LimitVerdict {
                admitted: *word != "over",
                wait: word.strip_prefix("wait=").map_or(Duration::ZERO, |text| text.parse().unwrap()),
                retry_after: Duration::from_secs(if *word == "over" { 3 } else { 0 }),
                ..LimitVerdict::FREE
            },
        },
        ("key", ["first"]) => Input::Key(KeyVerdict::First),
        ("key", ["waits"]) => Input::Key(KeyVerdict::Waits),
        ("key", ["replay"]) => Input::Key(KeyVerdict::Replay { status: 201, age: Duration::from_secs(5) }),
        ("key", ["not-kept"]) => Input::Key(KeyVerdict::NotKept { status: 201, age: Duration::from_secs(5) }),
        ("key", ["reused"]) => Input::Key(KeyVerdict::Refused(KeyRefusal::Reused)),
        ("waits", _) => Input::Waits { attempt: attempt() },
        ("unable", _) => Input::Unable { attempt: attempt() },
        ("connected", _) => Input::Connected { attempt: attempt() },
        ("sent", _) => Input::Sent { attempt: attempt() },
        ("long-body", _) => Input::BodyNotKept,
        ("body", [_]) | ("body", []) => Input::BodyMoved,
        ("awaits-body", _) => Input::AwaitsBody(true),
        ("head", [_, status, options @ ..]) => Input::Head {
            attempt: attempt(),
            head: AnswerFacts {
                status: status.parse().unwrap(),
                retry_after: options
                    .iter()
                    .find_map(|option| option.strip_prefix("retry-after="))
                    .map(|text| text.parse().unwrap()),
                retries_used: options.contains(&"retries-used"),
                replaceable: options.contains(&"replaceable"),
            },
        },
        ("failed", [_, failure, certainty]) => Input::Failed {
            attempt: attempt(),
            failure: match *failure {
                "refused" => Failure::Refused,
                "reset" => Failure::Reset,
                "malformed" => Failure::Malformed,
                other => panic!("{other}"),
            },
            certainty: if *certainty == "not-sent" { Certainty::NotSent } else { Certainty::Unknown },
        },
        ("finished", _) => Input::Finished { clean: true },
        ("broken", _) => Input::Finished { clean: false },
        ("leaves", _) => Input::CallerLeft,
        ("kept", [_, word]) => Input::StaleIsKept { attempt: attempt(), kept: *word == "yes" },
        ("stale", ["none"]) => Input::Stale(None),
        ("stale", [secs]) => {
            let length = Duration::from_secs(secs.parse().unwrap());
            Input::Stale(Some(Usable { age: length, fresh_for: Duration::ZERO, stale_for: length }))
        }
        ("fallback", [word]) => Input::FallbackEnded { answered: *word == "answered" },
        other => panic!("no such verb: {other:?}"),
    }
}

fn tell(output: &Output) -> String {
    match output {
        Output::Attempt(AttemptOrder { attempt, endpoint, why, .. }) => {
            format!("attempt {attempt} at endpoint {} ({why:?})", endpoint.slot)
        }
        Output::Refuse(RefuseOrder { refusal, retry_after, attempts }) => {
            let when = retry_after.map(|after| format!(", again after {after}")).unwrap_or_default();
            format!("refuse: {} ({} after {attempts} attempts{when})", refusal.as_str(), refusal.origin().as_str())
        }
        Output::Forward { attempt, retries_used } => {
            format!("forward attempt {attempt}{}", if *retries_used { ", retries used up" } else { "" })
        }
        Output::Cancel { attempt } => format!("cancel attempt {attempt}"),
        Output::AskLimits => "ask the limits".into(),
        Output::AskKey => "ask for the key".into(),
        Output::Replay => "give the first answer again".into(),
        Output::AskStale => "ask for a kept answer".into(),
        Output::LookForStale { attempt } => format!("look for a kept answer while attempt {attempt} runs"),
        Output::RespondStale(order) => format!("give a kept answer: {}", order.refusal.as_str()),
        Output::FallbackService => "ask the fallback service".into(),
        Output::Respond => "send the fixed answer".into(),
        Output::Abort => "break off".into(),
    }
}

fn play(endpoints: u16, settings: &ServiceSettings, script: &str) -> Stage {
    let mut stage = Stage::new(endpoints, settings);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        stage.line(line);
    }
    stage
}

#[track_caller]
#[allow(clippy::needless_pass_by_value, reason = "an expectation is written where it is handed in")]
fn check(endpoints: u16, settings: &ServiceSettings, script: &str, told: Expect) {
    let mut stage = play(endpoints, settings, script);
    told.assert_eq(&stage.told);
    let now = stage.now;
    stage.calls.clear();
    let view = stage.service.view(now);
    assert_eq!(view.in_use, 0, "every permit comes back");
    assert!(view.endpoints.iter().all(|endpoint| endpoint.in_flight == 0), "every endpoint is left: {view:?}");
}
