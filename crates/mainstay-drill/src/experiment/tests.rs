use super::*;

fn none(_: &str) -> Option<String> {
    None
}

fn refused(text: &str) -> Vec<String> {
    read(text, none).unwrap_err().0
}

#[test]
fn an_experiment_is_read_with_what_its_configuration_stands_for() {
    let text = r#"{
        "version": "1.0.0", "title": "it goes on", "description": "without one instance", "tags": ["x"],
        "configuration": { "host": { "type": "env", "key": "HOST", "default": "127.0.0.1:9" }, "unit": "shop@1" },
        "steady-state-hypothesis": { "title": "it answers", "probes": [
            { "type": "probe", "name": "web", "tolerance": 200,
              "provider": { "type": "http", "url": "http://${host}/a", "timeout": [1, 2], "arguments": { "q": "a b" } } }
        ] },
        "method": [
            { "type": "action", "name": "stop", "pauses": { "after": 0.5 },
              "provider": { "type": "process", "path": "systemctl", "arguments": "stop ${unit}" } }
        ],
        "rollbacks": [
            { "type": "action", "name": "start", "background": false,
              "provider": { "type": "process", "path": "systemctl", "arguments": ["start", "${unit}"] } }
        ]
    }"#;
    let experiment = read(text, none).unwrap();
    let (_, probes) = experiment.hypothesis.as_ref().unwrap();
    assert_eq!(probes[0].undo().to_string(), "GET http://127.0.0.1:9/a?q=a%20b");
    assert_eq!(
        experiment.method[0].undo(),
        Undo::Run { command: ["systemctl", "stop", "shop@1"].map(str::to_owned).into() }
    );
    assert_eq!(experiment.method[0].after, Duration::from_millis(500));
    assert_eq!(experiment.rollbacks[0].undo().to_string(), "run systemctl start shop@1");
}

#[test]
fn what_is_not_supported_is_refused_with_its_place_all_at_once() {
    let text = r#"{
        "title": "t", "description": "d", "controls": [{ "name": "c" }],
        "steady-state-hypothesis": { "title": "s", "probes": [
            { "type": "probe", "name": "p", "tolerance": { "type": "probe" },
              "provider": { "type": "http", "url": "https://a/" } }
        ] },
        "method": [
            { "type": "action", "name": "a", "provider": { "type": "python", "module": "m", "func": "f" } },
            { "ref": "p" }
        ]
    }"#;
    let places = [
        "controls",
        "steady-state-hypothesis.probes[0].provider.url",
        "steady-state-hypothesis.probes[0].tolerance.type",
        "method[0].provider.type",
        "method[1]",
    ];
    let refused = refused(text);
    for place in places {
        assert!(refused.iter().any(|why| why.starts_with(place)), "{place} is missing in {refused:?}");
    }
    assert_eq!(
        super::tests::refused("{}"),
        ["title is missing", "description is missing", "method is missing: it is a list, which may be empty"]
    );
}

#[test]
fn a_tolerance_says_what_a_probe_may_give() {
    let answer = json!({ "status": 200, "body": { "items": [{ "name": "a" }], "count": 5 }, "stdout": "load 0.7\n" });
    let allows = |tolerance: &str| {
        let text = format!(
            r#"{{ "title": "t", "description": "d", "method": [], "steady-state-hypothesis": {{ "title": "s", "probes": [
                {{ "type": "probe", "name": "p", "tolerance": {tolerance}, "provider": {{ "type": "process", "path": "x" }} }} ] }} }}"#
        );
        let experiment = read(&text, none).unwrap();
        let (_, probes) = experiment.hypothesis.as_ref().unwrap();
        probes[0].tolerance.as_ref().unwrap().allows(&answer)
    };
    for (tolerance, met) in [
        ("200", true),
        ("[200, 201]", true),
        ("[500, 503]", false),
        ("true", true),
        (r#"{ "type": "regex", "pattern": "load 0", "target": "stdout" }"#, true),
        (r#"{ "type": "regex", "pattern": "load 9", "target": "stdout" }"#, false),
        (r#"{ "type": "jsonpath", "path": "$.items[0].name", "expect": ["a"] }"#, true),
        (r#"{ "type": "jsonpath", "path": "items[1].name", "expect": ["a"] }"#, false),
        (r#"{ "type": "range", "range": [100, 299], "target": "status" }"#, true),
    ] {
        assert_eq!(allows(tolerance), met, "{tolerance}");
    }
}
