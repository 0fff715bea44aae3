//! What servers see of cellular bearers, and what they may change: between the tasks of the managers
//! and the objects 10, 11 and 13.

use std::{collections::BTreeMap, net::IpAddr, path::Path, sync::Arc, time::Duration};

use lamplighter_model::device::Fault;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};

use super::{
    Order,
    line::{Attempt, Line},
    memory::{Memory, RadioOff, Saved},
    modem::{Connection, IpConfig, Modem},
    tried::Tried,
};
use crate::{
    bearer::{BearerId, Choice},
    clock,
    config::{Apn, secret::Secret},
};

/// Until the radio goes off, or another connection or bearer is used: what is used now carries the
/// answer to whoever wants it so.
pub(super) const GRACE: Duration = Duration::from_secs(3);
/// Longest time that a server may switch the radio off for: whatever it has written, it reaches the
/// box again after a day.
const RADIO_OFF_MAX: Duration = Duration::from_secs(86_400);

/// From when until when the radio is wanted off.
pub(super) type Off = Option<(Instant, Instant)>;

/// What the tasks share with the objects.
#[derive(Debug)]
pub(super) struct Sharing {
    pub(super) memory: Memory,
    pub(super) off: watch::Receiver<Off>,
    pub(super) cellular: watch::Sender<Vec<Profile>>,
    pub(super) tried: Tried,
}

/// A handle for the objects.
#[derive(Clone, Debug)]
pub(crate) struct Controls {
    memory: Memory,
    off: Arc<watch::Sender<Off>>,
    cellular: watch::Receiver<Vec<Profile>>,
    orders: mpsc::Sender<Order>,
    wishes: mpsc::Sender<Choice>,
}

/// A cellular bearer and its connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Profile {
    pub(crate) bearer: u16,
    pub(crate) name: String,
    pub(crate) is_enabled: bool,
    pub(crate) is_connected: bool,
    pub(crate) apn: Option<String>,
    pub(crate) user: Option<String>,
    /// MMBearerAllowedAuth, where it is known.
    pub(crate) auth: Option<u32>,
    /// MMBearerIpFamily
    pub(crate) ip_type: Option<u32>,
    /// Received and sent.
    pub(crate) bytes: Option<(u64, u64)>,
    pub(crate) addresses: Vec<Address>,
    /// Bits of MMModemMode.
    pub(crate) modes: u32,
    /// The newest last.
    pub(crate) attempts: Vec<Attempt>,
}

/// Parts of an access point; what is not given stays as it is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct ApnChange {
    /// Empty: that of the SIM.
    pub(crate) name: Option<String>,
    /// Empty: none.
    pub(crate) user: Option<String>,
    /// Empty: none.
    pub(crate) password: Option<Secret>,
}

/// One address of a connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Address {
    pub(crate) address: IpAddr,
    pub(crate) prefix: Option<u8>,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) name_servers: Vec<IpAddr>,
}

pub(super) fn open(
    state_dir: Option<&Path>,
    orders: mpsc::Sender<Order>,
    wishes: mpsc::Sender<Choice>,
    tried: &Tried,
) -> (Controls, Sharing) {
    let memory = tried.memory(|| Memory::open(state_dir));
    let unix = clock::unix().map(|unix| unix.seconds());
    let off = memory.look(|saved| saved.radio_off.map(|off| off.left(unix)));
    let off = off.filter(|left| *left > 0);
    let now = Instant::now();
    let off = off.map(|left| (now, now + Duration::from_secs(left).min(RADIO_OFF_MAX)));
    let (off, is_off) = watch::channel(off);
    let (cellular, shown) = watch::channel(Vec::new());
    let controls = Controls {
        memory: memory.clone(),
        off: Arc::new(off),
        cellular: shown,
        orders,
        wishes,
    };
    let sharing = Sharing {
        memory,
        off: is_off,
        cellular,
        tried: tried.clone(),
    };
    (controls, sharing)
}

impl Controls {
    /// Those of all cellular bearers; none before the first look.
    pub(crate) fn profiles(&self) -> Vec<Profile> {
        self.cellular.borrow().clone()
    }

    /// Waits until a profile has changed.
    pub(crate) async fn changed(&mut self) {
        if self.cellular.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Minutes that are left without radio.
    pub(crate) fn radio_off_left(&self) -> u64 {
        let off = *self.off.borrow();
        let left = off.map(|(_, until)| until.saturating_duration_since(Instant::now()));
        left.unwrap_or_default().as_secs().div_ceil(60)
    }

    /// Switches the radio off after the answer has left, for so many minutes, at most a day. 0: on
    /// again. On the disk when it returns.
    pub(crate) async fn radio_off(&self, minutes: u16) {
        let time = Duration::from_secs(60 * u64::from(minutes)).min(RADIO_OFF_MAX);
        let off = (!time.is_zero()).then(|| RadioOff {
            until: clock::unix().map(|unix| unix.seconds() + (GRACE + time).as_secs() as i64),
            seconds: time.as_secs(),
        });
        // Whoever looks before the disk has it sees that it is wanted.
        let from = Instant::now() + GRACE;
        self.off.send_replace(off.map(|_| (from, from + time)));
        self.memory.change(|saved| saved.radio_off = off).await;
    }

    /// Tries another access point.
    pub(crate) fn change_apn(&self, bearer: u16, change: ApnChange) -> Result<(), Fault> {
        self.order(Order::Change(BearerId(bearer), change))
    }

    pub(crate) async fn enable(&self, bearer: u16, is_enabled: bool) -> Result<(), Fault> {
        self.order(Order::Enable(BearerId(bearer), is_enabled))?;
        let name = {
            let profiles = self.cellular.borrow();
            let profile = profiles.iter().find(|profile| profile.bearer == bearer);
            profile.map(|profile| profile.name.clone())
        };
        // What is switched off is kept once that has shown to do no harm.
        if let Some(name) = name.filter(|_| is_enabled) {
            self.memory
                .change(|saved| saved.disabled.retain(|known| *known != name))
                .await;
        }
        Ok(())
    }

    /// 13/0/0
    pub(crate) fn preferred(&self) -> Vec<u8> {
        self.memory.look(|saved| saved.preferred.clone())
    }

    /// Followed after the answer has left: it may be another bearer that is used then, from which no
    /// server takes an answer.
    pub(crate) async fn prefer(&self, preferred: Vec<u8>) -> Result<(), Fault> {
        let before = self.preferred();
        if before == preferred {
            return Ok(());
        }
        let wish = self.wishes.clone().try_reserve_owned();
        let wish = wish.map_err(|_| Fault::Busy)?;
        let choice = Choice::Prefer(preferred.clone());
        tokio::spawn(async move {
            sleep(GRACE).await;
            wish.send(choice);
        });
        let change = |saved: &mut Saved| {
            saved.preferred = preferred;
            saved.preferred_before.get_or_insert(before);
        };
        self.memory.change(change).await;
        Ok(())
    }

    /// With whether it is on trial.
    pub(super) fn preference(&self) -> (Vec<u8>, bool) {
        self.memory.look(|saved| {
            let is_on_trial = saved.preferred_before.is_some();
            (saved.preferred.clone(), is_on_trial)
        })
    }

    /// What holds again, where it is not kept.
    pub(super) fn end_choice(&self, is_kept: bool) -> Option<Choice> {
        let former = self.memory.look(|saved| saved.preferred_before.clone())?;
        self.memory.change_soon(|saved| {
            saved.preferred_before = None;
            if !is_kept {
                saved.preferred.clone_from(&former);
            }
        });
        (!is_kept).then_some(Choice::Prefer(former))
    }

    /// Levels of object 13, by the numbers of its resources.
    pub(crate) fn levels(&self) -> BTreeMap<u16, i32> {
        self.memory.look(|saved| saved.levels.clone())
    }

    pub(crate) async fn set_levels(&self, levels: &BTreeMap<u16, i32>) {
        self.memory
            .change(|saved| saved.levels.extend(levels))
            .await;
    }

    fn order(&self, order: Order) -> Result<(), Fault> {
        self.orders.try_send(order).map_err(|_| Fault::Busy)
    }
}

impl Profile {
    pub(super) fn of(line: &Line, modem: Option<&Modem>) -> Self {
        let connection = modem.and_then(Modem::connection);
        let used = line.access.used().filter(|_| line.is_ours());
        let of_connection = |read: fn(&Connection) -> Option<String>| connection.and_then(read);
        let addresses = connection.filter(|connection| connection.is_connected);
        let addresses = addresses.map(|connection| [&connection.v4, &connection.v6]);
        Self {
            bearer: line.id.0,
            name: line.bearer.name.clone(),
            is_enabled: line.is_enabled,
            is_connected: connection.is_some_and(|connection| connection.is_connected),
            apn: used
                .map(|apn| apn.name.clone())
                .or_else(|| of_connection(|connection| connection.apn.clone())),
            user: used
                .and_then(|apn| apn.user.clone())
                .or_else(|| of_connection(|connection| connection.user.clone())),
            auth: connection.and_then(|connection| connection.auth),
            ip_type: connection.and_then(|connection| connection.ip_type),
            bytes: connection.and_then(|connection| connection.bytes),
            addresses: addresses
                .into_iter()
                .flatten()
                .filter_map(Address::of)
                .collect(),
            modes: modem.map(|modem| modem.modes).unwrap_or_default(),
            attempts: line.attempts.iter().copied().collect(),
        }
    }
}

impl ApnChange {
    pub(super) fn of(self, former: Option<&Apn>) -> Option<Apn> {
        let mut apn = former.cloned().unwrap_or_else(|| Apn {
            name: String::new(),
            user: None,
            password: None,
        });
        if let Some(name) = self.name {
            apn.name = name;
        }
        if let Some(user) = self.user {
            apn.user = Some(user).filter(|user| !user.is_empty());
        }
        if let Some(password) = self.password {
            apn.password = Some(password).filter(|password| !password.bytes().is_empty());
        }
        (!apn.name.is_empty()).then_some(apn)
    }
}

impl Address {
    fn of(config: &IpConfig) -> Option<Self> {
        Some(Self {
            address: config.address?,
            prefix: config.prefix,
            gateway: config.gateway,
            name_servers: config.name_servers.clone(),
        })
    }
}
