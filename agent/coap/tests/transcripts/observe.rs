//! RFC 7641, both sides.

use std::time::Duration;

use lamplighter_coap::{Code, ETag, Params, Reliability, Request, Response, Token};

use super::script::{Script, content, get, params};

const CON: Reliability = Reliability::Confirmable;
const NON: Reliability = Reliability::NonConfirmable;

fn observing(payload: &str) -> Response {
    Response {
        observe: Some(0),
        ..content(payload)
    }
}

/// A peer observes `/a` with token aa.
fn observed(params: Params) -> Script {
    let mut script = Script::new(params);
    script
        .receive("CON 0.01 0001 t:aa 6:0x 11:a")
        .respond(0, observing("1"));
    script.expect(&["asked 0.01 /a observe=0", "ACK 2.05 0001 t:aa 6:0x01 | 1"]);
    script
}

#[test]
fn notifications_count_up_and_their_fate_is_told() {
    let mut script = observed(params());
    script
        .notify(&[0xaa], content("2"), NON)
        .notify(&[0xaa], content("3"), CON)
        .receive("ACK 0.00 m1");
    script.expect(&[
        "NON 2.05 m0 t:aa 6:0x02 | 2",
        "CON 2.05 m1 t:aa 6:0x03 | 3",
        "delivered",
    ]);
    script.notify(&[0xaa], content("4"), CON).at(62_000);
    script.expect(&[
        "CON 2.05 m2 t:aa 6:0x04 | 4",
        "@2000 CON 2.05 m2 t:aa 6:0x04 | 4",
        "@6000 CON 2.05 m2 t:aa 6:0x04 | 4",
        "@14000 CON 2.05 m2 t:aa 6:0x04 | 4",
        "@30000 CON 2.05 m2 t:aa 6:0x04 | 4",
        "@62000 delivery timed out",
    ]);
}

#[test]
fn a_reset_names_its_notification_confirmable_or_not() {
    let mut script = observed(params());
    script
        .notify(&[0xaa], content("2"), CON)
        .receive("RST 0.00 m0");
    script.expect(&["CON 2.05 m0 t:aa 6:0x02 | 2", "delivery reset"]);
    let mut script = observed(params());
    script
        .notify(&[0xaa], content("2"), NON)
        .notify(&[0xbb], content("3"), NON)
        .receive("RST 0.00 m0");
    script.expect(&[
        "NON 2.05 m0 t:aa 6:0x02 | 2",
        "NON 2.05 m1 t:bb 6:0x03 | 3",
        "delivery reset",
    ]);
    script
        .receive("RST 0.00 m0")
        .receive("RST 0.00 7777")
        .expect(&[]);
}

#[test]
fn a_reset_ends_all_notifications_of_its_observation() {
    let mut script = Script::new(Params {
        nstart: 2,
        ..params()
    });
    script
        .notify(&[0xaa], content("1"), CON)
        .notify(&[0xaa], content("2"), CON)
        .receive("RST 0.00 m0")
        .at(90_000);
    script.expect(&[
        "CON 2.05 m0 t:aa 6:0x01 | 1",
        "CON 2.05 m1 t:aa 6:0x02 | 2",
        "delivery reset",
    ]);
}

#[test]
fn confirmable_notifications_respect_nstart_and_keep_their_order() {
    let mut script = observed(params());
    script
        .notify(&[0xaa], content("2"), CON)
        .notify(&[0xaa], content("3"), CON);
    script.expect(&["CON 2.05 m0 t:aa 6:0x02 | 2"]);
    script
        .receive("ACK 0.00 m0")
        .expect(&["CON 2.05 m1 t:aa 6:0x03 | 3", "delivered"]);
}

#[test]
fn a_forgotten_observer_gets_nothing_more() {
    let mut script = observed(params());
    script
        .notify(&[0xaa], content("2"), CON)
        .notify(&[0xaa], content("3"), CON);
    script
        .act(|e, _| e.forget_observer(&Token::new(&[0xaa]).unwrap()))
        .at(90_000);
    script.expect(&["CON 2.05 m0 t:aa 6:0x02 | 2"]);
}

#[test]
fn an_error_notification_has_no_sequence_number() {
    let mut script = observed(params());
    script
        .notify(&[0xaa], Response::new(Code::NOT_FOUND), NON)
        .expect(&["NON 4.04 m0 t:aa"]);
}

#[test]
fn observe_is_not_granted_to_who_did_not_ask() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.01 0001 t:aa 11:a")
        .respond(0, observing("1"));
    script
        .receive("CON 0.01 0002 t:aa 6:0x01 11:a")
        .respond(1, observing("1"));
    script.receive("CON 0.01 0003 t:aa 6:0x 11:a");
    script.respond(
        2,
        Response {
            observe: Some(0),
            ..Response::new(Code::NOT_FOUND)
        },
    );
    script.expect(&[
        "asked 0.01 /a",
        "ACK 2.05 0001 t:aa | 1",
        "asked 0.01 /a observe=1",
        "ACK 2.05 0002 t:aa | 1",
        "asked 0.01 /a observe=0",
        "ACK 4.04 0003 t:aa",
    ]);
}

#[test]
fn a_large_notification_is_fetched_from_what_was_kept() {
    let mut script = observed(Params {
        block_szx: 0,
        ..params()
    });
    let large = Response {
        etag: ETag::new(&[9]),
        ..content("16*a+1*b")
    };
    script
        .notify(&[0xaa], large, NON)
        .expect(&["NON 2.05 m0 t:aa 4:0x09 6:0x02 23:0x08 | 16*a"]);
    script
        .receive("CON 0.01 0002 t:bb 11:a 23:0x10")
        .expect(&["ACK 2.05 0002 t:bb 4:0x09 23:0x10 | b"]);
}

#[test]
fn a_large_notification_to_an_unknown_observer_is_cut_and_fetched_by_a_read() {
    let mut script = Script::new(Params {
        block_szx: 0,
        ..params()
    });
    let large = || Response {
        etag: ETag::new(&[9]),
        ..content("16*a+1*b")
    };
    script
        .notify(&[0xaa], large(), NON)
        .expect(&["NON 2.05 m0 t:aa 4:0x09 6:0x01 23:0x08 | 16*a"]);
    script
        .receive("CON 0.01 0002 t:bb 11:a 23:0x10")
        .respond(0, large());
    script.expect(&["asked 0.01 /a", "ACK 2.05 0002 t:bb 4:0x09 23:0x10 | b"]);
}

/// We observe `/a`; the peer's last number is 5.
fn observer() -> Script {
    let mut script = Script::new(params());
    script.ask(Request {
        observe: Some(0),
        ..get("a")
    });
    script.receive("ACK 2.05 m0 t0 6:0x05 | 1");
    script.expect(&["CON 0.01 m0 t0 6:0x 11:a", "answered 2.05 observe=5 | 1"]);
    script
}

#[test]
fn notifications_are_told_in_order_and_once() {
    let mut script = observer();
    script
        .receive("NON 2.05 0001 t0 6:0x07 | 7")
        .expect(&["notified 2.05 observe=7 | 7"]);
    script
        .receive("CON 2.05 0002 t0 6:0x08 | 8")
        .expect(&["ACK 0.00 0002", "notified 2.05 observe=8 | 8"]);
    // Late, the same again, and late but acknowledged.
    script
        .receive("NON 2.05 0003 t0 6:0x06 | 6")
        .receive("CON 2.05 0002 t0 6:0x08 | 8");
    script
        .receive("CON 2.05 0004 t0 6:0x07 | 7")
        .expect(&["ACK 0.00 0002", "ACK 0.00 0004"]);
    // After 128 s any number is news.
    script
        .at(129_000)
        .receive("NON 2.05 0005 t0 6:0x01 | 9")
        .expect(&["notified 2.05 observe=1 | 9"]);
}

#[test]
fn an_error_or_a_plain_answer_ends_the_observation() {
    for (line, told) in [
        ("CON 4.04 0001 t0", "notified 4.04"),
        ("CON 2.05 0001 t0 | 2", "notified 2.05 | 2"),
    ] {
        let mut script = observer();
        script.receive(line).expect(&["ACK 0.00 0001", told]);
        script
            .receive("CON 2.05 0002 t0 6:0x08")
            .expect(&["RST 0.00 0002"]);
    }
}

#[test]
fn a_declined_observation_is_a_plain_answer() {
    let mut script = Script::new(params());
    script.ask(Request {
        observe: Some(0),
        ..get("a")
    });
    script
        .receive("ACK 2.05 m0 t0 | 1")
        .expect(&["CON 0.01 m0 t0 6:0x 11:a", "answered 2.05 | 1"]);
    script
        .receive("NON 2.05 0001 t0 6:0x08")
        .expect(&["RST 0.00 0001"]);
}

#[test]
fn a_large_notification_is_fetched_with_other_tokens() {
    let mut script = observer();
    script
        .receive("NON 2.05 0001 t0 4:0x01 6:0x06 23:0x08 | 16*a")
        .expect(&["CON 0.01 m1 t1 11:a 23:0x10"]);
    script
        .receive("ACK 2.05 m1 t1 4:0x01 23:0x10 | b")
        .expect(&["notified 2.05 observe=6 | 16*a+1*b"]);
    script
        .receive("NON 2.05 0002 t0 6:0x07 | 7")
        .expect(&["notified 2.05 observe=7 | 7"]);
}

#[test]
fn news_replace_the_news_that_are_being_fetched() {
    let mut script = observer();
    script
        .receive("NON 2.05 0001 t0 4:0x01 6:0x06 23:0x08 | 16*a")
        .expect(&["CON 0.01 m1 t1 11:a 23:0x10"]);
    script
        .receive("NON 2.05 0002 t0 6:0x07 | 7")
        .expect(&["notified 2.05 observe=7 | 7"]);
    script
        .receive("ACK 2.05 m1 t1 4:0x01 23:0x10 | b")
        .at(90_000)
        .expect(&[]);
}

#[test]
fn a_notification_that_cannot_be_fetched_does_not_end_the_observation() {
    let mut script = observer();
    script
        .receive("NON 2.05 0001 t0 4:0x01 6:0x06 23:0x08 | 16*a")
        .at(62_000);
    script.receive("NON 2.05 0002 t0 6:0x07 | 7");
    script.expect(&[
        "CON 0.01 m1 t1 11:a 23:0x10",
        "@2000 CON 0.01 m1 t1 11:a 23:0x10",
        "@6000 CON 0.01 m1 t1 11:a 23:0x10",
        "@14000 CON 0.01 m1 t1 11:a 23:0x10",
        "@30000 CON 0.01 m1 t1 11:a 23:0x10",
        "notified 2.05 observe=7 | 7",
    ]);
}

#[test]
fn an_observation_is_ended_by_asking_with_the_same_token() {
    let mut script = Script::new(params());
    let id = script.endpoint.request(
        Request {
            observe: Some(0),
            ..get("a")
        },
        Duration::ZERO,
    );
    script.act(|_, _| {}).receive("ACK 2.05 m0 t0 6:0x05 | 1");
    script.act(|e, now| assert!(e.stop_observing(id, now).is_some()));
    // A notification that crosses is not the answer.
    script
        .receive("CON 2.05 0001 t0 6:0x06 | 2")
        .receive("ACK 2.05 m1 t0 | 3");
    script.expect(&[
        "CON 0.01 m0 t0 6:0x 11:a",
        "answered 2.05 observe=5 | 1",
        "CON 0.01 m1 t0 6:0x01 11:a",
        "ACK 0.00 0001",
        "answered 2.05 | 3",
    ]);
    script
        .receive("CON 2.05 0002 t0 6:0x07 | 2")
        .expect(&["RST 0.00 0002"]);
    script
        .act(|e, now| assert!(e.stop_observing(id, now).is_none()))
        .expect(&[]);
}

#[test]
fn a_cancelled_observation_is_ended_by_a_reset() {
    let mut script = Script::new(params());
    let id = script.endpoint.request(
        Request {
            observe: Some(0),
            ..get("a")
        },
        Duration::ZERO,
    );
    script
        .act(|_, _| {})
        .receive("ACK 2.05 m0 t0 6:0x05 | 1")
        .act(|e, _| e.cancel(id));
    script.receive("NON 2.05 0001 t0 6:0x06 | 2");
    script.expect(&[
        "CON 0.01 m0 t0 6:0x 11:a",
        "answered 2.05 observe=5 | 1",
        "RST 0.00 0001",
    ]);
}
