//! The scenarios that come along: the outages that everybody has, in the words of their files under `scenarios/`.
//!
//! They speak of a service "shop", and are played on whichever service they are asked for.

const ALL: &[(&str, &str)] = &[
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
    ("surge", include_str!("../../../scenarios/surge.toml")),
    ("rolling", include_str!("../../../scenarios/rolling.toml")),
];

/// What they are called.
pub fn names() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|(name, _)| *name)
}

/// The text of the scenario `name`, for the service `service`; none where there is no such scenario.
#[must_use]
pub fn text(name: &str, service: &str) -> Option<String> {
    let (_, text) = ALL.iter().find(|(known, _)| *known == name)?;
    // A service's name needs no quoting, so the texts stay what they are.
    Some(text.replace("\"shop\"", &format!("\"{service}\"")).replace("\"shop/", &format!("\"{service}/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_that_comes_along_loads_for_any_service() {
        for name in names() {
            let text = text(name, "orders-eu").unwrap();
            let scenario = mainstay_config::load_scenario(name, &text).unwrap_or_else(|problems| panic!("{problems}"));
            assert_eq!(scenario.workloads[0].service, "orders-eu", "{name}");
            assert!(!text.contains("shop"), "{name}");
        }
    }
}
