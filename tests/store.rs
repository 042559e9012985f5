//! The consensus store as processes: what was acknowledged stays, whoever is killed.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Members, alone, mainstay, pass};

fn store(members: &Members, name: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = mainstay();
    command.args(["store", "--endpoints", &members.client(name).to_string()]).args(arguments);
    let output = command.output().unwrap();
    let said = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn one_node_is_a_store_at_the_keyboard_and_remembers_after_a_power_cut() {
    let _stage = alone();
    let mut members = Members::of(1);
    assert_eq!(store(&members, "n1", &["put", "greeting", "hello"]), (true, "revision 2\n".to_owned()));
    assert_eq!(store(&members, "n1", &["get", "greeting"]), (true, "greeting\nhello\n".to_owned()));
    assert!(store(&members, "n1", &["doctor"]).1.contains("all 1 members are well"));
    members.kill("n1");
    let (well, said) = store(&members, "n1", &["get", "greeting"]);
    assert!(!well && said.contains("is `mainstay run` with a [store] running there?"), "{said}");
    members.start("n1");
    members.leader();
    assert_eq!(store(&members, "n1", &["get", "greeting"]).1, "greeting\nhello\n");
    assert_eq!(store(&members, "n1", &["delete", "greeting"]).1, "1 deleted\n");
    assert!(!store(&members, "n1", &["get", "greeting"]).0, "there is none");
}

#[test]
fn no_acknowledged_write_is_lost_when_leaders_are_killed_under_load() {
    let _stage = alone();
    let mut members = Members::of(3);
    let mut acknowledged = Vec::new();
    for round in 0..4 {
        let leader = members.leader();
        let asked = members.names().into_iter().find(|name| *name != leader).unwrap();
        let ended = AtomicBool::new(false);
        let written = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8)
                .map(|writer| {
                    let (members, asked, ended) = (members.clients(), &asked, &ended);
                    scope.spawn(move || {
                        let mut written = Vec::new();
                        for number in 0.. {
                            if ended.load(Ordering::Relaxed) {
                                break;
                            }
                            let key = format!("{round}/{writer}/{number}");
                            // What was not acknowledged may be there or not.
                            if members.put(asked, &key, "v").is_ok() {
                                written.push(key);
                            }
                        }
                        written
                    })
                })
                .collect();
            pass(0.7);
            members.kill(&leader);
            pass(1.5);
            ended.store(true, Ordering::Relaxed);
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
        });
        acknowledged.extend(written);
        members.put(&asked, "after", &round.to_string()).unwrap();
        members.start(&leader);
    }
    members.leader();
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    for key in &acknowledged {
        assert_eq!(members.get("n1", key).unwrap().as_deref(), Some("v"), "{key} was acknowledged and is gone");
    }
    let hashes: Vec<_> = members
        .names()
        .iter()
        .map(|name| {
            members.get(name, "after").unwrap();
            members.hash(name).unwrap()
        })
        .collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

#[test]
fn a_planned_stop_of_the_leader_costs_no_write() {
    let _stage = alone();
    let mut members = Members::of(3);
    let leader = members.leader();
    let asked = members.names().into_iter().find(|name| *name != leader).unwrap();
    let clients = members.clients();
    let ended = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0;
            while !ended.load(Ordering::Relaxed) {
                clients.put(&asked, "k", "v").unwrap();
                written += 1;
            }
            written
        });
        members.stop(&leader);
        ended.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    assert!(written > 0);
    assert_ne!(members.leader(), leader);
}
