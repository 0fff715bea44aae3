//! Use case B.1 (lwm2m/00): street lights. 2,000 lamps behind relay modules on one box; its operator
//! switches one of them or a group and knows what each does, and nobody else switches anything.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    thread,
    time::{Duration, Instant},
};

use lamplighter_interop::{
    agent::Agent,
    station::{Plant, SOON},
};
use lamplighter_sim::modbus::{Bank, Units};
use serde_json::{Value, json};

use crate::{
    b3_4_user_change::until,
    place::{KEY, OTHER_KEY, Place, account, keyed, psk, says},
};

/// Relay modules, each with so many lamps.
const MODULES: u16 = 20;
const LAMPS_OF_MODULE: u16 = 100;
const LAMPS: u16 = MODULES * LAMPS_OF_MODULE;
/// The first lamps are a street.
const STREET: u16 = 150;

/// The street, and all lamps, as servers without our definitions see them.
const STREET_COMMAND: &str = "/3416/60000/1";
const ALL_COMMAND: &str = "/3416/60001/1";
/// The street as our vendor object Group (42801) has it: how many members failed.
const STREET_FAILED: &str = "/42801/0/4";

/// What the requirement allows after the last packet that was lost.
const TRUE_WITHIN: Duration = Duration::from_secs(60);
/// Packets are lost for so long, of either way 30 of a hundred.
const LOSSY: Duration = Duration::from_secs(8);
const LOST_PERCENT: u32 = 30;

/// Requests that the operator's server has on their way; more than 64 would be refused.
const AT_ONCE: usize = 32;

/// Between two looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(50);

/// The box, its operator, and a visitor who may read.
struct Street {
    agent: Agent,
    modules: Plant,
    operator: Place,
    visitor: Place,
    /// What the operator was told last of each lamp's level.
    told: BTreeMap<u16, u8>,
}

/// 1 to 2000: its module and coil.
fn relay_of(lamp: u16) -> (u8, u16) {
    let unit = u8::try_from(1 + (lamp - 1) / LAMPS_OF_MODULE).unwrap();
    (unit, (lamp - 1) % LAMPS_OF_MODULE)
}

fn level_of(lamp: u16) -> String {
    format!("/3416/{lamp}/3")
}

fn command_of(lamp: u16) -> String {
    format!("/3416/{lamp}/1")
}

fn modules() -> Plant {
    let units = Units::default();
    for module in 1..=u8::try_from(MODULES).unwrap() {
        let mut bank = Bank::default();
        bank.coils
            .extend((0..LAMPS_OF_MODULE).map(|coil| (coil, false)));
        units.insert(module, bank);
    }
    Plant::of(units)
}

fn tables(modules: &Plant) -> String {
    let mut tables = format!(
        "[client.limits]\nobservations = 4096\n[bus.street]\nkind = \"tcp\"\n\
         address = \"127.0.0.1:{}\"\n",
        modules.port()
    );
    for module in 1..=MODULES {
        write!(
            tables,
            "[device.m{module}]\nadapter = \"modbus\"\nbus = \"street\"\nunit = {module}\n\
             timeout_ms = 2000\n[device.m{module}.point]\n"
        )
        .unwrap();
        for lamp in (module - 1) * LAMPS_OF_MODULE + 1..=module * LAMPS_OF_MODULE {
            let coil = relay_of(lamp).1;
            writeln!(
                tables,
                "l{lamp} = {{ instance = \"/3416/{lamp}\", read = {{ table = \"coil\", at = {coil} }}, \
                 write = {{ verify = \"read_back\" }}, poll_s = 2 }}"
            )
            .unwrap();
        }
    }
    let group = |name: &str, instance: &str, lamps: u16| {
        let members: Vec<String> = (1..=lamps)
            .map(|lamp| format!("\"m{}.l{lamp}\"", relay_of(lamp).0))
            .collect();
        format!(
            "[site.group.{name}]\nmembers = [{}]\nstagger_ms = 0\ninstance = \"{instance}\"\n",
            members.join(", ")
        )
    };
    tables += &group("street", "/3416/60000", STREET);
    tables + &group("town", "/3416/60001", LAMPS)
}

impl Street {
    fn start(endpoint: &'static str) -> Self {
        let mut operator = Place::of(endpoint, endpoint, keyed());
        operator.knows(Some(("operator", KEY)));
        let mut visitor = Place::of(&format!("{endpoint}-visitor"), endpoint, keyed());
        visitor.knows(Some(("visitor", OTHER_KEY)));
        let modules = modules();
        // The parameters of RFC 7252, as in the field.
        let paced = |text: String| text.replace("ack_timeout_s = 0.15", "ack_timeout_s = 2.0");
        let his = psk("visitor").replace("credential:psk", "credential:other");
        let accounts = account("operator", &operator.relay.uri(), 101, &psk("operator"))
            + &account("visitor", &visitor.relay.uri(), 102, &his)
            // Of the visitor's name, and with a key that is not his.
            + &account("stranger", &visitor.leshan.uri, 103, &psk("visitor"));
        let agent = operator.run(&(paced(accounts) + &tables(&modules)));
        for place in [&mut operator, &mut visitor] {
            place
                .leshan
                .event(SOON * 4, |event| event["event"] == "registered");
        }
        agent.until(&["read", &level_of(LAMPS)], SOON, |point| {
            point["quality"] == "good"
        });
        Self {
            agent,
            modules,
            operator,
            visitor,
            told: BTreeMap::new(),
        }
    }

    fn operate(&mut self, command: Value) -> Value {
        let endpoint = self.operator.endpoint.clone();
        self.operator.leshan.ask(&endpoint, command)
    }

    fn writes(path: &str, level: u8) -> Value {
        json!({"do": "write", "path": path, "format": "TLV", "node": ["integer", level]})
    }

    /// The operator observes every lamp.
    fn observe_all(&mut self) {
        let endpoint = self.operator.endpoint.clone();
        let lamps: Vec<u16> = (1..=LAMPS).collect();
        for lamps in lamps.chunks(AT_ONCE) {
            let begin = |lamp: &u16| {
                let command = json!({"do": "observe", "path": level_of(*lamp)});
                (*lamp, self.operator.leshan.begin(&endpoint, command))
            };
            let asked: Vec<(u16, u32)> = lamps.iter().map(begin).collect();
            for (lamp, id) in asked {
                let answer = self.operator.leshan.answer(id);
                assert_eq!(answer["code"], 205, "lamp {lamp}: {answer}");
                let level = answer["content"].as_f64().unwrap_or_default();
                self.told.insert(lamp, level as u8);
            }
        }
    }

    /// What the lamps do, by the coils of the modules.
    fn lights(&self) -> BTreeMap<u16, u8> {
        let level = |lamp| {
            let (unit, coil) = relay_of(lamp);
            let on = self
                .modules
                .units()
                .with(unit, |bank| bank.coils.get(&coil).copied());
            (lamp, if on == Some(true) { 100 } else { 0 })
        };
        (1..=LAMPS).map(level).collect()
    }

    /// Takes in what the operator was told since.
    fn listen(&mut self) {
        for event in self.operator.leshan.events() {
            let lamp = event["path"].as_str().and_then(|path| {
                let lamp = path.strip_prefix("/3416/")?.strip_suffix("/3")?;
                lamp.parse().ok()
            });
            if let Some(lamp) = lamp
                && event["event"] == "notification"
                && let Some(level) = event["content"].as_f64()
            {
                self.told.insert(lamp, level as u8);
            }
        }
    }

    /// Waits until so many lamps are on, and the operator has been told the truth of each.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test against a real server waits in real time"
    )]
    fn knows_of(&mut self, on: u16, deadline: Instant) {
        loop {
            self.listen();
            let lights = self.lights();
            let lit = lights.values().filter(|level| **level == 100).count();
            let is_wrong = |(lamp, level): &(&u16, &u8)| self.told.get(*lamp) != Some(*level);
            let wrong: Vec<u16> = lights
                .iter()
                .filter(is_wrong)
                .map(|(lamp, _)| *lamp)
                .collect();
            if lit == usize::from(on) && wrong.is_empty() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{lit} lamps are on and not {on}; the operator knows something else of {wrong:?}; {}",
                self.agent.json(&["server", "list"])
            );
            thread::park_timeout(PAUSE);
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test against a real server waits in real time"
    )]
    fn knows_soon(&mut self, on: u16) {
        self.knows_of(on, Instant::now() + SOON * 2);
    }
}

#[test]
fn b1_streetlights_one_lamp_and_a_group_are_switched_and_each_is_known() {
    let mut street = Street::start("b1-switch");
    street.observe_all();
    let written = street.operate(Street::writes(&command_of(777), 100));
    assert_eq!(written["code"], 204, "{written}");
    // A single lamp is answered when it is on.
    assert_eq!(
        street
            .lights()
            .values()
            .filter(|level| **level == 100)
            .count(),
        1
    );
    street.knows_soon(1);

    let written = street.operate(Street::writes(STREET_COMMAND, 100));
    assert_eq!(written["code"], 204, "{written}");
    street.knows_soon(STREET + 1);
    let failed = street.operate(json!({"do": "read", "path": STREET_FAILED}));
    assert_eq!(failed["content"], 0, "{failed}");
    let why = street.agent.json(&["why", "m1.l7"]);
    assert!(why.to_string().contains("GroupCommand"), "{why}");
}

#[test]
fn b1_streetlights_a_foreigner_switches_nothing() {
    let mut street = Street::start("b1-foreigner");
    let endpoint = street.visitor.endpoint.clone();
    for path in [&command_of(777), STREET_COMMAND, ALL_COMMAND] {
        let refused = street
            .visitor
            .leshan
            .ask(&endpoint, Street::writes(path, 100));
        assert_eq!(refused["code"], 401, "{path}: {refused}");
        street.agent.until(&["events"], SOON, |events| {
            let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
            events.iter().any(|event| {
                event["what"] == "refused"
                    && event["about"] == path
                    && event["by"].to_string().contains("visitor")
            })
        });
    }
    // He may look.
    let read = json!({"do": "read", "path": level_of(777)});
    assert_eq!(street.visitor.leshan.ask(&endpoint, read)["content"], 0);
    assert!(street.lights().values().all(|level| *level == 0));

    // Who has not the right key does not even get a session.
    says(&street.agent, "stranger", "key");
}

/// The town is switched while three of ten packets are lost, either way. 60 s after the last of them
/// the operator knows the truth of each of the 2,000 lamps.
#[expect(clippy::disallowed_methods, reason = "the requirement is a time")]
#[test]
fn b1_streetlights_the_status_of_each_lamp_is_true_after_packets_were_lost() {
    let mut street = Street::start("b1-loss");
    street.observe_all();
    street.operator.relay.lose(LOST_PERCENT);
    let endpoint = street.operator.endpoint.clone();
    // What Leshan hears of it is lost perhaps; what it asks for is repeated until it arrives.
    let command = Street::writes(ALL_COMMAND, 100);
    let before = street.operator.relay.answered();
    street.operator.leshan.begin(&endpoint, command);
    until("the command", || street.operator.relay.answered() > before);
    let until = Instant::now() + LOSSY;
    while Instant::now() < until {
        street.listen();
        thread::park_timeout(PAUSE);
    }
    street.operator.relay.mend();
    let passed = (
        street.operator.relay.sent(),
        street.operator.relay.answered(),
    );
    let lost = street
        .operator
        .relay
        .lost_at()
        .unwrap_or_else(|| panic!("{passed:?}"));
    street.knows_of(LAMPS, lost + TRUE_WITHIN);
}
