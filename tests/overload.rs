//! More calls come than the service can answer, and what matters is answered.

use crate::support::{Instance, Load, Node, alone};

/// Eight attempts at once over an instance that does eighty in a second.
const SETTINGS: &str = "[service.shop.bulkhead]\nconcurrency = 8\nqueue = 32\n";

/// Who asks for `/work/pay` matters, who asks for anything else can be shed.
const ROUTES: &str = "[[route]]\npath = \"/work/pay\"\nservice = \"shop\"\npriority = \"critical\"\n\n\
                      [[route]]\nservice = \"shop\"\npriority = \"sheddable\"\n\n";

#[test]
fn critical_calls_survive_an_overload_that_sheds_the_others() {
    let _stage = alone();
    let instance = Instance::with(&["--service-time", "50ms", "--concurrency", "4"]);
    let node = Node::with_routes(&[instance.address], ROUTES, SETTINGS);
    let overload = ["--rate", "400/s", "--duration", "6s"];
    let others = Load::start_at(node.web, "/work/browse", &overload);
    let calls = ["--rate", "10/s", "--arrivals", "uniform", "--duration", "5s", "--deadline", "10s"];
    let critical = Load::start_at(node.web, "/work/pay", &calls).end();
    let others = others.end();

    let (asked, good) = critical.count("GET");
    assert!(good * 10 >= asked * 9, "{good} of {asked} critical calls were answered");
    let (asked, good) = others.count("GET");
    assert!(good * 2 < asked, "{good} of {asked} others, where a fifth can be");
    let shed = |priority| node.metrics().sum("mainstay_shed_total", &[("priority", priority)]);
    assert!(shed("sheddable") * 2.0 > asked as f64, "{} were shed", shed("sheddable"));
    assert!(shed("critical") <= 5.0, "{} critical calls were shed", shed("critical"));
}
