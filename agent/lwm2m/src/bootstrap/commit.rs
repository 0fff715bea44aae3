//! From a checked draft to what counts, and back where no server takes us.
//!
//! Everything is in one commit: a power cut leaves the accounts before or those after. What is done
//! in memory then is done anew from those records after a restart.

use lamplighter_model::{ObjectInstanceId, Ssid};

use super::{
    accounts::{Accounts, Wanted},
    check::Settled,
    draft::write_device,
};
use crate::{
    access::Grants,
    object::{AccessControl, CoreObjects},
    operation::gateway,
    perform::{News, Turn},
    saved::{Moment, Record, SavedFallback, SavedInstance},
    tree::Held,
};

/// What is kept of servers whose accounts become others, or go.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// What brings it back.
    pub(crate) back: Vec<Record>,
    /// What removes it.
    pub(crate) removals: Vec<Record>,
}

impl Accounts {
    /// Keeps what a bootstrap server wants, before anything else leaves; servers are made of it by
    /// the client. Whoever was not written stays as he is.
    pub(crate) fn accept(&mut self, settled: Settled, left: Left, turn: &mut Turn<'_>) {
        let now = turn.now;
        let before = self.wanted();
        let given = self.given_record().cloned();
        let core = &turn.shared.core;
        let mut back = vec![Record::Given(given.map(Box::new))];
        back.extend(left.back);
        let mut records = left.removals;

        self.set_given(Some(settled.given.clone()));
        let wanted = self.wanted();
        let access = rights(&settled, &wanted, core);
        back.extend(core.access.records_since(&access));
        records.extend(access.records_since(&core.access));
        records.push(Record::Given(Some(Box::new(settled.given))));
        if self.fallback().is_none() {
            let fallback = SavedFallback {
                began: Moment::of(now),
                awaited: settled.written.clone(),
                foreign: foreign(&before, &wanted),
                records: back,
            };
            records.push(Record::Fallback(Some(Box::new(fallback.clone()))));
            self.hold(fallback, now);
        } else {
            // What has never been proven is nothing to come back to: the time begins anew.
            records.extend(self.renew_fallback(&settled.written, now));
        }

        turn.shared.core.access = access;
        for (resource, value) in &settled.device {
            let device = &mut turn.shared.core.device;
            if write_device(device, *resource, value, now).is_err() {
                tracing::warn!(%resource, "A checked value of object 3 was not taken");
            }
        }
        records.push(Record::Device(turn.shared.core.device.saved()));
        for (path, held) in settled.stored {
            records.extend(turn.give(path, held));
        }
        turn.shared.out.commit_all(records);
    }

    /// A server has taken us: what to keep of it, once, where it is one of those that matter.
    pub(crate) fn confirm(&mut self, ssid: Ssid) -> Option<Record> {
        let awaited = &self.fallback()?.awaited;
        if !awaited.is_empty() && !awaited.contains(&ssid) {
            return None;
        }
        self.take_fallback().map(|_| Record::Fallback(None))
    }

    /// The accounts before count again; what is kept of them, for the servers to be made of.
    pub(crate) fn roll_back(&mut self, turn: &mut Turn<'_>) -> Option<SavedFallback> {
        let fallback = self.take_fallback()?;
        let core = &mut turn.shared.core;
        let mut access = core.access.clone();
        for record in &fallback.records {
            if let Record::Given(given) = record {
                self.set_given(given.as_deref().cloned());
            }
        }
        for record in &fallback.records {
            if let Record::Access(path, saved) = record
                && let Ok(lamplighter_model::Path::Instance(instance)) = path.parse()
            {
                let _ = access.take_back(instance, saved.clone());
            }
        }
        core.access = access;
        let mut records = fallback.records.clone();
        records.push(Record::Fallback(None));
        turn.shared.out.commit_all(records);
        Some(fallback)
    }

    fn renew_fallback(&mut self, written: &[Ssid], now: lamplighter_model::Now) -> Option<Record> {
        let mut fallback = self.take_fallback()?;
        fallback.awaited.extend(written);
        fallback.awaited.sort_unstable();
        fallback.awaited.dedup();
        fallback.began = Moment::of(now);
        let record = Record::Fallback(Some(Box::new(fallback.clone())));
        self.hold(fallback, now);
        Some(record)
    }
}

impl Turn<'_> {
    /// An instance that holds what servers write, or its end; what is to be kept.
    fn give(&mut self, path: lamplighter_model::InstancePath, held: Option<Held>) -> Vec<Record> {
        let Some(held) = held else {
            return self.discard(path);
        };
        if let Err(why) = self.tree.store(gateway(path), &held, self.now.stamp()) {
            tracing::warn!(%path, %why, "A checked instance was not taken");
            return Vec::new();
        }
        self.shared.news.push(News::Listed(path.object));
        let saved = SavedInstance {
            resources: held.into_iter().collect(),
        };
        vec![Record::Instance(path.to_string(), Some(saved))]
    }
}

/// Object 2 as it will be.
fn rights(settled: &Settled, wanted: &[Wanted], core: &CoreObjects) -> AccessControl {
    let mut access = core.access.clone();
    let accounts: Vec<(Ssid, ObjectInstanceId, Grants)> = wanted
        .iter()
        .filter_map(|one| {
            let given = one.given.as_ref().map(|(instance, _)| *instance);
            let stays = || Some(core.account_of(one.config.ssid)?.0);
            let instance = given.or_else(stays)?;
            Some((one.config.ssid, instance, one.config.rights.clone()))
        })
        .collect();
    access.set_accounts(accounts.into_iter());
    match &settled.cleared {
        None => access.clear_all(),
        Some(paths) => paths.iter().for_each(|path| access.clear(*path)),
    }
    for (path, assigned) in &settled.access {
        access.assign(*path, assigned);
    }
    access
}

/// Ids that are those of other servers than before.
fn foreign(before: &[Wanted], after: &[Wanted]) -> Vec<Ssid> {
    let other = |one: &&Wanted| {
        let former = before.iter().find(|was| was.config.ssid == one.config.ssid);
        former.is_some_and(|was| was.is_foreign(&one.config))
    };
    after
        .iter()
        .filter(other)
        .map(|one| one.config.ssid)
        .collect()
}

impl Wanted {
    /// Whether the other of the same id is another server.
    pub(crate) fn is_foreign(&self, other: &crate::config::ServerConfig) -> bool {
        self.config.uri != other.uri
    }
}
