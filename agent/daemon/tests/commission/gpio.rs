//! `lamplighter gpio`.

use crate::Place;

const SITE: &str = r#"
[client]
endpoint = "cab-17"
[device.lamps]
adapter = "gpio"
backend = "sim"
[device.lamps.point]
l1 = { line = "GPIO5", instance = "/3416/1", boot = "off" }
hand = { line = "GPIO22", resource = "/3342/9/5500" }
"#;

#[test]
fn lines_are_listed_read_and_switched_by_point_and_by_name() {
    let place = Place::new();
    place.configure(SITE);
    let said = place.run(&["gpio", "list"]);
    assert!(
        said.out.contains("GPIO5") && said.out.contains("lamps.l1"),
        "{}",
        said.out
    );
    let agent = place.agent("lamps.hand");
    let list = place.json(&["gpio", "list"]);
    let rows = list.as_array().unwrap();
    let lamp = rows.iter().find(|row| row["point"] == "lamps.l1").unwrap();
    assert_eq!(
        (&lamp["line"], &lamp["direction"]),
        (&"GPIO5".into(), &"output".into())
    );
    assert_eq!(place.json(&["gpio", "get", "GPIO22"])["value"], false);
    assert_eq!(
        place.run(&["gpio", "set", "GPIO5", "on"]).exit,
        0,
        "as the point that it is"
    );
    assert_eq!(place.json(&["read", "/3416/1/3"])["value"], 100);
    assert!(place.run(&["why", "lamps.l1"]).out.contains("on"));
    assert_eq!(place.run(&["gpio", "set", "lamps.l1", "off"]).exit, 0);
    assert_eq!(place.json(&["gpio", "get", "lamps.l1"])["value"], 0);
    drop(agent);
    assert_eq!(
        place.run(&["gpio", "set", "lamps.l1", "on"]).exit,
        4,
        "only the agent knows what holds it"
    );
}

#[test]
fn what_cannot_be_done_with_a_line_is_said() {
    let place = Place::new();
    place.configure(SITE);
    for (arguments, exit, words) in [
        (
            &["gpio", "get", "lamps.l9"][..],
            5,
            "lamps.l9 is no point on a GPIO line",
        ),
        (&["gpio", "set", "GPIO5", "maybe"], 2, "a line is on or off"),
        (&["gpio", "get", "GPIO99", "--chip", "pinctrl-none"], 1, ""),
    ] {
        let said = place.run(arguments);
        assert_eq!(said.exit, exit, "{arguments:?} {}", said.err);
        assert!(
            said.err.contains(words),
            "{words} is missing in {}",
            said.err
        );
    }
}

const DIMMED: &str = r#"
[client]
endpoint = "cab-17"
[device.lamps]
adapter = "gpio"
backend = "sim"
[device.lamps.point]
l1 = { line = "GPIO18", instance = "/3416/1", pwm_hz = 200 }
l2 = { line = "GPIO19", instance = "/3311/2", pwm_hz = 200 }
l3 = { line = "GPIO5", instance = "/3416/3" }
[site.group.street]
members = ["lamps.l1", "lamps.l3"]
"#;

#[test]
fn a_dimmed_lamp_takes_levels_from_everybody_and_a_relay_does_not() {
    let place = Place::new();
    place.configure(DIMMED);
    let agent = place.agent("/3416/1/3");
    assert_eq!(place.run(&["write", "/3416/1/1", "40"]).exit, 0);
    let read = |path: &str| place.json(&["read", path])["value"].clone();
    assert_eq!(
        (read("/3416/1/2"), read("/3416/1/3")),
        (40.into(), 40.into())
    );
    assert_eq!(place.run(&["write", "/3311/2/5851", "70"]).exit, 0);
    assert_eq!(
        (read("/3311/2/5851"), read("/3311/2/5850")),
        (70.into(), true.into())
    );
    assert_eq!(place.run(&["write", "/3311/2/5850", "false"]).exit, 0);
    assert_eq!(read("/3311/2/5851"), 0);
    let refused = place.run(&["write", "/3416/3/1", "40"]);
    assert_eq!(refused.exit, 5);
    assert!(
        refused.err.contains("a relay cannot dim"),
        "{}",
        refused.err
    );
    assert_eq!(place.run(&["write", "/3416/1/1", "101"]).exit, 5);
    assert_eq!(place.run(&["on", "street"]).exit, 0);
    assert!(
        (0..crate::TRIES).any(|_| read("/3416/1/3") == 100),
        "a group switches it fully on"
    );
    assert_eq!(place.run(&["write", "/3416/1/1", "25"]).exit, 0);
    drop(agent);
    // A kill is no end: what was commanded is decided again before the line is driven.
    let _agent = place.agent("/3416/1/3");
    assert_eq!(read("/3416/1/1"), 25);
}
