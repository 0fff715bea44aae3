//! De-register, Disable, stop.

use super::*;

#[test]
fn deregisters_and_stays_away() {
    let mut machine = Machine::registered(3600);
    let now = machine.now();
    machine.registration.deregister(now);
    let location = vec!["rd".to_owned(), "1".to_owned()];
    assert_eq!(machine.steps(), [Step::Deregister { location }]);
    machine.reply(Purpose::Deregister, reply(Code::DELETED));
    assert_eq!(machine.steps(), [Step::Close, Step::Left]);
    assert_eq!(machine.registration.timeout(), None);
}

#[test]
fn nobody_waits_long_for_the_end_of_a_deregistration() {
    let mut machine = Machine::registered(3600);
    machine.registration.deregister(machine.now());
    machine.steps();
    assert_eq!(machine.next(), secs(5));
    assert_eq!(machine.steps(), [Step::Close, Step::Left]);
}

#[test]
fn a_disabled_server_is_left_alone_until_the_end_and_a_little_longer() {
    for (lasts, spread) in [(300, 75), (60, 60), (7200, 1800)] {
        let mut machine = Machine::registered(3600);
        machine.registration.disable(secs(lasts), machine.now());
        machine.reply(Purpose::Deregister, reply(Code::DELETED));
        machine.steps();
        assert_eq!(machine.registration.phase(), Phase::Disabled);
        let away = machine.next();
        assert!(
            away >= secs(lasts) && away <= secs(lasts + spread),
            "{away:?}"
        );
        assert_eq!(machine.steps(), [Step::Open]);
    }
}

#[test]
fn the_rest_of_a_disable_survives_a_restart() {
    let mut machine = Machine::registered(3600);
    machine.registration.disable(secs(1000), at(0));
    let mut saved = None;
    while let Some(step) = machine.registration.poll() {
        if let Step::Save(record) = step {
            saved = Some(record);
        }
    }
    let (end, _) = {
        machine.reply(Purpose::Deregister, reply(Code::DELETED));
        machine.registration.timeout().unwrap()
    };
    // The same boot, another boot with a date, another boot without.
    for now in [now(1, secs(400)), now(2, secs(400))] {
        let mut restarted = Machine::standard(3600);
        restarted
            .registration
            .start(saved.clone(), Duration::ZERO, now);
        assert_eq!(restarted.steps(), []);
        let (due, _) = restarted.registration.timeout().unwrap();
        assert_eq!(due, end, "the spread is not drawn again");
    }
    let unknown = Now {
        unix: None,
        ..now(2, secs(400))
    };
    let mut restarted = Machine::standard(3600);
    restarted.registration.start(saved, Duration::ZERO, unknown);
    let (due, _) = restarted.registration.timeout().unwrap();
    assert!(due - unknown.mono >= secs(1000));
}

/// Design, 6: boxes that were disabled together come back over a quarter of the time, at least a
/// minute.
#[test]
fn boxes_that_were_disabled_together_come_back_over_a_while() {
    for (lasts, spread) in [(1000, 250), (100, 60)] {
        let returns = (0..200).map(|seed| {
            let mut machine = Machine::registered(3600);
            machine.registration.rng = Rng::new(seed);
            machine.registration.disable(secs(lasts), at(0));
            machine.reply(Purpose::Deregister, reply(Code::DELETED));
            let (due, _) = machine.registration.timeout().unwrap();
            due
        });
        let returns: Vec<Duration> = returns.collect();
        let (first, last) = (returns.iter().min().unwrap(), returns.iter().max().unwrap());
        assert!(*first >= secs(lasts) && *first < secs(lasts + spread / 20));
        assert!(*last <= secs(lasts + spread) && *last > secs(lasts + spread - spread / 20));
    }
}

#[test]
fn a_stop_keeps_the_silence_that_a_server_has_asked_for() {
    for is_answered in [false, true] {
        let mut machine = Machine::registered(3600);
        machine.registration.disable(secs(1000), at(0));
        if is_answered {
            machine.reply(Purpose::Deregister, reply(Code::DELETED));
        }
        machine.registration.stop(at(1));
        machine.reply(Purpose::Deregister, reply(Code::DELETED));
        assert!(machine.registration.is_off());
        let saves = std::iter::from_fn(|| machine.registration.poll())
            .filter(|step| matches!(step, Step::Save(_)))
            .collect::<Vec<_>>();
        assert!(
            matches!(saves[..], [Step::Save(SavedRegistration::Disabled { .. })]),
            "{saves:?}"
        );
    }
}

#[test]
fn whatever_is_said_to_a_deregistration_ends_it() {
    for code in [Code::DELETED, Code::NOT_FOUND, Code::BAD_REQUEST] {
        let mut machine = Machine::registered(3600);
        machine.registration.deregister(machine.now());
        machine.steps();
        machine.reply(Purpose::Deregister, reply(code));
        assert_eq!(machine.steps(), [Step::Close, Step::Left], "{code}");
        assert_eq!(machine.registration.phase(), Phase::Left);
    }
    let mut machine = Machine::registered(3600);
    machine.registration.deregister(machine.now());
    machine.steps();
    machine.lose(Purpose::Deregister);
    assert_eq!(machine.steps(), [Step::Close, Step::Left]);
}

#[test]
fn a_disable_that_is_asked_for_again_counts_anew() {
    let mut machine = Machine::registered(3600);
    machine.registration.disable(secs(600), machine.now());
    machine.reply(Purpose::Deregister, reply(Code::DELETED));
    machine.now = secs(500);
    machine.registration.disable(secs(600), machine.now());
    let away = machine.next();
    assert!(away >= secs(600) && away <= secs(750), "{away:?}");
}

#[test]
fn the_spread_of_the_return_can_be_set() {
    let mut machine = Machine::registered(3600);
    machine.registration.terms.return_spread = Some(Duration::ZERO);
    machine.registration.disable(secs(7200), machine.now());
    machine.reply(Purpose::Deregister, reply(Code::DELETED));
    assert_eq!(machine.next(), secs(7200), "to the second");
}

#[test]
fn a_disable_is_at_most_a_day() {
    let mut machine = Machine::registered(3600);
    machine.registration.terms.return_spread = Some(Duration::ZERO);
    machine.registration.disable(secs(1_000_000), machine.now());
    machine.reply(Purpose::Deregister, reply(Code::DELETED));
    assert_eq!(machine.next(), secs(86_400));
}

#[test]
fn what_nobody_answers_after_the_stop_is_not_repeated() {
    for purpose in [Purpose::Register, Purpose::Update] {
        let mut machine = Machine::standard(300);
        machine.registration.start(None, Duration::ZERO, at(0));
        machine.connect();
        machine.registration.stop(at(1));
        machine.steps();
        machine.lose(purpose);
        assert_eq!(machine.steps(), []);
        assert_eq!(machine.registration.timeout(), None);
    }
}
