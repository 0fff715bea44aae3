//! Whatever is refused has changed nothing, whatever it was.

use lamplighter_coap::{Code, Method, Request};
use lamplighter_lwm2m::client::VersionChoice;
use proptest::prelude::*;

use crate::shelf::shelf;

/// Paths around what exists.
const PATHS: [&str; 16] = [
    "/",
    "/34",
    "/34/0",
    "/34/0/0",
    "/34/0/1",
    "/34/0/1/1",
    "/34/0/2",
    "/34/0/6",
    "/34/0/9",
    "/35",
    "/1/0",
    "/1/0/2",
    "/3/0/14",
    "/3308/0",
    "/3303/0/6000",
    "/99/0/0",
];

/// Payloads that mean something in one format or another.
const PAYLOADS: [&[u8]; 14] = [
    b"",
    b"5",
    b"\xc1\x00b",
    b"\xc1\x00b\xc1\x02\x05",
    b"\xc1\x09\x05\xc1\x07\x05",
    b"\x03\x01\xc1\x00b\x03\x00\xc1\x00c",
    b"\x83\x01\x41\x03x",
    br#"[{"n":"/34/0/0","vs":"b"},{"n":"/34/0/2","v":5}]"#,
    br#"[{"n":"/1/0/2","v":5},{"n":"/34/0/9","v":500}]"#,
    br#"[{"n":"/34/0/1/1","v":null},{"n":"/34/0/1/9","v":null}]"#,
    br#"[{"n":"/34/1/0","vs":"b"},{"n":"/34/1/9","v":-500}]"#,
    br#"{"bn":"/34/0/","e":[{"n":"9","v":5},{"n":"6","ov":"99:1"}]}"#,
    b"\xA2\x83\x18\x22\x00\x09\x05\x83\x01\x00\x01\x00",
    b"\xA1\x82\x18\x22\x19\xFF\xFF\xA2\x00\x61a\x09\x19\x01\x00",
];

fn requests() -> impl Strategy<Value = Request> {
    let method = prop::sample::select(vec![
        Method::Delete,
        Method::Fetch,
        Method::Get,
        Method::IPatch,
        Method::Patch,
        Method::Post,
        Method::Put,
    ]);
    let format = prop::sample::select(vec![
        None,
        Some(0),
        Some(42),
        Some(60),
        Some(110),
        Some(112),
        Some(320),
        Some(322),
        Some(11542),
        Some(11543),
        Some(11544),
        Some(7),
    ]);
    let payload = prop_oneof![
        3 => prop::sample::select(PAYLOADS.to_vec()).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    let queries = prop::collection::vec(
        prop::sample::select(vec!["pmin=5", "pmax=x", "gt=5", "depth=1", "colour"]),
        0..2,
    );
    (
        method,
        prop::sample::select(PATHS.to_vec()),
        format,
        payload,
        queries,
        prop::option::weighted(0.2, prop::sample::select(vec![0, 40, 110, 9999])),
    )
        .prop_map(
            |(method, path, content_format, payload, queries, accept)| Request {
                accept,
                content_format,
                payload,
                queries: queries.into_iter().map(str::to_owned).collect(),
                ..Request::new(method, crate::common::segments(path))
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_refused_request_changes_nothing(requests in prop::collection::vec(requests(), 1..30)) {
        let mut world = shelf(VersionChoice::Auto);
        world.fill();
        for request in requests {
            let before = world.state();
            let answers = world.responses.len();
            world.request(request.clone());
            let Some((_, response)) = world.responses.get(answers) else {
                // It waits for a device, which refuses it.
                while !world.device.is_empty() {
                    world.done(Err(lamplighter_model::device::Fault::Busy));
                }
                prop_assert_eq!(world.responses.len(), answers + 1);
                prop_assert_eq!(world.state(), before, "{:?}", request);
                continue;
            };
            if !response.code.is_success() {
                let code = response.code;
                prop_assert!(is_legal(code), "{} to {:?}", code, request);
                prop_assert_eq!(world.state(), before, "{} to {:?}", code, request);
            }
        }
    }
}

/// lwm2m/20, 14.
fn is_legal(code: Code) -> bool {
    [
        Code::BAD_REQUEST,
        Code::UNAUTHORIZED,
        Code::NOT_FOUND,
        Code::METHOD_NOT_ALLOWED,
        Code::NOT_ACCEPTABLE,
        Code::REQUEST_ENTITY_TOO_LARGE,
        Code::UNSUPPORTED_CONTENT_FORMAT,
        Code::INTERNAL_SERVER_ERROR,
        Code::NOT_IMPLEMENTED,
    ]
    .contains(&code)
}
