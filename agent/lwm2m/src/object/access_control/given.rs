//! What a bootstrap server says of rights.

use std::collections::BTreeMap;

use lamplighter_model::{InstancePath, ObjectInstanceId, Ssid};

use super::{AccessControl, Account};
use crate::{
    access::{Grants, Rights},
    saved::{Record, SavedEntry},
};

/// The rights on one instance, as a bootstrap server wants them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Assigned {
    /// By short server id; 0 is the default entry.
    pub(crate) entries: BTreeMap<u16, u8>,
    pub(crate) owner: u16,
}

impl AccessControl {
    /// Other servers than before; what was said of rights stays.
    pub(crate) fn set_accounts(
        &mut self,
        accounts: impl Iterator<Item = (Ssid, ObjectInstanceId, Grants)>,
    ) {
        self.accounts = accounts
            .map(|(ssid, instance, grants)| (ssid, Account { grants, instance }))
            .collect();
    }

    /// What servers have changed of an instance does not count any more; who made it stays known.
    pub(crate) fn clear(&mut self, path: InstancePath) {
        if let Some(changed) = self.changed.get_mut(&path) {
            changed.entries.clear();
            changed.owner = None;
            self.tidy(path);
        }
    }

    pub(crate) fn clear_all(&mut self) {
        let all: Vec<InstancePath> = self.changed.keys().copied().collect();
        all.into_iter().for_each(|path| self.clear(path));
    }

    /// Exactly these rights. Servers that there are not get none.
    pub(crate) fn assign(&mut self, path: InstancePath, assigned: &Assigned) {
        let known = |who: &u16| *who == super::DEFAULT || self.accounts.contains_key(&Ssid(*who));
        let entries = assigned.entries.iter().filter(|(who, _)| known(who));
        let entries: BTreeMap<u16, u8> = entries.map(|(who, bits)| (*who, *bits)).collect();
        for who in self.entries(path).into_keys() {
            if !entries.contains_key(&who) {
                self.set_entry(path, who, None);
            }
        }
        for (who, bits) in entries {
            self.set_entry(path, who, Some(Rights::from_bits(bits)));
        }
        self.set_owner(path, assigned.owner);
    }

    /// The configuration says this of a server that stays.
    pub(crate) fn grant(&mut self, ssid: Ssid, grants: Grants) {
        if let Some(account) = self.accounts.get_mut(&ssid) {
            account.grants = grants;
        }
    }

    /// Whether somebody has given rights to a server, or made it an owner.
    pub(crate) fn speaks_of(&self, ssid: Ssid) -> bool {
        let is_right = |(who, entry): (&u16, &SavedEntry)| {
            *who == ssid.0 && entry.is.is_some_and(|bits| bits != 0)
        };
        let mut changed = self.changed.values();
        changed.any(|saved| {
            let owner = saved.owner.map(|owner| owner.is);
            owner == Some(ssid.0) || saved.entries.iter().any(is_right)
        })
    }

    /// What is to be kept of all that is different from `before`.
    pub(crate) fn records_since(&self, before: &Self) -> Vec<Record> {
        let paths = self.changed_since(before).into_iter();
        paths
            .map(|path| Record::Access(path.to_string(), self.changed.get(&path).cloned()))
            .collect()
    }
}
