//! Rate limits from outside: what a caller is told, what an operator reads.

use crate::support::{Instance, Node, alone, http, mainstay};

#[test]
fn a_caller_over_its_limit_is_told_so_and_the_operator_reads_which_limit_it_was() {
    let _stage = alone();
    let instance = Instance::with(&["--service-time", "0ms"]);
    let limit = "[rate_limit.tight]\nrate = \"1/h\"\nburst = 1\nkey = [\"client_ip\", \"header:x-tenant\"]\n";
    let route = "[[route]]\nservice = \"shop\"\nrate_limit = [\"tight\"]\n";
    let node = Node::with_routes(&[instance.address], route, limit);
    let ask = |id: &str| {
        let head = format!("host: x\r\nx-request-id: {id}\r\nconnection: close");
        http::raw(node.web, &format!("GET / HTTP/1.1\r\n{head}\r\n\r\n"))
    };
    let first = ask("first");
    assert_eq!(first.status, 200);
    assert_eq!(first.header("ratelimit-policy"), Some("\"tight\";q=1;w=3600"));
    let refused = ask("second");
    assert_eq!(refused.status, 429);
    let wait = refused.header("retry-after").unwrap();
    assert_eq!(refused.header("ratelimit"), Some(&*format!("\"tight\";r=0;t={wait}")));
    assert_eq!(instance.reached().len(), 1, "the second one reached nobody");

    assert_eq!(node.metrics().sum("mainstay_rate_limited_total", &[("limit", "tight")]), 1.0);
    let told = mainstay().args(["explain", "second", "--admin", &node.admin.to_string()]).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("over the rate limit tight; one will be let through in"), "{told}");
    assert!(told.contains("[rate_limit.tight.rate = \"1/h\", "), "{told}");
    assert!(told.contains("[rate_limit.tight.key = [\"client_ip\", \"header:x-tenant\"], "), "{told}");
}
