use super::*;
use crate::config::BearerKind;

const CELL: BearerId = BearerId(0);
const CABLE: BearerId = BearerId(1);

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn apn(name: &str) -> Apn {
    Apn {
        name: name.into(),
        user: None,
        password: None,
    }
}

fn line(memory: &Memory) -> Line {
    let kind = BearerKind::Cellular;
    let bearer = Bearer {
        manage: Manage::ModemManager,
        apn: Some(apn("old")),
        ..Bearer::new("cell", kind)
    };
    Line::new(CELL, bearer, memory)
}

fn modem(state: State, connected: Option<&str>) -> Modem {
    let mut modem = Modem::default();
    modem.state = state;
    let connection = |apn: &str| Connection {
        is_connected: true,
        apn: Some(apn.to_owned()),
        ..Connection::default()
    };
    modem.bearers = connected.map(connection).into_iter().collect();
    modem
}

fn job(line: &mut Line, modem: &Modem, memory: &Memory, now: Duration) -> Option<Job> {
    let (next, _) = line.next(modem, memory, false, now);
    next.map(|(job, _)| job)
}

#[test]
fn a_connection_that_carries_an_answer_is_closed_after_it() {
    let memory = Memory::default();
    for change in [
        |line: &mut Line| line.set_apn(Some(apn("new")), s(100)),
        |line: &mut Line| line.enable(false, s(100)),
    ] {
        let mut line = line(&memory);
        let connected = modem(State::Connected, Some("old"));
        assert_eq!(job(&mut line, &connected, &memory, s(99)), None);
        change(&mut line);
        assert_eq!(job(&mut line, &connected, &memory, s(100)), None);
        let due = line.due(s(100)).unwrap();
        assert!((s(101)..=s(105)).contains(&due), "{due:?}");
        let closed = job(&mut line, &connected, &memory, due);
        assert_eq!(closed, Some(Job::Disconnect));
    }
}

#[test]
fn a_new_access_point_that_is_refused_gives_way_to_the_former_one_at_once() {
    let memory = Memory::default();
    let mut line = line(&memory);
    line.set_apn(Some(apn("new")), s(0));
    let registered = modem(State::Registered, None);
    let mut asked = Vec::new();
    for now in (0..60).map(s) {
        if let Some(connect) = job(&mut line, &registered, &memory, now) {
            let used = line.access.used().map(|apn| apn.name.clone());
            asked.push((now, used.unwrap_or_default()));
            line.done(connect, Err("unknown".into()), now);
        }
    }
    let expected = [
        (0, "new"),
        (10, "new"),
        (40, "new"),
        (41, "old"),
        (51, "old"),
    ];
    assert_eq!(asked, expected.map(|(at, name)| (s(at), name.to_owned())));
}

#[test]
fn a_modem_is_not_left_off_because_of_a_bearer_that_has_gone() {
    let memory = Memory::default();
    let disabled_beside = |is_there: bool| {
        let mut line = line(&memory);
        line.serves(CABLE, Some(true), s(0));
        line.enable(false, s(0));
        // No cable: that says nothing of a network, and nobody is reached over it all the same.
        line.serves(CABLE, is_there.then_some(true), s(1));
        let registered = modem(State::Registered, None);
        let (_, told) = line.next(&registered, &memory, false, s(600));
        told
    };
    assert_eq!(disabled_beside(true), Some(Told::Disabled));
    assert_eq!(disabled_beside(false), Some(Told::EnabledAgain));
}

#[test]
fn a_modem_that_was_away_is_tried_at_once() {
    let memory = Memory::default();
    let mut line = line(&memory);
    let mut modem = modem(State::Registered, None);
    for now in [0, 10] {
        let connect = job(&mut line, &modem, &memory, s(now)).expect("it is due");
        line.done(connect, Err("unknown".into()), s(now));
    }
    assert_eq!(job(&mut line, &modem, &memory, s(20)), None);
    modem.path = "/another".into();
    modem.state = State::Disabled;
    assert_eq!(job(&mut line, &modem, &memory, s(21)), Some(Job::Enable));
}
