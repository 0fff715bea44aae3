//! Sessions over a restart.

use lamplighter_dtls::{
    Established, Frozen, Mark, Peer, Psk, Secret, Security, Session, Stale, test_server::Settings,
};

use crate::pair::{IDENTITY, Pair, psk};

const BOARD: &[u8] = b"board 1";

/// What the disk holds after a clean stop: two copies, as of a card that was cloned.
fn stopped(pair: &mut Pair) -> ([Frozen; 2], Option<Mark>) {
    let frozen = pair.session.freeze(BOARD).unwrap();
    let mark = frozen.mark();
    let copy = Frozen::from_bytes(frozen.bytes().to_vec());
    ([frozen, copy], mark)
}

fn thaw(frozen: Frozen, mark: Option<Mark>) -> Result<Session, Stale> {
    Session::thaw(psk(), frozen, mark, BOARD)
}

#[test]
fn a_frozen_session_goes_on_after_a_restart_without_a_byte() {
    let mut pair = Pair::psk();
    pair.start();
    assert!(pair.exchange());
    let ([frozen, _], mark) = stopped(&mut pair);
    assert!(mark.is_some());
    // Nothing is left here that could be used beside it.
    assert!(!pair.exchange());
    pair.session = thaw(frozen, mark).unwrap();
    pair.move_to("192.0.2.18:5000");
    let sent = pair.sent.len();
    assert_eq!(pair.established(), Established::Continued);
    assert_eq!(pair.sent.len(), sent);
    assert!(pair.exchange());
    assert_eq!(pair.counters().full, 0);
}

// Both would send other messages under the same nonces.
#[test]
fn a_copy_of_a_frozen_session_is_refused() {
    let mut pair = Pair::psk();
    pair.start();
    let ([frozen, copy], mark) = stopped(&mut pair);
    let second = Frozen::from_bytes(frozen.bytes().to_vec());
    assert!(thaw(frozen, mark).is_ok());
    // The store has given its mark away with the first use.
    assert_eq!(thaw(copy, None).err(), Some(Stale::AlreadyUsed));
    // And the next association has another.
    pair.start();
    let (_, mark) = stopped(&mut pair);
    assert_eq!(thaw(second, mark).err(), Some(Stale::AlreadyUsed));
}

#[test]
fn a_frozen_session_is_good_for_its_machine_and_account_only() {
    let frozen = || {
        let mut pair = Pair::psk();
        pair.start();
        stopped(&mut pair)
    };
    let ([first, _], mark) = frozen();
    let elsewhere = Session::thaw(psk(), first, mark, b"board 2");
    assert_eq!(elsewhere.err(), Some(Stale::OtherHardware));
    let ([first, _], mark) = frozen();
    let security = Security::Psk(Psk {
        identity: IDENTITY.to_vec(),
        key: Secret::new(b"a new key".to_vec()),
    });
    let changed = Peer::new("server.example", security);
    let changed = Session::thaw(changed, first, mark, BOARD);
    assert_eq!(changed.err(), Some(Stale::OtherAccount));
}

#[test]
fn damaged_bytes_are_refused_wherever_the_damage_is() {
    let mut pair = Pair::psk();
    pair.start();
    let ([frozen, _], mark) = stopped(&mut pair);
    for at in 0..frozen.bytes().len() {
        let mut bytes = frozen.bytes().to_vec();
        bytes[at] ^= 1;
        let damaged = thaw(Frozen::from_bytes(bytes), mark).err();
        assert_eq!(damaged, Some(Stale::Damaged), "at {at}");
        let cut = Frozen::from_bytes(frozen.bytes()[..at].to_vec());
        assert_eq!(thaw(cut, mark).err(), Some(Stale::Damaged), "cut at {at}");
    }
}

#[test]
fn a_server_that_has_forgotten_a_frozen_session_is_back_with_one_restart() {
    for sessions in [false, true] {
        let mut pair = Pair::psk();
        pair.start();
        let ([frozen, _], mark) = stopped(&mut pair);
        pair.server.forget(sessions);
        pair.session = thaw(frozen, mark).unwrap();
        assert_eq!(pair.established(), Established::Continued);
        assert!(!pair.exchange());
        pair.session.restart(pair.clock, pair.now);
        let expected = if sessions {
            Established::Full
        } else {
            Established::Resumed
        };
        assert_eq!(crate::pair::how(&pair.run()), expected);
        assert!(pair.exchange());
    }
}

// CBC, or a server without Connection ID.
#[test]
fn what_cannot_be_frozen_is_resumed() {
    let mut peer = psk();
    peer.suites = vec![0x00AE];
    let settings = Settings {
        connection_id: None,
        ..Settings::default()
    };
    for (peer, settings) in [(peer, Settings::default()), (psk(), settings)] {
        let mut pair = Pair::new(peer.clone(), settings);
        pair.start();
        let ([frozen, _], mark) = stopped(&mut pair);
        assert_eq!(mark, None);
        pair.session = Session::thaw(peer, frozen, None, BOARD).unwrap();
        assert_eq!(pair.established(), Established::Resumed);
    }
}

// A resumption agrees upon new keys each time.
#[test]
fn after_a_crash_a_session_is_resumed_however_often() {
    let mut pair = Pair::psk();
    pair.start();
    let kept = pair.session.remember(BOARD).unwrap();
    assert_eq!(kept.mark(), None);
    for _ in 0..2 {
        let copy = Frozen::from_bytes(kept.bytes().to_vec());
        pair.session = thaw(copy, None).unwrap();
        assert_eq!(pair.established(), Established::Resumed);
        assert!(pair.exchange());
    }
}

#[test]
fn nothing_is_shown_of_what_is_frozen() {
    let mut pair = Pair::psk();
    pair.start();
    let ([frozen, _], _) = stopped(&mut pair);
    let shown = format!("{frozen:?}");
    assert!(shown.starts_with("Frozen(") && shown.len() < 20, "{shown}");
}
