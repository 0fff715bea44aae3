//! What makes an Update due, and what follows its answers; restarts.

use super::*;

#[test]
fn updates_before_the_lifetime_ends() {
    for (lifetime, after) in [
        (3600, 3507),
        (300, 207),
        (186, 93),
        (185, 92),
        (20, 10),
        (1, 0),
    ] {
        let mut machine = Machine::registered(lifetime);
        assert_eq!(machine.next().as_secs(), after, "lifetime {lifetime}");
        assert_eq!(machine.steps(), [update(false, false)]);
        machine.reply(Purpose::Update, reply(Code::CHANGED));
        assert_eq!(machine.steps(), [Step::Registered { anew: false }]);
        assert_eq!(
            machine.next().as_secs(),
            after,
            "again, lifetime {lifetime}"
        );
    }
}

#[test]
fn registers_at_once_when_update_gets_an_error() {
    for code in [
        Code::NOT_FOUND,
        Code::BAD_REQUEST,
        Code::FORBIDDEN,
        Code::INTERNAL_SERVER_ERROR,
    ] {
        let mut machine = Machine::registered(300);
        machine.next();
        machine.steps();
        machine.reply(Purpose::Update, reply(code));
        assert_eq!(machine.steps(), [Step::Register], "{code}");
        machine.reply(Purpose::Register, reply(Code::CREATED));
        assert_eq!(machine.steps(), [Step::Registered { anew: true }]);
    }
}

#[test]
fn an_overloaded_server_gets_its_update_later() {
    let mut machine = Machine::registered(3600);
    machine.next();
    machine.steps();
    let overloaded = Reply {
        max_age: Some(secs(30)),
        ..reply(Code::SERVICE_UNAVAILABLE)
    };
    machine.reply(Purpose::Update, overloaded);
    assert_eq!(machine.next(), secs(30));
    assert_eq!(machine.steps(), [update(false, false)]);
}

#[test]
fn overload_is_obeyed_beyond_the_end_of_the_lifetime() {
    let mut machine = Machine::registered(300);
    let updated = machine.next();
    machine.steps();
    let overloaded = Reply {
        max_age: Some(secs(1000)),
        ..reply(Code::SERVICE_UNAVAILABLE)
    };
    machine.reply(Purpose::Update, overloaded);
    assert_eq!(updated + machine.next(), secs(300));
    assert_eq!(machine.steps(), [Step::Close]);
    assert_eq!(machine.registration.phase(), Phase::Offline);
    machine.next();
    assert_eq!(machine.now, updated + secs(1000));
    assert_eq!(machine.steps(), [Step::Open]);
}

#[test]
fn registers_when_the_lifetime_ends_during_an_update() {
    let mut machine = Machine::registered(20);
    machine.next();
    machine.steps();
    assert_eq!(machine.next(), secs(10));
    assert_eq!(machine.steps(), [Step::Close, Step::Open]);
}

#[test]
fn a_new_lifetime_is_told_at_once_and_counts() {
    let mut machine = Machine::registered(3600);
    machine.write(|wish| wish.lifetime = secs(60));
    assert_eq!(machine.steps(), [update(true, false)]);
    machine.reply(Purpose::Update, reply(Code::CHANGED));
    assert_eq!(machine.next(), secs(30));
}

#[test]
fn objects_that_appear_together_go_into_one_update() {
    let mut machine = Machine::registered(3600);
    for millis in [0, 300, 600] {
        machine
            .registration
            .objects_changed(now(1, Duration::from_millis(millis)));
    }
    assert_eq!(machine.next(), secs(1));
    assert_eq!(machine.steps(), [update(false, true)]);
}

#[test]
fn what_changes_during_an_update_goes_into_the_next() {
    let mut machine = Machine::registered(3600);
    let now = machine.now();
    machine.registration.trigger(now);
    assert_eq!(machine.steps(), [update(false, false)]);
    machine.write(|wish| wish.lifetime = secs(100));
    machine.registration.objects_changed(now);
    machine.registration.trigger(now);
    assert_eq!(machine.steps(), []);
    machine.reply(Purpose::Update, reply(Code::CHANGED));
    assert_eq!(
        machine.steps(),
        [Step::Registered { anew: false }, update(true, true)]
    );
}

#[test]
fn a_registration_under_another_name_or_version_is_not_continued() {
    let saved = |identity: &str, version| SavedRegistration::Registered {
        at: Moment::of(at(100)),
        identity: identity.to_owned(),
        lifetime: secs(300),
        location: vec!["rd".to_owned(), "1".to_owned()],
        version,
        refused: None,
    };
    let mut other = Machine::standard(300);
    let renamed = saved("cab-18 at coap://server.example:5683", Enabler::V1_1);
    other
        .registration
        .start(Some(renamed), Duration::ZERO, at(150));
    other.connect();
    assert_eq!(other.steps(), [Step::Open, Step::Register]);
    let mut pinned = Machine::new(VersionChoice::V1_0, 300, standard());
    let newer = saved(IDENTITY, Enabler::V1_1);
    pinned
        .registration
        .start(Some(newer), Duration::ZERO, at(150));
    pinned.connect();
    assert_eq!(pinned.steps(), [Step::Open, Step::Register]);
}

#[test]
fn a_lifetime_that_was_configured_anew_is_told_by_the_first_update() {
    let saved = SavedRegistration::Registered {
        at: Moment::of(at(100)),
        identity: IDENTITY.to_owned(),
        lifetime: secs(300),
        location: vec!["rd".to_owned(), "1".to_owned()],
        version: Enabler::V1_1,
        refused: None,
    };
    let mut machine = Machine::standard(3600);
    machine
        .registration
        .start(Some(saved), Duration::ZERO, at(150));
    machine.connect();
    assert_eq!(machine.steps(), [Step::Open, update(true, false)]);
}

#[test]
fn a_restart_continues_with_an_update_where_the_server_still_knows_us() {
    let saved = |seconds| SavedRegistration::Registered {
        at: Moment::of(at(seconds)),
        identity: IDENTITY.to_owned(),
        lifetime: secs(300),
        location: vec!["rd".to_owned(), "1".to_owned()],
        version: Enabler::V1_1,
        refused: None,
    };
    let mut machine = Machine::standard(300);
    machine
        .registration
        .start(Some(saved(100)), Duration::ZERO, at(200));
    assert_eq!(machine.steps(), [Step::Open]);
    machine.now = secs(200);
    machine.connect();
    assert_eq!(machine.steps(), [update(false, false)]);
    let mut late = Machine::standard(300);
    late.registration
        .start(Some(saved(100)), Duration::ZERO, at(500));
    late.now = secs(500);
    late.connect();
    assert_eq!(late.steps(), [Step::Open, Step::Register]);
}

#[test]
fn what_an_unsuccessful_update_said_is_said_again() {
    let mut machine = Machine::registered(3600);
    let now = machine.now();
    machine.registration.objects_changed(now);
    machine.write(|wish| wish.lifetime = secs(7200));
    assert_eq!(machine.steps(), [update(true, true)]);
    let overloaded = Reply {
        max_age: Some(secs(30)),
        ..reply(Code::SERVICE_UNAVAILABLE)
    };
    machine.reply(Purpose::Update, overloaded);
    assert_eq!(machine.next(), secs(30));
    assert_eq!(machine.steps(), [update(true, true)]);
    machine
        .registration
        .disconnected(Cause::Link.told("cable out"), machine.now());
    machine.steps();
    machine.connect();
    assert_eq!(machine.steps(), [update(true, true)]);
}

#[test]
fn registers_over_a_new_link_when_update_gets_no_answer() {
    let mut machine = Machine::registered(3600);
    machine.next();
    machine.steps();
    machine.lose(Purpose::Update);
    assert_eq!(machine.steps(), [Step::Close, Step::Open]);
    machine.connect();
    assert_eq!(machine.steps(), [Step::Register]);
}

#[test]
fn a_registration_for_ever_is_told_so_from_1_2_on_and_updated_daily() {
    let mut machine = Machine::registered(0);
    assert_eq!(machine.registration.lifetime(), Duration::ZERO);
    for _ in 0..3 {
        assert_eq!(machine.next(), secs(86_400));
        assert_eq!(machine.steps(), [update(false, false)]);
        machine.reply(Purpose::Update, reply(Code::CHANGED));
        machine.steps();
    }
    let mut old = Machine::new(VersionChoice::V1_1, 0, standard());
    old.registration.start(None, Duration::ZERO, at(0));
    assert_eq!(old.registration.lifetime(), secs(86_400), "the default");
    old.connect();
    old.reply(Purpose::Register, reply(Code::CREATED));
    assert_eq!(old.next(), secs(86_400 - 93));
}

#[test]
fn a_registration_for_ever_survives_any_time_of_absence() {
    let saved = SavedRegistration::Registered {
        at: Moment::of(at(0)),
        identity: IDENTITY.to_owned(),
        lifetime: Duration::ZERO,
        location: vec!["rd".to_owned(), "1".to_owned()],
        version: Enabler::V1_2,
        refused: None,
    };
    let mut machine = Machine::standard(0);
    machine.now = secs(90 * 86_400);
    let now = machine.now();
    machine.registration.start(Some(saved), Duration::ZERO, now);
    machine.connect();
    assert_eq!(machine.steps(), [Step::Open, update(false, false)]);
}

#[test]
fn a_location_is_echoed_as_it_came() {
    for location in [
        &["rd", "5a3f"][..],
        &["rd/5a3f"],
        &["a", "b", "c", ""],
        &[""],
    ] {
        let location: Vec<String> = location.iter().map(|part| (*part).to_owned()).collect();
        let mut machine = Machine::standard(300);
        machine.registration.start(None, Duration::ZERO, at(0));
        machine.connect();
        let created = Reply {
            location: location.clone(),
            ..reply(Code::CREATED)
        };
        machine.reply(Purpose::Register, created);
        machine.steps();
        machine.next();
        let [Step::Update { location: told, .. }] = &machine.steps()[..] else {
            panic!("no Update");
        };
        assert_eq!(told, &location);
        machine.reply(Purpose::Update, reply(Code::CHANGED));
        machine.registration.deregister(machine.now());
        assert!(machine.steps().contains(&Step::Deregister { location }));
    }
}

#[test]
fn queue_mode_that_changes_is_told_by_the_binding() {
    let mut machine = Machine::registered(300);
    machine.write(|wish| wish.queue_mode = true);
    let location = vec!["rd".to_owned(), "1".to_owned()];
    let told = Step::Update {
        location,
        binding: true,
        lifetime: false,
        objects: false,
    };
    assert_eq!(machine.steps(), [told]);
    machine.write(|wish| wish.queue_mode = true);
    machine.reply(Purpose::Update, reply(Code::CHANGED));
    assert_eq!(machine.steps(), [Step::Registered { anew: false }]);
}

#[test]
fn a_binding_that_was_not_heard_is_said_again() {
    let mut machine = Machine::registered(300);
    machine.write(|wish| wish.queue_mode = true);
    let told = machine.steps();
    machine.registration.moved(machine.now());
    assert_eq!(machine.steps(), told);
}

#[test]
fn objects_that_appear_during_an_update_wait_for_their_time_or_go_at_once_after_it() {
    for (seconds, steps) in [(0, vec![]), (1, vec![update(false, true)])] {
        let mut machine = Machine::registered(3600);
        machine.registration.trigger(machine.now());
        machine.registration.objects_changed(machine.now());
        machine.steps();
        machine.now = secs(seconds);
        machine.reply(Purpose::Update, reply(Code::CHANGED));
        assert_eq!(machine.steps().split_off(1), steps, "after {seconds} s");
    }
}

#[test]
fn an_account_that_is_written_as_it_was_does_not_disturb_an_overloaded_server() {
    let mut machine = Machine::registered(3600);
    machine.registration.trigger(machine.now());
    let overloaded = Reply {
        max_age: Some(secs(30)),
        ..reply(Code::SERVICE_UNAVAILABLE)
    };
    machine.reply(Purpose::Update, overloaded);
    machine.steps();
    machine.write(|_| ());
    assert_eq!(machine.steps(), []);
    assert_eq!(machine.next(), secs(30));
}
