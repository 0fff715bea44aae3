//! What becomes of a session when the link changes or the server forgets.

use lamplighter_dtls::{
    Closed, Established, SessionEvent,
    test_server::{ServerEvent, Settings},
};

use crate::pair::{Pair, psk};

fn without_connection_id() -> Pair {
    let settings = Settings {
        connection_id: None,
        ..Settings::default()
    };
    Pair::new(psk(), settings)
}

#[test]
fn with_a_connection_id_a_new_address_costs_no_byte() {
    let mut pair = Pair::psk();
    pair.start();
    assert!(pair.exchange());
    let client = pair.client();
    for address in ["192.0.2.18:5000", "198.51.100.1:6000", "192.0.2.17:5000"] {
        pair.move_to(address);
        let (sent, answered) = (pair.sent.len(), pair.answered.len());
        assert_eq!(pair.established(), Established::Continued);
        assert_eq!((pair.sent.len(), pair.answered.len()), (sent, answered));
        assert!(pair.exchange());
        assert_eq!(pair.client(), client);
    }
    assert_eq!(pair.counters().continued, 3);
    assert_eq!(pair.counters().full, 1);
}

#[test]
fn without_a_connection_id_a_new_link_resumes() {
    let mut pair = without_connection_id();
    assert_eq!(pair.established(), Established::Full);
    pair.move_to("192.0.2.18:5000");
    assert_eq!(pair.established(), Established::Resumed);
    assert!(pair.exchange());
    // The server still knows who it is.
    let identities = pair.served.iter().filter_map(|event| match event {
        ServerEvent::Established(_, identity) => Some(identity.as_slice()),
        ServerEvent::Application(..) | ServerEvent::Closed(_) | ServerEvent::Transmit(..) => None,
    });
    assert_eq!(identities.collect::<Vec<_>>(), [b"cab-17", b"cab-17"]);
}

#[test]
fn an_account_may_do_without_connection_id() {
    let mut peer = psk();
    peer.connection_id = false;
    let mut pair = Pair::new(peer, Settings::default());
    pair.start();
    assert!(pair.exchange());
    pair.move_to("192.0.2.18:5000");
    assert_eq!(pair.established(), Established::Resumed);
}

#[test]
fn a_server_that_forgot_the_association_is_back_with_one_restart() {
    let mut pair = Pair::psk();
    pair.start();
    pair.server.forget(false);
    pair.move_to("192.0.2.18:5000");
    assert_eq!(pair.established(), Established::Continued);
    // It drops what it does not know without a word; the request of the caller times out.
    assert!(!pair.exchange());
    assert!(pair.session.restart(pair.clock, pair.now));
    let told = pair.run();
    assert_eq!(crate::pair::how(&told), Established::Resumed);
    assert!(pair.exchange());
}

#[test]
fn a_server_that_forgot_everything_is_back_with_one_restart_too() {
    for suite in [0xC0A8, 0x00AE] {
        let mut peer = psk();
        peer.suites = vec![suite];
        let mut pair = Pair::new(peer, Settings::default());
        pair.start();
        pair.server.forget(true);
        assert!(!pair.exchange());
        pair.session.restart(pair.clock, pair.now);
        let told = pair.run();
        assert_eq!(crate::pair::how(&told), Established::Full);
        assert!(pair.exchange());
        assert_eq!(pair.counters().failed, 0);
    }
}

#[test]
fn a_distrusted_association_is_not_continued() {
    let mut pair = Pair::psk();
    pair.start();
    pair.session.distrust();
    pair.move_to("192.0.2.18:5000");
    assert_eq!(pair.established(), Established::Resumed);
    // Only once.
    pair.move_to("192.0.2.19:5000");
    assert_eq!(pair.established(), Established::Continued);
}

#[test]
fn a_resumption_that_fails_is_followed_by_a_full_handshake() {
    let mut pair = without_connection_id();
    pair.start();
    // The server takes the session up, but with other keys: it was restored from elsewhere.
    let mut other = without_connection_id();
    other.start();
    std::mem::swap(&mut pair.server, &mut other.server);
    assert_eq!(pair.established(), Established::Full);
    // A server that refuses with an alert is asked once more for the same, then never again.
    pair.server.admit(
        crate::pair::IDENTITY,
        lamplighter_dtls::Secret::new(b"changed".to_vec()),
    );
    pair.server.forget(true);
    for is_kept in [true, false] {
        assert_eq!(pair.start(), [SessionEvent::Closed(Closed::Peer(20))]);
        assert_eq!(pair.session.remember(b"board").is_some(), is_kept);
    }
}

// In a handshake nothing is protected yet: whoever can send in the server's name can end it.
#[test]
fn a_forged_refusal_does_not_cost_the_memory() {
    let mut pair = without_connection_id();
    pair.start();
    for _ in 0..2 {
        pair.lose.0 = true;
        pair.move_to("192.0.2.18:5000");
        pair.start();
        let refused = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40];
        pair.session.receive(refused.to_vec(), pair.now);
        assert_eq!(pair.run(), [SessionEvent::Closed(Closed::Peer(40))]);
        pair.lose.0 = false;
        assert_eq!(pair.established(), Established::Resumed);
    }
}

#[test]
fn a_time_out_does_not_cost_the_memory() {
    let mut pair = without_connection_id();
    pair.start();
    pair.lose.0 = true;
    pair.move_to("192.0.2.18:5000");
    pair.start();
    while !pair.told.contains(&SessionEvent::Closed(Closed::TimedOut)) {
        pair.time_out();
    }
    pair.lose.0 = false;
    assert_eq!(pair.established(), Established::Resumed);
}

// The engine makes its datagrams smaller with each repetition, and forgets to end that.
#[test]
fn long_messages_pass_after_a_resumption_on_a_lossy_path() {
    let mut pair = without_connection_id();
    pair.start();
    pair.move_to("192.0.2.18:5000");
    pair.lose.0 = true;
    pair.start();
    pair.time_out();
    pair.time_out();
    pair.lose.0 = false;
    let told = pair.time_out();
    assert_eq!(crate::pair::how(&told), Established::Resumed);
    pair.session.send(vec![7; 1100], pair.now);
    pair.run();
    let expected = ServerEvent::Application(pair.client(), vec![7; 1100]);
    assert_eq!(pair.served.last(), Some(&expected));
    assert!(pair.exchange());
}

#[test]
fn a_new_link_in_the_middle_of_a_handshake_begins_again() {
    let mut pair = Pair::psk();
    pair.lose.1 = true;
    pair.start();
    pair.lose.1 = false;
    pair.move_to("192.0.2.18:5000");
    assert_eq!(pair.established(), Established::Full);
    assert!(pair.exchange());
}

#[test]
fn a_handshake_over_the_same_address_replaces_the_former() {
    let mut pair = Pair::psk();
    pair.start();
    let former = pair.client();
    pair.session.restart(pair.clock, pair.now);
    pair.run();
    assert!(pair.exchange());
    assert_ne!(pair.client(), former);
}

/// Round trips and bytes; what the figures of the documentation are made of.
#[test]
fn handshakes_cost_what_they_should() {
    let cost = |pair: &mut Pair| {
        let bytes = |datagrams: &[Vec<u8>]| datagrams.iter().map(Vec::len).sum::<usize>();
        let counted = (
            pair.sent.len(),
            bytes(&pair.sent),
            pair.answered.len(),
            bytes(&pair.answered),
        );
        pair.sent.clear();
        pair.answered.clear();
        counted
    };
    let settings = Settings {
        connection_id: Some(6),
        ..Settings::default()
    };
    let mut peer = psk();
    // A host that is an address: no name is sent.
    peer.host = "192.0.2.1".to_owned();
    let mut pair = Pair::new(peer, settings);
    pair.start();
    let (flights, sent, answers, answered) = cost(&mut pair);
    assert_eq!((flights, answers), (3, 3));
    assert!(sent + answered <= 620, "{sent} + {answered}");
    pair.session.restart(pair.clock, pair.now);
    pair.run();
    let (flights, sent, answers, answered) = cost(&mut pair);
    assert_eq!((flights, answers), (3, 2));
    assert!(sent + answered <= 620, "{sent} + {answered}");
    pair.move_to("192.0.2.18:5000");
    pair.start();
    assert_eq!(cost(&mut pair), (0, 0, 0, 0));
}
