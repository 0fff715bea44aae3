//! A bootstrap server that does anything, in any order, before a whole client.

use std::time::Duration;

use lamplighter_coap::{Method, Request};
use lamplighter_lwm2m::{
    boundary::{Command, Input as CoreInput},
    client::{BootstrapConfig, Client, ClientConfig},
    format::{self, Content, ContentFormat, Node},
    security::SecurityAccount,
};
use lamplighter_model::{InstancePath, Path, Ssid, Value};

use super::{DEFINITIONS, Rig, at, config};
use crate::input::Input;

/// Where servers are said to be; the last two are none.
const URIS: [&str; 5] = [
    "coap://server.example",
    "coap://other.example",
    "coaps://server.example",
    "coap://",
    "",
];
/// The longest, as a lifetime of one second asks for two Updates in each.
const PAUSE: Duration = Duration::from_secs(500);
const DELETES: [&str; 8] = ["/", "/0", "/1", "/2", "/0/0", "/0/1", "/1/0", "/16"];
/// Formats that carry instances.
const CARRIERS: [ContentFormat; 4] = [
    ContentFormat::Tlv,
    ContentFormat::SenmlCbor,
    ContentFormat::SenmlJson,
    ContentFormat::Lwm2mCbor,
];

/// Whatever a bootstrap server does, the box goes on, and after a power cut it has the same servers.
pub(crate) fn bootstrap(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let flags = input.byte();
    let config = || configured(flags);
    let mut rig = Rig::with(config(), Vec::new());
    rig.turn(CoreInput::Timeout);
    rig.turn(CoreInput::Command(Command::Bootstrap));
    while !input.is_empty() {
        rig.bootstrap_step(&mut input);
    }
    rig.turn(CoreInput::Timeout);
    let records = rig.saved.values().cloned().collect();
    let again = Client::new(config(), records, at(rig.now));
    let servers = |client: &Client| -> Vec<(Ssid, String)> {
        let servers = client.servers();
        servers.map(|server| (server.ssid, server.uri)).collect()
    };
    assert_eq!(servers(&again), servers(&rig.client), "after a power cut");
    assert_eq!(again.bootstrap().uri, rig.client.bootstrap().uri);
    // Until former accounts are back.
    for _ in 0..8 {
        rig.pass(PAUSE);
    }
}

fn configured(flags: u8) -> ClientConfig {
    let mut config = config();
    if flags & 1 != 0 {
        config.servers.clear();
    }
    let account = SecurityAccount {
        account_timeout_s: if flags & 2 != 0 { 100 } else { 0 },
        uri: "coap://bs.example".to_owned(),
        ..SecurityAccount::default()
    };
    let mut bootstrap = BootstrapConfig::new(account);
    bootstrap.server_initiated = flags & 4 != 0;
    config.bootstrap = Some(bootstrap);
    config
}

impl Rig {
    fn bootstrap_step(&mut self, input: &mut Input<'_>) {
        match input.byte() % 12 {
            0..=2 => self.write_security(input),
            3 | 4 => self.write_server(input),
            5 => self.write_rights(input),
            6 => self.ask(Method::Delete, input.one_of(&DELETES)),
            7 => self.ask(Method::Post, "/bs"),
            8 => self.request(input),
            9 => self.pass(input.pause().min(PAUSE)),
            10 => {
                let command = match input.byte() % 3 {
                    0 => Command::Bootstrap,
                    1 => Command::Deregister(None),
                    _ => Command::Register(Ssid(input.number() % 4 + 100)),
                };
                self.turn(CoreInput::Command(command));
            }
            _ => self.link_event(input),
        }
    }

    fn write_security(&mut self, input: &mut Input<'_>) {
        let path = InstancePath::new(0, u16::from(input.byte() % 3));
        let uri = input.one_of(&URIS).to_owned();
        let is_bootstrap = input.byte().is_multiple_of(4);
        let mode = i64::from(input.one_of(&[3_u8, 3, 3, 0, 2]));
        let ssid = i64::from(input.byte() % 4) + 100;
        let values = [
            (0, Value::String(uri)),
            (1, Value::Boolean(is_bootstrap)),
            (2, Value::Integer(mode)),
            (5, Value::Opaque(input.piece().to_vec())),
            (10, Value::Integer(ssid)),
        ];
        self.write(path, &values, input);
    }

    fn write_server(&mut self, input: &mut Input<'_>) {
        let path = InstancePath::new(1, u16::from(input.byte() % 3));
        let ssid = i64::from(input.byte() % 4) + 100;
        let values = [
            (0, Value::Integer(ssid)),
            (1, Value::Integer(input.number().into())),
            (6, Value::Boolean(input.is_set())),
            (
                7,
                Value::String(input.one_of(&["U", "UQ", "T", "UU"]).to_owned()),
            ),
            (13, Value::Unsigned(input.byte().into())),
        ];
        self.write(path, &values, input);
    }

    fn write_rights(&mut self, input: &mut Input<'_>) {
        let path = InstancePath::new(2, u16::from(input.byte() % 3));
        let values = [
            (0, Value::Integer(input.one_of(&[1, 3, 3303]))),
            (1, Value::Integer(input.one_of(&[0, 1, 65535]))),
            (3, Value::Integer(i64::from(input.byte() % 4) + 100)),
        ];
        self.write(path, &values, input);
    }

    /// All of them, or the first few.
    fn write(&mut self, path: InstancePath, values: &[(u16, Value)], input: &mut Input<'_>) {
        let how = input.byte();
        let left_out = usize::from(how >> 6).min(values.len());
        let values = &values[..values.len() - left_out];
        let node = |(id, value): &(u16, Value)| Node {
            path: path.resource(*id),
            content: Content::Single(value.clone()),
            time: None,
        };
        let nodes: Vec<Node> = values.iter().map(node).collect();
        let format = CARRIERS[usize::from(how) % CARRIERS.len()];
        let target = if how & 32 == 0 {
            Path::Instance(path)
        } else {
            Path::Object(path.object)
        };
        let Ok(payload) = format::encode(format, target, "", &nodes, &DEFINITIONS) else {
            return;
        };
        let request = Request {
            content_format: Some(format.number()),
            payload,
            ..Request::new(Method::Put, segments(&target.to_string()))
        };
        self.server.request(request, self.now);
        self.exchange();
    }

    fn ask(&mut self, method: Method, path: &str) {
        let request = Request::new(method, segments(path));
        self.server.request(request, self.now);
        self.exchange();
    }
}

fn segments(path: &str) -> Vec<String> {
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}
