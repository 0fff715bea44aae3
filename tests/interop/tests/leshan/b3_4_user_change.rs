//! Use case B.3 case 4 (lwm2m/00): a car is lent. Its owner and a second user are two identities at
//! two servers; the owner takes the rights of the other, who then gets nothing more, may do nothing
//! more, and of what was stored for him nothing is left.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use lamplighter_interop::{
    agent::Agent,
    station::{Plant, SOON, UNIT, define},
};
use serde_json::{Value, json};

use crate::place::{KEY, OTHER_KEY, Place, account, keyed, psk};

const CAR: &str = "/43501/0";
const ALARM: &str = "/43501/0/0";
const MESSAGE: &str = "/43501/0/1";
const LIMIT: &str = "/43501/0/2";
const LATITUDE: &str = "/6/0/0";
const TEMPERATURE: &str = "/3303/0/5700";
const RESET: &str = "/3303/0/5605";

/// Registers of the car.
const LATITUDE_AT: u16 = 40;
const ALARM_AT: u16 = 41;
const LIMIT_AT: u16 = 42;
const MESSAGE_AT: u16 = 43;
const MESSAGE_LENGTH: u16 = 12;

/// No right at all, in object 2.
const NOTHING: u8 = 0;
const EVERYTHING: u8 = 31;

/// Places and alarms after the change have this number and those behind it.
const AFTER: u16 = 1000;
/// How long nothing may reach the former user; the issue says: from one second on.
const WATCHED: Duration = Duration::from_millis(1500);

/// A car, its owner at one server, and a second user at another.
struct Lent {
    agent: Agent,
    car: Plant,
    endpoint: &'static str,
    owner: Place,
    user: Place,
}

impl Lent {
    fn start(endpoint: &'static str) -> Self {
        let mut owner = Place::of(endpoint, endpoint, keyed());
        owner.knows(Some(("owner", KEY)));
        let mut user = Place::of(&format!("{endpoint}-user"), endpoint, keyed());
        user.knows(Some(("user", OTHER_KEY)));
        define(&owner.directory, None);
        let car = Plant::start();
        car.set(LATITUDE_AT, &[1, 0, 90]);
        car.set(MESSAGE_AT, &text("ready"));
        let his = psk("user").replace("credential:psk", "credential:other");
        let his = account("user", &user.relay.uri(), 102, &his)
            .replace("{ \"*\" = \"R\" }", "{ \"*\" = \"RWE\", \"/6\" = \"R\" }");
        let accounts = account("owner", &owner.relay.uri(), 101, &psk("owner")) + &his;
        let agent = owner.run(&(accounts + &devices(&car)));
        owner.registered();
        user.registered();
        for path in [ALARM, LATITUDE, LIMIT, MESSAGE] {
            agent.until(&["read", path], SOON, |point| point["quality"] == "good");
        }
        Self {
            agent,
            car,
            endpoint,
            owner,
            user,
        }
    }

    fn asks(place: &mut Place, command: Value) -> Value {
        let endpoint = place.endpoint.clone();
        place.leshan.ask(&endpoint, command)
    }

    fn by_owner(&mut self, command: Value) -> Value {
        Self::asks(&mut self.owner, command)
    }

    fn by_user(&mut self, command: Value) -> Value {
        Self::asks(&mut self.user, command)
    }

    /// Where the rights on an instance stand in object 2, by that instance.
    fn rights(&mut self) -> BTreeMap<String, String> {
        let all = self.by_owner(json!({"do": "read", "path": "/2"}));
        let all = all["content"]
            .as_object()
            .unwrap_or_else(|| panic!("{all}"));
        let about = |(number, one): (&String, &Value)| {
            (
                format!("/{}/{}", one["0"], one["1"]),
                format!("/2/{number}/2"),
            )
        };
        all.iter().map(about).collect()
    }

    /// The owner says in one request what the other user may do to instances; answered with 2.04.
    fn owner_gives(&mut self, instances: &[&str], bits: u8) {
        let rights = self.rights();
        let node = |instance: &&str| {
            (
                format!("{}/102", rights[*instance]),
                json!(["integer", bits]),
            )
        };
        let nodes: serde_json::Map<String, Value> = instances.iter().map(node).collect();
        let write = json!({"do": "write-composite", "format": "SENML_CBOR", "nodes": nodes});
        let written = self.by_owner(write);
        assert_eq!(written["code"], 204, "{written}");
    }

    /// All that the user had rights on, beside his own account.
    fn owner_takes_everything(&mut self) {
        let rights = self.rights();
        let all: Vec<&str> = rights.keys().map(String::as_str).collect();
        // Accounts stay his and the owner's; who may create is said of objects (instance 65535).
        let is_thing = |path: &&str| !path.starts_with("/1/") && !path.ends_with("/65535");
        let all: Vec<&str> = all.into_iter().filter(is_thing).collect();
        self.owner_gives(&all, NOTHING);
    }

    fn drives_to(&self, latitude: u16) {
        self.car.set(LATITUDE_AT, &[latitude]);
    }

    fn says(&self, message: &str) {
        self.car.set(MESSAGE_AT, &text(message));
        self.agent
            .until(&["read", MESSAGE], SOON, |point| point["value"] == message);
    }

    /// The owner is told where the car is; he observes it.
    fn owner_sees(&mut self, latitude: u16) {
        told(&mut self.owner, LATITUDE, latitude);
    }

    /// What the event log says of refusals of the user.
    fn refusals(&self) -> Vec<(String, String)> {
        let events = self.agent.json(&["events"]);
        let events = events.as_array().cloned().unwrap_or_default();
        let of_user = |event: &Value| {
            let is_his = event["what"] == "refused" && event["by"].to_string().contains("user");
            let words = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
            is_his.then(|| (words("about"), words("text")))
        };
        events.iter().filter_map(of_user).collect()
    }

    /// Waits until the event log has this refusal.
    fn refused(&self, path: &str, operation: &str) {
        self.agent.until(&["events"], SOON, |_| {
            let is_it = |(about, text): &(String, String)| {
                about == path && text.starts_with(operation) && text.contains("4.01")
            };
            self.refusals().iter().any(is_it)
        });
    }
}

/// Waits until a server is told this, in a notification or beside something else in a Send.
fn told(place: &mut Place, path: &str, number: u16) {
    place.leshan.event(SOON, |event| {
        let samples = event["samples"].as_array().into_iter().flatten();
        let mut contents = samples.map(|sample| &sample["content"][path]);
        let is_sent = contents.any(|content| is(content, number));
        let is_notified = event["event"] == "notification" && event["path"] == path;
        is_sent || (is_notified && is(&event["content"], number))
    });
}

fn is(content: &Value, number: u16) -> bool {
    content.as_f64() == Some(f64::from(number))
}

fn text(words: &str) -> Vec<u16> {
    let mut bytes = words.as_bytes().to_vec();
    bytes.resize(usize::from(MESSAGE_LENGTH) * 2, 0);
    let pairs = bytes.chunks(2).map(|pair| [pair[0], pair[1]]);
    pairs.map(u16::from_be_bytes).collect()
}

fn devices(car: &Plant) -> String {
    let point = |name: &str, path: &str, read: &str, more: &str| {
        format!(
            "[device.car.point.{name}]\nresource = \"{path}\"\n\
             read = {{ table = \"holding\", {read} }}\npoll_s = 0.1\n{more}\n"
        )
    };
    let number = |at: u16| format!("at = {at}, type = \"u16\"");
    let message = format!("at = {MESSAGE_AT}, type = \"string\", registers = {MESSAGE_LENGTH}");
    format!(
        "[bus.car]\nkind = \"tcp\"\naddress = \"127.0.0.1:{}\"\n[device.car]\nadapter = \"modbus\"\n\
         bus = \"car\"\nunit = {UNIT}\ntimeout_ms = 2000\n{}{}{}{}",
        car.port(),
        point("alarm", ALARM, &number(ALARM_AT), ""),
        point("latitude", LATITUDE, &number(LATITUDE_AT), ""),
        point(
            "limit",
            LIMIT,
            &number(LIMIT_AT),
            "write = { verify = \"read_back\" }"
        ),
        point("message", MESSAGE, &message, ""),
    )
}

/// Whether these words stand in any file below.
pub(crate) fn holds(directory: &Path, words: &str) -> bool {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.map(|entry| entry.path()).any(|path| {
        if path.is_dir() {
            return holds(&path, words);
        }
        // A file may go while it is looked for.
        let content = fs::read(&path).unwrap_or_default();
        content
            .windows(words.len())
            .any(|part| part == words.as_bytes())
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test against a real process waits in real time"
)]
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(
            Instant::now() < deadline,
            "{what} did not come within {SOON:?}"
        );
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// Everything that a user can try, with the path that the log names and the operation.
fn attempts() -> Vec<(Value, &'static str, &'static str)> {
    let composite = json!([ALARM, LIMIT]);
    vec![
        (json!({"do": "read", "path": LATITUDE}), LATITUDE, "read"),
        (json!({"do": "read", "path": CAR}), CAR, "read"),
        (
            json!({"do": "write", "path": LIMIT, "format": "TLV", "node": ["integer", 200]}),
            LIMIT,
            "write",
        ),
        (
            json!({"do": "observe", "path": MESSAGE}),
            MESSAGE,
            "observe",
        ),
        (json!({"do": "execute", "path": RESET}), RESET, "execute"),
        (
            json!({"do": "read-composite", "paths": composite, "format": "SENML_CBOR"}),
            "/",
            "read",
        ),
        (
            json!({"do": "observe-composite", "paths": composite, "format": "SENML_CBOR"}),
            "/",
            "observe",
        ),
        (
            json!({"do": "write-composite", "format": "SENML_CBOR",
                "nodes": {LIMIT: ["integer", 200]}}),
            "/",
            "write",
        ),
    ]
}

#[test]
fn b3_4_user_change_nothing_reaches_the_former_user_and_he_may_do_nothing() {
    let mut lent = Lent::start("b34-change");
    for path in [LATITUDE, MESSAGE] {
        assert_eq!(
            lent.by_user(json!({"do": "observe", "path": path}))["code"],
            205
        );
    }
    assert_eq!(
        lent.by_owner(json!({"do": "observe", "path": LATITUDE}))["code"],
        205
    );
    // While he has rights he is told where the car is, and of alarms without asking.
    lent.drives_to(2);
    lent.car.set(ALARM_AT, &[7]);
    lent.owner_sees(2);
    told(&mut lent.user, LATITUDE, 2);
    lent.car.set(ALARM_AT, &[8]);
    told(&mut lent.user, ALARM, 8);

    lent.owner_takes_everything();
    // The list of objects is another for him: where the car is, is not even named.
    let updated = lent.user.event("updated");
    assert!(!updated["links"].to_string().contains("</6"), "{updated}");
    let (since, _) = watch(&mut lent);
    // Nothing of it is in what he got, and the datagrams that he got are the answers below.
    for event in lent.user.leshan.events() {
        let samples = event["samples"].as_array().into_iter().flatten();
        let mut told =
            samples.flat_map(|sample| sample["content"].as_object().into_iter().flatten());
        let is_new = |value: &Value| value.as_f64() >= Some(AFTER.into());
        assert!(
            !is_new(&event["content"]) && !told.any(|(_, value)| is_new(value)),
            "{event}"
        );
    }
    assert_eq!(
        lent.user.relay.sent(),
        since,
        "datagrams reached the former user"
    );

    for (attempt, path, operation) in attempts() {
        let answer = lent.by_user(attempt.clone());
        assert_eq!(answer["code"], 401, "{attempt}: {answer}");
        assert!(answer["content"].is_null(), "{attempt}: {answer}");
        lent.refused(path, operation);
    }
    let limit = lent.agent.json(&["read", LIMIT]);
    assert!(is(&limit["value"], 90), "{limit}");
    // The owner is served as before.
    assert_eq!(
        lent.by_owner(json!({"do": "read", "path": CAR}))["code"],
        205
    );
}

/// Much happens to the car for a while; the owner is told. How many datagrams had left to the user
/// before, and the last place of the car.
#[expect(
    clippy::disallowed_methods,
    reason = "the use case says for how long in real time"
)]
fn watch(lent: &mut Lent) -> (usize, u16) {
    let since = lent.user.relay.sent();
    let begun = Instant::now();
    let mut latitude = AFTER;
    while begun.elapsed() < WATCHED {
        lent.drives_to(latitude);
        lent.car.set(ALARM_AT, &[latitude]);
        lent.owner_sees(latitude);
        latitude += 1;
    }
    (since, latitude)
}

#[test]
fn b3_4_user_change_requests_on_their_way_are_refused_as_well() {
    let mut lent = Lent::start("b34-queued");
    assert_eq!(
        lent.by_user(json!({"do": "read", "path": TEMPERATURE}))["code"],
        205
    );
    let endpoint = lent.endpoint;
    lent.user.relay.hold();
    let begun: Vec<(u32, &str, &str)> = attempts()
        .into_iter()
        .map(|(attempt, path, operation)| {
            let id = lent.user.leshan.begin(endpoint, attempt);
            (id, path, operation)
        })
        .collect();
    // Leshan sends them one after another (NSTART), and the rest as soon as it has answers.
    until("a request", || lent.user.relay.held() > 0);
    lent.owner_takes_everything();
    lent.user.relay.release();
    for (id, path, operation) in begun {
        let answer = lent.user.leshan.answer(id);
        assert_eq!(answer["code"], 401, "{operation} {path}: {answer}");
        lent.refused(path, operation);
    }
    let limit = lent.agent.json(&["read", LIMIT]);
    assert!(is(&limit["value"], 90), "{limit}");
}

#[test]
fn b3_4_user_change_what_was_stored_for_him_is_gone() {
    let mut lent = Lent::start("b34-stored");
    for path in [MESSAGE, TEMPERATURE, LIMIT] {
        let command = json!({"do": "observe", "path": path, "format": "SENML_CBOR"});
        assert_eq!(lent.by_user(command)["code"], 205);
    }
    let state = lent.agent.state_dir.clone();
    lent.user.relay.cut();
    for marker in ["swordfish-one", "swordfish-two", "nothing"] {
        lent.says(marker);
    }
    until("the marker on the disk", || holds(&state, "swordfish-two"));

    lent.owner_gives(&[CAR], NOTHING);
    until("the end of the marker", || !holds(&state, "swordfish"));
    // A power cut brings nothing back, and he is told nothing of it when he can be reached again.
    lent.agent.lines.signal("KILL");
    lent.agent = Agent::rerun(&lent.owner.directory, &[]);
    assert!(!holds(&state, "swordfish"));
    lent.user.leshan.forget_events();
    lent.user.relay.mend();
    lent.user.leshan.event(SOON, |event| {
        event["event"] == "registered" || event["event"] == "updated"
    });
    lent.owner_gives(&[CAR], EVERYTHING);
    lent.says("again");
    assert_eq!(
        lent.by_user(json!({"do": "observe", "path": MESSAGE}))["code"],
        205
    );
    for event in lent.user.leshan.events() {
        assert!(!event.to_string().contains("swordfish"), "{event}");
    }
    assert!(!holds(&state, "swordfish"));
}
