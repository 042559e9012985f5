//! The JSON of an experiment, every problem at once, each with its place: `method[2].provider.type`.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::bytes::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use crate::ask::Ask;

/// How long an activity may take that says nothing of it.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A compiled pattern may take so much memory.
const PATTERN_SIZE_MAX: usize = 1 << 20;

/// An experiment that can be played.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// What it asks.
    pub title: String,
    /// Why.
    pub description: String,
    pub(super) hypothesis: Option<(String, Vec<Activity>)>,
    pub(super) method: Vec<Activity>,
    pub(super) rollbacks: Vec<Activity>,
}

/// Why an experiment cannot be played: each problem with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Refused(pub Vec<String>);

/// One thing that is done or looked at.
#[derive(Debug, Clone)]
pub(super) struct Activity {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) provider: Provider,
    pub(super) tolerance: Option<Tolerance>,
    pub(super) before: Duration,
    pub(super) after: Duration,
    pub(super) background: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Probe,
    Action,
}

#[derive(Debug, Clone)]
pub(super) enum Provider {
    Http { ask: Ask, timeout: Duration, expected: Option<u16> },
    Process { command: Vec<String>, timeout: Duration },
}

/// What a probe may give.
#[derive(Debug, Clone)]
pub(super) enum Tolerance {
    /// This status of an answer or a process.
    Status(Value),
    /// One of these.
    OneOf(Vec<Value>),
    /// It went well, or did not.
    Success(bool),
    /// A number between these.
    Range { from: f64, to: f64, target: String },
    /// A text in which this is found.
    Regex { pattern: Regex, target: String },
    /// A part of it that is one of these, or is there at all.
    Path { path: Vec<String>, expect: Vec<Value>, target: String },
}

/// Reads an experiment; `environment` is asked for what its configuration takes from there.
///
/// # Errors
/// [`Refused`]: it is no experiment, or has something that cannot be played here.
pub fn read(text: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Experiment, Refused> {
    let json: Value = serde_json::from_str(text).map_err(|error| Refused(vec![format!("it is no JSON: {error}")]))?;
    let mut reader = Reader { refused: Vec::new(), values: BTreeMap::new() };
    reader.values = reader.configuration(&json["configuration"], environment);
    for key in ["controls", "extensions", "secrets"] {
        let empty = match &json[key] {
            Value::Null => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if !empty && key != "extensions" {
            reader.refuse(key, "is not supported here");
        }
    }
    let title = reader.text(&json, "title", "");
    let description = reader.text(&json, "description", "");
    let hypothesis = match &json["steady-state-hypothesis"] {
        Value::Null => None,
        found => {
            let at = "steady-state-hypothesis";
            let title = found["title"].as_str().unwrap_or("the steady state").to_owned();
            Some((title, reader.activities(&found["probes"], &format!("{at}.probes"))))
        }
    };
    if !json["method"].is_array() {
        reader.refuse("method", "is missing: it is a list, which may be empty");
    }
    let method = reader.activities(&json["method"], "method");
    let rollbacks = reader.activities(&json["rollbacks"], "rollbacks");
    if reader.refused.is_empty() {
        Ok(Experiment { title, description, hypothesis, method, rollbacks })
    } else {
        Err(Refused(reader.refused))
    }
}

struct Reader {
    refused: Vec<String>,
    /// What `${name}` stands for.
    values: BTreeMap<String, String>,
}

impl Reader {
    fn refuse(&mut self, at: &str, why: impl AsRef<str>) {
        self.refused.push(format!("{at} {}", why.as_ref()));
    }

    /// Values that stand there, or that the environment has.
    fn configuration(
        &mut self,
        json: &Value,
        environment: impl Fn(&str) -> Option<String>,
    ) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        for (name, value) in json.as_object().into_iter().flatten() {
            let at = format!("configuration.{name}");
            let found = match value {
                Value::Object(from) if from.get("type") == Some(&Value::String("env".to_owned())) => {
                    let key = from.get("key").and_then(Value::as_str).unwrap_or("");
                    environment(key).or_else(|| from.get("default").map(plain))
                }
                Value::Object(_) | Value::Array(_) => {
                    self.refuse(&at, "is neither a value nor {\"type\": \"env\", \"key\": …}");
                    continue;
                }
                value => Some(plain(value)),
            };
            match found {
                Some(found) => drop(values.insert(name.clone(), found)),
                None => self.refuse(&at, "names a variable that the environment does not have"),
            }
        }
        values
    }

    /// A text with what `${name}` stands for in its place.
    fn put(&self, text: &str) -> String {
        let put = |text: String, (name, value): (&String, &String)| text.replace(&format!("${{{name}}}"), value);
        self.values.iter().fold(text.to_owned(), put)
    }

    fn text(&mut self, json: &Value, key: &str, at: &str) -> String {
        let place = if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
        match json[key].as_str() {
            Some(text) => self.put(text),
            None => {
                self.refuse(&place, "is missing");
                String::new()
            }
        }
    }

    fn activities(&mut self, json: &Value, at: &str) -> Vec<Activity> {
        let list = json.as_array().into_iter().flatten().enumerate();
        list.filter_map(|(number, json)| self.activity(json, &format!("{at}[{number}]"))).collect()
    }

    fn activity(&mut self, json: &Value, at: &str) -> Option<Activity> {
        if json.get("ref").is_some() {
            self.refuse(at, "refers to another activity, which is not supported here: write it out");
            return None;
        }
        for key in ["controls", "secrets"] {
            if json.get(key).is_some() {
                self.refuse(&format!("{at}.{key}"), "is not supported here");
            }
        }
        let kind = match json["type"].as_str() {
            Some("probe") => Kind::Probe,
            Some("action") => Kind::Action,
            _ => {
                self.refuse(&format!("{at}.type"), "is neither \"probe\" nor \"action\"");
                return None;
            }
        };
        let name = self.text(json, "name", at);
        let provider = self.provider(&json["provider"], &format!("{at}.provider"));
        let tolerance = match json.get("tolerance") {
            Some(tolerance) => Some(self.tolerance(tolerance, &format!("{at}.tolerance"))?),
            None => None,
        };
        let pause = |key: &str| json["pauses"][key].as_f64().unwrap_or(0.0).max(0.0);
        let pause = |key: &str| Duration::try_from_secs_f64(pause(key)).unwrap_or_default();
        let background = json["background"].as_bool().unwrap_or(false);
        Some(Activity {
            name,
            kind,
            provider: provider?,
            tolerance,
            before: pause("before"),
            after: pause("after"),
            background,
        })
    }

    fn provider(&mut self, json: &Value, at: &str) -> Option<Provider> {
        match json["type"].as_str() {
            Some("http") => self.http(json, at),
            Some("process") => self.process(json, at),
            Some("python") => {
                self.refuse(
                    &format!("{at}.type"),
                    "is \"python\", which is not supported here: \"http\" and \"process\" are",
                );
                None
            }
            _ => {
                self.refuse(&format!("{at}.type"), "is neither \"http\" nor \"process\"");
                None
            }
        }
    }

    fn http(&mut self, json: &Value, at: &str) -> Option<Provider> {
        let url = self.text(json, "url", at);
        let place = format!("{at}.url");
        let Some(rest) = url.strip_prefix("http://") else {
            self.refuse(&place, "does not begin with http://, and nothing else is supported here");
            return None;
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { host.to_owned() } else { format!("{host}:80") };
        let method = json["method"].as_str().unwrap_or("GET").to_ascii_uppercase();
        let mut ask = Ask::new(&method, address, if path.is_empty() { "/" } else { path });
        for (name, value) in json["headers"].as_object().into_iter().flatten() {
            ask = ask.field(name, &self.put(&plain(value)));
        }
        match &json["arguments"] {
            Value::Null => {}
            arguments if method == "GET" => ask.path = with_query(&ask.path, arguments),
            arguments => ask = ask.body(arguments),
        }
        let expected = json["expected_status"].as_u64().and_then(|status| u16::try_from(status).ok());
        Some(Provider::Http { ask, timeout: timeout(&json["timeout"]), expected })
    }

    fn process(&mut self, json: &Value, at: &str) -> Option<Provider> {
        let path = self.text(json, "path", at);
        if json.get("env").is_some() {
            self.refuse(&format!("{at}.env"), "is not supported here");
        }
        let arguments: Vec<String> = match &json["arguments"] {
            Value::Null => Vec::new(),
            Value::String(text) => self.put(text).split_whitespace().map(str::to_owned).collect(),
            Value::Array(list) => list.iter().map(|word| self.put(&plain(word))).collect(),
            Value::Object(map) => self.flags(map),
            _ => {
                self.refuse(&format!("{at}.arguments"), "is neither a text, a list nor an object");
                Vec::new()
            }
        };
        let command = std::iter::once(path).chain(arguments).collect();
        Some(Provider::Process { command, timeout: timeout(&json["timeout"]) })
    }

    /// An object's names and values, one after the other; a flag has no value.
    fn flags(&self, map: &Map<String, Value>) -> Vec<String> {
        let words = |(name, value): (&String, &Value)| match value {
            Value::Null => vec![name.clone()],
            value => vec![name.clone(), self.put(&plain(value))],
        };
        map.iter().flat_map(words).collect()
    }

    fn tolerance(&mut self, json: &Value, at: &str) -> Option<Tolerance> {
        match json {
            Value::Bool(wanted) => Some(Tolerance::Success(*wanted)),
            Value::Number(_) | Value::String(_) => Some(Tolerance::Status(json.clone())),
            Value::Array(list) => Some(Tolerance::OneOf(list.clone())),
            Value::Object(of) => self.tolerance_object(of, at),
            Value::Null => {
                self.refuse(at, "says nothing");
                None
            }
        }
    }

    fn tolerance_object(&mut self, of: &Map<String, Value>, at: &str) -> Option<Tolerance> {
        let kind = of.get("type").and_then(Value::as_str).unwrap_or("");
        let target = of.get("target").and_then(Value::as_str);
        match kind {
            "range" => {
                let ends = of.get("range").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let (Some(from), Some(to)) = (number(ends.first()), number(ends.get(1))) else {
                    self.refuse(&format!("{at}.range"), "is no list of two numbers");
                    return None;
                };
                Some(Tolerance::Range { from, to, target: target.unwrap_or("body").to_owned() })
            }
            "regex" => {
                let pattern = of.get("pattern").and_then(Value::as_str).unwrap_or("");
                let built = RegexBuilder::new(pattern).size_limit(PATTERN_SIZE_MAX).build();
                match built {
                    Ok(pattern) => Some(Tolerance::Regex { pattern, target: target.unwrap_or("body").to_owned() }),
                    Err(error) => {
                        self.refuse(&format!("{at}.pattern"), format!("cannot be read: {error}"));
                        None
                    }
                }
            }
            "jsonpath" => {
                let path = of.get("path").and_then(Value::as_str).unwrap_or("");
                let Some(steps) = steps(path) else {
                    self.refuse(&format!("{at}.path"), "is more than names and numbers, as in $.items[0].name");
                    return None;
                };
                let expect = match of.get("expect") {
                    Some(Value::Array(list)) => list.clone(),
                    Some(one) => vec![one.clone()],
                    None => Vec::new(),
                };
                Some(Tolerance::Path { path: steps, expect, target: target.unwrap_or("body").to_owned() })
            }
            other => {
                self.refuse(
                    &format!("{at}.type"),
                    format!("is {other:?}; \"range\", \"regex\" and \"jsonpath\" are supported here"),
                );
                None
            }
        }
    }
}

fn number(value: Option<&Value>) -> Option<f64> {
    value.and_then(Value::as_f64)
}

/// The steps of a plain path: names and numbers.
fn steps(path: &str) -> Option<Vec<String>> {
    let rest = path.strip_prefix('$').unwrap_or(path).replace(['[', ']'], ".").replace('\'', "");
    let steps: Vec<String> = rest.split('.').filter(|step| !step.is_empty()).map(str::to_owned).collect();
    let plain = |step: &String| step.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    (steps.iter().all(plain) && !path.contains("..")).then_some(steps)
}

/// A value as a word of a command.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Seconds; of two, the first is for connecting and the second for the answer.
fn timeout(json: &Value) -> Duration {
    let seconds = match json {
        Value::Array(both) => both.iter().filter_map(Value::as_f64).reduce(|a, b| a + b),
        one => one.as_f64(),
    };
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(TIMEOUT)
}

fn with_query(path: &str, arguments: &Value) -> String {
    let pairs = arguments.as_object().into_iter().flatten();
    let pairs: Vec<String> =
        pairs.map(|(name, value)| format!("{}={}", escaped(name), escaped(&plain(value)))).collect();
    let join = if path.contains('?') { '&' } else { '?' };
    if pairs.is_empty() { path.to_owned() } else { format!("{path}{join}{}", pairs.join("&")) }
}

/// A text as part of a query (RFC 3986, section 2.1).
fn escaped(text: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}
