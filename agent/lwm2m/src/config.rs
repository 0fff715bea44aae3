//! What a client is made of, as the daemon hands it over.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use lamplighter_coap::Params;
use lamplighter_model::{
    ObjectId, Ssid,
    object::{Definitions, Version},
};

use crate::{
    access::Grants,
    security::{SecurityAccount, SecurityMode},
    server::ServerUri,
};

/// What a client is made of; built from the checked configuration.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Who is asked for accounts, where that is configured.
    pub bootstrap: Option<BootstrapConfig>,
    pub creation: Creation,
    pub definitions: Arc<Definitions>,
    pub device: DeviceDescription,
    /// Endpoint client name (`ep`).
    pub endpoint: String,
    /// Makes tokens, message ids and jitter differ from box to box and from start to start; fixed
    /// in tests.
    pub seed: u64,
    pub servers: Vec<ServerConfig>,
}

/// What servers may make of objects that nobody here answers for, and how much of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Creation {
    /// Bytes of all values together.
    pub max_bytes: usize,
    /// Instances of one object.
    pub max_instances: usize,
    /// Bytes of one value.
    pub max_value: usize,
    /// Those of the core and those that devices declare instances of are never meant.
    pub objects: BTreeSet<ObjectId>,
}

impl Default for Creation {
    /// Portfolio and BinaryAppDataContainer, which exist to hold what servers put there.
    fn default() -> Self {
        Self {
            max_bytes: 4 << 20,
            max_instances: 256,
            max_value: 64 << 10,
            objects: BTreeSet::from([ObjectId(16), ObjectId(19)]),
        }
    }
}

/// `[client.limits]`: what one server can make the box remember.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Paths that it may attach attributes to.
    pub attribute_paths: usize,
    /// Requests that it may observe by.
    pub observations: usize,
    /// Paths that all of these may name together.
    pub observed_paths: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attribute_paths: 4096,
            observations: 1024,
            observed_paths: 8192,
        }
    }
}

/// One `[server.NAME]` of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// RFC 7252, 4.8, and our own limits.
    pub coap: Params,
    pub lifetime: Duration,
    pub limits: Limits,
    /// 1/x/23 as it is before the server writes it: nothing is sent that was not asked for.
    pub mute_send: bool,
    pub name: String,
    /// Versions to announce instead of our own, where a server knows only an older definition.
    pub object_versions: BTreeMap<ObjectId, Version>,
    /// The server is told that we are reachable for a while after each exchange only.
    pub queue_mode: bool,
    /// Vendor parameters of Register, each `NAME=VALUE` (lwm2m/10, 2).
    pub register_parameters: Vec<String>,
    pub registration: RegistrationConfig,
    /// What it may do, where there are several servers.
    pub rights: Grants,
    /// What proves who it is and who we are.
    pub security: SecurityAccount,
    pub ssid: Ssid,
    /// 1/x/6: keep what cannot be sent.
    pub store_notifications: bool,
    pub uri: ServerUri,
    pub version: VersionChoice,
}

/// The `[bootstrap]` of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct BootstrapConfig {
    /// The server may give accounts without security.
    pub allow_unsecured: bool,
    /// RFC 7252, 4.8, and our own limits.
    pub coap: Params,
    /// Of servers that the configuration does not name.
    pub limits: Limits,
    /// Ask for a Bootstrap-Pack first (1.2).
    pub pack: bool,
    pub retry: RetryConfig,
    /// After this time accounts that were just given, and none of which has taken us, make room for
    /// those before.
    pub rollback: Duration,
    /// Where it is, and its times (0/x/11, 0/x/12).
    pub security: SecurityAccount,
    /// The server may begin by itself, as in 1.0: it has the hold-off time for that, with the session
    /// open.
    pub server_initiated: bool,
}

impl BootstrapConfig {
    /// Enough for all attempts of the table of object 1 at a new server (23 minutes).
    pub const ROLLBACK: Duration = Duration::from_secs(1800);

    pub fn new(security: SecurityAccount) -> Self {
        Self {
            // Who is asked without security may answer with none.
            allow_unsecured: security.mode == SecurityMode::NoSec,
            coap: Params::default(),
            limits: Limits::default(),
            pack: false,
            retry: RetryConfig::default(),
            rollback: Self::ROLLBACK,
            security: SecurityAccount {
                is_bootstrap: true,
                ..security
            },
            server_initiated: false,
        }
    }
}

/// What object 1 says of registering where no server has written it; what is `None` counts as the
/// standard has it (1/x/13 to 1/x/20).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RegistrationConfig {
    /// 1/x/16: default true.
    pub bootstrap_on_failure: Option<bool>,
    /// 1/x/15: default false.
    pub failure_block: Option<bool>,
    /// 1/x/14, seconds: default 0.
    pub initial_delay_s: Option<u32>,
    /// 1/x/13: servers with a number are registered with one after another, the lowest first;
    /// default: independently of others.
    pub priority: Option<u32>,
    pub retry: RetryConfig,
    /// The longest random pause after the end of a Disable; default a quarter of it, at least 60 s.
    pub return_spread: Option<Duration>,
}

/// 1/x/17 to 1/x/20.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RetryConfig {
    /// 1/x/17: attempts in a sequence, default 5.
    pub count: Option<u32>,
    /// 1/x/19: seconds between sequences, default a day; 2^32 - 1: there is only one sequence.
    pub sequence_delay_s: Option<u32>,
    /// 1/x/20: default 1.
    pub sequences: Option<u32>,
    /// 1/x/18: seconds before the first retry, doubled for each other; default 60.
    pub timer_s: Option<u32>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VersionChoice {
    /// The highest first, one step down on 4.12.
    Auto,
    V1_0,
    V1_1,
    V1_2,
}

impl ServerConfig {
    /// An account with the defaults of the configuration.
    pub fn new(name: &str, ssid: Ssid, uri: ServerUri) -> Self {
        Self {
            coap: Params::default(),
            lifetime: Duration::from_secs(3600),
            limits: Limits::default(),
            mute_send: false,
            name: name.to_owned(),
            object_versions: BTreeMap::new(),
            queue_mode: false,
            register_parameters: Vec::new(),
            registration: RegistrationConfig::default(),
            rights: Grants::default(),
            security: SecurityAccount::unsecured(&uri, Some(ssid)),
            ssid,
            store_notifications: true,
            uri,
            version: VersionChoice::Auto,
        }
    }
}

/// What object 3 says of this box.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceDescription {
    /// Objects that tell of devices around the box: 3/0/22 names their instances.
    pub described_by: Vec<ObjectId>,
    pub device_type: String,
    pub firmware: String,
    pub hardware: String,
    pub manufacturer: String,
    pub model: String,
    pub serial: String,
    pub software: String,
    /// Name of the time zone, e.g. `Europe/Paris`; empty where unknown.
    pub timezone: String,
    /// Offset of local time, e.g. `+02:00`; empty where unknown.
    pub utc_offset: String,
}

impl DeviceDescription {
    /// What stays when a card or disk is put into another machine does not.
    pub(crate) fn fingerprint(&self) -> Vec<u8> {
        let parts = [&self.manufacturer, &self.model, &self.serial];
        parts.map(String::as_str).join("\n").into_bytes()
    }
}

/// A change of the configuration while running.
#[derive(Clone, Debug)]
pub enum Change {
    AddServer(Box<ServerConfig>),
    RemoveServer(Ssid),
}
