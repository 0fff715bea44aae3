//! Waiting in real time for what a test wants to see.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Longer than anything takes that a test does not measure, on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

#[expect(
    clippy::disallowed_methods,
    reason = "networks of a test break and heal in real time"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Looks until there is something, and gives it.
#[track_caller]
pub fn until<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = now() + within;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(now() < deadline, "no {what} within {within:?}");
        thread::park_timeout(PAUSE);
    }
}

/// Lets this time pass: only for what is itself a time, as the pace of something that flaps.
pub fn pass(time: Duration) {
    let end = now() + time;
    while let Some(left) = end.checked_duration_since(now()) {
        thread::park_timeout(left);
    }
}
