//! A scripted event loop with a small site, for the tests of API and page.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use lamplighter_lwm2m::{
    boundary::{LocalAnswer, LocalOperation, LocalRequest},
    reject::Reject,
};
use lamplighter_model::{
    BootId, DataType, Now, ObjectId, Path, Quality, ResourceAddress, ResourceId, Sample, Scope,
    Ssid, Stamp, UnixTime, Value,
    device::{AdapterId, Origin},
    object::{Definitions, Multiplicity, ObjectDef, Operations, ResourceDef, Version},
};
use lamplighter_site::boundary::{Limit, OnViolation, PointKind, Slot, Why, WhySlot};
use serde_json::Value as Json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

use crate::{
    api::Api,
    ask::{Ask, Asker},
    bearer::{self, BearerFacts, BearerId, Meta, Reason},
    config::{self, BearerKind},
    events::{EventLog, LoadedLog},
    status::{Catalogue, DeviceEntry, GroupEntry, PointEntry, ServerEntry, Status},
    store::History,
};

/// Second `s` of a machine that started at the epoch.
pub(crate) fn now_at(s: u64) -> Now {
    let unix = UnixTime::from_seconds(i64::try_from(s).unwrap());
    Now {
        boot: BootId(1),
        mono: Duration::from_secs(s),
        unix: Some(unix),
    }
}

/// An empty directory that no other test has.
pub(crate) fn directory(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!(
        "lamplighter-{name}-{}-{number}",
        std::process::id()
    ));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

pub(crate) struct Site {
    pub(crate) status: Status,
    pub(crate) clock_s: Arc<AtomicU64>,
    pub(crate) events: EventLog,
    pub(crate) history: Option<History>,
    asker: Asker,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    done: Vec<LocalRequest>,
    server_actions: Vec<String>,
    reject: Option<Reject>,
    samples: Vec<Sample>,
}

impl Site {
    pub(crate) fn start() -> Self {
        let (asker, questions) = Asker::new(16);
        let status = Status::new(catalogue(), now_at(0));
        let script = Arc::new(Mutex::new(Script::default()));
        tokio::spawn(answer(questions, Arc::clone(&script)));
        let clock_s = Arc::new(AtomicU64::new(100));
        let seconds = Arc::clone(&clock_s);
        let clock = move || now_at(seconds.load(Ordering::Relaxed));
        Self {
            status,
            clock_s,
            events: EventLog::new(clock, LoadedLog::default(), None),
            history: None,
            asker,
            script,
        }
    }

    pub(crate) fn api(&self) -> Api {
        let clock_s = Arc::clone(&self.clock_s);
        Api {
            asker: self.asker.clone(),
            clock: Arc::new(move || now_at(clock_s.load(Ordering::Relaxed))),
            commission: Arc::default(),
            demo: None,
            events: self.events.clone(),
            history: self.history.clone(),
            status: self.status.clone(),
            update: None,
        }
    }

    pub(crate) fn sample(&self, path: &str, value: Value, s: u64) {
        self.sample_as(path, value, s, Quality::Good);
    }

    pub(crate) fn sample_as(&self, path: &str, value: Value, s: u64, quality: Quality) {
        let at = Stamp {
            boot: BootId(1),
            mono: Duration::from_secs(s),
        };
        let sample = Sample {
            quality,
            ..Sample::good(address(path), value, at)
        };
        self.status.on_samples(std::slice::from_ref(&sample));
        let mut script = self.script.lock().unwrap();
        script
            .samples
            .retain(|known| known.address != sample.address);
        script.samples.push(sample);
    }

    /// From now on every operation is refused so.
    pub(crate) fn reject(&self, reject: Reject) {
        self.script.lock().unwrap().reject = Some(reject);
    }

    /// Writes and executes that reached the loop.
    pub(crate) fn done(&self) -> Vec<LocalRequest> {
        self.script.lock().unwrap().done.clone()
    }

    pub(crate) fn server_actions(&self) -> Vec<String> {
        self.script.lock().unwrap().server_actions.clone()
    }
}

async fn answer(mut questions: mpsc::Receiver<Ask>, script: Arc<Mutex<Script>>) {
    while let Some(ask) = questions.recv().await {
        let mut script = script.lock().unwrap();
        match ask {
            Ask::DeviceErrors { .. } | Ask::DeviceZone { .. } => {}
            Ask::Bootstrap { user, reply } => {
                script.server_actions.push(format!("Bootstrap by {user}"));
                let _ = reply.send(script.reject.clone().map_or(Ok(()), Err));
            }
            Ask::Bearers { what, user, reply } => {
                script.server_actions.push(format!("{what} by {user}"));
                let _ = reply.send(script.reject.clone().map_or(Ok(()), Err));
            }
            Ask::Lock(request, reply) => {
                script.server_actions.push(format!("{request:?}"));
                let _ = reply.send(Ok(()));
            }
            Ask::Local(request, reply) => {
                let _ = reply.send(script.local(request));
            }
            Ask::Reload { user, reply } => {
                script.server_actions.push(format!("Reload by {user}"));
                let refused = script.reject.clone().map(|reject| reject.detail);
                let _ = reply.send(refused.map_or(Ok(()), Err));
            }
            Ask::Server {
                name,
                action,
                reply,
                ..
            } => {
                script.server_actions.push(format!("{action:?} {name}"));
                let _ = reply.send(Ok(()));
            }
            Ask::Send {
                paths,
                server,
                user,
                reply,
            } => {
                let paths: Vec<String> = paths.iter().map(Path::to_string).collect();
                let server = server.unwrap_or_else(|| "all".to_owned());
                let told = format!("Send {} to {server} by {user}", paths.join(" "));
                script.server_actions.push(told);
                let answer = script.reject.clone().map_or(Ok(LocalAnswer::Done), Err);
                let _ = reply.send(answer);
            }
            Ask::Tell {
                samples,
                server,
                reply,
            } => {
                let told = samples.iter().map(|sample| sample.address.to_string());
                let told = format!("Tell {server} {}", told.collect::<Vec<_>>().join(" "));
                script.server_actions.push(told);
                let answer = script.reject.clone().map_or(Ok(LocalAnswer::Done), Err);
                let _ = reply.send(answer);
            }
            Ask::Why(name, reply) => {
                let _ = reply.send((name == "lamps.l1").then(|| why(name)));
            }
        }
    }
}

impl Script {
    fn local(&mut self, request: LocalRequest) -> Result<LocalAnswer, Reject> {
        if let Some(reject) = &self.reject {
            return Err(reject.clone());
        }
        match request.operation {
            LocalOperation::Discover(_) => Ok(LocalAnswer::Links("</3303/0/5700>".to_owned())),
            LocalOperation::Read(path) => {
                let inside = |sample: &&Sample| path.contains(Path::Resource(sample.address.path));
                Ok(LocalAnswer::Samples(
                    self.samples.iter().filter(inside).cloned().collect(),
                ))
            }
            LocalOperation::Execute { .. } | LocalOperation::Write { .. } => {
                self.done.push(request);
                Ok(LocalAnswer::Done)
            }
        }
    }
}

fn why(name: String) -> Why {
    let slot = WhySlot {
        slot: Slot::Command,
        value: Value::Boolean(true),
        by: Origin::Server(Ssid(101)),
        since: Duration::from_secs(3),
        ends_in: None,
    };
    Why {
        name,
        commanded: Some(Value::Boolean(true)),
        in_effect: Some(Value::Boolean(true)),
        measured: None,
        slots: vec![slot],
        guard_left: None,
        held_by: None,
        limited: None,
        refused: None,
        rules: Vec::new(),
        result: "done".to_owned(),
    }
}

pub(crate) fn catalogue() -> Catalogue {
    let lamp = |number: u16| {
        let (command, level) = (format!("/3416/{number}/1"), format!("/3416/{number}/3"));
        PointEntry {
            feedback: Some(address(&level)),
            kind: PointKind::Lamp,
            device: "lamps".into(),
            ..point(&format!("lamps.l{number}"), &command, true)
        }
    };
    let limit = Limit {
        min: Some(16.0),
        max: Some(28.0),
        on_violation: OnViolation::Reject,
    };
    let setpoint = PointEntry {
        limit: Some(limit),
        ..point("ahu1.setpoint", "/3308/0/5900", true)
    };
    let device = |id, name: &str, adapter: &str| DeviceEntry {
        id: AdapterId(id),
        name: name.to_owned(),
        adapter: adapter.to_owned(),
    };
    Catalogue {
        definitions: Arc::new(definitions()),
        devices: vec![device(0, "ahu1", "modbus"), device(1, "lamps", "gpio")],
        endpoint: "cab-17".to_owned(),
        groups: vec![GroupEntry {
            name: "main_street".to_owned(),
            command: address("/3416/60000/1"),
            members: vec![address("/3416/1/1"), address("/3416/2/1")],
        }],
        points: vec![
            point("ahu1.supply_air", "/3303/0/5700", false),
            setpoint,
            lamp(1),
            lamp(2),
        ],
        parameters: Vec::new(),
        rules: None,
        servers: vec![ServerEntry {
            name: "main".to_owned(),
            ssid: Ssid(101),
            uri: "coap://lwm2m.example:5683".to_owned(),
            rights: lamplighter_lwm2m::access::Grants::default(),
        }],
    }
}

fn point(name: &str, path: &str, writable: bool) -> PointEntry {
    PointEntry {
        name: name.into(),
        device: "ahu1".into(),
        address: address(path),
        feedback: None,
        kind: PointKind::Value,
        limit: None,
        max_age: Some(Duration::from_secs(100)),
        unit: None,
        writable,
    }
}

fn address(path: &str) -> ResourceAddress {
    ResourceAddress {
        scope: Scope::Gateway,
        path: path.parse().unwrap(),
    }
}

fn definitions() -> Definitions {
    let mut definitions = Definitions::default();
    for (object, name, resources) in [
        (
            3303,
            "Temperature",
            vec![resource(
                5700,
                "Sensor Value",
                Operations::R,
                DataType::Float,
                "Cel",
            )],
        ),
        (
            3308,
            "Set Point",
            vec![resource(
                5900,
                "Set Point Value",
                Operations::RW,
                DataType::Float,
                "Cel",
            )],
        ),
        (
            3416,
            "Outdoor lamp controller",
            vec![
                resource(1, "Command", Operations::RW, DataType::Integer, "/100"),
                resource(3, "Dimming level", Operations::R, DataType::Integer, "/100"),
            ],
        ),
    ] {
        definitions.insert(ObjectDef {
            id: ObjectId(object),
            name: name.to_owned(),
            version: Version::V1_0,
            multiplicity: Multiplicity::Multiple,
            mandatory: false,
            resources: resources
                .into_iter()
                .map(|resource| (resource.id, resource))
                .collect(),
        });
    }
    definitions
}

fn resource(
    id: u16,
    name: &str,
    operations: Operations,
    data_type: DataType,
    unit: &str,
) -> ResourceDef {
    ResourceDef {
        id: ResourceId(id),
        name: name.to_owned(),
        operations,
        multiplicity: Multiplicity::Single,
        mandatory: true,
        data_type,
        range: (unit == "/100").then_some((0.0, 100.0)),
        unit: unit.to_owned(),
    }
}

/// A configuration from the text of its only file.
pub(crate) fn configured(text: &str) -> config::Config {
    let main = directory("configured").join("lamplighter.toml");
    crate::atomic::write(&main, text.as_bytes(), 0o600).unwrap();
    let source = config::Source {
        main,
        environment: Vec::new(),
        definitions: lamplighter_model::tables::standard(),
        hardware: config::Hardware::default(),
        templates: "/nowhere".into(),
    };
    let config::Checked { config, problems } = source.check();
    config.unwrap_or_else(|| panic!("{problems:?}"))
}

/// A bearer that nobody has tried yet.
pub(crate) fn bearer(id: u16, name: &str) -> BearerFacts {
    BearerFacts {
        id: BearerId(id),
        name: name.to_owned(),
        kind: BearerKind::Ethernet,
        interface: Some(format!("{name}0")),
        status: bearer::Status::Disconnected,
        reason: Some(Reason::Untried),
        since: now_at(10).stamp(),
        is_current: false,
        is_urgent_only: false,
        last_exchange: None,
        round_trip: None,
        address: None,
        is_metered: false,
        bytes_today: 0,
        bytes_month: 0,
        flaps: 0,
        meta: Meta::default(),
        link: None,
    }
}

/// The same in the configuration.
pub(crate) fn configured_bearer(name: &str) -> config::Bearer {
    let kind = BearerKind::Ethernet;
    config::Bearer {
        priority: 10,
        ..config::Bearer::new(name, kind)
    }
}

/// An answer over HTTP.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The answer to one request; `line` is method and target, each header ends its line.
    pub(crate) async fn to(
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        line: &str,
        headers: &str,
        body: &str,
    ) -> Self {
        let length = body.len();
        let head = format!(
            "{line} HTTP/1.1\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        // Refused before it is all sent, a large body meets a closed socket.
        let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        Self::of(&String::from_utf8(answer).unwrap())
    }

    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}
