//! Texts: the configuration, and the values in it.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use mainstay_config::{Cidr, Source, load, parse_endpoints};
use mainstay_core::{Bytes, Duration, Rate, Ratio};

/// A text is a configuration, or says what is wrong with it; a file of endpoints likewise.
pub(crate) fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match load(&Source::new("any.toml", text)) {
        Ok(loaded) => assert!(!loaded.config.listeners.is_empty(), "a gateway listens somewhere"),
        Err(problems) => assert!(!problems.render(false).is_empty(), "a refusal says why"),
    }
    if let Err(problems) = parse_endpoints("any.toml", text) {
        assert!(!problems.render(false).is_empty(), "a refusal says why");
    }
}

/// What is read from a text is read again from what it is written as.
pub(crate) fn units(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    reads_back::<Duration>(text);
    reads_back::<Bytes>(text);
    reads_back::<Rate>(text);
    // A share is written to four digits of a percent.
    if let Ok(ratio) = text.parse::<Ratio>() {
        assert!((0.0..=1.0).contains(&ratio.get()), "{text} is {}", ratio.get());
        assert!((ratio.to_string().parse::<Ratio>().unwrap().get() - ratio.get()).abs() < 1e-6);
    }
    if let Ok(network) = text.parse::<Cidr>() {
        assert!(network.to_string().parse::<Cidr>().is_ok_and(|again| again == network));
    }
}

fn reads_back<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let written = value.to_string();
        assert_eq!(written.parse::<T>().unwrap(), value, "{text} is written as {written}");
    }
}
