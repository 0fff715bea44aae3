//! Create, Delete and instances that servers made, with values of every type.

use lamplighter_interop::station::{MANY, SINGLE, SOON, Station};
use serde_json::{Value, json};

/// `peers/objects/43500.xml`
const SHELF: &str = "/43500";

fn create(resources: Value) -> Value {
    json!({"do": "create", "path": SHELF, "resources": resources})
}

/// Creates an instance of which the server says the id.
fn instance(station: &mut Station, id: u16) {
    let mut instances = json!({});
    instances[id.to_string()] = json!({"0": ["string", "made"]});
    let command = json!({"do": "create", "path": SHELF, "instances": instances});
    assert_eq!(station.code(command), 201);
}

#[test]
fn leshan_creates_without_an_id() {
    let mut station = Station::start("create");
    for number in [1, 2] {
        // Only in TLV can Leshan leave the id to the box.
        let mut command = create(json!({"0": ["string", "made"], "1": ["integer", number]}));
        command["format"] = json!("TLV");
        let created = station.ask(command);
        assert_eq!(created["code"], 201, "{created}");
        let location = created["location"].as_str().unwrap();
        let path = format!("/{}", location.trim_start_matches('/'));
        assert!(path.starts_with("/43500/"), "{created}");
        assert_eq!(station.content(&path), json!({"0": "made", "1": number}));
    }
}

#[test]
fn leshan_int_1630_a_created_instance_is_announced() {
    let mut station = Station::start("int-1630");
    station.leshan.forget_events();
    instance(&mut station, 12);
    station.leshan.event(SOON, |event| {
        event["event"] == "updated" && event["links"].as_str().unwrap().contains("</43500/12>")
    });
    let links = station.ask(json!({"do": "discover", "path": SHELF}))["links"].clone();
    assert!(links.as_str().unwrap().contains("</43500/12/0>"), "{links}");
}

#[test]
fn leshan_creates_two_instances_at_once() {
    let mut station = Station::start("create-two");
    let command = json!({"do": "create", "path": SHELF, "instances": {
        "3": {"0": ["string", "three"]}, "4": {"0": ["string", "four"], "1": ["integer", 4]}}});
    assert_eq!(station.code(command), 201);
    assert_eq!(
        station.content(SHELF),
        json!({"3": {"0": "three"}, "4": {"0": "four", "1": 4}})
    );
}

#[test]
fn leshan_create_failed() {
    let mut station = Station::start("create-failed");
    instance(&mut station, 1);
    assert_eq!(
        station.code(create(json!({"1": ["integer", 1]}))),
        400,
        "a mandatory one is missing"
    );
    let twice = json!({"do": "create", "path": SHELF, "instances": {"1": {"0": ["string", "x"]}}});
    let code = station.code(twice);
    assert!((400..=405).contains(&code), "{code}");
    for (path, codes) in [("/3", 400..=405), ("/50", 404..=404), ("/0", 401..=401)] {
        let command = json!({"do": "create", "path": path, "format": "TLV",
            "resources": {"0": ["string", "x"]}});
        let code = station.code(command);
        assert!(codes.contains(&code), "{path}: {code}");
    }
    assert_eq!(
        station.content(SHELF),
        json!({"1": {"0": "made"}}),
        "nothing of it was taken"
    );
}

#[test]
fn leshan_int_1635_delete() {
    let mut station = Station::start("int-1635");
    instance(&mut station, 1);
    instance(&mut station, 2);
    station.leshan.forget_events();
    let delete = |path: &str| json!({"do": "delete", "path": path});
    assert_eq!(station.code(delete("/43500/1")), 202);
    station.leshan.event(SOON, |event| {
        event["event"] == "updated" && !event["links"].as_str().unwrap().contains("</43500/1>")
    });
    assert_eq!(station.code(delete("/43500/1")), 404);
    assert_eq!(station.read("/43500/1", None)["code"], 404);
    assert_eq!(station.content(SHELF), json!({"2": {"0": "made"}}));
}

#[test]
fn leshan_writes_every_type_in_every_format() {
    let mut station = Station::start("types");
    instance(&mut station, 0);
    for format in SINGLE {
        for (id, kind, values) in [
            (
                0,
                "string",
                [json!("grüezi"), json!("a longer text than before")],
            ),
            (1, "integer", [json!(-9_000_000_000_i64), json!(7)]),
            (2, "float", [json!(-0.125), json!(1e10)]),
            (3, "boolean", [json!(true), json!(false)]),
            (5, "time", [json!(1_700_000_000), json!(-1000)]),
            (6, "objlnk", [json!("3:0"), json!("65535:65535")]),
            (7, "corelink", [json!("</3/0>"), json!("</1/0>,</3416/1>")]),
            (
                8,
                "unsigned_integer",
                [json!(7), json!(18_446_744_073_709_551_615_u64)],
            ),
        ] {
            let path = format!("/43500/0/{id}");
            for value in values {
                let code = station.write(&path, format, kind, value.clone());
                assert_eq!(code, 204, "{path} as {format}: {value}");
                let answer = station.read(&path, Some(format));
                assert_eq!(answer["content"], value, "{path} as {format}: {answer}");
            }
        }
    }
    for format in [
        "OPAQUE",
        "TEXT",
        "TLV",
        "SENML_JSON",
        "SENML_CBOR",
        "CBOR",
        "JSON",
    ] {
        for value in ["00ff10", "c0ffee00c0ffee"] {
            let code = station.write("/43500/0/4", format, "opaque", json!(value));
            assert_eq!(code, 204, "{format}: {value}");
            let answer = station.read("/43500/0/4", Some(format));
            assert_eq!(answer["content"], value, "{format}: {answer}");
        }
    }
}

#[test]
fn leshan_int_228_writes_resource_instances() {
    let mut station = Station::start("int-228");
    instance(&mut station, 0);
    let values = json!({"0": "zero", "1": "one"});
    assert_eq!(station.write("/43500/0/10", "TLV", "string", values), 204);
    for format in SINGLE {
        assert_eq!(
            station.write("/43500/0/10/1", format, "string", json!(format)),
            204,
            "{format}"
        );
        let answer = station.read("/43500/0/10/1", Some(format));
        assert_eq!(answer["content"], format, "{answer}");
    }
    assert_eq!(station.content("/43500/0/10")["0"], "zero");
    for missing in ["/43500/0/10/9", "/43500/0/11/0"] {
        assert_eq!(station.read(missing, None)["code"], 404, "{missing}");
    }
}

#[test]
fn leshan_replaces_and_updates_multiple_resources() {
    let mut station = Station::start("multiple");
    instance(&mut station, 0);
    for format in MANY {
        let write = |values: Value, replace: bool| {
            json!({"do": "write", "path": "/43500/0", "format": format, "replace": replace, "resources": {
                "0": ["string", "made"], "11": ["integer", values]}})
        };
        assert_eq!(
            station.code(write(json!({"0": 1, "5": 50}), true)),
            204,
            "{format}"
        );
        assert_eq!(
            station.content("/43500/0/11"),
            json!({"0": 1, "5": 50}),
            "{format}"
        );
        assert_eq!(
            station.code(write(json!({"0": 2, "7": 70}), false)),
            204,
            "{format}"
        );
        assert_eq!(
            station.content("/43500/0/11"),
            json!({"0": 2, "5": 50, "7": 70}),
            "{format}"
        );
        assert_eq!(
            station.write("/43500/0/11", format, "integer", json!({"7": 7})),
            204,
            "{format}"
        );
        assert_eq!(station.content("/43500/0/11"), json!({"7": 7}), "{format}");
        let links = json!({"0": "3:0", "1": "1:0"});
        assert_eq!(
            station.write("/43500/0/12", format, "objlnk", links.clone()),
            204,
            "{format}"
        );
        assert_eq!(
            station.read("/43500/0/12", Some(format))["content"],
            links,
            "{format}"
        );
    }
}

#[test]
fn leshan_replacing_an_instance_removes_what_is_not_written() {
    let mut station = Station::start("replace");
    instance(&mut station, 0);
    for format in MANY {
        assert_eq!(station.write("/43500/0/1", "TLV", "integer", json!(1)), 204);
        let update = json!({"do": "write", "path": "/43500/0", "replace": false, "format": format,
            "resources": {"2": ["float", 0.5]}});
        assert_eq!(station.code(update), 204, "{format}");
        let updated = station.content("/43500/0");
        assert_eq!(
            (&updated["1"], &updated["2"]),
            (&json!(1), &json!(0.5)),
            "{format}"
        );
        let replace = json!({"do": "write", "path": "/43500/0", "format": format,
            "resources": {"0": ["string", "made"], "3": ["boolean", true]}});
        assert_eq!(station.code(replace), 204, "{format}");
        assert_eq!(
            station.content("/43500/0"),
            json!({"0": "made", "3": true}),
            "{format}"
        );
        let lacking = json!({"do": "write", "path": "/43500/0", "format": format,
            "resources": {"1": ["integer", 9]}});
        assert_eq!(
            station.code(lacking),
            400,
            "{format}: a mandatory one is missing"
        );
        assert_eq!(
            station.content("/43500/0"),
            json!({"0": "made", "3": true}),
            "{format}"
        );
    }
}

#[test]
fn leshan_blockwise_up_and_down() {
    let mut station = Station::start("blockwise");
    instance(&mut station, 0);
    let body: String = (0..5000_u32)
        .map(|byte| format!("{:02x}", byte * 7 % 251))
        .collect();
    for format in ["OPAQUE", "TLV", "SENML_CBOR"] {
        assert_eq!(
            station.write("/43500/0/4", format, "opaque", json!(body)),
            204,
            "{format}"
        );
        let answer = station.read("/43500/0/4", Some(format));
        assert_eq!(answer["content"], body, "{format}");
    }
}

#[test]
fn leshan_observes_what_it_created_until_it_deletes_it() {
    let mut station = Station::start("observe-deleted");
    instance(&mut station, 0);
    assert_eq!(
        station.code(json!({"do": "observe", "path": "/43500/0/0"})),
        205
    );
    assert_eq!(
        station.write("/43500/0/0", "TEXT", "string", json!("other")),
        204
    );
    station.leshan.event(SOON, |event| {
        event["event"] == "notification" && event["content"] == "other"
    });
    assert_eq!(
        station.code(json!({"do": "delete", "path": "/43500/0"})),
        202
    );
    let end = station.leshan.event(SOON, |event| {
        event["path"] == "/43500/0/0" || event["event"] == "notification-error"
    });
    assert_ne!(end["code"], 205, "{end}");
}

#[test]
fn leshan_created_instances_survive_a_power_cut() {
    let mut station = Station::start("create-kill");
    instance(&mut station, 0);
    assert_eq!(
        station.write("/43500/0/10", "TLV", "string", json!({"0": "a", "3": "b"})),
        204
    );
    station.kill_and_restart();
    station.agent.registered(SOON);
    assert_eq!(
        station.content("/43500/0"),
        json!({"0": "made", "10": {"0": "a", "3": "b"}})
    );
}

#[test]
fn leshan_keeps_a_portfolio() {
    let mut station = Station::start("portfolio");
    let command = json!({"do": "create", "path": "/16", "instances": {
        "0": {"0": ["string", {"0": "box", "1": "street", "2": "city", "3": "land"}]}}});
    assert_eq!(station.code(command), 201);
    assert_eq!(
        station.write("/16/0/0/0", "TEXT", "string", json!("cabinet")),
        204
    );
    assert_eq!(station.content("/16/0/0")["0"], "cabinet");
    assert_eq!(station.code(json!({"do": "delete", "path": "/16/0"})), 202);
}

#[test]
fn leshan_reads_an_object_without_instances() {
    let mut station = Station::start("empty-object");
    for format in MANY {
        let answer = station.read(SHELF, Some(format));
        assert_eq!(
            (&answer["code"], &answer["content"]),
            (&json!(205), &json!({})),
            "{format}: {answer}"
        );
    }
}

#[test]
fn leshan_empty_bytes_in_every_format() {
    let mut station = Station::start("empty-opaque");
    instance(&mut station, 0);
    for format in [
        "OPAQUE",
        "TEXT",
        "TLV",
        "SENML_JSON",
        "SENML_CBOR",
        "CBOR",
        "JSON",
    ] {
        for value in ["00ff", ""] {
            let code = station.write("/43500/0/4", format, "opaque", json!(value));
            assert_eq!(code, 204, "{format}");
            let answer = station.read("/43500/0/4", Some(format));
            assert_eq!(
                (&answer["code"], &answer["content"]),
                (&json!(205), &json!(value)),
                "{format}: {answer}"
            );
        }
    }
}

#[test]
fn leshan_writes_an_instance_with_an_empty_multiple_resource() {
    let mut station = Station::start("empty-multiple");
    instance(&mut station, 0);
    // SenML and JSON have no way to say that there is a resource without instances.
    let write = json!({"do": "write", "path": "/43500/0", "format": "TLV", "resources": {
        "0": ["string", "made"], "11": ["integer", {}]}});
    assert_eq!(station.code(write), 204);
    let now = station.content("/43500/0");
    let multiple = &now["11"];
    assert!(multiple.is_null() || *multiple == json!({}), "{now}");
}

#[test]
fn leshan_updates_a_multiple_resource() {
    let mut station = Station::start("update-multiple");
    instance(&mut station, 0);
    for format in MANY {
        let write = |values: Value, replace: bool| {
            json!({"do": "write", "path": "/43500/0/11", "format": format, "replace": replace,
                "node": ["integer", values]})
        };
        assert_eq!(
            station.code(write(json!({"0": 1, "5": 50}), true)),
            204,
            "{format}"
        );
        assert_eq!(
            station.code(write(json!({"0": 2, "7": 70}), false)),
            204,
            "{format}"
        );
        assert_eq!(
            station.content("/43500/0/11"),
            json!({"0": 2, "5": 50, "7": 70}),
            "{format}"
        );
    }
}
