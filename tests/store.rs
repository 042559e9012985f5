//! The consensus store as processes: what was acknowledged stays, whoever is killed.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::support::{Members, alone, eventually, mainstay, pass};

fn store(members: &Members, name: &str, arguments: &[&str]) -> (bool, String) {
    store_at(members.client(name), arguments)
}

fn store_at(at: SocketAddr, arguments: &[&str]) -> (bool, String) {
    let mut command = mainstay();
    command.args(["store", "--endpoints", &at.to_string()]).args(arguments);
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

/// The members as one of them lists them.
fn listed(members: &Members, through: &str) -> Option<Vec<Value>> {
    let (well, said) = store(members, through, &["member", "list", "--json"]);
    let told: Value = serde_json::from_str(&said).ok().filter(|_| well)?;
    told["members"].as_array().cloned()
}

#[test]
fn one_node_becomes_three_at_the_keyboard_and_one_of_them_goes() {
    let _stage = alone();
    let mut members = Members::of(1);
    members.put("n1", "a", "1").unwrap();
    for name in ["n2", "n3"] {
        let peer = members.place(name);
        let (well, said) = store(&members, "n1", &["member", "add", &peer.to_string()]);
        assert!(
            well && said.contains("it votes once it has caught up") && said.contains("join = [\"127.0.0.1:"),
            "{said}"
        );
        members.start(name);
        eventually("a member that votes", || {
            let all = listed(&members, name)?;
            all.iter().any(|member| member["name"] == name && member["learner"] == false).then_some(())
        });
    }
    assert!(store(&members, "n3", &["doctor"]).1.contains("all 3 members are well"));
    members.kill("n2");
    members.put("n3", "a", "2").unwrap();
    let (well, said) = store(&members, "n3", &["member", "remove", "n2"]);
    assert_eq!((well, said.as_str()), (true, "n2 is removed, for good: end its node, and remove its data\n"));
    let (well, said) = store(&members, "n3", &["member", "remove", "n2"]);
    assert!(!well && said.contains("there is no member n2: there are n1, n3"), "{said}");
    members.start("n2");
    eventually("a member that knows that it was removed", || {
        let (well, said) = store(&members, "n2", &["get", "a"]);
        (!well && said.contains("permanently removed from the cluster")).then_some(())
    });
    assert_eq!(members.get("n1", "a").unwrap().as_deref(), Some("2"));
}

#[test]
fn members_change_while_leaders_are_killed_and_nothing_acknowledged_is_lost() {
    let _stage = alone();
    let mut members = Members::of(3);
    let mut acknowledged = Vec::new();
    for round in 0..3_u32 {
        let (new, old) = (format!("n{}", 4 + round), format!("n{}", 1 + round));
        let peer = members.place(&new).to_string();
        let asked = members.leader();
        assert!(store(&members, &asked, &["member", "add", &peer]).0);
        members.start(&new);
        // Amid the promotion, wherever it is by then.
        pass(0.2 * f64::from(round));
        write(&members, &asked, round, "promoted", &mut acknowledged);
        members.kill(&asked);
        members.start(&asked);
        eventually("a member that votes", || {
            let all = listed(&members, &asked)?;
            all.iter().any(|member| member["name"] == *new && member["learner"] == false).then_some(())
        });
        // Amid the removal, or the handing over before it.
        let leader = members.leader();
        let stays = |name: &String| members.runs(name) && *name != old && *name != leader;
        let through = members.names().into_iter().find(stays).unwrap();
        let (at, gone) = (members.client(&through), old.clone());
        let removing = std::thread::spawn(move || store_at(at, &["member", "remove", &gone]));
        pass(0.02 + 0.02 * f64::from(round));
        members.kill(&leader);
        removing.join().unwrap();
        write(&members, &through, round, "removed", &mut acknowledged);
        if leader != old {
            members.start(&leader);
        }
        eventually("a member that is gone", || {
            let all = listed(&members, &through)?;
            if all.iter().all(|member| member["name"] != *old) {
                return Some(());
            }
            store(&members, &through, &["member", "remove", &old]);
            None
        });
        if members.runs(&old) {
            members.kill(&old);
        }
        write(&members, &through, round, "after", &mut acknowledged);
    }
    assert!(!acknowledged.is_empty());
    let left: Vec<_> = members.names().into_iter().filter(|name| members.runs(name)).collect();
    for name in &left {
        for key in &acknowledged {
            assert_eq!(members.get(name, key).unwrap().as_deref(), Some("v"), "{key} was acknowledged and is gone");
        }
    }
    let hashes: Vec<_> = left.iter().map(|name| members.hash(name).unwrap()).collect();
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

/// Writes a few keys, and notes those that were acknowledged.
fn write(members: &Members, through: &str, round: u32, when: &str, acknowledged: &mut Vec<String>) {
    for number in 0..20 {
        let key = format!("{round}/{when}/{number}");
        if members.put(through, &key, "v").is_ok() {
            acknowledged.push(key);
        }
    }
}

#[test]
fn a_leader_that_comes_back_in_its_own_term_reads_all_that_it_had_acknowledged() {
    let _stage = alone();
    let mut members = Members::of(3);
    for round in 0..5 {
        let leader = members.leader();
        let value = round.to_string();
        members.put(&leader, "a", &value).unwrap();
        let names = members.names();
        names.iter().for_each(|name| members.kill(name));
        members.start(&leader);
        let clients = members.clients();
        let found = std::thread::scope(|scope| {
            // It is answered as soon as another is there, which may be before the two have told each other anything else.
            let reads: Vec<_> = (0..8).map(|_| scope.spawn(|| clients.get(&leader, "a"))).collect();
            names.iter().filter(|name| **name != leader).for_each(|name| members.start(name));
            reads.into_iter().map(|read| read.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(found.iter().flatten().all(|found| *found == Some(value.clone())), "{found:?} after {value}");
    }
}
