//! What a fault does, and what the guards make of it.

use mainstay_config::load_scenario;
use mainstay_sim::report::Report;

use super::{LEAST, config, fault, play, shop};

/// Every guard off: one attempt, at anybody, for as long as it takes.
const BARE: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:8080"
[[route]]
service = "shop"
[service.shop]
endpoints = ["127.0.0.1:9101", "127.0.0.1:9102", "127.0.0.1:9103", "127.0.0.1:9104"]
balance = "round_robin"
retry = "off"
outlier = "off"
breaker = "off"
slow_start = "off"
bulkhead = { concurrency = "unlimited", adaptive = "off", queue = "off" }
"#;

/// Shares of the calls that are good while the fault lasts.
fn good_while(report: &Report) -> f64 {
    let seconds = &report.timeline[6..15];
    let sum = |of: fn(&mainstay_sim::report::Second) -> u64| seconds.iter().map(of).sum::<u64>() as f64;
    sum(|second| second.good) / sum(|second| second.requests)
}

#[test]
fn without_guards_a_fault_of_one_in_four_costs_its_share() {
    for (kind, more, share) in [
        ("crash", "", 0.75),
        ("hang", "", 0.75),
        ("stall", "", 0.75),
        ("gray", "", 0.75),
        ("garbage", "", 0.75),
        ("wrong", "", 0.75),
        ("errors", "calls = \"50%\"", 0.875),
        ("reset", "calls = \"50%\"", 0.875),
        ("partition", "", 0.75),
        ("expired_certificate", "", 1.0),
        ("sick", "", 1.0),
        ("limp", "", 1.0),
    ] {
        let report = play(BARE, &shop(300, 20, &fault(kind, more)), 1).report;
        assert!((good_while(&report) - share).abs() < 0.02, "{kind}: {}", good_while(&report));
        assert_eq!(report.recovery_seconds.map(|seconds| seconds < 2.1), Some(true), "{kind}: {report:?}");
    }
}

#[test]
fn an_instance_that_stands_still_does_no_work_for_nobody() {
    let report = play(LEAST, &shop(300, 20, &fault("hang", "")), 1).report;
    let busy: Vec<_> = report.instances.iter().map(|instance| instance.busy_ratio).collect();
    assert!(busy[1] < busy[0], "the one that stood still was busy for as long as another: {busy:?}");
    assert!(report.wasted_ratio < 0.01, "{}", report.wasted_ratio);
}

#[test]
fn with_every_default_nobody_feels_it() {
    for (kind, more) in [
        ("crash", ""),
        ("hang", ""),
        ("stall", ""),
        ("gray", ""),
        ("garbage", ""),
        ("errors", "calls = \"50%\""),
        ("partition", ""),
        ("limp", ""),
        ("slow", ""),
        ("flap", ""),
    ] {
        let report = play(LEAST, &shop(300, 20, &fault(kind, more)), 1).report;
        assert!(report.good_ratio > 0.99, "{kind}: {} {:?}", report.good_ratio, report.failures);
        assert!(report.attempts_per_request < 1.2, "{kind}: {}", report.attempts_per_request);
    }
}

#[test]
fn what_does_not_hold_is_told() {
    let scenario =
        shop(100, 20, &(fault("crash", "") + "[hold]\ngood = \"99%\"\np99 = \"1us\"\namplification = 1.5\n"));
    let report = play(BARE, &scenario, 1).report;
    assert!(!report.held);
    let held: Vec<_> = report.holds.iter().map(|hold| (hold.what.as_str(), hold.wanted.as_str(), hold.held)).collect();
    assert_eq!(held, [("good", "99%", false), ("p99", "1us", false), ("amplification", "1.5", true)]);
}

#[test]
fn what_cannot_be_played_is_refused_with_its_line_and_the_reason() {
    let text = "name = \"x\"\n[workload]\nservice = \"shp\"\nrate = \"1/s\"\n\
                [[fault]]\nfor = \"1s\"\nkind = \"disk_full\"\ntarget = \"shop\"\n\
                [[fault]]\nfor = \"1s\"\nkind = \"crash\"\ntarget = \"shop/9\"\n";
    let scenario = load_scenario("scenario.toml", text).unwrap();
    let unplayable = mainstay_sim::play(&config(LEAST), &scenario, 1, "").unwrap_err();
    let told: Vec<_> = unplayable.iter().map(|one| (one.line, one.message.as_str())).collect();
    assert_eq!(
        told,
        [
            (Some(2), "the configuration has no service \"shp\"; it has shop"),
            (Some(5), "disk_full cannot be simulated: a simulated instance has no disk"),
            (Some(9), "shop has 4 instances, counted from 0: there is no shop/9"),
        ]
    );
}

#[test]
fn what_would_not_end_or_would_fill_the_memory_is_refused() {
    let refused = |text: &str| {
        let scenario = load_scenario("scenario.toml", text).unwrap();
        let unplayable = mainstay_sim::play(&config(LEAST), &scenario, 1, "").unwrap_err();
        unplayable.into_iter().map(|one| (one.line, one.message)).collect::<Vec<_>>()
    };
    let of = |line: Option<u32>, message: &str| vec![(line, message.to_owned())];
    assert_eq!(refused(&shop(1, 100_000, "")), of(None, "the scenario lasts 100000s; one day is played at most"));
    let calls = "200000000 calls would come; 100000000 are played at most";
    assert_eq!(refused(&shop(10_000_000, 20, "")), of(Some(3), calls));
    let surge = "[[fault]]\nfor = \"10s\"\nkind = \"surge\"\nfactor = 1000";
    assert_eq!(refused(&shop(20_000, 10, surge)), of(Some(3), calls));
    let clients =
        format!("name = \"x\"\n[workload]\nservice = \"shop\"\narrivals = \"closed\"\nclients = 2000\n{surge}");
    assert_eq!(refused(&clients), of(Some(2), "2000000 clients would call; 1000000 are played at most"));
    let many = "[instance]\ncount = 10000\n[gateways]\ncount = 10\nworkers = 10";
    let watched = "100 workers would know 10000 instances each; 500000 in all are played at most";
    assert_eq!(refused(&shop(1, 10, many)), of(None, watched));
    let flap = "[[fault]]\nfor = \"10s\"\nkind = \"flap\"\nperiod = \"1us\"";
    let crashes = "a crash every 1us comes to 10000000; 100000 of a fault are played at most";
    assert_eq!(refused(&shop(1, 10, flap)), of(Some(6), crashes));
}

#[test]
fn many_surges_take_no_more_memory_than_they_have_edges() {
    let surge = |at: usize| format!("[[fault]]\nat = \"{at}s\"\nfor = \"1s\"\nkind = \"surge\"\nfactor = 2\n");
    let surges: String = (0..30).map(surge).collect();
    let report = play(LEAST, &shop(10, 30, &surges), 1).report;
    assert!((500..700).contains(&report.requests), "twice as many all the time: {}", report.requests);
}

#[test]
fn checks_find_an_instance_that_is_sick() {
    let text = LEAST.to_owned() + "health = { http = \"/health\" }\n";
    let report = play(&text, &shop(100, 20, &fault("sick", "")), 1).report;
    let what: Vec<_> = report.events.iter().map(|event| event.what.as_str()).collect();
    assert!(what.iter().any(|what| what.starts_with("shop/1 ejected")), "{what:?}");
    assert!(what.iter().any(|what| what.starts_with("shop/1 back")), "{what:?}");
    let usable: Vec<u64> = report.timeline.iter().map(|second| second.usable).collect();
    assert_eq!((usable[2], usable[13], usable[19]), (4, 3, 4), "{usable:?}");
}

/// Retries without a budget behind an endless queue: the world of N. Bronson et al., "Metastable Failures in Distributed
/// Systems", HotOS 2021.
const UNBOUNDED: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:8080"
[[route]]
service = "shop"
timeout = "2s"
[service.shop]
endpoints = ["127.0.0.1:9101", "127.0.0.1:9102"]
outlier = "off"
breaker = "off"
slow_start = "off"
bulkhead = { concurrency = "unlimited", adaptive = "off", queue = "off" }
timeout = { attempt = "500ms" }
retry = { attempts = 3, budget = "off", backoff = { kind = "fixed", base = "10ms", jitter = "none" } }
"#;

#[test]
fn retries_without_a_budget_hold_a_service_down_and_the_defaults_let_it_recover() {
    let scenario = mainstay_sim::scenarios::text("metastable", "shop").unwrap();
    let down = play(UNBOUNDED, &scenario, 1).report;
    assert!(down.metastable && down.recovery_seconds.is_none(), "{:?}", down.recovery_seconds);
    assert!(down.wasted_ratio > 0.8, "{}", down.wasted_ratio);
    assert!(down.timeline.last().unwrap().good < 10, "{:?}", down.timeline.last());
    let well = play(LEAST, &scenario, 1).report;
    assert!(!well.metastable && well.recovery_seconds.unwrap() < 10.0, "{:?}", well.recovery_seconds);
}

#[test]
fn a_search_finds_the_load_beyond_which_it_stays_down_and_the_setting_that_moves_it() {
    let text = mainstay_sim::scenarios::text("metastable", "shop").unwrap().replace("120s", "60s");
    let scenario = load_scenario("metastable", &text).unwrap();
    let once = UNBOUNDED.replace("attempts = 3", "attempts = 1");
    let others = [("retry.attempts=1".to_owned(), config(&once))];
    let bare = config(UNBOUNDED);
    let mut told = Vec::new();
    let mut tell = |looking: mainstay_sim::search::Looking<'_>| told.push((looking.at.to_owned(), looking.place));
    let edges = mainstay_sim::search::search(&bare, &others, &scenario, 1, &mut tell).unwrap();
    told.dedup();
    let looked = [("the load", 1), ("the outage", 2), ("retry.attempts=1", 3)];
    assert_eq!(told, looked.map(|(at, place)| (at.to_owned(), place)));
    assert!((0.3..0.7).contains(&edges.load_edge.get()), "{edges:?}");
    assert!(edges.outage_edge.unwrap().get() < 3.0, "{edges:?}");
    assert_eq!(edges.capacity_per_second, 1600.0);
    assert_eq!(edges.moves.len(), 1, "{edges:?}");
    assert!(edges.moves[0].load.get() > edges.load_edge.get() + 0.2, "{edges:?}");
}

#[test]
fn what_is_played_without_is_told() {
    let steady = load_scenario("scenario.toml", &shop(1, 10, "")).unwrap();
    assert_eq!(mainstay_sim::left_out(&config(LEAST), &steady), Vec::<String>::new());
    let told = mainstay_sim::left_out(&config(&format!("{LEAST}idempotency = {{}}\n")), &steady);
    assert_eq!(told, ["service.shop.idempotency is not simulated: no request carries a key"]);
    let scaled = load_scenario("scenario.toml", &shop(1, 10, "[instance]\nautoscale = { max = 9 }")).unwrap();
    let told = mainstay_sim::left_out(&config(LEAST), &scaled);
    assert!(told.len() == 1 && told[0].starts_with("service.shop lists its endpoints"), "{told:?}");
}

/// One call, a second after the beginning, that waits for as long as it takes.
fn one_call(more: &str) -> String {
    format!(
        "name = \"one call\"\nduration = \"20s\"\n[workload]\nservice = \"shop\"\narrivals = \"uniform\"\n\
         steps = [{{ rate = \"1/s\" }}, {{ at = \"1500ms\", rate = \"off\" }}]\ndeadline = \"30s\"\n{more}\n"
    )
}

/// Two services; nothing ends a call but its own deadline.
const PATIENT: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:8080"
[[route]]
service = "shop"
timeout = "30s"
[service.shop]
endpoints = ["127.0.0.1:9101"]
retry = "off"
outlier = "off"
breaker = "off"
timeout = { connect = "20s", attempt = "30s" }
[service.stock]
endpoints = ["127.0.0.1:9201"]
retry = "off"
"#;

/// The longest answer, in seconds.
fn longest(report: &Report) -> f64 {
    report.p999_ms.unwrap_or_default() / 1e3
}

#[test]
fn work_goes_on_where_it_stood_however_short_its_instance_stood_still() {
    let hang = |at: &str, length: &str| {
        format!("[[fault]]\nat = \"{at}\"\nfor = \"{length}\"\nkind = \"hang\"\ntarget = \"shop\"\n")
    };
    let work = "[instance]\nservice = \"shop\"\nservice_time = \"4s\"\n";
    for (hangs, seconds) in [
        (hang("2s", "2s"), 6.0),
        (hang("2s", "10s"), 14.0),
        // The second one comes while it makes up for the first.
        (hang("2s", "2s") + &hang("6s", "3s"), 9.0),
    ] {
        let report = play(PATIENT, &one_call(&(work.to_owned() + &hangs)), 1).report;
        assert!((longest(&report) / seconds - 1.0).abs() < 0.01, "{hangs}: {}", longest(&report));
        let busy = report.instances[0].busy_ratio * 8.0 * 20.0;
        assert!((busy - 4.0).abs() < 0.2, "standing still is no work: {busy} s, {hangs}");
    }
}

#[test]
fn who_stands_still_reads_no_answer_of_those_whom_it_calls() {
    let slow = "[[instance]]\nservice = \"shop\"\nservice_time = \"1ms\"\ncalls = [{ service = \"stock\", deadline = \"20s\" }]\n\
                [[instance]]\nservice = \"stock\"\nservice_time = \"1s\"\n";
    let hang = "[[fault]]\nat = \"1500ms\"\nfor = \"2s\"\nkind = \"hang\"\ntarget = \"shop\"\n";
    let report = play(PATIENT, &one_call(&format!("{slow}{hang}")), 1).report;
    assert!((longest(&report) / 2.5 - 1.0).abs() < 0.01, "{}", longest(&report));
}

#[test]
fn a_connection_comes_about_when_the_wall_between_falls_and_no_later() {
    let wall = "[instance]\nservice = \"shop\"\nservice_time = \"1ms\"\n\
                [[fault]]\nat = \"500ms\"\nfor = \"2500ms\"\nkind = \"partition\"\ntarget = \"shop\"\ndelivered = true\n";
    let report = play(PATIENT, &one_call(wall), 1).report;
    assert!((longest(&report) / 2.0 - 1.0).abs() < 0.01, "{}", longest(&report));
}

/// Instances of `shop` call `stock`, which answers nobody.
fn behind(stock: &str) -> Report {
    let config = PATIENT.replace("[service.stock]", &format!("[service.stock]\n{stock}"));
    let scenario = "name = \"a silent dependency\"\nduration = \"10s\"\n[workload]\nservice = \"shop\"\nrate = \"50/s\"\n\
                    [[instance]]\nservice = \"shop\"\nconcurrency = 64\n\
                    calls = [{ service = \"stock\", deadline = \"100ms\" }]\n[[instance]]\nservice = \"stock\"\n\
                    [[fault]]\nfor = \"10s\"\nkind = \"stall\"\ntarget = \"stock\"\n";
    play(&config, scenario, 1).report
}

#[test]
fn a_breaker_sees_calls_that_end_at_the_deadline_that_their_caller_told() {
    let report = behind("");
    assert!(report.events.iter().any(|event| event.what.starts_with("stock: breaker closed → open")), "{report:?}");
}

#[test]
fn a_program_takes_a_fixed_answer_for_what_its_status_says() {
    let report = behind("fallback = { respond = { status = 200, body = \"[]\" } }");
    assert_eq!(report.good, report.requests, "{:?}", report.failures);
    assert_eq!(behind("fallback = { respond = { status = 503 } }").good, 0);
}

#[test]
fn each_workload_has_its_figures_and_how_evenly_they_fare() {
    let scenario = "name = \"two\"\nduration = \"10s\"\n\
                    [[workload]]\nservice = \"shop\"\nrate = \"100/s\"\n\
                    [[workload]]\nservice = \"shop\"\nname = \"hasty\"\nrate = \"50/s\"\ndeadline = \"20ms\"\n\
                    [[workload]]\nservice = \"shop\"\nrate = \"10/s\"\n\
                    [instance]\nservice_time = { distribution = \"bimodal\", fast = \"5ms\", slow = \"40ms\", share = \"50%\" }\n\
                    [hold]\nworkload_fairness = \"90%\"\n";
    let report = play(LEAST, scenario, 1).report;
    let names: Vec<_> = report.workloads.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names, ["shop", "hasty", "shop 2"]);
    let of = |figure: fn(&mainstay_sim::report::WorkloadLine) -> u64| report.workloads.iter().map(figure).sum::<u64>();
    assert_eq!((of(|line| line.requests), of(|line| line.good)), (report.requests, report.good));
    let hasty = &report.workloads[1];
    assert!((0.4..0.6).contains(&hasty.good_ratio) && hasty.p99_ms < Some(20.0), "{hasty:?}");
    assert!(report.workloads[0].p99_ms > Some(40.0), "{:?}", report.workloads);
    let fairness = report.workload_fairness.unwrap();
    assert!((fairness - hasty.good_ratio).abs() < 1e-6 && !report.held, "{fairness}");
    let alone = play(LEAST, &shop(10, 10, ""), 1).report;
    assert_eq!((alone.workloads.len(), alone.workload_fairness), (1, None));
    assert_eq!(alone.workloads[0].good, alone.good);
}
