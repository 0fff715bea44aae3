//! Links that break, move or stay away.

use super::*;

#[test]
fn a_lost_link_is_opened_again_and_followed_by_an_update() {
    let mut machine = Machine::registered(3600);
    machine
        .registration
        .disconnected(Cause::Link.told("cable out"), machine.now());
    assert_eq!(machine.steps(), [Step::Close, Step::Open]);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        machine
            .registration
            .disconnected(Cause::Link.told("cable out"), machine.now());
        machine.steps();
        pauses.push(machine.next().as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    machine.steps();
    machine.connect();
    assert_eq!(machine.steps(), [update(false, false)]);
}

#[test]
fn links_that_break_at_once_are_opened_with_growing_pauses() {
    let mut machine = Machine::registered(3600);
    machine
        .registration
        .disconnected(Cause::Link.told("reset"), machine.now());
    machine.steps();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        machine.connect();
        machine
            .registration
            .disconnected(Cause::Link.told("reset"), machine.now());
        machine.steps();
        pauses.push(machine.next().as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    machine.connect();
    machine.reply(Purpose::Update, reply(Code::CHANGED));
    machine.steps();
    machine
        .registration
        .disconnected(Cause::Link.told("reset"), machine.now());
    assert_eq!(machine.steps(), [Step::Close, Step::Open], "a good link");
}

#[test]
fn a_better_path_during_the_registration_is_registered_over() {
    let mut machine = Machine::standard(300);
    machine.registration.start(None, Duration::ZERO, at(0));
    machine.connect();
    machine.steps();
    machine.registration.moved(machine.now());
    assert_eq!(machine.steps(), [Step::Register]);
}

#[test]
fn a_link_that_stays_away_ends_in_the_table() {
    let mut machine = Machine::standard(300);
    machine.registration.start(None, Duration::ZERO, at(0));
    machine.steps();
    assert_eq!(machine.next(), secs(60), "the time for opening");
    assert!(is_within(machine.next(), 60));
}

#[test]
fn spurious_calls_do_nothing() {
    let mut machine = Machine::registered(3600);
    let now = machine.now();
    machine.registration.handle_timeout(now);
    machine.connect();
    machine.reply(Purpose::Register, reply(Code::CREATED));
    machine.reply(Purpose::Deregister, reply(Code::DELETED));
    machine.lose(Purpose::Register);
    assert_eq!(machine.steps(), []);
}

#[test]
fn a_link_that_is_there_gets_the_time_that_a_session_needs() {
    let mut machine = Machine::standard(300);
    machine.registration.start(None, Duration::ZERO, at(0));
    machine.now = secs(50);
    machine.registration.link_up(machine.now());
    assert_eq!(machine.next(), secs(150));
}

#[test]
fn at_the_end_of_the_lifetime_a_new_link_is_registered_over() {
    for (seconds, step) in [
        (299, update(false, false)),
        (300, Step::Register),
        (301, Step::Register),
    ] {
        let mut machine = Machine::registered(300);
        machine
            .registration
            .disconnected(Cause::Link.told("reset"), machine.now());
        machine.steps();
        machine.now = secs(seconds);
        machine.connect();
        assert_eq!(machine.steps(), [step], "after {seconds} s");
    }
}

#[test]
fn at_the_end_of_the_lifetime_links_that_break_have_the_pauses_of_the_table() {
    for (seconds, pause) in [(299, 1), (300, 60), (301, 60)] {
        let mut machine = Machine::registered(300);
        machine
            .registration
            .disconnected(Cause::Link.told("reset"), machine.now());
        machine.now = secs(seconds);
        machine
            .registration
            .disconnected(Cause::Link.told("reset"), machine.now());
        assert!(is_within(machine.next(), pause), "after {seconds} s");
    }
}
