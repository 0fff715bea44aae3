//! Our sessions with Scandium, the DTLS server that is in Leshan: what a handshake costs, and what
//! a new address costs then. The figures of the documentation are printed here.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{fs, net::SocketAddr, process::Command, time::Duration};

use lamplighter_dtls::{
    Certificate, Established, Frozen, Matching, Peer, Psk, Secret, Security, Session, SessionEvent,
    Suite, Usage,
};
use lamplighter_interop::{
    lines::Lines,
    peers, root,
    secured::{Secured, Traffic},
};

const PATIENCE: Duration = Duration::from_secs(30);
/// The server drops what it does not know; nobody has to wait long to see that.
const SILENCE: Duration = Duration::from_secs(2);
const CONNECTION_ID: &str = "6";
const NO_CONNECTION_ID: &str = "-1";

fn scandium(connection_id: &str, suites: &[Suite]) -> (Lines, SocketAddr) {
    let leshan = peers().join("leshan-2.0.0-M18");
    let path = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let classes = [
        path(leshan.join("lib/*")),
        path(leshan.join("classes")),
        path(peers().join("scandium")),
    ];
    let mut command = Command::new("java");
    command.args(["-cp", &classes.join(":"), "Scandium", connection_id]);
    command.arg(root().join("tests/vectors/dtls"));
    let server = Lines::start(command.args(suites.iter().map(|suite| suite.name)));
    loop {
        let line = server.hear(PATIENCE);
        let line = line.expect("the server starts: `make peers` installs it");
        if let Some(port) = line.strip_prefix("LISTENS ") {
            let port = port.parse().unwrap();
            return (server, SocketAddr::from(([127, 0, 0, 1], port)));
        }
    }
}

fn suites(numbers: &[u16]) -> Vec<Suite> {
    let known = numbers.iter().map(|number| Suite::by_number(*number));
    known.map(Option::unwrap).collect()
}

/// Without a name, so that the bytes of the handshake are comparable.
fn with_key() -> Peer {
    let security = Security::Psk(Psk {
        identity: b"box".to_vec(),
        key: Secret::new(b"secretPSKsecret1".to_vec()),
    });
    Peer::new("127.0.0.1", security)
}

fn with_certificate() -> Peer {
    let read =
        |name: &str| fs::read(root().join(format!("tests/vectors/dtls/{name}.der"))).unwrap();
    let account = Certificate {
        chain: vec![read("client")],
        key: Secret::new(read("client.key")),
        matching: Matching::Exact,
        server: read("authority"),
        strict_time: false,
        trust_store: Vec::new(),
        usage: Usage::TrustAnchorAssertion,
    };
    Peer::new("192.0.2.1", Security::Certificate(Box::new(account)))
}

fn established(how: Established) -> Option<SessionEvent> {
    Some(SessionEvent::Established(how))
}

/// Whether a message comes back.
fn echo(session: &mut Secured) -> bool {
    session.say(b"a message");
    session.hear(SILENCE) == Some(SessionEvent::Application(b"a message".to_vec()))
}

#[expect(clippy::print_stdout, reason = "figures for the documentation")]
fn told(what: &str, traffic: Traffic) -> usize {
    let ((sent, out), (received, back)) = (traffic.sent, traffic.received);
    println!("{what}: sent {out} bytes in {sent}, received {back} bytes in {received}");
    out + back
}

#[test]
fn an_address_that_changes_costs_no_byte_with_scandium() {
    for (numbers, peer) in [
        ([0xC0A8], with_key()),
        ([0x00A8], with_key()),
        ([0x00AE], with_key()),
        ([0xC0AE], with_certificate()),
        ([0xC02B], with_certificate()),
    ] {
        let suites = suites(&numbers);
        let name = suites[0].name;
        let (_server, address) = scandium(CONNECTION_ID, &suites);
        let peer = Peer {
            suites: numbers.to_vec(),
            ..peer
        };
        let mut session = Secured::new(peer, address);
        assert_eq!(session.start(PATIENCE), established(Established::Full));
        let full = told(&format!("{name} in full"), session.traffic());
        assert!(echo(&mut session));

        assert_eq!(session.start(PATIENCE), established(Established::Continued));
        assert_eq!(session.traffic(), Traffic::default());
        assert!(echo(&mut session));

        let resumed = session.restart(PATIENCE);
        assert_eq!(resumed, established(Established::Resumed));
        let resumed = told(&format!("{name} resumed"), session.traffic());
        assert!(echo(&mut session));
        let (most, rest) = if name.contains("ECDSA") {
            (2600, 800)
        } else {
            (750, 750)
        };
        assert!(full <= most && resumed <= rest, "{full}, {resumed}");
    }
}

#[test]
fn without_connection_id_scandium_resumes() {
    let (_server, address) = scandium(NO_CONNECTION_ID, &suites(&[0xC0A8]));
    let mut session = Secured::new(with_key(), address);
    assert_eq!(session.start(PATIENCE), established(Established::Full));
    assert!(echo(&mut session));
    assert_eq!(session.start(PATIENCE), established(Established::Resumed));
    assert!(echo(&mut session));
}

#[test]
fn a_scandium_that_forgot_us_is_back_with_one_restart() {
    let (mut server, address) = scandium(CONNECTION_ID, &suites(&[0xC0A8]));
    let mut session = Secured::new(with_key(), address);
    assert_eq!(session.start(PATIENCE), established(Established::Full));
    assert!(echo(&mut session));
    server.say("forget");
    assert_eq!(server.hear(PATIENCE).as_deref(), Some("FORGOT"));
    assert!(!echo(&mut session));
    assert_eq!(session.restart(PATIENCE), established(Established::Full));
    assert!(echo(&mut session));
}

#[test]
fn a_frozen_session_goes_on_with_scandium() {
    let (_server, address) = scandium(CONNECTION_ID, &suites(&[0xC0A8]));
    let mut session = Secured::new(with_key(), address);
    assert_eq!(session.start(PATIENCE), established(Established::Full));
    assert!(echo(&mut session));
    let frozen = session.session.freeze(b"board").unwrap();
    let mark = frozen.mark();
    let read = Frozen::from_bytes(frozen.bytes().to_vec());
    session.session = Session::thaw(with_key(), read, mark, b"board").unwrap();
    assert_eq!(session.start(PATIENCE), established(Established::Continued));
    assert_eq!(session.traffic(), Traffic::default());
    assert!(echo(&mut session));
}
