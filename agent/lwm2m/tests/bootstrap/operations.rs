//! What a bootstrap server may do while it bootstraps, and the code of each answer (lwm2m/40, 3 to 5,
//! 7, 13 and 14).

use lamplighter_coap::{Code, Method, Request, Response};
use lamplighter_lwm2m::{boundary::Command, format::ContentFormat, server::ServerState};
use lamplighter_model::{ObjectLink, Value};

use crate::world::*;

/// Registered at A, and the bootstrap server may write.
fn bootstrapping() -> World {
    let mut world = World::new(config(&[(SSID_A, A)]));
    world.wait(1);
    world.command(Command::Bootstrap);
    assert_eq!(world.asked(BS, "/bs").len(), 1);
    world
}

fn discover(world: &mut World, path: &str) -> Response {
    let request = Request {
        accept: Some(40),
        ..request(Method::Get, path)
    };
    world.ask(BS, request)
}

fn links(world: &mut World, path: &str) -> String {
    String::from_utf8(discover(world, path).payload).expect("text")
}

fn read(world: &mut World, path: &str) -> Response {
    let request = Request {
        accept: Some(110),
        ..request(Method::Get, path)
    };
    world.ask(BS, request)
}

fn text(response: &Response) -> &str {
    std::str::from_utf8(&response.payload).expect("text")
}

#[test]
fn discover_tells_instances_and_whose_they_are() {
    let mut world = bootstrapping();
    let expected = "</>;lwm2m=1.2,</0/0>,</0/1>;ssid=101;uri=\"coap://a.example:5683\"";
    assert_eq!(links(&mut world, "/0"), expected);
    let all = links(&mut world, "/");
    assert!(
        all.starts_with(&format!("{expected},</1/0>;ssid=101,</2>,</3/0>,")),
        "{all}"
    );
    assert!(all.contains("</3303>;ver=1.1,</3303/0>"), "{all}");
    // Objects that can have instances, and none that holds keys of what there is not.
    assert!(all.contains("</16>") && !all.contains("</21>"), "{all}");
}

#[test]
fn discover_ends_at_the_object() {
    let mut world = bootstrapping();
    for (path, code) in [
        ("/0/0", Code::BAD_REQUEST),
        ("/3/0/1", Code::BAD_REQUEST),
        ("/9999", Code::NOT_FOUND),
        ("/21", Code::NOT_FOUND),
        ("/3", Code::CONTENT),
    ] {
        assert_eq!(discover(&mut world, path).code, code, "{path}");
    }
    let deep = Request {
        accept: Some(40),
        queries: vec!["depth=2".to_owned()],
        ..request(Method::Get, "/1")
    };
    assert_eq!(world.ask(BS, deep).code, Code::BAD_REQUEST);
}

#[test]
fn accounts_can_be_read_and_keys_cannot() {
    let mut world = bootstrapping();
    let all = read(&mut world, "/1");
    assert_eq!((all.code, all.content_format), (Code::CONTENT, Some(110)));
    assert!(
        text(&all).contains("{\"bn\":\"/1/0/\",\"n\":\"0\",\"v\":101}"),
        "{}",
        text(&all)
    );
    for (path, code) in [
        ("/1/0", Code::CONTENT),
        ("/2", Code::CONTENT),
        ("/1/7", Code::NOT_FOUND),
        ("/2/0", Code::NOT_FOUND),
        ("/1/0/1", Code::METHOD_NOT_ALLOWED),
        ("/0", Code::UNAUTHORIZED),
        ("/0/0", Code::UNAUTHORIZED),
        ("/0/1/5", Code::UNAUTHORIZED),
        ("/21", Code::UNAUTHORIZED),
        ("/3/0", Code::METHOD_NOT_ALLOWED),
    ] {
        assert_eq!(read(&mut world, path).code, code, "{path}");
    }
    let opaque = Request {
        accept: Some(42),
        ..request(Method::Get, "/1/0")
    };
    assert_eq!(world.ask(BS, opaque).code, Code::NOT_ACCEPTABLE);
}

#[test]
fn what_was_written_is_read_back_before_it_counts() {
    let mut world = bootstrapping();
    // The case of the ETS (lwm2m/40, 12: int-8).
    let rights = write(
        "/2/0",
        &[
            ("/2/0/0", Value::Integer(3)),
            ("/2/0/1", Value::Integer(0)),
            ("/2/0/2/0", Value::Integer(31)),
            ("/2/0/3", Value::Integer(65535)),
        ],
        ContentFormat::SenmlCbor,
    );
    assert_eq!(world.ask(BS, rights).code, Code::CHANGED);
    let answer = read(&mut world, "/2");
    let expected = "[{\"bn\":\"/2/0/\",\"n\":\"0\",\"v\":3},{\"n\":\"1\",\"v\":0},\
                    {\"n\":\"2/0\",\"v\":31},{\"n\":\"3\",\"v\":65535}]";
    assert_eq!(text(&answer), expected);
    assert_eq!(world.ask(BS, server(4, 77, 60)).code, Code::CHANGED);
    let answer = read(&mut world, "/1/4");
    assert!(
        text(&answer).contains("{\"n\":\"1\",\"v\":60}"),
        "{}",
        text(&answer)
    );
    assert_eq!(world.states(), [(SSID_A, ServerState::Registered)]);
}

#[test]
fn writes_come_in_every_format_and_at_every_level() {
    let mut world = bootstrapping();
    let values = [
        ("/1/0/0", Value::Integer(101)),
        ("/1/0/1", Value::Integer(300)),
        ("/1/0/6", Value::Boolean(false)),
        ("/1/0/7", Value::String("UQ".to_owned())),
        ("/1/0/13", Value::Unsigned(4)),
    ];
    for format in [
        ContentFormat::Tlv,
        ContentFormat::SenmlCbor,
        ContentFormat::SenmlJson,
        ContentFormat::Lwm2mCbor,
        ContentFormat::Lwm2mJson,
    ] {
        for path in ["/1", "/1/0"] {
            let answer = world.ask(BS, write(path, &values, format));
            assert_eq!(answer.code, Code::CHANGED, "{format:?} {path}");
        }
    }
    let single = [("/1/0/1", Value::Integer(360))];
    for format in [ContentFormat::Text, ContentFormat::Cbor, ContentFormat::Tlv] {
        let answer = world.ask(BS, write("/1/0/1", &single, format));
        assert_eq!(answer.code, Code::CHANGED, "{format:?}");
    }
    assert_eq!(world.ask(BS, finish()).code, Code::CHANGED);
    let register = world.asked(A, "/rd")[1];
    assert!(register.queries.contains(&"lt=360".to_owned()));
    assert!(register.queries.contains(&"Q".to_owned()));
}

#[test]
fn a_write_of_an_instance_leaves_nothing_of_the_one_before() {
    let mut world = bootstrapping();
    let values = [("/1/0/5", Value::Integer(60))];
    let answer = world.ask(BS, write("/1/0", &values, ContentFormat::Tlv));
    assert_eq!(answer.code, Code::CHANGED);
    // lwm2m/40, 12: int-9.
    let answer = world.ask(BS, finish());
    assert_eq!(answer.code, Code::NOT_ACCEPTABLE);
    assert!(
        text(&answer).contains("/1/0/0 is missing"),
        "{}",
        text(&answer)
    );
    // It may put that right in the same session.
    assert_eq!(world.ask(BS, server(0, SSID_A, 90)).code, Code::CHANGED);
    assert_eq!(world.ask(BS, finish()).code, Code::CHANGED);
}

/// Writes that are refused, each with its code.
fn bad_writes() -> Vec<(Request, Code)> {
    let text = |path: &str| Request {
        content_format: Some(0),
        payload: b"1".to_vec(),
        ..request(Method::Put, path)
    };
    let payload = |format: Option<u16>, payload: &[u8], path: &str| Request {
        content_format: format,
        payload: payload.to_vec(),
        ..request(Method::Put, path)
    };
    let single = |path: &str, value: Value| write(path, &[(path, value)], ContentFormat::Text);
    let word = || Value::String("x".to_owned());
    vec![
        (request(Method::Put, "/1/0"), Code::METHOD_NOT_ALLOWED),
        (
            payload(Some(9999), &[1], "/1/0"),
            Code::UNSUPPORTED_CONTENT_FORMAT,
        ),
        (
            payload(None, &[1], "/1/0"),
            Code::UNSUPPORTED_CONTENT_FORMAT,
        ),
        (
            payload(Some(11542), &[0xff, 0xff], "/1/0"),
            Code::BAD_REQUEST,
        ),
        (payload(Some(112), &[0x80], "/"), Code::METHOD_NOT_ALLOWED),
        (single("/0/1/2", Value::Integer(9)), Code::BAD_REQUEST),
        (single("/3303/0/5700", Value::Float(1.0)), Code::BAD_REQUEST),
        (single("/3/0/0", word()), Code::BAD_REQUEST),
        (single("/3/1/15", word()), Code::BAD_REQUEST),
        (text("/9999/0/1"), Code::NOT_FOUND),
        (text("/1/0/4"), Code::NOT_FOUND),
        (text("/2/0/2/1"), Code::METHOD_NOT_ALLOWED),
    ]
}

#[test]
fn a_write_that_fails_changes_nothing_of_it() {
    let mut world = bootstrapping();
    for (case, code) in bad_writes() {
        let what = format!("{case:?}");
        assert_eq!(world.ask(BS, case).code, code, "{what}");
    }
    let before = read(&mut world, "/1/0").payload;
    let mixed = [
        ("/1/0/1", Value::Integer(7)),
        ("/1/0/26", Value::Integer(5)),
    ];
    let answer = world.ask(BS, write("/1/0", &mixed, ContentFormat::Tlv));
    assert_eq!(answer.code, Code::BAD_REQUEST);
    assert_eq!(read(&mut world, "/1/0").payload, before);
}

#[test]
fn what_is_no_operation_of_a_bootstrap_server_is_refused() {
    let mut world = bootstrapping();
    let observe = Request {
        observe: Some(0),
        ..request(Method::Get, "/1/0")
    };
    for case in [
        observe,
        request(Method::Post, "/1"),
        request(Method::Post, "/1/0/8"),
        request(Method::Post, "/3/0/4"),
        request(Method::Fetch, "/"),
        request(Method::IPatch, "/"),
        request(Method::Get, "/d01/3/0"),
        request(Method::Put, "/d01/3/0"),
    ] {
        let what = format!("{case:?}");
        let code = world.ask(BS, case).code;
        assert_eq!(code, Code::METHOD_NOT_ALLOWED, "{what}");
    }
}

#[test]
fn a_delete_leaves_the_way_back_and_what_describes_the_box() {
    let mut world = bootstrapping();
    for path in ["/0/0", "/3", "/3/0", "/3303", "/3303/0", "/9999", "/1/17"] {
        let code = world.ask(BS, request(Method::Delete, path)).code;
        assert_eq!(code, Code::DELETED, "{path}");
    }
    for path in ["/1/0/1", "/2/0/2/1"] {
        let code = world.ask(BS, request(Method::Delete, path)).code;
        assert_eq!(code, Code::BAD_REQUEST, "{path}");
    }
    assert_eq!(
        world.ask(BS, request(Method::Delete, "/")).code,
        Code::DELETED
    );
    let all = links(&mut world, "/");
    assert!(
        all.starts_with("</>;lwm2m=1.2,</0/0>,</1>,</2>,</3/0>,"),
        "{all}"
    );
    assert!(all.contains("</3303/0>"), "{all}");
    // Nothing was said to A, and nothing counts without Finish (lwm2m/40, 5).
    assert!(world.asked(A, "/rd/1").is_empty());
    let answer = world.ask(BS, finish());
    assert_eq!(answer.code, Code::NOT_ACCEPTABLE);
    assert!(text(&answer).contains("no account of a server"));
}

#[test]
fn what_does_not_hold_together_is_named_at_finish() {
    let bootstrap = |world: &mut World, path: &str| {
        let is_bootstrap = [(path, Value::Boolean(true))];
        world.ask(BS, write(path, &is_bootstrap, ContentFormat::Tlv));
    };
    let mode = |world: &mut World, path: &str, mode: i64| {
        let mode = [(path, Value::Integer(mode))];
        world.ask(BS, write(path, &mode, ContentFormat::Tlv));
    };
    type Case<'a> = (&'a str, &'a dyn Fn(&mut World));
    let cases: [Case<'_>; 10] = [
        ("server 102 has no instance of object 1", &|world| {
            world.ask(BS, security(2, SSID_B, B));
        }),
        ("server 102 has no instance of object 0", &|world| {
            world.ask(BS, server(2, SSID_B, 60));
        }),
        ("/0/1 and /0/2 are both of server 101", &|world| {
            world.ask(BS, security(2, SSID_A, B));
        }),
        ("two instances of object 1 are of server 101", &|world| {
            world.ask(BS, server(2, SSID_A, 60));
        }),
        ("two accounts of a bootstrap server", &|world| {
            bootstrap(world, "/0/1/1")
        }),
        ("the mode is PSK", &|world| {
            world.ask(BS, security(1, SSID_A, A));
            mode(world, "/0/1/2", 0);
        }),
        ("/0/1/10 is not the id of a server", &|world| {
            world.ask(BS, security(1, 0, A));
        }),
        ("the address (0/x/0)", &|world| {
            world.ask(BS, security(1, SSID_A, "a b"));
        }),
        ("OSCORE", &|world| {
            let link = Value::Objlnk(ObjectLink {
                object: 21,
                instance: 0,
            });
            let oscore = [("/0/1/17", link)];
            world.ask(BS, write("/0/1/17", &oscore, ContentFormat::Tlv));
        }),
        ("is not a binding", &|world| {
            let binding = [("/1/0/7", Value::String("UU".to_owned()))];
            world.ask(BS, write("/1/0/7", &binding, ContentFormat::Text));
        }),
    ];
    for (reason, case) in cases {
        let mut world = bootstrapping();
        case(&mut world);
        let answer = world.ask(BS, finish());
        assert_eq!(answer.code, Code::NOT_ACCEPTABLE, "{reason}");
        assert!(
            text(&answer).contains(reason),
            "{reason}: {}",
            text(&answer)
        );
        assert_eq!(world.servers(), [SSID_A], "{reason}");
    }
}

#[test]
fn an_account_without_security_is_taken_only_where_that_is_allowed() {
    let mut config = config(&[(SSID_A, A)]);
    config
        .bootstrap
        .as_mut()
        .expect("bootstrap")
        .allow_unsecured = false;
    let mut world = World::new(config);
    world.wait(1);
    world.command(Command::Bootstrap);
    world.ask(BS, security(1, SSID_A, B));
    let answer = world.ask(BS, finish());
    assert_eq!(answer.code, Code::NOT_ACCEPTABLE);
    assert!(
        text(&answer).contains("has no security"),
        "{}",
        text(&answer)
    );
}

#[test]
fn after_finish_the_session_is_over() {
    let mut world = bootstrapping();
    for request in move_to_b() {
        world.ask(BS, request);
    }
    assert_eq!(world.ask(BS, finish()).code, Code::NOT_ACCEPTABLE);
    let delete = request(Method::Delete, "/");
    assert_eq!(world.ask(BS, delete).code, Code::METHOD_NOT_ALLOWED);
    assert_eq!(world.states(), [(SSID_B, ServerState::Registered)]);
}

#[test]
fn other_servers_cannot_bootstrap() {
    let mut world = World::new(config(&[(SSID_A, A)]));
    world.wait(1);
    for (case, code) in [
        (finish(), Code::NOT_FOUND),
        (request(Method::Delete, "/"), Code::METHOD_NOT_ALLOWED),
        (request(Method::Delete, "/1/0"), Code::METHOD_NOT_ALLOWED),
        (security(1, SSID_A, B), Code::UNAUTHORIZED),
        (request(Method::Get, "/0"), Code::UNAUTHORIZED),
        (request(Method::Get, "/0/0/5"), Code::UNAUTHORIZED),
        (server(3, SSID_B, 60), Code::NOT_FOUND),
    ] {
        let what = format!("{case:?}");
        assert_eq!(world.ask(A, case).code, code, "{what}");
    }
    let register = world.asked(A, "/rd")[0];
    let list = String::from_utf8_lossy(&register.payload);
    assert!(!list.contains("</0"), "{list}");
}

#[test]
fn time_zone_and_portfolio_may_be_given_along() {
    let mut world = bootstrapping();
    let zone = [("/3/0/15", Value::String("Europe/Paris".to_owned()))];
    world.ask(BS, write("/3/0/15", &zone, ContentFormat::Text));
    let portfolio = [("/16/0/0/0", Value::String("cabinet 17".to_owned()))];
    let answer = world.ask(BS, write("/16/0", &portfolio, ContentFormat::SenmlCbor));
    assert_eq!(answer.code, Code::CHANGED, "{}", text(&answer));
    assert!(links(&mut world, "/16").contains("</16/0>"));
    assert_eq!(world.ask(BS, finish()).code, Code::CHANGED);
    let zone = world.ask(A, request(Method::Get, "/3/0/15"));
    assert_eq!(text(&zone), "Europe/Paris");
    assert_eq!(
        world.ask(A, request(Method::Get, "/16/0/0")).code,
        Code::CONTENT
    );
}
