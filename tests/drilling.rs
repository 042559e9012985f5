//! Scenarios played for real, and what is left of them: nothing.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Instance, Node, alone, eventually, find, http, mainstay, pass};

/// A configuration and a scenario as files.
struct Play {
    dir: TempDir,
}

const CONFIGURATION: &str = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n\n[[route]]\nservice = \"shop\"\n\n\
    [service.shop]\nendpoints = [\"127.0.0.1:9101\", \"127.0.0.1:9102\", \"127.0.0.1:9103\", \"127.0.0.1:9104\"]\n\n\
    [service.shop.health]\nhttp = \"/health\"\ninterval = \"500ms\"\nunhealthy_threshold = 2\n\n\
    [service.shop.timeout]\nattempt = \"600ms\"\n";

impl Play {
    fn new(scenario: &str) -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("mainstay.toml"), CONFIGURATION).unwrap();
        std::fs::write(dir.path().join("scenario.toml"), scenario).unwrap();
        Self { dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn drill(&self, config: PathBuf, more: &[&str]) -> Command {
        let mut command = mainstay();
        command.arg("drill").arg("-c").arg(config).arg("-s").arg(self.file("scenario.toml")).args(more);
        command.env("TMPDIR", self.dir.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, more: &[&str]) -> Output {
        self.drill(self.file("mainstay.toml"), more).output().unwrap()
    }

    /// Plays it and gives the report; nothing of the drill may be left.
    #[track_caller]
    fn report(&self, more: &[&str]) -> (Option<i32>, Value) {
        let output = self.run(&[more, &["--json"]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {said}"));
        assert_eq!(report["left"], 0, "{:#}", report["undone"]);
        self.nothing_is_left();
        (output.status.code(), report)
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        assert_eq!(self.left(), [""; 0]);
    }

    /// What of a drill is among its files.
    fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("mainstay-")).collect()
    }
}

const WORKLOAD: &str = "[workload]\nservice = \"shop\"\nrate = \"200/s\"\nmethods = { GET = 95, POST = 5 }\n\
    [instance]\nservice_time = { distribution = \"fixed\", mean = \"2ms\" }\n";

#[test]
fn instances_are_killed_and_hang_the_service_goes_around_them_and_nothing_is_left() {
    let _stage = alone();
    let faults = "[[fault]]\nkind = \"hang\"\nat = \"1s\"\nfor = \"3s\"\ntarget = \"shop/0\"\n\
                  [[fault]]\nkind = \"crash\"\nat = \"4500ms\"\nfor = \"1500ms\"\ntarget = \"shop/1\"\n";
    let play = Play::new(&format!(
        "name = \"one hangs, another dies\"\nduration = \"7s\"\n{WORKLOAD}{faults}[hold]\ngood = \"95%\"\nduplicated_posts = 0\n"
    ));
    let page = play.file("drill.html");
    let (status, report) = play.report(&["--steady", "1s", "--compare", "--html", page.to_str().unwrap()]);
    assert_eq!(status, Some(0), "{:#}", report["holds"]);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(">real, seed") && page.contains(">simulated, seed"), "both stand on the page");
    assert_eq!(report["comparison"]["simulated"]["played"], "simulated");
    assert_eq!(report["played"], "real");
    assert_eq!(report["held"], true);
    let requests = report["requests"].as_u64().unwrap();
    assert!((1200..1600).contains(&requests), "{requests}");
    assert_eq!(report["timeline"].as_array().unwrap().len(), 7);
    let spans: Vec<_> = report["faults"].as_array().unwrap().iter().map(|fault| fault["target"].clone()).collect();
    assert_eq!(spans, ["shop/0", "shop/1"]);
    assert!(report["attempts_per_request"].as_f64().unwrap() >= 1.0);
    let ejected = |what: &Value| what["what"].as_str().unwrap().contains("ready → ejected");
    assert!(report["events"].as_array().unwrap().iter().any(ejected), "{:#}", report["events"]);
}

#[test]
fn what_does_not_hold_ends_with_1_and_says_what() {
    let _stage = alone();
    let faults = "[[fault]]\nkind = \"errors\"\nat = \"1s\"\nfor = \"2s\"\ntarget = \"shop\"\n";
    let play =
        Play::new(&format!("name = \"all fail\"\nduration = \"4s\"\n{WORKLOAD}{faults}[hold]\ngood = \"99.9%\"\n"));
    let (status, report) = play.report(&["--steady", "1s", "--max-victims", "100%"]);
    assert_eq!((status, &report["held"]), (Some(1), &Value::Bool(false)));
    assert_eq!(report["holds"][0]["what"], "good");
}

#[test]
fn without_a_steady_state_nothing_is_broken_and_the_figure_is_said() {
    let _stage = alone();
    let faults = "[[fault]]\nkind = \"hang\"\nat = \"1s\"\nfor = \"1s\"\ntarget = \"shop/0\"\n";
    let play = Play::new(&format!("name = \"t\"\nduration = \"3s\"\n{WORKLOAD}{faults}[hold]\ngood = \"99%\"\n"));
    // A limit that refuses most of the calls before anything is broken.
    let limit = "[rate_limit.few]\nkey = \"global\"\nrate = \"10/s\"\nburst = 1\n";
    let text =
        CONFIGURATION.replace("service = \"shop\"\n\n", "service = \"shop\"\nrate_limit = [\"few\"]\n\n") + limit;
    std::fs::write(play.file("mainstay.toml"), text).unwrap();
    let output = play.run(&["--steady", "1s"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the steady state does not hold") && said.contains("status 429"), "{said}");
    play.nothing_is_left();
}

#[test]
fn the_guard_breaks_a_drill_off_and_everything_is_undone() {
    let _stage = alone();
    let faults = "[[fault]]\nkind = \"errors\"\nat = \"1s\"\nfor = \"50s\"\ntarget = \"shop\"\n";
    let workload = WORKLOAD.replace("[instance]", "deadline = \"500ms\"\n[instance]");
    // The file says all but the share, over which the flag stands.
    let guard = "[guard]\nsteady = \"1s\"\nmax_victims = \"100%\"\ngood = \"1%\"\nseconds = 1\n";
    let play = Play::new(&format!("name = \"t\"\nduration = \"60s\"\n{workload}{faults}{guard}"));
    let began = std::time::Instant::now();
    let (status, report) = play.report(&["--guard", "50%"]);
    assert_eq!(status, Some(1));
    assert!(
        report["aborted"].as_str().unwrap().contains("and 50% have to be: under the guard"),
        "{}",
        report["aborted"]
    );
    assert!(began.elapsed().as_secs() < 40, "it did not play to the end");
}

#[test]
fn a_person_reads_a_drill_as_a_simulation_and_what_is_left_of_it() {
    let _stage = alone();
    let faults = "[[fault]]\nkind = \"hang\"\nat = \"1s\"\nfor = \"3s\"\ntarget = \"shop/0\"\n";
    let play =
        Play::new(&format!("name = \"one hangs\"\nduration = \"5s\"\n{WORKLOAD}{faults}[hold]\ngood = \"50%\"\n"));
    let output = play.run(&["--steady", "1s", "--compare"]);
    let said = String::from_utf8_lossy(&output.stdout);
    for line in [
        "before anything was broken: ",
        "one hangs (real, seed 1)",
        "hang shop/0",
        "ASKED OF simulated",
        "WHEN OF real",
        "WHEN OF simulated",
        "play it again: mainstay drill ",
        "good differs by ",
        "is nothing left?\n  clean  shop/0: ",
    ] {
        assert_eq!(said.matches(line).count(), 1, "{line:?} in {said}");
    }
}

#[test]
fn what_cannot_be_played_is_refused_before_anything_starts() {
    let faults = "[[fault]]\nkind = \"disk_full\"\nat = \"1s\"\nfor = \"1s\"\ntarget = \"shop/0\"\n\
                  [[fault]]\nkind = \"hang\"\nat = \"1s\"\nfor = \"1s\"\ntarget = \"shop\"\n";
    let play = Play::new(&format!("name = \"t\"\nduration = \"3s\"\n{WORKLOAD}{faults}"));
    let output = play.run(&[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("disk_full") && said.contains("would strike 4 of 4 instances"), "{said}");
}

/// The state of a process as the system tells it: `T` stands still.
fn state(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().next().map(str::to_owned)
}

/// A drill of a gateway and two instances that run already, of which the first stands still by now, for long.
fn hanging() -> (Vec<Instance>, Node, Play, Child) {
    let instances: Vec<Instance> = (0..2).map(|_| Instance::with(&["--service-time", "1ms"])).collect();
    let addresses: Vec<_> = instances.iter().map(|instance| instance.address).collect();
    let node = Node::start(&addresses, "[service.shop.timeout]\nattempt = \"500ms\"\n");
    let faults = "[[fault]]\nkind = \"hang\"\nat = \"500ms\"\nfor = \"50s\"\ntarget = \"shop/0\"\n";
    let play = Play::new(&format!("name = \"t\"\nduration = \"60s\"\n{WORKLOAD}{faults}"));
    let mut command = play.drill(node.file(), &["--running", "--steady", "500ms", "--json"]);
    let driller = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let victim = instances[0].id();
    eventually("an instance that stands still", || (state(victim)? == "T").then_some(()));
    (instances, node, play, driller)
}

#[test]
fn a_driller_that_is_killed_leaves_nothing_behind() {
    let _stage = alone();
    let (instances, _node, play, mut driller) = hanging();
    let victim = instances[0].id();
    driller.kill().unwrap();
    driller.wait().unwrap();
    eventually("the victim to go on", || (state(victim)? != "T").then_some(()));
    assert_eq!(http::get(instances[0].address, "/work").status, 200);
    eventually("the files to go", || play.left().is_empty().then_some(()));
}

#[test]
fn a_driller_that_stands_still_itself_is_undone_when_its_silence_has_lasted() {
    let _stage = alone();
    let (instances, _node, _play, mut driller) = hanging();
    let victim = instances[0].id();
    let pid = Pid::from_raw(driller.id().cast_signed()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    eventually("the victim to go on", || (state(victim)? != "T").then_some(()));
    kill_process(pid, Signal::CONT).unwrap();
    let ended = eventually("the driller to end", || driller.try_wait().unwrap());
    assert_eq!(ended.code(), Some(1), "it may not go on without its watchdog");
    assert!(test_kill_process(pid).is_err());
    pass(0.1);
    assert_ne!(state(victim).unwrap(), "T");
}

/// A scenario in which an instance is cut off, and what tells of it.
fn cut_off(seconds: u64, way: &str) -> Play {
    let fault =
        format!("[[fault]]\nkind = \"partition\"\nat = \"1s\"\nfor = \"2s\"\ntarget = \"shop/0\"\nway = \"{way}\"\n");
    let loss = "[[fault]]\nkind = \"loss\"\nat = \"1s\"\nfor = \"2s\"\ntarget = \"shop/1\"\nrate = \"2%\"\n";
    let hold = "[hold]\ngood = \"95%\"\nduplicated_posts = 0\n";
    Play::new(&format!("name = \"cut off\"\nduration = \"{seconds}s\"\n{WORKLOAD}{fault}{loss}{hold}"))
}

/// Whether network namespaces can be made here; says so where not.
fn may_make_namespaces(story: &str) -> bool {
    let name = format!("mainstay-test-{}", std::process::id());
    let netns = |verb: &str| Command::new("ip").args(["netns", verb, &name]).stderr(Stdio::null()).status();
    let may = netns("add").is_ok_and(|status| status.success()) && find("tc").is_some();
    if may {
        assert!(netns("delete").unwrap().success());
    } else {
        eprintln!("skipped: {story}: it takes root, and ip and tc of iproute2");
    }
    may
}

/// The namespaces and the links of drillers that have this number.
fn of_driller(pid: u32) -> Vec<String> {
    let namespaces = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let namespaces = namespaces.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let devices = std::fs::read_to_string("/proc/net/dev").unwrap();
    let devices = devices.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
    let (namespace, device) = (format!("mainstay-drill-{pid}-"), format!("msd{pid}-"));
    namespaces.chain(devices).filter(|name| name.starts_with(&namespace) || name.starts_with(&device)).collect()
}

#[test]
fn an_instance_is_cut_off_by_the_network_itself_and_comes_back() {
    let _stage = alone();
    if !may_make_namespaces("an instance that is cut off by the network itself") {
        return;
    }
    let (status, report) = cut_off(5, "back").report(&["--steady", "1s"]);
    assert_eq!(status, Some(0), "{:#}", report["holds"]);
    assert_eq!(report["notes"][0], "shop/0, shop/1 in a network namespace, where packets are dropped");
    let ejected = |what: &Value| what["what"].as_str().unwrap().starts_with("shop/0: ready → ejected");
    assert!(report["events"].as_array().unwrap().iter().any(ejected), "{:#}", report["events"]);
    let seen = |what: &str| {
        report["undone"].as_array().unwrap().iter().find(|proof| proof["what"] == what).unwrap()["seen"].clone()
    };
    assert!(seen("shop/0").as_str().unwrap().contains("the way to it is well"), "{:#}", report["undone"]);
    assert_eq!(seen("the network namespaces"), "none of 2 is there, nor its link and filters");
}

#[test]
fn where_no_namespace_can_be_made_a_proxy_stands_in_and_the_report_says_so() {
    let _stage = alone();
    let play = cut_off(4, "both");
    // Where `ip` is not found it is as where it may not be used.
    let mut command = play.drill(play.file("mainstay.toml"), &["--steady", "1s", "--json"]);
    let output = command.env("PATH", play.dir.path()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let note = report["notes"][0].as_str().unwrap();
    assert!(note.starts_with("a proxy stands in for the network before shop/0, shop/1"), "{note}");
    assert_eq!((output.status.code(), &report["left"]), (Some(0), &Value::from(0)), "{:#}", report["holds"]);
}

#[test]
fn a_driller_that_is_killed_leaves_no_namespace_and_no_link() {
    let _stage = alone();
    if !may_make_namespaces("a driller that is killed while an instance is cut off") {
        return;
    }
    let play = cut_off(60, "there");
    let mut command = play.drill(play.file("mainstay.toml"), &["--steady", "500ms", "--json"]);
    let mut driller = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = driller.id();
    let filters = || {
        let names = of_driller(pid);
        let namespace = names.iter().find(|name| name.starts_with("mainstay-drill-") && name.ends_with("-0"))?;
        let show = ["-n", namespace, "filter", "show", "dev", "way", "ingress"];
        let shown = Command::new("tc").args(show).stderr(Stdio::null()).output().unwrap();
        (!shown.stdout.is_empty()).then_some(names)
    };
    let names = eventually("a way that is cut", filters);
    assert_eq!(names.len(), 4, "two namespaces and two links: {names:?}");
    driller.kill().unwrap();
    driller.wait().unwrap();
    eventually("namespaces and links to go", || of_driller(pid).is_empty().then_some(()));
    eventually("the files to go", || play.left().is_empty().then_some(()));
}

#[test]
fn instances_of_ones_own_are_started_cut_off_and_started_again() {
    let _stage = alone();
    let faults = "[[fault]]\nkind = \"crash\"\nat = \"1s\"\nfor = \"1s\"\ntarget = \"shop/0\"\n\
                  [[fault]]\nkind = \"partition\"\nat = \"1s\"\nfor = \"4s\"\ntarget = \"shop/1\"\n";
    let play =
        Play::new(&format!("name = \"one's own\"\nduration = \"6s\"\n{WORKLOAD}{faults}[hold]\ngood = \"95%\"\n"));
    let own =
        format!("{} instance --listen {{address}} --name {{name}} --service-time 1ms", env!("CARGO_BIN_EXE_mainstay"));
    let (status, report) = play.report(&["--steady", "1s", "--instance", &own]);
    assert_eq!(status, Some(0), "{:#}", report["holds"]);
    let note = report["notes"][0].as_str().unwrap();
    assert!(note.starts_with("a proxy stands in for the network before shop/1: an instance of your own"), "{note}");
    let ejected = |who: &str| {
        let told = format!("{who}: ready → ejected");
        report["events"].as_array().unwrap().iter().any(|event| event["what"].as_str().unwrap().starts_with(&told))
    };
    assert!(ejected("shop/0") && ejected("shop/1"), "{:#}", report["events"]);
}

#[test]
fn an_instance_that_ran_before_is_ended_and_started_again_as_its_owner_says() {
    let _stage = alone();
    let instances: Vec<Instance> = (0..2).map(|_| Instance::with(&["--service-time", "1ms"])).collect();
    let addresses: Vec<_> = instances.iter().map(|instance| instance.address).collect();
    let node = Node::start(&addresses, "");
    let faults = "[[fault]]\nkind = \"crash\"\nat = \"500ms\"\nfor = \"1s\"\ntarget = \"shop/0\"\n";
    let workload = WORKLOAD.replace("[instance]", "[hold]\ngood = \"95%\"\n[instance]");
    let play = Play::new(&format!("name = \"t\"\nduration = \"3s\"\n{workload}{faults}"));
    // As a supervisor is told: what starts the instance does not wait for its end.
    let (script, pid) = (play.file("start.sh"), play.file("pid"));
    let start = format!("{} instance --listen $1 --service-time 1ms", env!("CARGO_BIN_EXE_mainstay"));
    std::fs::write(&script, format!("{start} >/dev/null 2>&1 &\necho $! >{}\n", pid.display())).unwrap();
    let restart = format!("sh {} {{address}}", script.display());
    let output = play.drill(node.file(), &["--running", "--steady", "500ms", "--json", "--restart", &restart]).output();
    let output = output.unwrap();
    let started = std::fs::read_to_string(pid).ok().and_then(|text| Pid::from_raw(text.trim().parse().ok()?));
    let answers = http::ask(addresses[0], "GET", "/work", "").is_ok();
    if let Some(started) = started {
        kill_process(started, Signal::KILL).unwrap();
    }
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(answers && state(instances[0].id()).is_none_or(|state| state == "Z"), "another one stands there: {said}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {said}"));
    assert_eq!((output.status.code(), &report["left"]), (Some(0), &Value::from(0)), "{:#}", report["undone"]);
    let seen = report["undone"][0]["seen"].as_str().unwrap();
    assert_eq!(seen, format!("process {} runs and answers", started.unwrap().as_raw_nonzero()));
}

/// Answers everything with 200, and knows nothing of drills.
fn plain() -> std::net::SocketAddr {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |mut stream: std::net::TcpStream| {
        let mut request = [0; 4096];
        while stream.read(&mut request).is_ok_and(|length| length > 0) {
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

#[test]
fn what_an_instance_cannot_be_told_the_gateway_that_runs_plays_in_its_place() {
    let _stage = alone();
    let node = Node::start(&[plain(), plain()], "balance = \"round_robin\"\noutlier = \"off\"\n");
    let fault = |kind: &str, at: &str, more: &str| {
        format!("[[fault]]\nkind = \"{kind}\"\nat = \"{at}\"\nfor = \"800ms\"\ntarget = \"shop/0\"\n{more}")
    };
    let faults = [
        fault("errors", "200ms", "status = 503\n"),
        fault("limp", "1200ms", "delay = \"50ms\"\n"),
        fault("reset", "2200ms", "calls = \"50%\"\n"),
    ];
    let workload = WORKLOAD.replace("methods = { GET = 95, POST = 5 }\n", "");
    let play =
        Play::new(&format!("name = \"t\"\nduration = \"4s\"\n{workload}{}[hold]\ngood = \"95%\"\n", faults.concat()));
    let output = play.drill(node.file(), &["--running", "--steady", "500ms", "--json"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {said}"));
    assert_eq!((output.status.code(), &report["left"]), (Some(0), &Value::from(0)), "{report:#}");
    for kind in ["abort", "delay", "reset"] {
        let hits = node.metrics().sum("mainstay_faults_injected_total", &[("service", "shop"), ("kind", kind)]);
        assert!(hits >= 10.0, "{hits} attempts had {kind}");
    }
    let services: Value = serde_json::from_str(&http::get(node.admin, "/v1/services").body).unwrap();
    assert_eq!(services["services"][0]["fault"], Value::Null);
    assert!(report["attempts_per_request"].as_f64().unwrap() > 1.05, "what failed was tried elsewhere");
}

/// An experiment whose method breaks what its hypothesis looks at, and whose rollback mends it.
fn experiment(dir: &TempDir, method: &str) -> PathBuf {
    let (file, lamp) = (dir.path().join("experiment.json"), dir.path().join("lamp"));
    let lamp = lamp.display();
    let text = format!(
        r#"{{ "title": "the lamp stays on", "description": "whatever we do",
            "steady-state-hypothesis": {{ "title": "it is on", "probes": [
                {{ "type": "probe", "name": "look", "tolerance": 0,
                   "provider": {{ "type": "process", "path": "test", "arguments": ["-e", "{lamp}"] }} }} ] }},
            "method": [ {{ "type": "action", "name": "put it out",
                "provider": {{ "type": "process", "path": "rm", "arguments": ["-f", "{lamp}"] }} }}{method} ],
            "rollbacks": [ {{ "type": "action", "name": "light it",
                "provider": {{ "type": "process", "path": "touch", "arguments": "{lamp}" }} }} ] }}"#
    );
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn an_experiment_of_chaos_toolkit_is_played_and_rolled_back() {
    let dir = TempDir::new().unwrap();
    let file = experiment(&dir, "");
    let run = || mainstay().args(["drill", "--json", "--experiment"]).arg(&file).output().unwrap();
    let output = run();
    let journal: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &journal["status"]), (Some(1), &Value::from("failed")), "it was not on before");
    assert_eq!(journal["run"].as_array().unwrap().len(), 0, "so nothing was done");
    std::fs::write(dir.path().join("lamp"), "").unwrap();
    let output = run();
    let journal: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &journal["deviated"]), (Some(1), &Value::Bool(true)), "{journal:#}");
    assert_eq!(journal["rollbacks"][0]["status"], "succeeded", "{journal:#}");
    assert!(dir.path().join("lamp").exists());
}

#[test]
fn an_experiment_is_rolled_back_even_when_its_driller_is_killed() {
    let dir = TempDir::new().unwrap();
    let sleep = r#", { "type": "action", "name": "wait", "provider": { "type": "process", "path": "sleep", "arguments": "60" } }"#;
    let file = experiment(&dir, sleep);
    let lamp = dir.path().join("lamp");
    std::fs::write(&lamp, "").unwrap();
    let mut command = mainstay();
    command.args(["drill", "--experiment"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut driller = command.spawn().unwrap();
    eventually("the lamp to go out", || (!lamp.exists()).then_some(()));
    driller.kill().unwrap();
    driller.wait().unwrap();
    eventually("the lamp to be lit again", || lamp.exists().then_some(()));
}
