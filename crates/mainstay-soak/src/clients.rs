//! Clients that read, write, compare, swap and delete, each one thing after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::ask::{Connection, Failed, decoded, encoded, number};
use crate::history::{Ask, Asked, Done, Moment, Said, Seen, Value};
use crate::luck::Luck;

/// Pairs of keys. A pair is judged by itself.
const PAIRS: u64 = 3;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// What all who take part in a run share.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) seed: u64,
    pub(crate) begun: Instant,
    /// Where clients reach the members.
    pub(crate) addresses: Vec<SocketAddr>,
    /// How often each member has begun a life.
    pub(crate) lives: Vec<AtomicU64>,
    /// How far the watch of each member has come.
    pub(crate) watched: Vec<AtomicI64>,
    /// Faults are over: no new questions.
    pub(crate) ending: AtomicBool,
    /// Nobody has anything more to see.
    pub(crate) ended: AtomicBool,
}

impl Stage {
    pub(crate) fn now(&self) -> Moment {
        self.begun.elapsed().as_micros() as Moment
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    stage: Arc<Stage>,
    number: usize,
    luck: Luck,
    member: usize,
    connection: Connection,
    drawn: u64,
    /// The last values that it saw, of each key, for what it expects.
    last: std::collections::HashMap<String, Value>,
}

impl Client {
    pub(crate) fn new(stage: Arc<Stage>, number: usize) -> Self {
        let member = number % stage.addresses.len();
        let connection = Connection::new(stage.addresses[member], PATIENCE);
        let luck = Luck::of(stage.seed, 1000 + number as u64);
        Self { stage, number, luck, member, connection, drawn: 0, last: std::collections::HashMap::new() }
    }

    /// Asks until the run is ending; all that it asked.
    pub(crate) fn run(mut self) -> Vec<Asked> {
        let mut history = Vec::new();
        while !self.stage.is_ending() {
            if self.luck.hits(5) {
                let member = self.luck.below(self.stage.addresses.len() as u64) as usize;
                self.turn_to(member);
            }
            let ask = self.draw();
            let asked = self.ask(ask);
            if matches!(asked.said, Said::Unknown(_) | Said::Refused(_)) {
                let next = (self.member + 1) % self.stage.addresses.len();
                self.turn_to(next);
                std::thread::sleep(Duration::from_millis(20));
            }
            history.push(asked);
            let pause = self.luck.millis(0, 30);
            std::thread::sleep(pause);
        }
        history
    }

    pub(crate) fn turn_to(&mut self, member: usize) {
        self.member = member;
        self.connection = Connection::new(self.stage.addresses[member], PATIENCE);
    }

    fn draw(&mut self) -> Ask {
        let pair = self.luck.below(PAIRS);
        let keys = [format!("r/{pair}a"), format!("r/{pair}b")];
        let key = self.luck.pick(&keys).clone();
        self.drawn += 1;
        let value = format!("{}-{}", self.number, self.drawn);
        match self.luck.below(100) {
            0..25 => Ask::Get { keys: vec![key], serializable: false },
            25..35 => Ask::Get { keys: keys.to_vec(), serializable: false },
            35..45 => Ask::Get { keys: vec![key], serializable: true },
            45..65 => Ask::Change { expected: None, changes: vec![(key, Some(value))] },
            65..72 => Ask::Change { expected: None, changes: vec![(key, None)] },
            72..87 => {
                let expected = self.last.get(&key).cloned().unwrap_or(None);
                Ask::Change { expected: Some((key.clone(), expected)), changes: vec![(key, Some(value))] }
            }
            _ => {
                let expected = self.luck.hits(50).then(|| (key.clone(), self.last.get(&key).cloned().flatten()));
                let [a, b] = keys;
                Ask::Change { expected, changes: vec![(a, Some(format!("{value}a"))), (b, Some(format!("{value}b")))] }
            }
        }
    }

    /// Asks the member that it has turned to.
    pub(crate) fn ask(&mut self, ask: Ask) -> Asked {
        let (path, body) = request(&ask);
        let lives = &self.stage.lives[self.member];
        let life = lives.load(Ordering::SeqCst);
        let called = self.stage.now();
        let answer = self.connection.ask(path, &body);
        let returned = self.stage.now();
        let said = match answer {
            Ok(answer) => Said::Done(done(&ask, &answer)),
            Err(Failed::Unknown(why)) => Said::Unknown(why),
            Err(Failed::Refused(why)) => Said::Refused(why),
        };
        if let Said::Done(done) = &said {
            let seen = done.seen.iter().map(|seen| (seen.key.clone(), seen.value.clone()));
            self.last.extend(seen);
            if let Ask::Change { changes, .. } = &ask
                && done.changed
            {
                self.last.extend(changes.iter().cloned());
            }
        }
        let life = (self.stage.lives[self.member].load(Ordering::SeqCst) == life).then_some(life);
        Asked { client: self.number, member: self.member, life, called, returned, ask, said }
    }
}

/// Lets the store forget what every watch has brought, from time to time.
pub(crate) fn compact(stage: &Stage) {
    let mut member = 0;
    let mut next = stage.now();
    while !stage.is_ending() {
        std::thread::sleep(Duration::from_millis(100));
        if stage.now() < next {
            continue;
        }
        next = stage.now() + 1_500_000;
        member = (member + 1) % stage.addresses.len();
        let seen = stage.watched.iter().map(|at| at.load(Ordering::Relaxed)).min().unwrap_or(0);
        if seen > 20 {
            let body = json!({ "revision": (seen - 20).to_string() });
            _ = Connection::new(stage.addresses[member], PATIENCE).ask("/v3/kv/compaction", &body);
        }
    }
}

/// A question as the API takes it: the plainest call that says it.
fn request(ask: &Ask) -> (&'static str, Json) {
    let range = |key: &String| json!({ "key": encoded(key) });
    let ranges = |keys: &mut dyn Iterator<Item = &String>| -> Vec<Json> {
        keys.map(|key| json!({ "request_range": range(key) })).collect()
    };
    match ask {
        Ask::Get { keys, serializable } => match &keys[..] {
            [key] => ("/v3/kv/range", json!({ "key": encoded(key), "serializable": serializable })),
            keys => ("/v3/kv/txn", json!({ "success": ranges(&mut keys.iter()) })),
        },
        Ask::Change { expected: None, changes } if changes.len() == 1 => match &changes[0] {
            (key, Some(value)) => ("/v3/kv/put", json!({ "key": encoded(key), "value": encoded(value) })),
            (key, None) => ("/v3/kv/deleterange", range(key)),
        },
        Ask::Change { expected, changes } => {
            let compare = expected.iter().map(|(key, value)| match value {
                Some(value) => {
                    json!({ "key": encoded(key), "target": "VALUE", "result": "EQUAL", "value": encoded(value) })
                }
                None => json!({ "key": encoded(key), "target": "VERSION", "result": "EQUAL", "version": "0" }),
            });
            let puts = changes.iter().map(|(key, value)| {
                json!({ "request_put": { "key": encoded(key), "value": encoded(value.as_deref().unwrap_or_default()) } })
            });
            let body = json!({
                "compare": compare.collect::<Vec<_>>(),
                "success": puts.collect::<Vec<_>>(),
                "failure": ranges(&mut changes.iter().map(|(key, _)| key)),
            });
            ("/v3/kv/txn", body)
        }
    }
}

/// What an answer says.
fn done(ask: &Ask, answer: &Json) -> Done {
    let revision = number(&answer["header"]["revision"]);
    let responses = || answer["responses"].as_array().into_iter().flatten().map(|response| &response["response_range"]);
    let all = |keys: &mut dyn Iterator<Item = &String>| {
        keys.zip(responses()).map(|(key, range)| seen(key, range)).collect::<Vec<_>>()
    };
    match ask {
        Ask::Get { keys, .. } if keys.len() == 1 => {
            Done { revision, changed: false, seen: vec![seen(&keys[0], answer)] }
        }
        Ask::Get { keys, .. } => Done { revision, changed: false, seen: all(&mut keys.iter()) },
        Ask::Change { expected: None, changes } if changes.len() == 1 => {
            let (key, value) = &changes[0];
            let changed = value.is_some() || number(&answer["deleted"]) > 0;
            let nothing = || Seen { key: key.clone(), value: None, modified: 0 };
            Done { revision, changed, seen: if changed { vec![] } else { vec![nothing()] } }
        }
        Ask::Change { changes, .. } => {
            let changed = answer["succeeded"] == true;
            let seen = if changed { vec![] } else { all(&mut changes.iter().map(|(key, _)| key)) };
            Done { revision, changed, seen }
        }
    }
}

/// A key as a range has it.
pub(crate) fn seen(key: &str, range: &Json) -> Seen {
    let kv = &range["kvs"][0];
    Seen { key: key.to_owned(), value: decoded(&kv["value"]), modified: number(&kv["mod_revision"]) }
}
