//! Nothing that was measured is lost: numbered samples all arrive, in order and with their times,
//! whatever happens between the box and its server.

use std::time::{Duration, Instant};

use lamplighter_interop::station::{COUNT, SETPOINT, SOON, Setup, Station, number, unix_now};
use serde_json::{Value, json};

/// Lost messages are noticed within 2 s, and the box does not wait a minute before it tries again.
const QUICK: &str = "[server.main.coap]
ack_timeout_s = 0.2
ack_random_factor = 1.0
max_retransmit = 2
[server.main.registration]
retry_timer_s = 1
return_spread_s = 0
";

fn start(name: &'static str, lifetime: &'static str) -> Station {
    let mut station = Setup {
        server: lifetime,
        tables: QUICK.to_owned(),
        relay: true,
        ..Setup::new(name)
    }
    .start();
    observe(&mut station);
    station
}

fn observe(station: &mut Station) {
    let command = json!({"do": "observe", "path": COUNT, "format": "SENML_CBOR"});
    assert_eq!(station.code(command), 205);
}

/// What the server was told of the count: in the order in which it came.
#[derive(Debug, Default)]
struct Ledger {
    told: Vec<(f64, f64)>,
}

impl Ledger {
    fn note(&mut self, event: &Value) {
        let samples = event["samples"].as_array();
        let mut samples: Vec<(f64, f64)> = samples
            .into_iter()
            .flatten()
            .filter_map(|sample| {
                let content = &sample["content"];
                let value = if event["event"] == "send" {
                    &content[COUNT]
                } else {
                    content
                };
                (!value.is_null())
                    .then(|| (sample["at"].as_f64().unwrap_or(f64::NAN), number(value)))
            })
            .collect();
        if samples.is_empty() && event["path"] == COUNT {
            samples.push((f64::NAN, number(&event["content"])));
        }
        // Leshan gives the newest of one message first.
        samples.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.told.extend(samples);
    }

    /// Hears what comes until this number has come.
    fn until(&mut self, station: &mut Station, last: u16) {
        while self.told.last().is_none_or(|told| told.1 < f64::from(last)) {
            let event = station.leshan.event(SOON, |event| {
                event["event"] == "send"
                    || (event["event"] == "notification" && event["path"] == COUNT)
            });
            self.note(&event);
        }
    }

    /// Every number came, rising; what is repeated is the unacknowledged tail, with the same time.
    fn complete(&self, numbers: impl Iterator<Item = u16>) {
        let mut first_told: Vec<(f64, f64)> = Vec::new();
        for told in &self.told {
            match first_told.iter().find(|first| first.1 == told.1) {
                None => {
                    let rises = first_told.last().is_none_or(|last| last.1 < told.1);
                    assert!(rises, "{} came after {first_told:?}", told.1);
                    first_told.push(*told);
                }
                Some(first) if !told.0.is_nan() && !first.0.is_nan() => {
                    assert!((first.0 - told.0).abs() < 0.01, "{} has two times", told.1);
                }
                Some(_) => {}
            }
        }
        for wanted in numbers {
            let wanted = f64::from(wanted);
            assert!(
                first_told.iter().any(|told| told.1 == wanted),
                "{wanted} is missing: {:?}",
                self.told
            );
        }
    }

    /// These came with a time of these seconds since 1970.
    fn times(&self, numbers: impl Iterator<Item = u16>, from: f64, to: f64) {
        for wanted in numbers {
            let told = self
                .told
                .iter()
                .find(|told| told.1 == f64::from(wanted))
                .unwrap();
            assert!(
                told.0 >= from - 1.0 && told.0 <= to + 1.0,
                "{told:?} is not from {from} to {to}"
            );
        }
    }
}

fn count(station: &Station, numbers: std::ops::RangeInclusive<u16>) {
    for number in numbers {
        station.counted(number);
    }
}

#[test]
fn leshan_hears_all_after_a_short_outage() {
    let mut station = start("storing-short", "lifetime_s = 300");
    let mut ledger = Ledger::default();
    count(&station, 1..=3);
    ledger.until(&mut station, 3);
    station.relay().cut();
    let from = unix_now();
    count(&station, 4..=15);
    let to = unix_now();
    station.leshan.forget_events();
    let sent = station.relay().sent();
    let refresh = station.agent.cli(&["server", "refresh", "main"]);
    assert!(refresh.status.success());
    // This Update is lost and repeated: so the box knows that the path was broken.
    station.until("an Update", |station| station.relay().sent() > sent);
    station.relay().mend();
    station.event("updated");
    count(&station, 16..=17);
    ledger.until(&mut station, 17);
    ledger.complete(1..=17);
    ledger.times(4..=15, from, to);
}

#[test]
fn leshan_int_306_311_hears_all_by_send_after_an_outage_longer_than_the_lifetime() {
    let mut station = start("storing-long", "lifetime_s = 5");
    let mut ledger = Ledger::default();
    count(&station, 1..=3);
    ledger.until(&mut station, 3);
    station.relay().cut();
    let from = unix_now();
    count(&station, 4..=12);
    let gone = station.event("deregistered");
    assert_eq!(gone["expired"], true, "{gone}");
    count(&station, 13..=15);
    let to = unix_now();
    station.relay().mend();
    station
        .leshan
        .event(SOON * 2, |event| event["event"] == "registered");
    // What has no observation any more is sent.
    let sent = station.event("send");
    assert!(sent["samples"].as_array().unwrap().len() > 1, "{sent}");
    ledger.note(&sent);
    observe(&mut station);
    count(&station, 16..=17);
    ledger.until(&mut station, 17);
    ledger.complete(1..=17);
    ledger.times(4..=15, from, to);
}

#[test]
fn leshan_hears_all_after_an_outage_with_a_kill() {
    let mut station = start("storing-kill", "lifetime_s = 5");
    let mut ledger = Ledger::default();
    count(&station, 1..=3);
    ledger.until(&mut station, 3);
    station.relay().cut();
    let from = unix_now();
    count(&station, 4..=9);
    station.kill_and_restart();
    count(&station, 10..=12);
    station.event("deregistered");
    station.kill_and_restart();
    count(&station, 13..=15);
    let to = unix_now();
    station.relay().mend();
    station
        .leshan
        .event(SOON * 2, |event| event["event"] == "registered");
    observe(&mut station);
    count(&station, 16..=17);
    ledger.until(&mut station, 17);
    ledger.complete(1..=17);
    ledger.times(4..=15, from, to);
}

#[test]
fn leshan_hears_all_after_it_was_restarted_itself() {
    let mut station = start("storing-restart", "lifetime_s = 10");
    let mut ledger = Ledger::default();
    count(&station, 1..=3);
    ledger.until(&mut station, 3);
    station.leshan.stop();
    let from = unix_now();
    count(&station, 4..=15);
    let to = unix_now();
    station.leshan.resume();
    station
        .leshan
        .event(SOON * 2, |event| event["event"] == "registered");
    observe(&mut station);
    count(&station, 16..=17);
    ledger.until(&mut station, 17);
    ledger.complete(1..=17);
    ledger.times(4..=15, from, to);
}

/// One box of the use case `b4_suspension`.
#[test]
fn leshan_b4_suspension_is_silent_until_its_end_and_tells_all_after() {
    let mut station = start("storing-disable", "lifetime_s = 300");
    let mut ledger = Ledger::default();
    count(&station, 1..=3);
    ledger.until(&mut station, 3);
    assert_eq!(station.write("/1/0/5", "TLV", "integer", json!(6)), 204);
    assert_eq!(
        station.code(json!({"do": "execute", "path": "/1/0/4"})),
        204
    );
    assert_eq!(station.event("deregistered")["expired"], false);
    let (begin, from) = (now(), unix_now());
    let sent = station.relay().sent();
    count(&station, 4..=9);
    assert!(
        station
            .agent
            .cli(&["write", SETPOINT, "18.5"])
            .status
            .success()
    );
    assert!(station.agent.cli(&["on", "lamps.l1"]).status.success());
    count(&station, 10..=15);
    let to = unix_now();
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "the machine is too slow for this test"
    );
    assert_eq!(
        station.relay().sent(),
        sent,
        "the box spoke while it was disabled"
    );
    station.event("registered");
    let returned = begin.elapsed();
    assert!(
        returned > Duration::from_secs(5),
        "the box came back after {returned:?}"
    );
    observe(&mut station);
    count(&station, 16..=17);
    ledger.until(&mut station, 17);
    ledger.complete(1..=17);
    ledger.times(4..=15, from, to);
}

#[test]
fn leshan_a_kill_does_not_end_a_suspension() {
    let mut station = start("disable-kill", "lifetime_s = 300");
    assert_eq!(station.write("/1/0/5", "TLV", "integer", json!(6)), 204);
    assert_eq!(
        station.code(json!({"do": "execute", "path": "/1/0/4"})),
        204
    );
    station.event("deregistered");
    let (begin, sent) = (now(), station.relay().sent());
    station.kill_and_restart();
    count(&station, 4..=9);
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "the machine is too slow for this test"
    );
    assert_eq!(
        station.relay().sent(),
        sent,
        "the box spoke while it was disabled"
    );
    station.event("registered");
    assert!(begin.elapsed() > Duration::from_secs(5));
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test against a real server measures in real time"
)]
fn now() -> Instant {
    Instant::now()
}
