use super::*;

const URI: &str = "coap://server/package";

/// What may happen to object 5.
#[derive(Clone, Copy, Debug)]
enum Event {
    Cancel,
    Downloaded,
    Fault(Outcome),
    FirstPart,
    Reset,
    Reported(Phase),
    Restart,
    Update,
    Uri,
}

/// In each state, with a package that was fetched.
fn machine(state: State) -> Machine {
    let mut machine = Machine::default();
    if state == State::Idle {
        return machine;
    }
    machine.write_uri(URI).unwrap();
    if state == State::Downloading {
        return machine;
    }
    machine.downloaded("lamplighter".to_owned(), "1.1".to_owned(), false);
    if state == State::Updating {
        machine.update(false).unwrap();
    }
    machine
}

fn report(phase: Phase, number: u64) -> Report {
    Report {
        id: number.to_string(),
        phase,
        from: None,
        to: None,
        words: "words".to_owned(),
    }
}

fn happen(machine: &mut Machine, event: Event) -> Result<Act, NotNow> {
    match event {
        Event::Cancel => machine.cancel(),
        Event::Downloaded => {
            Ok(machine.downloaded("lamplighter".to_owned(), "1.1".to_owned(), false))
        }
        Event::Fault(outcome) => Ok(machine.fail(outcome, "words")),
        Event::FirstPart => machine.begin_push(),
        Event::Reset => machine.write_uri(""),
        Event::Reported(phase) => Ok(machine.on_report(&report(phase, 1))),
        Event::Restart => Ok(machine.restarted()),
        Event::Update => machine.update(false),
        Event::Uri => machine.write_uri(URI),
    }
}

/// In which state, what happens, what follows; `None`: 4.05.
type Row = (State, Event, Option<(State, Outcome, Act)>);

const READY: State = State::Downloaded;
const NONE: Outcome = Outcome::Initial;

const fn same(state: State) -> Option<(State, Outcome, Act)> {
    Some((state, NONE, Act::Nothing))
}

/// lwm2m/70, before an update begins.
fn waiting() -> Vec<Row> {
    use Act::{Discard, Download, Install};
    use Event::{Cancel, Downloaded, Fault, FirstPart, Reported, Reset, Restart, Uri};
    use State::{Downloading, Idle, Updating};
    vec![
        (Idle, Cancel, Some((Idle, Outcome::Cancelled, Discard))),
        (Idle, Downloaded, same(Idle)),
        (Idle, Fault(Outcome::Integrity), same(Idle)),
        (Idle, FirstPart, Some((Downloading, NONE, Discard))),
        (Idle, Reset, Some((Idle, NONE, Discard))),
        (Idle, Reported(Phase::Installed), same(Idle)),
        (Idle, Restart, same(Idle)),
        (Idle, Event::Update, None),
        (Idle, Uri, Some((Downloading, NONE, Download))),
        (
            Downloading,
            Cancel,
            Some((Idle, Outcome::Cancelled, Discard)),
        ),
        (Downloading, Downloaded, same(READY)),
        (Downloading, FirstPart, None),
        (Downloading, Reset, Some((Idle, NONE, Discard))),
        (Downloading, Reported(Phase::Installed), same(Downloading)),
        (Downloading, Restart, Some((Downloading, NONE, Download))),
        (Downloading, Event::Update, None),
        (Downloading, Uri, None),
        (READY, Cancel, Some((Idle, Outcome::Cancelled, Discard))),
        (READY, Downloaded, same(READY)),
        (READY, Fault(Outcome::Integrity), same(READY)),
        (READY, FirstPart, None),
        (READY, Reset, Some((Idle, NONE, Discard))),
        (READY, Reported(Phase::Installed), same(READY)),
        (READY, Restart, same(READY)),
        (READY, Event::Update, Some((Updating, NONE, Install(1)))),
        (READY, Uri, None),
    ]
}

/// lwm2m/70, while it is being made.
fn updating() -> Vec<Row> {
    use Act::{Discard, Install, Nothing};
    use Event::{Cancel, Downloaded, Fault, FirstPart, Reported, Reset, Restart, Uri};
    use State::{Idle, Updating};
    let refused = |reason| Reported(Phase::Refused(reason));
    vec![
        (Updating, Cancel, None),
        (Updating, Downloaded, same(Updating)),
        (Updating, Fault(Outcome::Integrity), same(Updating)),
        (Updating, FirstPart, None),
        (Updating, Reset, None),
        (Updating, Restart, Some((Updating, NONE, Install(1)))),
        (Updating, Event::Update, None),
        (Updating, Uri, None),
        (Updating, Reported(Phase::Checking), same(Updating)),
        (Updating, Reported(Phase::Installing), same(Updating)),
        (Updating, Reported(Phase::Proving), same(Updating)),
        (Updating, Reported(Phase::GoingBack), same(Updating)),
        (
            Updating,
            Reported(Phase::Installed),
            Some((Idle, Outcome::Success, Discard)),
        ),
        (
            Updating,
            Reported(Phase::RolledBack),
            Some((READY, Outcome::Failed, Nothing)),
        ),
        (
            Updating,
            Reported(Phase::Failed),
            Some((READY, Outcome::Failed, Nothing)),
        ),
        (
            Updating,
            refused(Reason::Integrity),
            Some((Idle, Outcome::Integrity, Discard)),
        ),
        (
            Updating,
            refused(Reason::Unsupported),
            Some((Idle, Outcome::Unsupported, Discard)),
        ),
        (
            Updating,
            refused(Reason::Downgrade),
            Some((Idle, Outcome::Failed, Discard)),
        ),
        (
            Updating,
            refused(Reason::NoSpace),
            Some((Idle, Outcome::NoSpace, Discard)),
        ),
    ]
}

#[test]
fn every_event_in_every_state() {
    use Act::Discard;
    use Event::Fault;
    use State::{Downloading, Idle};
    for (state, event, follows) in waiting().into_iter().chain(updating()) {
        let before = machine(state);
        let mut machine = before.clone();
        let done = happen(&mut machine, event);
        match follows {
            None => {
                assert_eq!(done, Err(NotNow), "{event:?} in {state:?}");
                assert_eq!(machine, before, "{event:?} in {state:?} changes nothing");
            }
            Some((next, outcome, act)) => {
                assert_eq!(done, Ok(act), "{event:?} in {state:?}");
                let is = (machine.state, machine.outcome);
                assert_eq!(is, (next, outcome), "{event:?} in {state:?}");
            }
        }
    }
    let faults = [
        Outcome::NoSpace,
        Outcome::ConnectionLost,
        Outcome::Integrity,
        Outcome::Unsupported,
        Outcome::InvalidUri,
        Outcome::Protocol,
    ];
    for outcome in faults {
        let mut machine = machine(Downloading);
        assert_eq!(happen(&mut machine, Fault(outcome)), Ok(Discard));
        assert_eq!((machine.state, machine.outcome), (Idle, outcome));
        assert_eq!(machine.source, Source::None, "the URI reads back empty");
        machine.write_uri(URI).unwrap();
        assert_eq!(machine.outcome, NONE, "a new attempt begins anew");
    }
}

#[test]
fn a_push_may_begin_again_and_does_not_survive_a_restart() {
    let mut machine = Machine::default();
    machine.begin_push().unwrap();
    assert_eq!(machine.begin_push(), Ok(Act::Discard));
    assert!(machine.is_pushed());
    assert_eq!(machine.write_uri(URI), Err(NotNow));
    assert_eq!(machine.restarted(), Act::Discard);
    assert_eq!(machine.outcome, Outcome::ConnectionLost);
}

#[test]
fn an_update_may_begin_by_itself() {
    let mut machine = machine(State::Downloading);
    machine.is_automatic = true;
    let act = machine.downloaded("lamplighter".to_owned(), "1.1".to_owned(), false);
    assert_eq!((act, machine.state), (Act::Install(1), State::Updating));
    assert!(machine.is_automatic, "it is for the next one, too");
}

#[test]
fn people_at_the_box_put_off_what_is_not_critical() {
    let second = Duration::from_secs(1);
    let mut waiting = machine(State::Downloaded);
    waiting.max_defer_s = 2;
    assert_eq!(waiting.update(true), Ok(Act::Nothing));
    let is = (waiting.state, waiting.outcome);
    assert_eq!(is, (State::Downloaded, Outcome::Deferred));

    let mut left = waiting.clone();
    assert_eq!(left.pass(second, true), Act::Nothing);
    assert_eq!(left.pass(second, false), Act::Install(1), "they have gone");

    let mut over = waiting.clone();
    assert_eq!(over.pass(second, true), Act::Nothing);
    assert_eq!(over.pass(second, true), Act::Install(1), "long enough");
    assert_eq!(over.outcome, Outcome::Initial);

    let mut reset = waiting.clone();
    reset.cancel().unwrap();
    assert_eq!(reset.pass(10 * second, false), Act::Nothing);

    for (severity, max_defer_s) in [(Severity::Critical, 60), (Severity::Mandatory, 0)] {
        let mut machine = machine(State::Downloaded);
        (machine.severity, machine.max_defer_s) = (severity, max_defer_s);
        assert_eq!(machine.update(true), Ok(Act::Install(1)));
    }
}

#[test]
fn people_come_first() {
    let mut machine = machine(State::Downloading);
    machine.begin_local(false).unwrap();
    let act = machine.downloaded("lamplighter".to_owned(), "1.2".to_owned(), true);
    assert_eq!(act, Act::Install(1), "whoever brings a package means it");
    assert_eq!(machine.begin_local(false), Err(NotNow));
    assert_eq!(
        machine.clone().begin_local(true),
        Ok(Act::Discard),
        "it is stuck"
    );
    assert_eq!(machine.roll_back(), Err(NotNow));
    assert_eq!(
        machine.on_report(&report(Phase::Installed, 7)),
        Act::Nothing
    );
    machine.on_report(&report(Phase::Installed, 1));
    assert_eq!(
        machine.roll_back(),
        Ok(Act::Install(2)),
        "a number of its own"
    );
}
