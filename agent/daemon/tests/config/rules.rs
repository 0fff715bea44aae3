//! Schedules, photocells and thermostats: what is refused, at which line, and what is made of the
//! rest.

use std::time::Duration;

use lamplighter_model::ResourceAddress;
use lamplighter_site::boundary::{Mode, Policy, Setpoint, WhenLost};

use crate::{SERVER, check};

/// Devices that rules can be made of; line numbers of problems are counted after it.
const DEVICES: &str = r#"
[device.box]
adapter = "sim"
[device.box.point]
l1 = { resource = "/3311/1/5850" }
l2 = { resource = "/3311/2/5850" }
cooler = { resource = "/3306/1/5850", fail_safe = { on = "server_lost", after_s = 3600, value = false } }
air = { resource = "/3303/1/5700" }
wanted = { resource = "/3308/1/5900" }
lux = { resource = "/3301/1/5700" }
dark = { resource = "/3419/1/3" }
name = { resource = "/3303/1/5750" }
"#;

fn whole(text: &str) -> String {
    format!("{SERVER}{DEVICES}{text}")
}

/// Problems with the line they are found at.
fn found(text: &str) -> Vec<(usize, String)> {
    let before = SERVER.lines().count() + DEVICES.lines().count();
    let checked = check("rules", &whole(text));
    let problems = checked.problems.iter();
    problems
        .map(|problem| {
            let line = problem.place.line.unwrap_or(0).saturating_sub(before);
            (line, problem.to_string())
        })
        .collect()
}

fn assert_found(text: &str, line: usize, words: &str) {
    let found = found(text);
    let fits = found.len() == 1 && found[0].0 == line && found[0].1.contains(words);
    assert!(fits, "\n{text}\nexpected {line}: {words}\nfound {found:#?}");
}

const GROUP: &str = "[site]\nposition = { lat = 52.52, lon = 13.4 }\n[site.group.a]\n\
                     members = [\"box.l1\"]\n";

#[test]
fn wrong_schedules_are_found_where_they_stand() {
    for (schedule, words) in [
        ("{ on = \"sunset\", off = \"25:00\" }", "`25:00` is no time"),
        ("{ on = \"sunset\" }", "the key `off` is missing"),
        ("{ always = \"off\", on = \"sunset\" }", "stands alone"),
        ("{ always = \"sometimes\" }", "unknown value `sometimes`"),
        (
            "{ on = \"sunset\", off = \"23:30\", end = \"05:00\" }",
            "belongs to `resume`",
        ),
        (
            "{ always = \"off\", days = { \"someday\" = { always = \"on\" } } }",
            "names no days",
        ),
        (
            "{ always = \"off\", days = { \"sat,sun\" = { always = \"on\" }, \"sun\" = { always = \"on\" } } }",
            "name the same days",
        ),
        (
            "{ on = \"sunset+08:00\", off = \"23:30\" }",
            "never switches: it is off all year",
        ),
        (
            "{ on = \"sunset\", off = \"sunrise\", weekdays = \"mon\" }",
            "unknown key `weekdays`",
        ),
    ] {
        assert_found(&format!("{GROUP}schedule = {schedule}\n"), 5, words);
    }
}

#[test]
fn a_schedule_by_the_sun_needs_a_position_that_is_not_the_pole() {
    let group =
        "[site.group.a]\nmembers = [\"box.l1\"]\nschedule = { on = \"sunset\", off = \"23:30\" }\n";
    assert_found(group, 3, "there is no `site.position`");
    let pole = format!("[site]\nposition = {{ lat = 90.0, lon = 0.0 }}\n{group}");
    assert_found(&pole, 5, "at the pole");
    let clock =
        "[site.group.a]\nmembers = [\"box.l1\"]\nschedule = { on = \"20:00\", off = \"23:30\" }\n";
    assert_eq!(found(clock), []);
    // In the far north the sun is not seen every day, and still every year.
    let north = format!("[site]\nposition = {{ lat = 78.2, lon = 15.6 }}\n{group}");
    assert_eq!(found(&north), []);
    let constant = "[site.group.a]\nmembers = [\"box.l1\"]\nschedule = { always = \"on\" }\n";
    assert_eq!(found(constant), []);
}

#[test]
fn an_output_has_one_schedule() {
    let schedule = "schedule = { on = \"sunset\", off = \"23:30\" }\n";
    let text =
        format!("{GROUP}{schedule}[site.group.b]\nmembers = [\"box.l2\", \"box.l1\"]\n{schedule}");
    assert_found(&text, 8, "box.l1 already follows the group a");
}

#[test]
fn a_photocell_is_a_switch_or_a_light_sensor_with_levels() {
    for (photocell, words) in [
        ("{ policy = \"or\" }", "the key `input` is missing"),
        ("{ input = \"box.drak\" }", "did you mean `box.dark`?"),
        (
            "{ input = \"box.dark\", on_lux = 5.0 }",
            "the input is a switch",
        ),
        (
            "{ input = \"box.lux\", on_lux = 5.0 }",
            "the key `off_lux` is missing",
        ),
        (
            "{ input = \"box.lux\", on_lux = 9.0, off_lux = 5.0 }",
            "the second must be greater",
        ),
        (
            "{ input = \"box.dark\", instance = \"/3419/2\" }",
            "only a light sensor",
        ),
        (
            "{ input = \"box.lux\", on_lux = 5.0, off_lux = 9.0, instance = \"/3419/1\" }",
            "/3419/1/3 is also declared by `device.box.point.dark`",
        ),
        (
            "{ input = \"box.lux\", on_lux = 5.0, off_lux = 9.0, instance = \"/3301/9\" }",
            "not an instance of object 3419",
        ),
        (
            "{ input = \"box.dark\", dwell_s = 9999 }",
            "is not within 0 to 3600",
        ),
    ] {
        assert_found(&format!("{GROUP}photocell = {photocell}\n"), 5, words);
    }
}

#[test]
fn wrong_thermostats_are_found_where_they_stand() {
    let head = "[site.thermostat.a]\nsensor = \"box.air\"\noutput = \"box.l1\"\n";
    for (rest, line, words) in [
        ("setpoint = 21\n", 1, "the key `mode` is missing"),
        ("mode = \"cool\"\n", 1, "the key `setpoint` is missing"),
        (
            "setpoint = \"box.wnated\"\nmode = \"cool\"\n",
            4,
            "did you mean `box.wanted`?",
        ),
        (
            "setpoint = \"box.name\"\nmode = \"cool\"\n",
            4,
            "is not a number",
        ),
        (
            "setpoint = 21\nmode = \"cool\"\non_below = 0.5\n",
            6,
            "cooling has on_above and off_below",
        ),
        (
            "setpoint = 21\nmode = \"heat\"\non_above = 0.5\n",
            6,
            "heating has on_below and off_above",
        ),
        (
            "setpoint = 21\nmode = \"cool\"\non_above = -1.0\n",
            6,
            "is not within 0 to 1000",
        ),
        (
            "setpoint = 21\nmode = \"cool\"\non_above = 0\noff_below = 0\n",
            7,
            "no band",
        ),
        (
            "setpoint = 30\nmode = \"cool\"\ninstance = \"/3308/9\"\nlimit = { max = 28 }\n",
            4,
            "30 is above the highest value that `limit` permits",
        ),
        (
            "setpoint = 21\nmode = \"cool\"\nlost_after_s = 1\n",
            6,
            "not within 10 to",
        ),
        (
            "setpoint = \"box.wanted\"\nmode = \"cool\"\ninstance = \"/3308/9\"\n",
            6,
            "only a set point that is a number",
        ),
        (
            "setpoint = 21\nmode = \"cool\"\ninstance = \"/3308/1\"\n",
            6,
            "also declared",
        ),
    ] {
        assert_found(&format!("{head}{rest}"), line, words);
    }
    let limit = "setpoint = 21\nmode = \"cool\"\nlimit = { max = 28 }\n";
    assert_found(
        &format!("{head}{limit}"),
        6,
        "nobody can write the set point",
    );
    let value = "[site.thermostat.a]\nsensor = \"box.air\"\noutput = \"box.wanted\"\nsetpoint = 21\nmode = \"cool\"\n";
    assert_found(value, 3, "`box.wanted` cannot be switched");
}

#[test]
fn what_one_rule_hides_from_another_is_a_warning() {
    let thermostat = |output: &str| {
        format!(
            "[site.thermostat.t]\nsensor = \"box.air\"\noutput = \"{output}\"\nsetpoint = 21\nmode = \"cool\"\n"
        )
    };
    assert_found(
        &thermostat("box.cooler"),
        3,
        "the fail-safe value of box.cooler is not reached",
    );
    let both = format!(
        "{GROUP}schedule = {{ on = \"20:00\", off = \"22:00\" }}\n{}",
        thermostat("box.l1")
    );
    let both = both.replace("position = { lat = 52.52, lon = 13.4 }\n", "");
    assert_found(
        &both,
        7,
        "the schedule of a always wins over this thermostat",
    );
}

#[test]
fn rules_are_taken_as_they_are_written() {
    let text = whole(&format!(
        "{GROUP}commands_hold = \"for_ever\"\n\
         [site.group.a.schedule]\non = \"sunset-00:15\"\noff = \"23:30\"\nresume = \"05:00\"\n\
         [site.group.a.schedule.days]\n\"12-24..12-26\" = {{ always = \"on\" }}\n\
         [site.group.a.photocell]\ninput = \"box.lux\"\npolicy = \"and\"\non_lux = 20\noff_lux = 35\n\
         instance = \"/3419/9\"\n\
         [site.thermostat.t]\nsensor = \"/3303/1/5700\"\nsetpoint = 21\noutput = \"box.l2\"\n\
         mode = \"heat\"\noff_above = 0.25\nwhen_lost = \"off\"\ninstance = \"/3308/9\"\n\
         limit = {{ min = 16, max = 28 }}\n"
    ));
    let checked = check("rules", &text);
    assert_eq!(checked.problems, []);
    let site = checked.config.unwrap().site;
    let group = &site.groups[0];
    let schedule = group.schedule.as_ref().unwrap().to_string();
    assert_eq!(
        schedule,
        "on=sunset-00:15 off=23:30 resume=05:00; 12-24..12-26: always=on"
    );
    assert!(!group.until_next_event);
    let photocell = group.photocell.as_ref().unwrap();
    assert_eq!(photocell.input, ResourceAddress::gateway(3301, 1, 5700));
    assert_eq!(
        (photocell.policy, photocell.dwell),
        (Policy::And, Duration::from_secs(60))
    );
    let thermostat = &site.thermostats[0];
    assert_eq!(thermostat.output, ResourceAddress::gateway(3311, 2, 5850));
    assert_eq!(thermostat.setpoint, Setpoint::Fixed(21.0));
    assert_eq!(
        (thermostat.mode, thermostat.when_lost),
        (Mode::Heat, WhenLost::Off)
    );
    assert_eq!(
        (thermostat.on_threshold, thermostat.off_threshold),
        (0.5, 0.25)
    );
    assert!(site.position.is_some() && thermostat.instance.is_some());
    assert_eq!(thermostat.limit.and_then(|limit| limit.max), Some(28.0));
}

/// A group of lamps that can be dimmed, one of them between 10 and 80.
fn dimmed(schedule: &str) -> String {
    format!(
        "[device.d]\nadapter = \"gpio\"\nbackend = \"sim\"\n[device.d.point]\n\
         one = {{ line = \"GPIO18\", instance = \"/3416/1\", pwm_hz = 200 }}\n\
         two = {{ line = \"GPIO19\", instance = \"/3416/2\", pwm_hz = 200, limit = {{ min = 10, max = 80 }} }}\n\
         [site.group.a]\nmembers = [\"d.one\", \"d.two\"]\nschedule = {schedule}\n"
    )
}

#[test]
fn levels_of_a_schedule_are_taken_as_they_are_written() {
    let text = dimmed(
        "{ on = \"20:00\", off = \"06:00\", level = 80, dim = [\"50@22:30\", \"70@05:00\"], \
         days = { \"sun\" = { always = \"on\", level = 20 } } }",
    );
    let checked = check("dimmed", &whole(&text));
    assert_eq!(checked.problems, []);
    let site = checked.config.expect("nothing is wrong").site;
    let schedule = site.groups[0].schedule.as_ref().map(ToString::to_string);
    assert_eq!(
        schedule.as_deref(),
        Some("on=20:00 off=06:00 level=80 dim=50@22:30,70@05:00; sun: always=on level=20")
    );
}

#[test]
fn levels_that_make_no_sense_or_that_a_member_cannot_have_are_found() {
    let night = "on = \"20:00\", off = \"06:00\"";
    for (keys, words) in [
        ("level = 101", "`level = 101` is not within 1 to 100"),
        ("dim = [\"22:30\"]", "for example 50@22:30"),
        ("dim = [\"50@07:00\"]", "50@07:00 comes when it is off"),
        (
            "dim = [\"50@01:00\", \"70@22:00\"]",
            "or after a later level",
        ),
        (
            "level = 90",
            "90 is above the highest value that `limit` of d.two permits",
        ),
        (
            "dim = [\"5@22:30\"]",
            "5 is below the lowest value that `limit` of d.two permits",
        ),
    ] {
        assert_found(&dimmed(&format!("{{ {night}, {keys} }}")), 9, words);
    }
    assert_found(
        &dimmed("{ always = \"off\", level = 50 }"),
        9,
        "off has no level",
    );
    assert_found(
        &dimmed("{ always = \"on\", dim = [\"50@22:30\"] }"),
        9,
        "stands alone",
    );
    let relay = format!("{GROUP}schedule = {{ {night}, dim = [\"50@22:30\"] }}\n");
    let relay = relay.replace("position = { lat = 52.52, lon = 13.4 }\n", "");
    assert_found(&relay, 4, "box.l1 cannot dim: it has no 50 %");
    // Off and on again are for relays too.
    let relay = relay.replace("50@22:30", "0@22:30\", \"100@05:00");
    assert_eq!(found(&relay), []);
}
