//! What is malformed, unknown or forbidden. RFC 7252, 4.2, 4.3, 5.4, 5.7, 5.8.

use super::script::{Script, get, params};

#[test]
fn malformed_confirmable_messages_are_reset_and_others_ignored() {
    let malformed: [&[u8]; 9] = [
        &[0x49, 0x01, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], // token length 9
        &[0x42, 0x01, 0, 1, 0],                         // shorter than its token
        &[0x40, 0x01, 0, 1, 0xf0],                      // reserved option delta
        &[0x40, 0x01, 0, 1, 0x0f],                      // reserved option length
        &[0x40, 0x01, 0, 1, 0x05, 0x61],                // shorter than its option
        &[0x40, 0x01, 0, 1, 0xff],                      // marker without payload
        &[0x40, 0x01, 0, 1, 0xb1, 0x61, 0xff],          // the same after an option
        &[0x40, 0x00, 0, 1, 0xb1, 0x61],                // empty with an option
        &[0x40, 0x20, 0, 1],                            // reserved class
    ];
    for bytes in malformed {
        Script::new(params())
            .receive_bytes(bytes)
            .expect(&["RST 0.00 0001"]);
        for kind in [0x50, 0x60, 0x70] {
            let mut other = bytes.to_vec();
            other[0] = other[0] & 0x0f | kind;
            Script::new(params()).receive_bytes(&other).expect(&[]);
        }
    }
}

#[test]
fn what_is_no_coap_at_all_is_ignored() {
    let mut script = Script::new(params());
    let silent: [&[u8]; 6] = [
        &[],
        &[0x40],
        &[0x40, 0x01, 0],
        &[0x80, 0x01, 0, 1],
        &[0x00, 0x01, 0, 1],
        &[0x50, 0x00, 0, 1],
    ];
    silent
        .into_iter()
        .for_each(|bytes| _ = script.receive_bytes(bytes));
    script.expect(&[]);
    assert_eq!(script.endpoint.counters().malformed, 6);
}

#[test]
fn an_option_that_ends_like_a_marker_is_none() {
    let mut script = Script::new(params());
    // ETag ff: its last byte looks like a payload marker.
    script
        .receive_bytes(&[0x40, 0x01, 0, 1, 0x41, 0xff])
        .expect(&["asked 0.01 /"]);
}

#[test]
fn acknowledgements_and_resets_that_say_more_are_ignored() {
    let mut script = Script::new(params());
    script.ask(get("a"));
    script
        .receive("ACK 0.01 m0 t0")
        .receive("RST 2.05 m0 t0")
        .receive("ACK 2.05 m0 t:00")
        .at(1_000);
    script.expect(&["CON 0.01 m0 t0 11:a"]);
    script.receive("ACK 2.05 m0 t0").expect(&["answered 2.05"]);
}

#[test]
fn unknown_critical_options_are_4_02_or_silence() {
    for option in ["9:0x", "65001:0x", "5:0x", "1:0x01"] {
        let mut script = Script::new(params());
        script
            .receive(&format!("CON 0.01 0001 t:aa {option}"))
            .expect(&["ACK 4.02 0001 t:aa"]);
        script
            .receive(&format!("NON 0.01 0002 t:aa {option}"))
            .at(5_000)
            .expect(&[]);
    }
}

#[test]
fn unknown_elective_options_are_ignored() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.01 0001 t:aa 11:a 28:0x 258:0x02 65000:0x01")
        .expect(&["asked 0.01 /a"]);
}

#[test]
fn impossible_values_count_as_unknown() {
    // Critical: Uri-Host empty, Uri-Port 3 bytes, Uri-Path not UTF-8, Accept 3 bytes, Accept twice.
    for option in [
        "3:",
        "7:0x000001",
        "11:0xff",
        "17:0x000001",
        "17:0x00 17:0x00",
    ] {
        let mut script = Script::new(params());
        script
            .receive(&format!("CON 0.01 0001 t:aa {option}"))
            .expect(&["ACK 4.02 0001 t:aa"]);
    }
    // Elective: Observe 4 bytes, Content-Format 3 bytes and twice, ETag 9 bytes.
    for option in [
        "6:0x00000001",
        "12:0x000001",
        "12:0x00 12:0x01",
        "4:0x000000000000000000",
    ] {
        let mut script = Script::new(params());
        script
            .receive(&format!("CON 0.01 0001 t:aa {option}"))
            .expect(&["asked 0.01 /"]);
    }
}

#[test]
fn the_address_of_this_host_is_no_hindrance() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.01 0001 t:aa 3:gateway.example 7:0x1633 11:a")
        .expect(&["asked 0.01 /a"]);
}

#[test]
fn we_are_no_proxy() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.01 0001 t:aa 35:coap://x/")
        .expect(&["ACK 5.05 0001 t:aa"]);
    script
        .receive("CON 0.01 0002 t:aa 39:coap")
        .expect(&["ACK 5.05 0002 t:aa"]);
}

#[test]
fn unknown_methods_are_4_05() {
    let mut script = Script::new(params());
    script
        .receive("CON 0.08 0001 t:aa 11:a")
        .expect(&["ACK 4.05 0001 t:aa"]);
    script
        .receive("NON 0.31 0002 t:aa 11:a")
        .expect(&["NON 4.05 m0 t:aa"]);
}

#[test]
fn responses_with_unknown_critical_options_are_rejected() {
    let mut script = Script::new(params());
    script.ask(get("a")).expect(&["CON 0.01 m0 t0 11:a"]);
    script
        .receive("ACK 2.05 m0 t0 9:0x")
        .expect(&["failed: bad response"]);
    script.ask(get("a")).expect(&["CON 0.01 m1 t1 11:a"]);
    script
        .receive("CON 2.05 0001 t1 9:0x")
        .expect(&["RST 0.00 0001", "failed: bad response"]);
}

#[test]
fn responses_to_nobody_are_reset_if_confirmable() {
    let mut script = Script::new(params());
    script
        .receive("CON 2.05 0001 t:aa")
        .expect(&["RST 0.00 0001"]);
    script
        .receive("NON 2.05 0002 t:aa")
        .receive("ACK 2.05 0003 t:aa")
        .expect(&[]);
    // RFC 7641, 3.6: an unwanted notification is reset although it is not confirmable.
    script
        .receive("NON 2.05 0004 t:aa 6:0x01")
        .expect(&["RST 0.00 0004"]);
}
