//! Read- and Write-Composite (lwm2m/20, 9).

use lamplighter_coap::{Code, Method, Request};
use lamplighter_lwm2m::client::VersionChoice;
use lamplighter_model::{
    Value,
    device::{Action, Answer},
};

use crate::{
    common::{SET_POINT, TEMPERATURE, request, text},
    shelf::{JSON, TLV, shelf},
};

const LWM2M_CBOR: u16 = 11544;
const CBOR: u16 = 112;
const ETCH_JSON: u16 = 320;

#[test]
fn a_read_of_many_paths_tells_each_resource_once_and_leaves_out_what_is_not_there() {
    let mut world = shelf(VersionChoice::Auto);
    world.fill();
    world.sample(TEMPERATURE, Value::Float(21.5));
    for (body, answer) in [
        (
            r#"[{"n":"/3303/0/5700"},{"n":"/34/0/0"}]"#,
            r#"[{"bn":"/34/0/","n":"0","vs":"a"},{"bn":"/3303/0/","n":"5700","v":21.5}]"#,
        ),
        (
            r#"[{"bn":"/34/0/","n":"1/1"},{"n":"1/0"},{"bn":"/34/0/1","n":""}]"#,
            r#"[{"bn":"/34/0/","n":"1/0","vs":"Red"},{"n":"1/1","vs":"Green"}]"#,
        ),
        (
            r#"[{"n":"/3303"},{"n":"/3303/0"},{"n":"/99"},{"n":"/34/7"},{"n":"/0"},{"n":"/34/0/8"}]"#,
            r#"[{"bn":"/3303/0/","n":"5700","v":21.5}]"#,
        ),
        (r#"[{"n":"/34/0/0/1"}]"#, "[]"),
        ("[]", "[]"),
    ] {
        let response = world.fetch(body);
        assert_eq!(response.code, Code::CONTENT, "{body}");
        assert_eq!(text(&response), answer, "{body}");
    }
    assert!(world.device.is_empty(), "no bus is used");
    let all = world.fetch(r#"[{"n":"/"}]"#);
    assert!(text(&all).contains(r#""bn":"/1/0/""#) && text(&all).contains("21.5"));
}

#[test]
fn read_composites_have_the_codes_of_the_standard() {
    let body: &[u8] = br#"[{"n":"/3/0/0"}]"#;
    let fetch = |format, body: &[u8]| request(Method::Fetch, "/", format, body);
    let accepting = |accept| Request {
        accept: Some(accept),
        ..fetch(Some(JSON), body)
    };
    for (request, code, format) in [
        (fetch(Some(JSON), body), Code::CONTENT, Some(CBOR)),
        (fetch(Some(ETCH_JSON), body), Code::CONTENT, Some(CBOR)),
        (
            fetch(Some(CBOR), b"\x81\xA1\x00\x66/3/0/0"),
            Code::CONTENT,
            Some(CBOR),
        ),
        (
            fetch(Some(322), b"\x81\xA1\x00\x66/3/0/0"),
            Code::CONTENT,
            Some(CBOR),
        ),
        (accepting(JSON), Code::CONTENT, Some(JSON)),
        (accepting(CBOR), Code::CONTENT, Some(CBOR)),
        (accepting(LWM2M_CBOR), Code::CONTENT, Some(LWM2M_CBOR)),
        (accepting(TLV), Code::NOT_ACCEPTABLE, None),
        (accepting(ETCH_JSON), Code::NOT_ACCEPTABLE, None),
        (accepting(0), Code::NOT_ACCEPTABLE, None),
        (fetch(None, body), Code::UNSUPPORTED_CONTENT_FORMAT, None),
        (
            fetch(Some(TLV), body),
            Code::UNSUPPORTED_CONTENT_FORMAT,
            None,
        ),
        (
            fetch(Some(LWM2M_CBOR), b"\xA0"),
            Code::UNSUPPORTED_CONTENT_FORMAT,
            None,
        ),
        (fetch(Some(JSON), b"[{"), Code::BAD_REQUEST, None),
        (
            fetch(Some(JSON), br#"[{"n":"3/0"}]"#),
            Code::BAD_REQUEST,
            None,
        ),
        (
            fetch(Some(JSON), br#"[{"n":"/3/x"}]"#),
            Code::BAD_REQUEST,
            None,
        ),
        (
            fetch(Some(JSON), br#"[{"n":"/3/0/0","v":1}]"#),
            Code::BAD_REQUEST,
            None,
        ),
        (
            request(Method::Fetch, "/3", Some(JSON), body),
            Code::BAD_REQUEST,
            None,
        ),
        (
            Request {
                queries: vec!["colour=red".to_owned()],
                ..fetch(Some(JSON), body)
            },
            Code::BAD_REQUEST,
            None,
        ),
    ] {
        let mut world = shelf(VersionChoice::Auto);
        let response = world.ask(request.clone());
        assert_eq!(
            response.code,
            code,
            "{request:?} {}",
            String::from_utf8_lossy(&response.payload)
        );
        assert_eq!(response.content_format, format, "{request:?}");
    }
}

#[test]
fn composites_are_not_known_to_1_0() {
    let mut world = shelf(VersionChoice::V1_0);
    for method in [Method::Fetch, Method::IPatch] {
        let response = world.ask(request(method, "/", Some(JSON), b"[]"));
        assert_eq!(response.code, Code::METHOD_NOT_ALLOWED);
    }
}

/// Content-Format, body, code.
const WRITES: &[(Option<u16>, &[u8], Code)] = &[
    (
        Some(JSON),
        br#"[{"n":"/34/0/0","vs":"b"},{"n":"/1/0/2","v":7},{"n":"/34/0/1/5","vs":"Blue"}]"#,
        Code::CHANGED,
    ),
    (
        Some(ETCH_JSON),
        br#"[{"n":"/34/0/1/0","v":null},{"n":"/34/0/9","v":1}]"#,
        Code::CHANGED,
    ),
    (Some(JSON), b"[]", Code::CHANGED),
    (
        Some(LWM2M_CBOR),
        b"\xA1\x83\x18\x22\x00\x00\x61b",
        Code::CHANGED,
    ),
    (
        Some(ETCH_JSON),
        br#"[{"n":"/34/0/1/7","v":null}]"#,
        Code::NOT_FOUND,
    ),
    (
        Some(ETCH_JSON),
        br#"[{"n":"/34/0/9","v":null}]"#,
        Code::BAD_REQUEST,
    ),
    (
        Some(JSON),
        br#"[{"n":"/34/0/1/0","v":null}]"#,
        Code::BAD_REQUEST,
    ),
    (
        Some(JSON),
        br#"[{"n":"/34/0/0","vs":"b"},{"n":"/34/7/0","vs":"c"}]"#,
        Code::NOT_FOUND,
    ),
    (
        Some(JSON),
        br#"[{"n":"/34/0/0","vs":"b"},{"n":"/99/0/0","vs":"c"}]"#,
        Code::NOT_FOUND,
    ),
    (
        Some(JSON),
        br#"[{"n":"/34/0/0","vs":"b"},{"n":"/34/0/77","vs":"c"}]"#,
        Code::NOT_FOUND,
    ),
    (
        Some(JSON),
        br#"[{"n":"/34/0/0","vs":"b"},{"n":"/0/0/0","vs":"c"}]"#,
        Code::UNAUTHORIZED,
    ),
    (
        Some(JSON),
        br#"[{"n":"/34/0/0","vs":"b"},{"n":"/34/0/2","v":1}]"#,
        Code::METHOD_NOT_ALLOWED,
    ),
    (
        Some(JSON),
        br#"[{"n":"/34/0/0","vs":"b"},{"n":"/34/0/9","v":128}]"#,
        Code::BAD_REQUEST,
    ),
    (
        Some(JSON),
        br#"[{"n":"/34/0/0","vs":"b"},{"n":"/34/0/0","vs":"c"}]"#,
        Code::BAD_REQUEST,
    ),
    (
        Some(JSON),
        br#"[{"n":"/34/0/0","vs":"b"},{"n":"/1/0/7","vs":"X"}]"#,
        Code::BAD_REQUEST,
    ),
    (
        Some(JSON),
        br#"[{"n":"/34/0/0","vs":"b","t":-5}]"#,
        Code::BAD_REQUEST,
    ),
    (
        Some(JSON),
        br#"[{"n":"/34/0","vs":"b"}]"#,
        Code::BAD_REQUEST,
    ),
    (None, b"[]", Code::UNSUPPORTED_CONTENT_FORMAT),
    (Some(TLV), b"", Code::UNSUPPORTED_CONTENT_FORMAT),
];

#[test]
fn write_composites_have_the_codes_of_the_standard() {
    for &(format, body, code) in WRITES {
        let request = request(Method::IPatch, "/", format, body);
        let mut world = shelf(VersionChoice::Auto);
        world.fill();
        let before = world.state();
        let response = world.ask(request.clone());
        assert_eq!(response.code, code, "{request:?} {}", text(&response));
        if !code.is_success() {
            assert_eq!(world.state(), before, "{request:?} changed something");
        }
    }
}

#[test]
fn a_write_composite_has_no_path_and_no_queries() {
    let mut world = shelf(VersionChoice::Auto);
    world.fill();
    let at = |path| request(Method::IPatch, path, Some(JSON), b"[]");
    assert_eq!(world.ask(at("/34/0")).code, Code::BAD_REQUEST);
    let queried = Request {
        queries: vec!["pmin=1".to_owned()],
        ..at("/")
    };
    assert_eq!(world.ask(queried).code, Code::BAD_REQUEST);
}

#[test]
fn a_write_composite_waits_for_devices_and_changes_nothing_where_they_refuse() {
    for accepted in [true, false] {
        let mut world = shelf(VersionChoice::Auto);
        world.fill();
        let body =
            br#"[{"n":"/34/0/0","vs":"b"},{"n":"/3308/0/5900","v":20},{"n":"/1/0/2","v":7}]"#;
        world.request(request(Method::IPatch, "/", Some(JSON), body));
        let Action::Write { values, .. } = &world.device[0].1.action else {
            panic!("no write");
        };
        assert_eq!(
            (values.len(), values[0].address, &values[0].value),
            (1, SET_POINT, &Value::Float(20.0))
        );
        assert_eq!(text(&world.get("/34/0/0")), "a");
        world.done(if accepted {
            Ok(Answer::default())
        } else {
            Err(lamplighter_model::device::Fault::Busy)
        });
        let (name, pmin) = if accepted { ("b", "7") } else { ("a", "0") };
        assert_eq!(text(&world.get("/34/0/0")), name);
        assert_eq!(text(&world.get("/1/0/2")), pmin);
    }
}

#[test]
fn the_published_case_of_a_multiple_resource() {
    let body = br#"[{"n":"/34/0/1/1","vs":"Yellow"},{"n":"/34/0/1/3","vs":"Blue"}]"#;
    for (method, answer) in [
        (
            Method::Put,
            r#"[{"bn":"/34/0/1/","n":"1","vs":"Yellow"},{"n":"3","vs":"Blue"}]"#,
        ),
        (
            Method::Post,
            r#"[{"bn":"/34/0/1/","n":"0","vs":"Red"},{"n":"1","vs":"Yellow"},{"n":"3","vs":"Blue"}]"#,
        ),
    ] {
        let mut world = shelf(VersionChoice::Auto);
        world.fill();
        let response = world.ask(request(method, "/34/0/1", Some(JSON), body));
        assert_eq!(response.code, Code::CHANGED);
        assert_eq!(
            text(&world.ask(crate::common::accepting("/34/0/1", JSON))),
            answer
        );
    }
}
