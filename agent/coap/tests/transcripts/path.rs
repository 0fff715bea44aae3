//! What is known of the way to the peer: whether it is there, and how large datagrams may be.

use std::time::Duration;

use lamplighter_coap::{Endpoint, Reliability};

use super::script::{Script, content, get, params, post};

fn ping(script: &mut Script) -> bool {
    let mut is_sent = false;
    script.act(|endpoint, now| is_sent = endpoint.ping(now));
    is_sent
}

fn lost_large(script: &Script) -> bool {
    script.endpoint.has_lost_large()
}

fn narrow(endpoint: &mut Endpoint, now: Duration) {
    endpoint.limit_blocks(endpoint.params().block_szx - 1, now);
}

#[test]
fn a_ping_is_answered_by_a_reset_and_asked_once_at_a_time() {
    let mut script = Script::new(params());
    assert!(ping(&mut script));
    assert!(!ping(&mut script));
    assert_eq!(script.endpoint.awaited(), Some(Duration::ZERO));
    script.at(100).receive("RST 0.00 m0");
    assert_eq!(script.endpoint.awaited(), None);
    assert!(ping(&mut script));
    script.at(3_000);
    script.expect(&["CON 0.00 m0", "CON 0.00 m1", "@2100 CON 0.00 m1"]);
}

#[test]
fn a_ping_without_an_answer_is_told_to_nobody() {
    let mut script = Script::new(params());
    ping(&mut script);
    script.at(100_000).expect(&[
        "CON 0.00 m0",
        "@2000 CON 0.00 m0",
        "@6000 CON 0.00 m0",
        "@14000 CON 0.00 m0",
        "@30000 CON 0.00 m0",
    ]);
    assert!(script.is_idle());
    assert_eq!(script.endpoint.awaited(), None);
}

#[test]
fn a_request_takes_the_place_of_a_ping_and_its_time_counts_on() {
    let mut script = Script::new(params());
    ping(&mut script);
    script.at(1_000).ask(get("a"));
    assert!(!ping(&mut script), "the request asks the same");
    script.at(3_500);
    script.expect(&[
        "CON 0.00 m0",
        "CON 0.01 m1 t0 11:a",
        "@3000 CON 0.01 m1 t0 11:a",
    ]);
    assert_eq!(script.endpoint.awaited(), Some(Duration::ZERO));
    script
        .receive("ACK 2.05 m1 t0 | 1")
        .expect(&["answered 2.05 | 1"]);
    assert_eq!(script.endpoint.awaited(), None);
}

#[test]
fn over_another_path_the_time_counts_anew() {
    let mut script = Script::new(params());
    script.notify(b"o", content("1"), Reliability::Confirmable);
    script
        .at(5_000)
        .act(|endpoint, now| endpoint.path_changed(now));
    assert_eq!(script.endpoint.awaited(), Some(Duration::from_secs(5)));
}

#[test]
fn other_paths_do_not_make_a_message_live_longer() {
    let mut script = Script::new(params());
    script.notify(b"o", content("1"), Reliability::Confirmable);
    for seconds in 1..=200 {
        script
            .at(seconds * 1_000)
            .act(|endpoint, now| endpoint.path_changed(now));
    }
    assert!(script.is_idle());
    assert_eq!(script.endpoint.counters().retransmissions, 4);
}

#[test]
fn a_large_request_that_is_swallowed_goes_on_in_smaller_blocks() {
    let mut script = Script::new(params());
    script.ask(post("rd", "700*a")).at(2_001).expect(&[
        "CON 0.02 m0 t0 11:rd | 700*a",
        "@2000 CON 0.02 m0 t0 11:rd | 700*a",
        "@2000 CON 0.00 m1",
    ]);
    assert!(!lost_large(&script));
    script.receive("RST 0.00 m1").at(6_001);
    assert!(lost_large(&script));
    script.act(narrow).expect(&[
        "@6000 CON 0.02 m0 t0 11:rd | 700*a",
        "CON 0.02 m2 t1 11:rd 27:0x0d 60:0x02bc | 512*a",
    ]);
    assert!(!lost_large(&script));
    script.receive("ACK 2.31 m2 t1 27:0x0d");
    script.receive("ACK 2.01 m3 t2 8:rd 8:5a 27:0x15");
    script.expect(&["CON 0.02 m3 t2 11:rd 27:0x15 | 188*a", "answered 2.01"]);
    assert!(script.is_idle());
}

#[test]
fn silence_says_nothing_about_sizes() {
    let mut script = Script::new(params());
    script.ask(post("rd", "700*a"));
    for ms in (0..60_000).step_by(500) {
        script.at(ms);
        assert!(!lost_large(&script));
    }
}

#[test]
fn an_upload_that_is_swallowed_goes_on_where_it_was() {
    let mut script = Script::new(params());
    script.ask(post("rd", "1024*a+1024*b"));
    script.receive("ACK 2.31 m0 t0 27:0x0e").at(2_100);
    script.act(narrow);
    script.receive("ACK 2.31 m3 t2 27:0x2d");
    script.receive("ACK 2.04 m4 t3 27:0x35");
    script.expect(&[
        "CON 0.02 m0 t0 11:rd 27:0x0e 60:0x0800 | 1024*a",
        "CON 0.02 m1 t1 11:rd 27:0x16 | 1024*b",
        "@2000 CON 0.02 m1 t1 11:rd 27:0x16 | 1024*b",
        "@2000 CON 0.00 m2",
        "CON 0.02 m3 t2 11:rd 27:0x2d | 512*b",
        "CON 0.02 m4 t3 11:rd 27:0x35 | 512*b",
        "answered 2.04",
    ]);
}

#[test]
fn a_read_that_comes_again_and_again_is_answered_in_smaller_blocks() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.01 0001 t:01 11:a")
        .respond(0, content("700*a"));
    script.expect(&["asked 0.01 /a", "ACK 2.05 0001 t:01 | 700*a"]);
    for _ in 0..2 {
        assert!(!lost_large(&script));
        script.receive("CON 0.01 0001 t:01 11:a");
        script.expect(&["ACK 2.05 0001 t:01 | 700*a"]);
    }
    assert!(lost_large(&script));
    script.act(narrow);
    assert!(!lost_large(&script));
    script
        .receive("CON 0.01 0001 t:01 11:a")
        .respond(1, content("700*a"));
    script.expect(&[
        "asked 0.01 /a",
        "ACK 2.05 0001 t:01 4:0x18c09b8edb49620e 23:0x0d | 512*a",
    ]);
}

#[test]
fn another_path_may_carry_large_blocks_again() {
    let mut script = Script::new(params());
    script.act(narrow);
    assert_eq!(script.endpoint.params().block_szx, 5);
    script.act(|endpoint, now| endpoint.path_changed(now));
    assert_eq!(script.endpoint.params().block_szx, 6);
}
