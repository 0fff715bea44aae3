//! The secure ports of the Leshan servers and the bootstrap server, shaken hands with by OpenSSL and
//! by hand: what the tests of the agent's own security stand on.

use std::{net::UdpSocket, path::Path, time::Duration};

use lamplighter_interop::{
    coap::{CON, Message},
    leshan::{Leshan, Version},
    openssl::{Authority, Identity, handshake},
    scratch,
    station::SOON,
};
use serde_json::{Value, json};

const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const OTHER_KEY: &str = "ff0102030405060708090a0b0c0d0e0f";
const PSK: &str = "PSK-AES128-CCM8";
const ECDSA: &str = "ECDHE-ECDSA-AES128-CCM8";

/// Longer than a handshake takes on a busy machine.
const PATIENCE: u32 = 30;
/// For one that must not come about.
const SHORT: u32 = 3;

fn by_key(uri: &str, identity: &str, key: &str, seconds: u32) -> Option<String> {
    // The short tag of CCM_8, which LwM2M asks for, counts as weak.
    let cipher = format!("{PSK}:@SECLEVEL=0");
    let arguments = ["-psk_identity", identity, "-psk", key, "-cipher", &cipher];
    handshake(uri, &arguments, seconds)
}

fn by_certificate(uri: &str, authority: &Path, client: &Identity, seconds: u32) -> Option<String> {
    let cipher = format!("{ECDSA}:@SECLEVEL=0");
    let (authority, certificate, key) = (
        authority.to_string_lossy(),
        client.certificate.to_string_lossy(),
        client.key.to_string_lossy(),
    );
    let arguments = [
        "-cipher",
        &cipher,
        "-CAfile",
        &authority,
        "-verify_return_error",
        "-cert",
        &certificate,
        "-key",
        &key,
    ];
    handshake(uri, &arguments, seconds)
}

fn takes_keys(version: Version) {
    // With connection ids, which OpenSSL does not ask for.
    let settings =
        json!({"endpoints": ["coaps"], "properties": {"DTLS.CONNECTION_ID_LENGTH": "6"}});
    let mut leshan = Leshan::start_with(version, settings);
    let uri = leshan.uri.clone();
    assert!(uri.starts_with("coaps://"), "{uri}");
    assert_eq!(by_key(&uri, "box", KEY, SHORT), None, "nobody is known yet");
    let credential = json!({"do": "credential", "psk": {"identity": "box", "key": KEY}});
    let answer = leshan.ask("named", credential);
    assert!(answer["error"].is_null(), "{answer}");
    assert_eq!(by_key(&uri, "box", KEY, PATIENCE).as_deref(), Some(PSK));
    assert_eq!(by_key(&uri, "box", OTHER_KEY, SHORT), None);
    assert_eq!(by_key(&uri, "other", KEY, SHORT), None);
    leshan.ask("named", json!({"do": "no-credential"}));
    assert_eq!(by_key(&uri, "box", KEY, SHORT), None);
}

fn takes_certificates(version: Version, name: &str) {
    let directory = scratch(name);
    let authority = Authority::new(&directory);
    let (server, client) = (authority.issue("localhost"), authority.issue("named"));
    let mut leshan = Leshan::start_with(
        version,
        json!({"endpoints": ["coap", "coaps"], "identity": server.of_server(), "trust": authority.trust()}),
    );
    let uri = leshan.uris[1].clone();
    let answer = leshan.ask("named", json!({"do": "credential"}));
    assert!(answer["error"].is_null(), "{answer}");
    let known = authority.certificate();
    assert_eq!(
        by_certificate(&uri, &known, &client, PATIENCE).as_deref(),
        Some(ECDSA)
    );
    let stranger_directory = scratch(&format!("{name}-stranger"));
    let stranger = Authority::new(&stranger_directory);
    let unknown = stranger.issue("named");
    assert_eq!(by_certificate(&uri, &known, &unknown, SHORT), None);
    assert_eq!(
        by_certificate(&uri, &stranger.certificate(), &client, SHORT),
        None
    );
}

#[test]
fn leshan_shakes_hands_by_key() {
    takes_keys(Version::M18);
}

#[test]
fn leshan_shakes_hands_by_certificate() {
    takes_certificates(Version::M18, "leshan-x509");
}

#[test]
fn leshan_bootstrap_shakes_hands_by_key() {
    takes_keys(Version::Bootstrap);
}

#[test]
fn leshan_bootstrap_shakes_hands_by_certificate() {
    takes_certificates(Version::Bootstrap, "bootstrap-x509");
}

/// A client made by hand that does what it is told.
fn ask_to_be_bootstrapped(uri: &str, endpoint: &str) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket.connect(uri.trim_start_matches("coap://")).unwrap();
    let ask = Message {
        kind: CON,
        code: 2,
        id: 1,
        token: vec![7],
        ..Message::default()
    };
    let query = format!("ep={endpoint}");
    // Uri-Path, Uri-Query.
    let ask = ask
        .path("/bs")
        .option(15, query.as_bytes())
        .option(15, b"pct=112");
    socket.send(&ask.encode()).unwrap();
    socket
}

fn hear(socket: &UdpSocket) -> Message {
    let mut bytes = [0; 2048];
    let length = socket.recv(&mut bytes).expect("the server says something");
    Message::decode(&bytes[..length])
}

#[test]
fn leshan_bootstrap_tells_what_it_was_told() {
    let mut leshan = Leshan::start(Version::Bootstrap);
    let tasks = json!([
        {"do": "discover", "path": "/0"},
        {"do": "delete", "path": "/0"},
        {"do": "write", "path": "/1/0", "resources": {"0": ["integer", 101], "1": ["integer", 300]}},
        {"do": "read", "path": "/1"},
    ]);
    leshan.ask("handmade", json!({"do": "configure", "tasks": tasks}));
    let socket = ask_to_be_bootstrapped(&leshan.uri, "handmade");
    assert_eq!(hear(&socket).code, 0x44);
    let mut methods = Vec::new();
    // Discover, Delete, Write, Read, Finish.
    for payload in [&b"</0/0>"[..], b"", b"", b"", b""] {
        let request = hear(&socket);
        methods.push((request.code, request.values(11).join("/")));
        let mut answer = request.answer(match request.code {
            1 if payload.is_empty() => 0x84,
            1 => 0x45,
            4 => 0x42,
            _ => 0x44,
        });
        if !payload.is_empty() {
            answer = answer.option(12, &[40]);
            answer.payload = payload.to_vec();
        }
        socket.send(&answer.encode()).unwrap();
    }
    let wanted = [(1, "0"), (4, "0"), (3, "1/0"), (1, "1"), (2, "bs")];
    assert_eq!(methods, wanted.map(|(code, path)| (code, path.to_owned())));
    let initiated = leshan.event(SOON, |event| event["event"] == "initiated");
    assert_eq!(initiated["endpoint"], "handmade", "{initiated}");
    let answered = |path: &'static str, code: i32| {
        move |event: &Value| {
            event["event"] == "task-answered" && event["path"] == path && event["code"] == code
        }
    };
    let discovered = leshan.event(SOON, answered("/0", 205));
    assert_eq!(discovered["links"], "</0/0>", "{discovered}");
    leshan.event(SOON, answered("/1/0", 204));
    leshan.event(SOON, answered("/1", 404));
    leshan.event(SOON, |event| event["event"] == "finished");
}

#[test]
fn leshan_bootstrap_refuses_whom_it_does_not_know() {
    let mut leshan = Leshan::start(Version::Bootstrap);
    let socket = ask_to_be_bootstrapped(&leshan.uri, "stranger");
    assert_eq!(hear(&socket).code, 0x80);
    leshan.event(Duration::from_secs(20), |event| {
        event["event"] == "not-configured"
    });
    let failed = leshan.event(SOON, |event| event["event"] == "failed");
    assert_eq!(failed["cause"], "NO_BOOTSTRAP_CONFIG", "{failed}");
}
