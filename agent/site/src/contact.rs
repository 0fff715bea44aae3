//! Whether an output can be relied on to be off: what interlocks ask of their members.
//!
//! Off is only what has accepted to be off, or was seen off while nobody wants it on: a contact that
//! says off of what is told to be on is not believed. Whatever is not known counts as on.

use lamplighter_model::Now;

use crate::moment::Moment;

/// What is known of one output, from all that was told to it and seen of it.
#[derive(Clone, Debug)]
pub(crate) struct Contact {
    state: State,
    is_news: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// Known to be off from this moment on.
    Off(Moment),
    On,
    Unknown,
}

impl Contact {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Unknown,
            is_news: false,
        }
    }

    pub(crate) const fn state(&self) -> State {
        self.state
    }

    /// Whether the state has changed since this was last asked.
    pub(crate) const fn take_news(&mut self) -> bool {
        std::mem::replace(&mut self.is_news, false)
    }

    /// A write of this state leaves for the device.
    pub(crate) fn on_dispatch(&mut self, on: bool) {
        if on {
            self.become_state(State::On);
        }
    }

    /// The device has accepted this state, at some time since.
    pub(crate) fn on_done(&mut self, on: bool, now: Now) {
        if !on {
            self.seen_off(Moment::of(now));
        }
    }

    /// The device has not answered as it should, and may do either.
    pub(crate) fn on_failed(&mut self) {
        self.become_state(State::Unknown);
    }

    /// The device was seen in this state after all that was told to it; `wanted` is what it is to do
    /// now.
    pub(crate) fn on_seen(&mut self, on: bool, wanted: bool, at: Moment) {
        if on {
            self.become_state(State::On);
        } else if !wanted {
            self.seen_off(at);
        }
    }

    /// Nobody sees the device any more.
    pub(crate) fn on_lost(&mut self) {
        self.become_state(State::Unknown);
    }

    fn seen_off(&mut self, at: Moment) {
        if !matches!(self.state, State::Off(_)) {
            self.become_state(State::Off(at));
        }
    }

    fn become_state(&mut self, state: State) {
        self.is_news |= self.state != state;
        self.state = state;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lamplighter_model::BootId;

    use super::*;

    fn at(seconds: u64) -> Now {
        Now {
            boot: BootId(1),
            mono: Duration::from_secs(seconds),
            unix: None,
        }
    }

    #[test]
    fn what_is_to_be_on_is_not_off_because_it_is_seen_off() {
        let mut contact = Contact::new();
        contact.on_dispatch(true);
        contact.on_done(true, at(1));
        contact.on_seen(false, true, Moment::of(at(2)));
        assert_eq!(contact.state(), State::On);
        contact.on_done(false, at(3));
        assert_eq!(contact.state(), State::Off(Moment::of(at(3))));
        contact.on_seen(false, false, Moment::of(at(4)));
        assert_eq!(contact.state(), State::Off(Moment::of(at(3))));
    }

    #[test]
    fn what_failed_or_is_not_seen_any_more_is_unknown() {
        let mut contact = Contact::new();
        assert_eq!(contact.state(), State::Unknown);
        contact.on_seen(false, false, Moment::of(at(1)));
        contact.on_lost();
        assert_eq!(contact.state(), State::Unknown);
        contact.on_seen(false, false, Moment::of(at(2)));
        contact.on_failed();
        assert_eq!(contact.state(), State::Unknown);
        assert!(contact.take_news());
        assert!(!contact.take_news());
    }
}
