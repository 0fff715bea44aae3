//! Use case B.2 (lwm2m/00): air conditioning. Two units and a meter on one RS-485 line; the server
//! switches a unit or all of them, is told what they consume, and sets the temperatures at which a
//! unit is switched, which then holds without any server.

use std::{fs, thread, time::Instant};

use lamplighter_interop::{agent::Agent, root, station::SOON, write};
use lamplighter_sim::{
    modbus::{Bank, Framing, Obedient, Units, serve},
    pty::Pty,
};
use serde_json::{Value, json};

use crate::{
    b3_4_user_change::until,
    place::{KEY, Place, account, keyed, psk},
};

/// Of the air conditioning units on the line, and of the meter.
const UNITS: [u8; 2] = [11, 12];
const METER: u8 = 1;
/// Input register of a unit: tenths of a degree. Its coil: the compressor.
const ROOM_AT: u16 = 3;
const COMPRESSOR_AT: u16 = 0;
/// Input registers of the meter, as its manual has them.
const POWER_AT: u16 = 12;
const IMPORT_AT: u16 = 72;

const COMPRESSORS: [&str; 2] = ["/3306/0/5850", "/3306/1/5850"];
const ROOM: &str = "/3303/10/5700";
const POWER: &str = "/3305/0/5800";
const ENERGY: &str = "/3331/0/5700";
const SETPOINT: &str = "/3308/20/5900";
/// Object Group (42801) of all units, and Site rule (42804) of the thermostat.
const ALL_COMMAND: &str = "/42801/0/2";
const ALL_STATE: &str = "/42801/0/3";
const ON_ABOVE: &str = "/42804/0/4";
const OFF_BELOW: &str = "/42804/0/5";

/// A plant room at its Leshan.
struct Plant {
    agent: Agent,
    place: Place,
    units: Units,
}

/// The line as a pseudo-terminal, served until the test ends.
fn line() -> (Units, String) {
    let units = Units::default();
    for unit in UNITS {
        let mut bank = Bank::default();
        bank.coils.insert(COMPRESSOR_AT, false);
        bank.input.insert(ROOM_AT, 220);
        units.insert(unit, bank);
    }
    let mut meter = Bank::default();
    meter.input.extend((0..80).map(|at| (at, 0)));
    units.insert(METER, meter);
    let (told, path) = std::sync::mpsc::channel();
    let served = units.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let pty = Pty::open().unwrap();
            told.send(pty.path().display().to_string()).unwrap();
            let _ = serve(pty, Framing::Rtu, served, Obedient).await;
        });
    });
    (units, path.recv().unwrap())
}

fn tables(line: &str) -> String {
    let unit = |number: usize| {
        let unit = UNITS[number];
        format!(
            "[device.ac{number}]\nadapter = \"modbus\"\nbus = \"line\"\nunit = {unit}\n\
             timeout_ms = 2000\n[device.ac{number}.point.room]\nresource = \"/3303/1{number}/5700\"\n\
             read = {{ table = \"input\", at = {ROOM_AT}, type = \"i16\" }}\nscale = 0.1\n\
             unit = \"Cel\"\npoll_s = 0.2\n[device.ac{number}.point.compressor]\n\
             resource = \"{}\"\nread = {{ table = \"coil\", at = {COMPRESSOR_AT} }}\n\
             write = {{ verify = \"read_back\" }}\npoll_s = 0.5\n",
            COMPRESSORS[number]
        )
    };
    format!(
        "[bus.line]\nkind = \"serial\"\ndevice = \"{line}\"\nline = \"115200-8E1\"\n{}{}\
         [device.meter]\nadapter = \"modbus\"\nbus = \"line\"\nunit = {METER}\ntimeout_ms = 2000\n\
         template = \"eastron-sdm120\"\nparameters = {{ poll_s = 0.5, energy_poll_s = 0.5 }}\n\
         [site.group.all]\nmembers = [\"ac0.compressor\", \"ac1.compressor\"]\nstagger_ms = 10\n\
         [site.thermostat.server_room]\nsensor = \"ac0.room\"\nsetpoint = 24.0\n\
         output = \"ac0.compressor\"\nmode = \"cool\"\non_above = 0.5\noff_below = 0.5\n\
         instance = \"/3308/20\"\n",
        unit(0),
        unit(1)
    )
}

impl Plant {
    fn start(endpoint: &'static str) -> Self {
        let mut place = Place::of(endpoint, endpoint, keyed());
        place.knows(Some(("operator", KEY)));
        let template = root().join("config/templates/eastron-sdm120.toml");
        write(
            &place.directory.join("templates/eastron-sdm120.toml"),
            fs::read(template).unwrap(),
        );
        let (units, line) = line();
        let account = account("operator", &place.relay.uri(), 101, &psk("operator"));
        let agent = place.run(&(account + &tables(&line)));
        place.registered();
        for path in [ROOM, POWER, ENERGY, COMPRESSORS[0], COMPRESSORS[1]] {
            agent.until(&["read", path], SOON, |point| point["quality"] == "good");
        }
        Self {
            agent,
            place,
            units,
        }
    }

    #[track_caller]
    fn ask(&mut self, command: Value, code: u16) -> Value {
        let endpoint = self.place.endpoint.clone();
        let answer = self.place.leshan.ask(&endpoint, command.clone());
        assert_eq!(answer["code"], code, "{command}: {answer}");
        answer["content"].clone()
    }

    #[track_caller]
    fn write(&mut self, path: &str, kind: &str, value: Value) {
        self.ask(
            json!({"do": "write", "path": path, "format": "TLV", "node": [kind, value]}),
            204,
        );
    }

    fn observe(&mut self, path: &str) {
        let command = json!({"do": "observe", "path": path, "format": "SENML_CBOR"});
        self.ask(command, 205);
    }

    /// Waits until the server is told this number of a path.
    fn told(&mut self, path: &str, number: f64) {
        self.told_all(path, &[number]);
    }

    /// The same of several, in one message or more.
    fn told_all(&mut self, path: &str, numbers: &[f64]) {
        let mut missing = numbers.to_vec();
        while !missing.is_empty() {
            let event = self.place.leshan.event(SOON, |event| event["path"] == path);
            let samples = event["samples"].as_array().into_iter().flatten();
            let contents = samples.map(|sample| &sample["content"]);
            let told: Vec<f64> = contents
                .chain([&event["content"]])
                .filter_map(Value::as_f64)
                .collect();
            missing.retain(|number| !told.iter().any(|told| (told - number).abs() < 1e-6));
        }
    }

    fn runs(&self, number: usize) -> bool {
        let coil = |bank: &mut Bank| bank.coils[&COMPRESSOR_AT];
        self.units.with(UNITS[number], coil)
    }

    fn soon(&self, number: usize, runs: bool) {
        until("the compressor", || self.runs(number) == runs);
    }

    /// The first room gets so warm, in tenths of a degree; the box has seen it.
    fn room(&self, tenths: u16) {
        self.units.with(UNITS[0], |bank| {
            bank.input.insert(ROOM_AT, tenths);
        });
        let degrees = f64::from(tenths) / 10.0;
        self.agent.until(&["read", ROOM], SOON, |point| {
            point["value"]
                .as_f64()
                .is_some_and(|value| (value - degrees).abs() < 1e-6)
        });
    }

    fn meter(&self, at: u16, value: f32) {
        let bits = value.to_bits();
        self.units.with(METER, |bank| {
            bank.input.insert(at, (bits >> 16) as u16);
            bank.input.insert(at + 1, bits as u16);
        });
    }

    /// It switches at these tenths of a degree, not before, and stays as it is between.
    fn switches_at(&self, on: u16, off: u16) {
        self.room(off - 1);
        self.soon(0, false);
        self.room(on - 1);
        assert!(!self.runs(0), "it is not warm enough yet");
        self.room(on + 1);
        self.soon(0, true);
        self.room(off + 1);
        assert!(self.runs(0), "it is not cold enough yet");
        self.room(off - 1);
        self.soon(0, false);
    }
}

#[test]
fn b2_air_conditioning_one_unit_and_all_of_them_are_switched() {
    let mut plant = Plant::start("b2-switch");
    plant.write(COMPRESSORS[1], "boolean", json!(true));
    assert!(plant.runs(1) && !plant.runs(0));
    plant.write(ALL_COMMAND, "integer", json!(100));
    plant.soon(0, true);
    assert!(plant.runs(1));
    plant.write(ALL_COMMAND, "integer", json!(0));
    for number in [0, 1] {
        plant.soon(number, false);
    }
    plant
        .agent
        .until(&["read", ALL_STATE], SOON, |state| state["value"] == "off");
    let state = json!({"do": "read", "path": ALL_STATE});
    assert_eq!(plant.ask(state, 205), "off");
}

#[test]
fn b2_air_conditioning_what_is_consumed_is_reported() {
    let mut plant = Plant::start("b2-meter");
    for path in [POWER, ENERGY] {
        plant.observe(path);
    }
    plant.meter(POWER_AT, 1437.5);
    plant.told(POWER, 1437.5);
    // The meter says kWh.
    plant.meter(IMPORT_AT, 12.5);
    plant.told(ENERGY, 12_500.0);
}

#[test]
fn b2_air_conditioning_both_thresholds_are_the_servers_and_hold_without_it() {
    let mut plant = Plant::start("b2-threshold");
    plant.switches_at(245, 235);
    plant.write(SETPOINT, "float", json!(26.0));
    plant.write(ON_ABOVE, "float", json!(1.0));
    plant.write(OFF_BELOW, "float", json!(0.2));
    plant.switches_at(270, 258);
    plant.observe(ROOM);

    // Nobody can be reached, and the power fails once.
    plant.place.relay.cut();
    plant.switches_at(270, 258);
    plant.agent.lines.signal("KILL");
    plant.agent = Agent::rerun(&plant.place.directory, &[]);
    plant.switches_at(270, 258);
    plant.room(251);

    // What was measured meanwhile arrives.
    plant.place.relay.mend();
    plant.told_all(ROOM, &[25.7, 26.9, 27.1, 25.9, 25.1]);
    assert_eq!(plant.ask(json!({"do": "read", "path": ON_ABOVE}), 205), 1.0);
}

/// A value that no thermostat can work with is refused in words, and nothing changes.
#[expect(
    clippy::disallowed_methods,
    reason = "a test against a real server waits in real time"
)]
#[test]
fn b2_air_conditioning_thresholds_that_meet_are_refused() {
    let mut plant = Plant::start("b2-refused");
    plant.write(ON_ABOVE, "float", json!(0.0));
    let command =
        json!({"do": "write", "path": OFF_BELOW, "format": "TLV", "node": ["float", 0.0]});
    let begun = Instant::now();
    plant.ask(command, 400);
    assert!(begun.elapsed() < SOON);
    let off = plant.ask(json!({"do": "read", "path": OFF_BELOW}), 205);
    assert_eq!(off, 0.5);
}
