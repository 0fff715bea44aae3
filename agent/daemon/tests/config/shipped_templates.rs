//! Every device type that we ship reads what the manual of its device says, from a simulated device.
#![cfg(feature = "demo")]

use std::{
    fs,
    future::ready,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use lamplighter::config::{Config, DeviceKind, Modbus};
use lamplighter_adapters::{
    Adapter as _, Clock,
    bus::Opener,
    modbus::{Bus, BusSettings, Framing, ModbusDevice},
};
use lamplighter_model::{BootId, Stamp, Value};
use lamplighter_sim::modbus::{self, Obedient, Units};
use tokio::io::DuplexStream;

use crate::{SERVER, directory, put, source, templates::BUS};

/// What a device holds, in the words of its manual, and what is made of it.
struct Case {
    template: &'static str,
    /// Addresses on the wire.
    coils: &'static [(u16, bool)],
    holding: &'static [(u16, u16)],
    input: &'static [(u16, u16)],
    values: &'static [(&'static str, Expected)],
}

enum Expected {
    Number(f64),
    On(bool),
    Text(&'static str),
}
use Expected::{Number, On, Text};

const CASES: &[Case] = &[
    // The manual's own examples: 0x0131 is 30.5 °C, 0xFF33 is -20.5 °C, 0x0222 is 54.6 %.
    Case {
        template: "xy-md02",
        coils: &[],
        holding: &[],
        input: &[(1, 0xFF33), (2, 0x0222)],
        values: &[("temperature", Number(-20.5)), ("humidity", Number(54.6))],
    },
    Case {
        template: "eastron-sdm120",
        coils: &[],
        holding: &[],
        // 230.5 V, 1.5 A, 345.75 W, 50 Hz, 12.5 kWh, 0.25 kWh as IEEE 754.
        input: &[
            (0, 0x4366),
            (1, 0x8000),
            (6, 0x3FC0),
            (7, 0),
            (12, 0x43AC),
            (13, 0xE000),
            (70, 0x4248),
            (71, 0),
            (72, 0x4148),
            (73, 0),
            (74, 0x3E80),
            (75, 0),
        ],
        values: &[
            ("voltage", Number(230.5)),
            ("current", Number(1.5)),
            ("power", Number(345.75)),
            ("frequency", Number(50.0)),
            ("energy_import", Number(12_500.0)),
            ("energy_export", Number(250.0)),
        ],
    },
    Case {
        template: "eastron-sdm630",
        coils: &[],
        holding: &[],
        input: &[
            (0, 0x4366),
            (1, 0x8000),
            (2, 0x4367),
            (3, 0),
            (4, 0x4368),
            (5, 0),
            (6, 0x3FC0),
            (7, 0),
            (8, 0x4000),
            (9, 0),
            (10, 0x4040),
            (11, 0),
            (12, 0x43AC),
            (13, 0xE000),
            (14, 0x43E7),
            (15, 0),
            (16, 0x442E),
            (17, 0),
            (52, 0x44BB),
            (53, 0x8000),
            (70, 0x4248),
            (71, 0),
            (72, 0x4148),
            (73, 0),
            (74, 0x3E80),
            (75, 0),
        ],
        values: &[
            ("voltage_l1", Number(230.5)),
            ("voltage_l2", Number(231.0)),
            ("voltage_l3", Number(232.0)),
            ("current_l1", Number(1.5)),
            ("current_l2", Number(2.0)),
            ("current_l3", Number(3.0)),
            ("power_l1", Number(345.75)),
            ("power_l2", Number(462.0)),
            ("power_l3", Number(696.0)),
            ("power", Number(1500.0)),
            ("frequency", Number(50.0)),
            ("energy_import", Number(12_500.0)),
            ("energy_export", Number(250.0)),
        ],
    },
    Case {
        template: "waveshare-relay-8",
        coils: &[
            (0, true),
            (1, false),
            (2, true),
            (3, false),
            (4, false),
            (5, false),
            (6, false),
            (7, true),
        ],
        holding: &[],
        input: &[],
        values: &[
            ("relay1", On(true)),
            ("relay2", On(false)),
            ("relay3", On(true)),
            ("relay8", On(true)),
        ],
    },
    Case {
        template: "systemair-save",
        coils: &[],
        holding: &[
            (12_101, 0xFFCE),
            (12_102, 185),
            (12_543, 221),
            (12_135, 41),
            (2000, 190),
            (1130, 3),
        ],
        input: &[(14_000, 46), (14_001, 47), (15_900, 1)],
        values: &[
            ("outdoor_air", Number(-5.0)),
            ("supply_air", Number(18.5)),
            ("extract_air", Number(22.1)),
            ("humidity", Number(41.0)),
            ("setpoint", Number(19.0)),
            ("fan_level", Text("normal")),
            ("supply_fan", Number(46.0)),
            ("extract_fan", Number(47.0)),
            ("alarm", On(true)),
        ],
    },
    // The manual's defaults: 0x0834 is 21 °C, 0x0960 is 24 °C.
    Case {
        template: "domat-fc013",
        coils: &[],
        holding: &[
            (12, 0x0834),
            (13, 0x0960),
            (14, 0x0834),
            (17, 0x0960),
            (20, 2345),
        ],
        input: &[],
        values: &[
            ("room", Number(23.45)),
            ("setpoint_heat", Number(21.0)),
            ("setpoint_cool", Number(24.0)),
            ("comfort_heat", Number(21.0)),
            ("comfort_cool", Number(24.0)),
        ],
    },
];

struct Once(Option<DuplexStream>);

impl Opener for Once {
    type Port = DuplexStream;

    fn open(&mut self) -> impl Future<Output = io::Result<DuplexStream>> + Send {
        ready(self.0.take().ok_or_else(|| io::ErrorKind::NotFound.into()))
    }
}

fn templates_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/templates")
}

fn of(template: &str) -> Config {
    let directory = directory("shipped-template");
    let device = format!("[device.it]\nbus = \"line\"\nunit = 1\ntemplate = \"{template}\"\n");
    put(
        &directory,
        "lamplighter.toml",
        &format!("{SERVER}{BUS}{device}"),
    );
    let checked = source(&directory).check();
    assert_eq!(checked.problems, [], "{template}");
    checked.config.unwrap()
}

#[test]
fn every_shipped_template_has_a_case_here_and_names_its_manual() {
    for entry in fs::read_dir(templates_dir()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let is_told = text.contains("adapter = \"mqtt\"") && crate::mqtt::has_case(name);
        assert!(
            is_told || CASES.iter().any(|case| case.template == name),
            "{name} has no case"
        );
        assert!(
            text.contains("\nsource = \"") && text.starts_with("text = \""),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn every_shipped_template_reads_what_the_manual_says_from_a_simulated_device() {
    for case in CASES {
        let config = of(case.template);
        let modbus = modbus_of(&config);
        let units = Units::default();
        units.with(1, |bank| {
            bank.coils.extend(case.coils.iter().copied());
            bank.holding.extend(case.holding.iter().copied());
            bank.input.extend(case.input.iter().copied());
        });
        // Between what is asked for a device has registers of which we know nothing.
        units.with(1, fill_gaps);
        let (ours, theirs) = tokio::io::duplex(4096);
        let slave = modbus::serve(theirs, modbus::Framing::Rtu, units, Obedient);
        tokio::spawn(async move { slave.await.unwrap() });
        let settings = BusSettings::new("line", Framing::Rtu("9600-8E1".parse().unwrap()));
        let (bus, owner) = Bus::new(Once(Some(ours)), settings.clone(), 1);
        tokio::spawn(owner.run());
        let clock = Clock::new(|| Stamp {
            boot: BootId(1),
            mono: Duration::ZERO,
        });
        let mut device =
            ModbusDevice::new(modbus.config.clone(), bus, &settings, clock, 1).unwrap();
        for (name, expected) in case.values {
            let point = modbus
                .points
                .iter()
                .find(|point| point.name == format!("it.{name}"));
            let point = point.unwrap_or_else(|| panic!("{name}"));
            let samples = device
                .read(point.address.instance(), &[point.address.path.resource])
                .await;
            let samples =
                samples.unwrap_or_else(|fault| panic!("{} {name}: {fault:?}", case.template));
            let sample = samples
                .iter()
                .find(|sample| sample.address == point.address)
                .unwrap();
            let fits = match expected {
                Number(number) => sample
                    .value
                    .as_f64()
                    .is_some_and(|value| (value - number).abs() < 1e-9),
                On(on) => sample.value == Value::Boolean(*on),
                Text(text) => sample.value == Value::String((*text).into()),
            };
            assert!(fits, "{} {name}: {:?}", case.template, sample.value);
        }
        let named = case.values.len();
        assert!(
            named == modbus.points.len() || case.template == "waveshare-relay-8",
            "{}",
            case.template
        );
    }
}

fn fill_gaps(bank: &mut modbus::Bank) {
    for table in [&mut bank.holding, &mut bank.input] {
        let Some((first, last)) = table
            .keys()
            .next()
            .copied()
            .zip(table.keys().last().copied())
        else {
            continue;
        };
        for at in first..=last {
            table.entry(at).or_insert(0xAAAA);
        }
    }
}

fn modbus_of(config: &Config) -> &Modbus {
    let DeviceKind::Modbus(modbus) = &config.devices[0].kind else {
        panic!("{:?}", config.devices[0])
    };
    modbus
}
