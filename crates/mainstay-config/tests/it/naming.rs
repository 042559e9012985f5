//! What routes are called where somebody has to know which one it was.

use crate::load;

#[test]
fn no_two_routes_have_one_name() {
    let route = |lines: &str| format!("[[route]]\nservice = \"shop\"\n{lines}\n");
    let text = [
        "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n".to_owned(),
        route("path = \"/cart\""),
        route("path = \"/\"\nhost = \"a.example\""),
        route("path = \"/\"\nhost = \"*.b.example\"\nmethod = [\"GET\"]"),
        route("path = \"/\"\nhost = \"*.b.example\""),
        route("path = \"=/\""),
        "[service.shop]\nendpoints = [\"127.0.0.1:9101\"]\n".to_owned(),
    ]
    .concat();
    let names = load(&text).unwrap().config.route_names();
    let wanted = ["/cart", "a.example/", "*.b.example/ (route[2])", "*.b.example/ (route[3])", "/ (route[4])"];
    assert_eq!(names, wanted);
}
