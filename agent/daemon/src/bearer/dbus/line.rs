//! One cellular bearer: what is known of its modem, and what is to be done with it. Pure but for the
//! hashes of PINs in its memory.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use lamplighter_model::UnixTime;

use super::{
    Told,
    address::Given,
    apn::{Access, Outcome, TRIAL},
    connect::{Connector, Families, Job, View},
    controls::GRACE,
    jobs::Work,
    memory::Memory,
    modem::{Connection, Modem, Place, State},
    settle::Settling,
    sms::Inbox,
};
use crate::{
    bearer::{BearerId, Meta},
    clock,
    config::{Apn, Bearer, Manage},
};

/// Connections that are remembered.
const ATTEMPTS_MAX: usize = 5;
/// A connection over which no server is reached for so long is dead.
const DEAD_AFTER: Duration = Duration::from_secs(600);

/// Longest time that a modem tells a mixture of two cells.
const MIXTURE: Duration = Duration::from_millis(500);
/// A signal that comes and goes is neither weak nor strong before.
const WEAK_AFTER: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Line {
    pub(super) id: BearerId,
    pub(super) bearer: Bearer,
    pub(super) inbox: Inbox,
    pub(super) access: Access,
    /// A server may switch it off (11/x/3).
    pub(super) is_enabled: bool,
    /// Until when some server must be reached over another bearer, or it is switched on again.
    off_trial: Option<Duration>,
    /// Other bearers over which a server can be reached.
    others: BTreeSet<BearerId>,
    place: Settling<Place>,
    /// Whether less is received than a server wants.
    weak: Settling<bool>,
    connector: Connector,
    /// The path of its modem; another one after it was away.
    modem: String,
    /// Until then a connection carries the answer to whoever wants it changed.
    answer_until: Duration,
    /// What its interface was given.
    pub(super) given: Given,
    /// Whom the connection was asked for.
    asked: Option<Option<Apn>>,
    /// Since when it is connected.
    connected: Option<Duration>,
    /// Whether a server can be reached over it, and since when.
    serves: Option<(bool, Duration)>,
    pub(super) told: Option<Meta>,
    pub(super) attempts: VecDeque<Attempt>,
    /// What we have to complain about.
    trouble: Option<String>,
    /// What is wrong with the addresses of its interface.
    address_trouble: Option<String>,
}

/// A connection that was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Attempt {
    /// Where the date was known.
    pub(crate) at: Option<UnixTime>,
    pub(crate) has_worked: bool,
    pub(crate) end: Option<UnixTime>,
}

impl Line {
    pub(super) fn new(id: BearerId, bearer: Bearer, memory: &Memory) -> Self {
        let (apn, is_enabled) = memory.look(|saved| {
            let apn = saved.apn(&bearer.name, bearer.apn.as_ref());
            (apn, !saved.disabled.contains(&bearer.name))
        });
        Self {
            id,
            bearer,
            inbox: Inbox::default(),
            access: Access::new(apn),
            is_enabled,
            off_trial: None,
            others: BTreeSet::new(),
            place: Settling::new(MIXTURE),
            weak: Settling::new(WEAK_AFTER),
            connector: Connector::default(),
            modem: String::new(),
            answer_until: Duration::ZERO,
            given: Given::default(),
            asked: None,
            connected: None,
            serves: None,
            told: None,
            attempts: VecDeque::new(),
            trouble: None,
            address_trouble: None,
        }
    }

    /// The same bearer after a reload: everything is to be told again.
    pub(super) fn renumbered(self, id: BearerId) -> Self {
        Self {
            id,
            told: None,
            others: BTreeSet::new(),
            ..self
        }
    }

    pub(super) fn is_ours(&self) -> bool {
        self.bearer.manage == Manage::ModemManager
    }

    /// What is to be told of it now.
    pub(super) fn meta(
        &mut self,
        modem: Option<&Modem>,
        levels: &BTreeMap<u16, i32>,
        now: Duration,
    ) -> Meta {
        let place = self.place.see(modem.and_then(|modem| modem.place), now);
        let mut meta = modem.map(|modem| modem.meta(place)).unwrap_or_default();
        let weak = is_weak(&meta, levels);
        meta.is_weak = self.weak.see(weak, now).unwrap_or_default();
        let trouble = self.trouble.as_ref().or(self.address_trouble.as_ref());
        if trouble.is_some() {
            meta.trouble = trouble.cloned();
        }
        meta
    }

    /// What is to be done with its modem now, and what has become of a new access point.
    pub(super) fn next(
        &mut self,
        modem: &Modem,
        memory: &Memory,
        is_off: bool,
        now: Duration,
    ) -> (Option<(Job, Work)>, Option<Told>) {
        if !self.is_ours() {
            return (None, None);
        }
        if self.modem != modem.path {
            self.modem.clone_from(&modem.path);
            self.connector.is_back(now);
        }
        self.note_connection(modem, now);
        let is_elsewhere = self.is_elsewhere(modem);
        let is_there = modem.state == State::Connected && !is_elsewhere;
        let told = match self.access.see(is_there, now) {
            Some(Outcome::Kept) => Some(Told::ApnKept),
            Some(Outcome::Reverted) => {
                self.connector.anew(now);
                Some(Told::ApnReverted)
            }
            None => self.end_off_trial(now),
        };
        self.note_death(now);
        let card = modem.card();
        let pin = self.bearer.pin.clone();
        let is_new = |pin| modem.has_pin_tries() && !memory.is_wrong(&card, pin, modem.pin_tries);
        let is_answering = modem.state == State::Connected && now < self.answer_until;
        let view = View {
            state: modem.state,
            lock: modem.lock,
            may_unlock: modem.sim_path.is_some() && pin.as_ref().is_some_and(is_new),
            is_off,
            is_wanted: self.is_enabled || is_answering,
            is_elsewhere: self.is_elsewhere(modem) && !is_answering,
        };
        let Some(job) = self.connector.next(&view, now) else {
            return (None, told);
        };
        if let Job::Connect(_) = job {
            self.asked = Some(self.access.used().cloned());
        }
        let work = Work {
            modem: modem.path.clone(),
            sim: modem.sim_path.clone(),
            card,
            pin,
            pin_tries: modem.pin_tries,
            apn: self.access.used().cloned(),
            memory: memory.clone(),
        };
        (Some((job, work)), told)
    }

    /// On commit-confirm, as nobody could switch it on again who reaches the box over it alone.
    pub(super) fn enable(&mut self, is_enabled: bool, now: Duration) {
        if is_enabled != self.is_enabled {
            self.is_enabled = is_enabled;
            self.off_trial = Some(now + TRIAL).filter(|_| !is_enabled);
            self.answer_until = now + GRACE;
        }
    }

    fn end_off_trial(&mut self, now: Duration) -> Option<Told> {
        self.off_trial.take_if(|ends| *ends <= now)?;
        self.is_enabled = self.others.is_empty();
        Some(if self.is_enabled {
            Told::EnabledAgain
        } else {
            Told::Disabled
        })
    }

    /// On the disk, what has shown that it works.
    pub(super) async fn keep(&self, told: Told, memory: &Memory) {
        let (name, configured) = (&self.bearer.name, self.bearer.apn.as_ref());
        match told {
            Told::ApnKept | Told::ApnReverted => {
                let settled = self.access.settled();
                memory
                    .change(|saved| saved.keep_apn(name, settled, configured))
                    .await;
            }
            Told::Disabled => {
                let off = name.clone();
                memory.change(|saved| saved.disabled.extend([off])).await;
            }
            Told::EnabledAgain | Told::PinRefused | Told::RadioOff | Told::Reset => {}
        }
    }

    fn note_connection(&mut self, modem: &Modem, now: Duration) {
        let is_connected = modem.state == State::Connected;
        match self.connected {
            None if is_connected => self.connected = Some(now),
            Some(_) if !is_connected => {
                self.connected = None;
                if let Some(attempt) = self.attempts.back_mut() {
                    attempt.end = attempt.end.or_else(clock::unix);
                }
            }
            Some(_) | None => {}
        }
    }

    /// Linked but dead: opened anew, now and then.
    fn note_death(&mut self, now: Duration) {
        match (self.serves, self.connected) {
            (Some((true, _)), _) => self.connector.is_alive(),
            (Some((false, since)), Some(connected)) => {
                if now.saturating_sub(since.max(connected)) >= DEAD_AFTER {
                    self.connector.is_dead(now);
                }
            }
            (Some((false, _)) | None, _) => {}
        }
    }

    fn is_elsewhere(&self, modem: &Modem) -> bool {
        if modem.state != State::Connected {
            return false;
        }
        let used = self.access.used();
        let is_other = self
            .asked
            .as_ref()
            .is_some_and(|asked| asked.as_ref() != used);
        let connected = modem
            .connection()
            .and_then(|connection| connection.apn.as_ref());
        let names_other = used.zip(connected);
        is_other || names_other.is_some_and(|(apn, name)| !apn.name.eq_ignore_ascii_case(name))
    }

    /// A job has ended.
    pub(super) fn done(
        &mut self,
        job: Job,
        result: Result<(), String>,
        now: Duration,
    ) -> Option<Told> {
        self.connector.done(job, result.is_ok(), now);
        if let Job::Connect(_) = job {
            if result.is_err() {
                self.access.refused();
            }
            if self.attempts.len() >= ATTEMPTS_MAX {
                self.attempts.pop_front();
            }
            let at = clock::unix();
            self.attempts.push_back(Attempt {
                at,
                has_worked: result.is_ok(),
                end: at.filter(|_| result.is_err()),
            });
        }
        let (trouble, told) = match (job, result) {
            (Job::Unlock, Err(why)) => {
                let text = format!("the PIN did not open the SIM and is not tried again: {why}");
                (Some(text), Some(Told::PinRefused))
            }
            (Job::Connect(_), Err(why)) => (Some(format!("the network says: {why}")), None),
            (Job::Enable, Err(why)) => (Some(format!("the modem cannot be enabled: {why}")), None),
            (Job::Reset, _) => (None, Some(Told::Reset)),
            (Job::Off, Ok(())) => (None, Some(Told::RadioOff)),
            (Job::Off, Err(why)) => (Some(format!("the radio stays on: {why}")), None),
            // What was wrong before is not shown to be right by that.
            (Job::Disconnect, _) => return None,
            (Job::Unlock | Job::Enable | Job::Connect(Families::Both | Families::V4), Ok(())) => {
                (None, None)
            }
        };
        self.trouble = trouble;
        told
    }

    /// What is wrong with the interface of its connection; nothing, where there is none.
    pub(super) fn note_address(&mut self, trouble: Option<String>) {
        self.address_trouble = trouble;
    }

    /// The connection whose interface is to be looked after.
    pub(super) fn to_set_up<'a>(&self, modem: &'a Modem) -> Option<&'a Connection> {
        let is_connected = self.is_ours() && modem.state == State::Connected;
        let connection = modem.connection().filter(|_| is_connected)?;
        connection.is_connected.then_some(connection)
    }

    pub(super) fn set_apn(&mut self, apn: Option<Apn>, now: Duration) {
        self.access.set(apn, now);
        self.connector.anew(now);
        self.answer_until = now + GRACE;
    }

    /// Whether a server can be reached over a bearer, this one or another; `None`: what is in the way
    /// says nothing of the network.
    pub(super) fn serves(&mut self, bearer: BearerId, serves: Option<bool>, now: Duration) {
        if bearer != self.id {
            if serves == Some(true) {
                self.others.insert(bearer);
            } else {
                self.others.remove(&bearer);
            }
            return;
        }
        self.access.serves(serves, now);
        let Some(serves) = serves else {
            return;
        };
        match self.serves {
            Some((former, _)) if former == serves => {}
            Some(_) | None => self.serves = Some((serves, now)),
        }
    }

    pub(super) fn abandoned(&mut self, now: Duration) {
        self.connector.abandoned(now);
    }

    /// When something is due although nothing has happened.
    pub(super) fn due(&self, now: Duration) -> Option<Duration> {
        let answer = Some(self.answer_until).filter(|until| *until > now);
        let own = [
            self.connector.due(now),
            self.access.due(),
            self.off_trial,
            answer,
        ];
        let own = own.into_iter().flatten().filter(|_| self.is_ours());
        let any = [self.place.due(), self.weak.due(), self.inbox.due()];
        own.chain(any.into_iter().flatten()).min()
    }
}

/// By the level of its technology (13/0/1 to 13/0/4, 13/0/10); `None`: nobody can say.
fn is_weak(meta: &Meta, levels: &BTreeMap<u16, i32>) -> Option<bool> {
    let resource = match meta.technology? {
        0 => 1,
        2 => 2,
        5 | 6 | 8 | 9 => 3,
        3 => 4,
        7 => 10,
        _ => return None,
    };
    Some(meta.signal? < *levels.get(&resource)?)
}

#[cfg(test)]
mod tests;
