//! Sends one input to the part that owns it; nothing else.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_model::{Address, InstancePath, Now, Path, ResourceAddress, Ssid};

pub use crate::config::{
    BootstrapConfig, Change, ClientConfig, Creation, DeviceDescription, Limits, RegistrationConfig,
    RetryConfig, ServerConfig, VersionChoice,
};
use crate::{
    bootstrap::{Accounts, Bootstrap, Cause},
    boundary::{Command, Event, HostRequest, Input, Output},
    catalogue::Catalogue,
    format::link,
    object::{CoreObjects, Device, Effect, STATISTICS, Statistics},
    outbox::Outbox,
    perform::{News, Shared, Turn},
    saved::{Record, SavedInstance, SavedObservation},
    server::{Earliest, Server, ServerState, ServerStatus},
    tree::Tree,
};

mod accounts;
mod bootstrap;
mod clock;
#[cfg(test)]
mod cost;
mod operations;
mod order;
mod paths;
mod queues;
mod rights;
mod sequence;
mod telling;
mod trial;

pub(crate) use telling::Tellings;

use order::Order;

/// One LwM2M endpoint: its accounts, and what it shows of the tree.
#[derive(Debug)]
pub struct Client {
    /// What is stored for servers that are not there now: their numbers go on.
    former: BTreeMap<Ssid, Outbox>,
    accounts: Accounts,
    /// An account came or went since the servers were told what there is.
    accounts_changed: bool,
    bootstrap: Bootstrap,
    /// [`Tree::listed`] that the servers know of.
    listed: u64,
    /// What is to be kept of the rights since an account went.
    disinherited: Vec<Record>,
    order: Order,
    /// When the account of the bootstrap server ends.
    purge_at: Option<Duration>,
    /// Instances that servers made and that nobody has a right on.
    orphans: Vec<InstancePath>,
    /// Observations of the last run; taken up with the first input, when there is a tree.
    saved: Vec<(Ssid, Vec<u8>, SavedObservation)>,
    /// Instances that servers made; taken up with the first input too.
    saved_instances: Vec<(String, SavedInstance)>,
    seed: u64,
    servers: BTreeMap<Ssid, Server>,
    shared: Shared,
    stopping: bool,
}

impl Client {
    /// A client that takes up what it had saved and begins to register. Its first outputs are to be
    /// polled at once.
    pub fn new(config: ClientConfig, saved: Vec<Record>, now: Now) -> Self {
        let statistics = config.definitions.object(STATISTICS);
        let statistics = statistics.map(|_| Statistics::default());
        let hardware = config.device.fingerprint();
        let core = CoreObjects::new(Device::new(config.device), statistics);
        let mut shared = Shared::new(core, config.creation, config.endpoint);
        shared.hardware = hardware;
        let accounts = Accounts::new(config.bootstrap, config.servers, &saved, now);
        let wanted = accounts.wanted();
        let mut client = Self {
            former: BTreeMap::new(),
            accounts,
            accounts_changed: false,
            bootstrap: Bootstrap::new(config.seed, now),
            listed: 0,
            disinherited: Vec::new(),
            order: Order::default(),
            purge_at: None,
            orphans: Vec::new(),
            saved: Vec::new(),
            saved_instances: Vec::new(),
            seed: config.seed,
            servers: BTreeMap::new(),
            shared,
            stopping: false,
        };
        for server in wanted {
            client.add_server(server, &saved, now);
        }
        client.forget_strangers(&saved);
        // Where reading had come to means something only where something is to be read.
        let (reading, others): (Vec<_>, Vec<_>) = saved
            .into_iter()
            .partition(|record| matches!(record, Record::Reading(..)));
        for record in others.into_iter().chain(reading) {
            client.restore(record, now);
        }
        client.disinherit();
        client.withhold_stored();
        client.start(now);
        client.resume_bootstrap(now);
        client
    }

    /// Takes one input. Nothing a peer does makes it fail.
    pub fn handle(&mut self, input: Input, tree: &mut Tree, now: Now) {
        self.restore_instances(tree, now);
        let turn = Turn {
            now,
            shared: &mut self.shared,
            tree,
        };
        for (ssid, token, saved) in self.saved.drain(..) {
            if let Some(server) = self.servers.get_mut(&ssid) {
                server.restore_observation(&token, &saved, &turn);
            }
        }
        match input {
            Input::Clock(trust) => self.on_clock(trust, tree, now),
            Input::Command(command) => self.on_command(command, tree, now),
            Input::Committed(id) => turn.shared.out.committed(id),
            Input::Configure(change) => self.configure(change, tree, now),
            Input::Device(event) => self.on_device(event, tree, now),
            Input::Kept(ssid, kept) => self.on_kept(ssid, kept),
            Input::KeptDropped(ssid, first, count) => self.on_dropped(ssid, first, count),
            Input::KeptErased(ssid, count) => {
                if let Some(server) = self.servers.get_mut(&ssid) {
                    server.erased(count);
                }
            }
            Input::Link(link, event) => self.on_link(link, event, tree, now),
            Input::PathUp => self.on_path_up(now),
            Input::Received(link, datagram) => {
                if let Some(server) = self.servers.values_mut().find(|server| server.owns(link)) {
                    server.receive(link, datagram, turn.shared, now);
                } else if self.bootstrap.owns(link) {
                    self.bootstrap.receive(datagram, turn.shared, now);
                }
            }
            Input::Timeout => {}
            Input::UrgentOnly(is_urgent_only) => self.on_urgent_only(is_urgent_only),
        }
        self.drop_orphans(tree, now);
        self.handle_timeouts(tree, now);
        self.settle(tree, now);
    }

    /// The next thing to do; `None` also while a commit is awaited.
    pub fn poll(&mut self) -> Option<Output> {
        self.shared.out.pop()
    }

    /// When [`Input::Timeout`] is due, and who asked for it.
    pub fn poll_timeout(&self) -> Option<(Duration, &'static str)> {
        let mut next = Earliest(self.bootstrap_timeout());
        for server in self.servers.values() {
            server.timeouts(&mut next);
        }
        next.take(self.shared.waiting.timeout(), "device deadline");
        next.take(self.shared.trials.timeout(), "trial");
        next.0
    }

    /// All servers, in the order of their ids.
    pub fn servers(&self) -> impl Iterator<Item = ServerStatus> {
        self.servers.values().map(Server::status)
    }

    /// Where each server stands, without the words.
    pub fn states(&self) -> impl Iterator<Item = (Ssid, ServerState)> {
        self.servers
            .iter()
            .map(|(ssid, server)| (*ssid, server.state()))
    }

    /// Which servers do not expect us to hear them now (queue mode).
    pub fn asleep(&self) -> impl Iterator<Item = (Ssid, bool)> {
        self.servers
            .iter()
            .map(|(ssid, server)| (*ssid, server.is_asleep()))
    }

    /// Bytes of the longest list of objects that a server is sent.
    pub fn register_payload_size(&self, tree: &Tree, now: Now) -> usize {
        let catalogue = Catalogue {
            core: &self.shared.core,
            creation: &self.shared.creation,
            now,
            tree,
        };
        self.servers
            .values()
            .map(|server| link::write(&server.links_in(catalogue)).len())
            .max()
            .unwrap_or(0)
    }

    fn on_command(&mut self, command: Command, tree: &mut Tree, now: Now) {
        match command {
            Command::Bootstrap => drop(self.want_bootstrap(Cause::Requested, now)),
            Command::Deregister(ssid) => {
                let chosen = self
                    .servers
                    .values_mut()
                    .filter(|server| ssid.is_none_or(|ssid| server.ssid() == ssid));
                chosen.for_each(|server| server.registration.deregister(now));
            }
            Command::DeviceError { code, present } => {
                self.shared.core.device.set_error(code, present);
                self.shared.news.push(News::Sampled(ERRORS, None));
            }
            Command::DeviceZone {
                timezone,
                utc_offset,
            } => {
                let changed = self.shared.core.device.set_zone(timezone, utc_offset);
                let changed = changed
                    .into_iter()
                    .map(|id| ResourceAddress::gateway(3, 0, id));
                let news = changed.map(|address| News::Sampled(address, None));
                self.shared.news.extend(news);
            }
            Command::Local(id, request) => self.on_local(id, request, tree, now),
            Command::Ping => self.ping(now),
            Command::Register(ssid) => {
                if let Some(server) = self.servers.get_mut(&ssid) {
                    server.registration.register_now(now);
                }
            }
            Command::Send(id, request) => self.on_send(id, request, tree, now),
            Command::Stop => {
                self.stopping = true;
                self.bootstrap.stop(&mut self.shared, now);
                self.servers
                    .values_mut()
                    .for_each(|server| server.stop(now));
            }
            Command::Update(ssid) => {
                if let Some(server) = self.servers.get_mut(&ssid) {
                    server.registration.trigger(now);
                }
            }
        }
    }

    fn handle_timeouts(&mut self, tree: &mut Tree, now: Now) {
        while let Some(pending) = self.shared.waiting.expired(now.mono) {
            self.conclude(&pending, tree, now);
        }
        self.end_trials(now);
        self.bootstrap_timeouts(tree, now);
        let turn = Turn {
            now,
            shared: &mut self.shared,
            tree,
        };
        self.servers
            .values_mut()
            .for_each(|server| server.handle_timeout(&turn));
    }

    /// Lets every server carry on until nobody has news for another.
    fn settle(&mut self, tree: &mut Tree, now: Now) {
        loop {
            self.relist(tree, now);
            let mut turn = Turn {
                now,
                shared: &mut self.shared,
                tree,
            };
            self.servers
                .values_mut()
                .for_each(|server| server.settle(&mut turn));
            let has_settled = self.settle_bootstrap(tree, now);
            let news = std::mem::take(&mut self.shared.news);
            if news.is_empty() && !has_settled && !self.start_next(now) {
                break;
            }
            for news in news {
                self.spread(news, tree, now);
            }
        }
        if self.stopping
            && self
                .servers
                .values()
                .all(|server| server.registration.is_off())
        {
            self.stopping = false;
            self.shared.out.push(Output::Event(Event::Stopped));
        }
    }

    fn spread(&mut self, news: News, tree: &mut Tree, now: Now) {
        let mut turn = Turn {
            now,
            shared: &mut self.shared,
            tree,
        };
        match news {
            News::Account(ssid) => {
                let account = turn.shared.core.account_of(ssid);
                if let (Some(server), Some((_, account))) = (self.servers.get_mut(&ssid), account) {
                    server.obey(account, now);
                }
            }
            News::Effect(Effect::Bootstrap) => drop(self.want_bootstrap(Cause::Requested, now)),
            News::Effect(Effect::Disable(ssid)) => {
                if let Some(server) = self.servers.get_mut(&ssid) {
                    server.disable(&mut turn);
                }
            }
            News::Effect(Effect::FactoryReset) => turn
                .shared
                .out
                .push(Output::Host(HostRequest::FactoryReset)),
            News::Effect(Effect::Reboot) => turn.shared.out.push(Output::Host(HostRequest::Reboot)),
            News::Effect(Effect::ResetErrors) => {
                turn.shared.core.device.reset_errors();
                turn.shared.news.push(News::Sampled(ERRORS, None));
            }
            News::Effect(effect @ (Effect::StartStatistics | Effect::StopStatistics)) => {
                turn.shared.collect(effect == Effect::StartStatistics, now);
            }
            News::Effect(Effect::Update(ssid)) => {
                if let Some(server) = self.servers.get_mut(&ssid) {
                    server.registration.trigger(now);
                }
            }
            News::GaveUp(ssid) => self.on_give_up(ssid, now),
            News::Listed(object) => {
                let object = Address::gateway(Path::Object(object));
                self.servers
                    .values_mut()
                    .for_each(|server| server.object_changed(object, &turn));
            }
            News::Removed(path) => {
                for server in self.servers.values_mut() {
                    server.remove_attributes(Address::gateway(path), turn.shared);
                }
            }
            News::Reached(sent) => self.reached(sent),
            News::Taken(ssid) => self.taken(ssid, tree, now),
            News::Tried => self.try_servers(),
            News::Sampled(resource, index) => {
                let is_default = resource.path.object() == crate::object::SERVER;
                let is_uncovered = turn.shared.core.access.is_about_hidden(resource.path);
                let judged = turn.shared.core.access.judged(resource.path);
                for server in self.servers.values_mut() {
                    if let Some(instance) = judged {
                        server.rights_changed(instance, &mut turn);
                    }
                    if is_default {
                        server.defaults_changed(&turn);
                    }
                    if is_uncovered {
                        server.registration.objects_changed(now);
                    }
                    server.changed(resource, index, &mut turn);
                }
            }
        }
    }
}

/// 3/0/11.
const ERRORS: ResourceAddress = ResourceAddress::gateway(3, 0, 11);
