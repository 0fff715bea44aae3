//! Our sessions with servers that share no code with them: OpenSSL, and libcoap over OpenSSL and
//! GnuTLS.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use lamplighter_dtls::{
    Certificate, Closed, Established, Kind, Matching, Peer, Psk, Secret, Security, SessionEvent,
    Suite, Time, Timers, Untrusted, Usage,
};
use lamplighter_interop::{lines::Lines, root, scratch, secured::Secured};

const PATIENCE: Duration = Duration::from_secs(30);
const KEY: &[u8] = b"secretPSKsecret1";

fn with_key(key: &[u8], suites: &[u16]) -> Peer {
    let security = Security::Psk(Psk {
        identity: b"box".to_vec(),
        key: Secret::new(key.to_vec()),
    });
    Peer {
        suites: suites.to_vec(),
        ..Peer::new("localhost", security)
    }
}

fn vector(name: &str) -> PathBuf {
    root().join(format!("tests/vectors/dtls/{name}.der"))
}

fn with_certificate(suites: &[u16]) -> Peer {
    let read = |name: &str| fs::read(vector(name)).unwrap();
    let account = Certificate {
        chain: vec![read("client")],
        key: Secret::new(read("client.key")),
        matching: Matching::Exact,
        server: read("issuer"),
        strict_time: false,
        trust_store: Vec::new(),
        usage: Usage::TrustAnchorAssertion,
    };
    Peer {
        suites: suites.to_vec(),
        ..Peer::new("server.example", Security::Certificate(Box::new(account)))
    }
}

/// OpenSSL's server, at the address that it tells itself.
fn openssl(arguments: &[&str]) -> (Lines, SocketAddr) {
    let mut command = Command::new("openssl");
    command.args(["s_server", "-dtls1_2", "-accept", "127.0.0.1:0"]);
    let server = Lines::start(command.args(arguments));
    loop {
        let line = server.hear(PATIENCE);
        let line = line.expect("openssl listens: `make peers` installs it");
        if let Some(address) = line.strip_prefix("ACCEPT ") {
            return (server, address.parse().unwrap());
        }
    }
}

fn openssl_with_key(suite: &str) -> (Lines, SocketAddr) {
    let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let suites = format!("{suite}:@SECLEVEL=0");
    openssl(&["-nocert", "-psk", &key, "-cipher", &suites])
}

fn openssl_with_certificate(certificate: &str, suite: &str) -> (Lines, SocketAddr) {
    let file = |name| vector(name).to_string_lossy().into_owned();
    let scratch = scratch(&format!("dtls-{certificate}-{suite}"));
    let authority = scratch.join("authority.pem").to_string_lossy().into_owned();
    let converted = Command::new("openssl")
        .args([
            "x509",
            "-inform",
            "DER",
            "-in",
            &file("authority"),
            "-out",
            &authority,
        ])
        .status();
    assert!(converted.is_ok_and(|status| status.success()));
    let suites = format!("{suite}:@SECLEVEL=0");
    openssl(&[
        "-certform",
        "DER",
        "-cert",
        &file(certificate),
        "-keyform",
        "DER",
        "-key",
        &file("server.key"),
        "-CAfile",
        &authority,
        "-Verify",
        "1",
        "-verify_return_error",
        "-cipher",
        &suites,
    ])
}

/// A line each way; OpenSSL shows what it hears and sends what it is told.
fn talk(session: &mut Secured, server: &mut Lines) {
    session.say(b"a line of ours\n");
    while server.hear(PATIENCE).expect("a line arrives") != "a line of ours" {}
    server.say("a line of theirs");
    let heard = session.hear(PATIENCE);
    let expected = SessionEvent::Application(b"a line of theirs\n".to_vec());
    assert_eq!(heard, Some(expected));
}

const FULL: Option<SessionEvent> = Some(SessionEvent::Established(Established::Full));

#[test]
fn openssl_takes_our_keys_with_every_suite_that_both_know() {
    for (number, name) in [
        (0xC0A8, "PSK-AES128-CCM8"),
        (0xC0A4, "PSK-AES128-CCM"),
        (0x00A8, "PSK-AES128-GCM-SHA256"),
        (0x00AE, "PSK-AES128-CBC-SHA256"),
        (0xC037, "ECDHE-PSK-AES128-CBC-SHA256"),
    ] {
        assert_eq!(Suite::by_number(number).unwrap().kind, Kind::Psk);
        let (mut server, address) = openssl_with_key(name);
        let mut session = Secured::new(with_key(KEY, &[number]), address);
        assert_eq!(session.start(PATIENCE), FULL, "{name}");
        talk(&mut session, &mut server);
    }
}

#[test]
fn openssl_and_we_show_certificates_to_each_other() {
    for (number, name) in [
        (0xC0AE, "ECDHE-ECDSA-AES128-CCM8"),
        (0xC02B, "ECDHE-ECDSA-AES128-GCM-SHA256"),
        (0xC023, "ECDHE-ECDSA-AES128-SHA256"),
    ] {
        let (mut server, address) = openssl_with_certificate("server", name);
        let mut session = Secured::new(with_certificate(&[number]), address);
        assert_eq!(session.start(PATIENCE), FULL, "{name}");
        talk(&mut session, &mut server);
    }
}

#[test]
fn openssl_takes_up_a_former_session() {
    let (mut server, address) = openssl_with_key("PSK-AES128-CCM8");
    let mut session = Secured::new(with_key(KEY, &[]), address);
    assert_eq!(session.start(PATIENCE), FULL);
    talk(&mut session, &mut server);
    session.close();
    let resumed = session.start(PATIENCE);
    let expected = SessionEvent::Established(Established::Resumed);
    assert_eq!(resumed, Some(expected));
    talk(&mut session, &mut server);
}

// It drops what it cannot decrypt, and says nothing. // RFC 6347, 4.1.2.7
#[test]
fn a_wrong_key_is_guessed_from_the_silence_of_openssl() {
    let (_server, address) = openssl_with_key("PSK-AES128-CCM8");
    let mut peer = with_key(b"another", &[]);
    peer.timers = Timers {
        first: Duration::from_millis(50),
        last: Duration::from_millis(100),
    };
    let mut session = Secured::new(peer, address);
    let expected = SessionEvent::Closed(Closed::Unconfirmed);
    assert_eq!(session.start(PATIENCE), Some(expected));
}

#[test]
fn certificates_of_openssl_are_refused_for_what_is_wrong_with_them() {
    let shown = |certificate: &str, time| {
        let (_server, address) = openssl_with_certificate(certificate, "ECDHE-ECDSA-AES128-CCM8");
        let mut session = Secured::new(with_certificate(&[]), address);
        session.clock.time = time;
        match session.start(PATIENCE) {
            Some(SessionEvent::Closed(Closed::Untrusted(why))) => why,
            other => panic!("{certificate} is not refused but {other:?}"),
        }
    };
    let trusted = Time::Trusted(lamplighter_interop::secured::TODAY);
    assert_eq!(shown("expired", Time::Unknown), Untrusted::Expired);
    assert_eq!(shown("future", trusted), Untrusted::NotYetValid);
    assert_eq!(shown("foreign", trusted), Untrusted::Chain);
    assert_eq!(shown("purpose", trusted), Untrusted::Purpose);
}

/// A GET of `/` in a confirmable message without token. // RFC 7252, 3
const GET: &[u8] = &[0x40, 1, 0x12, 0x34];
const ACK_CONTENT: &[u8] = &[0x60, 0x45, 0x12, 0x34];

#[test]
fn libcoap_answers_over_openssl_and_gnutls() {
    for program in ["coap-server-openssl", "coap-server-gnutls"] {
        let (_server, mut session) = libcoap(program);
        session.say(GET);
        match session.hear(PATIENCE) {
            Some(SessionEvent::Application(answer)) => assert!(answer.starts_with(ACK_CONTENT)),
            other => panic!("{program} does not answer but {other:?}"),
        }
    }
}

/// It cannot be asked which port it took: when somebody else was faster with the one that was free
/// a moment ago, it ends, and another is tried.
fn libcoap(program: &str) -> (Lines, Secured) {
    let key = String::from_utf8(KEY.to_vec()).unwrap();
    for _ in 0..10 {
        // The secured port is the next one.
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut command = Command::new(program);
        command.args(["-A", "127.0.0.1", "-p", &port.to_string(), "-k", &key]);
        let server = Lines::start(&mut command);
        let address = SocketAddr::from(([127, 0, 0, 1], port + 1));
        let mut session = Secured::new(with_key(KEY, &[]), address);
        if session.start(PATIENCE) == FULL {
            return (server, session);
        }
    }
    panic!("{program} cannot be reached: `make peers` installs it");
}
