//! Attributes of notification, at values that the server itself writes.

use std::time::{Duration, Instant};

use lamplighter_interop::station::{SOON, Station, number};
use serde_json::{Value, json};

/// A resource and its type.
type Resource = (&'static str, &'static str);

const INTEGER: Resource = ("/43500/0/1", "integer");
const FLOAT: Resource = ("/43500/0/2", "float");
const UNSIGNED: Resource = ("/43500/0/8", "unsigned_integer");
/// Observed without any condition: when what was written to it last is told, all before is.
const MARK: &str = "/43500/0/0";
/// One of a multiple resource.
const MEMBER: &str = "/43500/0/11/0";

fn attributes(path: &str, attributes: &str) -> Value {
    json!({"do": "attributes", "path": path, "attributes": attributes})
}

fn observe(path: &str) -> Value {
    json!({"do": "observe", "path": path})
}

/// A station with an instance of the shelf.
fn start(name: &'static str) -> Station {
    let mut station = Station::start(name);
    make_shelf(&mut station);
    station
}

fn make_shelf(station: &mut Station) {
    let create = json!({"do": "create", "path": "/43500", "instances": {"0": {
        "0": ["string", "made"], "1": ["integer", 1024], "11": ["integer", {"0": 5}]}}});
    assert_eq!(station.code(create), 201);
}

fn links(station: &mut Station, path: &str) -> String {
    let answer = station.ask(json!({"do": "discover", "path": path}));
    let links = answer["links"].as_str();
    links
        .unwrap_or_else(|| panic!("{path}: {answer}"))
        .to_owned()
}

#[track_caller]
fn write(station: &mut Station, (path, kind): Resource, value: &Value) {
    let code = station.write(path, "TLV", kind, value.clone());
    assert_eq!(code, 204, "{path}: {value}");
}

/// The next notification of a path.
#[track_caller]
fn notified(station: &mut Station, path: &str) -> Value {
    station.leshan.event(SOON, |event| {
        event["event"] == "notification" && event["path"] == path
    })
}

/// Nothing was told of a path until now.
#[track_caller]
fn silent(station: &mut Station, path: &str) {
    let mark = json!(format!("{:?}", now()));
    write(station, (MARK, "string"), &mark);
    station.leshan.event(SOON, |event| {
        event["path"] == MARK && event["content"] == mark
    });
    let events = station.leshan.events();
    let told: Vec<_> = events
        .iter()
        .filter(|event| event["path"] == path)
        .collect();
    assert!(told.is_empty(), "{told:?}");
}

/// Writes one value after another; `true`: it is told.
fn condition(
    station: &mut Station,
    resource: Resource,
    condition: &str,
    first: &Value,
    steps: &[(Value, bool)],
) {
    let path = resource.0;
    write(station, resource, first);
    assert_eq!(
        station.code(attributes(path, condition)),
        204,
        "{condition}"
    );
    assert_eq!(station.code(observe(path)), 205, "{condition}");
    for (value, is_told) in steps {
        write(station, resource, value);
        if *is_told {
            let told = notified(station, path);
            assert_eq!(told["content"], *value, "{path} {condition}");
        } else {
            silent(station, path);
        }
    }
    assert_eq!(station.code(json!({"do": "cancel", "path": path})), 205);
    // A name alone takes the attribute away.
    let names = condition.split('&').filter_map(|one| one.split('=').next());
    let names: Vec<_> = names.collect();
    assert_eq!(station.code(attributes(path, &names.join("&"))), 204);
}

#[test]
fn leshan_lt_and_gt_on_every_kind_of_number() {
    let mut station = start("attributes-limits");
    assert_eq!(station.code(observe(MARK)), 205);
    for (resource, limit, first, inside, beyond) in [
        (INTEGER, "lt=500", json!(1024), json!(800), json!(450)),
        (FLOAT, "lt=2.5", json!(3.25), json!(4.25), json!(2.125)),
        (UNSIGNED, "lt=500", json!(1024), json!(800), json!(450)),
        (INTEGER, "gt=2000", json!(1024), json!(1500), json!(3000)),
        (FLOAT, "gt=5.5", json!(3.25), json!(4.25), json!(5.75)),
        (
            UNSIGNED,
            "gt=10000000000000000000",
            json!(1_u64 << 63),
            json!(9_999_999_999_999_990_000_u64),
            json!(10_000_000_000_000_010_000_u64),
        ),
    ] {
        let steps = [(inside, false), (beyond, true)];
        condition(&mut station, resource, limit, &first, &steps);
    }
}

#[test]
fn leshan_st_up_and_down_on_every_kind_of_number() {
    let mut station = start("attributes-steps");
    assert_eq!(station.code(observe(MARK)), 205);
    let middle = 1_u64 << 63;
    for (resource, step, first, near, far) in [
        (INTEGER, "st=200", json!(1024), json!(1124), json!(1225)),
        (INTEGER, "st=200", json!(1024), json!(924), json!(823)),
        (FLOAT, "st=200", json!(3.5), json!(103.5), json!(204.5)),
        (FLOAT, "st=200", json!(3.5), json!(-103.5), json!(-203.5)),
        (
            UNSIGNED,
            "st=20",
            json!(middle),
            json!(middle + 10),
            json!(middle + 20),
        ),
        (
            UNSIGNED,
            "st=20",
            json!(middle),
            json!(middle - 10),
            json!(middle - 20),
        ),
    ] {
        let steps = [(near, false), (far, true)];
        condition(&mut station, resource, step, &first, &steps);
    }
}

#[test]
fn leshan_lt_gt_and_st_together() {
    let mut station = start("attributes-together");
    assert_eq!(station.code(observe(MARK)), 205);
    for resource in [INTEGER, FLOAT, UNSIGNED] {
        let of_kind = |value: i32| {
            if resource == FLOAT {
                json!(f64::from(value))
            } else {
                json!(value)
            }
        };
        let steps = [
            (of_kind(1050), false),
            // Below the lower limit, by less than a step.
            (of_kind(990), true),
            // A step up, between the limits.
            (of_kind(1100), true),
            // Beyond the upper limit.
            (of_kind(1210), true),
        ];
        let together = "lt=1000&gt=1201&st=100";
        condition(&mut station, resource, together, &of_kind(1024), &steps);
    }
}

#[test]
fn leshan_pmin_then_pmax() {
    for (name, periods) in [
        ("pmin-pmax", "pmin=1&pmax=2"),
        ("pmin-is-pmax", "pmin=1&pmax=1"),
    ] {
        let mut station = start(name);
        let path = INTEGER.0;
        assert_eq!(station.code(attributes(path, periods)), 204, "{periods}");
        assert_eq!(station.code(observe(path)), 205, "{periods}");
        write(&mut station, INTEGER, &json!(30));
        // The change, after pmin at the earliest, then the same value again.
        for _ in 0..2 {
            assert_eq!(notified(&mut station, path)["content"], 30, "{periods}");
        }
    }
}

#[test]
fn leshan_a_threshold_does_not_hold_back_pmax() {
    for (name, limit) in [
        ("gt-pmax", "gt=2000"),
        ("lt-pmax", "lt=500"),
        ("st-pmax", "st=900"),
    ] {
        let mut station = start(name);
        let path = INTEGER.0;
        assert_eq!(
            station.code(attributes(path, &format!("{limit}&pmax=2"))),
            204,
            "{limit}"
        );
        let begin = now();
        assert_eq!(station.code(observe(path)), 205, "{limit}");
        write(&mut station, INTEGER, &json!(1200));
        let told = notified(&mut station, path);
        assert_eq!(told["content"], 1200, "{limit}");
        assert!(
            begin.elapsed() > Duration::from_millis(1500),
            "{limit}: too early"
        );
    }
}

#[test]
fn leshan_the_instance_of_a_resource_inherits_from_every_level() {
    for (name, level) in [
        ("from-object", "/43500"),
        ("from-instance", "/43500/0"),
        ("from-resource", "/43500/0/11"),
    ] {
        let mut station = start(name);
        assert_eq!(station.code(attributes(level, "pmax=1")), 204, "{level}");
        assert_eq!(station.code(observe(MEMBER)), 205, "{level}");
        assert_eq!(
            number(&notified(&mut station, MEMBER)["content"]),
            5.0,
            "{level}"
        );
    }
}

/// Leshan's own client refuses a pmin above the pmax of another level; by the standard the pmax does
/// not count then (Core 1.2, 7.3).
#[test]
fn leshan_a_pmax_below_pmin_does_not_count() {
    let mut station = start("pmax-below-pmin");
    assert_eq!(station.code(observe(MARK)), 205);
    assert_eq!(station.code(attributes("/43500/0/11", "pmin=600")), 204);
    assert_eq!(station.code(attributes(MEMBER, "pmax=1")), 204);
    assert_eq!(station.code(observe(MEMBER)), 205);
    silent(&mut station, MEMBER);
}

#[test]
fn leshan_int_261_evaluation_periods_on_the_instance_of_a_resource() {
    let mut station = start("int-261-epmin");
    assert_eq!(station.code(attributes(MEMBER, "epmin=2&epmax=9")), 204);
    let found = links(&mut station, "/43500/0/11");
    assert!(found.contains("</43500/0/11/0>;"), "{found}");
    assert!(
        found.contains("epmin=2") && found.contains("epmax=9"),
        "{found}"
    );
}

#[test]
fn leshan_attributes_die_with_their_node() {
    let mut station = start("attributes-die");
    for (path, some) in [
        ("/43500", "pmax=300"),
        ("/43500/0", "pmin=10"),
        (INTEGER.0, "gt=5"),
    ] {
        assert_eq!(station.code(attributes(path, some)), 204, "{path}");
    }
    assert_eq!(
        station.code(json!({"do": "delete", "path": "/43500/0"})),
        202
    );
    make_shelf(&mut station);
    let found = links(&mut station, "/43500/0");
    assert!(
        !found.contains("pmin=10") && !found.contains("gt=5"),
        "{found}"
    );
    let object = links(&mut station, "/43500");
    assert!(
        object.contains("pmax=300"),
        "what was said of the object stays: {object}"
    );
}

#[test]
fn leshan_timers_die_with_the_observation_and_with_the_node() {
    let mut station = start("timers-die");
    assert_eq!(station.code(attributes(INTEGER.0, "pmax=1")), 204);
    assert_eq!(station.code(attributes("/43500/0/11", "pmax=1")), 204);
    assert_eq!(station.code(observe(INTEGER.0)), 205);
    assert_eq!(station.code(observe(MEMBER)), 205);
    notified(&mut station, INTEGER.0);
    notified(&mut station, MEMBER);
    assert_eq!(
        station.code(json!({"do": "cancel", "path": INTEGER.0})),
        205
    );
    station.leshan.forget_events();
    // Two more rounds of the other timer, in which this one would have been heard.
    notified(&mut station, MEMBER);
    notified(&mut station, MEMBER);
    let events = station.leshan.events();
    assert!(
        events.iter().all(|event| event["path"] != INTEGER.0),
        "{events:?}"
    );
    assert_eq!(
        station.code(json!({"do": "delete", "path": "/43500/0"})),
        202
    );
    make_shelf(&mut station);
    assert_eq!(station.code(attributes(INTEGER.0, "pmax=2")), 204);
    assert_eq!(station.code(observe(INTEGER.0)), 205);
    station.leshan.forget_events();
    notified(&mut station, INTEGER.0);
    let events = station.leshan.events();
    assert!(
        events.iter().all(|event| event["path"] != MEMBER),
        "{events:?}"
    );
}

#[test]
fn leshan_numbers_alone_have_thresholds() {
    let mut station = Station::start("no-number");
    let create = json!({"do": "create", "path": "/43500", "instances": {"0": {
        "0": ["string", "made"], "3": ["boolean", true], "4": ["opaque", "00"],
        "6": ["objlnk", "3:0"], "7": ["corelink", "</3/0>"]}}});
    assert_eq!(station.code(create), 201);
    for id in [0, 3, 4, 6, 7] {
        // Leshan itself does not send such a request.
        for limit in ["gt=1", "lt=1", "st=1"] {
            let path = format!("43500/0/{id}");
            let raw = json!({"do": "raw", "method": "PUT", "path": path, "query": limit});
            assert_eq!(station.code(raw), 400, "{path} {limit}");
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test against a real server measures in real time"
)]
fn now() -> Instant {
    Instant::now()
}
