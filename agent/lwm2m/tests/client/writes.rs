//! Writes to instances that servers made, and what links may say (lwm2m/20, 5).

use lamplighter_coap::{Code, Method, Request};
use lamplighter_lwm2m::client::VersionChoice;

use crate::{
    common::{accepting, get, request, text},
    shelf::{JSON, TLV, shelf},
};

const PUT: Method = Method::Put;
const POST: Method = Method::Post;

/// Method, path, Content-Format, payload, code.
type Row = (Method, &'static str, u16, &'static [u8], Code);

const ROWS: &[Row] = &[
    // Instances.
    (PUT, "/34/0", TLV, b"\xc1\x00b", Code::CHANGED),
    (PUT, "/34/0", TLV, b"\x03\x00\xc1\x00b", Code::CHANGED),
    (PUT, "/34/0", TLV, b"\xc1\x09\x05", Code::BAD_REQUEST),
    (PUT, "/34/0", TLV, b"", Code::BAD_REQUEST),
    (PUT, "/34/0", TLV, b"\x03\x01\xc1\x00b", Code::BAD_REQUEST),
    (
        PUT,
        "/34/0",
        TLV,
        b"\xc1\x00b\xc1\x02\x05",
        Code::METHOD_NOT_ALLOWED,
    ),
    (PUT, "/34/0", TLV, b"\xc1\x00b\xc1\x63\x05", Code::CHANGED),
    (PUT, "/34/0", TLV, b"\xc1\x00b\xc1\x01x", Code::BAD_REQUEST),
    (PUT, "/34/0", 0, b"b", Code::UNSUPPORTED_CONTENT_FORMAT),
    (PUT, "/34/0", 40, b"</3>", Code::UNSUPPORTED_CONTENT_FORMAT),
    (PUT, "/34/7", TLV, b"\xc1\x00b", Code::NOT_FOUND),
    (
        PUT,
        "/34",
        TLV,
        b"\x03\x00\xc1\x00b",
        Code::METHOD_NOT_ALLOWED,
    ),
    (POST, "/34/0", TLV, b"\xc1\x09\x05", Code::CHANGED),
    (POST, "/34/0", TLV, b"", Code::CHANGED),
    (
        POST,
        "/34/0",
        TLV,
        b"\xc1\x09\x05\xc1\x02\x05",
        Code::METHOD_NOT_ALLOWED,
    ),
    (
        POST,
        "/34/0",
        TLV,
        b"\xc1\x09\x05\xc1\x63\x05",
        Code::CHANGED,
    ),
    (
        POST,
        "/34/0",
        TLV,
        b"\xc1\x09\x05\xc2\x09",
        Code::BAD_REQUEST,
    ),
    (
        POST,
        "/34/0",
        JSON,
        br#"[{"n":"/34/1/9","v":5}]"#,
        Code::BAD_REQUEST,
    ),
    // Resources.
    (PUT, "/34/0/9", 0, b"5", Code::CHANGED),
    (PUT, "/34/0/9", 0, b"-128", Code::CHANGED),
    (PUT, "/34/0/9", 0, b"-129", Code::BAD_REQUEST),
    (PUT, "/34/0/9", 0, b"128", Code::BAD_REQUEST),
    (PUT, "/34/0/9", 0, b"9223372036854775808", Code::BAD_REQUEST),
    (PUT, "/34/0/9", 0, b"5.5", Code::BAD_REQUEST),
    (
        PUT,
        "/34/0/9",
        TLV,
        b"\xc8\x09\x08\x00\x00\x00\x00\x00\x00\x00\x05",
        Code::CHANGED,
    ),
    (PUT, "/34/0/9", TLV, b"\xc2\x09\x01\x00", Code::BAD_REQUEST),
    (
        PUT,
        "/34/0/9",
        TLV,
        b"\xc3\x09\x00\x00\x05",
        Code::BAD_REQUEST,
    ),
    (PUT, "/34/0/9", TLV, b"\xc1\x0a\x01", Code::BAD_REQUEST),
    (PUT, "/34/0/0", 0, b"\xff", Code::BAD_REQUEST),
    (PUT, "/34/0/0", 0, b"", Code::CHANGED),
    (PUT, "/34/0/10", 0, b"true", Code::BAD_REQUEST),
    (PUT, "/34/0/10", 0, b"1", Code::CHANGED),
    (PUT, "/34/0/8", 42, b"\x01\x02", Code::CHANGED),
    (PUT, "/34/0/8", 0, b"AQI=", Code::CHANGED),
    (PUT, "/34/0/8", 0, b"AQI", Code::BAD_REQUEST),
    (PUT, "/34/0/2", 0, b"5", Code::METHOD_NOT_ALLOWED),
    (PUT, "/34/0/4", 0, b"5", Code::METHOD_NOT_ALLOWED),
    (PUT, "/34/0/5", 0, b"5", Code::NOT_FOUND),
    (PUT, "/34/0/77", 0, b"5", Code::NOT_FOUND),
    (PUT, "/34/0/9", 9999, b"5", Code::UNSUPPORTED_CONTENT_FORMAT),
    (PUT, "/34/0/9", 320, b"[]", Code::UNSUPPORTED_CONTENT_FORMAT),
    (
        POST,
        "/34/0/9",
        TLV,
        b"\xc1\x09\x05",
        Code::METHOD_NOT_ALLOWED,
    ),
    // Several.
    (PUT, "/34/0/1", TLV, b"\x83\x01\x41\x03x", Code::CHANGED),
    (PUT, "/34/0/1", TLV, b"\x80\x01", Code::CHANGED),
    (PUT, "/34/0/1", TLV, b"\xc1\x01x", Code::BAD_REQUEST),
    (PUT, "/34/0/1", 0, b"x", Code::UNSUPPORTED_CONTENT_FORMAT),
    (POST, "/34/0/1", TLV, b"\x83\x01\x41\x03x", Code::CHANGED),
    (
        POST,
        "/34/0/1",
        TLV,
        b"\x86\x01\x41\x03x\x41\x03y",
        Code::BAD_REQUEST,
    ),
    (
        POST,
        "/34/0/1",
        TLV,
        b"\x84\x01\x61\xFF\xFFx",
        Code::BAD_REQUEST,
    ),
    (POST, "/34/0/11", TLV, b"\x80\x0b", Code::METHOD_NOT_ALLOWED),
    (PUT, "/34/0/1/1", 0, b"x", Code::CHANGED),
    (PUT, "/34/0/1/7", 0, b"x", Code::NOT_FOUND),
    (PUT, "/34/0/9/0", 0, b"5", Code::METHOD_NOT_ALLOWED),
    (POST, "/34/0/1/1", 0, b"x", Code::METHOD_NOT_ALLOWED),
    // Links.
    (PUT, "/34/0/6", 0, b"3:0", Code::CHANGED),
    (PUT, "/34/0/6", 0, b"65535:65535", Code::CHANGED),
    (PUT, "/34/0/6", 0, b"35:65535", Code::CHANGED),
    (PUT, "/34/0/6", 0, b"34:0", Code::CHANGED),
    (PUT, "/34/0/6", 0, b"34:1", Code::BAD_REQUEST),
    (PUT, "/34/0/6", 0, b"99:65535", Code::BAD_REQUEST),
    (PUT, "/34/0/6", 0, b"65535:0", Code::BAD_REQUEST),
    (PUT, "/34/0/6", 0, b"0:0", Code::BAD_REQUEST),
    (PUT, "/34/0/6", 0, b"3", Code::BAD_REQUEST),
    (PUT, "/34/0/7", 0, b"</3/0>;x=1,</34>", Code::CHANGED),
    (PUT, "/34/0/7", 0, b"", Code::CHANGED),
    (PUT, "/34/0/7", 0, b"</34/1>", Code::BAD_REQUEST),
    (PUT, "/34/0/7", 0, b"</99>", Code::BAD_REQUEST),
    (PUT, "/34/0/7", 0, b"</34/x>", Code::BAD_REQUEST),
    (PUT, "/34/0/7", 0, b"<", Code::BAD_REQUEST),
];

#[test]
fn writes_have_the_codes_of_the_standard() {
    for &(method, path, format, payload, code) in ROWS {
        let mut world = shelf(VersionChoice::Auto);
        world.fill();
        let before = world.state();
        let response = world.ask(request(method, path, Some(format), payload));
        let said = text(&response);
        assert_eq!(response.code, code, "{method:?} {path} {payload:x?} {said}");
        if !code.is_success() {
            assert_eq!(world.state(), before, "{method:?} {path} {payload:x?}");
        }
    }
}

#[test]
fn a_replace_takes_away_what_it_does_not_name_and_an_update_does_not() {
    for (method, answer) in [
        (
            PUT,
            r#"[{"bn":"/34/0/","n":"0","vs":"b"},{"n":"1/5","vs":"Blue"},{"n":"2","v":0}]"#,
        ),
        (
            POST,
            r#"[{"bn":"/34/0/","n":"0","vs":"b"},{"n":"1/0","vs":"Red"},{"n":"1/1","vs":"Green"},{"n":"1/5","vs":"Blue"},{"n":"2","v":0},{"n":"9","v":7}]"#,
        ),
    ] {
        let mut world = shelf(VersionChoice::Auto);
        world.fill();
        world.put("/34/0/9", "7");
        let body = br#"[{"bn":"/34/0/","n":"0","vs":"b"},{"n":"1/5","vs":"Blue"}]"#;
        let response = world.ask(request(method, "/34/0", Some(JSON), body));
        assert_eq!(response.code, Code::CHANGED);
        assert_eq!(text(&world.ask(accepting("/34/0", JSON))), answer);
    }
}

#[test]
fn values_that_servers_write_are_told_to_those_who_observe_them() {
    let mut world = shelf(VersionChoice::Auto);
    world.fill();
    for path in ["/34/0/0", "/34/0/1/1", "/34/0/9"] {
        world.request(Request {
            observe: Some(0),
            ..get(path)
        });
    }
    world.put("/34/0/0", "b");
    world.put("/34/0/1/1", "Blue");
    world.seconds(5);
    let told: Vec<&str> = world
        .notifications
        .iter()
        .map(|(_, _, response)| text(response))
        .collect();
    assert_eq!(told, ["b", "Blue"]);
}

#[test]
fn what_came_with_1_1_is_refused_in_1_0() {
    let mut world = shelf(VersionChoice::V1_0);
    world.fill();
    for (method, path, payload) in [
        (PUT, "/34/0/1/1", &b"x"[..]),
        (POST, "/34/0/1", b"\x83\x01\x41\x03x"),
        (Method::Get, "/34/0/1/1", b""),
    ] {
        let format = (method != Method::Get).then_some(TLV);
        let response = world.ask(request(method, path, format, payload));
        assert_eq!(response.code, Code::METHOD_NOT_ALLOWED, "{method:?} {path}");
    }
    assert_eq!(world.get("/34/0").content_format, Some(TLV));
}
