//! Looks at many sources only when one of them has something: a turn of the loop costs what has
//! happened, not how many could have.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// What sources that are mostly silent ring, instead of waking the loop themselves.
#[derive(Debug)]
pub(super) struct Bell {
    rope: Arc<Rope>,
    /// Rings.
    waker: Waker,
    /// Who is woken by it, as the rope knows him.
    sleeper: Waker,
}

#[derive(Debug)]
struct Rope {
    has_rung: AtomicBool,
    sleeper: Mutex<Waker>,
}

impl Default for Bell {
    /// It has rung: nobody has looked yet.
    fn default() -> Self {
        let rope = Arc::new(Rope {
            has_rung: AtomicBool::new(true),
            sleeper: Mutex::new(Waker::noop().clone()),
        });
        Self {
            waker: Arc::clone(&rope).into(),
            rope,
            sleeper: Waker::noop().clone(),
        }
    }
}

impl Bell {
    /// `look` goes through the sources. They are left alone while none has rung since all were
    /// found silent.
    pub(super) fn poll<T>(
        &mut self,
        context: &Context<'_>,
        look: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if !self.sleeper.will_wake(context.waker()) {
            self.sleeper.clone_from(context.waker());
            self.rope.hang(self.sleeper.clone());
        }
        if !self.rope.has_rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let found = look(&mut Context::from_waker(&self.waker));
        if found.is_ready() {
            // There may be more.
            self.ring();
        }
        found
    }

    /// There is a new source, or one that is to be looked at again.
    pub(super) fn ring(&self) {
        self.rope.has_rung.store(true, Ordering::Release);
    }
}

impl Rope {
    fn hang(&self, sleeper: Waker) {
        *self.sleeper.lock().unwrap_or_else(PoisonError::into_inner) = sleeper;
    }
}

impl Wake for Rope {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        let sleeper = self.sleeper.lock().unwrap_or_else(PoisonError::into_inner);
        sleeper.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use tokio::sync::mpsc;

    use super::*;

    #[derive(Debug, Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Release);
        }
    }

    #[test]
    fn sources_are_looked_at_when_one_has_rung_and_until_all_are_silent() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let context = Context::from_waker(&waker);
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let (mut bell, mut looks) = (Bell::default(), 0);
        let mut poll = || {
            let found = bell.poll(&context, |context| {
                looks += 1;
                receiver.poll_recv(context)
            });
            (found, looks)
        };
        assert_eq!(poll(), (Poll::Pending, 1));
        assert_eq!(poll(), (Poll::Pending, 1));
        assert!(!woken.0.load(Ordering::Acquire));
        sender.send('a').unwrap();
        sender.send('b').unwrap();
        assert!(woken.0.load(Ordering::Acquire));
        assert_eq!(poll(), (Poll::Ready(Some('a')), 2));
        assert_eq!(poll(), (Poll::Ready(Some('b')), 3));
        assert_eq!(poll(), (Poll::Pending, 4));
        assert_eq!(poll(), (Poll::Pending, 4));
    }

    #[test]
    fn whoever_waits_last_is_woken() {
        let (first, second) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let mut bell = Bell::default();
        for woken in [&first, &second] {
            let waker = Waker::from(Arc::clone(woken));
            let found = bell.poll(&Context::from_waker(&waker), |context| {
                receiver.poll_recv(context)
            });
            assert!(found.is_pending());
        }
        sender.send(()).unwrap();
        assert!(!first.0.load(Ordering::Acquire));
        assert!(second.0.load(Ordering::Acquire));
    }
}
