//! Bodies of the peer that are told block by block. RFC 7959, 2.9.

use lamplighter_coap::{Code, Method, Params, Part, Request, Response};

use super::script::{Script, params};

fn streamed() -> Params {
    Params {
        streamed: vec![vec!["a".to_owned()]],
        ..params()
    }
}

const PUT: [&str; 3] = [
    "CON 0.03 0001 t:aa 11:a 27:0x08 | 16*a",
    "CON 0.03 0002 t:ab 11:a 27:0x18 | 16*b",
    "CON 0.03 0003 t:ac 11:a 27:0x20 | ccc",
];

#[test]
fn each_block_is_answered_once_its_part_is_done() {
    let mut script = Script::new(streamed());
    script
        .receive(PUT[0])
        .expect(&["asked 0.03 /a part 0.. | 16*a"]);
    script
        .respond(0, Response::new(Code::CHANGED))
        .expect(&["ACK 2.31 0001 t:aa 27:0x08"]);
    script
        .receive(PUT[1])
        .expect(&["asked 0.03 /a part 16.. | 16*b"]);
    script
        .respond(1, Response::new(Code::CHANGED))
        .expect(&["ACK 2.31 0002 t:ab 27:0x18"]);
    // Our answer was lost, and the peer has begun a new exchange for it.
    script
        .receive("CON 0.03 0009 t:ad 11:a 27:0x18 | 16*b")
        .expect(&["ACK 2.31 0009 t:ad 27:0x18"]);
    script
        .receive(PUT[2])
        .expect(&["asked 0.03 /a part 32 | ccc"]);
    script
        .respond(2, Response::new(Code::CHANGED))
        .expect(&["ACK 2.04 0003 t:ac 27:0x20"]);
    script.at(300_000).expect(&[]);
    assert!(script.is_idle());
}

#[test]
fn bodies_may_be_larger_than_those_that_are_held() {
    let small = Params {
        max_body: 20,
        ..streamed()
    };
    let mut script = Script::new(small);
    script
        .receive("CON 0.03 0001 t:aa 11:a 27:0x08 60:0x1000 | 16*a")
        .expect(&["asked 0.03 /a part 0..4096 | 16*a"]);
    script
        .respond(0, Response::new(Code::CHANGED))
        .expect(&["ACK 2.31 0001 t:aa 27:0x08"]);
    script
        .receive(PUT[1])
        .expect(&["asked 0.03 /a part 16.. | 16*b"]);
    script
        .respond(1, Response::new(Code::CHANGED))
        .expect(&["ACK 2.31 0002 t:ab 27:0x18"]);
}

#[test]
fn what_is_refused_has_no_next_part() {
    let mut script = Script::new(streamed());
    script
        .receive(PUT[0])
        .expect(&["asked 0.03 /a part 0.. | 16*a"]);
    script
        .respond(0, Response::new(Code::METHOD_NOT_ALLOWED))
        .expect(&["ACK 4.05 0001 t:aa 27:0x08"]);
    script.receive(PUT[1]).expect(&["ACK 4.08 0002 t:ab"]);
    // Gaps, and bodies that nobody has begun.
    let mut script = Script::new(streamed());
    script.receive(PUT[2]).expect(&["ACK 4.08 0003 t:ac"]);
    script
        .receive(PUT[0])
        .expect(&["asked 0.03 /a part 0.. | 16*a"]);
    script
        .respond(0, Response::new(Code::CHANGED))
        .expect(&["ACK 2.31 0001 t:aa 27:0x08"]);
    script
        .receive("CON 0.03 0004 t:ad 11:a 27:0x20 | ccc")
        .expect(&["ACK 4.08 0004 t:ad"]);
    script
        .receive("CON 0.03 0005 t:ae 11:a 27:0x08 | short")
        .expect(&["ACK 4.00 0005 t:ae"]);
}

#[test]
fn we_may_ask_for_one_part_of_an_answer() {
    let mut script = Script::new(params());
    let part = Part {
        offset: 2048,
        has_more: false,
        total: None,
    };
    script
        .ask(Request {
            part: Some(part),
            ..Request::new(Method::Get, vec!["p".to_owned()])
        })
        .expect(&["CON 0.01 m0 t0 11:p 23:0x26"]);
    script
        .receive("ACK 2.05 m0 t0 4:0x01 23:0x0026 | end")
        .expect(&["answered 2.05 part 2048 | end"]);
    assert!(script.is_idle());
}
