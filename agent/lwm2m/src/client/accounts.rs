//! Accounts that come, go, and come back after a restart.

use lamplighter_model::{Now, Path, Ssid};

use super::Client;
use crate::{
    bootstrap::Wanted,
    config::Change,
    object::Account,
    operation::gateway,
    perform::Turn,
    rng::Rng,
    saved::{Record, SavedQueue, SavedRegistration},
    server::Server,
    tree::Tree,
};

impl Client {
    /// Puts back the instances that servers made. What cannot be served now stays kept.
    pub(super) fn restore_instances(&mut self, tree: &mut Tree, now: Now) {
        for (path, saved) in self.saved_instances.drain(..) {
            let known = path.parse::<Path>().ok().and_then(Path::instance);
            let Some(instance) = known else {
                tracing::warn!(path, "A saved instance cannot be read");
                continue;
            };
            let held = tree.fitting(instance.object, saved.resources);
            if let Err(why) = tree.store(gateway(instance), &held, now.stamp()) {
                tracing::warn!(path, %why, "A saved instance is kept and not served");
            }
        }
    }

    /// An account of the configuration comes or goes; where a bootstrap server has decided about it
    /// nothing changes.
    pub(super) fn configure(&mut self, change: Change, tree: &mut Tree, now: Now) {
        match change {
            Change::AddServer(config) => {
                let (ssid, config) = (config.ssid, *config);
                if !self.accounts.configure(ssid, Some(config.clone())) {
                    return;
                }
                self.remove_server(ssid, false, tree, now);
                let wanted = Wanted {
                    config,
                    given: None,
                };
                self.add_server(wanted, &[], now);
                self.begin(ssid, now);
            }
            Change::RemoveServer(ssid) => {
                if !self.accounts.configure(ssid, None) {
                    return;
                }
                self.remove_server(ssid, true, tree, now);
                self.disinherit();
            }
        }
        let can_bootstrap = self.accounts.bootstrap().is_some();
        self.shared.core.set_bootstrap(can_bootstrap);
        self.accounts_changed = true;
    }

    pub(super) fn add_server(&mut self, wanted: Wanted, saved: &[Record], now: Now) {
        let Wanted { config, given } = wanted;
        let ssid = config.ssid;
        let (instance, mut account) = match given {
            Some((instance, account)) => (Some(instance), account),
            None => (None, Account::new(&config)),
        };
        let mut registration: Option<SavedRegistration> = None;
        let mut session = None;
        for record in saved {
            match record {
                Record::Account(of, Some(saved)) if *of == ssid => account.restore(*saved),
                Record::Registration(of, saved) if *of == ssid => registration = saved.clone(),
                Record::Session(of, saved) if *of == ssid => session = saved.clone(),
                Record::Access(..)
                | Record::AccessNumbers(_)
                | Record::Account(..)
                | Record::Attributes(..)
                | Record::Date(_)
                | Record::Device(_)
                | Record::Fallback(_)
                | Record::FallbackTime(_)
                | Record::Given(_)
                | Record::Instance(..)
                | Record::Observation(..)
                | Record::Queue(..)
                | Record::Reading(..)
                | Record::Registration(..)
                | Record::Session(..)
                | Record::Statistics(_)
                | Record::Trial(..) => {}
            }
        }
        account.bootstrapped = self.accounts.bootstrapped();
        let name = &self.shared.endpoint;
        let grants = config.rights.clone();
        let mut server = Server::new(config, name, &account, registration, self.seed, now);
        server.be_frugal(self.shared.is_urgent_only);
        if let Some(session) = session {
            server.take_up_session(&session, &mut self.shared);
        }
        let core = &mut self.shared.core;
        core.remove(ssid);
        match instance {
            Some(instance) => core.add_at(instance, (ssid, account), grants),
            None => core.add(ssid, account, grants),
        }
        // What was stored under the id before another server got it is the former's.
        let former = match self.accounts.parted(ssid) {
            Some(_) => None,
            None => self.former.remove(&ssid),
        };
        match former {
            Some(outbox) => server.take_over(outbox),
            None => {
                let from = self.accounts.stored_from(ssid);
                server.restore_queue(SavedQueue {
                    dropped: 0,
                    first: from,
                    next: from,
                });
            }
        }
        self.servers.insert(ssid, server);
    }

    /// What was kept for accounts that are not configured any more is removed.
    pub(super) fn forget_strangers(&mut self, saved: &[Record]) {
        let records = saved.iter().filter_map(Record::removal_of_account);
        let strangers: Vec<_> = records
            .filter(|(ssid, _)| !self.servers.contains_key(ssid))
            .map(|(_, record)| record)
            .collect();
        self.shared.out.commit_all(strangers);
    }

    /// `is_final`: nobody is to be told any more what is stored for it.
    pub(super) fn remove_server(&mut self, ssid: Ssid, is_final: bool, tree: &mut Tree, now: Now) {
        let mut turn = Turn {
            now,
            shared: &mut self.shared,
            tree,
        };
        if let Some(mut server) = self.servers.remove(&ssid) {
            server.registration.deregister(now);
            server.settle(&mut turn);
            server.give_up(is_final, &mut turn);
            self.put_away(ssid, server.into_outbox());
            // One of the same id may come: it must not begin with the same message ids, as whoever
            // knows them takes what it says for a repetition (RFC 7252, 4.5).
            self.seed = Rng::new(self.seed).next();
        }
        self.shared.core.remove(ssid);
    }

    pub(super) fn restore(&mut self, record: Record, now: Now) {
        match record {
            Record::Attributes(ssid, path, Some(attributes)) => {
                if let Some(server) = self.servers.get_mut(&ssid) {
                    server.restore_attributes(&path, attributes);
                }
            }
            Record::Date(saved) => self.shared.dates.restore(saved),
            Record::Device(saved) => self.shared.core.device.restore(saved),
            Record::Statistics(saved) => {
                if let Some(statistics) = &mut self.shared.core.statistics {
                    statistics.restore(saved);
                }
            }
            Record::Instance(path, Some(saved)) => self.saved_instances.push((path, saved)),
            Record::Observation(ssid, token, Some(saved)) => self.saved.push((ssid, token, saved)),
            Record::Queue(ssid, saved) => self.restore_queue(ssid, saved),
            Record::Reading(ssid, Some(saved)) => {
                if let Some(server) = self.servers.get_mut(&ssid) {
                    server.restore_reading(&saved);
                }
            }
            Record::Access(path, Some(saved)) => match path.parse() {
                Ok(Path::Instance(instance)) => self.shared.core.access.restore(instance, saved),
                Ok(_) | Err(_) => tracing::warn!(path, "Saved rights cannot be read"),
            },
            Record::Trial(_, Some(before)) => self.shared.trials.restore(*before, now),
            Record::AccessNumbers(blocks) => self.shared.core.access.restore_numbers(&blocks),
            Record::Access(_, None)
            | Record::Account(..)
            | Record::Attributes(_, _, None)
            | Record::Fallback(_)
            | Record::FallbackTime(_)
            | Record::Given(_)
            | Record::Instance(_, None)
            | Record::Observation(_, _, None)
            | Record::Reading(_, None)
            | Record::Registration(..)
            | Record::Session(..)
            | Record::Trial(_, None) => {}
        }
    }
}
