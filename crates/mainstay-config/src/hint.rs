//! What somebody may have meant who wrote a value in another program's way: a help line, never another reading.
//!
//! A guess is only made when what it proposes can be read, so a help line is never the next error.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Units as they are written elsewhere, and here. What is proposed must still be read by the type that is wanted, so
/// one table does for lengths of time, rates and sizes.
const UNITS: &[(&str, &str)] = &[
    ("", "s"),
    ("", "/s"),
    ("", "B"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
    ("msec", "ms"),
    ("millis", "ms"),
    ("milliseconds", "ms"),
    ("k", "KiB"),
    ("kb", "KB"),
    ("kib", "KiB"),
    ("m", "MiB"),
    ("mb", "MB"),
    ("mib", "MiB"),
    ("g", "GiB"),
    ("gb", "GB"),
    ("gib", "GiB"),
    ("rps", "/s"),
    ("qps", "/s"),
    ("/sec", "/s"),
    ("/second", "/s"),
    ("/min", "/m"),
    ("/minute", "/m"),
    ("/hour", "/h"),
    ("/day", "/d"),
];

/// The same amount with a unit that a `T` is read from.
pub(crate) fn unit<T: FromStr>(text: &str) -> Option<String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim().to_ascii_lowercase());
    let known = UNITS.iter().filter(|(elsewhere, _)| *elsewhere == unit).map(|(_, here)| *here);
    let candidates = std::iter::once(unit.as_str()).chain(known).map(|unit| format!("{number}{unit}"));
    candidates.into_iter().find(|candidate| candidate.parse::<T>().is_ok()).map(|good| format!("write \"{good}\""))
}

/// An address and a port of what is nearly one.
pub(crate) fn address(text: &str) -> Option<String> {
    if text.parse::<IpAddr>().is_ok() {
        return Some("the port is missing".to_owned());
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let authority = rest.split('/').next().unwrap_or_default();
        return Some(format!("leave {scheme}:// and what follows the port away: \"{authority}\""));
    }
    let (host, port) = text.rsplit_once(':')?;
    let (proposed, why) = match host {
        "" | "*" => (format!("0.0.0.0:{port}"), "for every address of this machine"),
        "localhost" => (format!("127.0.0.1:{port}"), "for this machine alone"),
        _ => return None,
    };
    proposed.parse::<SocketAddr>().is_ok().then(|| format!("{why}, write \"{proposed}\""))
}

/// Whether `text` says "none" in a word of other programs.
pub(crate) fn means_none(text: &str) -> bool {
    ["none", "no", "never", "false", "disabled", "disable", "null"].contains(&text.to_ascii_lowercase().as_str())
}

/// What to do about a text that is not TOML, from the message and the line in which reading stopped.
pub(crate) fn syntax(message: &str, line: &str) -> Option<String> {
    let line = line.trim();
    if message.contains("redefinition of table") {
        return Some("a table stands once: put these keys where it stands first".to_owned());
    }
    if line.starts_with('[') && !line.ends_with(']') && !line.contains('=') {
        return Some(format!("a table's name stands in brackets: {line}]"));
    }
    let (key, value) = line.split_once('=')?;
    let (key, value) = (key.trim(), value.split('#').next().unwrap_or_default().trim());
    let bare = !value.is_empty() && !value.contains(['"', '\'', '[', '{']);
    let is_unread = bare && crate::raw::parse(&format!("v = {value}")).is_err();
    is_unread.then(|| format!("a text stands in quotes: {key} = \"{value}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::{Bytes, Duration, Rate};

    #[test]
    fn a_unit_of_another_program_finds_ours() {
        assert_eq!(unit::<Duration>("5 sec").as_deref(), Some("write \"5s\""));
        assert_eq!(unit::<Duration>("2 s").as_deref(), Some("write \"2s\""));
        assert_eq!(unit::<Rate>("100/sec").as_deref(), Some("write \"100/s\""));
        assert_eq!(unit::<Rate>("100").as_deref(), Some("write \"100/s\""));
        assert_eq!(unit::<Bytes>("10M").as_deref(), Some("write \"10MiB\""));
        assert_eq!(unit::<Bytes>("64kb").as_deref(), Some("write \"64KB\""));
        assert_eq!(unit::<Duration>("soon"), None);
        assert_eq!(unit::<Duration>("100/s"), None);
    }

    #[test]
    fn an_address_of_another_program_finds_ours() {
        assert_eq!(address("127.0.0.1").as_deref(), Some("the port is missing"));
        assert!(address(":8080").unwrap().ends_with("\"0.0.0.0:8080\""));
        assert!(address("localhost:80").unwrap().ends_with("\"127.0.0.1:80\""));
        assert!(address("http://10.0.0.1:80/x").unwrap().ends_with("\"10.0.0.1:80\""));
        assert_eq!(address("localhost:many"), None);
        assert_eq!(address("shop"), None);
    }

    #[test]
    fn a_line_that_is_not_toml_says_what_to_add() {
        assert_eq!(
            syntax("", "address = 127.0.0.1:80 # web").as_deref(),
            Some("a text stands in quotes: address = \"127.0.0.1:80\"")
        );
        assert!(syntax("", "[service.shop").unwrap().ends_with("[service.shop]"));
        assert_eq!(syntax("", "attempts = 3"), None, "that line can be read");
        assert_eq!(syntax("", "name = \"web"), None);
    }
}
