use lamplighter_model::UnixTime;

use super::*;
use crate::bearer::{
    BearerId, Choice,
    dbus::{Address, Attempt, ManagerEvent, Managers, Place, Profile, Tried},
};

fn bearer(name: &str, kind: BearerKind, manage: Manage) -> Bearer {
    Bearer {
        manage,
        ..Bearer::new(name, kind)
    }
}

fn ours() -> Vec<Bearer> {
    vec![
        bearer("cell", BearerKind::Cellular, Manage::ModemManager),
        bearer("lan", BearerKind::Ethernet, Manage::None),
    ]
}

fn started(state_dir: Option<&std::path::Path>) -> (Managers, Objects) {
    let place = Place {
        bus: Some("unix:path=/nowhere/at/all".into()),
        state_dir: state_dir.map(Into::into),
    };
    let managers = Managers::start(&ours(), &place, Tried::default());
    let clock = Clock::new(Stamp::default);
    let objects = Objects::new(clock, &ours(), managers.controls());
    (managers, objects)
}

fn assign(
    object: u16,
    instance: u16,
    resource: u16,
    index: Option<u16>,
    value: Value,
) -> Assignment {
    Assignment {
        address: at(InstancePath::new(object, instance), resource),
        index: index.map(ResourceInstanceId),
        value,
    }
}

fn event(managers: &mut Managers) -> Option<ManagerEvent> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match managers.poll_event(&mut context) {
        std::task::Poll::Ready(event) => Some(event),
        std::task::Poll::Pending => None,
    }
}

/// What comes of a write once its answer has left.
async fn then(managers: &mut Managers) -> Option<ManagerEvent> {
    assert_eq!(event(managers), None, "the answer goes first");
    tokio::time::sleep(Duration::from_secs(10)).await;
    event(managers)
}

/// Paths and what can be done with them.
fn declared_of(bearers: &[Bearer]) -> Vec<(String, Operations)> {
    let declared = declarations(bearers).into_iter();
    declared
        .map(|one| (one.address.path.to_string(), one.operations))
        .collect()
}

#[test]
fn objects_are_there_where_their_bearers_are() {
    assert_eq!(declared_of(&[]), []);
    let lan = [bearer("lan", BearerKind::Ethernet, Manage::None)];
    let paths = declared_of(&lan);
    assert!(
        paths.iter().all(|(path, _)| path.starts_with("/13/0/")),
        "{paths:?}"
    );
    let both = declared_of(&ours());
    let operations = |path: &str| {
        both.iter()
            .find(|(known, _)| known == path)
            .map(|(_, o)| *o)
    };
    assert_eq!(operations("/10/0/1"), Some(Operations::RW));
    assert_eq!(operations("/11/0/1"), Some(Operations::RW));
    assert_eq!(
        operations("/11/0/6"),
        Some(Operations::W),
        "never read back"
    );
    assert_eq!(operations("/11/1/0"), None);
    let foreign = [bearer("cell", BearerKind::Cellular, Manage::NetworkManager)];
    let foreign = declared_of(&foreign);
    let operations = |path: &str| {
        foreign
            .iter()
            .find(|(known, _)| known == path)
            .map(|(_, o)| *o)
    };
    assert_eq!(operations("/10/0/1"), Some(Operations::R));
    assert_eq!(operations("/11/0/1"), Some(Operations::R));
    assert_eq!(operations("/11/0/6"), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_server_prefers_is_kept_unless_it_cuts_the_box_off() {
    let directory = crate::fake::directory("objects");
    let (mut managers, mut objects) = started(Some(&directory));
    let wifi = [
        assign(13, 0, 0, Some(0), Value::Integer(7)),
        assign(13, 0, 0, Some(1), Value::Integer(8)),
    ];
    objects.write(&wifi).await.unwrap();
    let prefer = |codes: &[u8]| Some(ManagerEvent::Choose(Choice::Prefer(codes.to_vec())));
    assert_eq!(then(&mut managers).await, prefer(&[7, 8]));
    assert_eq!(managers.preference(), (vec![7, 8], true));
    assert_eq!(managers.end_choice(true), None);
    assert_eq!(managers.preference(), (vec![7, 8], false));
    // One that nobody comes back from.
    objects
        .write(&[assign(13, 0, 0, Some(0), Value::Integer(10))])
        .await
        .unwrap();
    assert_eq!(
        objects.controls.preferred(),
        [10],
        "a list from its beginning is the whole list"
    );
    assert_eq!(then(&mut managers).await, prefer(&[10]));
    let back = Some(Choice::Prefer(vec![7, 8]));
    assert_eq!(managers.end_choice(false), back);
    assert_eq!(managers.end_choice(false), None, "once");
    // On the disk soon.
    managers
        .controls()
        .set_levels(&BTreeMap::from([(3, -120)]))
        .await;
    assert_eq!(objects.controls.preferred(), [7, 8]);
    drop((managers, objects));
    let (managers, objects) = started(Some(&directory));
    let again = managers.preference();
    assert_eq!(again, (vec![7, 8], false), "after a restart as well");
    assert_eq!(objects.controls.preferred(), [7, 8]);
}

#[tokio::test(start_paused = true)]
async fn what_is_on_trial_is_so_after_a_restart() {
    let directory = crate::fake::directory("objects");
    let (managers, mut objects) = started(Some(&directory));
    for code in [10, 7] {
        let prefer = assign(13, 0, 0, Some(0), Value::Integer(code));
        objects.write(&[prefer]).await.unwrap();
    }
    drop((managers, objects));
    let (managers, objects) = started(Some(&directory));
    assert_eq!(managers.preference(), (vec![7], true));
    assert_eq!(managers.end_choice(false), Some(Choice::Prefer(Vec::new())));
    // On the disk soon.
    objects.controls.set_levels(&BTreeMap::new()).await;
    drop((managers, objects));
    let (managers, _) = started(Some(&directory));
    assert_eq!(managers.preference(), (Vec::new(), false));
}

#[tokio::test(start_paused = true)]
async fn one_place_of_the_list_can_be_changed() {
    let (_managers, mut objects) = started(None);
    let list = [7, 8, 1].map(Value::Integer).into_iter().zip(0..);
    let list: Vec<_> = list
        .map(|(value, index)| assign(13, 0, 0, Some(index), value))
        .collect();
    objects.write(&list).await.unwrap();
    objects
        .write(&[assign(13, 0, 0, Some(1), Value::Integer(4))])
        .await
        .unwrap();
    assert_eq!(objects.controls.preferred(), [7, 4, 1]);
}

#[tokio::test(start_paused = true)]
async fn all_is_refused_where_a_part_of_it_is() {
    let (mut managers, mut objects) = started(None);
    let half = [
        assign(13, 0, 0, Some(0), Value::Integer(7)),
        assign(10, 0, 1, None, Value::Integer(70_000)),
    ];
    assert!(matches!(
        objects.write(&half).await,
        Err(Fault::BadValue(_))
    ));
    assert_eq!(event(&mut managers), None);
    for wrong in [
        assign(13, 0, 0, Some(0), Value::Integer(6)),
        assign(13, 0, 0, Some(0), Value::Integer(-1)),
        assign(13, 0, 3, None, Value::Integer(9)),
        assign(11, 0, 1, None, Value::String("no blanks".into())),
        assign(11, 0, 1, None, Value::Integer(1)),
        assign(11, 0, 6, None, Value::String("x".repeat(200))),
    ] {
        let result = objects.write(std::slice::from_ref(&wrong)).await;
        assert!(
            matches!(result, Err(Fault::BadValue(_))),
            "{wrong:?}: {result:?}"
        );
    }
    let locked = assign(13, 0, 5, None, Value::Integer(1));
    assert_eq!(objects.write(&[locked]).await, Err(Fault::Unsupported));
}

#[tokio::test(start_paused = true)]
async fn the_radio_is_off_for_a_day_at_most_and_over_a_restart() {
    let directory = crate::fake::directory("objects");
    let (managers, mut objects) = started(Some(&directory));
    objects
        .write(&[assign(10, 0, 1, None, Value::Integer(30))])
        .await
        .unwrap();
    assert!((30..=31).contains(&objects.controls.radio_off_left()));
    drop((managers, objects));
    let (managers, mut objects) = started(Some(&directory));
    assert!((29..=30).contains(&objects.controls.radio_off_left()));
    objects
        .write(&[assign(10, 0, 1, None, Value::Integer(65_535))])
        .await
        .unwrap();
    assert!((1440..=1441).contains(&objects.controls.radio_off_left()));
    objects
        .write(&[assign(10, 0, 1, None, Value::Integer(0))])
        .await
        .unwrap();
    assert_eq!(objects.controls.radio_off_left(), 0);
    drop((managers, objects));
    let (_managers, objects) = started(Some(&directory));
    assert_eq!(objects.controls.radio_off_left(), 0);
}

#[test]
fn a_profile_tells_its_connection_and_never_its_secret() {
    let told = profile::look(&Profile {
        bearer: 3,
        name: "cell".into(),
        is_enabled: true,
        is_connected: true,
        apn: Some("iot.example".into()),
        user: Some("u".into()),
        auth: Some(6),
        ip_type: Some(4),
        bytes: Some((2000, 1000)),
        addresses: vec![Address {
            address: "10.0.0.2".parse().unwrap(),
            prefix: Some(30),
            gateway: None,
            name_servers: vec!["192.0.2.53".parse().unwrap()],
        }],
        modes: 0b11110,
        attempts: vec![
            Attempt {
                at: Some(UnixTime::from_seconds(100)),
                has_worked: false,
                end: Some(UnixTime::from_seconds(101)),
            },
            Attempt {
                at: Some(UnixTime::from_seconds(200)),
                has_worked: true,
                end: None,
            },
        ],
    });
    let text = |text: &str| Value::String(text.into());
    let instance = InstancePath::new(11, 3);
    let expected = [
        (0, None, text("cell")),
        (1, None, text("iot.example")),
        (3, None, Value::Boolean(true)),
        (4, None, Value::Integer(2)),
        (5, None, text("u")),
        (13, None, Value::Integer(1000)),
        (14, None, Value::Integer(2000)),
        (24, None, Value::Integer(3)),
        (9, Some(0), Value::Time(200)),
        (10, Some(0), Value::Integer(0)),
        (9, Some(1), Value::Time(100)),
        (10, Some(1), Value::Integer(1)),
        (12, Some(1), Value::Time(101)),
        (15, Some(0), text("10.0.0.2")),
        (16, Some(0), text("30")),
        (19, Some(0), text("192.0.2.53")),
        (30, Some(0), Value::Unsigned(2)),
        (30, Some(1), Value::Unsigned(3)),
        (30, Some(2), Value::Unsigned(4)),
        (30, Some(3), Value::Unsigned(16)),
    ];
    let expected = expected.map(|(resource, index, value)| (instance, resource, index, value));
    assert_eq!(told, expected);
}

#[test]
fn a_bearer_is_named_by_its_number() {
    // Instances of object 11 are those of the vendor object Bearer.
    let cells = cells(&[
        bearer("a", BearerKind::Ethernet, Manage::None),
        bearer("b", BearerKind::Cellular, Manage::None),
    ]);
    let expected = Cell {
        number: BearerId(1).0,
        is_ours: false,
    };
    assert_eq!(cells, [expected]);
}
