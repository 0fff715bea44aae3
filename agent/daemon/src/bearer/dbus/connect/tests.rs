use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn view(state: State) -> View {
    View {
        state,
        lock: Lock::None,
        may_unlock: false,
        is_off: false,
        is_wanted: true,
        is_elsewhere: false,
    }
}

#[test]
fn a_modem_is_enabled_and_connected_step_by_step() {
    let mut ladder = Connector::default();
    let locked = View {
        lock: Lock::Pin,
        may_unlock: true,
        ..view(State::Locked)
    };
    assert_eq!(ladder.next(&locked, s(0)), Some(Job::Unlock));
    assert_eq!(ladder.next(&locked, s(1)), None, "one thing at a time");
    ladder.done(Job::Unlock, true, s(1));
    assert_eq!(ladder.next(&view(State::Disabled), s(2)), Some(Job::Enable));
    ladder.done(Job::Enable, true, s(3));
    assert_eq!(ladder.next(&view(State::Enabled), s(3)), None);
    let connect = Job::Connect(Families::Both);
    assert_eq!(ladder.next(&view(State::Registered), s(9)), Some(connect));
    assert_eq!(ladder.next(&view(State::Connecting), s(10)), None);
    ladder.done(connect, true, s(11));
    assert_eq!(ladder.next(&view(State::Connected), s(11)), None);
    // The network takes it away.
    assert_eq!(ladder.next(&view(State::Registered), s(99)), Some(connect));
}

#[test]
fn a_pin_that_was_found_wrong_and_a_puk_are_left_to_people() {
    let mut ladder = Connector::default();
    for (lock, may_unlock) in [(Lock::Pin, false), (Lock::Puk, true), (Lock::Other, true)] {
        let view = View {
            lock,
            may_unlock,
            ..view(State::Locked)
        };
        for now in [0, 1000, 100_000] {
            assert_eq!(ladder.next(&view, s(now)), None, "{lock:?}");
        }
    }
}

/// What is done in so many seconds by a modem that is registered and cannot be connected.
fn refused(seconds: u64) -> Vec<(u64, Job)> {
    let mut ladder = Connector::default();
    let mut done = Vec::new();
    for now in 0..seconds {
        let Some(job) = ladder.next(&view(State::Registered), s(now)) else {
            continue;
        };
        done.push((now, job));
        ladder.done(job, matches!(job, Job::Disconnect | Job::Reset), s(now));
    }
    done
}

#[test]
fn what_fails_is_tried_again_after_longer_and_longer_times() {
    let (both, v4) = (Job::Connect(Families::Both), Job::Connect(Families::V4));
    let expected = [
        (0, both),
        (10, v4),
        (40, both),
        (100, Job::Disconnect),
        (101, v4),
        (221, both),
        (521, v4),
        (522, Job::Reset),
        (1121, Job::Disconnect),
        (1122, both),
    ];
    assert_eq!(refused(1130), expected);
}

#[test]
fn resets_are_few_however_long_nothing_works() {
    let jobs = refused(3 * 86_400);
    let resets = jobs.iter().filter(|(_, job)| *job == Job::Reset).count();
    assert!((6..=3 * RESETS_MAX).contains(&resets), "{resets}");
    let tries = jobs
        .iter()
        .filter(|(_, job)| matches!(job, Job::Connect(_)));
    assert!((400..500).contains(&tries.count()), "never given up");
}

#[test]
fn a_modem_that_hangs_is_reset_within_the_budget() {
    let mut ladder = Connector::default();
    let mut resets = Vec::new();
    for now in 0..86_400 {
        if let Some(job) = ladder.next(&view(State::Enabled), s(now)) {
            ladder.done(job, true, s(now));
            resets.push((now, job));
        }
    }
    assert_eq!(resets.len(), RESETS_MAX);
    assert_eq!(resets[0], (600, Job::Reset));
    assert!(resets[1].0 >= 600 + RESET_GAP.as_secs());
}

#[test]
fn the_radio_goes_off_and_stays_off() {
    let mut ladder = Connector::default();
    let off = |state| View {
        is_off: true,
        ..view(state)
    };
    assert_eq!(ladder.next(&off(State::Connected), s(0)), Some(Job::Off));
    ladder.done(Job::Off, true, s(2));
    assert_eq!(ladder.next(&off(State::Disabled), s(3)), None);
    assert_eq!(
        ladder.next(&view(State::Disabled), s(60)),
        Some(Job::Enable)
    );
}

#[test]
fn a_connection_to_another_access_point_is_closed_and_opened_anew() {
    let mut ladder = Connector::default();
    let elsewhere = View {
        is_elsewhere: true,
        ..view(State::Connected)
    };
    assert_eq!(ladder.next(&elsewhere, s(0)), Some(Job::Disconnect));
    ladder.done(Job::Disconnect, true, s(1));
    let connect = Some(Job::Connect(Families::Both));
    assert_eq!(ladder.next(&view(State::Registered), s(2)), connect);
}

#[test]
fn a_connection_that_nobody_wants_is_closed() {
    let mut ladder = Connector::default();
    let unwanted = |state| View {
        is_wanted: false,
        ..view(state)
    };
    assert_eq!(
        ladder.next(&unwanted(State::Connected), s(0)),
        Some(Job::Disconnect)
    );
    ladder.done(Job::Disconnect, true, s(1));
    assert_eq!(ladder.next(&unwanted(State::Registered), s(2)), None);
}

#[test]
fn a_connection_without_a_server_is_opened_anew_and_then_the_modem_reset() {
    let mut ladder = Connector::default();
    let mut done = Vec::new();
    for now in 0..4300 {
        ladder.is_dead(s(now));
        if let Some(job) = ladder.next(&view(State::Connected), s(now)) {
            ladder.done(job, true, s(now));
            done.push((now, job));
        }
    }
    let expected = [
        (0, Job::Disconnect),
        (600, Job::Disconnect),
        (1800, Job::Reset),
        (4200, Job::Disconnect),
    ];
    assert_eq!(done, expected);
    ladder.is_alive();
    assert_eq!(ladder.dead, 0);
}
