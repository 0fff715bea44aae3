//! What the loop waits for, besides datagrams: signals and its one timer.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
    task::{Context, Poll, ready},
    time::Duration,
};

use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};
use tokio::{
    io::unix::AsyncFd,
    signal::unix::{SignalKind, signal},
};

use super::bell::Bell;
use crate::{clock, link, systemd::Watchdog};

/// Seconds of this start of the machine that every kernel can count.
const LATEST: Duration = Duration::from_secs(i32::MAX as u64);

/// How the loop waits.
#[derive(Debug)]
pub(super) struct Waits {
    /// Everything but sockets.
    pub(super) bell: Bell,
    /// Sockets and everything else are looked at first by turns, so that neither drowns the other.
    pub(super) are_links_first: bool,
    pub(super) signals: Signals,
    pub(super) timer: Timer,
    pub(super) watchdog: Watchdog,
}

/// The signals that end the agent or would, unhandled. They outlast the runtime: what comes while
/// there is none is heard by the next.
#[derive(Debug)]
pub struct Signals([(&'static str, tokio::signal::unix::Signal); 3]);

/// One timer of the kernel for all deadlines, by the clock that they are counted by: it goes on while
/// the machine is suspended. It is only moved to an earlier time: where what it was for is gone, it
/// fires for nothing. That costs less than to move it with every datagram; and while the runtime has
/// no timer of its own to look after, it waits for sockets only.
#[derive(Debug)]
pub(super) struct Timer {
    alarm: AsyncFd<Alarm>,
    /// When it fires; never, while nothing is set.
    due: Duration,
}

#[derive(Debug)]
struct Alarm(TimerFd);

impl Waits {
    /// `signals`: those that were listened to before.
    pub(super) fn new(signals: Option<Signals>) -> io::Result<Self> {
        Ok(Self {
            bell: Bell::default(),
            are_links_first: false,
            signals: signals.map_or_else(Signals::listen, Ok)?,
            timer: Timer::new()?,
            watchdog: Watchdog::of_process(),
        })
    }

    /// Lives, and shows it: the timer fires at `due` or before.
    pub(super) fn wake_at(&mut self, due: Duration) {
        if self.watchdog.is_fed() {
            self.watchdog.look(clock::mono());
        }
        let due = due.min(self.watchdog.due());
        if due < self.timer.due {
            self.timer.set(due);
        }
    }
}

impl Signals {
    /// Within a runtime.
    fn listen() -> io::Result<Self> {
        Self::of([
            ("SIGHUP", SignalKind::hangup()),
            ("SIGINT", SignalKind::interrupt()),
            ("SIGTERM", SignalKind::terminate()),
        ])
    }

    fn of(kinds: [(&'static str, SignalKind); 3]) -> io::Result<Self> {
        let [a, b, c] = kinds.map(|(name, kind)| signal(kind).map(|signal| (name, signal)));
        Ok(Self([a?, b?, c?]))
    }

    pub(super) fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<&'static str> {
        for (name, signal) in &mut self.0 {
            if signal.poll_recv(context).is_ready() {
                return Poll::Ready(*name);
            }
        }
        Poll::Pending
    }
}

impl Timer {
    fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let alarm = Alarm(TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?);
        Ok(Self {
            alarm: link::watch(alarm)?,
            due: Duration::MAX,
        })
    }

    fn set(&mut self, due: Duration) {
        // 0 would mean never.
        let at = due.clamp(Duration::from_nanos(1), LATEST);
        let expiration = Expiration::OneShot(TimeSpec::from_duration(at));
        let Alarm(timer) = self.alarm.get_ref();
        match timer.set(expiration, TimerSetTimeFlags::TFD_TIMER_ABSTIME) {
            Ok(()) => self.due = due,
            Err(error) => tracing::error!(%error, "The timer cannot be set"),
        }
    }

    pub(super) fn poll_fired(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // An error means that the runtime ends.
        while let Ok(mut alarm) = ready!(self.alarm.poll_read_ready(context)) {
            if alarm.try_io(|alarm| Ok(alarm.get_ref().0.wait()?)).is_ok() {
                self.due = Duration::MAX;
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use nix::sys::signal::{Signal, raise};

    use super::*;

    #[tokio::test]
    async fn the_timer_is_moved_to_earlier_times_only() {
        let mut waits = Waits::new(None).unwrap();
        let far = clock::mono() + Duration::from_secs(3600);
        let seconds = Duration::from_secs;
        waits.wake_at(far);
        waits.wake_at(far + seconds(1));
        assert_eq!(waits.timer.due, far);
        waits.wake_at(far - seconds(1));
        assert_eq!(waits.timer.due, far - seconds(1));
    }

    /// Also one that comes while there is no runtime at all.
    #[test]
    fn no_signal_is_lost_between_two_lives() {
        let runtime = || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            { runtime }.enable_all().build().unwrap()
        };
        // Nobody else in this process listens to these.
        let kinds = [
            ("first", SignalKind::user_defined1()),
            ("second", SignalKind::user_defined2()),
            ("third", SignalKind::window_change()),
        ];
        let mut signals = runtime().block_on(async { Signals::of(kinds) }).unwrap();
        raise(Signal::SIGUSR2).unwrap();
        let heard = runtime().block_on(poll_fn(|context| signals.poll_recv(context)));
        assert_eq!(heard, "second");
    }

    #[tokio::test]
    async fn a_timer_fires_once_and_can_be_set_again() {
        let mut waits = Waits::new(None).unwrap();
        for due in [Duration::ZERO, clock::mono()] {
            waits.wake_at(due);
            poll_fn(|context| waits.timer.poll_fired(context)).await;
            assert_eq!(waits.timer.due, Duration::MAX);
            let again = poll_fn(|context| Poll::Ready(waits.timer.poll_fired(context)));
            assert!(again.await.is_pending());
        }
    }

    #[tokio::test]
    async fn a_timer_that_fires_rings_the_bell() {
        let mut waits = Waits::new(None).unwrap();
        let silent = |waits: &mut Waits, context: &mut Context<'_>| {
            let Waits { bell, timer, .. } = waits;
            bell.poll(context, |context| timer.poll_fired(context))
        };
        let first = poll_fn(|context| Poll::Ready(silent(&mut waits, context)));
        assert!(first.await.is_pending());
        waits.wake_at(clock::mono());
        poll_fn(|context| silent(&mut waits, context)).await;
    }

    #[tokio::test]
    async fn no_deadline_is_too_far_or_too_near() {
        let mut waits = Waits::new(None).unwrap();
        waits.wake_at(Duration::MAX);
        waits.wake_at(Duration::MAX - Duration::from_secs(1));
        assert!(waits.timer.due < Duration::MAX);
        waits.wake_at(Duration::ZERO);
        poll_fn(|context| waits.timer.poll_fired(context)).await;
    }
}
