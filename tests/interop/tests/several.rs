//! The agent as a user starts it, at servers of ours behind real sockets: several at once with rights,
//! Send, a kill in the middle, queue mode, old versions.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    net::UdpSocket,
    path::Path as File,
    sync::mpsc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lamplighter_coap::Code;
use lamplighter_interop::{agent::Agent, coap::Message, relay::Relay, scratch, write};
use lamplighter_lwm2m::format::{self, Content, ContentFormat, Node, RecordTime};
use lamplighter_model::{ObjectId, Path, Value, tables};
use lamplighter_sim::server::{
    Answer, Operation, ServerOptions, Side, WriteMode,
    net::{LwServerHandle, Observation, start},
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
};

/// Longer than anything takes on a busy machine.
const SOON: Duration = Duration::from_secs(30);

const BOX: &str = "tested";
const LAMP: &str = "/3416/1/1";
const LEVEL: &str = "/3416/1/3";

/// A server on a thread of its own, ended when dropped.
struct Managed {
    handle: LwServerHandle,
    runtime: Runtime,
    _stop: oneshot::Sender<()>,
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

impl Managed {
    fn start() -> Self {
        Self::with(ServerOptions::default())
    }

    /// One that knows these versions of LwM2M only.
    fn knowing(versions: &[&str]) -> Self {
        Self::with(ServerOptions {
            versions: versions
                .iter()
                .map(|version| (*version).to_owned())
                .collect(),
            ..ServerOptions::default()
        })
    }

    fn with(options: ServerOptions) -> Self {
        let (started, handle) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::spawn(move || {
            runtime().block_on(async {
                let local = "127.0.0.1:0".parse().unwrap();
                started.send(start(local, options).await.unwrap()).unwrap();
                let _ = stopped.await;
            });
        });
        Self {
            handle: handle.recv().unwrap(),
            runtime: runtime(),
            _stop: stop,
        }
    }

    fn uri(&self) -> String {
        format!("coap://{}", self.handle.local_addr())
    }

    fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime
            .block_on(async { tokio::time::timeout(SOON, what).await })
            .expect("the agent answers")
    }

    fn ask(&self, operation: Operation) -> Answer {
        self.wait(self.handle.request(BOX, operation)).unwrap()
    }

    fn read(&self, text: &str) -> Answer {
        self.ask(Operation::Read(path(text), None))
    }

    fn observe(&self, text: &str) -> Observation {
        self.wait(self.handle.observe(BOX, path(text), None))
            .unwrap()
    }

    /// Switches the lamp.
    fn switch(&self, level: i64) -> Code {
        let (value, format) = (Value::Integer(level), ContentFormat::SenmlCbor);
        let write = Operation::write_value(path(LAMP), value, format, WriteMode::Replace);
        self.ask(write.unwrap()).code
    }

    /// Operation and code of everything that the agent asked of the server, and the number of the
    /// last line of the log.
    fn asked(&self, after: u64) -> (Vec<(&'static str, String, String)>, u64) {
        let log = self.wait(self.handle.log(after));
        let last = log.last().map_or(after, |line| line.number);
        let asked = log
            .into_iter()
            .filter(|line| line.from == Side::Client && line.operation != "Notify")
            .map(|line| (line.operation, line.code_text(), line.detail))
            .collect();
        (asked, last)
    }
}

fn path(text: &str) -> Path {
    text.parse().unwrap()
}

/// A table `[server.NAME]`; `more` are further lines.
fn account(name: &str, uri: &str, short_id: u16, more: &str) -> String {
    format!(
        r#"
[server.{name}]
uri = "{uri}"
short_id = {short_id}
security = {{ mode = "none" }}
allow_unsecured = true
{more}
"#
    )
}

fn configuration(accounts: &[String]) -> String {
    let accounts = accounts.concat();
    format!(
        r#"
[client]
endpoint = "{BOX}"
{accounts}
[device.lamps]
adapter = "gpio"
backend = "sim"
point.l1 = {{ line = "GPIO5", instance = "/3416/1" }}
"#
    )
}

fn run(directory: &File, accounts: &[String]) -> Agent {
    Agent::run(directory, &configuration(accounts), &[])
}

/// The next notification that shows this.
fn told(server: &Managed, observation: &mut Observation, wanted: &Value) {
    loop {
        let answer = server.wait(observation.notifications.recv());
        let answer = answer.expect("the observation goes on");
        if answer.value() == Some(wanted) {
            return;
        }
    }
}

#[test]
fn a_server_without_the_right_reads_and_observes_but_does_not_switch() {
    let (a, b) = (Managed::start(), Managed::start());
    let directory = scratch("several-rights");
    let owner = account("a", &a.uri(), 101, "owner = true");
    let reader = account("b", &b.uri(), 102, r#"rights = { "*" = "R" }"#);
    let mut agent = run(&directory, &[owner.clone(), reader]);
    agent.registered_with(&["a", "b"], SOON);
    let mut watched = b.observe(LEVEL);
    assert!(watched.first.is_observed(), "{watched:?}");
    assert_eq!(a.switch(100), Code::CHANGED);
    told(&b, &mut watched, &Value::Integer(100));
    assert_eq!(b.read(LEVEL).value(), Some(&Value::Integer(100)));
    assert_eq!(b.switch(0), Code::UNAUTHORIZED);
    agent.logged(&["Refused", "102", LAMP, "4.01"], SOON);
    assert_eq!(a.read(LEVEL).value(), Some(&Value::Integer(100)));

    assert_eq!(agent.lines.signal("TERM"), Some(0));
    let rights = r#"rights = { "/3416" = "RWE", "*" = "R" }"#;
    let agent = run(&directory, &[owner, account("b", &b.uri(), 102, rights)]);
    agent.registered_with(&["a", "b"], SOON);
    assert_eq!(b.switch(0), Code::CHANGED);
    agent.until(&["read", LEVEL], SOON, |point| point["value"] == 0);
    assert_eq!(a.read(LEVEL).value(), Some(&Value::Integer(0)));
}

/// The text of LogData, as the server reads it.
fn log_of(server: &Managed, instance: u16) -> String {
    let answer = server.read(&format!("/20/{instance}/4014"));
    let Some(Value::Opaque(bytes)) = answer.value() else {
        panic!("{answer:?}");
    };
    String::from_utf8(bytes.clone()).unwrap()
}

fn execute(server: &Managed, text: &str) -> Code {
    server
        .ask(Operation::Execute(path(text), String::new()))
        .code
}

#[test]
fn what_was_refused_is_in_the_event_log_for_those_who_may_read_it() {
    let (a, b) = (Managed::start(), Managed::start());
    let directory = scratch("several-events");
    let accounts = [
        account("a", &a.uri(), 101, "owner = true"),
        account("b", &b.uri(), 102, r#"rights = { "/3416" = "R" }"#),
    ];
    let mut agent = run(&directory, &accounts);
    agent.registered_with(&["a", "b"], SOON);
    assert_eq!(b.switch(100), Code::UNAUTHORIZED);
    assert_eq!(b.read("/20/0/4014").code, Code::UNAUTHORIZED);
    let words = "refused /3416/1/1 by server b: write: 4.01";
    let log = log_of(&a, 0);
    assert!(log.contains(words), "{log}");
    assert!(
        log.contains("refused /20/0/4014 by server b: read: 4.01"),
        "{log}"
    );
    // People see the same.
    let events = agent.json(&["events"]);
    let is_it = |event: &serde_json::Value| {
        event["what"] == "refused" && event["about"] == LAMP && event["by"] == "server b"
    };
    assert!(events.as_array().unwrap().iter().any(is_it), "{events}");

    // The owner stops the log; that and what was collected are there after a kill.
    assert_eq!(execute(&a, "/20/0/4012"), Code::CHANGED);
    assert_eq!(b.switch(100), Code::UNAUTHORIZED);
    assert_eq!(a.read("/20/0/4013").value(), Some(&Value::Integer(0b11)));
    assert_eq!(agent.lines.signal("KILL"), None);
    let agent = Agent::rerun(&directory, &[]);
    agent.registered_with(&["a", "b"], SOON);
    assert_eq!(a.read("/20/0/4013").value(), Some(&Value::Integer(0b11)));
    let log = log_of(&a, 0);
    assert_eq!(log.matches(words).count(), 1, "{log}");
    let everything = log_of(&a, 1);
    assert_eq!(everything.matches(words).count(), 2, "{everything}");
    // Started anew it is empty.
    assert_eq!(execute(&a, "/20/0/4011"), Code::CHANGED);
    assert_eq!(a.read("/20/0/4013").value(), Some(&Value::Integer(0)));
    assert_eq!(b.switch(100), Code::UNAUTHORIZED);
    assert!(log_of(&a, 0).contains(words));
}

#[test]
fn where_the_box_is_and_what_feeds_it_are_told_by_the_daemon() {
    let (a, b) = (Managed::start(), Managed::start());
    let directory = scratch("several-location");
    let here = r#"
[client]
location = true
power_sources = ["ac"]
[site]
position = { lat = 52.52, lon = 13.4 }
[device.ups]
adapter = "sim"
point.voltage = { resource = "/3/0/7", value = 27400 }
"#;
    write(&directory.join("conf.d/20-here.toml"), here);
    let accounts = [
        account("a", &a.uri(), 101, "owner = true"),
        account("b", &b.uri(), 102, r#"rights = { "*" = "R" }"#),
    ];
    let agent = run(&directory, &accounts);
    agent.registered_with(&["a", "b"], SOON);
    agent.until(&["read", "/6/0/5"], SOON, |time| time["value"].is_number());
    assert_eq!(a.read("/6/0/0").value(), Some(&Value::Float(52.52)));
    assert_eq!(b.read("/6/0/0").code, Code::UNAUTHORIZED);
    let discover = |server: &Managed| server.ask(Operation::Discover(path("/6"))).code;
    assert_eq!(
        (discover(&a), discover(&b)),
        (Code::CONTENT, Code::NOT_FOUND)
    );
    agent.until(&["read", "/3/0/7"], SOON, |volts| {
        volts[0]["value"] == 27_400
    });
    for server in [&a, &b] {
        let volts = server.read("/3/0/7").nodes;
        let shown = volts.iter().any(|node| match &node.content {
            Content::Multiple(values) => values
                .iter()
                .any(|(_, value)| *value == Value::Integer(27_400)),
            Content::Single(_) => false,
        });
        assert!(shown, "{volts:?}");
        assert_eq!(server.read("/3/0/6").code, Code::CONTENT);
    }
}

#[test]
fn a_dead_server_costs_the_others_nothing() {
    let a = Managed::start();
    let relay = Relay::start(&a.uri());
    // It listens and says nothing.
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("coap://{}", dead.local_addr().unwrap());
    let accounts = [
        account("a", &relay.uri(), 101, "owner = true"),
        account("b", &nowhere, 102, r#"rights = { "*" = "R" }"#),
    ];
    let agent = run(&scratch("several-dead"), &accounts);
    agent.registered_with(&["a"], SOON);
    let before = relay.sent();
    for round in 0..50 {
        assert_eq!(a.switch(round % 2 * 100), Code::CHANGED);
    }
    let answers = relay.sent() - before;
    assert_eq!(
        answers, 50,
        "every request has one answer, none was repeated"
    );
    let state = agent.json(&["status"])["servers"][1]["state"].clone();
    assert_eq!(state, "registering");
}

/// Times of the values in what the agent sent to /dp since.
fn sent_times(relay: &Relay, first: usize) -> Vec<(String, Option<RecordTime>)> {
    let definitions = tables::standard();
    let messages = relay.sent_since(first);
    let messages = messages.iter().map(|bytes| Message::decode(bytes));
    let sends = messages.filter(|message| message.code == 2 && message.values(11) == ["dp"]);
    sends
        .flat_map(|message| {
            let number = message
                .options
                .iter()
                .find(|option| option.0 == 12)
                .unwrap();
            let number = number
                .1
                .iter()
                .fold(0, |sum, byte| sum << 8 | u16::from(*byte));
            let format = ContentFormat::from_number(number).unwrap();
            let decoded = format::decode(format, Path::Root, "", &message.payload, &definitions);
            decoded.unwrap().nodes
        })
        .map(|node| (Path::Resource(node.path).to_string(), node.time))
        .collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the date that the agent shows")]
fn send_reaches_the_server_with_the_time_and_a_muted_one_is_refused() {
    let (a, b) = (Managed::start(), Managed::start());
    let relay = Relay::start(&a.uri());
    let rights = "mute_send = true\nrights = { \"*\" = \"R\" }";
    let accounts = [
        account("a", &relay.uri(), 101, "owner = true"),
        account("b", &b.uri(), 102, rights),
    ];
    let agent = run(&scratch("several-send"), &accounts);
    agent.registered_with(&["a", "b"], SOON);
    assert_eq!(a.switch(100), Code::CHANGED);
    agent.until(&["read", LEVEL], SOON, |point| point["value"] == 100);
    let (first, (_, last)) = (relay.sent(), a.asked(0));
    let output = agent.cli(&["send", LEVEL, "--server", "a"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let (asked, _) = a.asked(last);
    let sent = ("Send", "2.04".to_owned(), "100".to_owned());
    assert!(asked.contains(&sent), "{asked:?}");
    let times = sent_times(&relay, first);
    let [(resource, Some(RecordTime::Absolute(time)))] = times.as_slice() else {
        panic!("{times:?}");
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert_eq!(resource, LEVEL);
    let age = i64::try_from(now.as_millis()).unwrap() - time.0;
    assert!((0..120_000).contains(&age), "{age} ms ago");

    let output = agent.cli(&["send", LEVEL, "--server", "b"]);
    let words = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert_eq!(output.status.code(), Some(5), "{words}");
    assert!(words.contains("takes no send"), "{words}");
    assert!(b.asked(0).0.iter().all(|line| line.0 != "Send"));
}

#[test]
fn what_a_server_made_and_asked_for_survives_a_kill() {
    let a = Managed::start();
    let relay = Relay::start(&a.uri());
    let directory = scratch("several-kill");
    let accounts = [account("a", &relay.uri(), 101, "")];
    let mut agent = run(&directory, &accounts);
    agent.registered_with(&["a"], SOON);
    let nodes = [(0, "cabinet 17"), (1, "north")]
        .map(|(index, text)| (index, Value::String(text.to_owned())));
    let Path::Resource(identity) = path("/16/3/0") else {
        unreachable!("a resource")
    };
    let create = Operation::Create {
        object: ObjectId(16),
        nodes: vec![Node {
            path: identity,
            content: Content::Multiple(
                nodes
                    .map(|(index, value)| (lamplighter_model::ResourceInstanceId(index), value))
                    .to_vec(),
            ),
            time: None,
        }],
        format: ContentFormat::SenmlCbor,
    };
    assert_eq!(a.ask(create).code, Code::CREATED);
    let attributes = ["pmin=0", "pmax=3600"].map(str::to_owned).to_vec();
    let write = Operation::WriteAttributes(path(LEVEL), attributes);
    assert_eq!(a.ask(write).code, Code::CHANGED);
    let mut watched = a.observe(LEVEL);
    assert!(watched.first.is_observed(), "{watched:?}");
    let (made, links) = (
        a.read("/16/3").nodes,
        a.ask(Operation::Discover(path("/3416/1"))).links,
    );
    assert!(!made.is_empty());
    let (_, last) = a.asked(0);

    agent.lines.signal("KILL");
    let agent = Agent::rerun(&directory, &[]);
    agent.registered_with(&["a"], SOON);
    let (asked, _) = a.asked(last);
    let operations: Vec<_> = asked.iter().map(|line| (line.0, line.1.as_str())).collect();
    assert!(operations.contains(&("Update", "2.04")), "{asked:?}");
    assert!(
        operations.iter().all(|line| line.0 != "Register"),
        "{asked:?}"
    );
    assert_eq!(a.read("/16/3").nodes, made);
    assert_eq!(a.ask(Operation::Discover(path("/3416/1"))).links, links);
    assert!(
        links
            .iter()
            .any(|link| link.target == LEVEL && link.attribute("pmax") == Some("3600")),
        "{links:?}"
    );
    assert_eq!(agent.cli(&["on", "lamps.l1"]).status.code(), Some(0));
    told(&a, &mut watched, &Value::Integer(100));
}

#[test]
fn a_reload_keeps_registration_observation_and_lamp_and_takes_up_what_is_new() {
    let a = Managed::start();
    // Another socket is another address, which is not to be seen here.
    let relay = Relay::start(&a.uri());
    let directory = scratch("several-reload");
    let agent = run(&directory, &[account("a", &relay.uri(), 101, "")]);
    agent.registered_with(&["a"], SOON);
    assert_eq!(a.switch(100), Code::CHANGED);
    let mut watched = a.observe(LEVEL);
    assert_eq!(watched.first.value(), Some(&Value::Integer(100)));
    let (_, last) = a.asked(0);

    let more = directory.join("conf.d/20-more.toml");
    write(&more, "[device.more]\nadaptr = \"sim\"\n");
    assert_eq!(agent.post("reload", ""), 409);
    let status = agent.json(&["status"]);
    assert!(
        status["problems"].to_string().contains("20-more.toml"),
        "{status}"
    );
    assert_eq!(a.read(LEVEL).value(), Some(&Value::Integer(100)));

    let point = "point.t = { resource = \"/3303/0/5700\", value = 21.5 }";
    write(
        &more,
        format!("[device.more]\nadapter = \"sim\"\n{point}\n"),
    );
    assert_eq!(agent.post("reload", ""), 200);
    agent.until(&["read", "/3303/0/5700"], SOON, |point| {
        point["value"] == 21.5
    });
    agent.registered_with(&["a"], SOON);
    let (asked, _) = a.asked(last);
    let operations: Vec<_> = asked.iter().map(|line| (line.0, line.1.as_str())).collect();
    assert!(operations.contains(&("Update", "2.04")), "{asked:?}");
    let is_left = |line: &(&str, &str)| matches!(line.0, "Register" | "De-register");
    assert!(!operations.iter().any(is_left), "{asked:?}");
    assert_eq!(a.read("/3303/0/5700").value(), Some(&Value::Float(21.5)));
    let problems = agent.json(&["status"])["problems"].to_string();
    assert!(!problems.contains("reload"), "{problems}");
    assert_eq!(a.read(LEVEL).value(), Some(&Value::Integer(100)));
    while let Ok(told) = watched.notifications.try_recv() {
        let on = Some(&Value::Integer(100));
        assert_eq!(told.value(), on, "the lamp was never off");
    }
    assert_eq!(a.switch(0), Code::CHANGED);
    told(&a, &mut watched, &Value::Integer(0));
}

#[test]
fn queue_mode_and_version_are_said_as_the_server_knows_them() {
    let cases = [
        (["1.0", "1.1", "1.2"].as_slice(), "1.2", ("U", true), 1),
        (&["1.0", "1.1"], "1.1", ("U", true), 2),
        (&["1.0"], "1.0", ("UQ", false), 3),
    ];
    for (versions, version, (binding, is_queue_mode), registers) in cases {
        let a = Managed::knowing(versions);
        let accounts = [account("a", &a.uri(), 101, "queue_mode = true")];
        let agent = run(&scratch(&format!("several-version-{version}")), &accounts);
        let client = a.wait(a.handle.registered(Some(BOX))).unwrap();
        assert_eq!(client.version, version);
        assert_eq!(
            (client.binding.as_str(), client.is_queue_mode),
            (binding, is_queue_mode)
        );
        let (asked, _) = a.asked(0);
        let codes: Vec<_> = asked.iter().map(|line| line.1.as_str()).collect();
        assert_eq!(codes.len(), registers, "{asked:?}");
        let (last, refused) = codes.split_last().unwrap();
        assert_eq!(*last, "2.01");
        assert!(refused.iter().all(|code| *code == "4.12"), "{asked:?}");
        agent.registered_with(&["a"], SOON);
        assert_eq!(agent.json(&["server", "list"])[0]["version"], version);
        assert_eq!(a.read("/3/0/17").code, Code::CONTENT);
    }
}

#[test]
fn people_see_whether_the_box_sleeps_for_a_server() {
    let (a, b) = (Managed::start(), Managed::start());
    // The box is awake for 0.1 s after the last message, where nothing is repeated.
    let quick = |name| {
        format!(
            "queue_mode = true\n[server.{name}.coap]\nack_timeout_s = 0.1\nack_random_factor = 1.0\nmax_retransmit = 0"
        )
    };
    let rights = "rights = { \"*\" = \"R\" }";
    let accounts = [
        account("a", &a.uri(), 101, &format!("owner = true\n{}", quick("a"))),
        account("b", &b.uri(), 102, rights),
    ];
    let agent = run(&scratch("several-asleep"), &accounts);
    agent.registered_with(&["a", "b"], SOON);
    let servers = agent.until(&["server", "list"], SOON, |servers| {
        servers[0]["asleep"] == true
    });
    assert_eq!(servers[1]["asleep"], false, "{servers}");
    let status = agent.json(&["status"]);
    assert_eq!(status["servers"][0]["asleep"], true, "{status}");
    assert_eq!(
        a.read("/3/0/17").code,
        Code::CONTENT,
        "it hears all the same"
    );
}
