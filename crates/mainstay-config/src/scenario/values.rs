//! Values that only a scenario has.

use mainstay_core::{Duration, Ratio};

use super::model::Distribution;
use crate::item::word_fault;
use crate::raw::{Raw, Tree};
use crate::suggest::nearest;
use crate::value::{Fault, Positive, Read, Value};

/// A number from `MIN` to `MAX` thousandths, as in 2 or 1.5.
pub(super) struct Number<const MIN: u32, const MAX: u32>(pub(super) f64);

impl<const MIN: u32, const MAX: u32> Value for Number<MIN, MAX> {
    fn read(node: &Tree) -> Read<Self> {
        let number = match &node.raw {
            Raw::Integer(number) => Some(*number as f64),
            Raw::Float(number) => Some(*number),
            _ => node.text().and_then(|text| text.parse().ok()),
        };
        let (min, max) = (f64::from(MIN) / 1e3, f64::from(MAX) / 1e3);
        let found = number.filter(|number| (min..=max).contains(number)).map(Self);
        found.ok_or_else(|| vec![Fault::wanted(format!("a number from {min} to {max}"), node)])
    }
}

/// How many times as much.
pub(super) type Factor = Number<1, 1_000_000>;

/// What each instance is to come to: a share of its slots, as in "60%", or so many calls.
pub(super) struct Target(pub(super) f64);

impl Value for Target {
    fn read(node: &Tree) -> Read<Self> {
        let share = Ratio::read(node).map(Ratio::get);
        let target = share.or_else(|_| Number::<1, 1_000_000_000>::read(node).map(|number| number.0));
        match target {
            Ok(target) if target > 0.0 => Ok(Self(target)),
            _ => Err(vec![Fault::wanted("a share above 0, as in \"60%\", or a number of calls, as in 5", node)]),
        }
    }
}

/// A length alone is fixed; a table says how lengths are drawn.
impl Value for Distribution {
    fn read(node: &Tree) -> Read<Self> {
        if !matches!(node.raw, Raw::Table(_)) {
            return Duration::read(node).map(Self::Fixed);
        }
        let mut keys = Keys { node, asked: vec!["distribution"], faults: Vec::new() };
        let read = drawn(&mut keys);
        if WORDS.contains(&node.get("distribution").and_then(|entry| entry.node.text()).unwrap_or_default()) {
            keys.refuse_unknown();
        }
        match read {
            Some(drawn) if keys.faults.is_empty() => Ok(drawn),
            _ => Err(keys.faults),
        }
    }
}

const WORDS: [&str; 5] = ["fixed", "exponential", "lognormal", "pareto", "bimodal"];

fn drawn(keys: &mut Keys<'_>) -> Option<Distribution> {
    let Some(entry) = keys.node.get("distribution") else {
        let wrong = Fault::new("distribution is missing").help("add distribution = \"exponential\"");
        keys.faults.push(wrong);
        return None;
    };
    match entry.node.text() {
        Some("fixed") => Some(Distribution::Fixed(keys.length("mean")?)),
        Some("exponential") => Some(Distribution::Exponential(keys.length("mean")?)),
        Some("lognormal") => {
            let (mean, sigma) = (keys.length("mean"), keys.get::<Number<1, 4_000>>("sigma", "1"));
            Some(Distribution::Lognormal { mean: mean?, sigma: sigma?.0 })
        }
        Some("pareto") => {
            let (mean, alpha) = (keys.length("mean"), keys.get::<Number<1_010, 100_000>>("alpha", "1.5"));
            Some(Distribution::Pareto { mean: mean?, alpha: alpha?.0 })
        }
        Some("bimodal") => {
            let (fast, slow, share) = (keys.length("fast"), keys.length("slow"), keys.get::<Ratio>("share", "10%"));
            Some(Distribution::Bimodal { fast: fast?, slow: slow?, share: share? })
        }
        _ => {
            let wrong = word_fault(&entry.node, WORDS.into_iter(), &[]);
            keys.faults.push(Fault { at: Some(entry.node.at.clone()), ..wrong });
            None
        }
    }
}

/// The keys of a table that is one value.
struct Keys<'a> {
    node: &'a Tree,
    asked: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl Keys<'_> {
    fn length(&mut self, key: &'static str) -> Option<Duration> {
        self.read::<Positive<Duration>>(key, None).map(|length| length.0)
    }

    fn get<T: Value>(&mut self, key: &'static str, default: &str) -> Option<T> {
        self.read(key, Some(default))
    }

    fn read<T: Value>(&mut self, key: &'static str, default: Option<&str>) -> Option<T> {
        self.asked.push(key);
        let (node, at) = match (self.node.get(key), default) {
            (Some(entry), _) => (entry.node.clone(), Some(entry.node.at.clone())),
            (None, Some(default)) => (Tree::word(default, &self.node.at), None),
            (None, None) => {
                let wrong = Fault::new(format!("{key} is missing")).help(format!("add {key} = \"10ms\""));
                self.faults.push(wrong);
                return None;
            }
        };
        match T::read(&node) {
            Ok(value) => Some(value),
            Err(faults) => {
                self.faults.extend(faults.into_iter().map(|fault| Fault { at: fault.at.or(at.clone()), ..fault }));
                None
            }
        }
    }

    fn refuse_unknown(&mut self) {
        let Raw::Table(entries) = &self.node.raw else { return };
        for entry in entries.iter().filter(|entry| !self.asked.contains(&entry.key.as_str())) {
            let help = match nearest(&entry.key, self.asked.iter().copied()) {
                Some(known) => format!("did you mean {known:?}?"),
                None => format!("known here: {}", self.asked.join(", ")),
            };
            let fault = Fault::new(format!("unknown key {:?}", entry.key)).help(help);
            self.faults.push(Fault { at: Some(entry.key_at.clone()), ..fault });
        }
    }
}
