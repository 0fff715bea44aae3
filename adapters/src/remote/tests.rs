use std::sync::{Arc, Mutex};

use lamplighter_model::{
    BootId, Quality, Stamp, UnixTime, Value,
    device::{Action, AdapterEvent, AdapterRequest, Answer, LinkState, OpId},
    tables,
};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream},
    time::{sleep, timeout},
};

use super::*;
use crate::{AdapterHandle, Port, supervise};

const FLOW: ResourceAddress = ResourceAddress::gateway(3303, 0, 5700);
const SETPOINT: ResourceAddress = ResourceAddress::gateway(3308, 0, 5900);
const ROOM: ResourceAddress = ResourceAddress::gateway(3303, 7, 5700);
const RESET: ResourceAddress = ResourceAddress::gateway(3303, 7, 5605);

type Shelf = Arc<Mutex<Option<Kept>>>;

struct OnShelf(Shelf);

impl Keep for OnShelf {
    fn keep(&self, kept: Kept) {
        *self.0.lock().unwrap() = Some(kept);
    }
}

/// A device under its supervisor, and the door that programs come through.
struct Rig {
    handle: AdapterHandle,
    door: mpsc::Sender<Visitor<DuplexStream>>,
    stats: watch::Receiver<RemoteStats>,
    shelf: Shelf,
}

/// A program, with the lines that it is told.
struct Program {
    lines: tokio::io::Lines<BufReader<tokio::io::ReadHalf<DuplexStream>>>,
    writer: tokio::io::WriteHalf<DuplexStream>,
}

fn config(limits: RemoteLimits) -> RemoteConfig {
    let point = |name: &str, address, is_writable, ask| RemotePoint {
        name: format!("boiler.{name}"),
        address,
        data_type: DataType::Float,
        unit: "Cel".to_owned(),
        is_writable,
        ask,
    };
    RemoteConfig {
        device: "boiler".to_owned(),
        points: vec![
            point("flow", FLOW, false, false),
            point("setpoint", SETPOINT, true, true),
        ],
        grants: vec!["/3303".parse().unwrap(), "/3342/5".parse().unwrap()],
        taken: BTreeSet::from([ResourceAddress::gateway(3303, 9, 5700)]),
        definitions: Arc::new(tables::standard()),
        limits,
    }
}

fn start(limits: RemoteLimits) -> Rig {
    restart(limits, Kept::default())
}

fn restart(limits: RemoteLimits, kept: Kept) -> Rig {
    let begin = Instant::now();
    let clock = Clock::new(move || Stamp {
        boot: BootId(1),
        mono: begin.elapsed(),
    });
    let shelf = Shelf::default();
    let keeper = Box::new(OnShelf(Arc::clone(&shelf)));
    let (remote, door) = Remote::new(config(limits), kept, keeper, clock.clone());
    let stats = remote.stats();
    let (handle, port) = Port::pair();
    tokio::spawn(supervise(remote, port, clock, limits.supervised()));
    Rig {
        handle,
        door,
        stats,
        shelf,
    }
}

impl Rig {
    /// A program that was let in.
    async fn program(&self) -> Program {
        let (ours, theirs) = tokio::io::duplex(4096);
        let visitor = Visitor {
            hello: line::hello(br#"{"type":"hello","version":1,"device":"boiler","program":"p"}"#)
                .unwrap(),
            wire: Wire::new(ours),
            user: "eva".to_owned(),
        };
        self.door.send(visitor).await.unwrap();
        let (reader, writer) = tokio::io::split(theirs);
        Program {
            lines: BufReader::new(reader).lines(),
            writer,
        }
    }

    fn request(&self, op: u64, action: Action) {
        let op = OpId(op);
        self.handle.try_send(AdapterRequest { op, action }).unwrap();
    }

    fn read(&self, op: u64, address: ResourceAddress) {
        self.request(op, Action::Read(vec![address]));
    }

    fn write(&self, op: u64, value: f64) {
        self.write_value(op, Value::Float(value));
    }

    fn write_value(&self, op: u64, value: Value) {
        let value = Assignment {
            address: SETPOINT,
            index: None,
            value,
        };
        let values = vec![value];
        self.request(op, Action::Write { values, hold: None });
    }

    async fn event(&mut self) -> AdapterEvent {
        let event = timeout(Duration::from_secs(100), self.handle.events.recv()).await;
        event.expect("there is news").unwrap()
    }

    async fn done(&mut self, op: u64) -> Result<Answer, Fault> {
        loop {
            if let AdapterEvent::Done(OpId(done), result) = self.event().await {
                assert_eq!(done, op);
                return result;
            }
        }
    }

    async fn changed(&mut self) -> Vec<Sample> {
        loop {
            if let AdapterEvent::Changed(samples) = self.event().await {
                return samples;
            }
        }
    }

    async fn declared(&mut self) -> Declared {
        loop {
            if let AdapterEvent::Declared(declared) = self.event().await {
                return declared;
            }
        }
    }

    async fn link(&mut self, awaited: LinkState) -> String {
        loop {
            if let AdapterEvent::Link(state, words) = self.event().await
                && state == awaited
            {
                return words;
            }
        }
    }

    fn counted(&self, kind: &str) -> u64 {
        let stats = self.stats.borrow();
        stats.counts.get(kind).copied().unwrap_or_default()
    }
}

impl Program {
    async fn say(&mut self, line: Json) {
        self.say_text(&line.to_string()).await;
    }

    async fn say_text(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.writer.write_all(line.as_bytes()).await.unwrap();
    }

    async fn told(&mut self) -> Json {
        let line = self.lines.next_line().await.unwrap();
        serde_json::from_str(&line.expect("the connection is open")).unwrap()
    }

    /// The next line of this type.
    async fn told_of(&mut self, kind: &str) -> Json {
        loop {
            let told = self.told().await;
            if told["type"] == kind {
                return told;
            }
        }
    }

    async fn is_closed(&mut self) -> bool {
        matches!(self.lines.next_line().await, Ok(None) | Err(_))
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_is_told_what_it_serves_and_tells_samples() {
    let mut rig = start(RemoteLimits::default());
    let mut program = rig.program().await;
    let welcome = program.told().await;
    assert_eq!(welcome["type"], "welcome");
    assert_eq!(welcome["points"][0]["path"], "/3303/0/5700");
    assert_eq!(welcome["points"][1]["write"], true);
    assert_eq!(welcome["grants"], json!(["/3303", "/3342/5"]));
    rig.link(LinkState::Online).await;
    program
        .say_text(
            r#"{"type":"samples","samples":[{"path":"/3303/0/5700","value":21.50,"unit":"Cel","time":1700000000.5}]}"#,
        )
        .await;
    let samples = rig.changed().await;
    assert_eq!(samples[0].address, FLOW);
    assert_eq!(
        samples[0].value,
        Value::Decimal(lamplighter_model::Decimal::new(215, -1))
    );
    assert_eq!(samples[0].source_time, Some(UnixTime(1_700_000_000_500)));
    assert_eq!(samples[0].quality, Quality::Good);
    rig.read(1, FLOW);
    assert_eq!(rig.done(1).await.unwrap().samples, samples);
    let program = rig.stats.borrow().program.clone();
    assert_eq!(program.as_deref(), Some("p of eva"));
}

#[tokio::test(start_paused = true)]
async fn reads_writes_and_executes_are_told_and_answered() {
    let mut rig = start(RemoteLimits::default());
    let mut program = rig.program().await;
    program.told_of("welcome").await;
    rig.read(1, SETPOINT);
    let read = program.told_of("read").await;
    assert_eq!(read["paths"], json!(["/3308/0/5900"]));
    assert_eq!(read["deadline_ms"], 3000);
    assert_eq!(read["deadline_uptime_ms"], 3000);
    let sample = json!({"path": "/3308/0/5900", "value": 20});
    program
        .say(json!({"type": "done", "id": read["id"], "samples": [sample]}))
        .await;
    let answer = rig.done(1).await.unwrap();
    assert_eq!(answer.samples[0].value.as_f64(), Some(20.0));
    rig.write(2, 22.5);
    sleep(Duration::from_secs(2)).await;
    let write = program.told_of("write").await;
    assert_eq!(write["deadline_uptime_ms"], 3000, "it was told before");
    assert_eq!(
        write["values"],
        json!([{"path": "/3308/0/5900", "value": 22.5}])
    );
    let sample = json!({"path": "/3308/0/5900", "value": 22.5});
    program
        .say(json!({"type": "done", "id": write["id"], "samples": [sample]}))
        .await;
    rig.done(2).await.unwrap();
    rig.write(3, 99.0);
    let write = program.told_of("write").await;
    program
        .say(
            json!({"type": "failed", "id": write["id"], "cause": "bad_value", "reason": "too hot"}),
        )
        .await;
    assert_eq!(
        rig.done(3).await,
        Err(Fault::BadValue("too hot".to_owned()))
    );
    program
        .say(json!({"type": "declare", "added": [{"path": "/3303/7/5605", "execute": true}]}))
        .await;
    rig.declared().await;
    let action = Action::Execute {
        resource: RESET,
        args: b"0='x'".to_vec(),
    };
    rig.request(4, action);
    let execute = program.told_of("execute").await;
    assert_eq!(
        (&execute["path"], &execute["args"]),
        (&json!("/3303/7/5605"), &json!("0='x'"))
    );
    program
        .say(json!({"type": "done", "id": execute["id"]}))
        .await;
    rig.done(4).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_not_read_from_before() {
    let mut rig = start(RemoteLimits::default());
    let mut program = rig.program().await;
    program.told_of("welcome").await;
    rig.read(1, SETPOINT);
    let read = program.told_of("read").await;
    let sample = json!({"path": "/3308/0/5900", "value": 20});
    program
        .say(json!({"type": "done", "id": read["id"], "samples": [sample]}))
        .await;
    rig.done(1).await.unwrap();
    rig.write(2, 22.0);
    let write = program.told_of("write").await;
    program
        .say(json!({"type": "done", "id": write["id"]}))
        .await;
    rig.done(2).await.unwrap();
    let read = program.told_of("read").await;
    let sample = json!({"path": "/3308/0/5900", "value": 22});
    program
        .say(json!({"type": "done", "id": read["id"], "samples": [sample]}))
        .await;
    assert_eq!(rig.changed().await[0].value.as_f64(), Some(22.0));
}

#[tokio::test(start_paused = true)]
async fn a_program_declares_what_it_is_granted_and_nothing_else() {
    let mut rig = start(RemoteLimits {
        resources: 2,
        ..RemoteLimits::default()
    });
    let mut program = rig.program().await;
    program.told_of("welcome").await;
    assert_eq!(rig.declared().await.added.len(), 2);
    let added: Vec<Json> = [
        "/3303/7/5700",
        "/3303/9/5700",
        "/3300/0/5700",
        "/3303/7/9999",
        "/3303/7",
        "/3342/5/5500",
        "/3303/8/5700",
    ]
    .iter()
    .map(|path| json!({"path": path, "read": true}))
    .collect();
    program
        .say(json!({"type": "declare", "added": added}))
        .await;
    let declared = rig.declared().await;
    let addresses: Vec<_> = declared.added.iter().map(|added| added.address).collect();
    assert_eq!(addresses, [ROOM, ResourceAddress::gateway(3342, 5, 5500)]);
    let error = program.told_of("error").await;
    let reasons: Vec<_> = error["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refusal| (refusal["path"].clone(), refusal["reason"].clone()))
        .collect();
    let expected = [
        (
            "/3303/9/5700",
            "it belongs to another device, or the agent tells it",
        ),
        ("/3300/0/5700", "the configuration does not grant it"),
        ("/3303/7/9999", "no definition of it is known"),
        (
            "/3303/7",
            "it names no resource, or an instance of one that has none, or lacks that",
        ),
        ("/3303/8/5700", "there are too many"),
    ];
    assert_eq!(
        reasons,
        expected.map(|(path, reason)| (json!(path), json!(reason)))
    );
    assert_eq!((rig.counted("not_granted"), rig.counted("taken")), (1, 1));
    program
        .say(json!({"type": "declare", "all": true, "added": [{"path": "/3303/7/5700"}]}))
        .await;
    assert_eq!(
        rig.declared().await.removed,
        [ResourceAddress::gateway(3342, 5, 5500)]
    );
}

#[tokio::test(start_paused = true)]
async fn samples_of_another_type_unit_or_name_are_refused_one_by_one() {
    let mut rig = start(RemoteLimits::default());
    let mut program = rig.program().await;
    program.told_of("welcome").await;
    program
        .say(json!({"type": "samples", "samples": [
            {"path": "/3303/0/5700", "value": "warm"},
            {"path": "/3303/0/5700", "value": true},
            {"path": "/3303/0/5700", "value": 70, "unit": "[degF]"},
            {"path": "/3303/7/5700", "value": 20},
            {"path": "/3303/0/5700/1", "value": 20},
            {"path": "/3303/0/5700", "value": 20, "time": "now"},
            {"path": "/3303/0/5700", "value": 21},
        ]}))
        .await;
    let samples = rig.changed().await;
    assert_eq!((samples.len(), samples[0].value.as_f64()), (1, Some(21.0)));
    let error = program.told_of("error").await;
    assert_eq!(error["line"], 2);
    assert_eq!(error["refused"].as_array().unwrap().len(), 6);
    let counted = [
        "wrong_type",
        "wrong_unit",
        "not_declared",
        "no_path",
        "bad_time",
    ];
    assert_eq!(counted.map(|kind| rig.counted(kind)), [2, 1, 1, 1, 1]);
    let complaint = rig.stats.borrow().complaint.clone();
    assert_eq!(
        complaint.as_deref(),
        Some("/3303/0/5700: its value is of another type")
    );
    program
        .say(json!({"type": "samples", "samples": [
            {"path": "/3303/0/5700", "value": null, "quality": "bad"}
        ]}))
        .await;
    let samples = rig.changed().await;
    assert_eq!(samples[0].quality, Quality::Bad);
    assert_eq!(samples[0].value.as_f64(), Some(21.0));
}

#[tokio::test(start_paused = true)]
async fn lines_that_are_none_are_answered_and_too_many_end_the_connection() {
    let mut rig = start(RemoteLimits::default());
    let mut program = rig.program().await;
    program.told_of("welcome").await;
    rig.link(LinkState::Online).await;
    program.say_text("{\"type\":").await;
    assert_eq!(program.told_of("error").await["line"], 2);
    for _ in 0..ERRORS_MAX {
        program.say_text("{}").await;
    }
    let closing = program.told_of("closing").await;
    let words = "its program said more than 20 wrong lines in a minute";
    assert_eq!(closing["reason"], words);
    assert!(program.is_closed().await);
    assert_eq!(rig.link(LinkState::Offline).await, words);
    assert_eq!(rig.counted("garbled"), 21);
    let mut hasty = rig.program().await;
    hasty.told_of("closing").await;
    sleep(PAUSE).await;
    rig.program().await.told_of("welcome").await;
}

#[tokio::test(start_paused = true)]
async fn a_line_without_end_ends_the_connection() {
    let mut rig = start(RemoteLimits {
        samples_per_s: 1_000_000,
        ..RemoteLimits::default()
    });
    let mut program = rig.program().await;
    program.told_of("welcome").await;
    let flood = vec![b'x'; LINE_MAX + 2 * 8192];
    let _ = program.writer.write_all(&flood).await;
    let words = "its program says a line longer than 65536 bytes";
    assert_eq!(program.told_of("closing").await["reason"], words);
    assert_eq!(rig.link(LinkState::Offline).await, words);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_floods_waits_and_nothing_is_lost() {
    let mut rig = start(RemoteLimits {
        samples_per_s: 50,
        ..RemoteLimits::default()
    });
    let mut program = rig.program().await;
    program.told_of("welcome").await;
    let begin = Instant::now();
    let flood = tokio::spawn(async move {
        for value in 0..500 {
            let sample = json!({"path": "/3303/0/5700", "value": value});
            program
                .say(json!({"type": "samples", "samples": [sample]}))
                .await;
        }
        program
    });
    let mut values = Vec::new();
    while values.len() < 500 {
        let samples = rig.changed().await;
        values.extend(samples.iter().filter_map(|sample| sample.value.as_f64()));
    }
    assert!(values.iter().copied().eq((0..500).map(f64::from)));
    let took = begin.elapsed().as_secs_f64();
    assert!(
        (8.9..9.2).contains(&took),
        "500 at 50 per s after a burst of 50: {took}"
    );
    assert!(rig.counted("held_back") > 0);
    assert_eq!(rig.counted("dropped"), 0);
    flood.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_question_without_answer_ends_in_time_and_a_late_or_second_answer_is_of_no_use() {
    let mut rig = start(RemoteLimits::default());
    let mut program = rig.program().await;
    program.told_of("welcome").await;
    rig.link(LinkState::Online).await;
    rig.write(1, 20.0);
    let write = program.told_of("write").await;
    assert_eq!(rig.done(1).await, Err(Fault::Timeout));
    assert_eq!(program.told_of("expired").await["id"], write["id"]);
    let late = json!({"type": "done", "id": write["id"], "samples": [
        {"path": "/3308/0/5900", "value": 20}]});
    program.say(late.clone()).await;
    rig.write(2, 21.0);
    let write = program.told_of("write").await;
    let done = json!({"type": "done", "id": write["id"]});
    program.say(done.clone()).await;
    program.say(done).await;
    rig.done(2).await.unwrap();
    program.say(json!({"type": "done", "id": 4711})).await;
    let error = program.told_of("error").await;
    assert_eq!(error["reason"], "nothing of this number was asked");
    assert_eq!(rig.counted("late_answer"), 2);
    assert_eq!(rig.counted("unanswered"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_hangs_is_given_up_and_another_one_may_come() {
    let mut rig = start(RemoteLimits::default());
    let mut program = rig.program().await;
    program.told_of("welcome").await;
    let sample = json!({"path": "/3303/0/5700", "value": 20});
    program
        .say(json!({"type": "samples", "samples": [sample]}))
        .await;
    rig.changed().await;
    let mut second = rig.program().await;
    let reason = second.told().await["reason"].clone();
    assert_eq!(reason, "another program serves this device");
    assert_eq!(program.told().await["type"], "alive");
    let words = rig.link(LinkState::Offline).await;
    assert_eq!(words, "its program was silent for 30 s");
    let stale = rig.changed().await;
    assert_eq!(
        (stale[0].quality, stale[0].value.as_f64()),
        (Quality::Stale, Some(20.0))
    );
    rig.read(1, FLOW);
    assert_eq!(rig.done(1).await, Err(Fault::Unreachable));
    program.told_of("closing").await;
    sleep(PAUSE).await;
    rig.program().await.told_of("welcome").await;
    rig.link(LinkState::Online).await;
}

#[tokio::test(start_paused = true)]
async fn a_program_that_goes_in_the_middle_of_a_question_fails_it_at_once() {
    let mut rig = start(RemoteLimits::default());
    let mut program = rig.program().await;
    program.told_of("welcome").await;
    rig.write(1, 20.0);
    program.told_of("write").await;
    let before = Instant::now();
    drop(program);
    assert_eq!(rig.done(1).await, Err(Fault::Unreachable));
    assert_eq!(before.elapsed(), Duration::ZERO);
    let words = rig.link(LinkState::Offline).await;
    assert_eq!(words, "its program has gone");
}

#[tokio::test(start_paused = true)]
async fn the_program_says_whether_its_device_answers() {
    let mut rig = start(RemoteLimits::default());
    let mut program = rig.program().await;
    program.told_of("welcome").await;
    program
        .say(json!({"type": "link", "state": "offline", "reason": "cable\nbroken"}))
        .await;
    let words = rig.link(LinkState::Offline).await;
    assert_eq!(
        words,
        "its program says that it does not answer: cable broken"
    );
    rig.write(1, 20.0);
    assert_eq!(rig.done(1).await, Err(Fault::Unreachable));
    program
        .say(json!({"type": "link", "state": "online"}))
        .await;
    rig.link(LinkState::Online).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_program_has_declared_outlives_it_and_this_program_and_is_stale() {
    let mut rig = start(RemoteLimits::default());
    let mut program = rig.program().await;
    program.told_of("welcome").await;
    program
        .say(json!({"type": "declare", "added": [{"path": "/3303/7/5700", "write": true, "read": true}]}))
        .await;
    let sample = json!({"path": "/3303/7/5700", "value": 19.5});
    program
        .say(json!({"type": "samples", "samples": [sample]}))
        .await;
    rig.changed().await;
    drop(program);
    rig.link(LinkState::Offline).await;
    sleep(PAUSE).await;
    let mut program = rig.program().await;
    let welcome = program.told_of("welcome").await;
    assert_eq!(welcome["kept"], json!(["/3303/7/5700"]));
    let shelf = Arc::clone(&rig.shelf);
    drop(rig);
    drop(program);
    // The supervisor sees that its queues are gone.
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    let kept = shelf.lock().unwrap().take().expect("it was kept");
    let mut rig = restart(RemoteLimits::default(), kept.clone());
    let declared = rig.declared().await;
    let room = declared.added.iter().find(|added| added.address == ROOM);
    assert!(room.is_some_and(|room| room.operations.write));
    let samples = rig.changed().await;
    assert_eq!(
        (samples[0].address, samples[0].quality),
        (ROOM, Quality::Stale)
    );
    assert_eq!(rig.link(LinkState::Offline).await, "no program serves it");
    let mut foreign = kept;
    foreign.resources[0].address = ResourceAddress::gateway(3300, 0, 5700);
    let mut rig = restart(RemoteLimits::default(), foreign);
    assert_eq!(
        rig.declared().await.added.len(),
        2,
        "what is not granted any more is gone"
    );
}

#[tokio::test(start_paused = true)]
async fn a_program_that_does_not_read_is_let_go() {
    let mut rig = start(RemoteLimits {
        samples_per_s: 1_000_000,
        silence: Duration::from_secs(3600),
        ..RemoteLimits::default()
    });
    let mut program = rig.program().await;
    program.told_of("welcome").await;
    rig.link(LinkState::Online).await;
    // It is told what was wrong with each.
    let path = "x".repeat(60_000);
    for _ in 0..5 {
        program
            .say(json!({"type": "declare", "added": [{"path": path}]}))
            .await;
    }
    let words = rig.link(LinkState::Offline).await;
    assert_eq!(words, "its program does not read what it is told");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_has_failed_is_not_told_any_more() {
    let mut rig = start(RemoteLimits {
        silence: Duration::from_secs(8),
        ..RemoteLimits::default()
    });
    let mut program = rig.program().await;
    program.told_of("welcome").await;
    rig.link(LinkState::Online).await;
    let told = tokio::spawn(async move {
        // While it is told its last words.
        sleep(Duration::from_millis(8500)).await;
        let mut told = Vec::new();
        while let Ok(Some(line)) = program.lines.next_line().await {
            let line: Json = serde_json::from_str(&line).unwrap();
            told.push((line["type"].clone(), line["id"].clone()));
        }
        told
    });
    // Its beginning fills what lies between, so that nothing of the next one leaves.
    rig.write_value(1, Value::String("x".repeat(60_000)));
    assert_eq!(rig.done(1).await, Err(Fault::Timeout));
    rig.write(2, 22.0);
    assert_eq!(rig.done(2).await, Err(Fault::Timeout));
    rig.write(3, 23.0);
    assert_eq!(
        rig.done(3).await,
        Err(Fault::Unreachable),
        "it was silent for too long"
    );
    let told = told.await.unwrap();
    let of = |kind: &str| {
        let of_kind = told.iter().filter(|(it, _)| it == kind);
        of_kind.map(|(_, id)| id.as_u64()).collect::<Vec<_>>()
    };
    assert_eq!((of("write"), of("expired")), (vec![Some(1)], vec![Some(1)]));
    assert_eq!(told.last().unwrap().0, "closing");
}

#[tokio::test(start_paused = true)]
async fn programs_that_come_and_go_are_let_in_once_a_second() {
    let rig = start(RemoteLimits::default());
    let begin = Instant::now();
    let mut welcomes = 0;
    while begin.elapsed() < Duration::from_millis(9_990) {
        let mut program = rig.program().await;
        welcomes += u32::from(program.told().await["type"] == "welcome");
        drop(program);
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(welcomes, 10);
    // One that was there for longer may come again at once.
    sleep(PAUSE).await;
    let mut program = rig.program().await;
    program.told_of("welcome").await;
    sleep(PAUSE).await;
    drop(program);
    sleep(Duration::from_millis(1)).await;
    rig.program().await.told_of("welcome").await;
}
