//! Commands of an output that wait until nothing moves.

use lamplighter_model::{
    Now, Value,
    device::{OpId, Origin},
};

use super::{Output, Writing, is_on};
use crate::{
    boundary::Slot,
    moment::Moment,
    slots::{CommandId, Entry},
    standstill::{Armed, Begun},
};

impl Output {
    pub(crate) fn armed(&self) -> Option<&Armed> {
        self.standstill.as_ref()?.armed.as_ref()
    }

    /// The same, also while it is being carried out: it waits again should that fail.
    pub(crate) fn armed_or_begun(&self) -> Option<&Armed> {
        let begun = self.begun().filter(|begun| !begun.is_called_off);
        self.armed().or_else(|| Some(&begun?.armed))
    }

    /// What a restart has to know: it is too late to call off what is being carried out.
    pub(crate) fn armed_to_keep(&self) -> Option<&Armed> {
        self.armed().or_else(|| Some(&self.begun()?.armed))
    }

    fn begun(&self) -> Option<&Begun> {
        self.writing.as_ref()?.begun.as_ref()
    }

    /// Whether a command of this value has to wait for standstill: also where that is reached but a
    /// guard delays it, as it may be over by then; not where the output is in that state already.
    pub(crate) fn must_arm(&self, value: &Value, now: Now) -> bool {
        let Some(standstill) = &self.standstill else {
            return false;
        };
        let is_delayed = || self.guard_wait(Slot::Command, value, now).is_some();
        let waits = !standstill.is_forced && (!standstill.is_still(now) || is_delayed());
        is_on(value) == standstill.on && waits && !self.is_known_to_be(standstill.on)
    }

    /// Whether it has accepted this state, nothing else is on its way, and nobody sees it otherwise.
    fn is_known_to_be(&self, on: bool) -> bool {
        let seen = self.measured.as_ref().filter(|seen| seen.is_usable());
        let is_seen_otherwise = seen.is_some_and(|seen| is_on(&seen.value) != on);
        let has_accepted = self.in_effect.as_ref().map(is_on) == Some(on);
        self.writing.is_none() && has_accepted && !is_seen_otherwise
    }

    /// The last one that was accepted waits, whoever gave it.
    pub(crate) fn arm(&mut self, mut armed: Armed) {
        if let Some(standstill) = &mut self.standstill {
            let before = standstill.armed.as_ref();
            armed.is_unsure |= before.is_some_and(|before| before.is_unsure);
            standstill.armed = Some(armed);
        }
    }

    /// Forgets what waits. What is being carried out will not be tried again; true if there was either.
    pub(crate) fn disarm(&mut self) -> bool {
        let armed = self.standstill.as_mut().and_then(|rule| rule.armed.take());
        let begun = self.writing.as_mut().and_then(|it| it.begun.as_mut());
        let is_news = begun.is_some_and(|begun| !std::mem::replace(&mut begun.is_called_off, true));
        armed.is_some() || is_news
    }

    /// Takes the command that had been begun when the program ended out of its slot; false if it is not
    /// this one.
    pub(crate) fn take_unsure(&mut self, value: &Value, by: &Origin, since: Moment) -> bool {
        let entry = self.slots.get(Slot::Command);
        let is_it =
            entry.is_some_and(|entry| (&entry.value, &entry.by, entry.since) == (value, by, since));
        if is_it {
            self.release_command();
        }
        is_it
    }

    /// Arms a command that somebody still waits for, where it may not be begun any more: since it was
    /// checked something has begun to move, or a guard to delay it. Gives back the request.
    pub(crate) fn arm_late(&mut self, now: Now) -> Option<OpId> {
        let entry = self.slots.get(Slot::Command)?;
        let is_forced = self.standstill.as_ref()?.forced == Some(entry.id);
        let waits = self.waiter.is_some() && self.must_arm(&entry.value, now);
        if is_forced || !waits || self.refusal(&entry.value, now).is_some() {
            return None;
        }
        let since = entry.since;
        let armed = Armed {
            hold: entry.until.map(|until| since.until(until)),
            entry: Entry {
                until: None,
                ..entry.clone()
            },
            is_unsure: false,
        };
        let waiter = self.waiter.take();
        self.withdraw(now);
        // A later one may wait already.
        let later = self.armed().map(|known| known.entry.id.0);
        if later.is_none_or(|later| later < armed.entry.id.0) {
            self.arm(armed);
        }
        waiter
    }

    /// A command that has waited leaves for the device: from now on it is one like any other. Gives
    /// back a request whose command it replaces.
    pub(crate) fn begin_armed(&mut self, command: CommandId) -> Option<(Begun, Option<OpId>)> {
        let standstill = self.standstill.as_mut()?;
        let armed = standstill
            .armed
            .take_if(|armed| armed.entry.id == command)?;
        self.slots.set(Slot::Command, armed.entry.clone());
        let begun = Begun {
            armed,
            is_called_off: false,
        };
        Some((begun, self.waiter.take()))
    }

    /// What decides now: the highest occupied slot, or a command that has waited for standstill.
    pub(super) fn decisive(&self, now: Now) -> Option<(Slot, &Entry)> {
        let winner = self.slots.winner();
        let standstill = self.standstill.as_ref();
        let Some((standstill, armed)) = standstill.and_then(|it| Some((it, it.armed.as_ref()?)))
        else {
            return winner;
        };
        let is_free = winner.is_none_or(|(slot, _)| slot >= Slot::Command);
        match (is_free, standstill.is_still(now)) {
            (true, true) => Some((Slot::Command, &armed.entry)),
            // It may have been carried out: neither that nor what was before is told meanwhile.
            (true, false) if armed.is_unsure => None,
            (true | false, false) | (false, true) => winner,
        }
    }

    /// Its holding time begins when it has been carried out; one that came meanwhile and wants the same
    /// was carried out with it.
    pub(super) fn end_armed(&mut self, writing: &mut Writing, now: Now) {
        if let Some(standstill) = self.standstill.as_mut()
            && writing.slot == Slot::Command
            && let Some(armed) = standstill
                .armed
                .take_if(|armed| armed.entry.value == writing.value)
        {
            self.slots.set(Slot::Command, armed.entry.clone());
            writing.command = armed.entry.id;
            writing.entry = Some(armed.entry.clone());
            writing.begun = Some(Begun {
                armed,
                is_called_off: false,
            });
        }
        let hold = writing.begun.as_ref().and_then(|begun| begun.armed.hold);
        let Some((hold, entry)) = hold.zip(writing.entry.as_mut()) else {
            return;
        };
        entry.until = Some(Moment::of(now).plus(hold));
        let of_slot = self.slots.get(Slot::Command);
        if of_slot.is_some_and(|known| known.id == entry.id) {
            self.slots.set(Slot::Command, entry.clone());
        }
    }

    /// What was begun is to be done all the same, unless somebody has called it off: it waits again.
    pub(super) fn arm_again(&mut self, begun: Begun) {
        if !begun.is_called_off && self.armed().is_none() {
            self.arm(begun.armed);
        }
    }

    /// Whether a write that was held up for long may still be given to the device: nobody was told
    /// meanwhile that it failed, nothing has begun to move, and it goes on only if it still shall.
    pub(crate) fn may_be_late(&self, now: Now) -> bool {
        let Some(writing) = &self.writing else {
            return false;
        };
        let rule = self.standstill.as_ref();
        let is_still = rule.is_none_or(|rule| rule.is_still(now));
        let wanted = self.decisive(now).map(|(_, entry)| &entry.value);
        writing.waiter.is_none()
            && (writing.begun.is_none() || is_still)
            && (!is_on(&writing.value) || wanted == Some(&writing.value))
    }
}
