//! Objects 16 and 19, whose instances servers make and fill, in the order of the ETS.

use std::sync::Arc;

use lamplighter_coap::{Code, Request};
use lamplighter_lwm2m::client::ClientConfig;
use lamplighter_model::tables;

use crate::{
    common::{World, accept_all, accepting, config, text},
    shelf::{JSON, TLV},
};

fn world() -> World {
    let config = ClientConfig {
        definitions: Arc::new(tables::standard()),
        ..config()
    };
    let mut world = World::without_devices(config, accept_all);
    world.run();
    world
}

/// Instance 1 of object 16 with two identities (lwm2m/90, 1630). A multiple resource with a length
/// of one byte begins with 88; the 80 of the ETS would be one of no bytes.
fn host_device() -> Vec<u8> {
    let mut tlv = b"\x08\x01\x2E\x88\x00\x2B".to_vec();
    tlv.extend(b"\x48\x00\x11Host Device ID #2");
    tlv.extend(b"\x48\x01\x14Host Device Model #2");
    tlv
}

impl World {
    fn discover(&mut self, path: &str) -> String {
        text(&self.ask(accepting(path, 40))).to_owned()
    }
}

#[test]
fn ets_1630_an_instance_of_portfolio_is_created() {
    let mut world = world();
    let created = world.post("/16", TLV, &host_device());
    assert_eq!(created.code, Code::CREATED);
    // An instance that the request names is not named again (Core 1.2, 6.3.10).
    assert_eq!(world.get("/16/1/0/0").payload, b"Host Device ID #2");
    assert_eq!(world.get("/16/1/0/1").payload, b"Host Device Model #2");
    let links = world.discover("/16/1");
    assert!(links.starts_with("</16/1>,</16/1/0>;dim=2"), "{links}");
    world.seconds(1);
    let update = text_of(&world.requests.last().unwrap().1.payload);
    assert!(update.contains("</16/1>"), "{update}");
}

#[test]
fn ets_1635_all_instances_of_portfolio_are_deleted() {
    let mut world = world();
    world.post("/16", TLV, &host_device());
    let body = br#"[{"bn":"/16/4/","n":"0/0","vs":"another"}]"#;
    assert_eq!(world.post("/16", JSON, body).code, Code::CREATED);
    for path in ["/16/1", "/16/4"] {
        assert_eq!(world.delete(path).code, Code::DELETED, "{path}");
    }
    assert_eq!(world.discover("/16"), "</16>");
}

/// There is nobody behind an instance of a server who has authentication data.
#[test]
fn authentication_data_of_a_host_cannot_be_had() {
    let mut world = world();
    world.post("/16", TLV, &host_device());
    let asked = world.execute("/16/1/1", "");
    assert!(
        [Code::NOT_FOUND, Code::NOT_IMPLEMENTED].contains(&asked.code),
        "{}",
        asked.code
    );
}

#[test]
fn ets_1900_and_1901_data_of_an_application_is_written_and_observed() {
    let mut world = world();
    let body = br#"[{"bn":"/19/0/","n":"0/0","vd":"AQI"},{"n":"1","v":0}]"#;
    assert_eq!(world.post("/19", JSON, body).code, Code::CREATED);
    let observed = world.ask(Request {
        observe: Some(0),
        ..accepting("/19/0/0", JSON)
    });
    assert_eq!(observed.code, Code::CONTENT);
    let body = br#"[{"bn":"/19/0/0/","n":"0","vd":"AwQF"}]"#;
    let written = world.ask(crate::common::request(
        lamplighter_coap::Method::Put,
        "/19/0/0",
        Some(JSON),
        body,
    ));
    assert_eq!(written.code, Code::CHANGED);
    world.seconds(1);
    let told = world.notifications.last().map(|(_, _, told)| text(told));
    assert_eq!(told, Some(r#"[{"bn":"/19/0/0/","n":"0","vd":"AwQF"}]"#));
    for (path, value) in [
        ("/19/0/1", "2"),
        ("/19/0/2", "1700000000"),
        ("/19/0/5", "7"),
    ] {
        assert_eq!(world.put(path, value).code, Code::CHANGED, "{path}");
        assert_eq!(text(&world.get(path)), value);
    }
}

fn text_of(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).into_owned()
}
