//! What devices do, and what power, kills and the clock do to the box.

use std::time::Duration;

use lamplighter_model::{
    BootId, Now, ResourceAddress, UnixTime, Value,
    device::{Action, AdapterEvent, AdapterId, Answer, Fault, LinkState, OpId},
};
use lamplighter_site::boundary::{ClockTrust, SiteInput, Slot};

use super::{
    World,
    model::Device,
    plant::{COMPRESSOR_AT, DEAD_TIME, HEATER, HEATER_AT, NAMES, WAITED_FOR, site},
    step::Date,
};
use crate::{
    outcome::Outcome,
    rig::{AHU, LAMPS, Rig, millis, secs, start},
};

impl World {
    pub(super) fn answer(&mut self, adapter: AdapterId, outcome: Outcome) {
        let mut asked = self.rig.asked.iter();
        let Some(at) = asked.position(|(asked, _)| *asked == adapter) else {
            return;
        };
        let (_, request) = self.rig.asked.remove(at);
        let outcome = if self.lost.contains_key(&adapter) || self.is_late(request.op) {
            Outcome::Refused
        } else {
            outcome
        };
        let result = match outcome {
            Outcome::Done => {
                self.execute(request.op, &request.action);
                Ok(Answer::default())
            }
            Outcome::DoneUnheard => {
                self.execute(request.op, &request.action);
                Err(Fault::Timeout)
            }
            Outcome::Refused => Err(Fault::Unreachable),
            Outcome::Silent => {
                self.silent_until = self.elapsed() + WAITED_FOR;
                return;
            }
        };
        self.rig.tell(SiteInput::Adapter(
            adapter,
            AdapterEvent::Done(request.op, result),
        ));
    }

    /// The supervisor has answered by now, and does nothing afterwards.
    fn is_late(&self, op: OpId) -> bool {
        self.rig.asked_at[&op] + millis(3500) < self.rig.now.mono
    }

    fn execute(&mut self, op: OpId, action: &Action) {
        let Action::Write { values, .. } = action else {
            return;
        };
        let Value::Boolean(on) = values[0].value else {
            panic!("all outputs are booleans")
        };
        let (output, at) = (self.number(values[0].address), self.elapsed());
        if on && !self.devices[output].on {
            self.may_go_on(output, at);
        }
        // No guard holds back a lock or an interlock.
        let by = self.rig.asked_by.get(&op);
        let exempt = !on && by.is_some_and(|slot| *slot <= Slot::MaintenanceLock);
        self.devices[output].take(on, exempt, at);
    }

    /// Break before make, at the line.
    fn may_go_on(&self, output: usize, at: Duration) {
        let partner = match output {
            COMPRESSOR_AT => HEATER_AT,
            HEATER_AT => COMPRESSOR_AT,
            _ => return,
        };
        let other = &self.devices[partner];
        assert!(!other.on, "{} goes on beside the other", NAMES[output]);
        let rest = other.switched.map(|switched| at - switched);
        assert!(
            rest.is_none_or(|rest| rest >= DEAD_TIME),
            "{} goes on {rest:?} after the other",
            NAMES[output]
        );
    }

    fn number(&self, address: ResourceAddress) -> usize {
        let mut addresses = self.addresses.iter();
        addresses.position(|known| *known == address).unwrap()
    }

    pub(super) fn seen(&mut self, output: usize) {
        let Device { adapter, on, .. } = self.devices[output];
        if !self.lost.contains_key(&adapter) {
            let address = self.addresses[output];
            self.rig.sample(adapter, address, Value::Boolean(on));
        }
    }

    /// Says on of what is off, or off of what is to be on.
    pub(super) fn lie(&mut self) {
        let why = self.rig.site.why(NAMES[HEATER_AT], self.rig.now).unwrap();
        let on = self.devices[HEATER_AT].on;
        let wanted = why.commanded == Some(Value::Boolean(true));
        if !self.lost.contains_key(&AHU) && (!on || wanted) {
            self.rig.sample(AHU, HEATER, Value::Boolean(!on));
        }
    }

    pub(super) fn meddle(&mut self, output: usize, on: bool) {
        let adapter = self.devices[output].adapter;
        // What is on its way cannot know of it.
        let asked = self.rig.asked.iter().any(|(asked, _)| *asked == adapter);
        if asked
            || self.elapsed() <= self.silent_until
            || self.lost.contains_key(&adapter)
            || self.rig.kill_after.is_some()
        {
            return;
        }
        let at = self.elapsed();
        self.devices[output].become_state(on, at);
        self.seen(output);
    }

    pub(super) fn back(&mut self, adapter: AdapterId) {
        if self.lost.remove(&adapter).is_some() {
            self.rig.link(adapter, LinkState::Online);
        }
        if adapter == LAMPS {
            self.tell_hand();
        }
    }

    /// The program ends and starts again; what was on its way to devices arrives or does not.
    pub(super) fn crash(&mut self) {
        for (number, (adapter, request)) in std::mem::take(&mut self.rig.asked).iter().enumerate() {
            let arrives = number % 2 == 0 && !self.is_late(request.op);
            if arrives && !self.lost.contains_key(adapter) {
                self.execute(request.op, &request.action);
            }
        }
        self.restart(self.rig.now);
    }

    /// The whole cabinet is without power.
    pub(super) fn power_cut(&mut self, time: Duration, date: Date) {
        let at = self.elapsed();
        self.devices
            .iter_mut()
            .for_each(|device| device.become_state(false, at));
        self.rig.advance(time);
        let boot = BootId(self.rig.now.boot.0 + 1);
        self.epoch = self.elapsed() - secs(15);
        let (trust, unix) = match date {
            Date::Estimated(by) => (ClockTrust::Estimated, Some(self.date(by))),
            Date::Trusted => (ClockTrust::Trusted, Some(self.date(0))),
            Date::Unknown => (ClockTrust::Estimated, None),
        };
        self.trust = trust;
        self.restart(Now {
            boot,
            mono: secs(15),
            unix,
        });
    }

    /// The true date, or one that is wrong by so many seconds.
    fn date(&self, by: i64) -> UnixTime {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap();
        let begun = start();
        let since = millis(self.elapsed()) - millis(begun.mono);
        UnixTime(begun.unix.unwrap().0 + since + by * 1000)
    }

    pub(super) fn dated(&mut self) {
        self.rig.now.unix = Some(self.date(0));
        self.trust = ClockTrust::Trusted;
        self.rig.trust(self.trust);
    }

    fn restart(&mut self, now: Now) {
        // Whether what was not answered was kept, nobody knows.
        for wanted in std::mem::take(&mut self.open).into_values() {
            self.apply(&wanted, false);
        }
        self.no_server_since = None;
        self.server_lost = (false, false);
        self.rig = Rig::restarted(site(), self.rig.saved.clone(), now);
        self.boot();
    }
}
