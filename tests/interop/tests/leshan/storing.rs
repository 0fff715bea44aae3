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

/// What the server was told of the count: in the order in which it came.
#[derive(Debug, Default)]
struct Ledger {
    told: Vec<(f64, f64)>,
}

impl Ledger {
    fn note(&mut self, event: &Value) {
        let of_content = |content: &Value| {
            let is_alone = event["event"] == "notification";
            let value = if is_alone { content } else { &content[COUNT] };
            (!value.is_null()).then(|| number(value))
        };
        let samples = event["samples"].as_array();
        let mut samples: Vec<(f64, f64)> = samples
            .into_iter()
            .flatten()
            .filter_map(|sample| {
                let time = sample["at"].as_f64().unwrap_or(f64::NAN);
                Some((time, of_content(&sample["content"])?))
            })
            .collect();
        if samples.is_empty() {
            samples.extend(of_content(&event["content"]).map(|value| (f64::NAN, value)));
        }
        // Leshan gives the newest of one message first.
        samples.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.told.extend(samples);
    }

    /// Hears what comes until this number has come.
    fn until(&mut self, station: &mut Station, last: u16) {
        while self.told.last().is_none_or(|told| told.1 < f64::from(last)) {
            let event = station.leshan.event(SOON, |event| {
                let is_told =
                    event["event"] == "send" || event["event"] == "composite-notification";
                is_told || (event["event"] == "notification" && event["path"] == COUNT)
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

/// A box whose count was 1 to 3 when its server listened, 4 to 15 when it did not, then 16 and 17.
struct Story {
    station: Station,
    ledger: Ledger,
    observation: Value,
    /// When the server began not to listen, in seconds since 1970.
    from: f64,
    /// How long one number takes on this machine.
    step: Duration,
}

impl Story {
    fn begin(name: &'static str, lifetime: &'static str) -> Self {
        let observation = json!({"do": "observe", "path": COUNT, "format": "SENML_CBOR"});
        Self::begin_observed(name, lifetime, observation)
    }

    fn begin_observed(name: &'static str, lifetime: &'static str, observation: Value) -> Self {
        let station = Setup {
            server: lifetime,
            tables: QUICK.to_owned(),
            relay: true,
            ..Setup::new(name)
        }
        .start();
        let mut story = Self {
            station,
            ledger: Ledger::default(),
            observation,
            from: 0.0,
            step: Duration::ZERO,
        };
        story.observe();
        let begin = now();
        story.count(1..=3);
        story.step = begin.elapsed() / 3;
        story.ledger.until(&mut story.station, 3);
        story.from = unix_now();
        story
    }

    fn observe(&mut self) {
        assert_eq!(self.station.code(self.observation.clone()), 205);
    }

    fn count(&self, numbers: std::ops::RangeInclusive<u16>) {
        for number in numbers {
            self.station.counted(number);
        }
    }

    fn registered_again(&mut self) {
        let is_registered = |event: &Value| event["event"] == "registered";
        self.station.leshan.event(SOON * 2, is_registered);
    }

    /// The server listens again: it hears of 16 and 17 and has heard all that was.
    fn end(mut self, to: f64) {
        self.count(16..=17);
        self.ledger.until(&mut self.station, 17);
        self.ledger.complete(1..=17);
        self.ledger.times(4..=15, self.from, to);
    }

    /// The path is cut for 4 to 15, and the box notices it.
    fn short_outage(mut self) {
        self.station.relay().cut();
        self.count(4..=15);
        let to = unix_now();
        self.station.leshan.forget_events();
        let sent = self.station.relay().sent();
        let refresh = self.station.agent.cli(&["server", "refresh", "main"]);
        assert!(refresh.status.success());
        // This Update is lost and repeated: so the box knows that the path was broken.
        let is_sent = |station: &mut Station| station.relay().sent() > sent;
        self.station.until("an Update", is_sent);
        self.station.relay().mend();
        self.station.event("updated");
        self.end(to);
    }

    /// Disables the box for a time in which several numbers can be counted; tells when it began, how
    /// long it lasts at least and how many datagrams there were before.
    fn disable(&mut self) -> (Instant, Duration, usize) {
        // Seconds of the machine may differ by a factor; the end may come up to one earlier.
        let seconds = (self.step * 20).as_secs().max(5) + 1;
        let code = self
            .station
            .write("/1/0/5", "TLV", "integer", json!(seconds));
        assert_eq!(code, 204);
        let disable = json!({"do": "execute", "path": "/1/0/4"});
        assert_eq!(self.station.code(disable), 204);
        let gone = self.station.event("deregistered");
        assert_eq!(gone["expired"], false, "{gone}");
        (
            now(),
            Duration::from_secs(seconds - 1),
            self.station.relay().sent(),
        )
    }

    /// Waits for the end of a Disable, before which the box sent nothing.
    fn returned(&mut self, (begin, least, sent): (Instant, Duration, usize)) {
        self.registered_again();
        let spoke = self.station.relay().sent_at(sent);
        let silent = spoke.saturating_duration_since(begin);
        assert!(
            silent > least,
            "the box spoke after {silent:?} of {least:?}"
        );
    }
}

#[test]
fn leshan_hears_all_after_a_short_outage() {
    Story::begin("storing-short", "lifetime_s = 300").short_outage();
}

#[test]
fn leshan_hears_all_of_a_composite_after_a_short_outage() {
    let observation = json!({"do": "observe-composite", "paths": [COUNT, SETPOINT],
        "format": "SENML_CBOR", "answer_format": "SENML_CBOR"});
    Story::begin_observed("storing-composite", "lifetime_s = 300", observation).short_outage();
}

#[test]
fn leshan_int_306_311_hears_all_by_send_after_an_outage_longer_than_the_lifetime() {
    let mut story = Story::begin("storing-long", "lifetime_s = 5");
    story.station.relay().cut();
    story.count(4..=12);
    let gone = story.station.event("deregistered");
    assert_eq!(gone["expired"], true, "{gone}");
    story.count(13..=15);
    let to = unix_now();
    story.station.relay().mend();
    story.registered_again();
    // What has no observation any more is sent.
    let sent = story.station.event("send");
    assert!(sent["samples"].as_array().unwrap().len() > 1, "{sent}");
    story.ledger.note(&sent);
    story.observe();
    story.end(to);
}

#[test]
fn leshan_hears_all_after_an_outage_with_a_kill() {
    let mut story = Story::begin("storing-kill", "lifetime_s = 5");
    story.station.relay().cut();
    story.count(4..=9);
    story.station.kill_and_restart();
    story.count(10..=12);
    story.station.event("deregistered");
    story.station.kill_and_restart();
    story.count(13..=15);
    let to = unix_now();
    story.station.relay().mend();
    story.registered_again();
    story.observe();
    story.end(to);
}

#[test]
fn leshan_hears_all_after_it_was_restarted_itself() {
    let mut story = Story::begin("storing-restart", "lifetime_s = 10");
    story.station.leshan.stop();
    story.count(4..=15);
    let to = unix_now();
    story.station.leshan.resume();
    story.registered_again();
    story.observe();
    story.end(to);
}

/// One box of the use case `b4_suspension`.
#[test]
fn leshan_b4_suspension_is_silent_until_its_end_and_tells_all_after() {
    let mut story = Story::begin("storing-disable", "lifetime_s = 300");
    let disabled = story.disable();
    story.count(4..=9);
    let agent = &story.station.agent;
    assert!(agent.cli(&["write", SETPOINT, "18.5"]).status.success());
    assert!(agent.cli(&["on", "lamps.l1"]).status.success());
    story.count(10..=15);
    let to = unix_now();
    story.returned(disabled);
    story.observe();
    story.end(to);
}

#[test]
fn leshan_a_kill_does_not_end_a_suspension() {
    let mut story = Story::begin("disable-kill", "lifetime_s = 300");
    let disabled = story.disable();
    story.station.kill_and_restart();
    story.count(4..=9);
    story.returned(disabled);
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test against a real server measures in real time"
)]
fn now() -> Instant {
    Instant::now()
}
