//! Nodes that hold the consensus store together, as processes.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Process, eventually, free_addresses, http, mainstay};

/// Members of one store, each of which can be killed and started again.
#[derive(Debug)]
pub(crate) struct Members {
    dir: TempDir,
    /// Those that the store began with.
    first: Vec<String>,
    addresses: BTreeMap<String, [SocketAddr; 3]>,
    running: BTreeMap<String, Process>,
}

impl Members {
    /// So many, all started, with a leader.
    pub(crate) fn of(count: usize) -> Self {
        let free = free_addresses(3 * count);
        let (free, _) = free.as_chunks::<3>();
        let addresses: BTreeMap<_, _> = free.iter().zip(1..).map(|(free, at)| (format!("n{at}"), *free)).collect();
        let first = addresses.keys().cloned().collect();
        let mut members = Self { dir: TempDir::new().unwrap(), first, addresses, running: BTreeMap::new() };
        for name in members.names() {
            members.start(&name);
        }
        members.leader();
        members
    }

    pub(crate) fn runs(&self, name: &str) -> bool {
        self.running.contains_key(name)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.addresses.keys().cloned().collect()
    }

    /// A place for one that is to come; where the others will reach it.
    pub(crate) fn place(&mut self, name: &str) -> SocketAddr {
        let free: [SocketAddr; 3] = free_addresses(3).try_into().unwrap();
        self.addresses.insert(name.to_owned(), free);
        free[2]
    }

    /// What a member's configuration says of the others.
    fn others(&self, name: &str) -> String {
        let peer = |name: &String| self.addresses[name][2];
        if !self.first.iter().any(|first| first == name) {
            let running: Vec<_> = self.running.keys().map(|name| format!("\"{}\"", peer(name))).collect();
            return format!("join = [{}]\n", running.join(", "));
        }
        let all: Vec<_> = self.first.iter().map(|name| format!("{name} = \"{}\"", peer(name))).collect();
        if all.len() > 1 { format!("members = {{ {} }}\n", all.join(", ")) } else { String::new() }
    }

    /// Starts one; it comes back to its data.
    pub(crate) fn start(&mut self, name: &str) {
        let [admin, client, peer] = self.addresses[name];
        let others = self.others(name);
        let text = format!(
            "[node]\nname = \"{name}\"\ndata_dir = \"{}\"\n\n[admin]\naddress = \"{admin}\"\n\n[store]\nclient = \
             \"{client}\"\npeer = \"{peer}\"\n{others}",
            self.dir.path().join(name).display()
        );
        let file = self.dir.path().join(format!("{name}.toml"));
        std::fs::write(&file, text).unwrap();
        let mut command = mainstay();
        command.arg("run").arg(&file).args(["--with-parent", &std::process::id().to_string()]);
        let log = self.dir.path().join(format!("{name}.log"));
        let mut process = Process::start(&mut command, &log);
        eventually("a member that answers", || {
            if let Some(status) = process.ended() {
                panic!("{name} ended with {status}: {}", std::fs::read_to_string(&log).unwrap());
            }
            http::ask(client, "GET", "/version", "").ok()
        });
        self.running.insert(name.to_owned(), process);
    }

    /// Ends one as a power cut would.
    pub(crate) fn kill(&mut self, name: &str) {
        self.running.remove(name).unwrap().kill();
    }

    /// Stops one in good order.
    pub(crate) fn stop(&mut self, name: &str) {
        let mut process = self.running.remove(name).unwrap();
        process.signal(Signal::TERM);
        assert!(process.end().success());
    }

    /// Where clients reach one.
    pub(crate) fn client(&self, name: &str) -> SocketAddr {
        self.addresses[name][1]
    }

    /// Those who ask, also while members come and go.
    pub(crate) fn clients(&self) -> Clients {
        Clients(self.addresses.iter().map(|(name, [_, client, _])| (name.clone(), *client)).collect())
    }

    /// The name of the one that leads, once those that run agree.
    pub(crate) fn leader(&self) -> String {
        let clients = self.clients();
        eventually("a leader whom all follow", || {
            let follows = |name: &String| {
                let status = clients.ask(name, "/v3/maintenance/status", &json!({})).ok()?;
                Some((status["leader"].as_str()?.to_owned(), status["header"]["member_id"].as_str()?.to_owned()))
            };
            let said: Option<Vec<_>> = self.running.keys().map(follows).collect();
            let said = said?;
            let leader = &said.first()?.0;
            let all = said.iter().all(|(follows, _)| follows == leader);
            let at = said.iter().position(|(_, id)| id == leader).filter(|_| all)?;
            self.running.keys().nth(at).cloned()
        })
    }

    /// Sets a key; its revision.
    pub(crate) fn put(&self, name: &str, key: &str, value: &str) -> Result<i64, String> {
        self.clients().put(name, key, value)
    }

    /// Reads a key, linearizably.
    pub(crate) fn get(&self, name: &str, key: &str) -> Result<Option<String>, String> {
        self.clients().get(name, key)
    }

    /// A checksum of all that a member has.
    pub(crate) fn hash(&self, name: &str) -> Result<Value, String> {
        let answer = self.clients().ask(name, "/v3/maintenance/hash", &json!({}))?;
        Ok(answer["hash"].clone())
    }
}

/// Who asks members over JSON.
#[derive(Debug, Clone)]
pub(crate) struct Clients(BTreeMap<String, SocketAddr>);

impl Clients {
    /// Asks a member over JSON.
    pub(crate) fn ask(&self, name: &str, path: &str, body: &Value) -> Result<Value, String> {
        let answer = http::ask(self.0[name], "POST", path, &body.to_string()).map_err(|error| error.to_string())?;
        if answer.status == 200 { Ok(answer.json()) } else { Err(answer.body) }
    }

    /// Sets a key; its revision.
    pub(crate) fn put(&self, name: &str, key: &str, value: &str) -> Result<i64, String> {
        let (key, value) = (BASE64_STANDARD.encode(key), BASE64_STANDARD.encode(value));
        let answer = self.ask(name, "/v3/kv/put", &json!({ "key": key, "value": value }))?;
        Ok(answer["header"]["revision"].as_str().unwrap().parse().unwrap())
    }

    /// Reads a key, linearizably.
    pub(crate) fn get(&self, name: &str, key: &str) -> Result<Option<String>, String> {
        let answer = self.ask(name, "/v3/kv/range", &json!({ "key": BASE64_STANDARD.encode(key) }))?;
        let Some(value) = answer["kvs"][0]["value"].as_str() else { return Ok(None) };
        Ok(Some(String::from_utf8(BASE64_STANDARD.decode(value).unwrap()).unwrap()))
    }
}
