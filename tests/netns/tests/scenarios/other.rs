//! Families of addresses, and limits that cost money.

use std::time::Duration;

use lamplighter_interop::scratch;
use lamplighter_netns::{
    cloud::SERVER,
    figures,
    peer::Peer,
    scene::{Family, Scene, Setup},
    service::NAME,
    site::{Site, Uplink},
    wait::{SOON, now, pass, until},
};
use serde_json::json;

use super::{TOLD, link::settled};

/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(30);

/// The cable knows IPv4 only, the phone IPv6 only; so does the server.
#[test]
fn a_server_is_reached_by_the_bearer_that_has_its_family() {
    let mut site = Site::new();
    site.v4_only(Uplink::Eth);
    site.v6_only(Uplink::Usb);
    let setup = Setup {
        family: Family::V6,
        ..Setup::new("v6-only")
    };
    let mut scene = setup.start_at(site, |_, _| ());
    scene.uses(Uplink::Usb, SOON);
    scene.shows(
        Uplink::Eth,
        "disconnected",
        &["no-address", "timeout", "refused"],
        SOON,
    );
    scene.connected(Uplink::Wwan);
    let mark = scene.mark();
    scene.site.link_down(Uplink::Usb);
    scene.recovered("next number", mark, TOLD);
    scene.uses(Uplink::Wwan, TOLD);
    assert_eq!(scene.agreed_since(mark), 0);
    scene.complete();
}

#[test]
fn a_cap_is_reached() {
    let setup = Setup {
        tables: "[bearer.eth.cap]\nday = \"1MiB\"\nat_cap = \"block\"\n".to_owned(),
        ..Setup::new("cap-reached")
    };
    let mut scene = setup.start();
    settled(&scene);
    scene.forget_events();
    let mark = scene.mark();
    // Somebody else on the same box.
    let server = format!("{SERVER}:9");
    let mut filler = Peer::start(&scene.site.gateway, &["fill", "eth0", &server]);
    assert_eq!(filler.ask("1048576"), "sent");
    let used = scene.site.counted(Uplink::Eth).up_bytes;
    assert!(used > 1_000_000, "{used} bytes went out");
    // Counters are looked at every minute.
    scene.moved(Uplink::Usb, "Update answered", mark, SOON * 3);
    scene.shows(Uplink::Eth, "disconnected", &["cap-reached"], TOLD);
    scene.uses(Uplink::Usb, TOLD);
    scene.recovered("next number", mark, TOLD);
    assert_eq!(scene.agreed_since(mark), 0);
    scene.complete();
}

/// It blocks also where nothing else works: what is measured is stored.
#[test]
fn a_cap_of_the_only_bearer_silences_the_box() {
    let setup = Setup {
        uplinks: vec![Uplink::Eth],
        tables: "[bearer.eth.cap]\nday = \"1MiB\"\nat_cap = \"block\"\n".to_owned(),
        ..Setup::new("cap-alone")
    };
    let scene = setup.start();
    let server = format!("{SERVER}:9");
    let mut filler = Peer::start(&scene.site.gateway, &["fill", "eth0", &server]);
    assert_eq!(filler.ask("1048576"), "sent");
    scene.shows(Uplink::Eth, "disconnected", &["cap-reached"], SOON * 3);
    stays_silent(&scene);
}

/// Where nothing else works, a cap may leave room for what is urgent: the server reads and the box
/// updates its registration, and what is measured waits.
#[test]
fn a_cap_of_the_only_bearer_leaves_room_for_what_is_urgent() {
    let setup = Setup {
        uplinks: vec![Uplink::Eth],
        tables: "[bearer.eth.cap]\nday = \"1MiB\"\nat_cap = \"urgent\"\n".to_owned(),
        ..Setup::new("cap-urgent")
    };
    let mut scene = setup.start();
    let server = format!("{SERVER}:9");
    let mut filler = Peer::start(&scene.site.gateway, &["fill", "eth0", &server]);
    assert_eq!(filler.ask("1048576"), "sent");
    scene.listed(Uplink::Eth, SOON * 3, |bearer| {
        bearer["urgent_only"] == true
    });
    let from = scene.numbers().last();
    scene.refresh();
    let is_done = || (scene.numbers().last() >= from + 20).then_some(());
    until("twenty numbers", SOON, is_done);
    let ask = json!({"do": "read", "path": "/3/0/0"});
    let read = scene.leshan.ask(scene.name(), ask);
    assert_eq!(read["code"], 205, "{read}");
    let queued = scene.agent.json(&["server", "list"])[0]["queued"].clone();
    assert!(queued.as_u64() >= Some(20), "{queued}");
    assert!(scene.newest() <= from, "nothing of it has left");
}

/// Offline is asked for while no bearer works, and ends when that is asked for.
#[test]
fn who_is_offline_says_nothing_when_a_bearer_comes_back() {
    let setup = Setup {
        uplinks: vec![Uplink::Eth],
        ..Setup::new("offline")
    };
    let mut scene = setup.start();
    scene.site.carrier_lost(Uplink::Eth);
    scene.shows(Uplink::Eth, "disconnected", &["no-link"], SOON);
    assert!(scene.agent.cli(&["offline"]).status.success());
    scene.site.carrier_back(Uplink::Eth);
    stays_silent(&scene);
    let mark = scene.mark();
    assert!(scene.agent.cli(&["online"]).status.success());
    scene.recovered("next number", mark, SOON);
    scene.complete();
}

/// While ten numbers are measured nothing of them leaves.
fn stays_silent(scene: &Scene) {
    let ten_more = || {
        let from = scene.numbers().last();
        let is_done = || (scene.numbers().last() >= from + 10).then_some(());
        until("ten numbers", SOON, is_done);
    };
    // What was on its way may arrive.
    ten_more();
    let before = scene.site.counted(Uplink::Eth).up_bytes;
    ten_more();
    assert_eq!(scene.site.counted(Uplink::Eth).up_bytes, before);
}

/// The name server of the cable says nothing, that of the phone answers.
#[test]
fn a_name_server_is_silent() {
    let mut site = Site::new();
    let answers = site.name_server(Uplink::Usb, &[SERVER]);
    // Nobody listens there, and nobody says so.
    let silent = "192.168.10.200";
    let setup = Setup {
        uplinks: vec![Uplink::Eth, Uplink::Usb],
        host: Some(NAME),
        lines: vec![
            (Uplink::Eth, name_server(silent)),
            (Uplink::Usb, name_server(&answers)),
        ],
        ..Setup::new("dns-silent")
    };
    let scene = setup.start_at(site, |_, _| ());
    scene.uses(Uplink::Usb, SOON);
    scene.shows(Uplink::Eth, "disconnected", &["dns"], SOON);
    scene.complete();
}

fn name_server(address: &str) -> String {
    format!("dns = [\"{address}\"]")
}

/// The cable has both families, the modem IPv6 only, and a server that has IPv4 only is reached
/// through the translator of its network.
#[test]
fn a_server_without_ipv6_is_reached_through_a_translator() {
    let mut site = Site::new();
    let wwan = Uplink::Wwan;
    site.v6_only(wwan);
    site.nat64(wwan, &scratch("netns-nat64-files"));
    let there = site.name_server(wwan, &[]);
    let setup = Setup {
        uplinks: vec![Uplink::Eth, wwan],
        lines: vec![(wwan, name_server(&there))],
        ..Setup::new("nat64")
    };
    let mut scene = setup.start_at(site, |_, _| ());
    scene.uses(Uplink::Eth, SOON);
    scene.connected(wwan);
    let mark = scene.mark();
    scene.site.link_down(Uplink::Eth);
    scene.moved(wwan, "Update answered", mark, TOLD);
    scene.recovered("next number", mark, TOLD);
    assert_eq!(scene.agreed_since(mark), 0);
    scene.complete();
}

/// What three bearers cost while nothing happens, with the pauses that they have where nothing is
/// configured.
#[test]
fn an_idle_box_says_and_does_little() {
    let setup = Setup {
        probe: "",
        ..Setup::new("idle")
    };
    let scene = setup.start();
    settled(&scene);
    scene.numbers().rest(true);
    let process = scene.agent.lines.pid();
    let before = Uplink::ALL.map(|uplink| bytes(&scene, uplink));
    let (begin, used) = (now(), processor_time(process));
    pass(IDLE);
    let share = (processor_time(process) - used).as_secs_f64() / begin.elapsed().as_secs_f64();
    assert!(share < 0.005, "{:.2} % of a processor", share * 100.0);
    figures::say("idle", "processor", &format!("{:.2} %", share * 100.0));
    for (uplink, before) in Uplink::ALL.into_iter().zip(before) {
        let used = bytes(&scene, uplink) - before;
        let seconds = begin.elapsed().as_secs();
        figures::say(
            "idle",
            uplink.name(),
            &format!("{used} bytes in {seconds} s"),
        );
        // A cable is asked every 3 s, the others each minute or less often.
        let most = if uplink == Uplink::Eth { 2500 } else { 1000 };
        assert!(used < most, "{used} bytes over {uplink:?}");
    }
    scene.complete();
}

fn bytes(scene: &Scene, uplink: Uplink) -> u64 {
    let counted = scene.site.counted(uplink);
    counted.up_bytes + counted.down_bytes
}

/// Of the process, in the system and outside. // proc_pid_stat(5): fields 14 and 15
fn processor_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
