//! A secured endpoint of Leshan behind a relay, and a box as small as it can be: one value, its
//! accounts, nothing else.

use std::{fs, os::unix::fs::OpenOptionsExt as _, path::PathBuf};

use lamplighter_interop::{
    agent::Agent,
    leshan::{Leshan, Version},
    relay::Relay,
    root, scratch,
    station::SOON,
};
use serde_json::{Value, json};

pub(crate) const KEY: &str = "000102030405060708090a0b0c0d0e0f";
pub(crate) const OTHER_KEY: &str = "ff0102030405060708090a0b0c0d0e0f";
/// Whom the vectors' certificate of a client names.
pub(crate) const CERTIFIED: &str = "cab-17";
/// Types of records (RFC 5246, 6.2.1; RFC 9146, 4).
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const APPLICATION: u8 = 23;
pub(crate) const WITH_CONNECTION_ID: u8 = 25;

/// A server with a secured endpoint, and what its box is configured with.
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    pub(crate) endpoint: String,
    pub(crate) leshan: Leshan,
    pub(crate) relay: Relay,
}

pub(crate) fn vector(name: &str) -> PathBuf {
    root().join("tests/vectors/dtls").join(name)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn hex_of(name: &str) -> String {
    hex(&fs::read(vector(name)).unwrap())
}

/// A Leshan that shows these certificates and believes this one. As a server only: otherwise Scandium
/// asks for certificates that are good for clients as well.
pub(crate) fn certified(chain: &[&str], trust: &str) -> Value {
    let chain: Vec<String> = chain.iter().map(|name| hex_of(name)).collect();
    json!({
        "endpoints": ["coaps"],
        "identity": {"key": hex_of("server.key.der"), "certificates": chain},
        "trust": [hex_of(trust)],
        "properties": {"DTLS.ROLE": "SERVER_ONLY"},
    })
}

pub(crate) fn keyed() -> Value {
    json!({"endpoints": ["coaps"]})
}

/// `security` of a box that has this key as the credential `psk`.
pub(crate) fn psk(identity: &str) -> String {
    format!("{{ mode = \"psk\", identity = \"{identity}\", key = \"credential:psk\" }}")
}

pub(crate) fn x509(ca: &str, further: &str) -> String {
    format!(
        "{{ mode = \"x509\", ca = \"{}\", cert = \"{}\", key = \"credential:x509\"{further} }}",
        vector(ca).display(),
        vector("client.der").display()
    )
}

/// The name that the certificates of the vectors are for.
pub(crate) const NAMED: &str = ", sni = \"server.example\"";

/// One account; the shorter time-outs make a failed handshake end within 2 s.
pub(crate) fn account(name: &str, uri: &str, short_id: u16, security: &str) -> String {
    format!(
        "[server.{name}]\nuri = \"{uri}\"\nshort_id = {short_id}\nlifetime_s = 300\n\
         owner = {}\nrights = {{ \"*\" = \"R\" }}\nsecurity = {security}\n\
         [server.{name}.coap]\nack_timeout_s = 0.15\n\
         [server.{name}.registration]\nretry_timer_s = 3\n",
        short_id == 101
    )
}

impl Place {
    pub(crate) fn new(name: &str, settings: Value) -> Self {
        Self::of(name, name, settings)
    }

    pub(crate) fn of(name: &str, endpoint: &str, settings: Value) -> Self {
        Self::at(Version::M18, name, endpoint, settings)
    }

    pub(crate) fn at(version: Version, name: &str, endpoint: &str, settings: Value) -> Self {
        let directory = scratch(name);
        let leshan = Leshan::start_with(version, settings);
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

    pub(crate) fn credential(&self, name: &str, content: &str) {
        let folder = self.directory.join("credentials");
        fs::create_dir_all(&folder).unwrap();
        let mut options = fs::File::options();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(folder.join(name)).unwrap();
        std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
    }

    /// What Leshan knows of a client: its key, or that its certificate names it.
    pub(crate) fn knows(&mut self, psk: Option<(&str, &str)>) {
        let mut command = json!({"do": "credential"});
        if let Some((identity, key)) = psk {
            command["psk"] = json!({"identity": identity, "key": key});
        }
        let answer = self.leshan.ask(&self.endpoint.clone(), command);
        assert!(answer["error"].is_null(), "{answer}");
    }

    /// From now on the identity is good, and belongs to another endpoint: Leshan answers 4.03.
    pub(crate) fn is_of_another(&mut self, identity: &str, key: &str) {
        self.forgets();
        self.endpoint = "somebody-else".to_owned();
        self.knows(Some((identity, key)));
    }

    /// Leshan knows nothing of the client any more, and ends its session.
    pub(crate) fn forgets(&mut self) {
        let answer = self
            .leshan
            .ask(&self.endpoint, json!({"do": "no-credential"}));
        assert!(answer["error"].is_null(), "{answer}");
    }

    pub(crate) fn run(&self, accounts: &str) -> Agent {
        let endpoint = &self.endpoint;
        let text = format!(
            "[client]\nendpoint = \"{endpoint}\"\n{accounts}\n\
             [device.t]\nadapter = \"sim\"\n[device.t.point.a]\nresource = \"/3303/0/5700\"\n\
             value = 21.5\n"
        );
        Agent::run(&self.directory, &text, &[])
    }

    pub(crate) fn main(&self, security: &str) -> String {
        account("main", &self.relay.uri(), 101, security)
    }

    pub(crate) fn event(&mut self, name: &str) -> Value {
        self.leshan.event(SOON, |event| event["event"] == name)
    }

    pub(crate) fn registered(&mut self) -> Value {
        self.event("registered")
    }

    pub(crate) fn reads(&mut self) {
        let answer = self
            .leshan
            .read(&self.endpoint.clone(), "/3303/0/5700", None);
        assert_eq!(answer["code"], 205, "{answer}");
    }
}

/// Waits until `status` says this of a server.
pub(crate) fn says(agent: &Agent, server: &str, words: &str) {
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

pub(crate) fn kinds(datagrams: &[Vec<u8>]) -> Vec<u8> {
    datagrams.iter().map(|datagram| datagram[0]).collect()
}
