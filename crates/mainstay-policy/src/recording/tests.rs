use mainstay_core::{Certainty, Duration, Failure, Limit, MethodClass, Ratio};

use super::*;
use crate::{
    AnswerFacts, AttemptReason, Balance, Call, Fault, FaultKind, FaultOrder, HealthSettings, HedgeAfter, HedgeSettings,
    KeyVerdict, LimitId, LimitVerdict, PermitPool, Priority, Probe, Record, Service, Turn, Usable,
};

const CALL: CallId = CallId(1 << 48 | 7);

fn at(millis: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(millis)
}

fn endpoints() -> Vec<EndpointSpec> {
    let spec = |address: &str, zone: &str| EndpointSpec {
        address: address.parse().unwrap(),
        weight: 3,
        zone: zone.into(),
        backup: zone.is_empty(),
    };
    vec![spec("127.0.0.1:9101", "a"), spec("[fe80::1]:9102", "b"), spec("127.0.0.1:9103", "")]
}

fn settings() -> ServiceSettings {
    let mut settings = ServiceSettings {
        balance: Balance::Adaptive,
        zone: "a".into(),
        health: Some(HealthSettings::new(Probe::Tcp)),
        panic: Ratio::percent(33),
        ..ServiceSettings::default()
    };
    settings.bulkhead.concurrency = Limit::At(48);
    settings.retry.as_mut().unwrap().hedge = Some(HedgeSettings { after: HedgeAfter::Fixed(Duration::MAX), max: 2 });
    settings
}

/// What one worker was told, of every kind.
fn steps() -> Vec<Step> {
    let endpoint = EndpointId { slot: 1, generation: 4 };
    let verdict = LimitVerdict { wait: Duration::from_millis(5), quota: 10, ..LimitVerdict::FREE };
    let head =
        AnswerFacts { status: 503, retry_after: Some(Duration::from_secs(2)), retries_used: true, replaceable: false };
    let order = FaultOrder {
        kind: FaultKind::Delay { millis: 250 },
        share: Ratio::percent(10),
        endpoint: Some(endpoints()[1].address),
        lease: Duration::from_secs(60),
    };
    let usable = Usable { age: Duration::from_secs(9), fresh_for: Duration::ZERO, stale_for: Duration::from_secs(4) };
    let inputs = [
        Input::Begin,
        Input::Limits { limit: LimitId(3), verdict },
        Input::Key(KeyVerdict::Replay { status: 201, age: Duration::from_secs(3) }),
        Input::Admitted { turn: Turn::Hopeless },
        Input::Waits { attempt: 1 },
        Input::Unable { attempt: 2 },
        Input::Connected { attempt: 0 },
        Input::Sent { attempt: 0 },
        Input::BodyMoved,
        Input::AwaitsBody(true),
        Input::BodyNotKept,
        Input::Head { attempt: 0, head },
        Input::Failed { attempt: 1, failure: Failure::Status(502), certainty: Certainty::Applied },
        Input::Finished { clean: false },
        Input::Stale(Some(usable)),
        Input::StaleIsKept { attempt: 0, kept: true },
        Input::FallbackEnded { answered: true },
        Input::CallerLeft,
    ];
    let facts = Facts {
        method: MethodClass::NonIdempotent,
        idempotency_key: true,
        hash: u64::MAX,
        deadline: Instant::FAR_FUTURE,
        covers_body: true,
        limited: true,
        priority: Priority::Sheddable,
        keyed: true,
        stale: true,
    };
    let beginning = Beginning { name: "shop".into(), seed: Seed::new(u64::MAX), settings: settings() };
    let mut steps = vec![
        Step::Begin(Box::new(beginning)),
        Step::Configure(Box::default()),
        Step::Update(endpoints()),
        Step::Check { endpoint, result: CheckResult::Fail(Failure::Timeout.into()) },
        Step::Order { address: endpoints()[0].address, order: Order::Draining },
        Step::OrderBreaker(BreakerOrder::Open),
        Step::OrderFault(Some(Fault::new(order, at(3)))),
        Step::Poke,
        Step::View,
        Step::Share,
        Step::Learn(Arc::new(learned())),
        Step::Turn,
        Step::Decline(Admission { call: CALL, turn: Turn::Granted }),
        Step::Call { call: CALL, facts },
        Step::Retry { call: CALL, rule: Arc::new(settings().retry) },
        Step::Time { call: CALL },
        Step::GoOn { call: CALL },
        Step::ReleaseKey {
            call: CALL,
            answer: Some(WholeAnswer { status: 200, retry_after: false, kept: true }),
            applied: true,
        },
        Step::TellKey { call: CALL, end: KeyEnd::Unknown },
        Step::Gone { call: CallId(0) },
    ];
    steps.extend(inputs.map(|input| Step::Input { call: CALL, input }));
    steps
}

/// What a worker has learned whose endpoint was ejected.
fn learned() -> FleetDelta {
    let mut service = Service::new(&settings(), PermitPool::new(Limit::Unlimited, 1), Seed::new(1), at(0));
    service.update(at(0), &endpoints()[..2]);
    let facts = Facts {
        method: MethodClass::Safe,
        idempotency_key: false,
        hash: 0,
        deadline: at(90_000),
        covers_body: false,
        limited: false,
        priority: Priority::Normal,
        keyed: false,
        stale: false,
    };
    for id in 0..40 {
        let mut call = Call::new(CallId(id), facts, Record::default());
        call.handle_input(&mut service, at(id), Input::Begin);
        while let Some(output) = call.poll_output() {
            let Output::Attempt(order) = output else { continue };
            let (attempt, failure) = (order.attempt, Failure::Reset);
            let input = match order.endpoint.slot {
                0 => Input::Failed { attempt, failure, certainty: Certainty::Unknown },
                _ => Input::Unable { attempt },
            };
            call.handle_input(&mut service, at(id + 1), input);
        }
    }
    service.take_delta()
}

/// All of the steps in one file, with something said to each.
fn file() -> Vec<u8> {
    let mut file = file::begin(&Head { version: "1.2.3".into(), worker: 1, workers: 2 });
    let mut log = Log::default();
    let entry = |what| Entry { after: Duration::ZERO, what };
    let attempt = Decision::Attempt {
        attempt: 1,
        endpoint: EndpointId { slot: 2, generation: 0 },
        why: AttemptReason::Hedge,
        probe: true,
        panic: false,
        trial: true,
        crossing: Some(crate::Crossing::Room),
        passed_over: crate::PassedOver { ejected: 1, ..Default::default() },
    };
    let heard = Question::ALL.map(|question| Heard { question, answer: 40 + question as u64 * 1_000 });
    for (number, step) in steps().iter().enumerate() {
        let count = number % 10;
        log.write(&Told {
            now: at(number as u64 * 3),
            service: number as u32 % 3,
            step,
            heard: &heard[..count.min(heard.len())],
            entries: &vec![entry(attempt); count],
            outputs: &[None, Some(Output::Cancel { attempt: 1 }), None, Some(Output::AskStale)][..count.min(4)],
            answer: if count == 4 { Answer::Is(true) } else { Answer::Nothing },
        });
        if number % 7 == 0 {
            file::block(&log.take(Vec::new()), &mut file);
        }
    }
    file::block(&log.take(Vec::new()), &mut file);
    file::end(Ending::Full, &mut file);
    file
}

/// Every event, in words, and how it ended.
fn read(file: &[u8]) -> (Vec<String>, Result<Option<Ending>, Damage>) {
    let mut events = Vec::new();
    let mut recording = match Recording::open(file) {
        Ok(recording) => recording,
        Err(damage) => return (events, Err(damage)),
    };
    loop {
        match recording.next_event() {
            Ok(Some(event)) => events.push(format!("{event:?}")),
            Ok(None) => return (events, Ok(recording.ending())),
            Err(damage) => return (events, Err(damage)),
        }
    }
}

#[test]
fn every_step_is_read_as_it_was_written() {
    let file = file();
    assert_eq!(Recording::open(&file).unwrap().head(), &Head { version: "1.2.3".into(), worker: 1, workers: 2 });
    let (events, end) = read(&file);
    assert_eq!(end, Ok(Some(Ending::Full)));
    let steps = steps();
    assert_eq!(events.len(), steps.len());
    for (number, (event, step)) in events.iter().zip(&steps).enumerate() {
        let told =
            format!("Event {{ now: {:?}, service: {}, step: {step:?}, heard: ", at(number as u64 * 3), number % 3);
        assert!(event.starts_with(&told), "{event}\nis not {told}");
        assert_eq!(event.matches("why: Hedge").count(), number % 10, "{event}");
        assert_eq!(event.matches("question: ").count(), (number % 10).min(7), "{event}");
    }
}

#[test]
fn a_file_that_ends_anywhere_gives_what_is_well_and_says_where_that_ends() {
    let file = file();
    let (whole, _) = read(&file);
    let mut lengths = Vec::new();
    for length in 0..file.len() {
        let (events, end) = read(&file[..length]);
        assert_eq!(events, whole[..events.len()], "cut after {length} bytes");
        match end {
            Err(Damage::NoRecording) => assert!(length < 8),
            Err(Damage::Torn { at }) => assert!(at <= length as u64, "{at} of {length}"),
            other => panic!("cut after {length} bytes: {other:?}"),
        }
        lengths.push(events.len());
    }
    assert!(lengths.is_sorted() && lengths.last() == Some(&whole.len()), "all but the end is there at the last");
}

#[test]
fn a_changed_byte_is_found_wherever_it_is() {
    let file = file();
    let (whole, _) = read(&file);
    for place in 0..file.len() {
        let mut changed = file.clone();
        changed[place] ^= 0x41;
        let (events, end) = read(&changed);
        assert_eq!(events, whole[..events.len()], "byte {place}");
        match end {
            Err(Damage::Damaged { at }) => assert!(at <= place as u64, "byte {place} was told as {at}"),
            Err(Damage::NoRecording) => assert!(place < 8),
            Err(Damage::OtherFormat { .. }) => assert!((8..10).contains(&place)),
            other => panic!("byte {place}: {other:?}"),
        }
    }
}

#[test]
fn what_stands_behind_the_end_is_damage() {
    let mut file = file();
    file.push(0);
    assert!(matches!(read(&file).1, Err(Damage::Damaged { .. })));
}

#[test]
fn a_number_that_stands_for_nothing_is_no_event() {
    let mut file = file::begin(&Head { version: "".into(), worker: 0, workers: 1 });
    let before = file.len();
    file::block(&[0, 0, 99, 0], &mut file);
    let (events, end) = read(&file);
    assert!(events.is_empty());
    assert_eq!(end, Err(Damage::Damaged { at: before as u64 + 16 }), "the place is behind the number");
}

#[test]
fn an_ordinary_step_takes_a_few_bytes() {
    let mut log = Log::default();
    let mut sent = |millis| {
        let step = Step::Input { call: CALL, input: Input::Sent { attempt: 0 } };
        let before = log.len();
        let (heard, entries, outputs, answer) = (&[][..], &[][..], &[][..], Answer::Nothing);
        log.write(&Told { now: at(millis), service: 0, step: &step, heard, entries, outputs, answer });
        log.len() - before
    };
    sent(1);
    assert_eq!(sent(2), 9, "service, time, step, call, input, attempt, counts");
}
