//! Which version is tried, and what is remembered of it.

use super::*;

#[test]
fn an_unsupported_version_is_answered_by_the_next_lower_at_once() {
    let mut machine = Machine::standard(300);
    machine.registration.start(None, Duration::ZERO, at(0));
    machine.connect();
    assert_eq!(machine.registration.version(), Enabler::V1_2);
    machine.steps();
    for lower in [Enabler::V1_1, Enabler::V1_0] {
        machine.reply(Purpose::Register, reply(Code::PRECONDITION_FAILED));
        assert_eq!(machine.steps(), [Step::Register]);
        assert_eq!(machine.registration.version(), lower);
    }
    machine.reply(Purpose::Register, reply(Code::PRECONDITION_FAILED));
    assert!(is_within(machine.next(), 60));
    assert_eq!(
        machine.registration.version(),
        Enabler::V1_2,
        "the round begins anew"
    );
}

#[test]
fn a_version_that_worked_is_remembered() {
    let mut machine = Machine::standard(300);
    machine.registration.start(None, Duration::ZERO, at(0));
    machine.connect();
    machine.reply(Purpose::Register, reply(Code::PRECONDITION_FAILED));
    machine.reply(Purpose::Register, reply(Code::CREATED));
    machine.registration.register_now(machine.now());
    machine.connect();
    assert_eq!(machine.registration.version(), Enabler::V1_1);
    let mut restarted = Machine::standard(300);
    let saved = SavedRegistration::None {
        version: Enabler::V1_0,
        refused: None,
    };
    restarted
        .registration
        .start(Some(saved), Duration::ZERO, at(0));
    assert_eq!(restarted.registration.version(), Enabler::V1_0);
}

#[test]
fn a_bad_request_to_the_first_register_is_answered_by_another_version_after_the_pause() {
    let mut machine = Machine::standard(300);
    machine.registration.start(None, Duration::ZERO, at(0));
    let mut versions = Vec::new();
    for wait in [60, 120, 240] {
        machine.connect();
        machine.steps();
        versions.push(machine.registration.version());
        machine.reply(Purpose::Register, reply(Code::BAD_REQUEST));
        let steps = machine.steps();
        assert!(matches!(steps[..2], [Step::Close, Step::Failed { .. }]));
        let is_through = wait == 240;
        assert_eq!(steps.contains(&Step::GaveUp), is_through, "after {wait} s");
        assert!(is_within(machine.next(), wait));
    }
    versions.push(machine.registration.version());
    let round = [Enabler::V1_2, Enabler::V1_1, Enabler::V1_0, Enabler::V1_2];
    assert_eq!(versions, round);
}

#[test]
fn a_version_that_worked_is_not_given_up_for_a_bad_request() {
    let mut machine = Machine::registered(300);
    machine.registration.register_now(machine.now());
    machine.connect();
    machine.reply(Purpose::Register, reply(Code::BAD_REQUEST));
    assert!(is_within(machine.next(), 60));
    assert_eq!(machine.registration.version(), Enabler::V1_2);
}

#[test]
fn a_pinned_version_is_not_left() {
    let mut machine = Machine::new(VersionChoice::V1_1, 300, standard());
    machine.registration.start(None, Duration::ZERO, at(0));
    machine.connect();
    machine.reply(Purpose::Register, reply(Code::PRECONDITION_FAILED));
    assert!(is_within(machine.next(), 60));
    assert_eq!(machine.registration.version(), Enabler::V1_1);
}

/// A machine that is registered in 1.1 after 1.2 was refused.
fn registered_in_1_1() -> Machine {
    let mut machine = Machine::standard(300);
    machine.registration.start(None, Duration::ZERO, at(0));
    machine.connect();
    machine.reply(Purpose::Register, reply(Code::PRECONDITION_FAILED));
    machine.reply(Purpose::Register, reply(Code::CREATED));
    assert_eq!(machine.registration.version(), Enabler::V1_1);
    machine.steps();
    machine
}

const WEEK: u64 = 7 * 86_400;

#[test]
fn a_higher_version_is_tried_again_at_the_first_register_after_a_week() {
    let mut machine = registered_in_1_1();
    machine.now = secs(WEEK - 1);
    machine.registration.register_now(machine.now());
    machine.connect();
    assert_eq!(machine.registration.version(), Enabler::V1_1, "too early");
    machine.reply(Purpose::Register, reply(Code::CREATED));
    machine.now = secs(WEEK);
    machine.registration.trigger(machine.now());
    assert_eq!(machine.registration.version(), Enabler::V1_1, "an Update");
    machine.steps();
    machine.reply(Purpose::Update, reply(Code::NOT_FOUND));
    assert_eq!(machine.steps(), [Step::Register]);
    assert_eq!(machine.registration.version(), Enabler::V1_2);
    machine.reply(Purpose::Register, reply(Code::CREATED));
    assert_eq!(machine.registration.version(), Enabler::V1_2);
}

#[test]
fn a_higher_version_that_is_refused_again_is_left_at_once_for_another_week() {
    for code in [Code::PRECONDITION_FAILED, Code::BAD_REQUEST] {
        let mut machine = registered_in_1_1();
        machine.now = secs(WEEK);
        machine.registration.register_now(machine.now());
        machine.connect();
        machine.steps();
        machine.reply(Purpose::Register, reply(code));
        assert_eq!(machine.steps(), [Step::Register], "{code}");
        assert_eq!(machine.registration.version(), Enabler::V1_1);
        machine.reply(Purpose::Register, reply(Code::CREATED));
        machine.now = secs(2 * WEEK - 1);
        machine.registration.register_now(machine.now());
        machine.connect();
        assert_eq!(machine.registration.version(), Enabler::V1_1);
    }
}

#[test]
fn a_higher_version_that_gets_no_answer_is_not_insisted_on() {
    let mut machine = registered_in_1_1();
    machine.now = secs(WEEK);
    machine.registration.register_now(machine.now());
    machine.connect();
    assert_eq!(machine.registration.version(), Enabler::V1_2);
    machine.lose(Purpose::Register);
    machine.next();
    machine.connect();
    assert_eq!(machine.registration.version(), Enabler::V1_1);
}

#[test]
fn a_restart_remembers_version_and_refusal() {
    let mut machine = Machine::standard(300);
    machine.registration.start(None, Duration::ZERO, at(0));
    machine.connect();
    machine.reply(Purpose::Register, reply(Code::PRECONDITION_FAILED));
    machine.reply(Purpose::Register, reply(Code::CREATED));
    machine.registration.disable(secs(1000), at(0));
    let mut saves = Vec::new();
    while let Some(step) = machine.registration.poll() {
        if let Step::Save(saved) = step {
            saves.push(saved);
        }
    }
    let [registered, disabled] = &saves[..] else {
        panic!("{saves:?}");
    };
    for (saved, restart) in [(registered, 1000), (disabled, 10_000)] {
        for (later, version) in [(restart, Enabler::V1_1), (WEEK, Enabler::V1_2)] {
            let mut restarted = Machine::standard(300);
            restarted.now = secs(later);
            let now = restarted.now();
            restarted
                .registration
                .start(Some(saved.clone()), Duration::ZERO, now);
            assert_eq!(restarted.registration.version(), Enabler::V1_1);
            restarted.registration.handle_timeout(now);
            restarted.connect();
            assert_eq!(restarted.registration.version(), version, "after {later} s");
        }
    }
}

#[test]
fn a_version_of_before_there_was_a_higher_one_is_left_at_the_next_register() {
    let mut machine = Machine::standard(300);
    let saved = SavedRegistration::Registered {
        at: Moment::of(at(0)),
        identity: IDENTITY.to_owned(),
        lifetime: secs(300),
        location: vec!["rd".to_owned(), "1".to_owned()],
        version: Enabler::V1_1,
        refused: None,
    };
    machine
        .registration
        .start(Some(saved), Duration::ZERO, at(100));
    machine.now = secs(100);
    machine.connect();
    assert_eq!(machine.steps(), [Step::Open, update(false, false)]);
    machine.reply(Purpose::Update, reply(Code::NOT_FOUND));
    assert_eq!(machine.registration.version(), Enabler::V1_2);
}

#[test]
fn the_highest_version_that_nobody_has_accepted_yet_is_given_up_for_a_bad_request() {
    let saved = |version| SavedRegistration::None {
        version,
        refused: None,
    };
    for (version, then) in [
        (Enabler::V1_2, Enabler::V1_1),
        (Enabler::V1_1, Enabler::V1_1),
    ] {
        let mut machine = Machine::standard(300);
        machine
            .registration
            .start(Some(saved(version)), Duration::ZERO, at(0));
        machine.connect();
        machine.reply(Purpose::Register, reply(Code::BAD_REQUEST));
        machine.steps();
        assert_eq!(machine.registration.version(), then);
    }
}
