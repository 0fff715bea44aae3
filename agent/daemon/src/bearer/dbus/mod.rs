//! What ModemManager and NetworkManager say of bearers, over D-Bus. Neither has to be there, nor the
//! bus: then nothing is known, and nothing is amiss.
//!
//! 1. One task for each manager, with a connection of its own that is opened again and again. A
//!    signal only says "look again": whatever was lost, doubled or invented on the way, the next look
//!    shows what there is. It looks now and then as well.
//! 2. What a look shows goes through a pure reader ([`modem`], [`network`]), which believes nothing.
//! 3. [`Managers`] puts together what both say of a bearer, and tells it where it has changed.

mod address;
mod apn;
mod bag;
mod bus;
mod connect;
mod controls;
mod jobs;
mod line;
mod memory;
mod modem;
mod modems;
mod network;
mod networks;
mod settle;
mod sms;
mod tried;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    task::{Context, Poll, ready},
    time::Duration,
};

use lamplighter_adapters::bus::Backoff;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep,
};

use super::{BearerId, Choice, Meta, Reason, Status};
use crate::{
    clock,
    config::{Bearer, BearerKind},
};
use bus::Bus;

#[cfg(test)]
pub(crate) use controls::Address;
pub(crate) use controls::{ApnChange, Controls, Profile};
#[cfg(test)]
pub(crate) use line::Attempt;
pub(crate) use memory::FILE as MANAGERS_FILE;
pub use tried::Tried;

/// News that wait for the loop; who tells more waits.
const NEWS_MAX: usize = 64;
/// Orders that wait for a modem; more are refused.
const ORDERS_MAX: usize = 16;
/// Until the bus is looked for again.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);
/// What managers tell.
#[derive(Clone, Debug, PartialEq)]
pub enum ManagerEvent {
    /// What both managers know of a bearer now.
    Meta(BearerId, Meta),
    /// Somebody who may do so wants the servers to hear from this box.
    Wake(BearerId),
    /// A server's wish, which it has written into object 13.
    Choose(Choice),
    /// Worth a line in the event log.
    Told(BearerId, Told),
}

/// What was done with a modem.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    ApnKept,
    ApnReverted,
    /// As a server wants it.
    Disabled,
    /// A server wanted it off, and no server could be reached without it.
    EnabledAgain,
    PinRefused,
    RadioOff,
    Reset,
}

/// Follows the managers of this machine.
#[derive(Debug)]
pub struct Managers {
    news: mpsc::Receiver<News>,
    /// What each manager said last.
    said: BTreeMap<(BearerId, Source), Meta>,
    told: BTreeMap<BearerId, Meta>,
    interfaces: watch::Sender<Interfaces>,
    orders: mpsc::Sender<Order>,
    controls: Controls,
    /// What servers wish.
    wishes: mpsc::Receiver<Choice>,
    /// What was told of each bearer last.
    serves: BTreeMap<BearerId, Option<bool>>,
    tried: Tried,
    /// Ends them with us.
    _tasks: JoinSet<()>,
}

/// Where the bus is.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Default: that of the system, or what `DBUS_SYSTEM_BUS_ADDRESS` says.
    pub bus: Option<String>,
    /// Default: nothing survives.
    pub state_dir: Option<PathBuf>,
}

/// Interfaces of bearers, as found.
type Interfaces = BTreeMap<BearerId, String>;
/// The configured bearers with their numbers.
type Bearers = Vec<(BearerId, Bearer)>;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Source {
    Modem,
    Network,
}

/// From a task.
#[derive(Debug)]
enum News {
    Meta(BearerId, Source, Meta),
    Told(BearerId, Told),
    Wake(BearerId),
}

/// For the task of the modems.
#[derive(Debug)]
enum Order {
    /// On trial.
    Change(BearerId, ApnChange),
    Enable(BearerId, bool),
    /// Whether a server can be reached over it; `None`: nothing is known of its network.
    Serves(BearerId, Option<bool>),
}

impl Managers {
    /// Starts the tasks. Without bearers there are none. `tried`: of those before, which have ended.
    pub fn start(bearers: &[Bearer], place: &Place, tried: Tried) -> Self {
        let (out, news) = mpsc::channel(NEWS_MAX);
        let (orders, wanted) = mpsc::channel(ORDERS_MAX);
        let numbered = (0..).map(BearerId).zip(bearers.iter().cloned());
        let numbered: Bearers = numbered.collect();
        let named = numbered.iter().filter_map(|(id, bearer)| {
            let interface = bearer.interface.clone()?;
            Some((*id, interface))
        });
        let (interfaces, found) = watch::channel(named.collect::<Interfaces>());
        let (wish, wishes) = mpsc::channel(ORDERS_MAX);
        let (controls, sharing) =
            controls::open(place.state_dir.as_deref(), orders.clone(), wish, &tried);
        let mut tasks = JoinSet::new();
        let cellular = numbered
            .iter()
            .filter(|(_, bearer)| bearer.kind == BearerKind::Cellular);
        let cellular: Bearers = cellular.cloned().collect();
        if !cellular.is_empty() {
            let modems = modems::Modems::new(cellular, found.clone(), wanted, out.clone(), sharing);
            tasks.spawn(modems.run(place.bus.clone()));
        }
        if !numbered.is_empty() {
            let networks = networks::Networks::new(&numbered, found, out, tried.clone());
            tasks.spawn(networks.run(place.bus.clone()));
        }
        Self {
            news,
            said: BTreeMap::new(),
            told: BTreeMap::new(),
            interfaces,
            orders,
            controls,
            wishes,
            serves: BTreeMap::new(),
            tried,
            _tasks: tasks,
        }
    }

    /// How the selector sees a bearer; may be told as often as wanted.
    pub fn serves(&mut self, bearer: BearerId, status: Status, reason: Option<Reason>) {
        let serves = match (status, reason) {
            (Status::Connected, _) => Some(true),
            (
                Status::Disconnected,
                Some(Reason::Captive | Reason::Dns | Reason::NoAddress | Reason::Timeout),
            ) => Some(false),
            // These say nothing of the network.
            (
                Status::Disconnected,
                Some(
                    Reason::CapReached
                    | Reason::Disabled
                    | Reason::Dtls
                    | Reason::NoLink
                    | Reason::NoRoute
                    | Reason::NotRegistered
                    | Reason::Refused
                    | Reason::Untried,
                )
                | None,
            ) => None,
        };
        if self.serves.get(&bearer) == Some(&serves) {
            return;
        }
        if self.orders.try_send(Order::Serves(bearer, serves)).is_ok() {
            self.serves.insert(bearer, serves);
        }
    }

    /// The interface of a bearer whose configuration does not name one.
    pub fn found(&self, bearer: BearerId, interface: Option<&str>) {
        self.interfaces.send_if_modified(|interfaces| {
            let former = interfaces.get(&bearer).map(String::as_str);
            let is_news = former != interface;
            match interface.filter(|_| is_news) {
                Some(interface) => {
                    interfaces.insert(bearer, interface.to_owned());
                }
                None if is_news => {
                    interfaces.remove(&bearer);
                }
                None => {}
            }
            is_news
        });
    }

    /// For the objects of these bearers.
    pub(crate) fn controls(&self) -> Controls {
        self.controls.clone()
    }

    /// Ends the trial of a server's choice ([`ManagerEvent::Choose`]); the one that holds again where
    /// it is not kept. Within a runtime.
    pub fn end_choice(&self, is_kept: bool) -> Option<Choice> {
        self.controls.end_choice(is_kept)
    }

    /// What a server prefers (13/0/0), and whether that is on trial.
    pub(crate) fn preference(&self) -> (Vec<u8>, bool) {
        self.controls.preference()
    }

    /// For those that come after.
    pub(crate) fn tried(&self) -> Tried {
        self.tried.clone()
    }

    /// What is new. Never ready where there is no manager.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<ManagerEvent> {
        if let Poll::Ready(Some(choice)) = self.wishes.poll_recv(cx) {
            return Poll::Ready(ManagerEvent::Choose(choice));
        }
        loop {
            // Without tasks nobody tells anything, ever.
            let Some(news) = ready!(self.news.poll_recv(cx)) else {
                return Poll::Pending;
            };
            let event = match news {
                News::Meta(bearer, source, meta) => self.said_of(bearer, source, meta),
                News::Told(bearer, told) => Some(ManagerEvent::Told(bearer, told)),
                News::Wake(bearer) => Some(ManagerEvent::Wake(bearer)),
            };
            if let Some(event) = event {
                return Poll::Ready(event);
            }
        }
    }

    fn said_of(&mut self, bearer: BearerId, source: Source, meta: Meta) -> Option<ManagerEvent> {
        self.said.insert((bearer, source), meta);
        let said = |source| self.said.get(&(bearer, source)).cloned();
        let meta = together(said(Source::Modem), said(Source::Network));
        let former = self.told.insert(bearer, meta.clone());
        (former.unwrap_or_default() != meta).then_some(ManagerEvent::Meta(bearer, meta))
    }
}

/// ModemManager knows the network; what it does not say, NetworkManager may, who has set the name
/// servers up.
fn together(modem: Option<Meta>, network: Option<Meta>) -> Meta {
    let (modem, network) = (modem.unwrap_or_default(), network.unwrap_or_default());
    let name_servers = if network.name_servers.is_empty() {
        modem.name_servers
    } else {
        network.name_servers
    };
    Meta {
        metered: network.metered,
        quality: modem.quality.or(network.quality),
        apn: modem.apn.or(network.apn),
        trouble: modem.trouble.or(network.trouble),
        name_servers,
        ..modem
    }
}

/// One who looks at a manager.
trait Look: Send {
    /// Returns when the bus is gone.
    fn session(&mut self, bus: &Bus) -> impl Future<Output = ()> + Send;
    /// Nothing is known any longer.
    fn lost(&mut self) -> impl Future<Output = ()> + Send;
}

/// For ever.
async fn keep_looking(mut at: impl Look, address: Option<String>) {
    let mut pauses = Backoff::new(FIRST_RETRY, LAST_RETRY, clock::seed());
    loop {
        match Bus::open(address.as_deref()).await {
            Ok(bus) => {
                pauses.reset();
                at.session(&bus).await;
            }
            Err(error) => tracing::debug!(%error, "No system bus"),
        }
        at.lost().await;
        sleep(pauses.next_pause()).await;
    }
}

#[cfg(test)]
mod tests;
