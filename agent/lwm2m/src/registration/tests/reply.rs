//! What an answer to a registration request says to people.

use lamplighter_coap::Response;

use super::*;

fn refusal(code: Code, payload: &[u8]) -> Reply {
    Reply::from(Response {
        max_age: Some(90),
        payload: payload.to_vec(),
        ..Response::new(code)
    })
}

#[test]
fn a_refusal_is_told_with_its_code_in_words() {
    for (code, words) in [
        (
            Code::BAD_REQUEST,
            "4.00 the server does not accept the registration",
        ),
        (
            Code::UNAUTHORIZED,
            "4.01 the server does not authorise this endpoint",
        ),
        (
            Code::FORBIDDEN,
            "4.03 the server refuses this endpoint name",
        ),
        (
            Code::PRECONDITION_FAILED,
            "4.12 the server does not support this LwM2M version",
        ),
        (
            Code::REQUEST_ENTITY_TOO_LARGE,
            "4.13 the list of objects is too long for the server",
        ),
        (Code::SERVICE_UNAVAILABLE, "5.03 the server is overloaded"),
        (
            Code::INTERNAL_SERVER_ERROR,
            "5.00 the server refuses the registration",
        ),
    ] {
        assert_eq!(refusal(code, b"").trouble().words, words);
        assert_eq!(
            refusal(code, b"no licence").trouble().words,
            format!("{words} (no licence)")
        );
    }
}

/// RFC 7252, 5.5.2: the diagnostic payload is text; a peer may send anything.
#[test]
fn what_a_server_says_about_its_refusal_is_shown_as_far_as_it_is_text() {
    let detail = |payload: &[u8]| refusal(Code::FORBIDDEN, payload).detail;
    assert_eq!(detail(b"no\r\n\x1b[31m licence"), "no[31m licence");
    assert_eq!(detail(b"\xffx"), "\u{fffd}x");
    assert_eq!(detail(&[b'a'; 500]).len(), 120);
    let accepted = refusal(Code::CREATED, b"welcome");
    assert_eq!(accepted.detail, "", "not a refusal");
    assert_eq!(accepted.max_age, Some(secs(90)));
}
