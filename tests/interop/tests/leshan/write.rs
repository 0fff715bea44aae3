//! Write, Execute and what is refused.

use serde_json::{Value, json};

use lamplighter_interop::station::{
    LAMP, LAMP_LEVEL, MANY, SETPOINT, SINGLE, SOON, SWITCH, Station, number,
};

#[test]
fn leshan_int_205_write_text() {
    let mut station = Station::start("int-205");
    for (path, kind, value) in [
        ("/1/0/2", "integer", json!(5)),
        ("/1/0/3", "integer", json!(50)),
        ("/1/0/6", "boolean", json!(false)),
    ] {
        assert_eq!(
            station.write(path, "TEXT", kind, value.clone()),
            204,
            "{path}"
        );
        assert_eq!(station.content(path), value, "{path}");
    }
}

#[test]
fn leshan_int_212_write_cbor() {
    let mut station = Station::start("int-212");
    for (path, kind, value) in [
        ("/1/0/2", "integer", json!(5)),
        ("/1/0/3", "integer", json!(50)),
        ("/1/0/6", "boolean", json!(false)),
    ] {
        assert_eq!(
            station.write(path, "CBOR", kind, value.clone()),
            204,
            "{path}"
        );
        assert_eq!(station.content(path), value, "{path}");
    }
}

#[test]
fn leshan_int_215_220_232_234_update_then_replace_an_instance() {
    let mut station = Station::start("int-215");
    for (format, period) in MANY.iter().zip(20..) {
        let update = json!({"do": "write", "path": "/1/0", "replace": false, "format": format,
            "resources": {"2": ["integer", period], "6": ["boolean", period % 2 == 0]}});
        assert_eq!(station.code(update), 204, "{format}");
        let now = station.content("/1/0");
        assert_eq!(now["2"], period, "{format}");
        assert_eq!(now["6"], period % 2 == 0, "{format}");
        assert_eq!(now["1"], 3600, "what was not written stays");
        let replace = json!({"do": "write", "path": "/1/0", "format": format,
            "resources": {"1": ["integer", 3600], "3": ["integer", 100], "6": ["boolean", true], "7": ["string", "U"]}});
        assert_eq!(station.code(replace), 204, "{format}");
        assert_eq!(station.content("/1/0")["3"], 100, "{format}");
    }
}

#[test]
fn leshan_int_226_227_partial_update_and_replacement_of_a_resource() {
    let mut station = Station::start("int-226");
    for (format, wanted) in MANY.iter().zip([19.5, 20.5, 21.5, 22.5]) {
        let update = json!({"do": "write", "path": "/3308/0", "replace": false, "format": format,
            "resources": {"5900": ["float", wanted]}});
        assert_eq!(station.code(update), 204, "{format}");
        assert!(
            (number(&station.content(SETPOINT)) - wanted).abs() < 1e-6,
            "{format}"
        );
    }
    for (format, wanted) in SINGLE.iter().zip(-3..) {
        let wanted = f64::from(wanted) + 0.25;
        assert_eq!(
            station.write(SETPOINT, format, "float", json!(wanted)),
            204,
            "{format}"
        );
        assert!(
            (number(&station.content(SETPOINT)) - wanted).abs() < 1e-6,
            "{format}"
        );
    }
}

#[test]
fn leshan_writes_booleans_and_integers_to_devices_in_every_format() {
    let mut station = Station::start("write-devices");
    for (index, format) in SINGLE.into_iter().enumerate() {
        let on = index % 2 == 0;
        assert_eq!(
            station.write(SWITCH, format, "boolean", json!(on)),
            204,
            "{format}"
        );
        assert_eq!(station.content(SWITCH), on, "{format}");
        let level = if on { 100 } else { 0 };
        assert_eq!(
            station.write(LAMP, format, "integer", json!(level)),
            204,
            "{format}"
        );
        assert_eq!(
            number(&station.content(LAMP_LEVEL)),
            f64::from(level),
            "{format}"
        );
    }
}

#[test]
fn leshan_int_256_what_is_read_only_stays() {
    let mut station = Station::start("int-256");
    for format in SINGLE {
        assert_eq!(
            station.write("/1/0/0", format, "integer", json!(7)),
            405,
            "{format}"
        );
    }
    assert_eq!(station.content("/1/0/0"), 101);
    assert_eq!(station.write("/3/0/0", "TEXT", "string", json!("x")), 405);
}

#[test]
fn leshan_write_failed() {
    let mut station = Station::start("write-failed");
    let write = |path: &str, value: Value| json!({"do": "write", "path": path, "format": "TLV", "node": value});
    for (command, code) in [
        (write("/50/0/0", json!(["integer", 1])), 404),
        (write("/1/7/1", json!(["integer", 1])), 404),
        (write(SETPOINT, json!(["float", 90.0])), 400),
    ] {
        assert_eq!(station.code(command.clone()), code, "{command}");
    }
    let raw = |payload: &str, format: u32| json!({"do": "raw", "method": "PUT", "path": "1/0/2", "content_format": format, "payload": payload});
    for (payload, format) in [
        ("78", 0),
        ("ff", 11542),
        ("7b", 110),
        ("ff", 112),
        ("f8", 60),
    ] {
        assert_eq!(
            station.code(raw(payload, format)),
            400,
            "{payload} as {format}"
        );
    }
    assert_eq!(station.code(raw("31", 50)), 415);
    assert_eq!(station.content("/1/0/2"), 0, "nothing of it was taken");
}

#[test]
fn leshan_execute() {
    let mut station = Station::start("execute");
    let execute = |path: &str, arguments: &str| json!({"do": "execute", "path": path, "arguments": arguments});
    assert_eq!(station.code(execute("/3/0/12", "")), 204);
    assert_eq!(station.code(execute("/3/0/12", "0='a',2")), 204);
    for (path, code) in [
        ("/3/0/0", 405),
        ("/1/0/1", 405),
        ("/3/0/50", 404),
        ("/3/1/4", 404),
        ("/50/0/0", 404),
    ] {
        assert_eq!(station.code(execute(path, "")), code, "{path}");
    }
    station.leshan.forget_events();
    assert_eq!(station.code(execute("/1/0/8", "")), 204);
    station
        .leshan
        .event(SOON, |event| event["event"] == "updated");
}

#[test]
fn leshan_delete_refused() {
    let mut station = Station::start("delete-refused");
    let delete = |path: &str| json!({"do": "delete", "path": path});
    for (path, code) in [
        ("/3/0", 405),
        ("/3416/1", 405),
        ("/3/1", 404),
        ("/50/0", 404),
    ] {
        assert_eq!(station.code(delete(path)), code, "{path}");
    }
    let resource = station.code(json!({"do": "raw", "method": "DELETE", "path": "3/0/15"}));
    assert!((400..=405).contains(&resource), "{resource}");
}
