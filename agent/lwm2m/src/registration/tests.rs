//! The state machine row by row: what comes in, and every step that follows.

use lamplighter_coap::Code;
use lamplighter_model::{BootId, UnixTime};

use super::*;
use crate::client::{RetryConfig, VersionChoice};

struct Machine {
    now: Duration,
    registration: Registration,
}

const IDENTITY: &str = "cab-17 at coap://server.example:5683";

fn at(seconds: u64) -> Now {
    now(1, Duration::from_secs(seconds))
}

fn now(boot: u32, mono: Duration) -> Now {
    Now {
        boot: BootId(boot),
        mono,
        unix: Some(UnixTime(i64::try_from(mono.as_millis()).unwrap())),
    }
}

fn reply(code: Code) -> Reply {
    Reply {
        code,
        detail: String::new(),
        location: vec!["rd".to_owned(), "1".to_owned()],
        max_age: None,
    }
}

fn standard() -> RetryPolicy {
    RetryConfig::default().into()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Machine {
    fn new(choice: VersionChoice, lifetime: u64, policy: RetryPolicy) -> Self {
        let terms = Terms {
            choice,
            identity: IDENTITY.to_owned(),
            lifetime: secs(lifetime),
            margin: secs(93),
            policy,
            queue_mode: false,
            return_spread: None,
        };
        let registration = Registration::new(terms, Rng::new(1));
        Self {
            now: Duration::ZERO,
            registration,
        }
    }

    fn standard(lifetime: u64) -> Self {
        Self::new(VersionChoice::Auto, lifetime, standard())
    }

    fn registered(lifetime: u64) -> Self {
        let mut machine = Self::standard(lifetime);
        machine.registration.start(None, Duration::ZERO, at(0));
        machine.connect();
        machine.reply(Purpose::Register, reply(Code::CREATED));
        machine.steps();
        machine
    }

    fn now(&self) -> Now {
        now(1, self.now)
    }

    fn steps(&mut self) -> Vec<Step> {
        std::iter::from_fn(|| self.registration.poll())
            .filter(|step| !matches!(step, Step::Save(_)))
            .collect()
    }

    fn connect(&mut self) {
        self.registration.connected(self.now());
    }

    fn reply(&mut self, purpose: Purpose, reply: Reply) {
        self.registration.replied(purpose, reply, self.now());
    }

    fn lose(&mut self, purpose: Purpose) {
        let now = self.now();
        self.registration
            .unanswered(purpose, "no answer".to_owned(), now);
    }

    /// Goes to the next deadline and handles it; how long that took.
    fn next(&mut self) -> Duration {
        let (due, _) = self.registration.timeout().expect("a deadline");
        let passed = due - self.now;
        self.now = due;
        self.registration.handle_timeout(self.now());
        passed
    }

    /// One attempt that gets no answer; the pause that follows.
    fn failed_attempt(&mut self) -> Duration {
        self.connect();
        self.lose(Purpose::Register);
        self.steps();
        self.next()
    }
}

fn update(lifetime: bool, objects: bool) -> Step {
    let location = vec!["rd".to_owned(), "1".to_owned()];
    Step::Update {
        location,
        binding: false,
        lifetime,
        objects,
    }
}

fn is_within(delay: Duration, seconds: u64) -> bool {
    delay >= secs(seconds) && delay <= secs(seconds) + secs(seconds) / 10
}

fn is_floor(delay: Duration) -> bool {
    delay >= secs(1800) && delay <= secs(5400)
}

#[test]
fn retries_follow_the_table_and_then_the_floor_for_ever() {
    let mut machine = Machine::standard(300);
    machine.registration.start(None, Duration::ZERO, at(0));
    for wait in [60, 120, 240, 480] {
        let delay = machine.failed_attempt();
        assert!(is_within(delay, wait), "{delay:?} for {wait}");
    }
    let floors: Vec<Duration> = (0..200).map(|_| machine.failed_attempt()).collect();
    assert!(floors.iter().all(|delay| is_floor(*delay)), "{floors:?}");
    assert!(floors.iter().any(|delay| *delay < secs(2700)));
    assert!(floors.iter().any(|delay| *delay > secs(4500)));
}

#[test]
fn sequences_are_separated_by_their_delay() {
    let policy = RetryPolicy {
        count: 2,
        sequence_delay: secs(1000),
        sequences: 2,
        timer: secs(10),
    };
    let mut machine = Machine::new(VersionChoice::Auto, 300, policy);
    machine.registration.start(None, Duration::ZERO, at(0));
    for wait in [10, 1000, 10] {
        let delay = machine.failed_attempt();
        assert!(is_within(delay, wait), "{delay:?} for {wait}");
    }
    assert!(is_floor(machine.failed_attempt()));
}

#[test]
fn a_table_of_absurd_length_is_capped_at_a_day() {
    let policy = RetryPolicy {
        count: u32::MAX,
        timer: secs(u64::from(u32::MAX)),
        ..standard()
    };
    let mut machine = Machine::new(VersionChoice::Auto, 300, policy);
    machine.registration.start(None, Duration::ZERO, at(0));
    for _ in 0..40 {
        assert!(is_within(machine.failed_attempt(), 86_400));
    }
}

#[test]
fn every_attempt_has_a_fresh_link() {
    let mut machine = Machine::standard(300);
    machine.registration.start(None, Duration::ZERO, at(0));
    assert_eq!(machine.steps(), [Step::Open]);
    machine.connect();
    assert_eq!(machine.steps(), [Step::Register]);
    machine.lose(Purpose::Register);
    let steps = machine.steps();
    assert_eq!(steps[0], Step::Close);
    assert!(matches!(steps[1], Step::Failed { .. }), "{steps:?}");
    machine.next();
    assert_eq!(machine.steps(), [Step::Open]);
}

#[test]
fn success_begins_the_table_anew() {
    let mut machine = Machine::standard(300);
    machine.registration.start(None, Duration::ZERO, at(0));
    machine.failed_attempt();
    machine.failed_attempt();
    machine.connect();
    machine.reply(Purpose::Register, reply(Code::CREATED));
    machine.registration.register_now(machine.now());
    assert!(is_within(machine.failed_attempt(), 60));
}

#[test]
fn refusals_go_through_the_same_table() {
    for code in [
        Code::BAD_REQUEST,
        Code::UNAUTHORIZED,
        Code::FORBIDDEN,
        Code::NOT_FOUND,
        Code::CONFLICT,
        Code::INTERNAL_SERVER_ERROR,
    ] {
        let mut machine = Machine::standard(300);
        machine.registration.start(None, Duration::ZERO, at(0));
        machine.connect();
        machine.steps();
        machine.reply(Purpose::Register, reply(code));
        let steps = machine.steps();
        let Step::Failed { reason, retry_in } = &steps[1] else {
            panic!("{code}: {steps:?}");
        };
        assert!(reason.starts_with(&code.to_string()), "{reason}");
        assert!(is_within(*retry_in, 60), "{retry_in:?}");
    }
}

#[test]
fn a_list_that_is_too_long_is_told_in_short() {
    let mut machine = Machine::standard(300);
    machine.registration.start(None, Duration::ZERO, at(0));
    machine.connect();
    machine.steps();
    assert_eq!(machine.registration.list(), List::Full);
    let too_large = || reply(Code::REQUEST_ENTITY_TOO_LARGE);
    machine.reply(Purpose::Register, too_large());
    assert_eq!(machine.steps(), [Step::ListShortened, Step::Register]);
    assert_eq!(machine.registration.list(), List::Short);
    machine.reply(Purpose::Register, too_large());
    assert!(is_within(machine.next(), 60), "and that is all");
    assert_eq!(machine.registration.list(), List::Full, "from the start");
    machine.connect();
    machine.reply(Purpose::Register, too_large());
    machine.reply(Purpose::Register, reply(Code::CREATED));
    assert_eq!(machine.registration.list(), List::Short, "for Updates too");
}

#[test]
fn overload_is_obeyed_and_bounded() {
    for (max_age, least, most) in [
        (Some(secs(5)), 60, 66),
        (Some(secs(900)), 900, 900),
        (None, 60, 66),
        (Some(secs(u64::from(u32::MAX))), 86_400, 86_400),
    ] {
        let mut machine = Machine::standard(300);
        machine.registration.start(None, Duration::ZERO, at(0));
        machine.connect();
        let overloaded = Reply {
            max_age,
            ..reply(Code::SERVICE_UNAVAILABLE)
        };
        machine.reply(Purpose::Register, overloaded);
        let delay = machine.next();
        assert!(
            delay >= secs(least) && delay <= secs(most),
            "{max_age:?}: {delay:?}"
        );
    }
}

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

#[test]
fn a_registration_without_location_is_a_failure() {
    let mut machine = Machine::standard(300);
    machine.registration.start(None, Duration::ZERO, at(0));
    machine.connect();
    let nowhere = Reply {
        location: Vec::new(),
        ..reply(Code::CREATED)
    };
    machine.reply(Purpose::Register, nowhere);
    assert!(is_within(machine.next(), 60));
}

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
fn what_an_unsuccessful_update_said_is_said_again() {
    let mut machine = Machine::registered(3600);
    let now = machine.now();
    machine.registration.objects_changed(now);
    machine.registration.set_lifetime(secs(7200), now);
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
        .disconnected("cable out", machine.now());
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
    let now = machine.now();
    machine.registration.set_lifetime(secs(60), now);
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
    machine.registration.set_lifetime(secs(100), now);
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
fn a_lost_link_is_opened_again_and_followed_by_an_update() {
    let mut machine = Machine::registered(3600);
    machine
        .registration
        .disconnected("cable out", machine.now());
    assert_eq!(machine.steps(), [Step::Close, Step::Open]);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        machine
            .registration
            .disconnected("cable out", machine.now());
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
    machine.registration.disconnected("reset", machine.now());
    machine.steps();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        machine.connect();
        machine.registration.disconnected("reset", machine.now());
        machine.steps();
        pauses.push(machine.next().as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    machine.connect();
    machine.reply(Purpose::Update, reply(Code::CHANGED));
    machine.steps();
    machine.registration.disconnected("reset", machine.now());
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
