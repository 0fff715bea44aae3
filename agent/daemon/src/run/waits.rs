//! What the loop waits for, besides datagrams: signals and its one timer.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Sleep, sleep},
};

use super::bell::Bell;

/// Longest sleep. Timers of the runtime stand still while the machine is suspended, our deadlines do
/// not.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How the loop waits.
#[derive(Debug)]
pub(super) struct Waits {
    /// Everything but sockets.
    pub(super) bell: Bell,
    /// Sockets and everything else are looked at first by turns, so that neither drowns the other.
    pub(super) are_links_first: bool,
    pub(super) signals: Signals,
    pub(super) timer: Timer,
}

/// The signals that end the agent or would, unhandled.
#[derive(Debug)]
pub(super) struct Signals([(&'static str, Signal); 3]);

/// One timer of the runtime for all deadlines. It is only moved to an earlier time: where what it
/// was for is gone, it fires for nothing. That costs less than to move it with every datagram.
#[derive(Debug)]
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// When it fires, by our clock.
    due: Duration,
}

impl Waits {
    pub(super) fn new() -> std::io::Result<Self> {
        let hangup = signal(SignalKind::hangup())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self {
            bell: Bell::default(),
            are_links_first: false,
            signals: Signals([
                ("SIGHUP", hangup),
                ("SIGINT", interrupt),
                ("SIGTERM", terminate),
            ]),
            timer: Timer {
                sleep: Box::pin(sleep(Duration::ZERO)),
                due: Duration::ZERO,
            },
        })
    }

    /// The timer fires at `due` or before.
    pub(super) fn wake_at(&mut self, due: Duration, now: Duration) {
        let timer = &mut self.timer;
        let due = due.min(now + LONGEST_SLEEP);
        // It may not have fired although it should have, after a suspension.
        if timer.due <= now || due < timer.due {
            timer.sleep.set(sleep(due.saturating_sub(now)));
            timer.due = due;
            self.bell.ring();
        }
    }
}

impl Signals {
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
    pub(super) fn poll_fired(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let fired = self.sleep.as_mut().poll(context);
        if fired.is_ready() {
            self.due = Duration::ZERO;
        }
        fired
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, task::Waker};

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn the_timer_is_moved_to_earlier_times_only() {
        let mut waits = Waits::new().unwrap();
        waits.wake_at(seconds(20), seconds(10));
        waits.wake_at(seconds(30), seconds(10));
        assert_eq!(waits.timer.due, seconds(20));
        waits.wake_at(seconds(15), seconds(10));
        let before = tokio::time::Instant::now();
        poll_fn(|context| waits.timer.poll_fired(context)).await;
        assert_eq!(before.elapsed().as_secs(), 5);
        waits.wake_at(seconds(30), seconds(15));
        poll_fn(|context| waits.timer.poll_fired(context)).await;
        assert_eq!(before.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_was_due_while_the_machine_was_suspended_is_set_anew() {
        let mut waits = Waits::new().unwrap();
        waits.wake_at(seconds(60), seconds(0));
        waits.wake_at(seconds(3601), seconds(3600));
        let before = tokio::time::Instant::now();
        poll_fn(|context| waits.timer.poll_fired(context)).await;
        assert_eq!(before.elapsed().as_secs(), 1);
    }

    #[tokio::test]
    async fn a_moved_timer_is_looked_at() {
        let mut waits = Waits::new().unwrap();
        let context = Context::from_waker(Waker::noop());
        let Waits { bell, .. } = &mut waits;
        assert!(bell.poll(&context, |_| Poll::<()>::Pending).is_pending());
        waits.wake_at(seconds(1), seconds(0));
        let found = waits.bell.poll(&context, |_| Poll::Ready(()));
        assert!(found.is_ready());
    }
}
