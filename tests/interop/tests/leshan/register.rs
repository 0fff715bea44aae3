//! Registration, Update, de-registration.

use lamplighter_interop::agent::Agent;
use serde_json::json;

use lamplighter_interop::station::{SOON, Setup, Station};

#[test]
fn leshan_int_101_register() {
    let mut station = Station::start("int-101");
    let registered = station.registered.clone();
    assert_eq!(registered["version"], "1.1");
    assert_eq!(registered["queue"], false);
    assert_eq!(registered["lifetime"], 3600);
    let links = registered["links"].as_str().unwrap();
    for wanted in [
        "</>;rt=\"oma.lwm2m\";ct=",
        "</1/0>",
        "</3/0>",
        "</3416/1>",
        "</3308/0>",
    ] {
        assert!(links.contains(wanted), "{wanted} is not in {links}");
    }
    for hidden in ["</0", "</21"] {
        assert!(!links.contains(hidden), "{hidden} is announced in {links}");
    }
    for format in [60, 110, 112, 11542, 11543] {
        assert!(
            registered["formats"]
                .as_str()
                .unwrap()
                .contains(&format.to_string()),
            "{format} is not in {registered}"
        );
    }
    assert_eq!(
        station.ask(json!({"do": "registration"}))["endpoint"],
        "int-101"
    );
}

#[test]
fn leshan_int_102_lifetime_written() {
    let mut station = Station::start("int-102");
    station.leshan.forget_events();
    assert_eq!(station.write("/1/0/1", "TLV", "integer", json!(120)), 204);
    station.leshan.event(SOON, |event| {
        event["event"] == "updated" && event["lifetime"] == 120
    });
    assert_eq!(station.content("/1/0/1"), 120);
}

#[test]
fn leshan_int_103_deregister() {
    let mut station = Station::start("int-103");
    assert_eq!(station.agent.lines.signal("TERM"), Some(0));
    assert_eq!(station.event("deregistered")["expired"], false);
    station.agent = Agent::rerun(&station.directory, &[]);
    station.event("registered");
    assert_eq!(station.read("/3/0/17", None)["code"], 205);
}

#[test]
fn leshan_int_104_registration_update_trigger() {
    let mut station = Station::start("int-104");
    station.leshan.forget_events();
    assert_eq!(
        station.code(json!({"do": "execute", "path": "/1/0/8"})),
        204
    );
    station.event("updated");
}

#[test]
fn leshan_int_105_a_forgotten_registration_is_made_again() {
    let mut station = Station::start("int-105");
    let before = station.registered["location"].clone();
    station.ask(json!({"do": "unregister"}));
    station.leshan.forget_events();
    assert!(
        station
            .agent
            .cli(&["server", "refresh", "main"])
            .status
            .success()
    );
    let again = station.event("registered");
    assert_ne!(again["location"], before);
    assert_eq!(station.read("/3/0/17", None)["code"], 205);
}

#[test]
fn leshan_int_107_updates_before_the_lifetime_ends() {
    let mut station = Setup {
        server: "lifetime_s = 6",
        ..Setup::new("int-107")
    }
    .start();
    for _ in 0..3 {
        let next = station.leshan.event(SOON, |event| {
            ["updated", "registered", "deregistered"].contains(&event["event"].as_str().unwrap())
        });
        assert_eq!(next["event"], "updated", "{next}");
    }
}

#[test]
fn leshan_registers_again_without_deregistering() {
    let mut station = Station::start("again");
    let before = station.registered["location"].clone();
    station.agent.lines.signal("KILL");
    std::fs::remove_dir_all(station.directory.join("state")).unwrap();
    station.agent = Agent::rerun(&station.directory, &[]);
    assert_ne!(station.event("registered")["location"], before);
    assert_eq!(station.read("/3/0/17", None)["code"], 205);
}

#[test]
fn leshan_that_forgot_everything_is_registered_to_again() {
    let mut station = Setup {
        server: "lifetime_s = 6",
        ..Setup::new("restarted")
    }
    .start();
    station.leshan.stop();
    station.leshan.resume();
    station.leshan.forget_events();
    station.event("registered");
    assert_eq!(station.read("/3/0/17", None)["code"], 205);
}

#[test]
fn leshan_sees_additional_attributes() {
    let mut station = Setup {
        server: "register_parameters = { imei = \"490154203237518\", place = \"süd 7\" }",
        ..Setup::new("additional")
    }
    .start();
    let wanted = json!({"imei": "490154203237518", "place": "süd 7"});
    assert_eq!(station.registered["attributes"], wanted);
    assert!(
        station
            .agent
            .cli(&["server", "refresh", "main"])
            .status
            .success()
    );
    assert_eq!(
        station.event("updated")["attributes"],
        wanted,
        "an Update leaves them"
    );
}

/// Leshan drops what it still asked under the old registration; the box answers what comes after.
#[test]
fn leshan_a_new_registration_cancels_what_was_asked_before() {
    let mut station = Setup {
        relay: true,
        ..Setup::new("pending")
    }
    .start();
    station.relay().cut();
    let endpoint = station.endpoint;
    let read = json!({"do": "read", "path": "/3/0/17"});
    let first = station.leshan.begin(endpoint, read.clone());
    let second = station.leshan.begin(endpoint, read);
    station.leshan.forget_events();
    station.agent.lines.signal("KILL");
    std::fs::remove_dir_all(station.directory.join("state")).unwrap();
    station.relay().mend();
    station.agent = Agent::rerun(&station.directory, &[]);
    station.event("registered");
    for pending in [first, second] {
        let answer = station.leshan.answer(pending);
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(error.contains("Cancel"), "{answer}");
    }
    assert_eq!(station.read("/3/0/17", None)["code"], 205);
}
