//! `[mqtt]`, devices that speak through it, and what our templates make of the messages of theirs.

use std::{fs, path::Path};

use lamplighter::config::{Config, DeviceKind};
use lamplighter_adapters::mqtt::{MqttConfig, PAYLOAD_MAX};
use lamplighter_model::Value;

use crate::{SERVER, directory, problems::found, put, source};

/// Messages of a device, and what is made of them.
struct Case {
    template: &'static str,
    parameters: &'static str,
    /// Topic, message, point, value.
    messages: &'static [(&'static str, &'static str, &'static str, &'static str)],
    /// Point, value, topic and message of the command.
    command: Option<(&'static str, bool, &'static str, &'static str)>,
}

const CASES: &[Case] = &[
    Case {
        template: "tasmota-plug",
        parameters: r#"{ topic = "plug" }"#,
        messages: &[
            ("stat/plug/POWER", "ON", "relay", "true"),
            (
                "tele/plug/SENSOR",
                r#"{"Time":"2026-01-01T00:00:00","ENERGY":{"Total":3.185,"Power":84,"Voltage":230}}"#,
                "energy",
                "3185",
            ),
            (
                "tele/plug/SENSOR",
                r#"{"ENERGY":{"Power":84,"Voltage":230}}"#,
                "power",
                "84",
            ),
        ],
        command: Some(("relay", false, "cmnd/plug/POWER", "OFF")),
    },
    Case {
        template: "shelly-plus-plug",
        parameters: r#"{ topic = "shellyplusplugs-1" }"#,
        messages: &[
            (
                "shellyplusplugs-1/status/switch:0",
                r#"{"id":0,"source":"init","output":true,"apower":12.5,"voltage":229.9}"#,
                "relay",
                "true",
            ),
            (
                "shellyplusplugs-1/status/switch:0",
                r#"{"id":0,"output":false,"apower":0.0,"aenergy":{"total":1842.311}}"#,
                "energy",
                "1842.311",
            ),
        ],
        command: Some((
            "relay",
            true,
            "shellyplusplugs-1/rpc",
            r#"{"id":1,"src":"lamplighter","method":"Switch.Set","params":{"id":0,"on":true}}"#,
        )),
    },
    Case {
        template: "zigbee2mqtt-switch",
        parameters: r#"{ name = "kitchen/plug" }"#,
        messages: &[(
            "zigbee2mqtt/kitchen/plug",
            r#"{"linkquality":112,"state":"ON"}"#,
            "switch",
            "true",
        )],
        command: Some((
            "switch",
            true,
            "zigbee2mqtt/kitchen/plug/set",
            r#"{"state":"ON"}"#,
        )),
    },
    Case {
        template: "zigbee2mqtt-climate-sensor",
        parameters: r#"{ name = "attic" }"#,
        messages: &[(
            "zigbee2mqtt/attic",
            r#"{"temperature":27.34,"humidity":44.72}"#,
            "temperature",
            "27.34",
        )],
        command: None,
    },
];

#[cfg(feature = "demo")]
pub(crate) fn has_case(template: &str) -> bool {
    CASES.iter().any(|case| case.template == template)
}

fn of(template: &str, parameters: &str) -> Config {
    let directory = directory("mqtt");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/templates");
    let file = format!("{template}.toml");
    let text = fs::read_to_string(shipped.join(&file)).unwrap();
    fs::create_dir_all(directory.join("templates")).unwrap();
    put(&directory, &format!("templates/{file}"), &text);
    let main = format!(
        "{SERVER}[mqtt]\nurl = \"mqtt://127.0.0.1\"\n[device.it]\ntemplate = \"{template}\"\nparameters = {parameters}\n"
    );
    put(&directory, "lamplighter.toml", &main);
    let checked = source(&directory).check();
    fs::remove_dir_all(directory).unwrap();
    assert_eq!(checked.problems, [], "{template}");
    checked.config.unwrap()
}

fn device(config: &Config) -> (Vec<String>, &MqttConfig) {
    let DeviceKind::Mqtt(mqtt) = &config.devices[0].kind else {
        panic!("{:?}", config.devices[0])
    };
    let names = mqtt.points.iter().map(|point| point.name.clone());
    (names.collect(), &mqtt.config)
}

#[test]
fn templates_read_the_messages_of_their_devices_and_command_them() {
    for case in CASES {
        let config = of(case.template, case.parameters);
        let (names, mqtt) = device(&config);
        let point = |name: &str| {
            let at = names
                .iter()
                .position(|known| *known == format!("it.{name}"));
            &mqtt.points[at.unwrap_or_else(|| panic!("{name}"))]
        };
        for (topic, message, name, value) in case.messages {
            let point = point(name);
            assert_eq!(point.topic, *topic);
            let read = point.form.decode(message.as_bytes()).unwrap();
            assert_eq!(read.to_string(), *value, "{} {name}", case.template);
            assert!(mqtt.topics().contains(&point.topic));
        }
        assert!(mqtt.availability.is_some(), "{}", case.template);
        assert_eq!(mqtt.topics()[0], mqtt.availability.as_ref().unwrap().topic);
        let Some((name, on, topic, message)) = case.command else {
            continue;
        };
        let command = point(name).command.as_ref().unwrap();
        let word = point(name).form.encode(&Value::Boolean(on)).unwrap();
        let told = command.payload.replace("{value}", &word);
        assert_eq!((command.topic.as_str(), told.as_str()), (topic, message));
    }
    const { assert!(PAYLOAD_MAX >= 65_536) };
}

#[test]
fn wrong_brokers_and_topics_are_found_where_they_stand() {
    let device =
        "[device.a]\nadapter = \"mqtt\"\n[device.a.point.b]\nresource = \"/3303/0/5700\"\n";
    let broker = "[mqtt]\nurl = \"mqtt://127.0.0.1\"\n";
    for (text, words) in [
        (
            "[mqtt]\nurl = \"http://a\"\n".to_owned(),
            "`http://a` is not the address of a broker",
        ),
        (
            "[mqtt]\nurl = \"mqtt://a:x\"\n".to_owned(),
            "`mqtt://a:x` is not the address",
        ),
        ("[mqtt]\n".to_owned(), "the key `url` is missing in [mqtt]"),
        (
            "[mqtt]\nurl = \"mqtts://a\"\n".to_owned(),
            "the key `ca` is missing in [mqtt]",
        ),
        (
            format!("{broker}user = \"a\"\n"),
            "the key `password` is missing in [mqtt]",
        ),
        (
            format!("{broker}user = \"a\"\npassword = \"swordfish\"\n"),
            "a secret does not stand in the configuration itself",
        ),
        (
            format!("{device}topic = \"a\"\n"),
            "there is no [mqtt]: no broker to speak through",
        ),
        (format!("{broker}{device}"), "the key `topic` is missing"),
        (
            format!("{broker}{device}topic = \"a/+\"\n"),
            "`a/+` is not one topic",
        ),
        (
            format!("{broker}{device}topic = \"a\"\nfield = \"x\"\n"),
            "`x` does not begin with a slash",
        ),
        (
            format!("{broker}{device}topic = \"a\"\non = \"1\"\n"),
            "only a Boolean has such words",
        ),
        (
            format!(
                "{broker}{device}topic = \"a\"\ncommand = {{ topic = \"b\", payload = \"x\" }}\n"
            ),
            "the value is not in it",
        ),
    ] {
        let found = found("mqtt", &text);
        let fits = |(_, problem): &(usize, String)| problem.contains(words);
        assert!(found.iter().any(fits), "{text}{found:#?}");
    }
}

#[test]
fn the_broker_keeps_no_command_of_an_output() {
    let words = "an output would be switched by an old command when its device comes back";
    for (target, problems) in [
        ("instance = \"/3306/9\"", 1),
        ("resource = \"/3306/9/5850\"", 1),
        ("resource = \"/3308/9/5900\"", 0),
    ] {
        let text = format!(
            "[mqtt]\nurl = \"mqtt://127.0.0.1\"\n[device.a]\nadapter = \"mqtt\"\n[device.a.point.b]\n\
             {target}\ntopic = \"a\"\ncommand = {{ topic = \"b\", retain = true }}\n"
        );
        let found = found("mqtt", &text);
        let told = found.iter().filter(|(_, problem)| problem.contains(words));
        assert_eq!(told.count(), problems, "{text}{found:#?}");
    }
}

#[test]
fn files_of_the_kernel_are_named_as_they_are() {
    let device = |adapter: &str, keys: &str| {
        format!(
            "[device.a]\nadapter = \"{adapter}\"\n[device.a.point.b]\nresource = \"/3303/0/5700\"\n{keys}\n"
        )
    };
    for (text, words) in [
        (device("w1", "sensor = \"28-00000abcdef0\""), ""),
        (device("w1", ""), "the key `sensor` is missing"),
        (
            device("w1", "sensor = \"../../x\""),
            "is not the name of a sensor",
        ),
        (device("system", "what = \"cpu_temperature\""), ""),
        (device("system", "file = \"/sys/x\"\nscale = 0.001"), ""),
        (device("system", ""), "the key `what` is missing"),
        (
            device("system", "file = \"sys/x\""),
            "`sys/x` is no absolute path",
        ),
        (
            device("system", "file = \"/sys/x\"\nscale = 0"),
            "`scale = 0` is no factor",
        ),
        (
            device("system", "what = \"memory_used\"\nfile = \"/x\""),
            "a point has `what` or `file`, not both",
        ),
    ] {
        let found = found("files", &text);
        let fits = |(_, problem): &(usize, String)| problem.contains(words);
        let is_right = if words.is_empty() {
            found.is_empty()
        } else {
            found.iter().any(fits)
        };
        assert!(is_right, "{text}{found:#?}");
    }
}
