//! The scenarios that come along: the outages that everybody has, in the words of their files under `scenarios/`.
//!
//! Some are one fault for twenty seconds. The others are lessons: each has a page in `docs/guide/scenarios/`, and beside it
//! a configuration that falls and one that holds.
//!
//! They speak of a service "shop", and are played on whichever service they are asked for.

use mainstay_config::Config;

/// One thing goes wrong with four instances that have room to spare.
const FAULTS: &[(&str, &str)] = &[
    ("crash", include_str!("../../../scenarios/crash.toml")),
    ("hang", include_str!("../../../scenarios/hang.toml")),
    ("slow", include_str!("../../../scenarios/slow.toml")),
    ("limp", include_str!("../../../scenarios/limp.toml")),
    ("errors", include_str!("../../../scenarios/errors.toml")),
    ("gray", include_str!("../../../scenarios/gray.toml")),
    ("reset", include_str!("../../../scenarios/reset.toml")),
    ("stall", include_str!("../../../scenarios/stall.toml")),
    ("garbage", include_str!("../../../scenarios/garbage.toml")),
    ("flap", include_str!("../../../scenarios/flap.toml")),
    ("partition", include_str!("../../../scenarios/partition.toml")),
    ("outage", include_str!("../../../scenarios/outage.toml")),
    ("metastable", include_str!("../../../scenarios/metastable.toml")),
    ("surge", include_str!("../../../scenarios/surge.toml")),
    ("rolling", include_str!("../../../scenarios/rolling.toml")),
];

/// What a configuration is for.
const LESSONS: &[(&str, &str)] = &[
    ("retry-storm", include_str!("../../../scenarios/retry-storm/scenario.toml")),
    ("gray-instance", include_str!("../../../scenarios/gray-instance/scenario.toml")),
    ("zone-loss", include_str!("../../../scenarios/zone-loss/scenario.toml")),
    ("slow-dependency", include_str!("../../../scenarios/slow-dependency/scenario.toml")),
    ("cold-start", include_str!("../../../scenarios/cold-start/scenario.toml")),
    ("expired-cache", include_str!("../../../scenarios/expired-cache/scenario.toml")),
    ("flapping-checks", include_str!("../../../scenarios/flapping-checks/scenario.toml")),
    ("bad-version", include_str!("../../../scenarios/bad-version/scenario.toml")),
    ("late-autoscaler", include_str!("../../../scenarios/late-autoscaler/scenario.toml")),
    ("three-layers", include_str!("../../../scenarios/three-layers/scenario.toml")),
];

/// What they are called.
pub fn names() -> impl Iterator<Item = &'static str> {
    faults().chain(lessons())
}

/// Those that are one fault.
pub fn faults() -> impl Iterator<Item = &'static str> {
    FAULTS.iter().map(|(name, _)| *name)
}

/// Those that have a page.
pub fn lessons() -> impl Iterator<Item = &'static str> {
    LESSONS.iter().map(|(name, _)| *name)
}

/// The service on which they are played: the one that is called as in their texts, or else the first.
#[must_use]
pub fn service(config: &Config) -> &str {
    let called = config.services.iter().find(|service| service.name == "shop");
    called.or(config.services.first()).map_or("shop", |service| service.name.as_str())
}

/// The text of the scenario `name`, for the service `service`; none where there is no such scenario.
#[must_use]
pub fn text(name: &str, service: &str) -> Option<String> {
    let (_, text) = FAULTS.iter().chain(LESSONS).find(|(known, _)| *known == name)?;
    // A service's name needs no quoting, so the texts stay what they are.
    Some(text.replace("\"shop\"", &format!("\"{service}\"")).replace("\"shop/", &format!("\"{service}/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_that_is_called_as_in_the_texts_comes_before_the_first() {
        let config = |services: [&str; 2]| {
            let service = |name| format!("[service.{name}]\nendpoints = [\"127.0.0.1:9101\"]\n");
            let text = format!(
                "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n[[route]]\nservice = \"{}\"\n{}",
                services[0],
                services.map(service).concat(),
            );
            let loaded = mainstay_config::load(&mainstay_config::Source::new("mainstay.toml", &text));
            loaded.unwrap_or_else(|problems| panic!("{problems}")).config
        };
        assert_eq!(service(&config(["cart", "shop"])), "shop");
        let other = config(["orders", "stock"]);
        assert_eq!(service(&other), other.services[0].name);
    }

    #[test]
    fn every_scenario_that_comes_along_loads_for_any_service() {
        for name in names() {
            let text = text(name, "orders-eu").unwrap();
            let scenario = mainstay_config::load_scenario(name, &text).unwrap_or_else(|problems| panic!("{problems}"));
            assert_eq!(scenario.workloads[0].service, "orders-eu", "{name}");
            assert!(!text.contains("\"shop\"") && !text.contains("\"shop/"), "{name}");
        }
    }
}
