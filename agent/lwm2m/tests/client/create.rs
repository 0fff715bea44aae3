//! Instances that servers create and delete (lwm2m/20, 7).

use std::sync::Arc;

use lamplighter_coap::{Code, Method, Request};
use lamplighter_lwm2m::{boundary::Input, client::VersionChoice};
use lamplighter_model::{
    DataType, ObjectId, ResourceAddress, ResourceId,
    device::{Declaration, Declared, DeviceEvent},
    object::Operations,
};

use crate::{
    common::{World, accept_all, accepting, get, request, segments, text},
    shelf::{JSON, TLV, shelf, shelf_config},
};

const LWM2M_JSON: u16 = 11543;
const LWM2M_CBOR: u16 = 11544;

/// Name only.
const NAMED: &[u8] = b"\xc1\x00a";

#[test]
fn objects_that_servers_may_create_instances_of_are_announced_without_any() {
    let world = shelf(VersionChoice::Auto);
    let (_, register) = &world.requests[0];
    let links = String::from_utf8_lossy(&register.payload);
    assert!(
        links.contains(",</3/0>,</34>,</35>,</3303>;ver=1.1,"),
        "{links}"
    );
}

/// Object, Content-Format, payload, code.
type Row = (&'static str, Option<u16>, &'static [u8], Code);

const CREATES: &[Row] = &[
    ("/34", Some(TLV), NAMED, Code::CREATED),
    ("/34", Some(TLV), b"\x03\x07\xc1\x00a", Code::CREATED),
    (
        "/34",
        Some(TLV),
        b"\x03\x00\xc1\x00a\x03\x05\xc1\x00b",
        Code::CREATED,
    ),
    (
        "/34",
        Some(JSON),
        br#"[{"n":"/34/3/0","vs":"a"}]"#,
        Code::CREATED,
    ),
    (
        "/34",
        Some(JSON),
        br#"[{"n":"/34/65535/0","vs":"a"}]"#,
        Code::CREATED,
    ),
    (
        "/34",
        Some(LWM2M_JSON),
        br#"{"bn":"/34/2/","e":[{"n":"0","sv":"a"}]}"#,
        Code::CREATED,
    ),
    (
        "/34",
        Some(LWM2M_CBOR),
        b"\xA1\x82\x18\x22\x19\xFF\xFF\xA1\x00\x61a",
        Code::CREATED,
    ),
    // What only we could set is ignored, and so is what is unknown.
    (
        "/34",
        Some(TLV),
        b"\xc1\x00a\xc1\x02\x07\xc1\x63\x07",
        Code::CREATED,
    ),
    // An id that cannot be one.
    (
        "/34",
        Some(TLV),
        b"\x23\xFF\xFF\xc1\x00a",
        Code::BAD_REQUEST,
    ),
    // The mandatory name is missing.
    ("/34", Some(TLV), b"", Code::BAD_REQUEST),
    ("/34", Some(TLV), b"\xc1\x09\x05", Code::BAD_REQUEST),
    ("/34", Some(TLV), b"\x00\x07", Code::BAD_REQUEST),
    (
        "/34",
        Some(TLV),
        b"\x03\x00\xc1\x00a\x00\x01",
        Code::BAD_REQUEST,
    ),
    // Values that are wrong.
    (
        "/34",
        Some(TLV),
        b"\xc1\x00a\xc2\x09\x01\x00",
        Code::BAD_REQUEST,
    ),
    ("/34", Some(TLV), b"\xc1\x00\xff", Code::BAD_REQUEST),
    ("/34", Some(TLV), b"\xc1\x00", Code::BAD_REQUEST),
    (
        "/34",
        Some(TLV),
        b"\xc1\x00a\xc1\x04\x01",
        Code::BAD_REQUEST,
    ),
    ("/34", Some(TLV), b"\xc1\x00a\xc1\x00b", Code::BAD_REQUEST),
    (
        "/34",
        Some(JSON),
        br#"[{"n":"/35/0/0","vs":"a"}]"#,
        Code::BAD_REQUEST,
    ),
    (
        "/34",
        Some(JSON),
        br#"[{"n":"/34/0/0","vs":"a","t":5}]"#,
        Code::BAD_REQUEST,
    ),
    ("/34", Some(JSON), b"[{", Code::BAD_REQUEST),
    // Formats.
    ("/34", None, NAMED, Code::BAD_REQUEST),
    ("/34", None, b"", Code::BAD_REQUEST),
    ("/34", Some(0), b"a", Code::UNSUPPORTED_CONTENT_FORMAT),
    ("/34", Some(320), b"[]", Code::UNSUPPORTED_CONTENT_FORMAT),
    ("/34", Some(9999), b"", Code::UNSUPPORTED_CONTENT_FORMAT),
    // Objects.
    ("/35", Some(TLV), NAMED, Code::CREATED),
    ("/35", Some(TLV), b"\x03\x01\xc1\x00a", Code::BAD_REQUEST),
    ("/3", Some(TLV), b"", Code::METHOD_NOT_ALLOWED),
    ("/3303", Some(TLV), b"", Code::METHOD_NOT_ALLOWED),
    ("/99", Some(TLV), b"", Code::NOT_FOUND),
    ("/0", Some(TLV), b"", Code::UNAUTHORIZED),
];

#[test]
fn creates_have_the_codes_of_the_standard() {
    for &(path, format, payload, code) in CREATES {
        let mut world = shelf(VersionChoice::Auto);
        let before = world.state();
        let response = world.ask(request(Method::Post, path, format, payload));
        let said = text(&response);
        assert_eq!(response.code, code, "{path} {format:?} {payload:x?} {said}");
        if !code.is_success() {
            assert_eq!(world.state(), before, "{payload:x?} changed something");
        }
    }
}

#[test]
fn the_answer_says_where_the_instance_is_and_an_update_tells_all_servers() {
    let mut world = shelf(VersionChoice::Auto);
    for (payload, location) in [
        (NAMED, ["34", "0"]),
        (b"\x03\x02\xc1\x00a", ["34", "2"]),
        (NAMED, ["34", "1"]),
    ] {
        assert_eq!(world.post("/34", TLV, payload).location_path, location);
    }
    world.seconds(5);
    let (_, update) = world.requests.last().unwrap();
    assert_eq!(update.path, segments("/rd/5a3f"));
    let links = String::from_utf8_lossy(&update.payload);
    assert!(links.contains(",</34/0>,</34/1>,</34/2>,</35>,"), "{links}");
    assert_eq!(
        world.post("/34", TLV, b"\x03\x02\xc1\x00a").code,
        Code::BAD_REQUEST
    );
}

#[test]
fn a_new_instance_has_what_it_must_have() {
    let mut world = shelf(VersionChoice::Auto);
    assert_eq!(world.post("/34", TLV, NAMED).code, Code::CREATED);
    assert_eq!(
        text(&world.ask(accepting("/34/0", JSON))),
        r#"[{"bn":"/34/0/","n":"0","vs":"a"},{"n":"2","v":0}]"#
    );
    assert_eq!(
        text(&world.ask(accepting("/34/0", 40))),
        "</34/0>,</34/0/0>,</34/0/2>,</34/0/4>,</34/0/11>;dim=0"
    );
    for (path, code) in [
        ("/34/0/3", Code::NOT_FOUND),
        ("/34/0/8", Code::METHOD_NOT_ALLOWED),
        ("/34/0/11", Code::CONTENT),
        ("/34/0/1", Code::NOT_FOUND),
        ("/34/0/77", Code::NOT_FOUND),
    ] {
        assert_eq!(world.get(path).code, code, "{path}");
    }
    assert_eq!(world.execute("/34/0/4", "").code, Code::NOT_IMPLEMENTED);
    assert_eq!(world.execute("/34/0/5", "").code, Code::NOT_FOUND);
}

#[test]
fn an_object_without_instances_is_read_as_nothing() {
    let mut world = shelf(VersionChoice::Auto);
    for (format, payload) in [
        (TLV, &b""[..]),
        (JSON, b"[]"),
        (112, b"\x80"),
        (LWM2M_JSON, br#"{"bn":"/35/","e":[]}"#),
    ] {
        let answer = world.ask(accepting("/35", format));
        assert_eq!(
            (answer.code, answer.payload),
            (Code::CONTENT, payload.to_vec()),
            "{format}"
        );
    }
}

#[test]
fn values_that_do_not_fit_a_new_definition_are_left_out() {
    let mut world = shelf(VersionChoice::Auto);
    world.fill();
    world.put("/34/0/9", "-7");
    let mut config = shelf_config(VersionChoice::Auto);
    let mut definitions = (*config.definitions).clone();
    let mut shelf = (**definitions.object(ObjectId(34)).unwrap()).clone();
    let number = shelf.resources.get_mut(&ResourceId(9)).unwrap();
    number.data_type = DataType::String;
    shelf.resources.remove(&ResourceId(1));
    definitions.insert(shelf);
    config.definitions = Arc::new(definitions);
    let mut again = World::at(world.now, 1, config, world.records(), accept_all);
    again.run();
    again.seconds(1);
    assert_eq!(
        text(&again.ask(accepting("/34/0", JSON))),
        r#"[{"bn":"/34/0/","n":"0","vs":"a"},{"n":"2","v":0}]"#
    );
}

#[test]
fn a_device_that_comes_later_does_not_get_an_instance_of_a_server() {
    let mut world = shelf(VersionChoice::Auto);
    world.fill();
    let declare = |instance| {
        let declaration = Declaration {
            address: ResourceAddress::gateway(34, instance, 0),
            operations: Operations::RW,
        };
        Input::Device(DeviceEvent::Declared(Declared {
            added: vec![declaration],
            removed: Vec::new(),
        }))
    };
    world.input(declare(0));
    assert_eq!(text(&world.get("/34/0/0")), "a");
    world.input(declare(1));
    let refused = world.post("/34", TLV, NAMED);
    assert_eq!(refused.code, Code::METHOD_NOT_ALLOWED, "a device has one");
    assert_eq!(world.delete("/34/1").code, Code::METHOD_NOT_ALLOWED);
    assert_eq!(world.delete("/34/0").code, Code::DELETED);
}

#[test]
fn several_instances_are_created_all_or_none() {
    let mut world = shelf(VersionChoice::Auto);
    world.post("/34", TLV, b"\x03\x02\xc1\x00a");
    let before = world.state();
    let taken = world.post("/34", TLV, b"\x03\x01\xc1\x00a\x03\x02\xc1\x00b");
    assert_eq!(taken.code, Code::BAD_REQUEST);
    assert_eq!(world.state(), before);
    let both = world.post("/34", TLV, b"\x03\x01\xc1\x00a\x03\x03\xc1\x00b");
    assert_eq!(
        (both.code, both.location_path),
        (Code::CREATED, segments("/34/1"))
    );
    assert_eq!(world.get("/34/3/0").payload, b"b");
}

#[test]
fn there_is_only_one_instance_of_a_single_object() {
    let mut world = shelf(VersionChoice::Auto);
    assert_eq!(world.post("/35", TLV, NAMED).location_path, ["35", "0"]);
    assert_eq!(world.post("/35", TLV, NAMED).code, Code::METHOD_NOT_ALLOWED);
    assert_eq!(world.delete("/35/0").code, Code::DELETED);
    assert_eq!(world.post("/35", TLV, NAMED).code, Code::CREATED);
}

#[test]
fn limits_of_what_is_stored_are_told() {
    let mut world = shelf(VersionChoice::Auto);
    let long = format!(r#"[{{"n":"/34/0/0","vs":"{}"}}]"#, "x".repeat(1025));
    assert_eq!(
        world.post("/34", JSON, long.as_bytes()).code,
        Code::REQUEST_ENTITY_TOO_LARGE
    );
    for _ in 0..4 {
        assert_eq!(world.post("/34", TLV, NAMED).code, Code::CREATED);
    }
    let long = world.put("/34/0/0", &"x".repeat(1025));
    assert_eq!(long.code, Code::REQUEST_ENTITY_TOO_LARGE);
    assert_eq!(
        world.post("/34", TLV, NAMED).code,
        Code::INTERNAL_SERVER_ERROR
    );
    let before = world.state();
    let many: Vec<String> = (0..20)
        .map(|index| format!(r#"{{"n":"1/{index}","vs":"{}"}}"#, "x".repeat(1000)))
        .collect();
    let many = format!(r#"[{{"bn":"/34/0/","n":"0","vs":"a"}},{}]"#, many.join(","));
    assert_eq!(
        world.post("/34/0", JSON, many.as_bytes()).code,
        Code::INTERNAL_SERVER_ERROR
    );
    assert_eq!(world.state(), before);
}

#[test]
fn deletes_have_the_codes_of_the_standard() {
    for version in [
        VersionChoice::V1_0,
        VersionChoice::V1_1,
        VersionChoice::V1_2,
    ] {
        let only_12 = |code| match version {
            VersionChoice::V1_2 => code,
            VersionChoice::Auto | VersionChoice::V1_0 | VersionChoice::V1_1 => {
                Code::METHOD_NOT_ALLOWED
            }
        };
        let mut world = shelf(version);
        world.fill();
        for (path, code) in [
            ("/34", Code::METHOD_NOT_ALLOWED),
            ("/34/0/0", Code::METHOD_NOT_ALLOWED),
            ("/", Code::METHOD_NOT_ALLOWED),
            ("/34/1", Code::NOT_FOUND),
            ("/99/0", Code::NOT_FOUND),
            ("/0/0", Code::UNAUTHORIZED),
            ("/3/0", Code::METHOD_NOT_ALLOWED),
            ("/3303/0", Code::METHOD_NOT_ALLOWED),
            ("/34/0/0/0", Code::METHOD_NOT_ALLOWED),
            ("/34/0/11/0", only_12(Code::METHOD_NOT_ALLOWED)),
            ("/34/0/1/7", only_12(Code::NOT_FOUND)),
            ("/34/0/1/1", only_12(Code::DELETED)),
            ("/34/0/1/1", only_12(Code::NOT_FOUND)),
            ("/34/0", Code::DELETED),
            ("/34/0", Code::NOT_FOUND),
        ] {
            assert_eq!(world.delete(path).code, code, "{path} in {version:?}");
        }
    }
}

#[test]
fn with_an_instance_go_its_attributes_and_observations() {
    let mut world = shelf(VersionChoice::Auto);
    world.fill();
    world.attributes("/34/0/9", &["pmax=500"]);
    world.attributes("/34", &["pmin=0"]);
    for path in ["/34/0", "/34/0/0", "/34"] {
        world.request(Request {
            observe: Some(0),
            ..get(path)
        });
    }
    assert_eq!(world.delete("/34/0").code, Code::DELETED);
    world.seconds(5);
    let codes: Vec<Code> = world
        .notifications
        .iter()
        .map(|(_, _, response)| response.code)
        .collect();
    assert_eq!(
        codes
            .iter()
            .filter(|code| **code == Code::NOT_FOUND)
            .count(),
        2,
        "{codes:?}"
    );
    assert!(
        codes.contains(&Code::CONTENT),
        "the object is told: {codes:?}"
    );
    let kept: Vec<String> = world.saved.keys().map(ToString::to_string).collect();
    assert!(!kept.iter().any(|key| key.contains("/34/0")), "{kept:?}");
    let (_, update) = world.requests.last().unwrap();
    assert!(String::from_utf8_lossy(&update.payload).contains(",</34>,"));
    world.fill();
    assert!(!text(&world.ask(accepting("/34/0", 40))).contains("pmax"));
}

#[test]
fn a_new_instance_is_told_to_those_who_observe_the_object() {
    let mut world = shelf(VersionChoice::Auto);
    world.request(Request {
        observe: Some(0),
        ..get("/34")
    });
    world.fill();
    world.seconds(5);
    assert_eq!(world.notifications.len(), 1);
}

#[test]
fn what_was_created_is_kept_before_the_answer_and_comes_back_after_a_restart() {
    let mut world = shelf(VersionChoice::Auto);
    world.fill();
    world.put("/34/0/9", "-7");
    world.post("/34", TLV, NAMED);
    world.delete("/34/1");
    let before = world.fetch(r#"[{"n":"/34"}]"#).payload;
    let mut again = World::at(
        world.now,
        1,
        shelf_config(VersionChoice::Auto),
        world.records(),
        accept_all,
    );
    again.run();
    again.seconds(1);
    assert_eq!(
        text(&again.fetch(r#"[{"n":"/34"}]"#)),
        String::from_utf8_lossy(&before)
    );
}

#[test]
fn an_instance_whose_definition_is_gone_is_kept_and_not_served() {
    let mut world = shelf(VersionChoice::Auto);
    world.fill();
    let mut without = World::new(crate::common::config(), world.records(), accept_all);
    without.run();
    without.seconds(1);
    assert_eq!(without.get("/34/0").code, Code::NOT_FOUND);
    without.saved.extend(world.saved.clone());
    let mut again = World::new(
        shelf_config(VersionChoice::Auto),
        without.records(),
        accept_all,
    );
    again.run();
    again.seconds(1);
    assert_eq!(text(&again.get("/34/0/0")), "a");
}
