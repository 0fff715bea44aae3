//! Bodies of the peer: its uploads (Block1), and answers to us (Block2). RFC 7959.

use lamplighter_coap::{Code, Params, Response};

use super::script::{Script, get, params, post};

fn small() -> Params {
    Params {
        max_body: 64,
        ..params()
    }
}

#[test]
fn an_upload_is_told_once_it_is_whole() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.03 0001 t:aa 11:a 27:0x08 | 16*a")
        .expect(&["ACK 2.31 0001 t:aa 27:0x08"]);
    // Tokens may differ from block to block.
    script
        .receive("CON 0.03 0002 t:ab 11:a 27:0x18 | 16*b")
        .expect(&["ACK 2.31 0002 t:ab 27:0x18"]);
    script
        .receive("CON 0.03 0003 t:ac 11:a 27:0x20 | ccc")
        .expect(&["asked 0.03 /a | 16*a+16*b+3*c"]);
    script
        .respond(0, Response::new(Code::CHANGED))
        .expect(&["ACK 2.04 0003 t:ac 27:0x20"]);
}

#[test]
fn a_body_in_its_first_and_last_block() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.03 0001 t:aa 11:a 27:0x00 | abc")
        .expect(&["asked 0.03 /a | abc"]);
    script
        .respond(0, Response::new(Code::CHANGED))
        .expect(&["ACK 2.04 0001 t:aa 27:0x"]);
}

#[test]
fn we_ask_for_smaller_blocks_and_go_on_with_either_size() {
    let sixteen = Params {
        block_szx: 0,
        ..params()
    };
    let mut script = Script::new(sixteen.clone());
    script
        .receive("CON 0.03 0001 t:aa 11:a 27:0x09 | 32*a")
        .expect(&["ACK 2.31 0001 t:aa 27:0x08"]);
    script
        .receive("CON 0.03 0002 t:aa 11:a 27:0x20 | b")
        .expect(&["asked 0.03 /a | 32*a+1*b"]);
    let mut script = Script::new(sixteen);
    script
        .receive("CON 0.03 0001 t:aa 11:a 27:0x09 | 32*a")
        .expect(&["ACK 2.31 0001 t:aa 27:0x08"]);
    script
        .receive("CON 0.03 0002 t:aa 11:a 27:0x11 | b")
        .expect(&["asked 0.03 /a | 32*a+1*b"]);
}

#[test]
fn missing_blocks_are_4_08() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.03 0001 t:aa 11:a 27:0x18 | 16*b")
        .expect(&["ACK 4.08 0001 t:aa"]);
    script
        .receive("CON 0.03 0002 t:aa 11:a 27:0x08 | 16*a")
        .expect(&["ACK 2.31 0002 t:aa 27:0x08"]);
    script
        .receive("CON 0.03 0003 t:aa 11:a 27:0x28 | 16*c")
        .expect(&["ACK 4.08 0003 t:aa"]);
    // What was there is gone with it.
    script
        .receive("CON 0.03 0004 t:aa 11:a 27:0x18 | 16*b")
        .expect(&["ACK 4.08 0004 t:aa"]);
}

#[test]
fn blocks_of_another_body_do_not_mix() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.03 0001 t:aa 11:a 12:0x 27:0x08 | 16*a")
        .expect(&["ACK 2.31 0001 t:aa 27:0x08"]);
    // Another format, query, method, path, Request-Tag.
    for (mid, options) in [
        (2, "11:a 12:0x01 27:0x10"),
        (3, "11:a 12:0x 15:q 27:0x10"),
        (5, "11:b 12:0x 27:0x10"),
    ] {
        script.receive(&format!("CON 0.03 000{mid} t:aa {options} | b"));
        script.expect(&[&format!("ACK 4.08 000{mid} t:aa")]);
    }
    script
        .receive("CON 0.02 0006 t:aa 11:a 12:0x 27:0x10 | b")
        .expect(&["ACK 4.08 0006 t:aa"]);
    script
        .receive("CON 0.03 0007 t:aa 11:a 12:0x 27:0x10 292:0x01 | b")
        .expect(&["ACK 4.08 0007 t:aa"]);
    script
        .receive("CON 0.03 0008 t:aa 11:a 12:0x 27:0x10 | b")
        .expect(&["asked 0.03 /a | 16*a+1*b"]);
}

#[test]
fn block_0_begins_anew() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.03 0001 t:aa 11:a 27:0x08 | 16*a")
        .receive("CON 0.03 0002 t:aa 11:a 27:0x08 | 16*b");
    script.expect(&["ACK 2.31 0001 t:aa 27:0x08", "ACK 2.31 0002 t:aa 27:0x08"]);
    script
        .receive("CON 0.03 0003 t:aa 11:a 27:0x10 | c")
        .expect(&["asked 0.03 /a | 16*b+1*c"]);
}

#[test]
fn a_block_sent_again_as_a_new_message_does_no_harm() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.03 0001 t:aa 11:a 27:0x08 | 16*a")
        .receive("CON 0.03 0002 t:aa 11:a 27:0x18 | 16*b");
    script.expect(&["ACK 2.31 0001 t:aa 27:0x08", "ACK 2.31 0002 t:aa 27:0x18"]);
    script
        .receive("CON 0.03 0003 t:aa 11:a 27:0x18 | 16*b")
        .expect(&["ACK 2.31 0003 t:aa 27:0x18"]);
    script
        .receive("CON 0.03 0004 t:aa 11:a 27:0x20 | c")
        .expect(&["asked 0.03 /a | 16*a+16*b+1*c"]);
}

#[test]
fn malformed_blocks_are_4_00() {
    let mut script = Script::new(params());
    // Not full although others follow, too long, and the reserved size.
    script
        .receive("CON 0.03 0001 t:aa 11:a 27:0x08 | 15*a")
        .expect(&["ACK 4.00 0001 t:aa"]);
    script
        .receive("CON 0.03 0002 t:aa 11:a 27:0x08 | 17*a")
        .expect(&["ACK 4.00 0002 t:aa"]);
    script
        .receive("CON 0.03 0003 t:aa 11:a 27:0x0f | 16*a")
        .expect(&["ACK 4.00 0003 t:aa"]);
    script
        .receive("CON 0.03 0004 t:aa 11:a 27:0x00000001 | 16*a")
        .expect(&["ACK 4.02 0004 t:aa"]);
}

#[test]
fn bodies_beyond_the_limit_are_4_13_with_what_is_possible() {
    let mut script = Script::new(small());
    script
        .receive("CON 0.03 0001 t:aa 11:a | 65*a")
        .expect(&["ACK 4.13 0001 t:aa 60:0x40"]);
    script
        .receive("CON 0.03 0002 t:aa 11:a 27:0x0a | 64*a")
        .expect(&["ACK 2.31 0002 t:aa 27:0x0a"]);
    script
        .receive("CON 0.03 0003 t:aa 11:a 27:0x12 | a")
        .expect(&["ACK 4.13 0003 t:aa 60:0x40"]);
    // Announced in the first block.
    script
        .receive("CON 0.03 0004 t:aa 11:a 27:0x08 60:0x41 | 16*a")
        .expect(&["ACK 4.13 0004 t:aa 60:0x40"]);
    // The limit holds for all unfinished bodies together.
    script
        .receive("CON 0.03 0005 t:aa 11:a 27:0x09 | 32*a")
        .expect(&["ACK 2.31 0005 t:aa 27:0x09"]);
    script
        .receive("CON 0.03 0006 t:aa 11:b 27:0x0a | 64*a")
        .expect(&["ACK 4.13 0006 t:aa 60:0x40"]);
}

#[test]
fn unfinished_bodies_are_few_and_forgotten() {
    let mut script = Script::new(Params {
        max_bodies: 2,
        ..params()
    });
    for (mid, path) in [(1, "a"), (2, "b"), (3, "c")] {
        script
            .at(mid * 1_000)
            .receive(&format!("CON 0.03 {mid:04x} t:aa 11:{path} 27:0x08 | 16*a"));
    }
    script
        .at(4_000)
        .receive("CON 0.03 0004 t:aa 11:a 27:0x10 | b")
        .receive("CON 0.03 0005 t:aa 11:b 27:0x10 | b");
    script
        .at(251_000)
        .receive("CON 0.03 0006 t:aa 11:c 27:0x10 | b");
    script.expect(&[
        "ACK 2.31 0001 t:aa 27:0x08",
        "ACK 2.31 0002 t:aa 27:0x08",
        "ACK 2.31 0003 t:aa 27:0x08",
        "ACK 4.08 0004 t:aa",
        "asked 0.03 /b | 16*a+1*b",
        "@5000 ACK 0.00 0005",
        "ACK 4.08 0006 t:aa",
    ]);
}

#[test]
fn a_large_answer_is_fetched_and_told_once() {
    let mut script = Script::new(params());
    script.ask(get("a"));
    script.receive("ACK 2.05 m0 t0 4:0x01 23:0x08 | 16*a");
    script.receive("ACK 2.05 m1 t1 4:0x01 23:0x18 | 16*b");
    script.receive("ACK 2.05 m2 t2 4:0x01 23:0x20 | c");
    script.expect(&[
        "CON 0.01 m0 t0 11:a",
        "CON 0.01 m1 t1 11:a 23:0x10",
        "CON 0.01 m2 t2 11:a 23:0x20",
        "answered 2.05 | 16*a+16*b+1*c",
    ]);
    assert!(script.is_idle());
}

#[test]
fn we_ask_for_our_size_at_once_and_keep_to_it() {
    let mut script = Script::new(Params {
        block_szx: 0,
        ..params()
    });
    script.ask(get("a"));
    // This peer does not care at first; then block 2 of 16 bytes follows 32.
    script
        .receive("ACK 2.05 m0 t0 23:0x09 | 32*a")
        .receive("ACK 2.05 m1 t1 23:0x20 | c");
    script.expect(&[
        "CON 0.01 m0 t0 11:a 23:0x",
        "CON 0.01 m1 t1 11:a 23:0x20",
        "answered 2.05 | 32*a+1*c",
    ]);
}

#[test]
fn blocks_that_do_not_fit_end_the_request() {
    for line in [
        "ACK 2.05 m1 t1 23:0x28 | 16*c",
        "ACK 2.05 m1 t1 | 16*c",
        "ACK 2.05 m1 t1 23:0x18 | cc",
    ] {
        let mut script = Script::new(params());
        script
            .ask(get("a"))
            .receive("ACK 2.05 m0 t0 23:0x08 | 16*a");
        script.expect(&["CON 0.01 m0 t0 11:a", "CON 0.01 m1 t1 11:a 23:0x10"]);
        script.receive(line).expect(&["failed: bad response"]);
        assert!(script.is_idle());
    }
}

#[test]
fn an_answer_that_changes_on_the_way_is_fetched_again() {
    let mut script = Script::new(params());
    script.ask(get("a"));
    script
        .receive("ACK 2.05 m0 t0 4:0x01 23:0x08 | 16*a")
        .receive("ACK 2.05 m1 t1 4:0x02 23:0x10 | z");
    script
        .receive("ACK 2.05 m2 t2 4:0x02 23:0x08 | 16*y")
        .receive("ACK 2.05 m3 t3 4:0x02 23:0x10 | z");
    script.expect(&[
        "CON 0.01 m0 t0 11:a",
        "CON 0.01 m1 t1 11:a 23:0x10",
        "CON 0.01 m2 t2 11:a 23:0x06",
        "CON 0.01 m3 t3 11:a 23:0x10",
        "answered 2.05 | 16*y+1*z",
    ]);
}

#[test]
fn the_answer_to_an_operation_with_effects_is_never_asked_anew() {
    let mut script = Script::new(params());
    script.ask(post("a", "x"));
    script
        .receive("ACK 2.04 m0 t0 4:0x01 23:0x08 | 16*a")
        .receive("ACK 2.04 m1 t1 4:0x02 23:0x10 | z");
    script.expect(&[
        "CON 0.02 m0 t0 11:a | x",
        "CON 0.02 m1 t1 11:a 23:0x10",
        "failed: bad response",
    ]);
}

#[test]
fn an_error_while_fetching_is_the_answer() {
    let mut script = Script::new(params());
    script.ask(get("a"));
    script
        .receive("ACK 2.05 m0 t0 23:0x08 | 16*a")
        .receive("ACK 4.04 m1 t1");
    script.expect(&[
        "CON 0.01 m0 t0 11:a",
        "CON 0.01 m1 t1 11:a 23:0x10",
        "answered 4.04",
    ]);
}

#[test]
fn an_endless_answer_is_cut_off() {
    let mut script = Script::new(small());
    script.ask(get("a"));
    script
        .receive("ACK 2.05 m0 t0 23:0x09 | 32*a")
        .receive("ACK 2.05 m1 t1 23:0x19 | 32*a");
    script.receive("ACK 2.05 m2 t2 23:0x29 | 32*a");
    script.expect(&[
        "CON 0.01 m0 t0 11:a",
        "CON 0.01 m1 t1 11:a 23:0x11",
        "CON 0.01 m2 t2 11:a 23:0x21",
        "failed: too large",
    ]);
}
