//! Read-, Write- and Observe-Composite.

use lamplighter_interop::station::{
    COUNT, LAMP, LAMP_LEVEL, SETPOINT, SOON, SWITCH, Station, number,
};
use serde_json::{Value, json};

const BOTH: [&str; 2] = ["SENML_JSON", "SENML_CBOR"];

fn read(paths: &[&str], format: &str, answer: &str) -> Value {
    json!({"do": "read-composite", "paths": paths, "format": format, "answer_format": answer})
}

fn observe(paths: &[&str], format: &str) -> Value {
    json!({"do": "observe-composite", "paths": paths, "format": format, "answer_format": format})
}

fn content(station: &mut Station, command: Value) -> Value {
    let answer = station.ask(command.clone());
    assert_eq!(answer["code"], 205, "{command}: {answer}");
    answer["content"].clone()
}

#[test]
fn leshan_int_229_read_composite() {
    let mut station = Station::start("int-229");
    for format in BOTH {
        for answer in BOTH {
            let whole = content(&mut station, read(&["/3", "/1/0"], format, answer));
            assert_eq!(whole["/3"]["0"]["17"], "gateway", "{whole}");
            assert_eq!(whole["/1/0"]["0"], 101, "{whole}");
            let mixed = content(
                &mut station,
                read(&["/1/0/1", "/3/0/11/0", SETPOINT], format, answer),
            );
            assert_eq!(mixed["/1/0/1"], 3600, "{mixed}");
            assert!(mixed["/3/0/11/0"].is_number(), "{mixed}");
            assert!(mixed[SETPOINT].is_number(), "{mixed}");
        }
    }
}

#[test]
fn leshan_int_235_read_composite_on_the_root() {
    let mut station = Station::start("int-235");
    for format in BOTH {
        let root = content(&mut station, read(&["/"], format, format));
        assert_eq!(root["/"]["3"]["0"]["17"], "gateway", "{root}");
        assert_eq!(root["/"]["1"]["0"]["1"], 3600, "{root}");
        assert!(root["/"]["0"].is_null(), "the Security object is in {root}");
    }
}

#[test]
fn leshan_int_236_280_281_what_is_missing_is_left_out() {
    let mut station = Station::start("int-236");
    for format in BOTH {
        let some = content(
            &mut station,
            read(&["/1/0/1", "/3/0/50", "/50/0/1"], format, format),
        );
        assert_eq!(some["/1/0/1"], 3600, "{some}");
        assert!(
            some["/3/0/50"].is_null() && some["/50/0/1"].is_null(),
            "{some}"
        );
        let exact = content(&mut station, read(&["/3/0/17", "/1/0/0"], format, format));
        assert_eq!(exact, json!({"/3/0/17": "gateway", "/1/0/0": 101}));
        let executable = content(&mut station, read(&["/3/0/17", "/3/0/4"], format, format));
        assert!(executable["/3/0/4"].is_null(), "{executable}");
    }
}

#[test]
fn leshan_int_230_257_write_composite() {
    let mut station = Station::start("int-230");
    for (format, period) in BOTH.iter().zip([10, 20]) {
        let write = json!({"do": "write-composite", "format": format, "nodes": {
            "/1/0/2": ["integer", period],
            "/1/0/6": ["boolean", false],
            "/3308/0/5900": ["float", f64::from(period) + 0.5],
            "/3416/1/1": ["integer", 100],
        }});
        assert_eq!(station.code(write), 204, "{format}");
        assert_eq!(station.content("/1/0/2"), period);
        assert_eq!(station.content("/1/0/6"), false);
        assert!((number(&station.content(SETPOINT)) - f64::from(period) - 0.5).abs() < 1e-6);
        assert_eq!(number(&station.content(LAMP_LEVEL)), 100.0);
        assert_eq!(station.write(LAMP, "TLV", "integer", json!(0)), 204);
    }
}

#[test]
fn leshan_write_composite_changes_nothing_where_a_part_is_refused() {
    let mut station = Station::start("write-composite-failed");
    for format in BOTH {
        for (path, node, code) in [
            ("/1/0/0", json!(["integer", 7]), 405),
            ("/3/0/50", json!(["integer", 7]), 404),
            ("/3308/0/5900", json!(["float", 90.0]), 400),
        ] {
            let mut nodes = json!({"/1/0/2": ["integer", 99]});
            nodes[path] = node;
            let write = json!({"do": "write-composite", "format": format, "nodes": nodes});
            assert_eq!(station.code(write), code, "{path} as {format}");
            assert_eq!(station.content("/1/0/2"), 0, "{path} as {format}");
        }
    }
}

#[test]
fn leshan_int_304_305_observe_composite_and_cancel() {
    let mut station = Station::start("int-304");
    for (format, count) in BOTH.iter().zip([7, 8]) {
        let paths = [COUNT, SETPOINT];
        let observed = content(&mut station, observe(&paths, format));
        assert!(
            observed[COUNT].is_number() && observed[SETPOINT].is_number(),
            "{observed}"
        );
        station.count(count);
        let told = station.leshan.event(SOON, |event| {
            event["event"] == "composite-notification"
                && event["content"][COUNT].as_f64() == Some(f64::from(count))
        });
        assert_eq!(told["code"], 205, "{told}");
        let cancel = json!({"do": "cancel-composite", "paths": paths});
        assert_eq!(station.code(cancel), 205, "{format}");
        station.leshan.forget_events();
        station.counted(0);
        assert_eq!(station.read(COUNT, None)["code"], 205);
        let after = station.leshan.events();
        assert!(
            after
                .iter()
                .all(|event| event["event"] != "composite-notification"),
            "{after:?}"
        );
    }
}

#[test]
fn leshan_int_308_to_310_observe_composite_of_objects_and_instances() {
    let mut station = Station::start("int-308");
    let paths = ["/3416/1", "/3308"];
    let observed = content(&mut station, observe(&paths, "SENML_CBOR"));
    assert!(observed["/3308"]["0"]["5900"].is_number(), "{observed}");
    station.leshan.forget_events();
    let write = json!({"do": "write-composite", "format": "SENML_CBOR", "nodes": {
        "/3308/0/5900": ["float", 12.5], "/3416/1/1": ["integer", 100]}});
    assert_eq!(station.code(write), 204);
    station.leshan.event(SOON, |event| {
        event["event"] == "composite-notification"
            && event["content"]["/3308"]["0"]["5900"].as_f64() == Some(12.5)
    });
    station.leshan.event(SOON, |event| {
        event["event"] == "composite-notification"
            && event["content"]["/3416/1"]["3"].as_f64() == Some(100.0)
    });
}

#[test]
fn leshan_observe_composite_is_silent_about_other_changes() {
    let mut station = Station::start("observe-unrelated");
    content(&mut station, observe(&[SETPOINT, "/1/0/2"], "SENML_CBOR"));
    station.leshan.forget_events();
    for count in 1..4 {
        station.counted(count);
    }
    assert_eq!(station.write(SWITCH, "TLV", "boolean", json!(true)), 204);
    assert_eq!(station.write("/1/0/2", "TLV", "integer", json!(1)), 204);
    let told = station.event("composite-notification");
    assert_eq!(told["content"]["/1/0/2"], 1, "{told}");
}

#[test]
fn leshan_composite_forgotten_by_the_server_ends_with_a_reset() {
    let mut station = Station::start("composite-reset");
    content(&mut station, observe(&[COUNT], "SENML_CBOR"));
    assert_eq!(station.ask(json!({"do": "forget"}))["count"], 1);
    station.count(1);
    station.until("a Reset", |station| {
        let messages = station.ask(json!({"do": "messages"}))["messages"].clone();
        let mut messages = messages.as_array().unwrap().iter();
        messages.any(|message| message["way"] == "sent" && message["type"] == "RST")
    });
}

/// A shelf whose first multiple resource has one text.
fn make_shelf(station: &mut Station) {
    let create = json!({"do": "create", "path": "/43500", "instances": {
        "0": {"0": ["string", "made"], "10": ["string", {"0": "a"}]}}});
    assert_eq!(station.code(create), 201);
}

#[test]
fn leshan_int_230_write_composite_with_instances_of_a_resource() {
    let mut station = Station::start("int-230-portfolio");
    let create = json!({"do": "create", "path": "/16", "instances": {
        "0": {"0": ["string", {"0": "box", "1": "street", "2": "city", "3": "land"}]}}});
    assert_eq!(station.code(create), 201);
    for (format, period) in BOTH.iter().zip([10, 20]) {
        let place = format!("place {period}");
        let write = json!({"do": "write-composite", "format": format, "nodes": {
            "/1/0/2": ["integer", period], "/16/0/0/0": ["string", place], "/16/0/0/3": ["string", format]}});
        assert_eq!(station.code(write), 204, "{format}");
        assert_eq!(station.content("/1/0/2"), period);
        assert_eq!(
            station.content("/16/0/0"),
            json!({"0": place, "1": "street", "2": "city", "3": format})
        );
    }
}

#[test]
fn leshan_write_composite_adds_instances_of_a_resource() {
    let mut station = Station::start("composite-add");
    make_shelf(&mut station);
    for (format, added) in BOTH.iter().zip([3, 4]) {
        let path = format!("/43500/0/10/{added}");
        let mut nodes = json!({"/43500/0/10/0": ["string", format]});
        nodes[path] = json!(["string", "added"]);
        let write = json!({"do": "write-composite", "format": format, "nodes": nodes});
        assert_eq!(station.code(write), 204, "{format}");
        let now = station.content("/43500/0/10");
        assert_eq!(
            (&now["0"], &now[added.to_string()]),
            (&json!(format), &json!("added")),
            "{now}"
        );
    }
    assert_eq!(station.content("/43500/0/10").as_object().unwrap().len(), 3);
}

#[test]
fn leshan_write_composite_is_told_to_who_observes_the_instance() {
    let mut station = Station::start("composite-observed");
    make_shelf(&mut station);
    for (format, value) in BOTH.iter().zip([7, 8]) {
        assert_eq!(
            station.code(json!({"do": "observe", "path": "/43500/0"})),
            205
        );
        station.leshan.forget_events();
        let write = json!({"do": "write-composite", "format": format, "nodes": {
            "/43500/0/0": ["string", format], "/43500/0/1": ["integer", value]}});
        assert_eq!(station.code(write), 204, "{format}");
        let told = station.event("notification");
        assert_eq!(
            (&told["content"]["0"], &told["content"]["1"]),
            (&json!(format), &json!(value)),
            "both in one notification: {told}"
        );
    }
}

#[test]
fn leshan_int_308_309_what_is_created_and_deleted_is_told() {
    let mut station = Station::start("int-308-create");
    let observed = content(&mut station, observe(&["/43500", "/1/0/2"], "SENML_CBOR"));
    assert_eq!(observed["/1/0/2"], 0, "{observed}");
    station.leshan.forget_events();
    make_shelf(&mut station);
    let created = station.event("composite-notification");
    assert_eq!(created["content"]["/43500"]["0"]["0"], "made", "{created}");
    let second =
        json!({"do": "create", "path": "/43500", "instances": {"1": {"0": ["string", "second"]}}});
    assert_eq!(station.code(second), 201);
    let both = station.event("composite-notification");
    assert_eq!(both["content"]["/43500"]["1"]["0"], "second", "{both}");
    assert_eq!(
        station.code(json!({"do": "delete", "path": "/43500/0"})),
        202
    );
    let deleted = station.event("composite-notification");
    assert_eq!(deleted["code"], 205, "{deleted}");
    assert_eq!(
        deleted["content"]["/43500"],
        json!({"1": {"0": "second"}}),
        "{deleted}"
    );
    assert_eq!(
        station.code(json!({"do": "delete", "path": "/43500/1"})),
        202
    );
    let empty = station.event("composite-notification");
    assert_eq!(
        (&empty["code"], &empty["content"]["/1/0/2"]),
        (&json!(205), &json!(0)),
        "{empty}"
    );
}

#[test]
fn leshan_observes_the_root() {
    let mut station = Station::start("observe-root");
    let root = content(&mut station, observe(&["/"], "SENML_CBOR"));
    assert!(root["/"]["0"].is_null(), "the Security object is in {root}");
    station.leshan.forget_events();
    assert_eq!(station.write("/1/0/2", "TLV", "integer", json!(9)), 204);
    station.leshan.event(SOON, |event| {
        event["event"] == "composite-notification" && event["content"]["/"]["1"]["0"]["2"] == 9
    });
}

#[test]
fn leshan_int_257_write_composite_sets_the_clock() {
    let mut station = Station::start("int-257-clock");
    for (format, time) in BOTH.iter().zip([1_800_000_000, 1_800_000_100]) {
        let write = json!({"do": "write-composite", "format": format, "nodes": {
            "/1/0/2": ["integer", 1], "/1/0/6": ["boolean", false], "/3/0/13": ["time", time]}});
        assert_eq!(station.code(write), 204, "{format}");
        let now = station.content("/3/0/13").as_i64().unwrap();
        assert!((time..time + 60).contains(&now), "{format}: {now}");
    }
}
