//! When a Register is repeated: the table of object 1, row by row, and the floor.

use super::*;

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

/// Drawn for so many boxes with this policy: the shortest and the longest pause after a failure.
fn spread(policy: RetryPolicy) -> (Duration, Duration) {
    let delays = (0..200).map(|seed| Backoff::new(policy).next(&mut Rng::new(seed)));
    let delays: Vec<Duration> = delays.collect();
    let (shortest, longest) = (delays.iter().min(), delays.iter().max());
    (*shortest.unwrap(), *longest.unwrap())
}

#[test]
fn boxes_that_failed_together_do_not_return_together() {
    let (shortest, longest) = spread(standard());
    assert!(shortest >= secs(60) && shortest < secs(61), "{shortest:?}");
    assert!(longest > secs(65) && longest <= secs(66), "{longest:?}");
    let once = RetryPolicy {
        count: 1,
        ..standard()
    };
    let (shortest, longest) = spread(once);
    assert!(is_floor(shortest) && shortest < secs(2000), "{shortest:?}");
    assert!(is_floor(longest) && longest > secs(5200), "{longest:?}");
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
        let Step::Failed { trouble, retry_in } = &steps[1] else {
            panic!("{code}: {steps:?}");
        };
        assert_eq!(trouble.cause, Cause::Refused(code));
        assert!(trouble.words.starts_with(&code.to_string()), "{trouble:?}");
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

/// 1/x/17 to 1/x/20.
fn written(
    count: Option<u32>,
    timer_s: Option<u32>,
    sequence_delay_s: Option<u32>,
    sequences: Option<u32>,
) -> RetryConfig {
    RetryConfig {
        count,
        sequence_delay_s,
        sequences,
        timer_s,
    }
}

/// Every row of the table of lwm2m/10, 7: the pauses after failures, in seconds, before the floor.
#[test]
fn every_row_of_the_table_is_obeyed() {
    let day = 86_400;
    let for_ever = Some(u32::MAX);
    let rows: [(RetryConfig, &[u64]); 10] = [
        (written(None, None, None, None), &[60, 120, 240, 480]),
        // 17: attempts in a sequence; none is one.
        (written(Some(3), None, None, None), &[60, 120]),
        (written(Some(1), None, None, None), &[]),
        (written(Some(0), None, None, None), &[]),
        // 18: the first pause, doubled each time.
        (written(None, Some(7), None, None), &[7, 14, 28, 56]),
        // 19 and 20: sequences, a day apart or as written; longer than a day is a day.
        (
            written(Some(2), None, None, Some(3)),
            &[60, day, 60, day, 60],
        ),
        (written(Some(2), None, Some(1000), Some(2)), &[60, 1000, 60]),
        (written(Some(1), None, Some(900_000), Some(2)), &[day]),
        // 19: 2^32 - 1 is no more sequences.
        (written(Some(2), None, for_ever, Some(9)), &[60]),
        (written(None, None, None, Some(0)), &[]),
    ];
    for (row, pauses) in rows {
        let mut machine = Machine::new(VersionChoice::Auto, 300, row.into());
        machine.registration.start(None, Duration::ZERO, at(0));
        for wait in pauses {
            assert!(!machine.registration.has_given_up(), "{row:?}");
            let delay = machine.failed_attempt();
            assert!(is_within(delay, *wait), "{row:?}: {delay:?} for {wait}");
        }
        for _ in 0..5 {
            assert!(is_floor(machine.failed_attempt()), "{row:?}");
            assert!(machine.registration.has_given_up(), "{row:?}");
        }
    }
}

#[test]
fn the_end_of_the_table_is_told_once_and_again_after_a_success() {
    let mut machine = Machine::standard(300);
    machine.registration.start(None, Duration::ZERO, at(0));
    let mut given_up = Vec::new();
    for attempt in 1..=12 {
        machine.connect();
        machine.lose(Purpose::Register);
        if machine.steps().contains(&Step::GaveUp) {
            given_up.push(attempt);
        }
        machine.next();
    }
    assert_eq!(given_up, [5]);
    machine.connect();
    machine.reply(Purpose::Register, reply(Code::CREATED));
    assert!(!machine.registration.has_given_up());
    machine.registration.register_now(machine.now());
    for _ in 0..5 {
        machine.failed_attempt();
    }
    assert!(machine.registration.has_given_up());
}

#[test]
fn a_rejection_is_told_at_once_and_the_table_goes_on() {
    for code in [Code::FORBIDDEN, Code::BAD_REQUEST] {
        let mut machine = Machine::new(VersionChoice::V1_1, 300, standard());
        machine.registration.start(None, Duration::ZERO, at(0));
        machine.connect();
        machine.reply(Purpose::Register, reply(code));
        let steps = machine.steps();
        assert_eq!(steps.last(), Some(&Step::GaveUp), "{code}");
        assert!(is_within(machine.next(), 60));
    }
}

#[test]
fn a_written_table_counts_from_the_next_failure() {
    let mut machine = Machine::registered(300);
    let written = RetryConfig {
        timer_s: Some(5),
        ..RetryConfig::default()
    };
    machine.write(|wish| wish.policy = written.into());
    machine.registration.register_now(machine.now());
    assert!(is_within(machine.failed_attempt(), 5));
}

#[test]
fn the_first_registration_waits_as_long_as_it_shall() {
    let mut machine = Machine::standard(300);
    machine.registration.start(None, secs(40), at(0));
    assert_eq!(machine.steps(), []);
    assert_eq!(machine.next(), secs(40));
    assert_eq!(machine.steps(), [Step::Open]);
}

#[test]
fn nothing_begins_before_the_start() {
    let mut machine = Machine::standard(300);
    machine.connect();
    machine.registration.trigger(at(0));
    machine
        .registration
        .disconnected(Cause::Link.told("cable out"), at(0));
    assert_eq!(machine.steps(), []);
    assert_eq!(machine.registration.timeout(), None);
    machine.registration.register_now(at(0));
    machine.steps();
    machine
        .registration
        .start(None, Duration::ZERO, machine.now());
    assert_eq!(machine.steps(), [], "it has begun already");
}
