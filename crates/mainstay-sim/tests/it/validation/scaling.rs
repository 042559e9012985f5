//! How many instances there come to be, and when.
//!
//! The numbers are those of the Kubernetes documentation ("Horizontal Pod Autoscaling": algorithm details, configurable
//! scaling behavior), worked out by hand: current · measure / target, rounded up; nothing within a tenth; the default
//! steps of doubling or four, and the example of a tenth a minute. They are whole and hold exactly.
//!
//! When: a load that doubles what there is at the beginning of a mean is seen when that mean is over and as old as what is
//! seen, and carried when another instance has started and was heard of. That is a sum; it is told to the second.

use mainstay_sim::report::Report;

use super::table::{Row, hold};
use super::world::{bare, play};

/// `load` on `count` instances that each work on eight calls of 200 ms, with these keys of the autoscaler.
fn scaled(load: &str, count: u32, keys: &str, discovery: &str) -> Report {
    let scenario = format!(
        r#"
        name = "a number that changes"
        duration = "280s"
        [workload]
        service = "shop"
        deadline = "10s"
        {load}
        [instance]
        count = {count}
        queue = "unlimited"
        service_time = "200ms"
        autoscale = {{ max = 1000, {keys} }}
        [network]
        latency = "0s"
        [gateways]
        discovery = "{discovery}"
        "#
    );
    play(&bare("retry = \"off\"\nbalance = \"round_robin\""), &scenario).report
}

/// The first three numbers that there come to be, of which the last stays where there are fewer.
fn numbers(report: &Report, count: u32) -> [f64; 3] {
    let wanted = |what: &str| what.split_once(" → ")?.1.split(' ').next()?.parse().ok();
    let told = report.events.iter().filter_map(|event| wanted(event.what.strip_prefix("shop: ")?));
    let mut numbers = [f64::from(count); 3];
    for (place, number) in told.take(3).enumerate() {
        numbers[place..].fill(number);
    }
    numbers
}

#[test]
fn as_many_come_about_as_kubernetes_says() {
    let at_once = "start = \"1ms\", lag = \"0s\", measure = \"concurrency\", target = 1";
    let clients = |count: u32| format!("arrivals = \"closed\"\nclients = {count}");
    let down = |keys: &str| format!("{at_once}, down = {{ window = \"0s\"{keys} }}");
    let cases = [
        ("4 at twice the target", clients(8), 4, at_once.to_owned(), [8.0, 8.0, 8.0]),
        ("100 at 1.09 of the target", clients(109), 100, at_once.to_owned(), [100.0, 100.0, 100.0]),
        ("100 at 1.2 of the target", clients(120), 100, at_once.to_owned(), [120.0, 120.0, 120.0]),
        ("1, far too few", clients(400), 1, at_once.to_owned(), [5.0, 10.0, 20.0]),
        ("4 at half of the target", clients(2), 4, down(""), [2.0, 2.0, 2.0]),
        (
            "80, far too many, a tenth a minute",
            clients(1),
            80,
            down(", share = \"10%\", period = \"1m\""),
            [72.0, 64.0, 57.0],
        ),
    ];
    let rows = cases.map(|(name, load, count, keys, theirs)| {
        let ours = numbers(&scaled(&load, count, &keys, "0s"), count);
        theirs.iter().zip(ours).fold(Row::new(name), |row, (theirs, ours)| row.near(0.0, *theirs, ours))
    });
    hold("scaling-numbers", &rows);
}

#[test]
fn they_come_as_late_as_everything_takes() {
    let load = "arrivals = \"uniform\"\nsteps = [{ rate = \"40/s\" }, { at = \"60s\", rate = \"160/s\" }]";
    let cases = [
        ("15 s, 15 s, 30 s, 1 s", "every = \"15s\", lag = \"15s\", start = \"30s\"", "1s", 61.0),
        ("5 s, none, 10 s, 2 s", "every = \"5s\", lag = \"0s\", start = \"10s\"", "2s", 17.0),
        ("30 s, 60 s, 120 s, 5 s", "every = \"30s\", lag = \"60s\", start = \"120s\"", "5s", 215.0),
    ];
    let rows = cases.map(|(name, keys, discovery, theirs)| {
        let report = scaled(load, 2, keys, discovery);
        let carried = report.timeline.iter().find(|second| second.second > 60 && second.usable > 2);
        Row::new(name).near(1.0, theirs, carried.map(|second| second.second as f64 + 1.0 - 60.0))
    });
    hold("scaling-times", &rows);
}
