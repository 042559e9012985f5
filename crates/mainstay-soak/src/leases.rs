//! Who keeps a lease alive for a while, leaves it alone, and looks what becomes of its key.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::ask::{Connection, Failed, encoded, number};
use crate::clients::Stage;
use crate::history::Moment;
use crate::luck::Luck;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a lease that nobody keeps alive may be there after all faults are over, besides its own length: an election, a
/// new leader that gives it its whole length once more, and a busy machine.
const LATE: Duration = Duration::from_secs(8);

/// The life of one lease, as its owner saw it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Life {
    pub(crate) key: String,
    /// In microseconds.
    pub(crate) ttl: Moment,
    /// When its key was there.
    pub(crate) there: Moment,
    /// Signs of life, each called, returned, and what was left of it by the answer, in seconds: none for one whose answer
    /// is unknown.
    pub(crate) kept: Vec<(Moment, Moment, Option<i64>)>,
    /// Looks at its key, each called, returned, and whether it was there.
    pub(crate) looked: Vec<(Moment, Moment, bool)>,
    /// It was still there when there was no reason for it any more.
    pub(crate) never_ended: bool,
}

struct Owner {
    stage: Arc<Stage>,
    luck: Luck,
    connection: Connection,
}

/// Owns one lease after the other until the run is ending, and sees the last one out.
pub(crate) fn own(stage: Arc<Stage>, number: usize) -> Vec<Life> {
    let luck = Luck::of(stage.seed, 2000 + number as u64);
    let connection = Connection::new(stage.addresses[number % stage.addresses.len()], PATIENCE);
    let mut owner = Owner { stage, luck, connection };
    let mut lives = Vec::new();
    for turn in 1.. {
        if owner.stage.is_ending() {
            break;
        }
        match owner.live(1 + (number * 1_000_000 + turn) as i64) {
            Some(life) => lives.push(life),
            None => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    lives
}

impl Owner {
    fn ask(&mut self, path: &str, body: &Value) -> Result<Value, Failed> {
        let answer = self.connection.ask(path, body);
        if answer.is_err() || self.luck.hits(10) {
            let address = *self.luck.pick(&self.stage.addresses.clone());
            self.connection = Connection::new(address, PATIENCE);
        }
        answer
    }

    fn live(&mut self, id: i64) -> Option<Life> {
        let granted = self.ask("/v3/lease/grant", &json!({ "ID": id.to_string(), "TTL": "1" })).ok()?;
        let ttl = number(&granted["TTL"]) as Moment * 1_000_000;
        let key = format!("lease/{id}");
        let put = json!({ "key": encoded(&key), "value": encoded("x"), "lease": id.to_string() });
        self.ask("/v3/kv/put", &put).ok()?;
        let mut life = Life { key, ttl, there: self.stage.now(), ..Life::default() };
        let kept_until = life.there + self.luck.below(5_000_000);
        // Some are nearly late with each sign of life.
        let every = *self.luck.pick(&[ttl / 4, ttl / 3, ttl * 9 / 10, ttl]);
        let mut next = life.there + every;
        while self.stage.now() < kept_until && !self.stage.is_ending() {
            if self.stage.now() >= next {
                next = self.stage.now() + every;
                if !self.keep(id, &mut life) {
                    break;
                }
            }
            self.look(&mut life);
            std::thread::sleep(Duration::from_millis(30));
        }
        self.see_out(id, &mut life);
        Some(life)
    }

    /// Gives a sign of life; whether the lease lives, as far as is known.
    fn keep(&mut self, id: i64, life: &mut Life) -> bool {
        let called = self.stage.now();
        let answer = self.ask("/v3/lease/keepalive", &json!({ "ID": id.to_string() }));
        let returned = self.stage.now();
        let left = match answer {
            Ok(answer) if answer["result"].is_object() => Some(number(&answer["result"]["TTL"])),
            _ => None,
        };
        life.kept.push((called, returned, left));
        left != Some(0)
    }

    /// Looks whether its key is there, if that can be known.
    fn look(&mut self, life: &mut Life) -> Option<bool> {
        let called = self.stage.now();
        let answer = self.ask("/v3/kv/range", &json!({ "key": encoded(&life.key) })).ok()?;
        let there = answer["kvs"].as_array().is_some_and(|kvs| !kvs.is_empty());
        life.looked.push((called, self.stage.now(), there));
        Some(there)
    }

    /// Waits until the key is gone, and then looks whether it stays so.
    fn see_out(&mut self, id: i64, life: &mut Life) {
        let mut ending = None;
        while self.look(life) != Some(false) {
            if self.stage.is_ending() {
                let ending = *ending.get_or_insert(self.stage.now());
                if self.stage.now() > ending + life.ttl + LATE.as_micros() as Moment {
                    life.never_ended = true;
                    return;
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        for _ in 0..3 {
            self.keep(id, life);
            self.look(life);
        }
    }
}
