//! From the words of the configuration to the handshake: what `usage`, `server_cert`, `server_hash`
//! and `ca` make of a server's certificate.

use std::{fs, net::SocketAddr, time::Duration};

use lamplighter_dtls::{
    Clock, Closed, Secret, Session, SessionEvent, Time, Untrusted,
    test_server::{ServerCertificate, ServerEvent, Settings, TestServer},
};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::security::{check, key, vector, x509};

/// In 2027, where the certificates of the tests are valid.
const TODAY: i64 = 1_800_000_000;

fn der(name: &str) -> Vec<u8> {
    fs::read(vector(&format!("{name}.der"))).unwrap()
}

/// A server that shows this certificate, with its issuer.
fn server(certificate: &str) -> TestServer {
    let settings = Settings {
        certificate: Some(ServerCertificate {
            chain: vec![der(certificate), der("issuer")],
            key: Secret::new(der("server.key")),
            trust: vec![der("authority")],
        }),
        ..Settings::default()
    };
    TestServer::new(settings).unwrap()
}

/// What becomes of a handshake between the account of these words and such a server.
fn shaken(words: &str, certificate: &str) -> Result<(), Closed> {
    let client = key("client.key.der");
    let words = format!("{words}\nsni = \"server.example\"");
    let checked = check(&words, &[("client", &client)]);
    assert_eq!(checked.problems, [], "{words}");
    let account = checked.config.unwrap().servers.remove(1).security;
    let (mut session, mut server) = (account.session().unwrap(), server(certificate));
    let address: SocketAddr = "192.0.2.17:5000".parse().unwrap();
    let clock = Clock {
        floor: 0,
        time: Time::Trusted(TODAY),
    };
    session.start(clock, Duration::ZERO);
    loop {
        match next(&mut session, &mut server, address) {
            SessionEvent::Application(_) | SessionEvent::Transmit(_) => {}
            SessionEvent::Closed(why) => return Err(why),
            SessionEvent::Established(_) => return Ok(()),
        }
    }
}

fn next(session: &mut Session, server: &mut TestServer, address: SocketAddr) -> SessionEvent {
    let event = session.poll().unwrap();
    if let SessionEvent::Transmit(datagram) = &event {
        server.receive(address, datagram, Duration::ZERO);
        while let Some(event) = server.poll() {
            if let ServerEvent::Transmit(_, datagram) = event {
                session.receive(datagram, Duration::ZERO);
            }
        }
    }
    event
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn named(name: &str) -> String {
    format!(
        "server_cert = \"{}\"",
        vector(&format!("{name}.der")).display()
    )
}

fn hashed(name: &str) -> [String; 3] {
    let der = der(name);
    let hashes = [
        hex(&Sha256::digest(&der)),
        hex(&Sha384::digest(&der)),
        hex(&Sha512::digest(&der)),
    ];
    hashes.map(|hash| format!("server_hash = \"{hash}\""))
}

const WRONG: Result<(), Closed> = Err(Closed::Untrusted(Untrusted::Other));
const UNSIGNED: Result<(), Closed> = Err(Closed::Untrusted(Untrusted::Chain));

// 0/x/15, each value by its word. // Transport 1.2, 5.2.8.7
#[test]
fn each_usage_of_the_configuration_decides_the_handshake() {
    for (usage, name, shown, expected) in [
        ("ca_constraint", "issuer", "server", Ok(())),
        ("ca_constraint", "authority", "server", Ok(())),
        ("ca_constraint", "stranger", "server", WRONG),
        ("ca_constraint", "stranger", "foreign", UNSIGNED),
        ("service_certificate_constraint", "server", "server", Ok(())),
        ("service_certificate_constraint", "server", "unnamed", WRONG),
        (
            "service_certificate_constraint",
            "foreign",
            "foreign",
            UNSIGNED,
        ),
        ("trust_anchor", "authority", "server", Ok(())),
        ("trust_anchor", "stranger", "server", UNSIGNED),
        ("trust_anchor", "stranger", "foreign", Ok(())),
        ("domain_issued", "server", "server", Ok(())),
        ("domain_issued", "foreign", "foreign", Ok(())),
        ("domain_issued", "server", "unnamed", WRONG),
    ] {
        let further = format!("usage = \"{usage}\"\n{}", named(name));
        let became = shaken(&x509("client.der", &further), shown);
        assert_eq!(became, expected, "{usage} {name} {shown}");
    }
}

// 0/x/13: the length says which hash it is.
#[test]
fn a_hash_of_the_configuration_stands_for_the_certificate_with_each_usage() {
    for (usage, name, otherwise) in [
        ("ca_constraint", "issuer", WRONG),
        ("service_certificate_constraint", "server", WRONG),
        ("trust_anchor", "issuer", UNSIGNED),
        ("domain_issued", "server", WRONG),
    ] {
        for (right, wrong) in hashed(name).iter().zip(hashed("stranger")) {
            let words = |hash: &str| x509("client.der", &format!("usage = \"{usage}\"\n{hash}"));
            assert_eq!(shaken(&words(right), "server"), Ok(()), "{usage} {right}");
            assert_eq!(
                shaken(&words(&wrong), "server"),
                otherwise,
                "{usage} {wrong}"
            );
        }
    }
}

#[test]
fn without_a_certificate_of_the_server_the_authorities_decide() {
    for usage in ["", "usage = \"trust_anchor\"", "usage = \"domain_issued\""] {
        let words = x509("client.der", usage);
        assert_eq!(shaken(&words, "server"), Ok(()), "{usage}");
        assert_eq!(shaken(&words, "foreign"), UNSIGNED, "{usage}");
    }
}
