//! Objects that the core itself answers for: 1 (servers), 2 (access control), 3 (device) and 7
//! (statistics). They are plain values; a write makes a changed copy, and committing it is an
//! assignment.

use std::collections::BTreeMap;

use lamplighter_model::{
    InstancePath, Now, ObjectId, ObjectInstanceId, ResourceId, ResourcePath, Ssid, Value,
};

use crate::{access::Grants, format::Content, reject::Reject, saved::Record};

pub(crate) mod access_control;
pub(crate) mod device;
pub(crate) mod server;
pub(crate) mod statistics;

pub(crate) use access_control::{ACCESS_CONTROL, AccessControl, Assigned, of_object};
pub(crate) use device::Device;
pub(crate) use server::{Account, Spoken};
pub(crate) use statistics::{Direction, Statistics};

pub(crate) const SECURITY: ObjectId = ObjectId(0);
pub(crate) const SERVER: ObjectId = ObjectId(1);
pub(crate) const DEVICE: ObjectId = ObjectId(3);
pub(crate) const STATISTICS: ObjectId = ObjectId(7);

/// Whether an object says where the box is: Location, or that of IPSO. Both are declared from behind
/// the core like any other; only who may see them is special.
pub(crate) const fn is_location(object: ObjectId) -> bool {
    matches!(object.0, 6 | 3336)
}

/// The state of all core-backed objects of one client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CoreObjects {
    pub(crate) access: AccessControl,
    accounts: BTreeMap<ObjectInstanceId, (Ssid, Account)>,
    pub(crate) device: Device,
    /// `None` where nobody defines object 7.
    pub(crate) statistics: Option<Statistics>,
}

/// What the core has to do after it has answered an Execute.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    /// 1/x/9.
    Bootstrap,
    Disable(Ssid),
    FactoryReset,
    Reboot,
    ResetErrors,
    StartStatistics,
    StopStatistics,
    Update(Ssid),
}

/// What became different by a commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Changes {
    /// Whose instance of object 1 is another now.
    pub(crate) accounts: Vec<Ssid>,
    pub(crate) records: Vec<Record>,
    pub(crate) resources: Vec<ResourcePath>,
}

/// Whether nobody but this crate may declare the resource.
pub(crate) fn is_core_backed(path: ResourcePath) -> bool {
    match path.object().0 {
        0 | 1 | 2 | 7 | 21 | 23 => true,
        3 => device::RESOURCES.contains(&path.resource.0) || path.resource.0 == device::LINKS,
        _ => false,
    }
}

/// Whether all instances of the object are the core's, or it is hidden.
pub(crate) const fn is_core_object(object: ObjectId) -> bool {
    matches!(object.0, 0 | 1 | 2 | 3 | 7 | 21 | 23)
}

impl CoreObjects {
    pub(crate) fn new(device: Device, statistics: Option<Statistics>) -> Self {
        Self {
            access: AccessControl::default(),
            accounts: BTreeMap::new(),
            device,
            statistics,
        }
    }

    /// Adds an account under the lowest free instance.
    pub(crate) fn add(&mut self, ssid: Ssid, account: Account, grants: Grants) {
        let free = (0..u16::MAX)
            .map(ObjectInstanceId)
            .find(|id| !self.accounts.contains_key(id));
        if let Some(free) = free {
            self.accounts.insert(free, (ssid, account));
            self.access.add(ssid, free, grants);
        }
    }

    /// Adds an account where a bootstrap server has put it.
    pub(crate) fn add_at(
        &mut self,
        instance: ObjectInstanceId,
        (ssid, account): (Ssid, Account),
        grants: Grants,
    ) {
        self.accounts.insert(instance, (ssid, account));
        self.access.add(ssid, instance, grants);
    }

    /// All accounts, by their instances.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (ObjectInstanceId, Ssid, &Account)> {
        let accounts = self.accounts.iter();
        accounts.map(|(instance, (ssid, account))| (*instance, *ssid, account))
    }

    /// Whether there is a bootstrap server that an account could ask for.
    pub(crate) fn set_bootstrap(&mut self, can_bootstrap: bool) {
        let accounts = self.accounts.values_mut();
        accounts.for_each(|(_, account)| account.can_bootstrap = can_bootstrap);
    }

    /// 1/x/12 of all accounts; where it is another now.
    pub(crate) fn set_bootstrapped(&mut self, at: Option<i64>) -> Vec<ResourcePath> {
        let mut changed = Vec::new();
        for (instance, (_, account)) in &mut self.accounts {
            if account.bootstrapped != at {
                account.bootstrapped = at;
                let path = InstancePath::new(SERVER.0, instance.0);
                changed.push(path.resource(server::LAST_BOOTSTRAPPED));
            }
        }
        changed
    }

    /// 1/x/11 of a server, where it is another now, and what is to be kept.
    pub(crate) fn set_alert(&mut self, ssid: Ssid, alert: u8) -> Option<(ResourcePath, Record)> {
        let mut accounts = self.accounts.iter_mut();
        let (instance, (_, account)) = accounts.find(|(_, (of, _))| *of == ssid)?;
        if account.alert.replace(alert) == Some(alert) {
            return None;
        }
        let path = InstancePath::new(SERVER.0, instance.0).resource(server::ALERT);
        Some((path, Record::Account(ssid, Some(account.saved()))))
    }

    pub(crate) fn remove(&mut self, ssid: Ssid) {
        self.accounts.retain(|_, (of, _)| *of != ssid);
        self.access.remove(ssid);
    }

    pub(crate) fn account_of(&self, ssid: Ssid) -> Option<(ObjectInstanceId, &Account)> {
        let (instance, (_, account)) = self.accounts.iter().find(|(_, (of, _))| *of == ssid)?;
        Some((*instance, account))
    }

    /// The version that is spoken with a server from now on.
    pub(crate) fn speak(&mut self, ssid: Ssid, spoken: Spoken) {
        let own = self.accounts.values_mut().filter(|(of, _)| *of == ssid);
        own.for_each(|(_, account)| account.spoken = spoken);
    }

    pub(crate) fn set_disabled(&mut self, ssid: Ssid, is_disabled: bool) {
        let own = self.accounts.values_mut().filter(|(of, _)| *of == ssid);
        own.for_each(|(_, account)| account.is_disabled = is_disabled);
    }

    /// All instances but those of object 2, in order: what these are about is known to the
    /// catalogue.
    pub(crate) fn instances(&self) -> impl Iterator<Item = InstancePath> {
        let servers = self.accounts.keys().map(|id| InstancePath {
            object: SERVER,
            instance: *id,
        });
        let statistics = self.statistics.map(|_| STATISTICS_INSTANCE);
        servers.chain([DEVICE_INSTANCE]).chain(statistics)
    }

    /// Not asked about object 2.
    pub(crate) fn has_instance(&self, instance: InstancePath) -> bool {
        match instance.object {
            SERVER => self.accounts.contains_key(&instance.instance),
            STATISTICS => instance == STATISTICS_INSTANCE && self.statistics.is_some(),
            _ => instance == DEVICE_INSTANCE,
        }
    }

    /// Resources that are supported, whether they have a value or not.
    pub(crate) fn resources(&self, instance: InstancePath) -> impl Iterator<Item = ResourceId> {
        let account = (instance.object == SERVER)
            .then(|| self.accounts.get(&instance.instance))
            .flatten();
        let others: &[u16] = match instance.object {
            ACCESS_CONTROL => &access_control::RESOURCES,
            DEVICE if instance == DEVICE_INSTANCE => &device::RESOURCES,
            STATISTICS if self.has_instance(instance) => &statistics::RESOURCES,
            _ => &[],
        };
        let account = account
            .into_iter()
            .flat_map(|(_, account)| account.resources());
        let has_links = instance == DEVICE_INSTANCE && self.device.has_links();
        let links = has_links.then_some(device::LINKS);
        let all = account.chain(others.iter().copied()).chain(links);
        all.map(ResourceId)
    }

    pub(crate) fn has_resource(&self, path: ResourcePath) -> bool {
        is_core_backed(path) && self.resources(path.instance).any(|id| id == path.resource)
    }

    /// What a resource holds; `None` where it has no value now.
    pub(crate) fn read(&self, path: ResourcePath, now: Now) -> Option<Content> {
        match path.object() {
            SERVER => {
                let (ssid, account) = self.accounts.get(&path.instance.instance)?;
                account.read(*ssid, path.resource).map(Content::Single)
            }
            ACCESS_CONTROL => self.access.read(path.instance.instance, path.resource),
            STATISTICS => self.statistics?.read(path.resource).map(Content::Single),
            _ => self.device.read(path.resource, now),
        }
    }

    /// Writes into a copy, which the caller commits. `keeps`: instances of a multiple resource that
    /// are not named stay.
    pub(crate) fn write(
        &mut self,
        path: ResourcePath,
        content: &Content,
        keeps: bool,
        now: Now,
    ) -> Result<(), Reject> {
        if path.object() == ACCESS_CONTROL {
            let number = path.instance.instance;
            return self.access.write(number, path.resource, content, keeps);
        }
        let Content::Single(value) = content else {
            return Err(Reject::bad_request("the resource has a single value"));
        };
        match path.object() {
            SERVER => self.account_mut(path)?.write(path.resource, value),
            STATISTICS => self.statistics_mut()?.write(path.resource, value, now),
            _ => self.device.write(path.resource, value, now),
        }
    }

    /// Part of a Replace that does not name the resource.
    pub(crate) fn reset(&mut self, path: ResourcePath, now: Now) -> Result<(), Reject> {
        match path.object() {
            SERVER => self.account_mut(path)?.reset(path.resource),
            ACCESS_CONTROL => self.access.reset(path.instance.instance, path.resource),
            STATISTICS => self.statistics_mut()?.reset(path.resource, now),
            _ => self.device.reset(path.resource),
        }
        Ok(())
    }

    pub(crate) fn execute(&self, path: ResourcePath, args: &[u8]) -> Result<Effect, Reject> {
        let known = match path.object() {
            SERVER => {
                let (ssid, account) = self
                    .accounts
                    .get(&path.instance.instance)
                    .ok_or_else(absent)?;
                return account.execute(*ssid, path.resource, args);
            }
            ACCESS_CONTROL => None,
            STATISTICS => Statistics::execute(path.resource),
            _ => Device::execute(path.resource),
        };
        known.ok_or_else(|| Reject::method_not_allowed("the resource cannot be executed"))
    }

    /// Takes the place of the former state and says what is different.
    pub(crate) fn commit(&mut self, draft: Self) -> Changes {
        let mut changes = Changes::default();
        for (instance, (ssid, account)) in &draft.accounts {
            let Some((_, before)) = self.accounts.get(instance) else {
                continue;
            };
            let path = InstancePath {
                object: SERVER,
                instance: *instance,
            };
            let different = server::RESOURCES.iter().filter(|id| {
                before.read(*ssid, ResourceId(**id)) != account.read(*ssid, ResourceId(**id))
            });
            changes
                .resources
                .extend(different.map(|id| path.resource(*id)));
            if before != account {
                changes.accounts.push(*ssid);
                changes
                    .records
                    .push(Record::Account(*ssid, Some(account.saved())));
            }
        }
        changes.resources.extend(
            draft
                .device
                .different(&self.device)
                .map(|id| DEVICE_INSTANCE.resource(id)),
        );
        if draft.device.saved() != self.device.saved() {
            changes.records.push(Record::Device(draft.device.saved()));
        }
        if let (Some(before), Some(after)) = (&self.statistics, &draft.statistics)
            && before.saved() != after.saved()
        {
            changes
                .resources
                .push(STATISTICS_INSTANCE.resource(statistics::PERIOD));
            changes.records.push(Record::Statistics(after.saved()));
        }
        let (resources, records) = draft.access.different(&self.access);
        changes.resources.extend(resources);
        changes.records.extend(records);
        *self = draft;
        changes
    }

    /// A datagram that came or went (7/0/2 to 7/0/5).
    pub(crate) fn count(&mut self, direction: Direction, payload: usize, headers: u64, now: Now) {
        if let Some(statistics) = &mut self.statistics {
            statistics.count(direction, payload, headers, now);
        }
    }

    fn statistics_mut(&mut self) -> Result<&mut Statistics, Reject> {
        self.statistics.as_mut().ok_or_else(absent)
    }

    fn account_mut(&mut self, path: ResourcePath) -> Result<&mut Account, Reject> {
        self.accounts
            .get_mut(&path.instance.instance)
            .map(|(_, account)| account)
            .ok_or_else(absent)
    }
}

const DEVICE_INSTANCE: InstancePath = InstancePath::new(3, 0);
const STATISTICS_INSTANCE: InstancePath = InstancePath::new(7, 0);

fn absent() -> Reject {
    Reject::not_found("the instance does not exist")
}

/// A whole number of seconds (or the like) in a range.
pub(crate) fn number(value: &Value, range: std::ops::RangeInclusive<u32>) -> Result<u32, Reject> {
    let whole = match value {
        Value::Integer(integer) | Value::Time(integer) => u32::try_from(*integer).ok(),
        Value::Unsigned(unsigned) => u32::try_from(*unsigned).ok(),
        Value::Boolean(_)
        | Value::Corelnk(_)
        | Value::Decimal(_)
        | Value::Float(_)
        | Value::Objlnk(_)
        | Value::Opaque(_)
        | Value::String(_) => None,
    };
    whole
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            Reject::bad_request(format!(
                "a number from {} to {} is wanted",
                range.start(),
                range.end()
            ))
        })
}
