//! What a bootstrap server writes, before any of it counts. A draft begins as what is there; each
//! operation changes all that it names or nothing.

use std::collections::{BTreeMap, BTreeSet};

use lamplighter_model::{
    InstancePath, Now, ObjectId, ObjectInstanceId, Path, ResourceId, ResourcePath, Scope, Value,
    object::{Multiplicity, ResourceDef},
};
use zeroize::Zeroize as _;

use crate::{
    catalogue::Catalogue,
    format::{Content, Decoded, Node, UNASSIGNED},
    object::{ACCESS_CONTROL, DEVICE, Device, SECURITY, SERVER},
    operation::{check_room, fitted_and, gateway},
    reject::Reject,
    security::{SecurityAccount, id},
    tree::{Held, initial},
};

/// The last resource of object 0 that an account of ours has.
pub(super) const ALL_SECURITY: u16 = id::OSCORE;

/// Changes that are not made yet.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(super) access: Access,
    /// Of object 3, in their order.
    pub(super) device: Vec<(ResourceId, Value)>,
    /// The account of the bootstrap server that we talk to: no Delete takes it away.
    pub(super) own: Option<ObjectInstanceId>,
    pub(super) security: BTreeMap<ObjectInstanceId, Security>,
    pub(super) servers: BTreeMap<ObjectInstanceId, ServerDraft>,
    /// Instances that hold what servers write; `None` where one goes.
    pub(super) stored: BTreeMap<InstancePath, Option<Held>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Security {
    pub(super) account: SecurityAccount,
    /// By this bootstrap server.
    pub(super) is_written: bool,
    /// The resources that it has.
    pub(super) named: BTreeSet<u16>,
}

/// An instance of object 1.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerDraft {
    pub(super) held: Held,
    pub(super) is_written: bool,
}

/// Changes of object 2, whose instances are made on demand.
#[derive(Clone, Debug, Default)]
pub(super) struct Access {
    /// Nothing counts any more that was said before.
    pub(super) is_cleared: bool,
    pub(super) removed: BTreeSet<ObjectInstanceId>,
    pub(super) written: BTreeMap<ObjectInstanceId, Held>,
}

/// Accounts that a bootstrap server can write.
const MAX_ACCOUNTS: usize = 32;
/// Instances of object 2 that it can write.
const MAX_ACCESS: usize = 1024;
/// Servers that one of them can name, with the default entry.
const MAX_ENTRIES: usize = MAX_ACCOUNTS + 1;
/// Writes of object 3 that wait.
const MAX_DEVICE: usize = 64;

impl Draft {
    /// Takes a checked payload for `path`.
    ///
    /// # Errors
    /// 4.00 for values that cannot be, 4.04 for what this box has not got, 4.05 for what is no
    /// target; then nothing of it counts.
    pub(crate) fn write(
        &mut self,
        path: Path,
        mut decoded: Decoded,
        catalogue: Catalogue<'_>,
    ) -> Result<(), Reject> {
        let mut draft = self.clone();
        let result = draft.apply(path, &decoded, catalogue);
        wipe(&mut decoded);
        if result.is_ok() {
            *self = draft;
        }
        result
    }

    /// lwm2m/40, 5: what only describes the box stays, and so does the account of the bootstrap
    /// server; that is no error.
    pub(crate) fn delete(&mut self, path: Path, catalogue: Catalogue<'_>) -> Result<(), Reject> {
        match path {
            Path::Root => {
                self.delete_object(SECURITY, catalogue);
                self.delete_object(SERVER, catalogue);
                self.delete_object(ACCESS_CONTROL, catalogue);
                for path in catalogue.instances(Scope::Gateway) {
                    self.discard(path, catalogue);
                }
                self.stored.retain(|_, held| held.is_none());
            }
            Path::Object(object) => self.delete_object(object, catalogue),
            Path::Instance(path) => self.delete_instance(path, catalogue),
            Path::Resource(_) | Path::ResourceInstance(..) => {
                return Err(Reject::bad_request(
                    "objects and instances can be deleted, nothing below",
                ));
            }
        }
        Ok(())
    }

    /// Instances of an object as they would be.
    pub(crate) fn instances_of(
        &self,
        object: ObjectId,
        catalogue: Catalogue<'_>,
    ) -> Vec<ObjectInstanceId> {
        let existing = || {
            let paths = catalogue.instances_of(Scope::Gateway, object);
            paths.into_iter().map(|path| path.instance)
        };
        let mut instances: BTreeSet<ObjectInstanceId> = match object {
            SECURITY => self.security.keys().copied().collect(),
            SERVER => self.servers.keys().copied().collect(),
            ACCESS_CONTROL => {
                let is_left =
                    |id: &ObjectInstanceId| !self.access.is_cleared && !self.is_removed(*id);
                let written = self.access.written.keys().copied();
                existing().filter(is_left).chain(written).collect()
            }
            _ => existing().collect(),
        };
        for (path, held) in self.stored.iter().filter(|(path, _)| path.object == object) {
            match held {
                None => instances.remove(&path.instance),
                Some(_) => instances.insert(path.instance),
            };
        }
        instances.into_iter().collect()
    }

    /// What object 1 or 2 holds below a path.
    pub(crate) fn nodes(
        &self,
        object: ObjectId,
        instance: Option<ObjectInstanceId>,
        catalogue: Catalogue<'_>,
    ) -> Vec<Node> {
        let all = self.instances_of(object, catalogue).into_iter();
        let wanted = all.filter(|id| instance.is_none_or(|wanted| wanted == *id));
        let mut nodes = Vec::new();
        for instance in wanted {
            let path = InstancePath { object, instance };
            let held = match object {
                SERVER => self.servers.get(&instance).map(|server| &server.held),
                _ => self.access.written.get(&instance),
            };
            match held {
                None => nodes.extend(catalogue.latest(gateway(path).into())),
                Some(held) => nodes.extend(held.iter().map(|(resource, content)| Node {
                    path: ResourcePath {
                        instance: path,
                        resource: *resource,
                    },
                    content: content.clone(),
                    time: None,
                })),
            }
        }
        nodes
    }

    fn is_removed(&self, instance: ObjectInstanceId) -> bool {
        self.access.removed.contains(&instance)
    }

    fn apply(
        &mut self,
        path: Path,
        decoded: &Decoded,
        catalogue: Catalogue<'_>,
    ) -> Result<(), Reject> {
        if decoded.nodes.iter().any(|node| node.time.is_some()) {
            return Err(Reject::bad_request("values to be written carry no time"));
        }
        let mut instances: BTreeMap<InstancePath, Vec<&Node>> = BTreeMap::new();
        let empty = decoded.empty_instances.iter().copied();
        let target = path.instance();
        for named in empty.chain(target) {
            instances.entry(named).or_default();
        }
        for node in &decoded.nodes {
            instances.entry(node.path.instance).or_default().push(node);
        }
        for (instance, nodes) in instances {
            if instance.instance == UNASSIGNED {
                return Err(Reject::bad_request("the payload names no instance"));
            }
            self.write_instance(instance, &nodes, path.resource(), catalogue)?;
        }
        let stored = self.stored.iter();
        let stored = stored.filter_map(|(path, held)| Some((*path, held.clone()?)));
        check_room(&stored.collect(), catalogue)
    }

    /// `target`: the resource where one alone is written; otherwise the instance is what the payload
    /// says of it, and holds nothing from before.
    fn write_instance(
        &mut self,
        path: InstancePath,
        nodes: &[&Node],
        target: Option<ResourcePath>,
        catalogue: Catalogue<'_>,
    ) -> Result<(), Reject> {
        let definition = catalogue
            .definition(path.object)
            .ok_or_else(|| Reject::not_found("this box has no such object"))?;
        if definition.multiplicity == Multiplicity::Single && path.instance.0 != 0 {
            return Err(Reject::bad_request("this object has only instance 0"));
        }
        let mut values = Held::new();
        for node in nodes {
            let known = definition.resources.get(&node.path.resource);
            let Some(known) = known.filter(|known| !known.operations.execute) else {
                if target.is_some() {
                    return Err(Reject::not_found("there is no such resource to be written"));
                }
                // Core 1.2, 6.1.7.4: optional resources that are not supported are ignored.
                continue;
            };
            // The id of a bootstrap server means nothing; others are looked at in the end.
            let is_free = path.object == SECURITY && known.id.0 == id::SSID;
            let range = known.range.filter(|_| !is_free);
            let known = ResourceDef {
                range,
                ..known.clone()
            };
            values.insert(
                known.id,
                fitted_and(node.content.clone(), &known, |_| Ok(()))?,
            );
        }
        match path.object {
            SECURITY => self.write_security(path.instance, &mut values, target.is_some()),
            SERVER => self.write_server(path.instance, values, target.is_some()),
            ACCESS_CONTROL => self.write_access(path, values, target.is_some(), catalogue),
            DEVICE => self.write_device(values, catalogue),
            _ => self.write_stored(path, values, target.is_some(), catalogue),
        }
    }

    fn write_security(
        &mut self,
        instance: ObjectInstanceId,
        values: &mut Held,
        is_partial: bool,
    ) -> Result<(), Reject> {
        let is_new = !self.security.contains_key(&instance);
        if is_new && self.security.len() >= MAX_ACCOUNTS {
            return Err(full());
        }
        let mut security = Security::default();
        if is_partial {
            security = self.security.get(&instance).cloned().unwrap_or_default();
        }
        security.is_written = true;
        for (resource, content) in values.iter() {
            security
                .account
                .set(*resource, content, &mut security.named)?;
        }
        for content in values.values_mut() {
            wipe_content(content);
        }
        self.security.insert(instance, security);
        Ok(())
    }

    fn write_server(
        &mut self,
        instance: ObjectInstanceId,
        values: Held,
        is_partial: bool,
    ) -> Result<(), Reject> {
        let is_new = !self.servers.contains_key(&instance);
        if is_new && self.servers.len() >= MAX_ACCOUNTS {
            return Err(full());
        }
        let server = self.servers.entry(instance).or_default();
        server.is_written = true;
        if !is_partial {
            server.held.clear();
        }
        server.held.extend(values);
        Ok(())
    }

    fn write_access(
        &mut self,
        path: InstancePath,
        values: Held,
        is_partial: bool,
        catalogue: Catalogue<'_>,
    ) -> Result<(), Reject> {
        let mut held = Held::new();
        if is_partial {
            let known = self.access.written.get(&path.instance).cloned();
            held = known.unwrap_or_else(|| {
                let nodes = self.nodes(ACCESS_CONTROL, Some(path.instance), catalogue);
                let content = |node: Node| (node.path.resource, node.content);
                nodes.into_iter().map(content).collect()
            });
        }
        held.extend(values);
        let is_long = |content: &Content| matches!(content, Content::Multiple(all) if all.len() > MAX_ENTRIES);
        if held.values().any(is_long) {
            return Err(Reject::bad_request("there are not that many servers"));
        }
        let written = &mut self.access.written;
        if written.len() >= MAX_ACCESS && !written.contains_key(&path.instance) {
            return Err(full());
        }
        written.insert(path.instance, held);
        Ok(())
    }

    /// What a server may write of object 3, a bootstrap server may too; the rest describes the box.
    fn write_device(&mut self, values: Held, catalogue: Catalogue<'_>) -> Result<(), Reject> {
        let mut trial = catalogue.core.device.clone();
        for (resource, content) in values {
            let Content::Single(value) = content else {
                return Err(Reject::bad_request("this describes the box itself"));
            };
            write_device(&mut trial, resource, &value, catalogue.now)?;
            self.device.retain(|(of, _)| *of != resource);
            self.device.push((resource, value));
        }
        if self.device.len() > MAX_DEVICE {
            return Err(full());
        }
        Ok(())
    }

    fn write_stored(
        &mut self,
        path: InstancePath,
        values: Held,
        is_partial: bool,
        catalogue: Catalogue<'_>,
    ) -> Result<(), Reject> {
        if !catalogue.has_object(Scope::Gateway, path.object) {
            return Err(Reject::not_found("this box has no such object"));
        }
        if !catalogue.is_creatable(Scope::Gateway, path.object) {
            return Err(Reject::bad_request(
                "what devices are and measure is not for a bootstrap server to write",
            ));
        }
        let mut instances: BTreeSet<_> = self
            .instances_of(path.object, catalogue)
            .into_iter()
            .collect();
        instances.insert(path.instance);
        if instances.len() > catalogue.creation.max_instances {
            return Err(full());
        }
        let mut held = if is_partial {
            match self.stored.get(&path) {
                Some(held) => held.clone().unwrap_or_default(),
                None => catalogue.tree.held(gateway(path)).unwrap_or_default(),
            }
        } else {
            Held::new()
        };
        held.extend(values);
        let definition = catalogue.definition(path.object);
        let resources = definition
            .into_iter()
            .flat_map(|def| def.resources.values());
        for resource in resources.filter(|def| def.mandatory) {
            if !held.contains_key(&resource.id) {
                held.extend(initial(resource).map(|content| (resource.id, content)));
            }
        }
        self.stored.insert(path, Some(held));
        Ok(())
    }

    fn delete_object(&mut self, object: ObjectId, catalogue: Catalogue<'_>) {
        match object {
            SECURITY => {
                let own = self.kept_account();
                self.security.retain(|id, _| Some(*id) == own);
            }
            SERVER => self.servers.clear(),
            ACCESS_CONTROL => {
                self.access = Access {
                    is_cleared: true,
                    ..Access::default()
                };
            }
            _ => {
                for path in catalogue.instances_of(Scope::Gateway, object) {
                    self.discard(path, catalogue);
                }
                self.stored
                    .retain(|path, held| path.object != object || held.is_none());
            }
        }
    }

    fn delete_instance(&mut self, path: InstancePath, catalogue: Catalogue<'_>) {
        match path.object {
            SECURITY if self.kept_account() == Some(path.instance) => {}
            SECURITY => drop(self.security.remove(&path.instance)),
            SERVER => drop(self.servers.remove(&path.instance)),
            ACCESS_CONTROL => {
                self.access.written.remove(&path.instance);
                let exists = catalogue.has_instance(gateway(path));
                if exists && !self.access.is_cleared {
                    self.access.removed.insert(path.instance);
                }
            }
            _ => {
                self.stored.remove(&path);
                self.discard(path, catalogue);
            }
        }
    }

    /// Whatever it was written to be, the account that we have talked over is not deleted while it is
    /// one of a bootstrap server.
    fn kept_account(&self) -> Option<ObjectInstanceId> {
        let own = self.own?;
        let is_bootstrap = self.security.get(&own)?.account.is_bootstrap;
        is_bootstrap.then_some(own)
    }

    fn discard(&mut self, path: InstancePath, catalogue: Catalogue<'_>) {
        if catalogue.tree.is_stored(gateway(path)) {
            self.stored.insert(path, None);
        }
    }
}

impl ServerDraft {
    pub(super) fn ssid(&self) -> Option<u16> {
        let Some(Content::Single(value)) = self.held.get(&ResourceId(0)) else {
            return None;
        };
        let ssid = crate::object::number(value, 0..=u16::MAX.into()).ok()?;
        u16::try_from(ssid).ok()
    }
}

pub(super) fn write_device(
    device: &mut Device,
    resource: ResourceId,
    value: &Value,
    now: Now,
) -> Result<(), Reject> {
    device
        .write(resource, value, now)
        .map_err(|_| Reject::bad_request(format!("resource {resource} describes the box itself")))
}

fn full() -> Reject {
    Reject::bad_request("there is no room for another instance")
}

/// Keys are not left in memory that is given back.
fn wipe(decoded: &mut Decoded) {
    let nodes = decoded.nodes.iter_mut();
    for node in nodes.filter(|node| node.path.object() == SECURITY) {
        wipe_content(&mut node.content);
    }
}

fn wipe_content(content: &mut Content) {
    if let Content::Single(Value::Opaque(bytes)) = content {
        bytes.zeroize();
    }
}
