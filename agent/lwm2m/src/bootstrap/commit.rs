//! From a checked draft to what counts, and back where no server takes us.
//!
//! Everything is in one commit: a power cut leaves the accounts before or those after. What is done
//! in memory then is done anew from those records after a restart.

use std::collections::{BTreeMap, BTreeSet};

use lamplighter_model::{InstancePath, Now, ObjectInstanceId, Path, ResourceId, Ssid, Value};

use super::{
    accounts::{Accounts, Wanted},
    check::Settled,
    draft::write_device,
};
use crate::{
    access::Grants,
    object::{AccessControl, CoreObjects, DEVICE, Device},
    operation::{gateway, gateway_resource},
    perform::{News, Turn},
    saved::{Moment, Record, RecordKey, SavedFallback, SavedGiven, SavedInstance},
    tree::Held,
};

/// What is kept of servers whose accounts become others, or go.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// What brings it back.
    pub(crate) back: Vec<Record>,
    /// The number that the next sample stored for a server gets.
    pub(crate) next: BTreeMap<Ssid, u64>,
    /// What removes it.
    pub(crate) removals: Vec<Record>,
}

impl Accounts {
    /// Keeps what a bootstrap server wants, before anything else leaves; servers are made of it by
    /// the client. Whoever was not written stays as he is.
    pub(crate) fn accept(&mut self, mut settled: Settled, left: Left, turn: &mut Turn<'_>) {
        let given = self.given_record().cloned();
        let mut back = vec![Record::Given(given.map(Box::new))];
        back.extend(left.back);
        let original = self.original();
        let wanted = self.with_given(Some(settled.given.clone())).wanted();
        let parted = parted(&original, &wanted, &left.next);
        for given in &mut settled.given.servers {
            let others = parted.iter().find(|(ssid, _)| *ssid == given.ssid);
            let others = others.map(|(_, from)| *from);
            given.from = others.unwrap_or_else(|| self.stored_from(given.ssid));
        }
        self.set_given(Some(settled.given.clone()));
        let access = rights(&settled, &wanted, &turn.shared.core);

        // Whoever changes his own account only puts nothing on trial.
        let has_others = !left.removals.is_empty() || !settled.written.is_empty();
        let has_more = !settled.device.is_empty() || !settled.stored.is_empty();
        let mut records = left.removals;
        records.push(Record::Given(Some(Box::new(settled.given))));
        let before = std::mem::replace(&mut turn.shared.core.access, access);
        back.push(Record::Device(turn.shared.core.device.saved()));
        records.push(turn.write_device(&settled.device));
        for (path, held) in settled.stored {
            let (former, new) = turn.give(path, held);
            back.push(former);
            records.extend(new);
        }
        let access = &turn.shared.core.access;
        let changes_anything = has_others || has_more || *access != before;
        back.extend(before.records_since(access));
        records.extend(access.records_since(&before));

        if changes_anything || self.fallback().is_some() {
            let mut fallback = self.take_fallback().unwrap_or_else(|| SavedFallback {
                awaited: Vec::new(),
                began: Moment::of(turn.now),
                parted: Vec::new(),
                records: Vec::new(),
            });
            fallback.extend(settled.written, parted, turn.now);
            fallback.bring_back(back, &original);
            records.push(Record::Fallback(Some(Box::new(fallback.clone()))));
            records.push(Record::FallbackTime(None));
            self.hold(fallback, turn.now);
        }
        turn.shared.out.commit_all(records);
    }

    /// A server has taken us: what to keep of it, once, where it is one of those that matter.
    pub(crate) fn confirm(&mut self, ssid: Ssid) -> Option<Vec<Record>> {
        let awaited = &self.fallback()?.awaited;
        if !awaited.is_empty() && !awaited.contains(&ssid) {
            return None;
        }
        self.take_fallback().map(|_| ended())
    }

    /// The accounts before count again; what else comes back with them.
    pub(crate) fn roll_back(&mut self) -> Option<SavedFallback> {
        let fallback = self.take_fallback()?;
        self.set_given(fallback.given());
        Some(fallback)
    }

    /// The accounts that come back, or those that there are where nothing is on trial.
    fn original(&self) -> Vec<Wanted> {
        match self.fallback() {
            Some(fallback) => self.with_given(fallback.given()).wanted(),
            None => self.wanted(),
        }
    }
}

impl SavedFallback {
    fn given(&self) -> Option<SavedGiven> {
        let given = self.records.iter().find_map(|record| {
            let Record::Given(given) = record else {
                return None;
            };
            Some(given.as_deref().cloned())
        });
        given.flatten()
    }

    /// Another bootstrap before the last was of any use: the time begins anew.
    fn extend(&mut self, written: Vec<Ssid>, parted: Vec<(Ssid, u64)>, now: Now) {
        self.awaited.extend(written);
        self.awaited.sort_unstable();
        self.awaited.dedup();
        self.began = Moment::of(now);
        self.parted = parted;
    }

    /// What has never been proven is nothing to come back to: what is there already stays, and of
    /// servers only what those that come back have.
    fn bring_back(&mut self, records: Vec<Record>, original: &[Wanted]) {
        let mut known: BTreeSet<RecordKey> = self.records.iter().map(Record::key).collect();
        let is_original = |ssid| original.iter().any(|one| one.config.ssid == ssid);
        for record in records {
            let owner = record.removal_of_account().map(|(ssid, _)| ssid);
            if owner.is_none_or(is_original) && known.insert(record.key()) {
                self.records.push(record);
            }
        }
    }
}

impl Turn<'_> {
    /// What a bootstrap has changed beside the accounts is as it was before. All of it is kept, and
    /// with it that nothing is on trial any more.
    pub(crate) fn bring_back(&mut self, fallback: &SavedFallback) {
        let instance = |path: &str| path.parse::<Path>().ok().and_then(Path::instance);
        for record in &fallback.records {
            if let Record::Instance(path, saved) = record
                && let Some(path) = instance(path)
            {
                let held = saved.clone();
                let held = held.map(|saved| self.tree.fitting(path.object, saved.resources));
                drop(self.give(path, held));
            }
            if let Record::Device(saved) = record {
                let before = self.shared.core.device.clone();
                self.shared.core.device.restore(saved.clone());
                self.tell_device(&before);
            }
        }
        for record in &fallback.records {
            if let Record::Access(path, saved) = record
                && let Some(path) = instance(path)
            {
                let changed = self.shared.core.access.take_back(path, saved.clone());
                let changed = changed.into_iter().map(gateway_resource);
                let news = changed.map(|resource| News::Sampled(resource, None));
                self.shared.news.extend(news);
            }
        }
        let mut records = fallback.records.clone();
        records.extend(ended());
        self.shared.out.commit_all(records);
    }

    /// An instance that holds what servers write, or its end: what it was, and what is to be kept.
    fn give(&mut self, path: InstancePath, held: Option<Held>) -> (Record, Vec<Record>) {
        let former = self.tree.held(gateway(path)).map(|held| SavedInstance {
            resources: held.into_iter().collect(),
        });
        let former = Record::Instance(path.to_string(), former);
        let Some(held) = held else {
            return (former, self.discard(path));
        };
        match self.store(path, &held) {
            Ok(record) => {
                self.shared.news.push(News::Listed(path.object));
                (former, vec![record])
            }
            Err(why) => {
                tracing::warn!(%path, %why, "A checked instance was not taken");
                (former, Vec::new())
            }
        }
    }

    fn write_device(&mut self, values: &[(ResourceId, Value)]) -> Record {
        let before = self.shared.core.device.clone();
        for (resource, value) in values {
            let device = &mut self.shared.core.device;
            if write_device(device, *resource, value, self.now).is_err() {
                tracing::warn!(%resource, "A checked value of object 3 was not taken");
            }
        }
        self.tell_device(&before);
        Record::Device(self.shared.core.device.saved())
    }

    fn tell_device(&mut self, before: &Device) {
        let different: Vec<u16> = self.shared.core.device.different(before).collect();
        for id in different {
            let path = InstancePath::new(DEVICE.0, 0).resource(id);
            let resource = gateway_resource(path);
            self.shared.news.push(News::Sampled(resource, None));
        }
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

/// Nothing is on trial any more.
fn ended() -> Vec<Record> {
    vec![Record::Fallback(None), Record::FallbackTime(None)]
}

/// Ids that are those of other servers than before, with the number that the next sample stored
/// under the id gets.
fn parted(before: &[Wanted], after: &[Wanted], next: &BTreeMap<Ssid, u64>) -> Vec<(Ssid, u64)> {
    let other = |one: &&Wanted| {
        let former = before.iter().find(|was| was.config.ssid == one.config.ssid);
        former.is_some_and(|was| was.is_foreign(&one.config))
    };
    after
        .iter()
        .filter(other)
        .map(|one| {
            let ssid = one.config.ssid;
            (ssid, next.get(&ssid).copied().unwrap_or_default())
        })
        .collect()
}

impl Wanted {
    /// Whether it is said what the server may do.
    pub(crate) fn is_granted(&self) -> bool {
        self.config.rights != Grants::default()
    }

    /// Whether the other of the same id is another server.
    pub(crate) fn is_foreign(&self, other: &crate::config::ServerConfig) -> bool {
        self.config.uri != other.uri
    }
}
