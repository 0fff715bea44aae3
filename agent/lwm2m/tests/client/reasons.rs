//! Which reason is told where there are several (lwm2m/20, 2), and which arguments of an Execute
//! are understood (lwm2m/20, 6), in every version.

use lamplighter_coap::{Code, Method, Request};
use lamplighter_lwm2m::client::VersionChoice;

use crate::{
    common::{accepting, request, text},
    shelf::shelf,
};

/// Method, path, Content-Format, Accept, payload, code.
type Row = (
    Method,
    &'static str,
    Option<u16>,
    Option<u16>,
    &'static [u8],
    Code,
);

const GET: Method = Method::Get;
const PUT: Method = Method::Put;
const POST: Method = Method::Post;
const ODD: Option<u16> = Some(9999);

const ROWS: &[Row] = &[
    // Paths.
    (GET, "/x", None, ODD, b"", Code::NOT_FOUND),
    (GET, "/34/00", None, ODD, b"", Code::NOT_FOUND),
    (GET, "/65535", None, ODD, b"", Code::NOT_FOUND),
    (GET, "/34/0/1/0/0", None, ODD, b"", Code::METHOD_NOT_ALLOWED),
    // Objects with keys, whether there is anything or not.
    (GET, "/0/7/99", None, ODD, b"", Code::UNAUTHORIZED),
    (PUT, "/21/0/0", ODD, None, b"x", Code::UNAUTHORIZED),
    (POST, "/23", None, None, b"", Code::UNAUTHORIZED),
    (Method::Delete, "/0", None, None, b"", Code::UNAUTHORIZED),
    // The model before existence.
    (GET, "/34/9/9/0", None, ODD, b"", Code::METHOD_NOT_ALLOWED),
    // The object, the instance and the resource before formats.
    (GET, "/99/0/0", None, ODD, b"", Code::NOT_FOUND),
    (GET, "/34/9", None, ODD, b"", Code::NOT_FOUND),
    (PUT, "/34/9/9", ODD, None, b"", Code::NOT_FOUND),
    (PUT, "/34/0/77", ODD, None, b"x", Code::NOT_FOUND),
    (POST, "/34/0/77", None, None, b"1,", Code::NOT_FOUND),
    // What can be done before how.
    (PUT, "/34", ODD, None, b"x", Code::METHOD_NOT_ALLOWED),
    (PUT, "/34/0/2", ODD, None, b"x", Code::METHOD_NOT_ALLOWED),
    (POST, "/34/0/9", None, None, b"1,", Code::METHOD_NOT_ALLOWED),
    (POST, "/3", None, None, b"x", Code::METHOD_NOT_ALLOWED),
    (GET, "/34/0/4", None, ODD, b"", Code::METHOD_NOT_ALLOWED),
    // The format before the payload.
    (
        PUT,
        "/34/0/9",
        ODD,
        None,
        b"x",
        Code::UNSUPPORTED_CONTENT_FORMAT,
    ),
    (GET, "/34/0/9", None, ODD, b"", Code::NOT_ACCEPTABLE),
];

#[test]
fn the_first_reason_is_told_in_every_version() {
    for version in [
        VersionChoice::V1_0,
        VersionChoice::V1_1,
        VersionChoice::V1_2,
    ] {
        let mut world = shelf(version);
        world.fill();
        for &(method, path, format, accept, payload, code) in ROWS {
            let response = world.ask(Request {
                accept,
                ..request(method, path, format, payload)
            });
            let said = text(&response);
            assert_eq!(
                response.code, code,
                "{method:?} {path} in {version:?}: {said}"
            );
        }
    }
}

#[test]
fn the_arguments_of_an_execute_are_read_as_the_grammar_has_them() {
    for version in [
        VersionChoice::V1_0,
        VersionChoice::V1_1,
        VersionChoice::V1_2,
    ] {
        let mut world = shelf(version);
        for (args, code) in [
            ("", Code::CHANGED),
            ("5", Code::CHANGED),
            ("2='10.3'", Code::CHANGED),
            ("7,0='https://www.oma.org'", Code::CHANGED),
            ("0,1,2,3", Code::CHANGED),
            ("1='a b'", Code::CHANGED),
            ("5,", Code::BAD_REQUEST),
            ("5,5", Code::BAD_REQUEST),
            ("1=='2'", Code::BAD_REQUEST),
            ("1=2", Code::BAD_REQUEST),
            ("1='\u{e4}'", Code::BAD_REQUEST),
            ("10", Code::BAD_REQUEST),
        ] {
            assert_eq!(world.execute("/3/0/12", args).code, code, "{args}");
        }
        for (path, format, code) in [
            ("/3/0/12", Some(0), Code::CHANGED),
            ("/3/0/12", Some(42), Code::UNSUPPORTED_CONTENT_FORMAT),
            ("/3/0/12", Some(110), Code::UNSUPPORTED_CONTENT_FORMAT),
            ("/3/0/0", None, Code::METHOD_NOT_ALLOWED),
            ("/3", None, Code::METHOD_NOT_ALLOWED),
        ] {
            let response = world.ask(request(POST, path, format, b""));
            assert_eq!(response.code, code, "{path} {format:?}");
        }
        assert_eq!(
            world.ask(accepting("/3/0/12", 40)).code,
            Code::CONTENT,
            "Discover"
        );
    }
}
