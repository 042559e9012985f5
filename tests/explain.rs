//! Somebody on call looks at what went wrong, with nothing to go by but that it did.

use crate::support::{Instance, Node, Refusing, alone, eventually, http, mainstay};

/// What `mainstay explain` prints with these words.
#[track_caller]
fn explain(node: &Node, words: &[&str]) -> String {
    let output = mainstay().arg("explain").args(words).args(["--admin", &node.admin.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_last_unhappy_request_is_told_without_its_id() {
    let _stage = alone();
    let (well, silent) = (Instance::with(&["--service-time", "0ms"]), Refusing::new());
    let dead = silent.address;
    let routes = "[[route]]\nhost = \"a.example\"\nservice = \"shop\"\ntimeout = \"7s\"\n\n\
                  [[route]]\nservice = \"gone\"\ntimeout = \"8s\"\n\n";
    let more = format!("[service.gone]\nendpoints = [\"{dead}\"]\nretry = \"off\"\n");
    let node = Node::with_routes(&[well.address], routes, &more);
    assert!(explain(&node, &["--last"]).contains("every request that is remembered"), "nobody was unhappy yet");

    assert_eq!(http::ask(node.web, "GET", "/cart", "").unwrap().status, 502);
    let good = "GET /cart HTTP/1.1\r\nhost: a.example\r\nx-request-id: good\r\nconnection: close\r\n\r\n";
    assert_eq!(http::raw(node.web, good).status, 200);
    let story = eventually("the end of the request", || {
        Some(explain(&node, &["--last"])).filter(|story| story.contains("ended without an answer"))
    });
    for part in [
        "GET /cart on route / (route[1]), service gone",
        "[route[1].timeout = \"8s\", ",
        "no other attempt follows: retries are off  [service.gone.retry",
        "the connection was refused; status 502",
        &format!("what you can do: see whether a process listens at {dead}"),
    ] {
        assert!(story.contains(part), "{part} is missing in: {story}");
    }
    let good = explain(&node, &["good"]);
    assert!(good.contains("on route a.example/, ") && good.contains("[route[0].timeout = \"7s\""), "{good}");
    assert!(!good.contains("what you can do"), "{good}");
    let all = http::ask(node.admin, "GET", "/v1/requests", "").unwrap().json();
    assert_eq!(all["records"].as_array().unwrap().len(), 2, "{all:#}");
}
