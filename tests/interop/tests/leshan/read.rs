//! Read and Discover.

use serde_json::{Value, json};

use lamplighter_interop::station::{COUNT, LAMP_LEVEL, MANY, SETPOINT, SINGLE, Station, number};

fn read(path: &str) -> Value {
    json!({"do": "read", "path": path})
}

fn format_number(name: &str) -> u16 {
    match name {
        "TEXT" => 0,
        "CBOR" => 60,
        "SENML_JSON" => 110,
        "SENML_CBOR" => 112,
        "TLV" => 11542,
        "JSON" => 11543,
        _ => panic!("{name}"),
    }
}

#[test]
fn leshan_int_201_read_text() {
    let mut station = Station::start("int-201");
    for path in ["/3/0/0", "/3/0/1", "/3/0/2", "/3/0/17"] {
        let answer = station.read(path, Some("TEXT"));
        assert_eq!(
            (&answer["code"], &answer["format"]),
            (&json!(205), &json!(0))
        );
        assert!(answer["content"].is_string(), "{path}: {answer}");
    }
}

#[test]
fn leshan_int_203_204_231_233_read_an_instance_in_every_format() {
    let mut station = Station::start("int-203");
    let reference = station.content("/3/0");
    assert!(reference["0"].is_string(), "{reference}");
    for format in MANY {
        let answer = station.read("/3/0", Some(format));
        assert_eq!(answer["format"], format_number(format), "{answer}");
        for stable in ["0", "1", "16", "17"] {
            assert_eq!(answer["content"][stable], reference[stable], "{format}");
        }
    }
}

#[test]
fn leshan_int_211_read_cbor() {
    let mut station = Station::start("int-211");
    for (path, wanted) in [
        ("/1/0/0", json!(101)),
        ("/1/0/6", json!(true)),
        ("/1/0/7", json!("U")),
    ] {
        let answer = station.read(path, Some("CBOR"));
        assert_eq!(
            (&answer["format"], &answer["content"]),
            (&json!(60), &wanted),
            "{path}: {answer}"
        );
    }
}

#[test]
fn leshan_int_222_to_225_every_level_in_every_format() {
    let mut station = Station::start("int-222");
    for path in ["/3", "/3/0", "/3416", "/3416/1", "/1", "/3/0/11"] {
        for format in MANY {
            let answer = station.read(path, Some(format));
            assert_eq!(
                (&answer["code"], &answer["format"]),
                (&json!(205), &json!(format_number(format))),
                "{path} as {format}: {answer}"
            );
        }
        assert_eq!(station.read(path, Some("TEXT"))["code"], 406, "{path}");
        assert_eq!(station.read(path, Some("CBOR"))["code"], 406, "{path}");
    }
    for path in ["/3/0/17", LAMP_LEVEL, SETPOINT, "/3/0/11/0"] {
        for format in SINGLE {
            let answer = station.read(path, Some(format));
            assert_eq!(
                (&answer["code"], &answer["format"]),
                (&json!(205), &json!(format_number(format))),
                "{path} as {format}: {answer}"
            );
        }
    }
}

#[test]
fn leshan_int_237_read_without_accept() {
    let mut station = Station::start("int-237");
    for path in ["/3/0/17", "/3/0", "/3", SETPOINT] {
        let answer = station.read(path, None);
        assert_eq!(answer["code"], 205, "{path}: {answer}");
        assert!(answer["format"].is_u64(), "{path}: {answer}");
    }
}

#[test]
fn leshan_int_221_the_security_object_is_closed() {
    let mut station = Station::start("int-221");
    for command in [
        read("/0"),
        read("/0/0"),
        read("/0/0/0"),
        json!({"do": "discover", "path": "/0"}),
        json!({"do": "attributes", "path": "/0", "attributes": "pmin=10"}),
        json!({"do": "write", "path": "/0/0/0", "format": "TEXT", "node": ["string", "coap://x"]}),
        json!({"do": "delete", "path": "/0/0"}),
        json!({"do": "observe", "path": "/0/0/0"}),
        json!({"do": "execute", "path": "/0/0/0"}),
    ] {
        assert_eq!(station.code(command.clone()), 401, "{command}");
    }
}

#[test]
fn leshan_read_failed() {
    let mut station = Station::start("read-failed");
    for (command, code) in [
        (read("/3/0/4"), 405),
        (read("/50"), 404),
        (read("/3/1"), 404),
        (read("/3/0/50"), 404),
        (read("/3/0/11/9"), 404),
    ] {
        assert_eq!(station.code(command.clone()), code, "{command}");
    }
    // The instance of a resource that is single by its definition.
    let refused = station.code(read("/3/0/17/0"));
    assert!((400..=405).contains(&refused), "{refused}");
}

#[test]
fn leshan_the_same_value_in_every_format() {
    let mut station = Station::start("same-value");
    assert_eq!(station.write(SETPOINT, "TLV", "float", json!(21.5)), 204);
    for format in SINGLE {
        let answer = station.read(SETPOINT, Some(format));
        assert!((number(&answer["content"]) - 21.5).abs() < 1e-6, "{answer}");
    }
}

#[test]
fn leshan_int_260_discover() {
    let mut station = Station::start("int-260");
    let discover = |path: &str| json!({"do": "discover", "path": path});
    for (path, attributes) in [
        ("/3", "pmin=10"),
        ("/3/0", "pmax=60"),
        (COUNT, "gt=50&lt=20.2"),
    ] {
        let attributes = json!({"do": "attributes", "path": path, "attributes": attributes});
        assert_eq!(station.code(attributes), 204, "{path}");
    }
    for (path, wanted) in [
        ("/3", ["</3>;", "pmin=10", "</3/0/17>"].as_slice()),
        ("/3/0", &["</3/0>;", "pmax=60", "</3/0/11>;dim=1"]),
        ("/3/0/11", &["</3/0/11>;", "dim=1"]),
        ("/3305/0", &["</3305/0/5800>;gt=50;lt=20.2"]),
    ] {
        let answer = station.ask(discover(path));
        let links = answer["links"]
            .as_str()
            .unwrap_or_else(|| panic!("{path}: {answer}"));
        for wanted in wanted {
            assert!(links.contains(wanted), "{path}: {wanted} is not in {links}");
        }
    }
    for missing in ["/50", "/3/1", "/3/0/50"] {
        assert_eq!(station.code(discover(missing)), 404, "{missing}");
    }
}
