//! The programs that people already have: curl, wrk, nginx behind the gateway, HAProxy in front of it; promtool, which
//! reads metrics as Prometheus does; schemathesis, which holds the admin API to its own description.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::{Instance, Load, Node, Process, Refusing, alone, eventually, find, free_address, http, skip};

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn wait_for(address: SocketAddr) {
    eventually("a listener", || http::ask(address, "GET", "/", "").ok());
}

#[test]
fn curl_gets_posts_uploads_and_keeps_its_connection() {
    let Some(curl) = find("curl") else { return skip("curl as a caller", "curl") };
    let _stage = alone();
    let instance = Instance::with(&["--service-time", "0ms", "--name", "one"]);
    let node = Node::start(&[instance.address], "");
    let url = |path: &str| format!("http://{}{path}", node.web);
    let curl =
        |arguments: &[&str]| output(Command::new(&curl).args(["-sS", "--fail", "--max-time", "10"]).args(arguments));
    assert!(curl(&[&url("/a")]).contains("\"instance\":\"one\""));
    assert_eq!(curl(&["-d", "hello", &url("/echo")]), "hello");
    assert_eq!(curl(&["-H", "transfer-encoding: chunked", "-d", "hello", &url("/echo")]), "hello");
    assert_eq!(curl(&["-H", "expect: 100-continue", "-d", "hello", &url("/echo")]), "hello");
    assert!(curl(&["-I", &url("/a")]).starts_with("HTTP/1.1 200"));
    assert!(curl(&["--http1.0", &url("/a")]).contains("\"instance\":\"one\""));
    let connections = curl(&["-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects}", &url("/a"), &url("/b")]);
    assert_eq!(connections, "10", "the second request used the first one's connection");
}

#[test]
fn wrk_sees_no_failure() {
    let Some(wrk) = find("wrk") else { return skip("wrk as a caller", "wrk") };
    let _stage = alone();
    let instance = Instance::with(&["--service-time", "0ms", "--size", "128"]);
    let node = Node::start(&[instance.address], "");
    // wrk leaves in the middle of its last requests, so the second run also shows that the first did no harm.
    for _ in 0..2 {
        let text = output(Command::new(&wrk).args(["-t1", "-c64", "-d1s"]).arg(format!("http://{}/", node.web)));
        assert!(text.contains("requests in") && !text.contains(" 0 requests in"), "{text}");
        assert!(!text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    }
}

/// nginx with a configuration of its own, ended with its worker.
fn nginx(listen: SocketAddr, dir: &TempDir) -> Option<Process> {
    let program = find("nginx")?;
    let file = dir.path().join("nginx.conf");
    let pid = dir.path().join("nginx.pid");
    let body = "x".repeat(1000);
    let text = format!(
        "daemon off; master_process off; pid {}; error_log stderr;\nevents {{}}\n\
         http {{ access_log off; keepalive_requests 100; client_body_temp_path {};\n\
         server {{ listen {listen}; location / {{ return 200 \"{body}\"; }} }} }}\n",
        pid.display(),
        dir.path().join("bodies").display(),
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(program);
    Some(Process::start(command.arg("-p").arg(dir.path()).arg("-c").arg(file), &dir.path().join("nginx.log")))
}

#[test]
fn nginx_is_an_instance_that_closes_its_connections_every_hundred_requests() {
    let _stage = alone();
    let (listen, dir) = (free_address(), TempDir::new().unwrap());
    let Some(_nginx) = nginx(listen, &dir) else { return skip("nginx as an instance", "nginx") };
    wait_for(listen);
    let node = Node::start(&[listen], "");
    Load::start(node.web, &["--closed", "16", "--requests", "5000", "--duration", "60s"]).end().all_good();
}

#[test]
fn haproxy_stands_in_front() {
    let Some(program) = find("haproxy") else { return skip("HAProxy in front", "haproxy") };
    let _stage = alone();
    let instance = Instance::with(&["--service-time", "0ms"]);
    let node = Node::start(&[instance.address], "");
    let (listen, dir) = (free_address(), TempDir::new().unwrap());
    let text = format!(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n\
         frontend web\n  bind {listen}\n  default_backend gateway\n\
         backend gateway\n  option httpchk GET /health\n  server a {} check\n",
        node.web
    );
    let file = dir.path().join("haproxy.cfg");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(program);
    let _haproxy = Process::start(command.arg("-db").arg("-f").arg(file), &dir.path().join("haproxy.log"));
    wait_for(listen);
    let arguments = ["--closed", "16", "--requests", "3000", "--duration", "60s", "--post", "20%"];
    Load::start(listen, &arguments).end().all_good();
}

#[test]
fn promtool_has_nothing_to_say_of_the_metrics() {
    let Some(promtool) = find("promtool") else { return skip("promtool as a reader of metrics", "promtool") };
    let _stage = alone();
    let instance = Instance::with(&["--service-time", "0ms"]);
    let silent = Refusing::new();
    let node = Node::start(&[instance.address, silent.address], "");
    Load::start(node.web, &["--closed", "4", "--requests", "200"]).end().all_good();
    let metrics = http::ask(node.admin, "GET", "/metrics", "").unwrap().body;
    assert!(metrics.contains("mainstay_attempts_total{"), "{metrics}");
    let mut command = Command::new(promtool);
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = command.spawn().unwrap();
    check.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn schemathesis_finds_nothing_that_the_admin_api_does_not_describe() {
    let Some(schemathesis) = find("schemathesis") else {
        return skip("schemathesis against the admin API", "schemathesis");
    };
    let _stage = alone();
    let instance = Instance::with(&["--service-time", "0ms"]);
    let silent = Refusing::new();
    let node = Node::start(&[instance.address, silent.address], "");
    Load::start(node.web, &["--closed", "4", "--requests", "50"]).end().all_good();
    let dir = TempDir::new().unwrap();
    let mut command = Command::new(schemathesis);
    command.args(["run", &format!("http://{}/openapi.json", node.admin), "-n", "20", "--seed", "1", "--no-color"]);
    let output = command.current_dir(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
