//! RFC 7252, 4: retransmission, duplicates, NSTART.

use std::time::Duration;

use lamplighter_coap::{Code, Endpoint, Params, Reliability, Request, Response};

use super::script::{Script, content, get, params, post};

#[test]
fn repeats_four_times_with_doubled_waits_and_gives_up() {
    let mut script = Script::new(params());
    script.ask(get("a")).expect(&["CON 0.01 m0 t0 11:a"]);
    script.at(1_999).expect(&[]);
    script.at(100_000).expect(&[
        "@2000 CON 0.01 m0 t0 11:a",
        "@6000 CON 0.01 m0 t0 11:a",
        "@14000 CON 0.01 m0 t0 11:a",
        "@30000 CON 0.01 m0 t0 11:a",
        "@62000 failed: timed out",
    ]);
    assert!(script.is_idle());
}

#[test]
fn other_parameters_are_obeyed() {
    let short = Params {
        ack_timeout: Duration::from_millis(100),
        max_retransmit: 1,
        ..params()
    };
    let mut script = Script::new(short);
    script.ask(get("a"));
    script.at(1_000).expect(&[
        "CON 0.01 m0 t0 11:a",
        "@100 CON 0.01 m0 t0 11:a",
        "@300 failed: timed out",
    ]);
    let mut script = Script::new(Params {
        max_retransmit: 0,
        ..params()
    });
    script.ask(get("a"));
    script
        .at(9_000)
        .expect(&["CON 0.01 m0 t0 11:a", "@2000 failed: timed out"]);
}

#[test]
fn the_first_wait_lies_between_its_bounds_and_every_other_is_its_double() {
    let mut firsts = Vec::new();
    for seed in 0..2_000 {
        let mut endpoint = Endpoint::new(Params::default(), seed);
        endpoint.request(get("a"), Duration::ZERO);
        let mut times = vec![Duration::ZERO];
        while let Some(due) = endpoint.poll_timeout() {
            endpoint.handle_timeout(due);
            times.push(due);
        }
        let waits: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(waits.len(), 5);
        assert!(
            waits.windows(2).all(|pair| pair[1] == pair[0] * 2),
            "{waits:?}"
        );
        firsts.push(waits[0]);
        assert!(times[4] <= Params::default().max_transmit_span());
        assert!(times[5] <= Params::default().max_transmit_wait());
    }
    let (least, most) = (firsts.iter().min().unwrap(), firsts.iter().max().unwrap());
    assert!((2_000..2_010).contains(&least.as_millis()), "{least:?}");
    assert!((2_990..=3_000).contains(&most.as_millis()), "{most:?}");
}

#[test]
fn a_piggybacked_answer_ends_the_exchange() {
    let mut script = Script::new(params());
    script.ask(get("a"));
    script
        .at(500)
        .receive("ACK 2.05 m0 t0 | 22")
        .expect(&["CON 0.01 m0 t0 11:a", "answered 2.05 | 22"]);
    assert!(script.is_idle());
    // The same acknowledgement again, and one for nothing.
    script
        .receive("ACK 2.05 m0 t0 | 22")
        .receive("ACK 0.00 1234")
        .expect(&[]);
}

#[test]
fn a_lost_acknowledgement_costs_one_repetition() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.02 0001 t:aa 11:a")
        .expect(&["asked 0.02 /a"]);
    script
        .respond(0, Response::new(Code::CHANGED))
        .expect(&["ACK 2.04 0001 t:aa"]);
    // The peer has not got it: the same answer, but the request is not told again.
    script
        .at(2_000)
        .receive("CON 0.02 0001 t:aa 11:a")
        .expect(&["ACK 2.04 0001 t:aa"]);
    script
        .at(231_999)
        .receive("CON 0.02 0001 t:aa 11:a")
        .expect(&["ACK 2.04 0001 t:aa"]);
    // RFC 7252, 4.5: after EXCHANGE_LIFETIME (232 s without jitter) the message id is free again.
    script
        .at(232_000)
        .receive("CON 0.02 0001 t:aa 11:a")
        .expect(&["asked 0.02 /a"]);
}

#[test]
fn a_duplicate_of_a_request_that_waits_is_ignored() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.02 0001 t:aa 11:a")
        .receive("CON 0.02 0001 t:aa 11:a")
        .expect(&["asked 0.02 /a"]);
    assert_eq!(script.endpoint.counters().duplicates, 1);
}

#[test]
fn a_message_id_used_anew_is_no_duplicate() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.02 0001 t:aa 11:a")
        .receive("CON 0.02 0001 t:ab 11:a");
    script.expect(&["asked 0.02 /a", "asked 0.02 /a"]);
}

#[test]
fn non_confirmable_requests_are_answered_non_confirmable_and_once() {
    let mut script = Script::new(params());
    script
        .receive("NON 0.02 0001 t:aa 11:a")
        .receive("NON 0.02 0001 t:aa 11:a")
        .expect(&["asked 0.02 /a"]);
    script
        .respond(0, Response::new(Code::CHANGED))
        .expect(&["NON 2.04 m0 t:aa"]);
    script
        .receive("NON 0.02 0001 t:aa 11:a")
        .at(300_000)
        .expect(&[]);
    assert!(script.is_idle());
}

#[test]
fn our_non_confirmable_request_is_sent_once_and_waits_for_its_answer() {
    let request = || Request {
        reliability: Reliability::NonConfirmable,
        ..get("a")
    };
    let mut script = Script::new(params());
    script.ask(request()).expect(&["NON 0.01 m0 t0 11:a"]);
    script
        .receive("NON 2.05 0009 t0 | 1")
        .expect(&["answered 2.05 | 1"]);
    script.ask(request()).expect(&["NON 0.01 m1 t1 11:a"]);
    script.at(93_000).expect(&["@93000 failed: timed out"]);
}

#[test]
fn one_interaction_at_a_time_by_default() {
    let mut script = Script::new(params());
    for path in ["a", "b", "c"] {
        script.ask(get(path));
    }
    script.expect(&["CON 0.01 m0 t0 11:a"]);
    script
        .receive("ACK 2.05 m0 t0")
        .expect(&["CON 0.01 m1 t1 11:b", "answered 2.05"]);
    // RFC 7252, 4.7: once acknowledged it does not count any more, although its answer is to come.
    script
        .receive("ACK 0.00 m1")
        .expect(&["CON 0.01 m2 t2 11:c"]);
    script.receive("RST 0.00 m2").expect(&["failed: reset"]);
    script
        .receive("CON 2.05 0001 t1")
        .expect(&["ACK 0.00 0001", "answered 2.05"]);
}

#[test]
fn a_larger_nstart_lets_more_go_at_once() {
    let mut script = Script::new(Params {
        nstart: 2,
        ..params()
    });
    for path in ["a", "b", "c"] {
        script.ask(get(path));
    }
    script.expect(&["CON 0.01 m0 t0 11:a", "CON 0.01 m1 t1 11:b"]);
    script.at(62_000);
    script.receive("ACK 2.05 m2 t2");
    let given_up = script.at(62_000).endpoint.counters().retransmissions;
    assert_eq!(given_up, 8);
}

#[test]
fn a_cancelled_request_is_not_repeated_and_lets_the_next_go() {
    let mut script = Script::new(params());
    let first = script.endpoint.request(get("a"), Duration::ZERO);
    let second = script.endpoint.request(get("b"), Duration::ZERO);
    script.endpoint.request(get("c"), Duration::ZERO);
    script.act(|e, _| {
        e.cancel(second);
        e.cancel(first);
    });
    script.expect(&["CON 0.01 m0 t0 11:a", "CON 0.01 m1 t1 11:c"]);
    // Its answer is for nobody now.
    script
        .receive("ACK 2.05 m0 t0")
        .receive("NON 2.05 0001 t0")
        .expect(&[]);
    script
        .receive("CON 2.05 0002 t0")
        .expect(&["RST 0.00 0002"]);
    script
        .receive("CON 2.05 0002 t0")
        .expect(&["RST 0.00 0002"]);
}

#[test]
fn a_ping_is_reset() {
    Script::new(params())
        .receive("CON 0.00 0042")
        .expect(&["RST 0.00 0042"]);
}

#[test]
fn reads_are_remembered_shortly_and_writes_for_long() {
    let mut script = Script::new(Params {
        max_seen_again: 8,
        max_seen_once: 8,
        ..params()
    });
    script
        .receive("CON 0.02 ffff t:aa 11:a")
        .respond(0, Response::new(Code::CHANGED));
    for mid in 0..100 {
        script
            .receive(&format!("CON 0.01 {mid:04x} t:aa 11:a"))
            .respond(mid + 1, content("1"));
    }
    script.receive("CON 0.02 ffff t:aa 11:a");
    assert_eq!(script.endpoint.counters().duplicates, 1);
    script.receive("CON 0.01 0000 t:aa 11:a");
    assert_eq!(
        script.keys.len(),
        102,
        "a forgotten read is carried out again"
    );
}

#[test]
fn more_requests_than_allowed_are_told_to_wait() {
    let mut script = Script::new(Params {
        max_incoming: 2,
        ..params()
    });
    script
        .receive("CON 0.01 0001 t:aa 11:a")
        .receive("CON 0.01 0002 t:ab 11:a")
        .expect(&["asked 0.01 /a"; 2]);
    script
        .receive("CON 0.01 0003 t:ac 11:a")
        .expect(&["ACK 5.03 0003 t:ac 14:0x01"]);
    script.receive("NON 0.01 0004 t:ad 11:a").expect(&[]);
    script
        .respond(0, content("1"))
        .expect(&["ACK 2.05 0001 t:aa | 1"]);
    // Refusals are not remembered: the peer may try again with the same message.
    script
        .receive("CON 0.01 0003 t:ac 11:a")
        .expect(&["asked 0.01 /a"]);
}

#[test]
fn a_body_that_fits_into_one_block_goes_whole() {
    let mut script = Script::new(params());
    script.ask(post("rd", "1024*a"));
    script.expect(&["CON 0.02 m0 t0 11:rd | 1024*a"]);
}
