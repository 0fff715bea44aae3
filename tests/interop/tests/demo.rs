//! `lamplighter demo` as a user starts it, and every command of the README against it.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{path::Path, time::Duration};

use lamplighter_interop::{agent::Agent, scratch};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(10);

fn demo(directory: &Path) -> Agent {
    let agent = Agent::start(directory, &["demo", "--http", "127.0.0.1:0"]);
    agent.until(&["status"], SOON, |status| {
        status["servers"][0]["state"] == "registered"
    });
    agent.until(&["points"], SOON, |points| {
        let points = points.as_array().map(Vec::as_slice).unwrap_or_default();
        points.len() >= 13 && points.iter().all(|point| point["quality"] == "good")
    });
    agent
}

fn exit_code(agent: &Agent, arguments: &[&str]) -> i32 {
    agent.cli(arguments).status.code().unwrap()
}

#[test]
fn registers_and_all_points_are_good_within_ten_seconds() {
    let agent = demo(&scratch("demo-good"));
    let status = agent.json(&["status"]);
    assert!(
        status["problems"].as_array().unwrap().is_empty(),
        "{status}"
    );
    for device in status["devices"].as_array().unwrap() {
        assert!(
            device["name"].is_string() && device["since"].is_string(),
            "{device}"
        );
        assert_eq!(device["state"], "online", "{device}");
    }
}

#[test]
fn the_doctor_finds_no_fault_in_it() {
    let agent = demo(&scratch("demo-doctor"));
    assert_eq!(exit_code(&agent, &["doctor"]), 0);
}

#[test]
fn a_point_reads_as_one_object_and_a_shorter_path_as_a_list() {
    let agent = demo(&scratch("demo-read"));
    for path in ["/3308/0/5900", "ahu.setpoint"] {
        let point = agent.json(&["read", path]);
        for key in ["path", "name", "value", "unit", "time", "quality", "device"] {
            assert!(point.get(key).is_some(), "{key} is missing in {point}");
        }
        assert_eq!(point["path"], "/3308/0/5900");
        assert_eq!(point["name"], "ahu.setpoint");
        assert_eq!(point["device"], "ahu");
    }
    assert!(agent.json(&["read", "/3416"]).as_array().unwrap().len() >= 24);
}

#[test]
fn people_switch_a_lamp_and_the_group() {
    let agent = demo(&scratch("demo-switch"));
    let level = |lamp: u32, wanted: f64| {
        let path = format!("/3416/{lamp}/3");
        agent.until(&["read", &path], SOON, |point| {
            point["value"].as_f64() == Some(wanted)
        });
    };
    assert_eq!(exit_code(&agent, &["on", "lamps.l1"]), 0);
    level(1, 100.0);
    level(2, 0.0);
    assert_eq!(exit_code(&agent, &["on", "main_street"]), 0);
    (1..=8).for_each(|lamp| level(lamp, 100.0));
    assert_eq!(exit_code(&agent, &["off", "main_street"]), 0);
    (1..=8).for_each(|lamp| level(lamp, 0.0));
    let why = agent.json(&["why", "lamps.l1"]);
    assert_eq!(why["slots"][0]["slot"], "GroupCommand", "{why}");
}

#[test]
fn a_set_point_reaches_the_controller_or_is_refused_with_the_reason() {
    let agent = demo(&scratch("demo-setpoint"));
    assert_eq!(exit_code(&agent, &["write", "ahu.setpoint", "19.5"]), 0);
    assert_eq!(
        agent.json(&["read", "ahu.setpoint"])["value"].as_f64(),
        Some(19.5)
    );
    let refused = agent.cli(&["write", "ahu.setpoint", "90"]);
    assert_eq!(refused.status.code(), Some(5));
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(words.contains("4.00") && words.contains("28"), "{words}");
    assert_eq!(exit_code(&agent, &["write", "ahu.supply_air", "20"]), 5);
    assert_eq!(exit_code(&agent, &["read", "/3308/7/5900"]), 5);
    assert_eq!(exit_code(&agent, &["read", "ahu.nothing"]), 5);
    assert_eq!(exit_code(&agent, &["read"]), 2);
}

#[test]
fn discover_and_execute_answer_as_a_server_sees_them() {
    let agent = demo(&scratch("demo-discover"));
    let links = String::from_utf8(agent.cli(&["discover", "/3308/0"]).stdout).unwrap();
    assert!(links.contains("</3308/0/5900>"), "{links}");
    assert_eq!(exit_code(&agent, &["exec", "/3/0/12"]), 0);
    assert_eq!(exit_code(&agent, &["exec", "/3/0/0"]), 5);
}

#[test]
fn watch_prints_changes_as_they_come() {
    let agent = demo(&scratch("demo-watch"));
    let mut command = std::process::Command::new(lamplighter_interop::agent::program());
    command
        .args(["watch", "lamps.l3", "--json", "--run-dir"])
        .arg(&agent.run_dir);
    let watch = lamplighter_interop::lines::Lines::start(&mut command);
    watch.hear(SOON).expect("the value at the start");
    assert_eq!(exit_code(&agent, &["on", "lamps.l3"]), 0);
    let changed = std::iter::from_fn(|| watch.hear(SOON)).find(|line| {
        let point: Value = serde_json::from_str(line).unwrap_or_default();
        point["value"].as_f64() == Some(100.0)
    });
    assert!(changed.is_some());
}

#[test]
fn without_an_agent_every_command_says_so() {
    let directory = scratch("demo-none");
    let mut agent = demo(&directory);
    assert_eq!(agent.lines.signal("TERM"), Some(0));
    for command in [
        ["status"].as_slice(),
        &["points"],
        &["read", "/3/0/0"],
        &["on", "lamps.l1"],
    ] {
        assert_eq!(exit_code(&agent, command), 4, "{command:?}");
    }
}

#[test]
fn state_survives_a_restart() {
    let directory = scratch("demo-restart");
    let mut agent = demo(&directory);
    assert_eq!(exit_code(&agent, &["on", "lamps.l4"]), 0);
    agent.until(&["read", "/3416/4/3"], SOON, |point| {
        point["value"].as_f64() == Some(100.0)
    });
    agent.lines.signal("KILL");
    let agent = demo(&directory);
    agent.until(&["read", "/3416/4/3"], SOON, |point| {
        point["value"].as_f64() == Some(100.0)
    });
    let why = agent.json(&["why", "lamps.l4"]);
    assert_eq!(why["slots"][0]["slot"], "Command", "{why}");
}

#[test]
fn a_threshold_and_a_schedule_that_were_written_survive_a_kill() {
    let directory = scratch("demo-rules");
    let mut agent = demo(&directory);
    let rule = |agent: &Agent, name: &str| {
        let status = agent.json(&["status"]);
        let rules = status["rules"].as_array().unwrap();
        let rule = rules.iter().find(|rule| rule["name"] == name);
        rule.unwrap()["path"].as_str().unwrap().to_owned()
    };
    let threshold = format!("{}/4", rule(&agent, "server_room"));
    let schedule = format!("{}/3", rule(&agent, "sign"));
    let text = "on=sunset off=22:00; 12-24: always=on";
    let named = ["write", "server_room.on_threshold", "1.5"];
    assert_eq!(exit_code(&agent, &named), 0);
    assert_eq!(exit_code(&agent, &["write", &schedule, text]), 0);
    let refused = agent.cli(&["write", &schedule, "on=sunset"]);
    assert_eq!(refused.status.code(), Some(5));
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(words.contains("4.00") && words.contains("`off`"), "{words}");
    agent.lines.signal("KILL");
    let agent = demo(&directory);
    let value = |path: &str| agent.json(&["read", path])["value"].clone();
    assert_eq!(value(&threshold), 1.5);
    assert_eq!(value(&schedule), text);
    let why = agent.json(&["why", "lamps.sign"]);
    assert_eq!(why["rules"][0]["kind"], "schedule", "{why}");
    assert!(why["rules"][0]["next_in_s"].is_number(), "{why}");
}
