//! Our bodies: uploads (Block1), and large answers (Block2). RFC 7959.

use lamplighter_coap::{Code, ETag, Params, Response};

use super::script::{Script, content, params, post};

fn sixteen() -> Params {
    Params {
        block_szx: 0,
        ..params()
    }
}

#[test]
fn an_upload_goes_block_by_block() {
    let mut script = Script::new(sixteen());
    script.ask(post("rd", "16*a+16*b+3*c"));
    script
        .receive("ACK 2.31 m0 t0 27:0x08")
        .receive("ACK 2.31 m1 t1 27:0x18");
    script.receive("ACK 2.01 m2 t2 8:rd 8:5a 27:0x20");
    script.expect(&[
        "CON 0.02 m0 t0 11:rd 27:0x08 60:0x23 | 16*a",
        "CON 0.02 m1 t1 11:rd 27:0x18 | 16*b",
        "CON 0.02 m2 t2 11:rd 27:0x20 | ccc",
        "answered 2.01",
    ]);
    assert!(script.is_idle());
}

#[test]
fn the_peers_smaller_size_is_taken_with_numbers_recalculated() {
    // RFC 7959, figure 9.
    let mut script = Script::new(Params {
        block_szx: 1,
        ..params()
    });
    script.ask(post("rd", "32*a+16*b+16*c"));
    script
        .receive("ACK 2.31 m0 t0 27:0x08")
        .receive("ACK 2.31 m1 t1 27:0x28")
        .receive("ACK 2.04 m2 t2 27:0x30");
    script.expect(&[
        "CON 0.02 m0 t0 11:rd 27:0x09 60:0x40 | 32*a",
        "CON 0.02 m1 t1 11:rd 27:0x28 | 16*b",
        "CON 0.02 m2 t2 11:rd 27:0x30 | 16*c",
        "answered 2.04",
    ]);
}

#[test]
fn a_peer_that_takes_each_block_by_itself_gets_them_all() {
    // RFC 7959, figure 8: 2.04 without "more" instead of 2.31.
    let mut script = Script::new(sixteen());
    script.ask(post("rd", "16*a+3*c"));
    script
        .receive("ACK 2.04 m0 t0 27:0x00")
        .receive("ACK 2.04 m1 t1 27:0x10");
    script.expect(&[
        "CON 0.02 m0 t0 11:rd 27:0x08 60:0x13 | 16*a",
        "CON 0.02 m1 t1 11:rd 27:0x10 | ccc",
        "answered 2.04",
    ]);
}

#[test]
fn too_large_with_a_smaller_size_begins_again() {
    let mut script = Script::new(params());
    script.ask(post("rd", "40*a"));
    script
        .receive("ACK 4.13 m0 t0 27:0x01")
        .receive("ACK 4.13 m1 t1 27:0x00")
        .receive("ACK 2.31 m2 t2 27:0x08");
    script.expect(&[
        "CON 0.02 m0 t0 11:rd | 40*a",
        "CON 0.02 m1 t1 11:rd 27:0x09 60:0x28 | 32*a",
        "CON 0.02 m2 t2 11:rd 27:0x08 60:0x28 | 16*a",
        "CON 0.02 m3 t3 11:rd 27:0x18 | 16*a",
    ]);
}

#[test]
fn too_large_without_a_way_out_is_the_answer() {
    for answer in [
        "ACK 4.13 m0 t0 60:0x10",
        "ACK 4.13 m0 t0 27:0x08",
        "ACK 4.13 m0 t0 27:0x09",
    ] {
        let mut script = Script::new(sixteen());
        script.ask(post("rd", "40*a")).receive(answer);
        script.expect(&[
            "CON 0.02 m0 t0 11:rd 27:0x08 60:0x28 | 16*a",
            "answered 4.13",
        ]);
    }
}

#[test]
fn lost_blocks_at_the_peer_begin_again_but_not_for_ever() {
    let mut script = Script::new(sixteen());
    script.ask(post("rd", "16*a+1*b"));
    for round in 0..5 {
        script.receive(&format!("ACK 4.08 m{round} t{round}"));
    }
    script.expect(&[
        "CON 0.02 m0 t0 11:rd 27:0x08 60:0x11 | 16*a",
        "CON 0.02 m1 t1 11:rd 27:0x08 60:0x11 | 16*a",
        "CON 0.02 m2 t2 11:rd 27:0x08 60:0x11 | 16*a",
        "CON 0.02 m3 t3 11:rd 27:0x08 60:0x11 | 16*a",
        "CON 0.02 m4 t4 11:rd 27:0x08 60:0x11 | 16*a",
        "answered 4.08",
    ]);
}

#[test]
fn an_error_in_the_middle_is_the_answer_and_nonsense_fails() {
    let mut script = Script::new(sixteen());
    script
        .ask(post("rd", "40*a"))
        .receive("ACK 4.03 m0 t0 27:0x08");
    script.expect(&[
        "CON 0.02 m0 t0 11:rd 27:0x08 60:0x28 | 16*a",
        "answered 4.03",
    ]);
    script
        .ask(post("rd", "40*a"))
        .receive("ACK 2.31 m1 t1 27:0x18");
    script.expect(&[
        "CON 0.02 m1 t1 11:rd 27:0x08 60:0x28 | 16*a",
        "failed: bad response",
    ]);
}

#[test]
fn a_lost_answer_to_a_block_repeats_that_block_only() {
    let mut script = Script::new(sixteen());
    script
        .ask(post("rd", "16*a+1*b"))
        .receive("ACK 2.31 m0 t0 27:0x08");
    script
        .at(2_000)
        .receive("ACK 2.31 m0 t0 27:0x08")
        .receive("ACK 2.04 m1 t1 27:0x10");
    script.expect(&[
        "CON 0.02 m0 t0 11:rd 27:0x08 60:0x11 | 16*a",
        "CON 0.02 m1 t1 11:rd 27:0x10 | b",
        "@2000 CON 0.02 m1 t1 11:rd 27:0x10 | b",
        "answered 2.04",
    ]);
}

fn tagged(payload: &str) -> Response {
    Response {
        etag: ETag::new(&[1]),
        ..content(payload)
    }
}

#[test]
fn a_large_answer_is_kept_and_served_in_any_order() {
    let mut script = Script::new(sixteen());
    script
        .receive("CON 0.01 0001 t:aa 11:a")
        .respond(0, tagged("16*a+16*b+3*c"));
    script.expect(&["asked 0.01 /a", "ACK 2.05 0001 t:aa 4:0x01 23:0x08 | 16*a"]);
    script
        .receive("CON 0.01 0002 t:ab 11:a 23:0x20")
        .expect(&["ACK 2.05 0002 t:ab 4:0x01 23:0x20 | ccc"]);
    script
        .receive("CON 0.01 0003 t:ac 11:a 23:0x10")
        .expect(&["ACK 2.05 0003 t:ac 4:0x01 23:0x18 | 16*b"]);
    script
        .receive("CON 0.01 0004 t:ad 11:a 23:0x30")
        .expect(&["ACK 4.00 0004 t:ad"]);
    // Block 0 is a new request.
    script
        .receive("CON 0.01 0005 t:ae 11:a 23:0x00")
        .expect(&["asked 0.01 /a"]);
}

#[test]
fn the_size_that_the_peer_asks_for_is_used() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.01 0001 t:aa 11:a 23:0x00")
        .respond(0, tagged("16*a+16*b+1*c"));
    script.expect(&["asked 0.01 /a", "ACK 2.05 0001 t:aa 4:0x01 23:0x08 | 16*a"]);
    script
        .receive("CON 0.01 0002 t:aa 11:a 23:0x11")
        .expect(&["ACK 2.05 0002 t:aa 4:0x01 23:0x11 | c"]);
    script
        .receive("CON 0.01 0003 t:aa 11:b 23:0x06")
        .respond(1, content("x"));
    script.expect(&["asked 0.01 /b", "ACK 2.05 0003 t:aa 23:0x06 | x"]);
}

#[test]
fn a_block_of_what_is_not_kept_is_made_anew_for_reads_only() {
    let mut script = Script::new(sixteen());
    script
        .receive("CON 0.01 0001 t:aa 6:0x 11:a 23:0x10")
        .expect(&["asked 0.01 /a"]);
    script
        .respond(0, tagged("16*a+16*b+3*c"))
        .expect(&["ACK 2.05 0001 t:aa 4:0x01 23:0x18 | 16*b"]);
    script
        .receive("CON 0.01 0002 t:aa 11:a 23:0x20")
        .expect(&["ACK 2.05 0002 t:aa 4:0x01 23:0x20 | ccc"]);
    script
        .receive("CON 0.01 0003 t:aa 11:b 23:0x10")
        .respond(1, Response::new(Code::NOT_FOUND));
    script.expect(&["asked 0.01 /b", "ACK 4.04 0003 t:aa"]);
    script
        .receive("CON 0.02 0004 t:aa 11:a 23:0x10")
        .expect(&["ACK 4.08 0004 t:aa"]);
}

#[test]
fn the_answer_to_an_operation_with_effects_is_read_on_without_effects() {
    let mut script = Script::new(sixteen());
    script.receive("CON 0.02 0001 t:aa 11:a | x").respond(
        0,
        Response {
            code: Code::CHANGED,
            ..tagged("16*a+1*b")
        },
    );
    script.receive("CON 0.02 0002 t:aa 11:a 23:0x10");
    script.expect(&[
        "asked 0.02 /a | x",
        "ACK 2.04 0001 t:aa 4:0x01 23:0x08 | 16*a",
        "ACK 2.04 0002 t:aa 4:0x01 23:0x10 | b",
    ]);
}

#[test]
fn blocks_in_both_directions() {
    // RFC 7959, 3.3.
    let mut script = Script::new(sixteen());
    script
        .receive("CON 0.02 0001 t:aa 11:a 27:0x08 | 16*a")
        .receive("CON 0.02 0002 t:aa 11:a 27:0x10 | b");
    script.respond(
        0,
        Response {
            code: Code::CHANGED,
            ..tagged("16*x+1*y")
        },
    );
    script.receive("CON 0.02 0003 t:aa 11:a 23:0x10");
    script.expect(&[
        "ACK 2.31 0001 t:aa 27:0x08",
        "asked 0.02 /a | 16*a+1*b",
        "ACK 2.04 0002 t:aa 4:0x01 23:0x08 27:0x10 | 16*x",
        "ACK 2.04 0003 t:aa 4:0x01 23:0x10 | y",
    ]);
}

#[test]
fn kept_answers_are_few_and_forgotten() {
    let mut script = Script::new(Params {
        max_bodies: 1,
        ..sixteen()
    });
    script
        .receive("CON 0.01 0001 t:aa 11:a")
        .respond(0, tagged("16*a+1*b"));
    script
        .receive("CON 0.01 0002 t:aa 11:b")
        .respond(1, tagged("16*a+1*b"));
    script
        .receive("CON 0.01 0003 t:aa 11:a 23:0x10")
        .receive("CON 0.01 0004 t:aa 11:b 23:0x10");
    script.expect(&[
        "asked 0.01 /a",
        "ACK 2.05 0001 t:aa 4:0x01 23:0x08 | 16*a",
        "asked 0.01 /b",
        "ACK 2.05 0002 t:aa 4:0x01 23:0x08 | 16*a",
        "asked 0.01 /a",
        "ACK 2.05 0004 t:aa 4:0x01 23:0x10 | b",
    ]);
    script
        .at(247_000)
        .receive("CON 0.01 0005 t:aa 11:b 23:0x10");
    script.expect(&["@1000 ACK 0.00 0003", "asked 0.01 /b"]);
}

#[test]
fn answers_to_fetches_of_different_bodies_are_kept_apart() {
    let mut script = Script::new(sixteen());
    script
        .receive("CON 0.05 0001 t:aa 12:0x70 | one")
        .respond(0, tagged("16*a+1*b"));
    script
        .receive("CON 0.05 0002 t:ab 12:0x70 | two")
        .respond(1, tagged("16*c+1*d"));
    script.expect(&[
        "asked 0.05 / | one",
        "ACK 2.05 0001 t:aa 4:0x01 23:0x08 | 16*a",
        "asked 0.05 / | two",
        "ACK 2.05 0002 t:ab 4:0x01 23:0x08 | 16*c",
    ]);
    script
        .receive("CON 0.05 0003 t:aa 12:0x70 23:0x10 | one")
        .expect(&["ACK 2.05 0003 t:aa 4:0x01 23:0x10 | b"]);
    // Without the body it is the one that was asked for last.
    script
        .receive("CON 0.05 0004 t:ac 12:0x70 23:0x10")
        .expect(&["ACK 2.05 0004 t:ac 4:0x01 23:0x10 | b"]);
    script
        .receive("CON 0.05 0005 t:ad 12:0x70 23:0x10 | three")
        .expect(&["asked 0.05 / | three"]);
}

#[test]
fn a_block_of_an_unknown_fetch_without_its_body_is_refused() {
    let mut script = Script::new(sixteen());
    script
        .receive("CON 0.05 0001 t:aa 12:0x70 23:0x10")
        .expect(&["ACK 4.08 0001 t:aa"]);
}
