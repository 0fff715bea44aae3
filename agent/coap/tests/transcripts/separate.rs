//! RFC 7252, 5.2.2: answers that come by themselves.

use lamplighter_coap::{Code, Params, Response};

use super::script::{Script, content, get, params};

#[test]
fn a_slow_answer_is_acknowledged_first_and_then_confirmed() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.03 0001 t:aa 11:a")
        .at(999)
        .expect(&["asked 0.03 /a"]);
    script.at(1_500).expect(&["@1000 ACK 0.00 0001"]);
    // RFC 7252, 4.2: a duplicate gets the same acknowledgement.
    script
        .receive("CON 0.03 0001 t:aa 11:a")
        .expect(&["ACK 0.00 0001"]);
    script
        .respond(0, Response::new(Code::CHANGED))
        .expect(&["CON 2.04 m0 t:aa"]);
    script.at(3_500).expect(&["@3500 CON 2.04 m0 t:aa"]);
    script
        .receive("CON 0.03 0001 t:aa 11:a")
        .expect(&["ACK 0.00 0001"]);
    script.receive("ACK 0.00 m0").at(200_000).expect(&[]);
}

#[test]
fn a_separate_answer_does_not_wait_for_our_own_requests() {
    let mut script = Script::new(params());
    script.ask(get("a"));
    script.receive("CON 0.01 0001 t:aa 11:b").at(1_000);
    script.respond(0, content("1"));
    script.expect(&[
        "CON 0.01 m0 t0 11:a",
        "asked 0.01 /b",
        "@1000 ACK 0.00 0001",
        "CON 2.05 m1 t:aa | 1",
    ]);
}

#[test]
fn an_unacknowledged_answer_is_given_up_silently() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.01 0001 t:aa 11:b")
        .at(1_000)
        .respond(0, content("1"))
        .at(400_000);
    script.expect(&[
        "asked 0.01 /b",
        "@1000 ACK 0.00 0001",
        "CON 2.05 m0 t:aa | 1",
        "@3000 CON 2.05 m0 t:aa | 1",
        "@7000 CON 2.05 m0 t:aa | 1",
        "@15000 CON 2.05 m0 t:aa | 1",
        "@31000 CON 2.05 m0 t:aa | 1",
    ]);
    assert!(script.is_idle());
}

#[test]
fn unacknowledged_answers_count_as_open_requests() {
    let mut script = Script::new(Params {
        max_incoming: 1,
        ..params()
    });
    script
        .receive("CON 0.01 0001 t:aa 11:b")
        .at(1_000)
        .respond(0, content("1"));
    script.receive("CON 0.01 0002 t:ab 11:b");
    script.expect(&[
        "asked 0.01 /b",
        "@1000 ACK 0.00 0001",
        "CON 2.05 m0 t:aa | 1",
        "ACK 5.03 0002 t:ab 14:0x01",
    ]);
}

#[test]
fn our_request_waits_for_its_separate_answer_and_acknowledges_it_again_and_again() {
    let mut script = Script::new(params());
    script.ask(get("a"));
    script
        .receive("ACK 0.00 m0")
        .at(50_000)
        .expect(&["CON 0.01 m0 t0 11:a"]);
    script
        .receive("CON 2.05 0001 t0 | 1")
        .expect(&["ACK 0.00 0001", "answered 2.05 | 1"]);
    script
        .receive("CON 2.05 0001 t0 | 1")
        .expect(&["ACK 0.00 0001"]);
}

#[test]
fn no_answer_after_the_acknowledgement_times_out() {
    let mut script = Script::new(params());
    script.ask(get("a"));
    script
        .at(1_000)
        .receive("ACK 0.00 m0")
        .at(95_000)
        .expect(&["CON 0.01 m0 t0 11:a", "@94000 failed: timed out"]);
    script
        .receive("CON 2.05 0001 t0 | 1")
        .expect(&["RST 0.00 0001"]);
    assert_eq!(script.endpoint.counters().unmatched, 1);
}

#[test]
fn an_answer_that_overtakes_its_acknowledgement_stops_the_repetition() {
    let mut script = Script::new(params());
    script.ask(get("a"));
    script.receive("CON 2.05 0001 t0 | 1").at(90_000);
    script.expect(&["CON 0.01 m0 t0 11:a", "ACK 0.00 0001", "answered 2.05 | 1"]);
    script.receive("ACK 0.00 m0").expect(&[]);
}

#[test]
fn an_answer_to_nothing_has_no_effect() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.01 0001 t:aa 11:b")
        .respond(0, content("1"))
        .respond(0, content("2"));
    script.expect(&["asked 0.01 /b", "ACK 2.05 0001 t:aa | 1"]);
}

#[test]
fn a_request_that_nobody_answers_is_given_up_in_the_end() {
    let mut script = Script::new(Params {
        max_incoming: 1,
        ..params()
    });
    script.receive("CON 0.01 0001 t:aa 11:b").at(231_999);
    script.receive("CON 0.01 0002 t:ab 11:b");
    script.expect(&[
        "asked 0.01 /b",
        "@1000 ACK 0.00 0001",
        "ACK 5.03 0002 t:ab 14:0x01",
    ]);
    script
        .at(232_000)
        .receive("CON 0.01 0002 t:ab 11:b")
        .expect(&["asked 0.01 /b"]);
    script.respond(0, content("1")).expect(&[]);
}

#[test]
fn an_ignored_request_gets_nothing_however_often_it_comes() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.01 0001 t:aa 11:b")
        .expect(&["asked 0.01 /b"]);
    let key = script.keys[0];
    script.act(|e, _| e.ignore(key)).at(2_000);
    script
        .receive("CON 0.01 0001 t:aa 11:b")
        .at(5_000)
        .expect(&[]);
}
