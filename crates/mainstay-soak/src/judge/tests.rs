use super::*;

fn asked(called: Moment, returned: Moment, ask: Ask, said: Said) -> Asked {
    Asked { client: 0, member: 0, life: Some(0), called, returned, ask, said }
}

fn put(called: Moment, returned: Moment, value: &str, said: Said) -> Asked {
    asked(called, returned, Ask::Change { expected: None, changes: vec![("k".into(), Some(value.into()))] }, said)
}

fn get(called: Moment, returned: Moment, serializable: bool, revision: i64, value: &str, modified: i64) -> Asked {
    let seen = vec![Seen { key: "k".into(), value: Some(value.into()), modified }];
    let said = Said::Done(Done { revision, changed: false, seen });
    asked(called, returned, Ask::Get { keys: vec!["k".into()], serializable }, said)
}

fn done(revision: i64) -> Said {
    Said::Done(Done { revision, changed: true, seen: vec![] })
}

fn unknown() -> Said {
    Said::Unknown("no answer".into())
}

fn brought(changes: &[(i64, &str)]) -> Watched {
    let change = |(revision, value): &(i64, &str)| (*revision, BTreeMap::from([("k".into(), Some((*value).into()))]));
    Watched { log: changes.iter().map(change).collect(), wrong: vec![] }
}

fn verdict(asked: Vec<Asked>, watched: Vec<Watched>) -> String {
    judge(&Evidence { asked, watched, ..Evidence::default() }).to_string()
}

#[test]
fn what_is_as_promised_is_good() {
    let asked = vec![
        put(0, 10, "a", done(2)),
        put(20, 30, "b", unknown()),
        put(20, 30, "c", unknown()),
        get(40, 50, true, 2, "a", 2),
        get(60, 70, false, 3, "b", 3),
    ];
    let watched = brought(&[(2, "a"), (3, "b")]);
    assert_eq!(verdict(asked, vec![watched.clone(), watched]), "good");
}

#[test]
fn a_write_that_was_acknowledged_and_is_nowhere_is_found() {
    let said = verdict(vec![put(0, 10, "a", done(2))], vec![brought(&[])]);
    assert!(said.contains("acknowledged at 2 and nowhere"), "{said}");
}

#[test]
fn a_write_that_was_refused_and_happened_is_found() {
    let refused = put(0, 10, "a", Said::Refused("etcdserver: no leader".into()));
    let said = verdict(vec![refused], vec![brought(&[(2, "a")])]);
    assert!(said.contains("was answered that it did not"), "{said}");
}

#[test]
fn a_write_that_was_carried_out_twice_is_found() {
    let said = verdict(vec![put(0, 10, "a", unknown())], vec![brought(&[(2, "a"), (3, "a")])]);
    assert!(said.contains("came about 2 times"), "{said}");
}

#[test]
fn a_read_of_the_past_is_found_with_revisions_and_without() {
    let asked = vec![put(0, 10, "a", done(2)), put(20, 30, "b", done(3)), get(40, 50, false, 2, "a", 2)];
    let said = verdict(asked, vec![brought(&[(2, "a"), (3, "b")])]);
    assert!(said.contains("2 after 3 had been answered") && said.contains("not linearizable"), "{said}");
}

#[test]
fn a_member_that_goes_back_is_found_and_another_life_of_it_may() {
    let mut asked = vec![
        put(0, 10, "a", done(2)),
        put(20, 30, "b", done(3)),
        get(40, 50, true, 3, "b", 3),
        get(60, 70, true, 2, "a", 2),
    ];
    let watched = brought(&[(2, "a"), (3, "b")]);
    let said = verdict(asked.clone(), vec![watched.clone()]);
    assert!(said.contains("2 after 3 had been answered"), "{said}");
    asked[3].life = Some(1);
    assert_eq!(verdict(asked, vec![watched]), "good");
}

#[test]
fn an_event_that_one_watch_left_out_is_found() {
    let asked = vec![put(0, 10, "a", done(2)), put(20, 30, "b", done(3))];
    let said = verdict(asked, vec![brought(&[(2, "a"), (3, "b")]), brought(&[(3, "b")])]);
    assert!(said.contains("the watch at n2 never brought 2"), "{said}");
}

#[test]
fn a_lease_that_ends_too_early_or_comes_back_is_found() {
    let life = Life { key: "lease/1".into(), ttl: 1000, kept: vec![(100, 110, Some(1))], ..Life::default() };
    let check = |looked: &[(Moment, Moment, bool)], kept: &[(Moment, Moment, Option<i64>)]| {
        let kept = [&life.kept, kept].concat();
        lease(&Life { looked: looked.to_vec(), kept, ..life.clone() }).join("; ")
    };
    assert_eq!(check(&[(200, 210, true), (1200, 1210, false), (1300, 1310, false)], &[]), "");
    assert!(check(&[(200, 210, false)], &[]).contains("within its length of a sign of life"));
    assert!(check(&[(1200, 1210, false), (1300, 1310, true)], &[]).contains("is there again"));
    assert!(check(&[(1200, 1210, false)], &[(1300, 1310, Some(1))]).contains("lives at 1300"));
}
