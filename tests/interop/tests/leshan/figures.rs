//! What security costs: memory with three secured servers, processor time of a handshake. Printed with
//! `--nocapture`; the bounds hold for unoptimised builds, too.

use std::fs;

use lamplighter_interop::{agent::Agent, station::SOON};
use serde_json::{Value, json};

use crate::place::{
    CERTIFIED, HANDSHAKE, KEY, NAMED, Place, account, certified, keyed, kinds, psk, x509,
};

/// Handshakes that are measured.
const ROUNDS: u32 = 10;
/// Nanoseconds of one, and kilobytes of a process.
const MOST_TIME: u64 = 500_000_000;
const MOST_MEMORY: u64 = 64 * 1024;

#[expect(clippy::print_stdout, reason = "figures for the documentation")]
fn tell(figures: &str) {
    println!("{figures}");
}

/// One line of `/proc/PID/status`, in kB.
fn memory(agent: &Agent, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.lines.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Processor time of all threads so far, in nanoseconds.
fn processor(agent: &Agent) -> u64 {
    let threads = fs::read_dir(format!("/proc/{}/task", agent.lines.pid())).unwrap();
    let time = |thread: fs::DirEntry| -> u64 {
        let times = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        times
            .split(' ')
            .next()
            .and_then(|time| time.parse().ok())
            .unwrap_or(0)
    };
    threads.map(Result::unwrap).map(time).sum()
}

#[test]
fn figures_of_three_secured_servers() {
    let names = ["main", "second", "third"];
    let mut places: Vec<Place> = names
        .iter()
        .map(|name| Place::of(&format!("figures-{name}"), "figures", keyed()))
        .collect();
    let mut accounts = String::new();
    for ((place, name), ssid) in places.iter_mut().zip(names).zip(101..) {
        place.knows(Some((name, KEY)));
        accounts += &account(name, &place.relay.uri(), ssid, &psk(name));
    }
    let agent = places[0].run(&accounts);
    for place in &mut places {
        place.registered();
        place.reads();
    }
    agent.registered_with(&names, SOON);
    let (all, own) = (memory(&agent, "VmRSS:"), memory(&agent, "RssAnon:"));
    tell(&format!(
        "three secured servers: {all} kB resident, {own} kB of it anonymous"
    ));
    assert!(all < MOST_MEMORY, "{all} kB");
}

/// Nanoseconds of processor time for one turn of De-register, handshake and Register.
fn turn(mut place: Place, security: &str) -> u64 {
    let mut accounts = place.main(security);
    if security.contains("none") {
        accounts = accounts.replace("short_id", "allow_unsecured = true\nshort_id");
    }
    let agent = place.run(&accounts);
    place.registered();
    let (before, datagrams) = (processor(&agent), place.relay.sent());
    for _ in 0..ROUNDS {
        // The answer is there, too.
        agent.registered(SOON);
        assert!(
            agent
                .cli(&["server", "deregister", "main"])
                .status
                .success()
        );
        // Its session ends with the answer.
        place.event("deregistered");
        agent.until(&["server", "list"], SOON, |servers| {
            servers[0]["state"] == "disabled"
        });
        assert!(agent.cli(&["server", "register", "main"]).status.success());
        place.registered();
    }
    let took = processor(&agent) - before;
    if !security.contains("none") {
        let sent = kinds(&place.relay.sent_since(datagrams));
        let flights = sent.iter().filter(|kind| **kind == HANDSHAKE).count();
        // ClientHello twice and what ends it: every time in full.
        assert!(flights >= 3 * ROUNDS as usize, "{flights}");
    }
    took / u64::from(ROUNDS)
}

fn without_resumption(mut settings: Value) -> Value {
    settings["properties"]["DTLS.SERVER_USE_SESSION_ID"] = json!("false");
    settings
}

#[test]
fn figures_of_a_handshake() {
    let plain = Place::new("figures-plain", json!({}));
    let plain = turn(plain, "{ mode = \"none\" }");
    let mut keys = Place::new("figures-psk", without_resumption(keyed()));
    keys.knows(Some(("figures", KEY)));
    let keys = turn(keys, &psk("figures"));
    let shown = certified(&["server.der", "issuer.der"], "authority.der");
    let mut certificates = Place::of("figures-x509", CERTIFIED, without_resumption(shown));
    certificates.knows(None);
    let certificates = turn(certificates, &x509("authority.der", NAMED));
    for (what, took) in [("a key", keys), ("certificates", certificates)] {
        let more = took.saturating_sub(plain) / 1000;
        tell(&format!(
            "a handshake with {what}: {more} us of processor time"
        ));
        assert!(took < MOST_TIME, "{took} ns with {what}");
    }
}
