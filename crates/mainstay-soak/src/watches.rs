//! Who watches at one member, all the time: when the connection ends, the next goes on behind what was brought.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ask::{Stream, decoded, encoded, number};
use crate::clients::Stage;
use crate::history::Watched;

/// How long nothing may come until the stage is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Watches all registers at a member, from the beginning until the run has ended.
pub(crate) fn watch(stage: &Stage, member: usize) -> Watched {
    let mut watched = Watched::default();
    while !stage.is_ended() {
        let next = watched.log.keys().next_back().map_or(2, |last| last + 1);
        let create = json!({ "key": encoded("r/"), "range_end": encoded("r0"), "start_revision": next.to_string() });
        let body = json!({ "create_request": create });
        let Ok(mut stream) = Stream::open(stage.addresses[member], "/v3/watch", &body, LOOK) else {
            std::thread::sleep(LOOK);
            continue;
        };
        while !stage.is_ended() {
            match stream.next() {
                Ok(None) => {}
                Ok(Some(message)) => {
                    if !take(&mut watched, member, next, &message["result"]) {
                        break;
                    }
                    let last = watched.log.keys().next_back().copied().unwrap_or(0);
                    stage.watched[member].store(last, Ordering::Relaxed);
                }
                Err(_) => break,
            }
        }
    }
    watched
}

/// Takes a message in; whether the watch goes on.
fn take(watched: &mut Watched, member: usize, from: i64, message: &Value) -> bool {
    let name = member + 1;
    if message["canceled"] == true {
        watched.wrong.push(format!("the watch at n{name} from {from} was ended: {message}"));
        // It would be ended again at once.
        std::thread::sleep(Duration::from_secs(1));
        return false;
    }
    let mut changes: BTreeMap<i64, BTreeMap<String, Option<String>>> = BTreeMap::new();
    let mut last = watched.log.keys().next_back().copied().unwrap_or(0);
    let brought_before = last;
    for event in message["events"].as_array().into_iter().flatten() {
        let revision = number(&event["kv"]["mod_revision"]);
        let key = decoded(&event["kv"]["key"]).unwrap_or_default();
        let value = if event["type"] == "DELETE" { None } else { decoded(&event["kv"]["value"]) };
        if revision < last || revision <= brought_before {
            watched.wrong.push(format!("the watch at n{name} brought {revision} ({key}) after {last}"));
        }
        last = last.max(revision);
        if changes.entry(revision).or_default().insert(key.clone(), value).is_some() {
            watched.wrong.push(format!("the watch at n{name} brought {key} of {revision} twice"));
        }
    }
    watched.log.extend(changes);
    true
}
