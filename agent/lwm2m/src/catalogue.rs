//! Everything that exists for one client: what the core answers for and what the tree holds.

use lamplighter_model::{
    Address, InstanceAddress, InstancePath, Now, ObjectId, Path, ResourceAddress, ResourceId,
    ResourceInstanceId, Scope,
    object::{ObjectDef, Operations, ResourceDef},
};

use crate::{
    config::Creation,
    format::{Content, Node},
    object::{self, ACCESS_CONTROL, CoreObjects, of_object},
    tree::{Owner, Tree},
};

/// A look at all there is, at one moment.
#[derive(Clone, Copy)]
pub(crate) struct Catalogue<'a> {
    pub(crate) core: &'a CoreObjects,
    pub(crate) creation: &'a Creation,
    pub(crate) now: Now,
    pub(crate) tree: &'a Tree,
}

/// A resource that exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) definition: &'a ResourceDef,
    pub(crate) operations: Operations,
    pub(crate) owner: Owner,
}

impl<'a> Catalogue<'a> {
    pub(crate) fn definition(self, object: ObjectId) -> Option<&'a ObjectDef> {
        self.tree.definitions().object(object).map(AsRef::as_ref)
    }

    pub(crate) fn resource_definition(
        self,
        object: ObjectId,
        resource: ResourceId,
    ) -> Option<&'a ResourceDef> {
        self.tree.definitions().resource(object, resource)
    }

    pub(crate) fn has_object(self, scope: Scope, object: ObjectId) -> bool {
        (object == ACCESS_CONTROL && scope == Scope::Gateway && self.core.access.is_enabled())
            || self
                .core_instances(scope)
                .any(|instance| instance.object == object)
            || self.tree.instances_of(scope, object).next().is_some()
            || self.is_creatable(scope, object)
    }

    /// Whether servers can make instances of an object: it is one that is configured for it, and
    /// neither the core nor a device has any.
    pub(crate) fn is_creatable(self, scope: Scope, object: ObjectId) -> bool {
        scope == Scope::Gateway
            && self.creation.objects.contains(&object)
            && !object::is_core_object(object)
            && self.definition(object).is_some()
            && self
                .instances_of(scope, object)
                .into_iter()
                .all(|path| self.tree.is_stored(InstanceAddress { scope, path }))
    }

    /// Objects that have no instance and can have one.
    pub(crate) fn empty_objects(self, scope: Scope) -> Vec<ObjectId> {
        let objects = self.creation.objects.iter().copied();
        objects
            .filter(|object| {
                self.is_creatable(scope, *object)
                    && self.tree.instances_of(scope, *object).next().is_none()
            })
            .collect()
    }

    pub(crate) fn has_instance(self, address: InstanceAddress) -> bool {
        if address.path.object == ACCESS_CONTROL {
            return address.scope == Scope::Gateway && self.is_about_something(address.path);
        }
        (address.scope == Scope::Gateway && self.core.has_instance(address.path))
            || self.tree.has_instance(address)
    }

    /// Whether what the address names is there. The root and objects always are; a resource
    /// instance is as long as its resource is.
    pub(crate) fn exists(self, address: Address) -> bool {
        match address.path {
            Path::Root | Path::Object(_) => true,
            Path::Instance(path) => self.has_instance(InstanceAddress {
                scope: address.scope,
                path,
            }),
            Path::Resource(path) | Path::ResourceInstance(path, _) => self
                .resource(ResourceAddress {
                    scope: address.scope,
                    path,
                })
                .is_some(),
        }
    }

    /// The instances of one object, in order.
    pub(crate) fn instances_of(self, scope: Scope, object: ObjectId) -> Vec<InstancePath> {
        if object == ACCESS_CONTROL {
            let mut instances: Vec<_> = self.access_controls(scope).collect();
            instances.sort_unstable();
            instances.dedup();
            return instances;
        }
        let mut instances: Vec<_> = self
            .core_instances(scope)
            .filter(|path| path.object == object)
            .collect();
        let core = instances.clone();
        instances.extend(
            self.tree
                .instances_of(scope, object)
                .filter(|path| !core.contains(path)),
        );
        instances
    }

    /// All instances, in order.
    pub(crate) fn instances(self, scope: Scope) -> Vec<InstancePath> {
        let mut instances: Vec<_> = self
            .core_instances(scope)
            .chain(self.access_controls(scope))
            .chain(self.tree.instances(scope))
            .collect();
        instances.sort_unstable();
        instances.dedup();
        instances
    }

    /// The supported resources of an instance, in order.
    pub(crate) fn resources(self, instance: InstanceAddress) -> Vec<ResourceId> {
        let core = (instance.scope == Scope::Gateway).then(|| self.core.resources(instance.path));
        let mut resources: Vec<_> = core.into_iter().flatten().collect();
        let sorted = resources.is_empty();
        resources.extend(self.tree.resources(instance).map(|(id, _)| id));
        if !sorted {
            resources.sort_unstable();
        }
        resources
    }

    pub(crate) fn resource(self, address: ResourceAddress) -> Option<Found<'a>> {
        let definition = self.resource_definition(address.path.object(), address.path.resource)?;
        if address.path.object() == ACCESS_CONTROL && !self.has_instance(address.instance()) {
            return None;
        }
        if address.scope == Scope::Gateway && self.core.has_resource(address.path) {
            return Some(Found {
                definition,
                operations: definition.operations,
                owner: Owner::Core,
            });
        }
        let (resource, owner) = self.tree.owned(address)?;
        Some(Found {
            definition,
            operations: resource.operations,
            owner,
        })
    }

    /// The latest that is known of a resource; `None` where it has no value.
    pub(crate) fn content(self, address: ResourceAddress) -> Option<Content> {
        let is_core = address.scope == Scope::Gateway && self.core.has_resource(address.path);
        self.held(address, if is_core { Owner::Core } else { Owner::Device })
    }

    fn held(self, address: ResourceAddress, owner: Owner) -> Option<Content> {
        match owner {
            Owner::Core => self.core.read(address.path, self.now),
            Owner::Device | Owner::Stored => self.tree.resource(address)?.content(),
        }
    }

    /// How many instances a multiple resource has.
    pub(crate) fn dimension(self, address: ResourceAddress) -> usize {
        match self.content(address) {
            Some(Content::Multiple(values)) => values.len(),
            Some(Content::Single(_)) | None => 0,
        }
    }

    /// The latest readable values below an address, without those that are not known.
    pub(crate) fn latest(self, address: Address) -> Vec<Node> {
        match address.path {
            Path::Root => Vec::new(),
            Path::Object(object) => {
                let instances = self.instances_of(address.scope, object);
                instances
                    .into_iter()
                    .flat_map(|path| {
                        self.instance_nodes(InstanceAddress {
                            path,
                            ..at(address)
                        })
                    })
                    .collect()
            }
            Path::Instance(path) => self.instance_nodes(InstanceAddress {
                path,
                ..at(address)
            }),
            Path::Resource(path) => self
                .node(
                    ResourceAddress {
                        scope: address.scope,
                        path,
                    },
                    None,
                )
                .into_iter()
                .collect(),
            Path::ResourceInstance(path, index) => self
                .node(
                    ResourceAddress {
                        scope: address.scope,
                        path,
                    },
                    Some(index),
                )
                .into_iter()
                .collect(),
        }
    }

    fn instance_nodes(self, instance: InstanceAddress) -> Vec<Node> {
        let resources = self.resources(instance).into_iter();
        let address = |resource| ResourceAddress {
            scope: instance.scope,
            path: lamplighter_model::ResourcePath {
                instance: instance.path,
                resource,
            },
        };
        resources
            .filter_map(|resource| self.node(address(resource), None))
            .collect()
    }

    /// One readable resource, or one instance of it.
    fn node(self, address: ResourceAddress, index: Option<ResourceInstanceId>) -> Option<Node> {
        let found = self.resource(address)?;
        let is_readable = found.operations.read;
        is_readable.then(|| self.node_of(found, address, index))?
    }

    /// What a resource that was found holds, or one instance of it.
    pub(crate) fn node_of(
        self,
        found: Found<'_>,
        address: ResourceAddress,
        index: Option<ResourceInstanceId>,
    ) -> Option<Node> {
        let content = match (self.held(address, found.owner)?, index) {
            (content, None) => content,
            (Content::Multiple(values), Some(index)) => {
                Content::Multiple(vec![values.into_iter().find(|(id, _)| *id == index)?])
            }
            (Content::Single(_), Some(_)) => return None,
        };
        Some(Node {
            path: address.path,
            content,
            time: None,
        })
    }

    /// What object 2 speaks of: all other instances, and objects of which servers may make some.
    pub(crate) fn spoken_of(self, scope: Scope) -> impl Iterator<Item = InstancePath> {
        let access = &self.core.access;
        let is_enabled = scope == Scope::Gateway && access.is_enabled();
        let objects = self.creation.objects.iter().copied();
        let all = is_enabled.then(move || {
            self.core_instances(scope)
                .chain(self.tree.instances(scope))
                .chain(
                    objects
                        .filter(move |object| self.is_create_granted(*object))
                        .map(of_object),
                )
        });
        all.into_iter().flatten()
    }

    /// The instances of object 2, in the order of what they are about.
    fn access_controls(self, scope: Scope) -> impl Iterator<Item = InstancePath> {
        self.spoken_of(scope)
            .filter_map(|path| self.core.access.number(path))
    }

    /// What an instance of object 2 is about exists.
    fn is_about_something(self, number: InstancePath) -> bool {
        let target = self.core.access.target(number.instance);
        target.is_some_and(|path| {
            let is_object = path == of_object(path.object);
            (is_object && self.is_create_granted(path.object))
                || self.has_instance(InstanceAddress {
                    scope: Scope::Gateway,
                    path,
                })
        })
    }

    fn is_create_granted(self, object: ObjectId) -> bool {
        self.core.access.is_create_granted(object) && self.is_creatable(Scope::Gateway, object)
    }

    fn core_instances(self, scope: Scope) -> impl Iterator<Item = InstancePath> {
        (scope == Scope::Gateway)
            .then(|| self.core.instances())
            .into_iter()
            .flatten()
    }
}

/// An instance address of the same scope; the path is replaced by the caller.
const fn at(address: Address) -> InstanceAddress {
    InstanceAddress {
        scope: address.scope,
        path: InstancePath::new(0, 0),
    }
}
