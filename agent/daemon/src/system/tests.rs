//! The adapter of the box itself, as its supervisor calls it.

use lamplighter_model::{BootId, Stamp, UnixTime, Value, device::LinkState};

use super::*;
use crate::{
    bearer::{self, BearerFacts, Reason},
    config::PowerSource,
    events::{Class, LoadedLog, News},
    fake::now_at,
};

fn log() -> EventLog {
    EventLog::new(|| now_at(100), LoadedLog::default(), None)
}

fn configured(text: &str) -> Config {
    crate::fake::configured(&format!("[client]\nendpoint = \"cab-17\"\n{text}"))
}

fn system_of(text: &str, log: &EventLog) -> System {
    let config = configured(text);
    let status = Status::new(crate::catalogue::catalogue(&config), now_at(100));
    system_with(&config, status, BTreeMap::new(), log)
}

fn system_with(
    config: &Config,
    status: Status,
    counters: BTreeMap<AdapterId, Counters>,
    log: &EventLog,
) -> System {
    let clock = Clock::new(|| Stamp {
        boot: BootId(1),
        mono: Duration::ZERO,
    });
    let parts = Parts {
        update: None,
        controls: None,
        state_dir: "/".into(),
        log: log.clone(),
        status,
        on_errors: Box::new(|_| true),
        on_zone: Box::new(|_| true),
    };
    System {
        // Whatever feeds the machine that tests run on.
        power: Power::new("/nowhere".into(), Vec::new(), BTreeSet::new()),
        shortage: Shortage::new("/nowhere".into()),
        seen: Seen::new("/nowhere".into()),
        ..System::new(clock, config, counters, parts)
    }
}

fn system(log: &EventLog) -> System {
    system_of("", log)
}

fn address(instance: InstancePath) -> InstanceAddress {
    InstanceAddress {
        scope: Scope::Gateway,
        path: instance,
    }
}

/// The newest value among samples.
fn value(samples: &[Sample], resource: ResourceAddress) -> Option<&Value> {
    let mut of = samples.iter().rev();
    of.find(|sample| sample.address == resource)
        .map(|sample| &sample.value)
}

async fn news(system: &mut System) -> Vec<Sample> {
    loop {
        if let Wake::News(samples) = system.wait().await.unwrap() {
            return samples;
        }
    }
}

/// The next news in which there is something of this resource.
async fn news_of(system: &mut System, resource: ResourceAddress) -> Vec<Sample> {
    loop {
        let told = news(system).await;
        if value(&told, resource).is_some() {
            return told;
        }
    }
}

const SECURITY: InstancePath = InstancePath::new(20, 0);

#[tokio::test(start_paused = true)]
async fn interfaces_then_memory_are_due_at_start_and_every_half_a_minute() {
    let log = log();
    let mut system = system(&log);
    let start = Instant::now();
    let mut due = Vec::new();
    while due.len() < 4 {
        if let Wake::Due(instance, resources) = system.wait().await.unwrap() {
            let samples = system.read(instance, &resources).await.unwrap();
            assert!(!samples.is_empty());
            due.push((instance.path.object.0, start.elapsed().as_secs()));
        }
    }
    assert_eq!(due, [(4, 0), (3, 0), (4, 30), (3, 30)]);
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_declared_of_the_log_is_told_at_once() {
    let log = log();
    let mut system = system(&log);
    let told = news(&mut system).await;
    for declaration in log::declarations().filter(|declaration| declaration.operations.read) {
        assert!(
            value(&told, declaration.address).is_some(),
            "{}",
            declaration.address
        );
    }
    assert_eq!(value(&told, at(SECURITY, 4010)), Some(&Value::Integer(2)));
    assert_eq!(value(&told, at(SECURITY, 4013)), Some(&Value::Integer(0)));
    assert!(
        told.iter()
            .all(|sample| sample.index.is_none_or(|ResourceInstanceId(id)| id == 0))
    );
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_events_is_told_once_a_second() {
    let log = log();
    let mut system = system(&log);
    news(&mut system).await;
    let start = Instant::now();
    for _ in 0..50 {
        log.tell(News::new(Class::Security, "refused"));
    }
    let told = news(&mut system).await;
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    assert_eq!(
        value(&told, at(SECURITY, 4013)),
        Some(&Value::Integer(0b10))
    );
    let Some(Value::Opaque(data)) = value(&told, at(SECURITY, 4014)) else {
        panic!("{told:?}");
    };
    assert_eq!(data.iter().filter(|byte| **byte == b'\n').count(), 49);
}

#[tokio::test(start_paused = true)]
async fn a_server_stops_and_starts_the_log() {
    let log = log();
    let mut system = system(&log);
    log.tell(News::new(Class::Security, "refused"));
    for (resource, args, status) in [
        (4012, &b""[..], 0b11),
        (4011, b"0='1'", 0b10),
        (4012, b"0='1'", 0b01),
        (4011, b"0", 0b00),
    ] {
        system.execute(at(SECURITY, resource), args).await.unwrap();
        let wanted = [ResourceId(4013)];
        let samples = system.read(address(SECURITY), &wanted).await.unwrap();
        let shown = value(&samples, at(SECURITY, 4013));
        assert_eq!(shown, Some(&Value::Integer(status)), "{resource} {args:?}");
        assert_eq!(samples.len(), 1);
    }
    for args in [&b"1"[..], b"0='2'", b"0='1',1", b"0=''"] {
        let refused = system.execute(at(SECURITY, 4011), args).await;
        assert!(matches!(refused, Err(Fault::BadValue(_))), "{args:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn class_and_format_are_written_together_or_not_at_all() {
    let log = log();
    let mut system = system(&log);
    let write = |class, format| {
        [(4010, class), (4015, format)].map(|(resource, number)| Assignment {
            address: at(SECURITY, resource),
            index: None,
            value: Value::Integer(number),
        })
    };
    system.write(&write(3, 2)).await.unwrap();
    let refused = system.write(&write(1, 9)).await;
    assert!(matches!(refused, Err(Fault::BadValue(_))));
    let interval = Assignment {
        address: at(SECURITY, 4017),
        index: None,
        value: Value::Unsigned(60),
    };
    system.write(&[interval]).await.unwrap();
    let wanted = [ResourceId(4013), ResourceId(4017)];
    let samples = system.read(address(SECURITY), &wanted).await.unwrap();
    let active = [Value::Integer(0b1000), Value::Unsigned(60)];
    let values: Vec<Value> = samples.into_iter().map(|sample| sample.value).collect();
    assert_eq!(values, active);
    let wanted = [ResourceId(4010), ResourceId(4015)];
    let samples = system.read(address(SECURITY), &wanted).await.unwrap();
    assert_eq!(
        value(&samples, at(SECURITY, 4010)),
        Some(&Value::Integer(3))
    );
    assert_eq!(
        value(&samples, at(SECURITY, 4015)),
        Some(&Value::Integer(2))
    );
}

#[tokio::test]
async fn what_is_not_ours_is_refused() {
    let log = log();
    let mut system = system(&log);
    let other = InstancePath::new(20, 2);
    assert!(
        system
            .read(address(other), &[ResourceId(4014)])
            .await
            .is_err()
    );
    assert!(system.execute(at(SECURITY, 4014), b"").await.is_err());
}

const HERE: &str =
    "location = true\n[site]\nposition = { lat = 52.52, lon = 13.4, altitude_m = 34.0 }\n";

fn is_of(object: u16) -> impl Fn(&Declaration) -> bool {
    move |declaration| declaration.address.path.object().0 == object
}

#[tokio::test(start_paused = true)]
async fn a_configured_position_is_told_once_with_the_time_of_the_start() {
    let log = log();
    let mut system = system_of(HERE, &log);
    assert_eq!(system.declared().into_iter().filter(is_of(6)).count(), 4);
    let here = InstancePath::new(6, 0);
    let mut looks = 0;
    for _ in 0..12 {
        let Wake::Due(instance, resources) = system.wait().await.unwrap() else {
            continue;
        };
        let samples = system.read(instance, &resources).await.unwrap();
        if instance.path != here {
            continue;
        }
        looks += 1;
        for (resource, number) in [(0, 52.52), (1, 13.4), (2, 34.0)] {
            assert_eq!(
                value(&samples, at(here, resource)),
                Some(&Value::Float(number))
            );
        }
        assert_eq!(value(&samples, at(here, 5)), Some(&Value::Time(100)));
    }
    assert_eq!(looks, 1, "it does not change");
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_position_follows_when_the_date_is_known() {
    let seconds = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(0));
    let clock = std::sync::Arc::clone(&seconds);
    let now = move || {
        let unix = clock.load(std::sync::atomic::Ordering::Relaxed);
        lamplighter_model::Now {
            unix: (unix > 0).then(|| UnixTime::from_seconds(unix)),
            ..now_at(1)
        }
    };
    let log = EventLog::new(now, LoadedLog::default(), None);
    let mut system = system_of(HERE, &log);
    let here = address(InstancePath::new(6, 0));
    let time = [ResourceId(0), ResourceId(5)];
    assert_eq!(system.read(here, &time).await.unwrap().len(), 1);
    seconds.store(1_790_000_000, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(system.read(here, &time).await.unwrap().len(), 2);
    seconds.store(1_790_009_999, std::sync::atomic::Ordering::Relaxed);
    let samples = system.read(here, &time).await.unwrap();
    let shown = value(&samples, at(here.path, 5));
    assert_eq!(shown, Some(&Value::Time(1_790_000_000)), "it does not tick");
}

#[tokio::test]
async fn without_being_asked_for_there_is_no_position() {
    let log = log();
    let position = "[site]\nposition = { lat = 52.52, lon = 13.4 }\n";
    for text in ["", position] {
        let system = system_of(text, &log);
        assert_eq!(
            system.declared().into_iter().filter(is_of(6)).count(),
            0,
            "{text}"
        );
    }
}

/// What `wait` brings until the next round.
async fn round(system: &mut System) -> Vec<Wake> {
    let mut wakes = Vec::new();
    tokio::time::advance(PERIOD).await;
    while !matches!(wakes.last(), Some(Wake::Due(instance, _)) if instance.path == DEVICE) {
        wakes.push(system.wait().await.unwrap());
    }
    wakes
}

#[tokio::test(start_paused = true)]
async fn power_is_declared_when_it_comes_and_taken_back_when_it_goes() {
    let log = log();
    let mut system = system(&log);
    round(&mut system).await;
    let declared = |wakes: &[Wake]| {
        wakes.iter().find_map(|wake| match wake {
            Wake::Declared(declared) => Some(declared.clone()),
            Wake::Alive | Wake::Due(..) | Wake::Lost(_) | Wake::News(_) => None,
        })
    };
    system.power = Power::new("/nowhere".into(), vec![PowerSource::Ac], BTreeSet::new());
    let come = declared(&round(&mut system).await).unwrap();
    assert_eq!(come.added, [read_only(at(DEVICE, 6))]);
    assert!(come.removed.is_empty());
    let wanted = [ResourceId(6)];
    let samples = system.read(address(DEVICE), &wanted).await.unwrap();
    assert_eq!(samples[0].index, Some(ResourceInstanceId(0)));
    assert_eq!(samples[0].value, Value::Integer(6));
    assert_eq!(
        declared(&round(&mut system).await),
        None,
        "nothing has changed"
    );
    system.power = Power::new("/nowhere".into(), Vec::new(), BTreeSet::new());
    let gone = declared(&round(&mut system).await).unwrap();
    assert_eq!((gone.added, gone.removed), (vec![], vec![at(DEVICE, 6)]));
}

#[tokio::test(start_paused = true)]
async fn the_zone_and_errors_are_told_again_until_they_are_heard() {
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let (words, codes) = (heard.clone(), heard.clone());
    let log = log();
    let mut system = system(&log);
    let meminfo = crate::fake::directory("meminfo").join("meminfo");
    let text = b"MemTotal: 1000000 kB\nMemAvailable: 9 kB\n";
    crate::atomic::write(&meminfo, text, 0o600).unwrap();
    system.shortage = Shortage::new(meminfo);
    system.zone = Zone::new("/nowhere".into());
    let hear = |heard: &std::sync::Mutex<Vec<String>>, word: String| {
        let mut heard = heard.lock().unwrap();
        heard.push(word);
        heard.len() > 2
    };
    system.parts.on_zone = Box::new(move |zone| {
        let word = format!("{} {}", zone.name, zone.utc_offset);
        hear(&words, word)
    });
    system.parts.on_errors = Box::new(move |errors| hear(&codes, format!("{errors:?}")));
    for _ in 0..4 {
        round(&mut system).await;
    }
    let told = ["Etc/UTC +00:00", "{5}", "Etc/UTC +00:00", "{5}"];
    assert_eq!(*heard.lock().unwrap(), told, "the loop was busy at first");
}

const LINKS: &str = "[bus.a]\nkind = \"serial\"\ndevice = \"/dev/a\"\n[device.d]\nadapter = \"modbus\"\nbus = \"a\"\nunit = 1\n\
    point.p = { resource = \"/3303/0/5700\", read = { table = \"input\", at = 0 } }\n\
    point.q = { resource = \"/3303/1/5700\", read = { table = \"input\", at = 1 } }\n";
const LINK: InstancePath = InstancePath::new(42_803, 0);

#[tokio::test(start_paused = true)]
async fn a_device_that_is_lost_is_told_at_once_with_the_reason_and_what_its_values_are_worth() {
    let log = log();
    let config = configured(LINKS);
    let status = Status::new(crate::catalogue::catalogue(&config), now_at(100));
    let health = lamplighter_adapters::supervise::Health {
        timeouts: 3,
        round_trip: Some(Duration::from_millis(40)),
        ..Default::default()
    };
    let (_told, health) = watch::channel(health);
    let counters = BTreeMap::from([(AdapterId(0), Counters::Supervised(health))]);
    let mut system = system_with(&config, status.clone(), counters, &log);
    status.on_link(AdapterId(0), LinkState::Online, "answers", now_at(90));
    let stamp = Stamp {
        boot: BootId(1),
        mono: Duration::from_secs(95),
    };
    let first = at(InstancePath::new(3303, 0), 5700);
    status.on_samples(&[Sample::good(first, Value::Float(21.0), stamp)]);
    let told = news_of(&mut system, at(LINK, 2)).await;
    assert_eq!(value(&told, at(LINK, 0)), Some(&Value::String("d".into())));
    assert_eq!(
        value(&told, at(LINK, 1)),
        Some(&Value::String("modbus".into()))
    );
    assert_eq!(
        value(&told, at(LINK, 2)),
        Some(&Value::String("online".into()))
    );
    assert_eq!(value(&told, at(LINK, 4)), Some(&Value::Time(95)));
    assert_eq!(value(&told, at(LINK, 6)), Some(&Value::Integer(40)));
    let counts = |resource: u16| -> Vec<Value> {
        let of = told
            .iter()
            .filter(|sample| sample.address == at(LINK, resource));
        of.map(|sample| sample.value.clone()).collect()
    };
    assert_eq!(counts(5), [3, 0, 0, 0].map(Value::Integer));
    assert_eq!(
        counts(7),
        [1, 0, 0, 0].map(Value::Integer),
        "good, stale, bad, unchecked"
    );
    let start = Instant::now();
    status.on_link(AdapterId(0), LinkState::Offline, "no answer", now_at(99));
    let told = news_of(&mut system, at(LINK, 2)).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(
        value(&told, at(LINK, 2)),
        Some(&Value::String("offline".into()))
    );
    assert_eq!(
        value(&told, at(LINK, 8)),
        Some(&Value::String("no answer".into()))
    );
    let quality: Vec<&Value> = told
        .iter()
        .filter(|sample| sample.address == at(LINK, 7))
        .map(|sample| &sample.value)
        .collect();
    assert_eq!(
        quality,
        [&Value::Integer(0), &Value::Integer(1)],
        "what was good is stale"
    );
    let link = address(LINK);
    let read = system.read(link, &[ResourceId(2)]).await.unwrap();
    assert_eq!(read.len(), 1);
}

const BEARERS: &str = "[bearer.cell]\nkind = \"cellular\"\ninterface = \"wwan0\"\n\
    [bearer.lan]\nkind = \"ethernet\"\ninterface = \"eth0\"\n";
const CELL: InstancePath = InstancePath::new(42_800, 0);
const LAN: InstancePath = InstancePath::new(42_800, 1);

/// A box with two bearers, the wire in use.
fn with_bearers(log: &EventLog) -> (System, Board) {
    let config = configured(BEARERS);
    let status = Status::new(crate::catalogue::catalogue(&config), now_at(100));
    let board = status.board();
    board.configure(&config.bearers, now_at(100));
    board.show(used(board.named("lan").unwrap()));
    (system_with(&config, status, BTreeMap::new(), log), board)
}

fn used(facts: BearerFacts) -> BearerFacts {
    BearerFacts {
        status: bearer::Status::Connected,
        reason: None,
        is_current: true,
        is_urgent_only: false,
        ..facts
    }
}

fn idle(facts: BearerFacts) -> BearerFacts {
    BearerFacts {
        is_current: false,
        is_urgent_only: false,
        ..facts
    }
}

#[tokio::test(start_paused = true)]
async fn every_bearer_is_an_instance_with_what_is_known_of_it() {
    let log = log();
    let (mut system, board) = with_bearers(&log);
    let declared = system.declared();
    let of = |instance: InstancePath| {
        let of = declared
            .iter()
            .filter(|one| one.address.path.instance == instance);
        of.map(|one| one.address.path.resource.0)
            .collect::<Vec<_>>()
    };
    let always = [0, 1, 3, 9, 10, 11, 12];
    assert_eq!((of(CELL), of(LAN)), (always.to_vec(), always.to_vec()));
    let text = |text: &str| Value::String(text.to_owned());
    board.show(BearerFacts {
        last_exchange: Some(now_at(95).stamp()),
        round_trip: Some(Duration::from_millis(41)),
        address: Some([192, 0, 2, 7].into()),
        bytes_today: 1200,
        bytes_month: 34_000,
        flaps: 2,
        ..board.named("lan").unwrap()
    });
    let told = news_of(&mut system, at(LAN, 3)).await;
    let expected = [
        (0, text("lan")),
        (1, text("ethernet")),
        (2, text("eth0")),
        (3, text("connected")),
        (5, Value::Time(100)),
        (6, Value::Time(95)),
        (7, Value::Integer(41)),
        (8, text("192.0.2.7")),
        (9, Value::Boolean(false)),
        (10, Value::Integer(1200)),
        (11, Value::Integer(34_000)),
        (12, Value::Integer(2)),
    ];
    for (resource, expected) in expected {
        assert_eq!(
            value(&told, at(LAN, resource)),
            Some(&expected),
            "{resource}"
        );
    }
    assert_eq!(value(&told, at(LAN, 4)), None, "no reason to be connected");
    assert_eq!(value(&told, at(CELL, 4)), Some(&text("untried")));
    assert_eq!(value(&told, at(CELL, 9)), Some(&Value::Boolean(true)));
}

#[tokio::test(start_paused = true)]
async fn a_switch_is_told_at_once_and_every_byte_is_not() {
    let log = log();
    let (mut system, board) = with_bearers(&log);
    news_of(&mut system, at(LAN, 3)).await;
    while !system.round.is_empty() {
        system.wait().await.unwrap();
    }
    let start = Instant::now();
    board.show(BearerFacts {
        bytes_today: 7,
        ..board.named("lan").unwrap()
    });
    let lost = BearerFacts {
        status: bearer::Status::Disconnected,
        reason: Some(Reason::Timeout),
        ..idle(board.named("lan").unwrap())
    };
    board.show(lost);
    board.show(used(board.named("cell").unwrap()));
    let mut wakes = Vec::new();
    // The log has news of its own.
    let told = loop {
        let wake = system.wait().await.unwrap();
        if let Wake::News(told) = &wake
            && value(told, at(LAN, 4)).is_some()
        {
            break told.clone();
        }
        wakes.push(wake);
    };
    assert_eq!(start.elapsed(), Duration::ZERO);
    let is_4 = |wake: &Wake| matches!(wake, Wake::Due(instance, _) if instance.path == connectivity::INSTANCE);
    assert!(wakes.iter().any(is_4), "{wakes:?}");
    let samples = system
        .read(address(connectivity::INSTANCE), &[ResourceId(0)])
        .await
        .unwrap();
    assert_eq!(samples[0].value, Value::Integer(6), "cellular");
    let timeout = Value::String("timeout".to_owned());
    assert_eq!(value(&told, at(LAN, 4)), Some(&timeout));
    assert_eq!(value(&told, at(LAN, 10)), None, "bytes wait");
    let gone = wakes.iter().any(|wake| match wake {
        Wake::Declared(declared) => declared.removed.contains(&at(CELL, 4)),
        Wake::Alive | Wake::Due(..) | Wake::Lost(_) | Wake::News(_) => false,
    });
    assert!(gone, "no reason for a bearer that is connected: {wakes:?}");
}

#[tokio::test(start_paused = true)]
async fn bytes_are_told_every_ten_minutes() {
    let log = log();
    let (system, board) = with_bearers(&log);
    let mut bearers = system.bearers;
    bearers.news(now_at(100));
    board.show(BearerFacts {
        bytes_today: 7,
        ..board.named("lan").unwrap()
    });
    let (declared, told) = bearers.news(now_at(699));
    assert_eq!((declared, told), (None, vec![]));
    let (_, told) = bearers.news(now_at(700));
    assert_eq!(value(&told, at(LAN, 10)), Some(&Value::Integer(7)));
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_box_without_any_way_out_has_error_7_at_once() {
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = log();
    let (mut system, board) = with_bearers(&log);
    let codes = heard.clone();
    system.parts.on_errors = Box::new(move |errors| {
        codes.lock().unwrap().push(errors.clone());
        true
    });
    news_of(&mut system, at(LAN, 3)).await;
    for name in ["cell", "lan"] {
        board.show(BearerFacts {
            status: bearer::Status::Disconnected,
            reason: Some(Reason::NoLink),
            ..idle(board.named(name).unwrap())
        });
    }
    news_of(&mut system, at(LAN, 3)).await;
    board.show(used(board.named("cell").unwrap()));
    news_of(&mut system, at(CELL, 3)).await;
    assert_eq!(
        *heard.lock().unwrap(),
        [BTreeSet::from([7]), BTreeSet::new()]
    );
}
