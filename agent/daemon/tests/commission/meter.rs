//! `lamplighter meter read`.

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use lamplighter_sim::{
    mbus::{MbusConfig, MbusLineConfig, MbusMeters},
    meter::{Meter, MeterConfig},
    pty::Pty,
    pushing::{PushMeter, Telegram},
};

use super::*;

/// Meters that stand where the test is, on a thread of their own.
struct Wall {
    ports: Vec<PathBuf>,
    _end: tokio::sync::oneshot::Sender<()>,
}

fn wall() -> Wall {
    let (ports, told) = mpsc::channel();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let fast = MeterConfig {
                reaction: Duration::from_millis(10),
                identification: "/LMp5lamplighter-1".into(),
                ..MeterConfig::default()
            };
            let asked = Meter::new(fast);
            asked.set_power_w(0);
            let pty = Pty::open().unwrap();
            ports.send(pty.path().to_owned()).unwrap();
            tokio::spawn(asked.serve(pty));
            for telegram in [Telegram::Sml, Telegram::P1] {
                let pty = Pty::open().unwrap();
                ports.send(pty.path().to_owned()).unwrap();
                tokio::spawn(PushMeter::new(telegram, Duration::from_millis(300)).serve(pty));
            }
            let second = MbusConfig {
                primary: 2,
                secondary: [0x79, 0x56, 0x34, 0x12, 0x24, 0x23, 0x28, 0x07],
                ..MbusConfig::default()
            };
            let bus = MbusMeters::new([MbusConfig::default(), second]);
            let pty = Pty::open().unwrap();
            ports.send(pty.path().to_owned()).unwrap();
            tokio::spawn(bus.serve(pty, MbusLineConfig::default()));
            drop(ports);
            let _ = ended.await;
        });
    });
    Wall {
        ports: told.iter().collect(),
        _end: end,
    }
}

fn configuration(wall: &Wall) -> String {
    let bus = |name: &str, port: &Path, line: &str| {
        format!(
            "[bus.{name}]\nkind = \"serial\"\ndevice = \"{}\"\nline = \"{line}\"\n",
            port.display()
        )
    };
    format!(
        "[client]\nendpoint = \"meters\"\n{}[device.main]\nadapter = \"iec62056\"\nbus = \"head\"\n\
         reaction_ms = 20\nbaud_change_delay_ms = 0\n\
         [device.main.point.energy]\nresource = \"/3331/0/5700\"\nobis = \"1-0:1.8.0*255\"\nunit = \"Wh\"\n\
         {}[device.pv]\nadapter = \"sml\"\nbus = \"ir\"\n\
         [device.pv.point.power]\nresource = \"/3305/0/5800\"\nobis = \"16.7.0\"\nunit = \"W\"\n",
        bus("head", &wall.ports[0], "300-7E1"),
        bus("ir", &wall.ports[1], "9600-8N1"),
    )
}

fn line_of<'a>(out: &'a str, begins: &str) -> Vec<&'a str> {
    let line = out.lines().find(|line| line.starts_with(begins));
    line.unwrap_or_else(|| panic!("{out}"))
        .split_whitespace()
        .collect()
}

#[test]
fn a_meter_is_read_out_through_the_agent_and_without_it() {
    let (place, wall) = (Place::new(), wall());
    place.configure(&configuration(&wall));
    let agent = place.agent("main.energy");
    let said = place.run(&["meter", "read", "main"]);
    assert_eq!(said.exit, 0, "{}", said.err);
    assert!(
        said.out
            .starts_with("/LMp5lamplighter-1, number 00012345, read in ")
    );
    assert_eq!(
        line_of(&said.out, "1.8.0 "),
        ["1.8.0", "0012345.678", "kWh", "/3331/0/5700", "main.energy"]
    );
    assert_eq!(
        line_of(&said.out, "32.7.0"),
        ["32.7.0", "230.1", "V", "(/3316/N/5700)"]
    );
    let pv = place.json(&["meter", "read", "pv"]);
    assert_eq!(pv["adapter"], "sml");
    assert_eq!(pv["readout"]["serial"], "0A014C4D500000003039");
    let which = place.run(&["meter", "read"]);
    assert_eq!(which.exit, 2, "{}", which.err);
    assert!(which.err.contains("which meter? there is main, pv"));
    let shown = place.json(&["devices"]);
    assert_eq!(shown[0]["adapter"], "iec62056");
    drop(agent);

    let alone = place.json(&["meter", "read", "pv"]);
    let readings = alone["readout"]["readings"].as_array().unwrap();
    let power = readings
        .iter()
        .find(|reading| reading["obis"] == "1-0:16.7.0");
    let power = power.unwrap();
    assert_eq!(
        (&power["value"], &power["unit"]),
        (&"350".into(), &"W".into())
    );
    assert_eq!(power["points"][0]["point"], "pv.power");
}

#[test]
fn meters_on_a_bus_are_found_and_read() {
    let (place, wall) = (Place::new(), wall());
    let port = wall.ports[3].to_str().unwrap();
    let scan = [
        "meter",
        "scan",
        "--port",
        port,
        "--line",
        "9600-8E1",
        "--secondary",
    ];
    let found = place.json(&[&scan[..], &["--fitting", "1234567F"]].concat());
    let told = |at: usize, key: &str| found[at][key].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        [told(0, "secondary"), told(0, "maker"), told(0, "medium")],
        ["1234567824232804", "HYD", "heat"]
    );
    assert_eq!(
        [told(1, "secondary"), told(1, "medium")],
        ["1234567924232807", "water"]
    );
    let read = [
        "meter",
        "read",
        "--port",
        port,
        "--kind",
        "mbus",
        "--address",
        "2",
    ];
    let meter = place.json(&read);
    assert_eq!(meter["readout"]["serial"], "12345679");
    let first = &meter["readout"]["readings"][0];
    assert_eq!(
        (&first["obis"], &first["value"], &first["unit"]),
        (
            &"energy [0C 06]".into(),
            &"12345678000".into(),
            &"Wh".into()
        )
    );
}

#[test]
fn a_meter_at_a_port_needs_no_configuration() {
    let (place, wall) = (Place::new(), wall());
    let port = |at: usize| wall.ports[at].to_str().unwrap().to_owned();
    let asked = [
        "meter",
        "read",
        "--port",
        &port(0),
        "--baud-change-delay-ms",
        "0",
    ];
    let said = place.run(&asked);
    assert_eq!(said.exit, 0, "{}", said.err);
    assert!(said.out.contains("0012345.678"), "{}", said.out);
    for (at, kind, register) in [(1, "sml", "1-0:1.8.0"), (2, "p1", "1-0:1.8.1")] {
        let said = place.run(&["meter", "read", "--port", &port(at), "--kind", kind]);
        assert_eq!(said.exit, 0, "{}", said.err);
        assert_eq!(line_of(&said.out, register)[3], "(/3331/N/5700)");
    }
    let nowhere = place.run(&["meter", "read", "--port", "/dev/none", "--kind", "sml"]);
    assert_eq!(nowhere.exit, 1);
    assert!(
        nowhere.err.contains("there is no /dev/none"),
        "{}",
        nowhere.err
    );
    let none = place.run(&["meter", "read"]);
    assert_ne!(none.exit, 0);
}
