//! What a peer, or anybody in between, can send.

use std::time::Duration;

use lamplighter_dtls::{Closed, Established, SessionEvent};

use crate::pair::Pair;

#[test]
fn a_replayed_record_is_dropped_and_counted() {
    let mut pair = Pair::psk();
    pair.start();
    assert!(pair.exchange());
    let answer = pair.answered.last().cloned().unwrap();
    for times in 1..=3 {
        pair.session.receive(answer.clone(), pair.now);
        assert_eq!(pair.run(), []);
        assert_eq!(pair.counters().replayed, times);
    }
    assert!(pair.exchange());
}

// It is the server's, and asks for nothing.
#[test]
fn a_warning_of_the_server_is_no_attack() {
    let mut pair = Pair::psk();
    pair.start();
    assert!(pair.exchange());
    // user_canceled // RFC 5246, 7.2
    pair.server.warn(pair.client(), 90);
    assert_eq!(pair.run(), []);
    let counters = pair.counters();
    let attacks = (counters.forged, counters.malformed, counters.replayed);
    assert_eq!(attacks, (0, 0, 0));
    // Twice the same is one.
    let warning = pair.answered.last().cloned().unwrap();
    pair.session.receive(warning, pair.now);
    assert_eq!(pair.run(), []);
    assert_eq!(pair.counters().replayed, 1);
    assert!(pair.exchange());
}

#[test]
fn a_forged_record_is_dropped_and_counted() {
    let mut pair = Pair::psk();
    pair.start();
    assert!(pair.exchange());
    let mut forged = pair.answered.last().cloned().unwrap();
    // A number that was not seen yet, and another text.
    forged[10] += 1;
    let last = forged.len() - 1;
    forged[last] ^= 1;
    pair.session.receive(forged, pair.now);
    assert_eq!(pair.run(), []);
    assert_eq!(pair.counters().forged, 1);
    assert!(pair.exchange());
}

#[test]
fn what_is_no_record_is_dropped_and_counted() {
    let mut pair = Pair::psk();
    pair.start();
    for nonsense in [&b""[..], b"?", &[22; 12], &[0xff; 1500], &[23; 70_000]] {
        pair.session.receive(nonsense.to_vec(), pair.now);
        assert_eq!(pair.run(), []);
    }
    let counters = pair.counters();
    assert_eq!((counters.malformed, counters.forged), (5, 0));
    assert!(pair.exchange());
}

// Whoever forges an alert in clear text must not end a session. // RFC 6347, 4.1.2.7
#[test]
fn an_alert_that_is_not_protected_ends_nothing() {
    let mut pair = Pair::psk();
    pair.start();
    let alert = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40];
    pair.session.receive(alert.to_vec(), pair.now);
    assert_eq!(pair.run(), []);
    assert!(pair.exchange());
}

#[test]
fn any_damage_to_a_handshake_ends_it_or_is_survived() {
    let mut whole = Pair::psk();
    whole.start();
    let answers = whole.answered.clone();
    for (number, answer) in answers.iter().enumerate() {
        for at in 0..answer.len() {
            let mut pair = Pair::psk();
            pair.session.start(pair.clock, pair.now);
            while pair.answered.len() < number {
                pair.step();
            }
            let mut damaged = answer.clone();
            damaged[at] ^= 0xff;
            pair.session.receive(damaged, pair.now);
            pair.run();
            let mut patience = 10;
            while pair.told.is_empty() && patience > 0 && pair.session.poll_timeout().is_some() {
                pair.time_out();
                patience -= 1;
            }
            let first = pair.told.first();
            assert!(
                matches!(
                    first,
                    Some(SessionEvent::Established(_) | SessionEvent::Closed(_))
                ),
                "{first:?}"
            );
        }
    }
}

#[test]
fn the_times_of_an_idle_session_are_nobodys_business() {
    let mut pair = Pair::psk();
    assert_eq!(pair.session.poll_timeout(), None);
    pair.start();
    assert_eq!(pair.session.poll_timeout(), None);
    pair.now += Duration::from_secs(1_000_000);
    pair.session.handle_timeout(pair.now);
    assert_eq!(pair.run(), []);
    assert!(pair.exchange());
}

#[test]
fn nothing_is_received_after_the_end() {
    let mut pair = Pair::psk();
    pair.start();
    pair.session.close(pair.now);
    assert_eq!(pair.run(), [SessionEvent::Closed(Closed::Locally)]);
    let answer = pair.answered.last().cloned().unwrap();
    pair.session.receive(answer, pair.now);
    pair.session.send(vec![1], pair.now);
    assert_eq!(pair.run(), []);
    assert_eq!(pair.established(), Established::Resumed);
}

// Mbed TLS takes a tail that is shorter than a header for an error of its own.
#[test]
fn a_few_bytes_behind_a_record_end_nothing() {
    for tail in 1..13 {
        for epoch in [0, 1, 7] {
            let mut pair = Pair::psk();
            pair.start();
            assert!(pair.exchange());
            let mut replayed = pair.answered.last().cloned().unwrap();
            replayed[4] = epoch;
            replayed.resize(replayed.len() + tail, 0);
            pair.session.receive(replayed, pair.now);
            assert_eq!(pair.run(), []);
            let mut foreign = vec![23, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 9, 0, 1, 7];
            foreign.resize(foreign.len() + tail, 0);
            pair.session.receive(foreign, pair.now);
            assert_eq!(pair.run(), []);
            assert!(pair.exchange(), "{tail} bytes behind epoch {epoch}");
        }
        // A good record with such a tail is as good.
        let mut pair = Pair::psk();
        pair.start();
        pair.lose.1 = true;
        pair.server.send(pair.client(), b"good", pair.now);
        pair.run();
        pair.lose.1 = false;
        let mut good = pair.answered.last().cloned().unwrap();
        good.resize(good.len() + tail, 0);
        pair.session.receive(good, pair.now);
        assert_eq!(pair.run(), [SessionEvent::Application(b"good".to_vec())]);
        // And in the middle of a handshake.
        let mut pair = Pair::psk();
        pair.session.start(pair.clock, pair.now);
        let mut foreign = vec![22, 0xfe, 0xfd, 0, 7, 0, 0, 0, 0, 0, 9, 0, 1, 7];
        foreign.resize(foreign.len() + tail, 0);
        pair.session.receive(foreign, pair.now);
        assert_eq!(pair.established(), Established::Full);
    }
}
