//! Pre-shared keys: suites, lengths, wrong keys, lost datagrams.

use std::time::Duration;

use lamplighter_dtls::test_server::{ServerEvent, Settings};
use lamplighter_dtls::{Closed, Established, Peer, Psk, Secret, Security, SessionEvent, Unusable};

use crate::pair::{IDENTITY, KEY, Pair, psk};

fn with_key(identity: &[u8], key: &[u8]) -> Peer {
    let security = Security::Psk(Psk {
        identity: identity.to_vec(),
        key: Secret::new(key.to_vec()),
    });
    Peer::new("server.example", security)
}

#[test]
fn a_session_begins_with_a_handshake_and_then_carries_messages() {
    let mut pair = Pair::psk();
    assert_eq!(pair.established(), Established::Full);
    assert_eq!(pair.suite(), "TLS_PSK_WITH_AES_128_CCM_8");
    assert!(pair.exchange());
    let expected = ServerEvent::Established(pair.client(), IDENTITY.to_vec());
    assert_eq!(pair.served[0], expected);
}

#[test]
fn every_suite_with_keys_works_when_the_account_names_it() {
    for suite in lamplighter_dtls::SUITES {
        if suite.kind == lamplighter_dtls::Kind::Psk {
            let mut peer = psk();
            peer.suites = vec![suite.number];
            let mut pair = Pair::new(peer, Settings::default());
            assert_eq!(pair.established(), Established::Full, "{}", suite.name);
            assert_eq!(pair.suite(), suite.name);
            assert!(pair.exchange(), "{}", suite.name);
        }
    }
}

#[test]
fn only_the_suites_of_the_account_are_offered() {
    let mut peer = psk();
    peer.suites = vec![0x00A8];
    let settings = Settings {
        suites: vec![0xC0A8],
        ..Settings::default()
    };
    let mut pair = Pair::new(peer.clone(), settings);
    assert_eq!(pair.start(), [SessionEvent::Closed(Closed::Peer(40))]);
    peer.suites = vec![0x1301];
    let none = lamplighter_dtls::Session::dtls(peer).err();
    assert_eq!(none, Some(Unusable::NoSuite));
}

// LwM2M asks for identities of 128 and keys of 64 bytes. The build must set the engine so.
#[test]
fn long_identities_and_keys_work() {
    let (identity, key) = (vec![b'i'; 128], vec![b'k'; 64]);
    let mut pair = Pair::new(with_key(&identity, &key), Settings::default());
    pair.server.admit(&identity, Secret::new(key));
    assert_eq!(pair.established(), Established::Full);
}

#[test]
fn a_server_that_does_not_know_us_says_so() {
    let mut pair = Pair::new(with_key(b"somebody", KEY), Settings::default());
    assert_eq!(pair.start(), [SessionEvent::Closed(Closed::Peer(115))]);
    assert_eq!(pair.counters().failed, 1);
}

#[test]
fn a_wrong_key_ends_the_handshake() {
    let mut pair = Pair::new(with_key(IDENTITY, b"another"), Settings::default());
    assert_eq!(pair.start(), [SessionEvent::Closed(Closed::Peer(20))]);
}

#[test]
fn a_server_that_falls_silent_at_the_end_most_likely_has_another_key() {
    let mut pair = Pair::new(with_key(IDENTITY, b"another"), Settings::default());
    // Until the server has told all that it tells before keys are used.
    pair.session.start(pair.clock, pair.now);
    pair.lose.1 = false;
    while pair.answered.len() < 2 {
        pair.step();
    }
    pair.lose.1 = true;
    pair.run();
    while pair.told.is_empty() {
        pair.time_out();
    }
    assert_eq!(pair.told, [SessionEvent::Closed(Closed::Unconfirmed)]);
}

#[test]
fn a_silent_server_is_asked_for_two_minutes() {
    let mut pair = Pair::psk();
    pair.lose.0 = true;
    pair.start();
    let mut pauses = Vec::new();
    while pair.told.is_empty() {
        let before = pair.now;
        pair.time_out();
        pauses.push((pair.now - before).as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60]);
    assert_eq!(pair.told, [SessionEvent::Closed(Closed::TimedOut)]);
    assert_eq!(pair.session.poll_timeout(), None);
    // And again with the next link.
    pair.lose.0 = false;
    assert_eq!(pair.established(), Established::Full);
}

#[test]
fn lost_flights_are_repeated() {
    for lost in 0..4 {
        let mut pair = Pair::psk();
        pair.lose = (lost % 2 == 0, lost % 2 == 1);
        pair.start();
        if lost > 1 {
            pair.time_out();
        }
        pair.lose = (false, false);
        let told = pair.time_out();
        assert_eq!(crate::pair::how(&told), Established::Full);
        let expected = Duration::from_secs(if lost > 1 { 3 } else { 1 });
        assert_eq!(pair.now, expected);
        assert!(pair.exchange());
    }
}

#[test]
fn the_server_may_do_without_cookie_and_connection_id() {
    let settings = Settings {
        connection_id: None,
        hello_verify: false,
        ..Settings::default()
    };
    let mut pair = Pair::new(psk(), settings);
    assert_eq!(pair.established(), Established::Full);
    assert!(pair.exchange());
}

#[test]
fn a_message_that_no_record_holds_is_not_sent() {
    let mut pair = Pair::psk();
    pair.start();
    pair.session.send(vec![0; 20_000], pair.now);
    pair.run();
    assert_eq!(pair.counters().too_long, 1);
    // A long one that fits is whole at the other end.
    pair.session.send(vec![7; 16_000], pair.now);
    pair.run();
    let expected = ServerEvent::Application(pair.client(), vec![7; 16_000]);
    assert_eq!(pair.served.last(), Some(&expected));
    pair.server.send(pair.client(), &vec![8; 16_000], pair.now);
    let told = pair.run();
    assert_eq!(told, [SessionEvent::Application(vec![8; 16_000])]);
}

#[test]
fn both_sides_can_say_goodbye() {
    let mut pair = Pair::psk();
    pair.start();
    pair.session.close(pair.now);
    assert_eq!(pair.run(), [SessionEvent::Closed(Closed::Locally)]);
    let expected = ServerEvent::Closed(pair.client());
    assert_eq!(pair.served.last(), Some(&expected));
    assert_eq!(pair.established(), Established::Resumed);
    pair.server.close(pair.client());
    assert_eq!(pair.run(), [SessionEvent::Closed(Closed::Peer(0))]);
}

// A padded record would have 83 bytes. The build must set the engine so.
#[test]
fn records_with_a_connection_id_are_not_padded() {
    let settings = Settings {
        connection_id: Some(6),
        ..Settings::default()
    };
    let mut pair = Pair::new(psk(), settings);
    pair.start();
    pair.session.send(vec![1; 32], pair.now);
    pair.run();
    assert_eq!(pair.sent.last().unwrap().len(), 68);
}
