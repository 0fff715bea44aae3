//! The secured endpoint of Leshan: keys and certificates, right and wrong, and boxes that move.
//!
//! A box is here as small as it can be: one value, its accounts, nothing else.

use std::{fs, os::unix::fs::OpenOptionsExt as _, path::PathBuf};

use lamplighter_interop::{
    agent::Agent,
    leshan::{Leshan, Version},
    relay::Relay,
    root, scratch,
    station::SOON,
};
use serde_json::{Value, json};

const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const OTHER_KEY: &str = "ff0102030405060708090a0b0c0d0e0f";
/// Whom the vectors' certificate of a client names.
const CERTIFIED: &str = "cab-17";
/// Types of records (RFC 5246, 6.2.1; RFC 9146, 4).
const HANDSHAKE: u8 = 22;
const APPLICATION: u8 = 23;
const WITH_CONNECTION_ID: u8 = 25;

/// A server with a secured endpoint, and what its box is configured with.
struct Place {
    directory: PathBuf,
    endpoint: String,
    leshan: Leshan,
    relay: Relay,
}

fn vector(name: &str) -> PathBuf {
    root().join("tests/vectors/dtls").join(name)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hex_of(name: &str) -> String {
    hex(&fs::read(vector(name)).unwrap())
}

/// A Leshan that shows these certificates and believes this one. As a server only: otherwise Scandium
/// asks for certificates that are good for clients as well.
fn certified(chain: &[&str], trust: &str) -> Value {
    let chain: Vec<String> = chain.iter().map(|name| hex_of(name)).collect();
    json!({
        "endpoints": ["coaps"],
        "identity": {"key": hex_of("server.key.der"), "certificates": chain},
        "trust": [hex_of(trust)],
        "properties": {"DTLS.ROLE": "SERVER_ONLY"},
    })
}

fn keyed() -> Value {
    json!({"endpoints": ["coaps"]})
}

/// `security` of a box that has this key as the credential `psk`.
fn psk(identity: &str) -> String {
    format!("{{ mode = \"psk\", identity = \"{identity}\", key = \"credential:psk\" }}")
}

fn x509(ca: &str, further: &str) -> String {
    format!(
        "{{ mode = \"x509\", ca = \"{}\", cert = \"{}\", key = \"credential:x509\"{further} }}",
        vector(ca).display(),
        vector("client.der").display()
    )
}

/// The name that the certificates of the vectors are for.
const NAMED: &str = ", sni = \"server.example\"";

/// One account; the shorter time-outs make a failed handshake end within 2 s.
fn account(name: &str, uri: &str, short_id: u16, security: &str) -> String {
    format!(
        "[server.{name}]\nuri = \"{uri}\"\nshort_id = {short_id}\nlifetime_s = 300\n\
         owner = {}\nrights = {{ \"*\" = \"R\" }}\nsecurity = {security}\n\
         [server.{name}.coap]\nack_timeout_s = 0.15\n\
         [server.{name}.registration]\nretry_timer_s = 3\n",
        short_id == 101
    )
}

impl Place {
    fn new(name: &str, settings: Value) -> Self {
        Self::of(name, name, settings)
    }

    fn of(name: &str, endpoint: &str, settings: Value) -> Self {
        let directory = scratch(name);
        let leshan = Leshan::start_with(Version::M18, settings);
        let relay = Relay::start(&leshan.uri);
        let place = Self {
            directory,
            endpoint: endpoint.to_owned(),
            leshan,
            relay,
        };
        place.credential("psk", &format!("hex:{KEY}\n"));
        place.credential("other", &format!("hex:{OTHER_KEY}\n"));
        place.credential("x509", &format!("hex:{}\n", hex_of("client.key.der")));
        place
    }

    fn credential(&self, name: &str, content: &str) {
        let folder = self.directory.join("credentials");
        fs::create_dir_all(&folder).unwrap();
        let mut options = fs::File::options();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(folder.join(name)).unwrap();
        std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
    }

    /// What Leshan knows of a client: its key, or that its certificate names it.
    fn knows(&mut self, psk: Option<(&str, &str)>) {
        let mut command = json!({"do": "credential"});
        if let Some((identity, key)) = psk {
            command["psk"] = json!({"identity": identity, "key": key});
        }
        let answer = self.leshan.ask(&self.endpoint.clone(), command);
        assert!(answer["error"].is_null(), "{answer}");
    }

    fn run(&self, accounts: &str) -> Agent {
        let endpoint = &self.endpoint;
        let text = format!(
            "[client]\nendpoint = \"{endpoint}\"\n{accounts}\n\
             [device.t]\nadapter = \"sim\"\n[device.t.point.a]\nresource = \"/3303/0/5700\"\n\
             value = 21.5\n"
        );
        Agent::run(&self.directory, &text, &[])
    }

    fn main(&self, security: &str) -> String {
        account("main", &self.relay.uri(), 101, security)
    }

    fn event(&mut self, name: &str) -> Value {
        self.leshan.event(SOON, |event| event["event"] == name)
    }

    fn registered(&mut self) -> Value {
        self.event("registered")
    }

    fn reads(&mut self) {
        let answer = self
            .leshan
            .read(&self.endpoint.clone(), "/3303/0/5700", None);
        assert_eq!(answer["code"], 205, "{answer}");
    }
}

/// Waits until `status` says this of a server.
fn says(agent: &Agent, server: &str, words: &str) {
    agent.until(&["server", "list"], SOON, |servers| {
        let servers = servers.as_array().map(Vec::as_slice).unwrap_or_default();
        servers.iter().any(|one| {
            one["name"] == server
                && one["last_error"]
                    .as_str()
                    .is_some_and(|why| why.contains(words))
        })
    });
}

fn kinds(datagrams: &[Vec<u8>]) -> Vec<u8> {
    datagrams.iter().map(|datagram| datagram[0]).collect()
}

#[test]
fn leshan_psk_a_box_registers_updates_leaves_and_comes_back() {
    let mut place = Place::new("psk-life", keyed());
    place.knows(Some(("life", KEY)));
    let agent = place.run(&place.main(&psk("life")));
    let registered = place.registered();
    place.reads();
    assert!(agent.cli(&["server", "refresh", "main"]).status.success());
    assert_eq!(place.event("updated")["location"], registered["location"]);
    let left = agent.cli(&["server", "deregister", "main"]);
    assert!(left.status.success());
    place.event("deregistered");
    assert!(agent.cli(&["server", "register", "main"]).status.success());
    place.registered();
    place.reads();
    // What is secured is no problem.
    let status = agent.json(&["status"]);
    assert_eq!(status["problems"], json!([]));
}

#[test]
fn leshan_psk_a_wrong_key_is_told_paced_and_costs_its_server_only() {
    let mut place = Place::new("psk-wrong-key", keyed());
    place.knows(Some(("wrong", OTHER_KEY)));
    let mut other = Place::of("psk-right-key", "psk-wrong-key", keyed());
    other.knows(Some(("right", KEY)));
    let accounts =
        place.main(&psk("wrong")) + &account("city", &other.relay.uri(), 102, &psk("right"));
    let agent = place.run(&accounts);
    // The good one does not wait for the bad one.
    other.registered();
    other.reads();
    says(&agent, "main", "most likely the server has another key");
    agent.logged(&["Registration failed", "another key"], SOON);
    let events = agent.json(&["events"]);
    let failed = |event: &Value| event["what"] == "handshake_failed" && event["about"] == "main";
    assert!(events.as_array().unwrap().iter().any(failed), "{events}");
    // Two handshakes at most in the 3 s of the pause: a dozen datagrams, not hundreds.
    assert!(place.relay.sent() < 40, "{}", place.relay.sent());
    assert!(place.leshan.events().is_empty());
    // The right key is there after the next start.
    drop(agent);
    place.credential("psk", &format!("hex:{OTHER_KEY}"));
    let _agent = place.run(&place.main(&psk("wrong")));
    place.registered();
}

#[test]
fn leshan_psk_an_unknown_identity_is_refused_and_told() {
    let mut place = Place::new("psk-identity", keyed());
    place.knows(Some(("known", KEY)));
    let agent = place.run(&place.main(&psk("unknown")));
    // Scandium answers an alert, or nothing, as it is configured.
    agent.logged(&["Registration failed", "ssid=101"], SOON);
    assert!(place.leshan.events().is_empty());
}

#[test]
fn leshan_psk_the_key_of_another_box_is_refused() {
    let mut place = Place::of("psk-endpoint", "psk-owner", keyed());
    place.knows(Some(("owner", KEY)));
    place.endpoint = "psk-thief".to_owned();
    let agent = place.run(&place.main(&psk("owner")));
    // Leshan: an identity belongs to one endpoint.
    says(&agent, "main", "4.0");
    assert!(place.leshan.events().is_empty());
}

#[test]
fn leshan_x509_both_sides_show_certificates() {
    let settings = certified(&["server.der", "issuer.der"], "authority.der");
    let mut place = Place::of("x509-mutual", CERTIFIED, settings);
    place.knows(None);
    let agent = place.run(&place.main(&x509("authority.der", NAMED)));
    place.registered();
    place.reads();
    assert!(agent.cli(&["server", "refresh", "main"]).status.success());
    place.event("updated");
}

#[test]
fn leshan_x509_the_servers_own_certificate_or_its_hash_is_enough() {
    let settings = certified(&["server.der", "issuer.der"], "authority.der");
    let mut place = Place::of("x509-domain", CERTIFIED, settings);
    place.knows(None);
    let security = format!(
        "{{ mode = \"x509\", cert = \"{}\", key = \"credential:x509\", server_cert = \"{}\" }}",
        vector("client.der").display(),
        vector("server.der").display()
    );
    let agent = place.run(&place.main(&security));
    place.registered();
    drop(agent);
    let other = security.replace("server.der", "foreign.der");
    let agent = place.run(&place.main(&other));
    says(&agent, "main", "is not the one of the account");
}

/// A box that must not come through, and what it says.
fn refused(name: &str, chain: &[&str], trust: &str, security: &str, words: &str) {
    let mut place = Place::of(name, CERTIFIED, certified(chain, trust));
    place.knows(None);
    let agent = place.run(&place.main(security));
    says(&agent, "main", words);
    assert!(place.leshan.events().is_empty());
}

#[test]
fn leshan_x509_certificates_of_the_server_that_do_not_convince_are_refused_by_name() {
    let good = &["server.der", "issuer.der"];
    let trusting = x509("authority.der", NAMED);
    refused(
        "x509-expired",
        &["expired.der", "issuer.der"],
        "authority.der",
        &trusting,
        "has expired",
    );
    refused(
        "x509-future",
        &["future.der", "issuer.der"],
        "authority.der",
        &x509(
            "authority.der",
            ", sni = \"server.example\", strict_time = true",
        ),
        "is not valid yet",
    );
    // At 127.0.0.1, which it does not name.
    refused(
        "x509-name",
        good,
        "authority.der",
        &x509("authority.der", ""),
        "is for another name",
    );
    refused(
        "x509-stranger",
        good,
        "authority.der",
        &x509("stranger.der", NAMED),
        "signed by anybody whom we trust",
    );
}

#[test]
fn leshan_x509_a_box_that_the_server_does_not_trust_says_so() {
    refused(
        "x509-untrusted",
        &["server.der", "issuer.der"],
        "stranger.der",
        &x509("authority.der", NAMED),
        "refused by the server",
    );
}

#[test]
fn leshan_dynamic_ip_with_a_connection_id_a_new_address_costs_no_handshake() {
    let mut place = Place::new("psk-moves", keyed());
    place.knows(Some(("moves", KEY)));
    let agent = place.run(&place.main(&psk("moves")));
    let registered = place.registered();
    let (up, down) = (place.relay.sent(), place.relay.answered());
    place.relay.move_agent();
    assert!(agent.cli(&["server", "refresh", "main"]).status.success());
    let updated = place.event("updated");
    assert_eq!(updated["location"], registered["location"]);
    assert_ne!(updated["port"], registered["port"]);
    place.reads();
    let up = kinds(&place.relay.sent_since(up));
    let down = kinds(&place.relay.answered_since(down));
    assert!(up.iter().all(|kind| *kind == WITH_CONNECTION_ID), "{up:?}");
    assert!(!down.contains(&HANDSHAKE), "{down:?}");
}

#[test]
fn leshan_psk_what_is_forged_or_repeated_is_refused_counted_and_told() {
    let mut place = Place::new("psk-forged", keyed());
    place.knows(Some(("forged", KEY)));
    let agent = place.run(&place.main(&psk("forged")));
    place.registered();
    place.reads();
    let records = place.relay.answered_since(0);
    let record = records.iter().rfind(|record| record[0] == APPLICATION);
    let record = record.expect("Leshan has asked something").clone();
    let mut altered = record.clone();
    *altered.last_mut().unwrap() ^= 1;
    // A number that nobody has used yet: otherwise it would be refused as a repetition.
    altered[9] = 0x7f;
    place.relay.forge_down(&record);
    place.relay.forge_down(&altered);
    place.relay.forge_down(b"by your leave");
    // This one the kernel refuses: the socket is for the server only.
    place.relay.forge_down_from_elsewhere(&record);
    let servers = agent.until(&["server", "list"], SOON, |servers| {
        servers[0]["intrusions"].as_u64() >= Some(3)
    });
    assert_eq!(servers[0]["intrusions"], 3, "{servers}");
    agent.logged(&["Datagrams were not the server's"], SOON);
    let events = agent.json(&["events"]).to_string();
    assert!(events.contains("intruded"), "{events}");
    // The session goes on as if nothing had happened.
    place.reads();
    assert_eq!(agent.json(&["server", "list"])[0]["state"], "registered");
}

#[test]
fn several_secured_servers_are_told_apart_by_their_sessions() {
    let settings = certified(&["server.der", "issuer.der"], "authority.der");
    let mut owner = Place::of("several-owner", CERTIFIED, settings);
    owner.knows(None);
    let mut reader = Place::of("several-reader", CERTIFIED, keyed());
    reader.knows(Some(("reader", KEY)));
    let accounts = owner.main(&x509("authority.der", NAMED))
        + &account("reader", &reader.relay.uri(), 102, &psk("reader"));
    let agent = owner.run(&accounts);
    owner.registered();
    reader.registered();
    agent.registered_with(&["main", "reader"], SOON);
    let reset = |place: &mut Place| {
        let command = json!({"do": "execute", "path": "/3303/0/5605"});
        place.leshan.ask(CERTIFIED, command)["code"].clone()
    };
    // May read, and no more.
    reader.reads();
    assert_eq!(reset(&mut reader), 401);
    assert_ne!(reset(&mut owner), 401);
}
