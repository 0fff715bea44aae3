//! Every operation on every kind of target, and the code that the standard names for it.

use lamplighter_coap::{Code, Method, Request};

use crate::common::{World, accepting, get, request};

const TLV: u16 = 11542;
const SENML_JSON: u16 = 110;

/// Sends each request and compares the code.
fn check(table: &[(Request, Code)]) {
    let mut world = World::registered();
    for (request, code) in table {
        let response = world.ask(request.clone());
        let said = String::from_utf8_lossy(&response.payload).into_owned();
        assert_eq!(response.code, *code, "{request:?} said {said}");
    }
}

#[test]
fn objects_with_keys_are_not_authorised_at_any_depth() {
    check(&[
        (get("/0"), Code::UNAUTHORIZED),
        (get("/0/0/0"), Code::UNAUTHORIZED),
        (get("/21/0"), Code::UNAUTHORIZED),
        (accepting("/0", 40), Code::UNAUTHORIZED),
        (
            request(Method::Put, "/0/0/0", Some(0), b"x"),
            Code::UNAUTHORIZED,
        ),
        (
            request(Method::Post, "/0", Some(TLV), b""),
            Code::UNAUTHORIZED,
        ),
        (
            request(Method::Delete, "/0/0", None, b""),
            Code::UNAUTHORIZED,
        ),
        (
            Request {
                queries: vec!["pmin=1".to_owned()],
                ..request(Method::Put, "/0", None, b"")
            },
            Code::UNAUTHORIZED,
        ),
    ]);
}

#[test]
fn reads_have_the_codes_of_the_standard() {
    check(&[
        (get("/3"), Code::CONTENT),
        (get("/3/0"), Code::CONTENT),
        (get("/3/0/0"), Code::CONTENT),
        (get("/3/0/11"), Code::CONTENT),
        (get("/3/0/11/0"), Code::CONTENT),
        (get("/3/0/11/7"), Code::NOT_FOUND),
        (get("/3/0/0/0"), Code::METHOD_NOT_ALLOWED),
        (get("/3/0/4"), Code::METHOD_NOT_ALLOWED),
        (get("/3/0/1"), Code::NOT_FOUND),
        (get("/3/0/50"), Code::NOT_FOUND),
        (get("/3/1"), Code::NOT_FOUND),
        (get("/50"), Code::NOT_FOUND),
        (get("/"), Code::METHOD_NOT_ALLOWED),
        (get("/d01/3/0"), Code::NOT_FOUND),
        (get("/3303/0/5605"), Code::METHOD_NOT_ALLOWED),
        (accepting("/3/0/0", 0), Code::CONTENT),
        (accepting("/3/0", 0), Code::NOT_ACCEPTABLE),
        (accepting("/3/0/11", 0), Code::NOT_ACCEPTABLE),
        (accepting("/3/0/0", 42), Code::NOT_ACCEPTABLE),
        (accepting("/3/0/0", 9999), Code::NOT_ACCEPTABLE),
    ]);
}

#[test]
fn a_format_that_cannot_carry_the_target_is_refused() {
    let put = |path, format| request(Method::Put, path, Some(format), b"\x05");
    check(&[
        (accepting("/3/0", 60), Code::NOT_ACCEPTABLE),
        (accepting("/3/0/11", 60), Code::NOT_ACCEPTABLE),
        (accepting("/3/0/11/0", 60), Code::CONTENT),
        (accepting("/3/0", 11543), Code::CONTENT),
        (accepting("/3/0", 320), Code::NOT_ACCEPTABLE),
        (accepting("/3/0/0", 322), Code::NOT_ACCEPTABLE),
        (put("/1/0", 60), Code::UNSUPPORTED_CONTENT_FORMAT),
        (put("/1/0/2", 60), Code::CHANGED),
        (put("/1/0/2", 320), Code::UNSUPPORTED_CONTENT_FORMAT),
        (put("/1/0/2", 322), Code::UNSUPPORTED_CONTENT_FORMAT),
        (put("/1/0/2", 11543), Code::BAD_REQUEST),
        (put("/1/0/2", 11544), Code::BAD_REQUEST),
    ]);
}

#[test]
fn discovers_have_the_codes_of_the_standard() {
    check(&[
        (accepting("/3", 40), Code::CONTENT),
        (accepting("/3/0/4", 40), Code::CONTENT),
        (accepting("/3/0/11/0", 40), Code::METHOD_NOT_ALLOWED),
        (accepting("/3/0/50", 40), Code::NOT_FOUND),
        (accepting("/", 40), Code::METHOD_NOT_ALLOWED),
    ]);
}

#[test]
fn replaces_have_the_codes_of_the_standard() {
    let json = |name: &str, value: &str| format!("[{{\"n\":\"{name}\",{value}}}]").into_bytes();
    check(&[
        (request(Method::Put, "/1/0/2", Some(0), b"5"), Code::CHANGED),
        (
            request(Method::Put, "/1/0/2", Some(0), b"x"),
            Code::BAD_REQUEST,
        ),
        (
            request(Method::Put, "/1/0/2", Some(0), b"-1"),
            Code::BAD_REQUEST,
        ),
        (
            request(Method::Put, "/1/0/1", Some(0), b"-1"),
            Code::BAD_REQUEST,
        ),
        (
            request(Method::Put, "/1/0/5", Some(0), b"86401"),
            Code::BAD_REQUEST,
        ),
        (request(Method::Put, "/1/0/7", Some(0), b"U"), Code::CHANGED),
        (
            request(Method::Put, "/1/0/7", Some(0), b"UQ"),
            Code::BAD_REQUEST,
        ),
        (
            request(Method::Put, "/1/0/0", Some(0), b"1"),
            Code::METHOD_NOT_ALLOWED,
        ),
        (
            request(Method::Put, "/1/0/8", Some(0), b"1"),
            Code::METHOD_NOT_ALLOWED,
        ),
        (
            request(Method::Put, "/1/0/99", Some(0), b"1"),
            Code::NOT_FOUND,
        ),
        (
            request(Method::Put, "/1/7/1", Some(0), b"1"),
            Code::NOT_FOUND,
        ),
        (
            request(Method::Put, "/1", Some(TLV), b""),
            Code::METHOD_NOT_ALLOWED,
        ),
        (
            request(Method::Put, "/1/0/2", Some(9999), b"5"),
            Code::UNSUPPORTED_CONTENT_FORMAT,
        ),
        (
            request(Method::Put, "/1/0", Some(0), b"5"),
            Code::UNSUPPORTED_CONTENT_FORMAT,
        ),
        (
            request(Method::Put, "/1/0/2", None, b"5"),
            Code::UNSUPPORTED_CONTENT_FORMAT,
        ),
        (
            request(
                Method::Put,
                "/1/0/2",
                Some(SENML_JSON),
                &json("/1/0/3", "\"v\":5"),
            ),
            Code::BAD_REQUEST,
        ),
        (
            request(Method::Put, "/1/0/2", Some(SENML_JSON), b"[{"),
            Code::BAD_REQUEST,
        ),
        (
            request(Method::Put, "/3/0/11/0", Some(0), b"5"),
            Code::METHOD_NOT_ALLOWED,
        ),
    ]);
}

#[test]
fn a_payload_without_a_value_does_not_say_what_to_write() {
    check(&[
        (
            request(Method::Put, "/1/0/2", Some(TLV), b""),
            Code::BAD_REQUEST,
        ),
        (
            request(Method::Put, "/1/0/2", Some(SENML_JSON), b"[]"),
            Code::BAD_REQUEST,
        ),
    ]);
}

#[test]
fn a_replace_of_an_instance_names_what_is_mandatory() {
    check(&[
        (
            request(Method::Put, "/1/0", Some(TLV), b"\xc1\x02\x05"),
            Code::BAD_REQUEST,
        ),
        (
            request(
                Method::Put,
                "/1/0",
                Some(TLV),
                b"\xc1\x01\x64\xc1\x06\x01\xc1\x07U",
            ),
            Code::CHANGED,
        ),
    ]);
}

#[test]
fn partial_updates_have_the_codes_of_the_standard() {
    check(&[
        (
            request(
                Method::Post,
                "/1/0",
                Some(TLV),
                b"\xc1\x02\x65\xc2\x03\x03\xf2",
            ),
            Code::CHANGED,
        ),
        (
            request(Method::Post, "/1/0", Some(TLV), b"\xc1\x02\x65\xc1\x00\x07"),
            Code::METHOD_NOT_ALLOWED,
        ),
        (
            request(Method::Post, "/1/0", Some(TLV), b"\xc1\x02\x65\xc1\x63\x07"),
            Code::CHANGED,
        ),
        (
            request(Method::Post, "/1/0", None, b""),
            Code::UNSUPPORTED_CONTENT_FORMAT,
        ),
        (
            request(Method::Post, "/1/0/2", Some(TLV), b"\xc1\x02\x65"),
            Code::METHOD_NOT_ALLOWED,
        ),
    ]);
}

#[test]
fn executes_have_the_codes_of_the_standard() {
    check(&[
        (request(Method::Post, "/3/0/12", None, b""), Code::CHANGED),
        (
            request(Method::Post, "/3/0/12", Some(0), b"2='10.3'"),
            Code::CHANGED,
        ),
        (
            request(Method::Post, "/3/0/12", None, b"1,"),
            Code::BAD_REQUEST,
        ),
        (
            request(Method::Post, "/3/0/0", None, b""),
            Code::METHOD_NOT_ALLOWED,
        ),
        (request(Method::Post, "/3/0/50", None, b""), Code::NOT_FOUND),
        (
            request(Method::Post, "/3/0/12", Some(42), b"1"),
            Code::UNSUPPORTED_CONTENT_FORMAT,
        ),
        (
            request(Method::Post, "/3/0/11/0", None, b""),
            Code::METHOD_NOT_ALLOWED,
        ),
        (
            request(Method::Post, "/", None, b""),
            Code::METHOD_NOT_ALLOWED,
        ),
    ]);
}

#[test]
fn what_the_box_makes_itself_is_neither_created_nor_deleted_by_servers() {
    check(&[
        (
            request(Method::Post, "/3", Some(TLV), b""),
            Code::METHOD_NOT_ALLOWED,
        ),
        (
            request(Method::Post, "/1", Some(TLV), b""),
            Code::METHOD_NOT_ALLOWED,
        ),
        (
            request(Method::Post, "/3303", Some(TLV), b""),
            Code::METHOD_NOT_ALLOWED,
        ),
        (
            request(Method::Post, "/50", Some(TLV), b""),
            Code::NOT_FOUND,
        ),
        (
            request(Method::Delete, "/3/0", None, b""),
            Code::METHOD_NOT_ALLOWED,
        ),
        (
            request(Method::Delete, "/1/0", None, b""),
            Code::METHOD_NOT_ALLOWED,
        ),
        (
            request(Method::Delete, "/3303/0", None, b""),
            Code::METHOD_NOT_ALLOWED,
        ),
        (
            request(Method::Delete, "/3303/9", None, b""),
            Code::NOT_FOUND,
        ),
        (request(Method::Delete, "/50/0", None, b""), Code::NOT_FOUND),
    ]);
}

#[test]
fn observes_have_the_codes_of_the_standard() {
    check(&[
        (
            Request {
                observe: Some(0),
                ..get("/3/0/4")
            },
            Code::METHOD_NOT_ALLOWED,
        ),
        (
            Request {
                observe: Some(0),
                ..get("/50")
            },
            Code::NOT_FOUND,
        ),
        (
            Request {
                observe: Some(0),
                queries: vec!["gt=1".to_owned()],
                ..get("/3/0/0")
            },
            Code::BAD_REQUEST,
        ),
        (
            Request {
                observe: Some(1),
                ..get("/3/0/0")
            },
            Code::CONTENT,
        ),
        (
            request(Method::Get, "/3/0/0", None, b"payload"),
            Code::CONTENT,
        ),
    ]);
}

#[test]
fn write_attributes_have_the_codes_of_the_standard() {
    let mut world = World::registered();
    for (path, query, code) in [
        ("/3303", "pmin=1", Code::CHANGED),
        ("/3303/0", "pmax=100", Code::CHANGED),
        ("/3303/0/5700", "gt=20", Code::CHANGED),
        ("/3303/0/5700", "gt", Code::CHANGED),
        ("/3303/0", "gt=20", Code::BAD_REQUEST),
        ("/3/0/0", "st=1", Code::BAD_REQUEST),
        ("/3303/0/5700", "pmin=x", Code::BAD_REQUEST),
        ("/3303/0/5700", "con=1", Code::CHANGED),
        ("/3303/0/5700", "edge=1", Code::BAD_REQUEST),
        ("/3/0/11", "gt=1", Code::CHANGED),
        ("/3303/0/5605", "pmin=1", Code::METHOD_NOT_ALLOWED),
        ("/3303/9", "pmin=1", Code::NOT_FOUND),
        ("/3303/0/9", "pmin=1", Code::NOT_FOUND),
    ] {
        assert_eq!(
            world.attributes(path, &[query]).code,
            code,
            "{path}?{query}"
        );
    }
    assert_eq!(world.attributes("/3303", &[]).code, Code::BAD_REQUEST);
}
