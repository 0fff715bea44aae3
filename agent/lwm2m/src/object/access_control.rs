//! Object 2: who may do what to which instance (Core 1.2, 8.1 and 8.2; lwm2m/20, 11).
//!
//! Every instance that servers see has an instance of object 2, but none of those is stored. What
//! the configuration says is worked out for the instance that is asked about; kept is only what
//! servers have made different. So instances come and go in thousands at no cost.

use std::collections::{BTreeMap, BTreeSet};

use lamplighter_model::{
    InstancePath, ObjectId, ObjectInstanceId, ResourceId, ResourceInstanceId, ResourcePath, Ssid,
    Value,
};

use self::numbers::Numbers;
use super::{SERVER, is_location};
use crate::{
    access::{Grants, Pattern, Right, Rights},
    format::Content,
    reject::Reject,
    saved::{Record, SavedAccess, SavedEntry, SavedOwner},
};

mod given;
mod numbers;
#[cfg(test)]
mod tests;

pub(crate) use given::Assigned;

pub(crate) const ACCESS_CONTROL: ObjectId = ObjectId(2);

/// The resources of every instance.
pub(crate) const RESOURCES: [u16; 4] = [id::OBJECT, id::INSTANCE, id::ACL, id::OWNER];

mod id {
    pub(super) const OBJECT: u16 = 0;
    pub(super) const INSTANCE: u16 = 1;
    pub(super) const ACL: u16 = 2;
    pub(super) const OWNER: u16 = 3;
}

/// The owner where no server is; as an instance: the object itself, about which only Create is said.
pub(crate) const NOBODY: u16 = u16::MAX;
/// The entry of 2/x/2 for all servers that have none.
const DEFAULT: u16 = 0;

/// The state of object 2.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AccessControl {
    accounts: BTreeMap<Ssid, Account>,
    /// What servers have made different from the configuration.
    changed: BTreeMap<InstancePath, SavedAccess>,
    numbers: Numbers,
}

#[derive(Clone, Debug, PartialEq)]
struct Account {
    grants: Grants,
    /// Of object 1.
    instance: ObjectInstanceId,
}

impl AccessControl {
    pub(super) fn add(&mut self, ssid: Ssid, instance: ObjectInstanceId, grants: Grants) {
        self.accounts.insert(ssid, Account { grants, instance });
    }

    pub(super) fn remove(&mut self, ssid: Ssid) {
        self.accounts.remove(&ssid);
    }

    /// Whether there is anybody to tell apart. If not, object 2 does not exist.
    pub(crate) fn is_enabled(&self) -> bool {
        self.accounts.len() > 1
    }

    /// Whether a server has a right on an instance; for Create, on its object.
    pub(crate) fn allows(&self, ssid: Ssid, right: Right, path: InstancePath) -> bool {
        if !self.is_enabled() {
            return true;
        }
        if path.object == ACCESS_CONTROL {
            return match right {
                Right::Read => true,
                Right::Write => self
                    .target(path.instance)
                    .is_some_and(|target| self.owner(target) == ssid.0),
                Right::Create | Right::Delete | Right::Execute => false,
            };
        }
        let path = match right {
            Right::Create => of_object(path.object),
            Right::Delete | Right::Execute | Right::Read | Right::Write => path,
        };
        self.rights(ssid.0, path).contains(right)
    }

    /// Whether a server may override what protects an instance (design, 6 "Engine or machine
    /// shut-down"): its owner, or the only server there is.
    pub(crate) fn may_force(&self, ssid: Ssid, path: InstancePath) -> bool {
        !self.is_enabled() || self.owner(path) == ssid.0
    }

    /// Whether a server is not even told that an instance is there.
    pub(crate) fn hides(&self, ssid: Ssid, path: InstancePath) -> bool {
        is_location(path.object) && !self.allows(ssid, Right::Read, path)
    }

    /// Whether a resource of object 2 says from whom an instance is hidden.
    pub(crate) fn is_about_hidden(&self, path: ResourcePath) -> bool {
        path.object() == ACCESS_CONTROL
            && self
                .target(path.instance.instance)
                .is_some_and(|target| is_location(target.object))
    }

    /// The instance of which a resource of object 2 says who may do what to it.
    pub(crate) fn judged(&self, path: ResourcePath) -> Option<InstancePath> {
        let is_ours = path.object() == ACCESS_CONTROL;
        let target = is_ours
            .then(|| self.target(path.instance.instance))
            .flatten();
        target.filter(|target| target.instance.0 != NOBODY)
    }

    /// The instances about which servers have changed what the configuration says, and that this one
    /// may not read.
    pub(crate) fn withheld(&self, ssid: Ssid) -> impl Iterator<Item = InstancePath> {
        let changed = self.changed.keys().copied();
        let changed = changed.filter(|path| path.instance.0 != NOBODY);
        changed.filter(move |path| !self.allows(ssid, Right::Read, *path))
    }

    /// The instance of object 2 about an instance.
    pub(crate) fn number(&self, path: InstancePath) -> Option<InstancePath> {
        let is_spoken_of = self.is_enabled() && path.object != ACCESS_CONTROL;
        let instance = is_spoken_of.then(|| self.numbers.number(path)).flatten()?;
        Some(InstancePath {
            object: ACCESS_CONTROL,
            instance,
        })
    }

    /// What an instance of object 2 is about, whether that exists or not.
    pub(crate) fn target(&self, number: ObjectInstanceId) -> Option<InstancePath> {
        self.is_enabled().then(|| self.numbers.target(number))?
    }

    /// Whether any server may make instances of an object, if that can be done at all.
    pub(crate) fn is_create_granted(&self, object: ObjectId) -> bool {
        !self.entries(of_object(object)).is_empty()
    }

    /// Gives numbers to all that exists; what is to be kept where they are new.
    pub(crate) fn reserve(
        &mut self,
        existing: impl Iterator<Item = InstancePath>,
    ) -> Option<Record> {
        let is_new = self.is_enabled() && self.numbers.reserve(existing);
        is_new.then(|| Record::AccessNumbers(self.numbers.saved()))
    }

    /// A server has made an instance: it is its own (Core 1.2, 8.1.3).
    #[must_use]
    pub(crate) fn created(&mut self, by: Ssid, instance: InstancePath) -> Record {
        let made = SavedAccess {
            creator: Some(by.0),
            ..SavedAccess::default()
        };
        self.changed.insert(instance, made.clone());
        Record::Access(instance.to_string(), Some(made))
    }

    /// An instance is gone, and what was said of it.
    pub(crate) fn deleted(&mut self, instance: InstancePath) -> Option<Record> {
        self.changed.remove(&instance)?;
        Some(Record::Access(instance.to_string(), None))
    }

    pub(crate) fn restore(&mut self, instance: InstancePath, saved: SavedAccess) {
        self.changed.insert(instance, saved);
    }

    pub(crate) fn restore_numbers(&mut self, blocks: &[(u16, u16)]) {
        self.numbers.restore(blocks);
    }

    /// Takes the servers without an account out of everything. What they owned goes to the server
    /// that may write and delete most; what nobody has a right on any more is returned: it is to be
    /// deleted (Core 1.2, 8.1.4).
    pub(crate) fn disinherit(&mut self) -> (Vec<InstancePath>, Vec<Record>) {
        let paths: Vec<InstancePath> = self.changed.keys().copied().collect();
        let (mut orphans, mut records) = (Vec::new(), Vec::new());
        for path in paths {
            let Some(before) = self.changed.get(&path).cloned() else {
                continue;
            };
            if self.bequeath(path) {
                orphans.push(path);
            }
            let after = self.changed.get(&path);
            if after != Some(&before) {
                records.push(Record::Access(path.to_string(), after.cloned()));
            }
        }
        (orphans, records)
    }

    pub(super) fn read(&self, number: ObjectInstanceId, resource: ResourceId) -> Option<Content> {
        let target = self.target(number)?;
        let single = |number: u16| Some(Content::Single(Value::Integer(number.into())));
        match resource.0 {
            id::OBJECT => single(target.object.0),
            id::INSTANCE => single(target.instance.0),
            id::ACL => {
                let entries = self.entries(target).into_iter();
                let value = |(who, rights): (u16, Rights)| {
                    (
                        ResourceInstanceId(who),
                        Value::Integer(rights.bits().into()),
                    )
                };
                Some(Content::Multiple(entries.map(value).collect()))
            }
            id::OWNER => single(self.owner(target)),
            _ => None,
        }
    }

    /// `keeps`: entries that are not named stay.
    pub(super) fn write(
        &mut self,
        number: ObjectInstanceId,
        resource: ResourceId,
        content: &Content,
        keeps: bool,
    ) -> Result<(), Reject> {
        let target = self.target(number).ok_or_else(super::absent)?;
        match (resource.0, content) {
            (id::ACL, Content::Multiple(values)) => self.write_entries(target, values, keeps),
            (id::OWNER, Content::Single(value)) => self.write_owner(target, value),
            (id::ACL, Content::Single(_)) | (id::OWNER, Content::Multiple(_)) => Err(
                Reject::bad_request("one value for several, or several for one"),
            ),
            _ => Err(Reject::method_not_allowed("the resource cannot be written")),
        }
    }

    /// Part of a Replace that does not name the resource.
    pub(super) fn reset(&mut self, number: ObjectInstanceId, resource: ResourceId) {
        if let (Some(target), id::ACL) = (self.target(number), resource.0) {
            for who in self.entries(target).into_keys() {
                self.set_entry(target, who, None);
            }
        }
    }

    /// Resources that hold something else than in `before`, and what is to be kept of it.
    pub(super) fn different(&self, before: &Self) -> (Vec<ResourcePath>, Vec<Record>) {
        let (mut resources, mut records) = (Vec::new(), Vec::new());
        for path in self.changed_since(before) {
            let now = self.changed.get(&path).cloned();
            records.push(Record::Access(path.to_string(), now));
            let Some(number) = self.number(path) else {
                continue;
            };
            if self.entries(path) != before.entries(path) {
                resources.push(number.resource(id::ACL));
            }
            if self.owner(path) != before.owner(path) {
                resources.push(number.resource(id::OWNER));
            }
        }
        (resources, records)
    }

    fn changed_since(&self, before: &Self) -> BTreeSet<InstancePath> {
        let all = self.changed.keys().chain(before.changed.keys()).copied();
        all.filter(|path| self.changed.get(path) != before.changed.get(path))
            .collect()
    }

    /// What undoes those changes by which a server gave away what it, or nobody else, needs to manage
    /// rights and accounts.
    pub(crate) fn given_away(&self, before: &Self, by: Ssid) -> Vec<Record> {
        let is_given_away = |path: &InstancePath| {
            let is_owner = |access: &Self| access.owner(*path) == by.0;
            let writes = |access: &Self, who: Ssid| access.allows(who, Right::Write, *path);
            let written = |access: &Self| access.accounts.keys().any(|who| writes(access, *who));
            let is_lost = writes(before, by) && !writes(self, by);
            let is_lost_to_all = written(before) && !written(self);
            let is_account = path.object == SERVER;
            (is_owner(before) && !is_owner(self)) || (is_account && (is_lost || is_lost_to_all))
        };
        self.changed_since(before)
            .into_iter()
            .filter(is_given_away)
            .map(|path| Record::Access(path.to_string(), before.changed.get(&path).cloned()))
            .collect()
    }

    /// Undoes what servers have changed about an instance since; the resources that are different
    /// then.
    pub(crate) fn take_back(
        &mut self,
        path: InstancePath,
        saved: Option<SavedAccess>,
    ) -> Vec<ResourcePath> {
        let before = self.clone();
        match saved {
            Some(saved) => self.changed.insert(path, saved),
            None => self.changed.remove(&path),
        };
        self.different(&before).0
    }

    /// The rights of a server, as the standard finds them.
    fn rights(&self, who: u16, path: InstancePath) -> Rights {
        if let Some(own) = self.entry(who, path) {
            return own;
        }
        // An owner without an entry of its own has all rights, whatever the default entry says.
        if self.owner(path) == who {
            return Rights::INSTANCE;
        }
        self.entry(DEFAULT, path).unwrap_or_default()
    }

    fn owner(&self, path: InstancePath) -> u16 {
        let configured = self.configured_owner(path);
        match self.changed.get(&path).and_then(|changed| changed.owner) {
            Some(SavedOwner { was, is }) if was == configured => is,
            Some(_) | None => configured,
        }
    }

    fn entry(&self, who: u16, path: InstancePath) -> Option<Rights> {
        let configured = self.configured_entry(who, path);
        let changed = self.changed.get(&path);
        match changed.and_then(|changed| changed.entries.get(&who)) {
            // What a server wrote counts until the configuration says something else than then.
            Some(SavedEntry { was, is }) if *was == configured.map(Rights::bits) => {
                is.map(Rights::from_bits)
            }
            Some(_) | None => configured,
        }
    }

    fn entries(&self, path: InstancePath) -> BTreeMap<u16, Rights> {
        let written = self.changed.get(&path).into_iter();
        let written = written.flat_map(|changed| changed.entries.keys().copied());
        let mut who: Vec<u16> = self.accounts.keys().map(|ssid| ssid.0).collect();
        who.extend(written);
        who.into_iter()
            .filter_map(|who| Some((who, self.entry(who, path)?)))
            .collect()
    }

    fn configured_owner(&self, path: InstancePath) -> u16 {
        if path.instance.0 == NOBODY {
            return NOBODY;
        }
        if let Some(creator) = self.creator(path) {
            return creator;
        }
        let owner = self
            .accounts
            .iter()
            .find(|(_, account)| account.grants.owner);
        owner.map_or(NOBODY, |(ssid, _)| ssid.0)
    }

    fn configured_entry(&self, who: u16, path: InstancePath) -> Option<Rights> {
        let account = self.accounts.get(&Ssid(who))?;
        if path.instance.0 == NOBODY {
            let rights = account.rights(path);
            return rights
                .filter(|rights| rights.contains(Right::Create))
                .map(|_| Rights::CREATE);
        }
        if self.creator(path) == Some(who) {
            return Some(Rights::INSTANCE);
        }
        account
            .rights(path)
            .map(|rights| rights.and(Rights::INSTANCE))
    }

    /// The server that made an instance, while it has an account.
    fn creator(&self, path: InstancePath) -> Option<u16> {
        let creator = self.changed.get(&path)?.creator?;
        self.accounts
            .contains_key(&Ssid(creator))
            .then_some(creator)
    }

    fn write_entries(
        &mut self,
        target: InstancePath,
        values: &[(ResourceInstanceId, Value)],
        keeps: bool,
    ) -> Result<(), Reject> {
        let mut entries = BTreeMap::new();
        for (index, value) in values {
            if index.0 != DEFAULT {
                self.check_account(index.0)?;
            }
            let bits = super::number(value, 0..=u32::from(Rights::ALL.bits()))?;
            entries.insert(index.0, Rights::from_bits(bits as u8));
        }
        if !keeps {
            let gone = self.entries(target).into_keys();
            let gone: Vec<u16> = gone.filter(|who| !entries.contains_key(who)).collect();
            gone.into_iter()
                .for_each(|who| self.set_entry(target, who, None));
        }
        for (who, rights) in entries {
            self.set_entry(target, who, Some(rights));
        }
        Ok(())
    }

    fn write_owner(&mut self, target: InstancePath, value: &Value) -> Result<(), Reject> {
        let is = super::number(value, 1..=NOBODY.into())? as u16;
        if is != NOBODY {
            self.check_account(is)?;
        }
        self.set_owner(target, is);
        Ok(())
    }

    /// A peer cannot fill the list with servers that nobody has heard of.
    fn check_account(&self, who: u16) -> Result<(), Reject> {
        if self.accounts.contains_key(&Ssid(who)) {
            return Ok(());
        }
        Err(Reject::bad_request(format!("there is no server {who}")))
    }

    fn set_owner(&mut self, path: InstancePath, is: u16) {
        let was = self.configured_owner(path);
        let changed = self.changed.entry(path).or_default();
        changed.owner = (was != is).then_some(SavedOwner { was, is });
        self.tidy(path);
    }

    fn set_entry(&mut self, path: InstancePath, who: u16, is: Option<Rights>) {
        let (was, is) = (
            self.configured_entry(who, path).map(Rights::bits),
            is.map(Rights::bits),
        );
        let changed = self.changed.entry(path).or_default();
        if was == is {
            changed.entries.remove(&who);
        } else {
            changed.entries.insert(who, SavedEntry { was, is });
        }
        self.tidy(path);
    }

    fn tidy(&mut self, path: InstancePath) {
        if self.changed.get(&path) == Some(&SavedAccess::default()) {
            self.changed.remove(&path);
        }
    }

    /// True where nobody has a right on what a server had made.
    fn bequeath(&mut self, path: InstancePath) -> bool {
        let accounts: BTreeSet<u16> = self.accounts.keys().map(|ssid| ssid.0).collect();
        let Some(changed) = self.changed.get_mut(&path) else {
            return false;
        };
        let is_stranger = |who: u16| who != NOBODY && !accounts.contains(&who);
        changed
            .entries
            .retain(|who, _| *who == DEFAULT || accounts.contains(who));
        let was_made = changed.creator.is_some();
        let creator_left = changed.creator.take_if(|who| is_stranger(*who)).is_some();
        let owner_left = changed.owner.take_if(|owner| is_stranger(owner.is));
        // Whoever was given the instance by its maker keeps it.
        let is_given = changed.owner.is_some();
        if (creator_left && !is_given) || owner_left.is_some() {
            if was_made && self.entries(path).is_empty() {
                self.changed.remove(&path);
                return true;
            }
            self.set_owner(path, self.heir(path).unwrap_or(NOBODY));
        }
        self.tidy(path);
        false
    }

    /// Of the servers in the list the one whose rights to write and delete are most; of equal ones
    /// the first.
    fn heir(&self, path: InstancePath) -> Option<u16> {
        let weight = |rights: Rights| rights.and(Rights::WRITE_DELETE).bits();
        let listed = self.entries(path).into_iter();
        let listed = listed.filter(|(who, _)| *who != DEFAULT);
        listed
            .min_by_key(|(who, rights)| (std::cmp::Reverse(weight(*rights)), *who))
            .map(|(who, _)| who)
    }
}

impl Account {
    /// What the configuration grants on an instance; on an object itself, as instance 65535.
    fn rights(&self, path: InstancePath) -> Option<Rights> {
        if self.grants.owner {
            return Some(Rights::ALL);
        }
        let granted = |pattern| self.grants.rights.get(&pattern).copied();
        let named =
            granted(Pattern::Instance(path)).or_else(|| granted(Pattern::Object(path.object)));
        if named.is_some() {
            return named;
        }
        if is_location(path.object) {
            // Where the box is, and so whoever drives it, is the owner's to know and not part of all
            // the rest; others are told where `rights` names the object.
            return None;
        }
        let all = granted(Pattern::All);
        if path.object == SERVER && path.instance == self.instance {
            // A server that may not manage its own account could not even set its lifetime.
            return Some(all.unwrap_or_default().or(Rights::ACCOUNT));
        }
        all
    }
}

/// Stands for the object itself.
pub(crate) const fn of_object(object: ObjectId) -> InstancePath {
    InstancePath {
        object,
        instance: ObjectInstanceId(NOBODY),
    }
}
