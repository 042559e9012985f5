//! Flag over environment over file over default, and where each value came from.

use mainstay_config::Origin;

use super::{LEAST, load, load_with};

/// The drain of the node and where it came from.
fn drain(environment: &[(&str, &str)], flags: &[(&str, &str)], file: &str) -> (String, Origin) {
    let loaded = load_with(&format!("{LEAST}{file}"), environment, flags).expect("a right configuration");
    let mut settings = loaded.effective.settings();
    let setting = settings.find(|setting| setting.path == "node.drain").expect("a listed key");
    (loaded.config.node.drain.to_string(), setting.origin.clone())
}

#[test]
fn a_flag_stands_over_the_environment_over_the_file_over_the_default() {
    let (file, environment, flag) =
        ("[node]\ndrain = \"1s\"\n", [("MAINSTAY_NODE__DRAIN", "2s")], [("node.drain", "3s")]);
    assert_eq!(drain(&[], &[], ""), ("30s".to_owned(), Origin::Default));
    assert_eq!(drain(&[], &[], file), ("1s".to_owned(), Origin::File { line: 11 }));
    let from_environment = Origin::Environment("MAINSTAY_NODE__DRAIN".to_owned());
    assert_eq!(drain(&environment, &[], file), ("2s".to_owned(), from_environment));
    assert_eq!(drain(&environment, &flag, file), ("3s".to_owned(), Origin::Flag("node.drain".to_owned())));
}

#[test]
fn two_underscores_are_a_level_and_one_is_a_letter() {
    let environment = [
        ("MAINSTAY_ADMIN__ADDRESS", "127.0.0.1:9999"),
        ("MAINSTAY_SERVICE__SHOP__TIMEOUT__CONNECT", "250ms"),
        ("MAINSTAY_SERVICE__SHOP__RETRY__IDEMPOTENT_ONLY", "false"),
        ("MAINSTAY_SERVICE__SHOP__ENDPOINTS", "[\"127.0.0.1:1\"]"),
        ("MAINSTAY_LISTENER__WEB__ADDRESS", "127.0.0.1:1080"),
        ("MAINSTAY_ROUTE__0__TIMEOUT", "1s"),
    ];
    let config = load_with(LEAST, &environment, &[]).unwrap().config;
    assert_eq!(config.admin.address.port(), 9999);
    assert_eq!(config.services[0].policy.timeout.connect.to_string(), "250ms");
    assert!(!config.services[0].policy.retry.as_ref().unwrap().idempotent_only);
    assert_eq!(config.listeners[0].address.port(), 1080);
    assert_eq!(config.routes[0].timeout.to_string(), "1s");
}

#[test]
fn a_name_with_a_hyphen_is_found_by_its_underscore() {
    let text = LEAST.replace("shop", "My-Shop");
    let environment = [("MAINSTAY_SERVICE__MY_SHOP__PANIC", "10%")];
    let config = load_with(&text, &environment, &[]).unwrap().config;
    assert_eq!(config.services[0].policy.panic, mainstay_core::Ratio::percent(10));
}

#[test]
fn what_an_orchestrator_puts_into_every_environment_is_none_of_ours() {
    let environment = [
        ("MAINSTAY_PORT", "tcp://10.0.0.7:80"),
        ("MAINSTAY_SERVICE_HOST", "10.0.0.7"),
        ("MAINSTAY_SERVICE_PORT_HTTP", "80"),
        ("HOME", "/root"),
    ];
    assert_eq!(load_with(LEAST, &environment, &[]).unwrap(), load(LEAST).unwrap());
}

#[test]
fn what_is_wrong_outside_the_file_says_where() {
    let said = |environment: &[(&str, &str)], flags: &[(&str, &str)]| {
        load_with(LEAST, environment, flags).unwrap_err().to_string()
    };
    let text = said(&[("MAINSTAY_ADMIN__ADRESS", "127.0.0.1:1")], &[]);
    assert!(text.contains("unknown key \"adress\" in [admin]"), "{text}");
    assert!(text.contains("--> environment MAINSTAY_ADMIN__ADRESS (admin.adress)"), "{text}");
    assert!(text.contains("did you mean \"address\"?"), "{text}");
    let text = said(&[("MAINSTAY_LOG", "debug")], &[]);
    assert!(text.contains("environment MAINSTAY_LOG"), "{text}");
    let text = said(&[], &[("admin.address", "here")]);
    assert!(text.contains("--> flag admin.address (admin.address)"), "{text}");
    let text = said(&[], &[("admin", "here")]);
    assert!(text.contains("expected a table, found \"here\""), "{text}");
    let text = said(&[], &[("service.shop", "here")]);
    assert!(text.contains("service.shop is a table, and its keys are set one by one"), "{text}");
    let text = said(&[], &[("listener.9.address", "here")]);
    assert!(text.contains("listener has no \"9\""), "{text}");
    let text = said(&[], &[("admin..address", "here")]);
    assert!(text.contains("\"admin..address\" is not a key"), "{text}");
}

#[test]
fn a_secret_is_fetched_and_never_shown() {
    let text = format!("{LEAST}[admin]\naddress = \"0.0.0.0:9900\"\ntoken = {{ env = \"TOKEN\" }}\n");
    let loaded = load(&text).unwrap();
    assert_eq!(loaded.config.admin.token.as_ref().unwrap().expose(), "s3cret");
    assert!(loaded.effective.to_text().contains("token = { env = \"TOKEN\" }"));
    let everything = format!("{loaded:?} {} {}", loaded.effective.to_text(), loaded.effective.to_json());
    assert!(!everything.contains("s3cret"));
}

#[test]
fn a_variable_that_sets_a_secret_holds_the_secret_itself_and_a_flag_does_not() {
    let environment = [("MAINSTAY_ADMIN__ADDRESS", "0.0.0.0:9900"), ("MAINSTAY_ADMIN__TOKEN", "tr0ub4dor")];
    for before in ["", "[admin]\ntoken = { env = \"TOKEN\" }\n"] {
        let loaded = load_with(&format!("{LEAST}{before}"), &environment, &[]).unwrap();
        assert_eq!(loaded.config.admin.token.as_ref().unwrap().expose(), "tr0ub4dor");
        let everything = format!("{loaded:?} {} {}", loaded.effective.to_text(), loaded.effective.to_json());
        assert!(everything.contains("token = { env = \"MAINSTAY_ADMIN__TOKEN\" }"), "{everything}");
        assert!(!everything.contains("tr0ub4dor"));
    }
    let token =
        |value| load_with(LEAST, &[("MAINSTAY_ADMIN__TOKEN", value)], &[]).map(|loaded| loaded.config.admin.token);
    assert_eq!(token("off"), Ok(None));
    assert_eq!(token("{ env = \"TOKEN\" }").unwrap().unwrap().expose(), "s3cret");
    assert!(token("").is_err(), "an empty token would open the API to everybody");
    // What a flag says stands in the list of processes.
    let text = load_with(LEAST, &[], &[("admin.token", "tr0ub4dor")]).unwrap_err().to_string();
    assert!(text.contains("expected where the secret is") && !text.contains("tr0ub4dor"), "{text}");
}

#[test]
fn a_key_is_told_with_its_value_and_its_place_and_a_table_with_its_place() {
    let text = format!("{LEAST}[service.shop.retry]\nattempts = 2\n");
    let effective = load_with(&text, &[("MAINSTAY_NODE__DRAIN", "5s")], &[]).unwrap().effective;
    let line = text.lines().position(|line| line.starts_with("attempts")).unwrap() + 1;
    let told = |key: &str| effective.tell(key).unwrap();
    assert_eq!(told("service.shop.retry.attempts"), format!("service.shop.retry.attempts = 2, mainstay.toml:{line}"));
    assert_eq!(told("service.shop.timeout.attempt"), "service.shop.timeout.attempt = \"5s\", default");
    assert_eq!(told("node.drain"), "node.drain = \"5s\", environment MAINSTAY_NODE__DRAIN");
    assert_eq!(told("service.shop.retry"), format!("service.shop.retry, mainstay.toml:{line}"));
    assert_eq!(told("service.shop.retry.budget"), "service.shop.retry.budget, default");
    assert_eq!(effective.tell("service.shop.ret"), None);
}

#[test]
fn the_effective_configuration_loads_to_the_same() {
    let flags = [("route.1.service", "lite"), ("service.lite.endpoints", "[\"127.0.0.1:9103\"]")];
    let first = load_with(super::contract::BASE, &[], &flags).unwrap();
    let text = first.effective.to_text();
    let mut second = load(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}")).config;
    // A line is where something stands in its file, and the files differ.
    let mut first = first.config;
    for config in [&mut first, &mut second] {
        config.listeners.iter_mut().for_each(|listener| listener.line = None);
        config.routes.iter_mut().for_each(|route| route.line = None);
        config.services.iter_mut().for_each(|service| service.line = None);
        config.rate_limits.iter_mut().for_each(|limit| limit.line = None);
    }
    assert_eq!(first, second);
}

#[test]
fn the_list_of_values_says_what_is_inactive() {
    let text = load(LEAST).unwrap().effective.to_text();
    for line in [
        "address = \"127.0.0.1:8080\"  # mainstay.toml:3",
        "tls = \"off\"                                       # default: inactive, not in this version",
        "on = [\"connect\", \"reset\", \"timeout\", \"malformed\", \"500\", \"502\", \"503\", \"504\"]  # default",
        "# host                    # default: any",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn programs_read_every_value_with_its_origin() {
    let json = load_with(LEAST, &[], &[("node.drain", "3s")]).unwrap().effective.to_json();
    let of = |path: &str| json.as_array().unwrap().iter().find(|setting| setting["path"] == path).unwrap().clone();
    assert_eq!(of("node.drain")["value"], "3s");
    assert_eq!(of("node.drain")["origin"]["kind"], "flag");
    assert_eq!(of("listener[0].address")["origin"]["line"], 3);
    assert_eq!(of("limits.connections")["value"], 10_000);
    assert!(of("route[0].host")["value"].is_null());
}
