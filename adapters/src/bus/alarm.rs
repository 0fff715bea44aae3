//! Waiting on a line whose pauses are shorter than the runtime's timers are fine.
//!
//! The runtime counts in milliseconds and rounds up; the silence between two frames at 19200 Bd is
//! 1.8 ms. The kernel's timers are exact to some microseconds.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
};

use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until},
};

/// One waiting at a time.
#[derive(Debug)]
pub(crate) enum Alarm {
    Fine(AsyncFd<Timer>),
    /// As coarse as the runtime; follows its clock where tests have stopped that.
    Runtime,
}

#[derive(Debug)]
pub(crate) struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Alarm {
    /// A fine one, where the system has one to give. Must be called inside a tokio runtime.
    pub(crate) fn fine() -> Self {
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        );
        timer
            .map_err(io::Error::from)
            .and_then(watch)
            .map_or(Self::Runtime, Self::Fine)
    }

    pub(crate) async fn wait_until(&mut self, at: Instant) {
        if let Self::Fine(timer) = self {
            match ring(timer, at).await {
                Ok(()) => return,
                // A timer that does not work is no reason not to wait.
                Err(_error) => *self = Self::Runtime,
            }
        }
        sleep_until(at).await;
    }
}

#[expect(
    deprecated,
    reason = "its successor is unsafe for the sake of descriptors that close early; this one is owned"
)]
fn watch(timer: TimerFd) -> io::Result<AsyncFd<Timer>> {
    AsyncFd::with_interest(Timer(timer), Interest::READABLE)
}

async fn ring(timer: &AsyncFd<Timer>, at: Instant) -> io::Result<()> {
    loop {
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let once = Expiration::OneShot(TimeSpec::from_duration(left));
        timer
            .get_ref()
            .0
            .set(once, TimerSetTimeFlags::empty())
            .map_err(io::Error::from)?;
        // Readiness may be left over from a waiting that was given up: then time is not over.
        let mut ready = timer.readable().await?;
        if let Ok(result) = ready.try_io(|timer| Ok(timer.get_ref().0.wait()?)) {
            result?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn an_alarm_never_rings_early_and_may_be_given_up() {
        let mut alarm = Alarm::fine();
        assert!(matches!(alarm, Alarm::Fine(_)));
        for micros in [0, 200, 1823, 3646] {
            let at = Instant::now() + Duration::from_micros(micros);
            alarm.wait_until(at).await;
            assert!(Instant::now() >= at);
            // Given up before it rings; the next one does not ring early for that.
            let later = Instant::now() + Duration::from_millis(1);
            tokio::select! {
                biased;
                () = alarm.wait_until(later) => {}
                () = std::future::ready(()) => {}
            }
        }
    }
}
