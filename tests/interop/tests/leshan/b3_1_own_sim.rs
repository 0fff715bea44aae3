//! Use case B.3 case 1 (lwm2m/00): a stolen car. Its owner sees where it goes, is told of alarms at
//! once, and shuts the engine down, which waits until the car stands; only he can have it at once.

use std::{
    io::Write as _,
    net::TcpListener,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use lamplighter_interop::{
    agent::Agent,
    station::{Plant, SOON, UNIT, define},
};
use lamplighter_sim::modbus::Bank;
use serde_json::{Value, json};

use crate::{b3_4_user_change::until, place::Place};

const LATITUDE: &str = "/6/0/0";
const LOCATION: &str = "/6/0";
const SPEED: &str = "/6/0/6";
const ENGINE: &str = "/3306/0/5850";
const ALARM: &str = "/43501/0/0";
/// Of Output status of the engine.
const ARMED: &str = "/42802/0/10";
const SHUT_DOWN: &str = "/42802/0/11";

/// Of the car: a coil and a register.
const ENGINE_AT: u16 = 0;
const ALARM_AT: u16 = 41;

/// A receiver tells its position in this time.
const SECOND: Duration = Duration::from_millis(250);
/// An alarm that comes later has not come at once.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Where the car is; its receiver speaks NMEA 0183.
#[derive(Clone)]
struct Road(Arc<Mutex<Spot>>);

#[derive(Clone, Copy)]
struct Spot {
    /// Degrees to the north; the longitude stays.
    latitude: f64,
    /// m/s
    speed: f64,
    has_fix: bool,
}

impl Road {
    fn lock(&self) -> MutexGuard<'_, Spot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves everybody who connects; the port.
    fn start(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let road = self.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let road = road.clone();
                thread::spawn(move || {
                    let mut second = 0;
                    while stream.write_all(road.sentence(second).as_bytes()).is_ok() {
                        second += 1;
                        thread::park_timeout(SECOND);
                    }
                });
            }
        });
        port
    }

    /// The car goes on as fast as it goes, and its receiver says where that is.
    fn sentence(&self, second: u32) -> String {
        const METRES_PER_DEGREE: f64 = 111_195.0;
        let mut spot = self.lock();
        spot.latitude += spot.speed * SECOND.as_secs_f64() / METRES_PER_DEGREE;
        let Spot {
            latitude,
            speed,
            has_fix,
        } = *spot;
        let status = if has_fix { "A" } else { "V" };
        let (degrees, minutes) = (latitude.trunc(), latitude.fract() * 60.0);
        let (hour, minute) = (second / 3600 % 24, second / 60 % 60);
        let knots = speed * 3600.0 / 1852.0;
        let body = format!(
            "GPRMC,{hour:02}{minute:02}{:02},{status},{degrees:02.0}{minutes:08.5},N,01324.29724,E,\
             {knots:.2},0.0,231126,,,A",
            second % 60
        );
        let sum = body.bytes().fold(0, |sum, byte| sum ^ byte);
        format!("${body}*{sum:02X}\r\n")
    }
}

/// A car, its owner at one server, and somebody else at another.
struct Stolen {
    agent: Agent,
    car: Plant,
    road: Road,
    owner: Place,
    other: Place,
}

fn account(name: &str, uri: &str, short_id: u16) -> String {
    format!(
        "[server.{name}]\nuri = \"{uri}\"\nshort_id = {short_id}\nlifetime_s = 300\nowner = {}\n\
         rights = {{ \"*\" = \"RWE\" }}\nsecurity = {{ mode = \"none\" }}\nallow_unsecured = true\n\
         [server.{name}.coap]\nack_timeout_s = 0.5\n",
        short_id == 101
    )
}

fn devices(car: &Plant, road: u16) -> String {
    format!(
        "[bus.gps]\nkind = \"tcp\"\naddress = \"127.0.0.1:{road}\"\n\
         [device.gps]\nadapter = \"nmea\"\nbus = \"gps\"\nevery_s = 1\nstale_after_s = 5\n\
         [bus.car]\nkind = \"tcp\"\naddress = \"127.0.0.1:{}\"\n\
         [device.car]\nadapter = \"modbus\"\nbus = \"car\"\nunit = {UNIT}\ntimeout_ms = 2000\n\
         [device.car.point.engine]\nresource = \"{ENGINE}\"\n\
         read = {{ table = \"coil\", at = {ENGINE_AT} }}\nwrite = {{ verify = \"read_back\" }}\n\
         poll_s = 0.2\n\
         [device.car.point.alarm]\nresource = \"{ALARM}\"\n\
         read = {{ table = \"holding\", at = {ALARM_AT}, type = \"u16\" }}\npoll_s = 0.1\n\
         [site.standstill.engine]\noutputs = [\"car.engine\"]\nspeed = \"gps.speed\"\nfor_s = 2\n",
        car.port()
    )
}

impl Stolen {
    /// It is driven at 50 km/h.
    fn start(endpoint: &'static str) -> Self {
        let mut owner = Place::of(endpoint, endpoint, json!({}));
        let mut other = Place::of(&format!("{endpoint}-other"), endpoint, json!({}));
        define(&owner.directory, None);
        let car = Plant::start();
        car.units().with(UNIT, |bank: &mut Bank| {
            bank.coils.insert(ENGINE_AT, true);
        });
        car.set(ALARM_AT, &[0]);
        let road = Road(Arc::new(Mutex::new(Spot {
            latitude: 52.52,
            speed: 13.9,
            has_fix: true,
        })));
        let accounts =
            account("owner", &owner.relay.uri(), 101) + &account("other", &other.relay.uri(), 102);
        let agent = owner.run(&(accounts + &devices(&car, road.start())));
        owner.registered();
        other.registered();
        let stolen = Self {
            agent,
            car,
            road,
            owner,
            other,
        };
        stolen.is_seen();
        stolen
    }

    fn is_seen(&self) {
        for path in [ALARM, LATITUDE, SPEED, ENGINE] {
            let is_good = |point: &Value| point["quality"] == "good";
            self.agent.until(&["read", path], SOON, is_good);
        }
    }

    fn runs(&self) -> bool {
        self.car.units().with(UNIT, |bank| bank.coils[&ENGINE_AT])
    }

    fn by_owner(&mut self, command: Value) -> Value {
        asks(&mut self.owner, command)
    }

    fn is_armed(&mut self) -> bool {
        let answer = self.by_owner(json!({"do": "read", "path": ARMED}));
        assert_eq!(answer["code"], 205, "{answer}");
        answer["content"] == json!(true)
    }

    /// The owner wants the engine off; what he is answered.
    fn shut_down(&mut self) -> Value {
        let off =
            json!({"do": "write", "path": ENGINE, "format": "TLV", "node": ["boolean", false]});
        self.by_owner(off)["code"].clone()
    }

    /// The owner is told positions, each further to the north than the one before.
    fn is_followed(&mut self, times: usize) {
        let mut before = 0.0;
        for _ in 0..times {
            let told = self.owner.leshan.event(SOON, |event| {
                event["event"] == "notification" && event["path"] == LATITUDE
            });
            let latitude = told["content"].as_f64().unwrap_or_else(|| panic!("{told}"));
            assert!(latitude > before, "{told}");
            before = latitude;
        }
    }
}

fn asks(place: &mut Place, command: Value) -> Value {
    let endpoint = place.endpoint.clone();
    place.leshan.ask(&endpoint, command)
}

fn observe(place: &mut Place, path: &str) {
    let answer = asks(place, json!({"do": "observe", "path": path}));
    assert_eq!(answer["code"], 205, "{path}: {answer}");
}

/// Confirmable messages with a payload: type 0 in the first byte (RFC 7252, 3), and a marker.
fn confirmable(datagrams: &[Vec<u8>]) -> usize {
    let is_told = |datagram: &&Vec<u8>| datagram[0] >> 4 & 0b11 == 0 && datagram.contains(&0xFF);
    datagrams.iter().filter(is_told).count()
}

#[test]
fn b3_1_own_sim_the_owner_sees_where_the_car_goes_and_nobody_else_does() {
    let mut stolen = Stolen::start("b31-seen");
    observe(&mut stolen.owner, LATITUDE);
    stolen.is_followed(4);
    let whole = stolen.by_owner(json!({"do": "read", "path": LOCATION, "format": "SENML_CBOR"}));
    assert_eq!(whole["code"], 205, "{whole}");
    for resource in ["0", "1", "4", "5", "6"] {
        assert!(!whole["content"][resource].is_null(), "{resource}: {whole}");
    }
    for path in [LOCATION, LATITUDE] {
        let answer = asks(&mut stolen.other, json!({"do": "read", "path": path}));
        assert_eq!(answer["code"], 401, "{path}: {answer}");
    }
    // In a garage: the last place stays known, and nobody takes it for a new one.
    stolen.road.lock().has_fix = false;
    let is_stale = |point: &Value| point["quality"] == "stale";
    stolen.agent.until(&["read", LATITUDE], SOON, is_stale);
    stolen.road.lock().has_fix = true;
    stolen.is_seen();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the requirement is a time")]
fn b3_1_own_sim_an_alarm_reaches_the_owner_at_once() {
    let mut stolen = Stolen::start("b31-alarm");
    observe(&mut stolen.owner, ALARM);
    let (since, begun) = (stolen.owner.relay.sent(), Instant::now());
    stolen.car.set(ALARM_AT, &[7]);
    stolen.owner.leshan.event(AT_ONCE, |event| {
        event["event"] == "notification" && event["path"] == ALARM && event["content"] == 7
    });
    assert!(begun.elapsed() < AT_ONCE);
    let sent = stolen.owner.relay.sent_since(since);
    assert_eq!(confirmable(&sent), 1, "{sent:x?}");
    // Who does not observe it is told by a Send.
    stolen.other.leshan.event(AT_ONCE, |event| {
        let mut samples = event["samples"].as_array().into_iter().flatten();
        samples.any(|sample| sample["content"][ALARM] == 7)
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the requirement is a time")]
fn b3_1_own_sim_a_shut_down_waits_for_standstill_also_over_a_power_cut() {
    let mut stolen = Stolen::start("b31-armed");
    observe(&mut stolen.owner, ARMED);
    let begun = Instant::now();
    assert_eq!(stolen.shut_down(), 204);
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "kept and answered"
    );
    stolen.owner.leshan.event(SOON, |event| {
        event["event"] == "notification" && event["path"] == ARMED && event["content"] == true
    });
    let why = stolen.agent.json(&["why", "car.engine"]);
    let held = why["held_by"].as_str().unwrap_or_default();
    assert!(held.starts_with("armed: goes off at standstill"), "{why}");
    assert!(stolen.runs());

    stolen.agent.lines.signal("KILL");
    stolen.agent = Agent::rerun(&stolen.owner.directory, &[]);
    stolen.agent.registered_with(&["owner", "other"], SOON);
    stolen.is_seen();
    assert!(stolen.is_armed());
    assert!(stolen.runs(), "it moves");

    stolen.road.lock().speed = 0.0;
    until("the end of the engine", || !stolen.runs());
    let is_over = |why: &Value| why["held_by"].is_null();
    stolen.agent.until(&["why", "car.engine"], SOON, is_over);
    assert!(!stolen.is_armed());
    let answer = stolen.by_owner(json!({"do": "read", "path": ENGINE}));
    assert_eq!(
        (&answer["code"], &answer["content"]),
        (&json!(205), &json!(false))
    );
    // Towed away it stays off.
    stolen.road.lock().speed = 5.0;
    stolen.agent.until(&["read", SPEED], SOON, |point| {
        point["value"].as_f64().is_some_and(|speed| speed > 4.0)
    });
    assert!(!stolen.runs());
}

#[test]
fn b3_1_own_sim_only_the_owner_stops_the_engine_at_once() {
    let mut stolen = Stolen::start("b31-force");
    let force = json!({"do": "execute", "path": SHUT_DOWN, "arguments": "1='force'"});
    let answer = asks(&mut stolen.other, force.clone());
    assert_eq!(answer["code"], 401, "{answer}");
    assert!(stolen.runs());
    assert!(!stolen.is_armed());
    stolen.agent.until(&["events"], SOON, |events| {
        let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
        events.iter().any(|event| {
            event["what"] == "refused" && event["text"].to_string().contains("only the owner")
        })
    });
    // He may have it wait, as the owner may.
    let wait = json!({"do": "execute", "path": SHUT_DOWN});
    assert_eq!(asks(&mut stolen.other, wait)["code"], 204);
    assert!(stolen.is_armed() && stolen.runs());
    let answer = stolen.by_owner(force);
    assert_eq!(answer["code"], 204, "{answer}");
    assert!(!stolen.runs(), "answered when it is done");
    assert!(!stolen.is_armed());
}
