use super::*;

fn members(count: usize) -> Vec<Member> {
    let member = |index| Member {
        name: format!("shop/{index}"),
        service: "shop".to_owned(),
        zone: if index % 2 == 0 { "a" } else { "b" }.to_owned(),
        has_switch: true,
        can_start: true,
        has_process: true,
        has_way: true,
    };
    (0..count).map(member).collect()
}

fn scenario(faults: &str) -> Scenario {
    let text = format!("name = \"t\"\n[workload]\nservice = \"shop\"\nrate = \"100/s\"\n{faults}");
    mainstay_config::load_scenario("t.toml", &text).unwrap_or_else(|problems| panic!("{}", problems.render(false)))
}

fn fault(line: &str) -> String {
    format!("[[fault]]\n{}\n", line.replace("; ", "\n"))
}

/// The spells of these faults at four members, a line each, or why they are refused.
fn check(faults: &[&str], members: &[Member], most: u8) -> Result<Vec<String>, Vec<String>> {
    let text: String = faults.iter().map(|line| fault(line)).collect();
    let spells = spells(&scenario(&text), members, Ratio::percent(most))?;
    let line = |spell: &Spell| {
        let word = match &spell.deed {
            Deed::Told(fault) => fault["kind"].as_str().unwrap_or("?").to_owned(),
            Deed::Hooked(fault) => format!("hook {}", fault["kind"].as_str().unwrap_or("?")),
            other => format!("{other:?}"),
        };
        format!("{} {} to {}: {word}", members[spell.member].name, spell.from, spell.to)
    };
    Ok(spells.iter().map(line).collect())
}

#[test]
fn faults_strike_whom_and_when_they_say() {
    let two = [
        "kind = \"hang\"; at = \"10s\"; for = \"5s\"; target = \"shop/1\"",
        "kind = \"crash\"; at = \"2s\"; for = \"1s\"; target = \"shop/0\"",
    ];
    assert_eq!(check(&two, &members(4), 50).unwrap(), ["shop/0 2s to 3s: Down", "shop/1 10s to 15s: Still"]);
    let zone = ["kind = \"zone\"; at = \"1s\"; for = \"1s\"; target = \"zone:b\""];
    assert_eq!(check(&zone, &members(4), 50).unwrap(), ["shop/1 1s to 2s: Down", "shop/3 1s to 2s: Down"]);
    let flap = ["kind = \"flap\"; at = \"1s\"; for = \"2s\"; target = \"shop/0\""];
    assert_eq!(check(&flap, &members(4), 50).unwrap(), ["shop/0 1s to 1500ms: Down", "shop/0 2s to 2500ms: Down"]);
}

#[test]
fn who_is_meant_and_not_there_is_named() {
    let why = |target: &str| {
        let fault = format!("kind = \"crash\"; at = \"1s\"; for = \"1s\"; target = \"{target}\"");
        check(&[&fault], &members(4), 50).unwrap_err().join("; ")
    };
    assert!(why("shop/4").ends_with("shop has 4 instances, counted from 0, and so no shop/4"), "{}", why("shop/4"));
    assert!(why("stock").ends_with("no instance of a service \"stock\""), "{}", why("stock"));
    assert!(why("zone:c").ends_with("no instance stands in the zone \"c\""), "{}", why("zone:c"));
}

#[test]
fn what_would_fill_the_machine_is_refused() {
    assert!(check(&[], &members(201), 50).unwrap_err()[0].contains("201 instances"));
    let flap = ["kind = \"flap\"; at = \"1s\"; for = \"2s\"; target = \"shop/0\"; period = \"1us\""];
    assert_eq!(
        check(&flap, &members(4), 50).unwrap_err(),
        ["line 5: a crash every 1us comes to 2000000: 1000 of a fault at most"]
    );
    let surge = ["kind = \"surge\"; at = \"0s\"; for = \"60s\"; factor = 1000"; 2];
    assert!(check(&surge, &members(4), 50).unwrap_err()[0].contains("more than a drill makes"));
    let mut rushed = scenario("");
    let Load::Open { steps, .. } = &mut rushed.workloads[0].load else { panic!("it has a rate") };
    steps[0].rate = Some("1000000/s".parse().unwrap());
    assert!(too_much(&rushed, &members(4))[0].starts_with("about 60000000 calls"));
}

#[test]
fn random_victims_follow_from_the_seed() {
    let text = fault("kind = \"hang\"; at = \"1s\"; for = \"1s\"; share = \"25%\"; victims = \"random\"");
    let of = |seed| {
        let scenario = Scenario { seed, ..scenario(&text) };
        let spells = spells(&scenario, &members(8), Ratio::percent(50)).unwrap();
        spells.iter().map(|spell| spell.member).collect::<Vec<_>>()
    };
    assert_eq!(of(1), of(1));
    assert_eq!(of(1).len(), 2);
    assert!((2..10).any(|seed| of(seed) != of(1)));
}

#[test]
fn more_than_the_blast_radius_is_refused_and_one_of_one_is_not() {
    let all = ["kind = \"hang\"; at = \"1s\"; for = \"1s\"; target = \"shop\""];
    let refused = check(&all, &members(4), 50).unwrap_err();
    assert_eq!(
        refused,
        ["line 5: \"hang\" would strike 4 of 4 instances of shop at once, and guard.max_victims is 50%"]
    );
    assert_eq!(check(&all, &members(4), 100).unwrap().len(), 4);
    assert_eq!(check(&all, &members(1), 50).unwrap().len(), 1);
}

#[test]
fn what_the_network_can_do_it_does_unless_a_proxy_is_needed() {
    let faults = |kinds: &[&str]| {
        let line = |(at, kind): (usize, &&str)| {
            fault(&format!("kind = \"{kind}\"; at = \"{at}s\"; for = \"1s\"; target = \"shop/0\""))
        };
        kinds.iter().enumerate().map(line).collect::<String>()
    };
    let wanted = |kinds: &[&str], members: &[Member]| {
        let spells = spells(&scenario(&faults(kinds)), members, Ratio::percent(50)).unwrap();
        let wanted: Vec<_> = (0..members.len()).map(|at| super::wanted(&spells, members, at)).collect();
        (wanted[0], stand_ins(&spells, members, &wanted).is_some())
    };
    let own: Vec<Member> = members(2).into_iter().map(|member| Member { has_switch: false, ..member }).collect();
    assert_eq!(wanted(&["crash"], &members(2)), (Wanted::Nothing, false));
    assert_eq!(wanted(&["delay"], &members(2)), (Wanted::Proxy, false));
    assert_eq!(wanted(&["partition", "loss"], &members(2)), (Wanted::Link, false));
    assert_eq!(wanted(&["partition", "delay"], &members(2)), (Wanted::Proxy, true));
    assert_eq!(wanted(&["partition"], &own), (Wanted::Proxy, true));
}

#[test]
fn two_faults_of_one_instance_at_once_are_refused_unless_one_is_of_its_way() {
    let hang = "kind = \"hang\"; at = \"1s\"; for = \"3s\"; target = \"shop/0\"";
    let crash = "kind = \"crash\"; at = \"2s\"; for = \"3s\"; target = \"shop/0\"";
    let delay = "kind = \"delay\"; at = \"2s\"; for = \"3s\"; target = \"shop/0\"; delay = \"50ms\"";
    assert!(check(&[hang, crash], &members(4), 50).unwrap_err()[0].contains("strike shop/0 at the same time"));
    assert_eq!(check(&[hang, delay], &members(4), 50).unwrap().len(), 2);
}

#[test]
fn what_cannot_be_played_is_refused_with_its_line_all_at_once() {
    let faults = [
        "kind = \"cold\"; at = \"1s\"; for = \"1s\"; target = \"shop/0\"",
        "kind = \"disk_full\"; at = \"1s\"; for = \"1s\"; target = \"shop/1\"",
    ];
    let refused = check(&faults, &members(4), 50).unwrap_err();
    assert_eq!(refused.len(), 2);
    assert!(refused[0].starts_with("line 5: a fault of kind \"cold\" cannot be played"), "{refused:?}");
}

#[test]
fn what_an_instance_cannot_be_told_the_gateway_or_a_proxy_plays_in_its_place() {
    let plain = |has_way| {
        let plain = |member| Member { has_switch: false, has_way, ..member };
        members(4).into_iter().map(plain).collect::<Vec<_>>()
    };
    let errors = ["kind = \"errors\"; at = \"1s\"; for = \"1s\"; target = \"shop/0\""];
    assert_eq!(check(&errors, &plain(false), 50).unwrap(), ["shop/0 1s to 2s: hook abort"]);
    let stall = ["kind = \"stall\"; at = \"1s\"; for = \"1s\"; target = \"shop/0\""];
    assert_eq!(check(&stall, &plain(true), 50).unwrap(), ["shop/0 1s to 2s: Way(Stall)"]);
    assert!(check(&stall, &plain(false), 50).unwrap_err()[0].contains("needs an instance that can be told"));
    let partition = ["kind = \"partition\"; at = \"1s\"; for = \"1s\"; target = \"shop/0\""];
    assert!(check(&partition, &plain(false), 50).unwrap_err()[0].contains("let the drill start the gateway"));
}
