//! Device types: how they are filled, and what can be wrong with them.

use std::{fs, path::PathBuf, time::Duration};

use lamplighter::config::{Config, DeviceKind, Loaded, Modbus};
use lamplighter_model::{Decimal, ResourceAddress};

use crate::{SERVER, directory, put, source};

pub(crate) const BUS: &str = "[bus.line]\nkind = \"serial\"\ndevice = \"/dev/serial/by-id/a\"\n";
const PROBE: &str = r#"text = "a probe"
[parameters]
instance = { type = "integer", range = [0, 99], text = "instance of 3303" }
base = { type = "integer", default = 10 }
unit_text = { type = "text", default = "Cel" }
fine = { type = "number", default = 1 }
[device]
adapter = "modbus"
timeout_ms = 250
[device.point.room]
resource = "/3303/${instance}/5700"
read = { table = "input", at = "${base + 2 * 3}", type = "i16" }
scale = "${0.1 * fine}"
unit = "${unit_text}"
[device.point.outside]
resource = "/3303/${instance + 1}/5700"
read = { table = "input", at = "${base - 1}", type = "i16" }
"#;

/// A site with one device of the template `probe`.
fn site(name: &str, template: &str, device: &str) -> PathBuf {
    let directory = directory(name);
    fs::create_dir(directory.join("templates")).unwrap();
    put(&directory, "templates/probe.toml", template);
    let device = format!("[device.room]\nbus = \"line\"\nunit = 3\n{device}");
    put(
        &directory,
        "lamplighter.toml",
        &format!("{SERVER}{BUS}{device}"),
    );
    directory
}

fn modbus(config: &Config) -> &Modbus {
    let DeviceKind::Modbus(modbus) = &config.devices[0].kind else {
        panic!("{:?}", config.devices[0])
    };
    modbus
}

/// Problems as `file:line: what`, the file by its name.
fn problems(name: &str, template: &str, device: &str) -> Vec<String> {
    let problems = source(&site(name, template, device)).check().problems;
    let shown = problems.iter().map(|problem| {
        let file = problem.place.file.rsplit('/').next().unwrap();
        let line = problem.place.line.unwrap_or_default();
        format!(
            "{file}:{line}: {} ({})",
            problem.what,
            problem.hint.as_deref().unwrap_or_default()
        )
    });
    shown.collect()
}

#[test]
fn a_device_is_made_of_its_template_and_what_it_says_itself_wins() {
    let device = r#"template = "probe"
parameters = { instance = 4, fine = 0.5 }
[device.room.point.outside]
read = { at = 40 }
poll_s = 5
[device.room.point.more]
resource = "/3303/9/5700"
read = { table = "input", at = 1 }
"#;
    let checked = source(&site("filled", PROBE, device)).check();
    assert_eq!(checked.problems, []);
    let config = checked.config.unwrap();
    let modbus = modbus(&config);
    assert_eq!(modbus.config.timeout, Duration::from_millis(250));
    let found: Vec<_> = modbus
        .config
        .points
        .iter()
        .map(|point| {
            let at = point.read.unwrap().at;
            (
                point.name.as_str(),
                point.address,
                at,
                point.codec.scaling.scale,
                point.poll.as_secs(),
            )
        })
        .collect();
    let address = |instance| ResourceAddress::gateway(3303, instance, 5700);
    assert_eq!(
        found,
        [
            ("room.more", address(9), 1, Decimal::from(1), 60),
            ("room.outside", address(5), 40, Decimal::from(1), 5),
            ("room.room", address(4), 16, Decimal::new(5, -2), 60),
        ]
    );
}

#[test]
fn what_the_user_gives_wrongly_is_said_at_his_line() {
    let given = |parameters: &str| format!("template = \"probe\"\nparameters = {parameters}\n");
    let line = SERVER.lines().count() + BUS.lines().count() + 4;
    for (device, expected) in [
        (
            "template = \"prob\"\n".to_owned(),
            format!("lamplighter.toml:{line}: there is no template `prob` (did you mean `probe`?)"),
        ),
        (
            "template = \"../probe\"\n".to_owned(),
            format!("lamplighter.toml:{line}: `template` is the name of a device type"),
        ),
        (
            "parameters = { a = 1 }\n".to_owned(),
            format!("lamplighter.toml:{line}: `parameters` are those of a template"),
        ),
        (
            "template = \"probe\"\n".to_owned(),
            format!(
                "lamplighter.toml:{line}: template `probe` needs the parameter `instance` (parameters = {{ instance = … }})"
            ),
        ),
        (
            given("{ instance = \"a\" }"),
            format!(
                "lamplighter.toml:{}: `instance`: expected a whole number, found the text \"a\" (instance of 3303)",
                line + 1
            ),
        ),
        (
            given("{ instance = 100 }"),
            format!(
                "lamplighter.toml:{}: `instance`: 100 is not within 0 to 99",
                line + 1
            ),
        ),
        (
            given("{ instance = 1, bas = 1 }"),
            format!(
                "lamplighter.toml:{}: template has no parameter `bas` (did you mean `base`?)",
                line + 1
            ),
        ),
        (
            given("{ instance = 1 }\nadapter = \"sim\""),
            format!(
                "lamplighter.toml:{}: template `probe` is of adapter = \"modbus\"",
                line + 2
            ),
        ),
    ] {
        let found = problems("given", PROBE, &device);
        assert!(
            found.iter().any(|problem| problem.starts_with(&expected)),
            "{expected}\n{found:#?}"
        );
    }
}

#[test]
fn what_is_wrong_in_a_template_is_said_at_its_line_and_for_which_device() {
    let device = "template = \"probe\"\nparameters = { instance = 4 }\n";
    let user = SERVER.lines().count() + BUS.lines().count() + 4;
    for (from, to, expected) in [
        (
            "${base - 1}",
            "${bas}",
            "probe.toml:17: `${bas}`: there is no parameter of this name".to_owned(),
        ),
        (
            "${base - 1}",
            "${base / 1}",
            "probe.toml:17: `base / 1` is not a parameter, nor a sum".to_owned(),
        ),
        (
            "${base - 1}",
            "${unit_text + 1}",
            "probe.toml:17: `${unit_text + 1}` cannot be calculated".to_owned(),
        ),
        (
            "default = 10",
            "default = \"ten\"",
            "probe.toml:4: expected a whole number, found the text \"ten\"".to_owned(),
        ),
        (
            "type = \"text\"",
            "type = \"word\"",
            "probe.toml:5: a parameter has a `type`".to_owned(),
        ),
        (
            "adapter = \"modbus\"",
            "template = \"probe\"",
            "probe.toml:8: a template is not made of another".to_owned(),
        ),
        (
            "[device.point.outside]",
            "[[device",
            "probe.toml:15: ".to_owned(),
        ),
        (
            "timeout_ms",
            "timeoutms",
            "probe.toml:9: unknown key `timeoutms`".to_owned(),
        ),
        (
            "text = \"a probe\"",
            "txt = 1",
            "probe.toml:1: unknown key `txt` (did you mean `text`?)".to_owned(),
        ),
        (
            "3303/${instance + 1}",
            "3303/x",
            "probe.toml:16: `/3303/x/5700` does not name a resource".to_owned(),
        ),
    ] {
        let template = PROBE.replacen(from, to, 1);
        let found = problems("fault", &template, device);
        assert!(
            found.iter().any(|problem| problem.starts_with(&expected)),
            "{expected}\n{found:#?}"
        );
    }
    let template = PROBE.replace("3303/${instance + 1}", "3303/x");
    let found = problems("fault-of", &template, device);
    let names_user = ", in [device.room] at ";
    assert!(
        found[0].contains(names_user) && found[0].contains(&format!("lamplighter.toml:{user}")),
        "{found:#?}"
    );
}

#[test]
fn templates_beside_the_configuration_come_before_those_of_the_package() {
    let directory = site("order", PROBE, "template = \"xy-md02\"\n");
    assert!(source(&directory).check().config.is_some());
    put(&directory, "templates/xy-md02.toml", PROBE);
    let problems = source(&directory).check().problems;
    assert!(
        problems[0].what.contains("needs the parameter `instance`"),
        "{problems:?}"
    );
}

#[test]
fn the_last_good_configuration_has_its_templates_with_it() {
    let directory = site(
        "kept",
        PROBE,
        "template = \"probe\"\nparameters = { instance = 4 }\n",
    );
    let state = directory.join("state");
    assert!(matches!(
        source(&directory).load(&state),
        Loaded::Good { .. }
    ));
    fs::remove_dir_all(directory.join("templates")).unwrap();
    let Loaded::LastGood { config, .. } = source(&directory).load(&state) else {
        panic!("last good")
    };
    assert_eq!(modbus(&config).points.len(), 2);
}

#[test]
fn two_devices_of_one_template_have_parameters_of_their_own() {
    let device = "template = \"probe\"\nparameters = { instance = 4 }\n[device.b]\nbus = \"line\"\nunit = 4\ntemplate = \"probe\"\nparameters = { instance = 4 }\n";
    let found = problems("twice", PROBE, device);
    assert!(
        found
            .iter()
            .any(|problem| problem.starts_with("probe.toml:10: ") && problem.contains("[device.")),
        "{found:#?}"
    );
    assert_eq!(
        problems("twice", PROBE, &device.replacen("= 4 }", "= 6 }", 1)),
        Vec::<String>::new()
    );
}
