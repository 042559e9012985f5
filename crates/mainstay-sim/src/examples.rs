//! Reports to be drawn in tests.

use crate::report::{Counted, Event, FaultSpan, Hold, InstanceLine, Played, Report, Second, WorkloadLine};

fn counted(what: &str, count: u64) -> Counted {
    Counted { what: what.to_owned(), count }
}

fn instance(name: &str, attempts: u64, busy_ratio: f64) -> InstanceLine {
    InstanceLine { name: name.to_owned(), attempts, busy_ratio, queued_ratio: 0.05, queue_ms: 0.8 }
}

fn workload(name: &str) -> WorkloadLine {
    WorkloadLine {
        name: name.to_owned(),
        requests: u64::MAX,
        good: 0,
        good_ratio: f64::NAN,
        attempts_per_request: f64::INFINITY,
        p50_ms: Some(f64::NAN),
        p99_ms: None,
        p999_ms: None,
    }
}

fn event(second: f64, what: &str) -> Event {
    Event { second, what: what.to_owned() }
}

fn hold(what: &str, wanted: &str, measured: &str, held: bool) -> Hold {
    Hold { what: what.to_owned(), wanted: wanted.to_owned(), measured: measured.to_owned(), held }
}

fn second(second: u64) -> Second {
    Second {
        second,
        requests: 1_000,
        good: 1_000,
        refused: 0,
        attempts: 1_002,
        retries: 2,
        p50_ms: Some(10.0),
        p99_ms: Some(12.5),
        in_flight: 11,
        usable: 4,
        running: None,
        breakers: Vec::new(),
    }
}

/// One of four instances hangs from second 4 to 8 of 16, and 27 calls notice.
pub(crate) fn one_hangs() -> Report {
    let mut timeline: Vec<_> = (0..16).map(second).collect();
    timeline[4] = Second { good: 976, refused: 9, attempts: 1_250, retries: 248, p99_ms: Some(812.0), ..second(4) };
    timeline[5] = Second { good: 997, attempts: 1_031, retries: 31, p99_ms: Some(61.0), in_flight: 48, ..second(5) };
    (4..9).for_each(|second| timeline[second].usable = 3);
    Report {
        scenario: "one instance hangs".to_owned(),
        played: Played::Simulated,
        seed: 1,
        replay: "mainstay simulate -c mainstay.toml -s hang.toml --seed 1".to_owned(),
        requests: 16_000,
        good: 15_973,
        good_ratio: 15_973.0 / 16_000.0,
        attempts_per_request: 1.019,
        p50_ms: Some(10.0),
        p99_ms: Some(45.2),
        p999_ms: Some(780.0),
        recovery_seconds: Some(0.4),
        metastable: false,
        duplicated_posts: 0,
        wasted_ratio: 0.012,
        fairness: 0.98,
        workloads: Vec::new(),
        workload_fairness: None,
        failures: vec![counted("connection reset", 18), counted("refused: queue_full", 9)],
        faults: vec![FaultSpan {
            kind: "hang".to_owned(),
            target: "shop/0".to_owned(),
            from_second: 4.0,
            to_second: 8.0,
        }],
        instances: (0..4).map(|n| instance(&format!("shop/{n}"), 4_076, 0.31)).collect(),
        held: false,
        holds: vec![hold("good", "99.9%", "99.83%", false), hold("p99", "400ms", "45ms", true)],
        timeline,
        events: vec![
            event(4.3, "shop/0 is ejected: 5 failures in a row"),
            event(8.1, "shop/0 is back: a probe went well"),
        ],
    }
}

/// The same where nothing guards: everybody waits for the one that hangs, and then the breaker opens.
pub(crate) fn without_guards() -> Report {
    let mut report = one_hangs();
    for second in &mut report.timeline[4..12] {
        *second = Second {
            good: 0,
            refused: 400,
            attempts: 600,
            retries: 0,
            p50_ms: None,
            p99_ms: None,
            in_flight: 1_024,
            usable: 4,
            breakers: vec!["shop: open".to_owned()],
            ..*second
        };
    }
    report.timeline[12].breakers = vec!["shop: half-open".to_owned()];
    report.replay = report.replay.replace("mainstay.toml", "bare.toml");
    Report { good: 7_973, good_ratio: 7_973.0 / 16_000.0, recovery_seconds: None, metastable: true, ..report }
}

/// A day, with a fault each minute and an event each second.
pub(crate) fn long() -> Report {
    let seconds = || 0..86_400;
    let fault = |minute: u32| FaultSpan {
        kind: "crash".to_owned(),
        target: format!("shop/{}", minute % 50),
        from_second: f64::from(minute) * 60.0,
        to_second: f64::from(minute) * 60.0 + 2.0,
    };
    let breaker = |second: u64| vec![format!("service-{}: open", second % 30)];
    Report {
        timeline: seconds().map(|at| Second { breakers: breaker(at), good: 1_000 - at % 7, ..second(at) }).collect(),
        faults: (0..1_440).map(fault).collect(),
        events: seconds().map(|at| event(at as f64, "an endpoint is ejected, and the reason for it is long")).collect(),
        instances: (0..5_000).map(|n| instance(&format!("shop/{n}"), 1, 0.5)).collect(),
        ..one_hangs()
    }
}

/// What somebody may have written who means us ill, and figures that are none.
pub(crate) fn hostile() -> Report {
    const TEXT: &str = "</title><script>alert(\"1\")</script>\u{1b}[31m\u{0}&amp;\u{ffff}'";
    let text = || TEXT.to_owned();
    let mut report = without_guards();
    report.timeline[3] = Second { p99_ms: Some(f64::NAN), p50_ms: Some(f64::INFINITY), ..second(3) };
    report.timeline[12].breakers = vec![text()];
    report.timeline[13] =
        Second { requests: 0, good: u64::MAX, refused: u64::MAX, attempts: 0, retries: 9, ..second(13) };
    Report {
        scenario: text(),
        replay: text(),
        failures: vec![counted(TEXT, u64::MAX)],
        faults: vec![FaultSpan { kind: text(), target: text(), from_second: f64::NAN, to_second: -1.0 }],
        instances: vec![instance(TEXT, 0, f64::NAN)],
        workloads: vec![workload(TEXT); 30],
        workload_fairness: Some(f64::NAN),
        holds: vec![hold(TEXT, TEXT, TEXT, false)],
        events: vec![event(f64::NAN, TEXT), event(f64::INFINITY, TEXT)],
        attempts_per_request: f64::NAN,
        fairness: f64::NEG_INFINITY,
        ..report
    }
}
