//! What a server may do that is not the only one (lwm2m/20, 11), seen from the network.

use std::sync::Arc;

use lamplighter_coap::{Code, Method, Request};
use lamplighter_lwm2m::{
    access::Grants,
    client::{ClientConfig, ServerConfig, VersionChoice},
    saved::{Record, SavedInstance},
};
use lamplighter_model::{ObjectId, ResourceId, Ssid, Value, tables};

use crate::{
    common::{World, accept_all, get, request, server_config, text},
    shelf::{JSON, TLV, shelf_config},
};

/// Our server beside the owner of the box, with rights on `/34`, of which there is one instance
/// that it has not made.
fn beside_the_owner(rights: &str) -> World {
    let pattern = "/34".parse().expect("a pattern");
    let ours = ServerConfig {
        rights: Grants {
            owner: false,
            rights: [(pattern, rights.parse().expect("rights"))].into(),
        },
        ..server_config()
    };
    let owner = ServerConfig {
        name: "owner".to_owned(),
        rights: Grants {
            owner: true,
            ..Grants::default()
        },
        ssid: Ssid(102),
        uri: "coap://unreachable.example".parse().expect("a URI"),
        ..server_config()
    };
    let shelf = shelf_config(VersionChoice::Auto);
    let mut definitions = lamplighter_model::object::Definitions::clone(&shelf.definitions);
    let access_control = tables::standard();
    let access_control = access_control.object(ObjectId(2)).expect("object 2");
    definitions.insert(access_control.as_ref().clone());
    let config = ClientConfig {
        definitions: Arc::new(definitions),
        servers: vec![ours, owner],
        ..shelf
    };
    let name = lamplighter_lwm2m::format::Content::Single(Value::String("a".to_owned()));
    let instance = SavedInstance {
        resources: vec![(ResourceId(0), name)],
    };
    let saved = vec![Record::Instance("/34/0".to_owned(), Some(instance))];
    let mut world = World::new(config, saved, accept_all);
    world.run();
    world
}

fn composite(method: Method, body: &str) -> Request {
    Request {
        accept: (method == Method::Fetch).then_some(JSON),
        ..request(method, "/", Some(JSON), body.as_bytes())
    }
}

/// Core 1.2, 8.2: each operation asks for its right on the instance, Create for one on the object;
/// without, 4.01, and nothing is done.
#[test]
fn an_operation_is_refused_without_its_right() {
    let named = r#"[{"n":"/34/0/0","vs":"b"}]"#;
    let operations = [
        ('R', get("/34/0/0")),
        ('R', composite(Method::Fetch, r#"[{"n":"/34/0/0"}]"#)),
        (
            'W',
            request(Method::Put, "/34/0", Some(JSON), named.as_bytes()),
        ),
        ('W', composite(Method::IPatch, named)),
        ('E', request(Method::Post, "/34/0/4", None, b"")),
        ('D', request(Method::Delete, "/34/0", None, b"")),
        (
            'C',
            request(Method::Post, "/34", Some(TLV), b"\x03\x07\xc1\x00b"),
        ),
    ];
    for (needed, operation) in &operations {
        for (rights, is_enough) in [
            (needed.to_string(), true),
            ("RWEDC".replace(*needed, ""), false),
        ] {
            let mut world = beside_the_owner(&rights);
            let before = (world.saved.clone(), world.device.len());
            let response = world.ask(operation.clone());
            let what = format!("{:?} with {rights}: {}", operation.method, text(&response));
            if is_enough {
                assert_ne!(response.code, Code::UNAUTHORIZED, "{what}");
            } else {
                assert_eq!(response.code, Code::UNAUTHORIZED, "{what}");
                assert_eq!((world.saved.clone(), world.device.len()), before, "{what}");
            }
        }
    }
}

/// People read why in the event log and in the answer.
#[test]
fn a_refusal_names_the_right_that_is_missing() {
    let mut world = beside_the_owner("");
    for (operation, named) in [
        (get("/34/0/0"), "read"),
        (request(Method::Put, "/34/0/0", Some(0), b"b"), "write"),
        (request(Method::Post, "/34/0/4", None, b""), "execute"),
        (request(Method::Delete, "/34/0", None, b""), "delete"),
        (
            request(Method::Post, "/34", Some(TLV), b"\xc1\x00b"),
            "create",
        ),
    ] {
        let response = world.ask(operation);
        assert_eq!(response.code, Code::UNAUTHORIZED);
        assert_eq!(
            text(&response),
            format!("there is no right to {named} here")
        );
    }
}
