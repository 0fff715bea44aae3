//! Create and Delete of instances that hold what servers write (Core 1.2, 6.3.6 and 6.3.7).

use std::collections::BTreeMap;

use lamplighter_coap::Code;
use lamplighter_model::{
    Address, InstancePath, ObjectId, ObjectInstanceId, Path, ResourceAddress, ResourceInstanceId,
    ResourcePath, Scope,
    object::{Multiplicity, ObjectDef},
};

use super::{Body, Context, Plan, Then, check_room, gateway, target, write};
use crate::{
    access::{self, Right},
    format::{Content, Decoded, Node, UNASSIGNED},
    registration::Enabler,
    reject::Reject,
    tree::{self, Held, Owner},
};

/// What a Delete takes away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Deletion {
    Instance(InstancePath),
    ResourceInstance(ResourcePath, ResourceInstanceId),
}

/// Values by instance.
type Wanted = BTreeMap<ObjectInstanceId, Vec<Node>>;

pub(super) fn plan_create(
    address: Address,
    body: &Body,
    context: Context<'_>,
) -> Result<Plan, Reject> {
    let object = target::check_object(address, context)?;
    let definition = creatable(object, address.scope, context)?;
    access::check(
        &context.caller.origin,
        Right::Create,
        object,
        UNASSIGNED,
        context.catalogue.core,
    )?;
    let wanted = wanted(address, body, context)?;
    let mut taken: Vec<ObjectInstanceId> = instances(object, context);
    if taken.len() + wanted.len() > context.catalogue.creation.max_instances {
        return Err(Reject::new(
            Code::INTERNAL_SERVER_ERROR,
            "there is no room for another instance",
        ));
    }
    if let Some(id) = wanted.keys().find(|id| taken.contains(id)) {
        return Err(Reject::bad_request(format!("instance {id} exists already")));
    }
    taken.extend(wanted.keys());
    let mut created = BTreeMap::new();
    for (id, nodes) in wanted {
        let id = match id {
            UNASSIGNED => lowest_free(&taken)?,
            id => id,
        };
        let single = definition.multiplicity == Multiplicity::Single;
        if single && id.0 != 0 {
            return Err(Reject::bad_request("this object has only instance 0"));
        }
        let path = InstancePath {
            object,
            instance: id,
        };
        created.insert(path, held(nodes, definition, context)?);
    }
    check_room(&created, context.catalogue)?;
    Ok(Plan::Done(Then::Created(created)))
}

pub(super) fn plan_delete(address: Address, context: Context<'_>) -> Result<Plan, Reject> {
    target::check_object(address, context)?;
    match address.path {
        Path::Root | Path::Object(_) | Path::Resource(_) => Err(not_deletable()),
        Path::Instance(path) => {
            let instance = gateway(path);
            let exists = context.catalogue.has_instance(instance);
            if exists && crate::object::is_core_object(path.object) {
                return Err(not_deletable());
            }
            target::check_instance(instance, Right::Delete, context)?;
            if !context.catalogue.tree.is_stored(instance) {
                return Err(not_deletable());
            }
            Ok(Plan::Done(Then::Deleted(Deletion::Instance(path))))
        }
        // Since 1.2.
        Path::ResourceInstance(..) if context.caller.enabler < Enabler::V1_2 => {
            Err(not_deletable())
        }
        Path::ResourceInstance(path, index) => {
            let resource = ResourceAddress {
                scope: address.scope,
                path,
            };
            target::check_instance(resource.instance(), Right::Delete, context)?;
            check_deletable(resource, index, context)?;
            Ok(Plan::Done(Then::Deleted(Deletion::ResourceInstance(
                path, index,
            ))))
        }
    }
}

/// Whether one instance of a multiple resource can go.
pub(super) fn check_deletable(
    resource: ResourceAddress,
    index: ResourceInstanceId,
    context: Context<'_>,
) -> Result<(), Reject> {
    let found = target::find(resource, context)?;
    if found.definition.multiplicity == Multiplicity::Single || !found.operations.write {
        return Err(Reject::method_not_allowed(
            "this resource has no instances that can be deleted",
        ));
    }
    let exists = match context.catalogue.content(resource) {
        Some(Content::Multiple(values)) => values.iter().any(|(id, _)| *id == index),
        Some(Content::Single(_)) | None => false,
    };
    if !exists {
        return Err(Reject::not_found("the resource instance does not exist"));
    }
    match found.owner {
        Owner::Core | Owner::Stored => Ok(()),
        // lwm2m/20, 14: what the client does not permit.
        Owner::Device => Err(Reject::unauthorized(
            "the device does not let its values be deleted",
        )),
    }
}

fn creatable(object: ObjectId, scope: Scope, context: Context<'_>) -> Result<&ObjectDef, Reject> {
    let refused = || {
        Reject::method_not_allowed("instances of this object are made by the box, not by servers")
    };
    if !context.catalogue.is_creatable(scope, object) {
        return Err(refused());
    }
    let definition = context.catalogue.definition(object).ok_or_else(refused)?;
    if definition.multiplicity == Multiplicity::Single && !instances(object, context).is_empty() {
        return Err(Reject::method_not_allowed(
            "the only instance of this object exists already",
        ));
    }
    Ok(definition)
}

fn instances(object: ObjectId, context: Context<'_>) -> Vec<ObjectInstanceId> {
    let instances = context.catalogue.instances_of(Scope::Gateway, object);
    instances.into_iter().map(|path| path.instance).collect()
}

/// The instances that a payload names, each once; one that leaves its id to us for a payload that
/// names none.
fn wanted(address: Address, body: &Body, context: Context<'_>) -> Result<Wanted, Reject> {
    let Body::Encoded { format, payload } = body else {
        return Err(Reject::bad_request("an instance is wanted"));
    };
    // lwm2m/20, 7: here it is 4.00, not 4.15.
    if format.is_none() {
        return Err(Reject::bad_request("the Content-Format is missing"));
    }
    let decoded = if payload.is_empty() {
        write::format(*format)?;
        Decoded::default()
    } else {
        write::decoded(address, *format, payload, context)?
    };
    let mut wanted = Wanted::new();
    for path in decoded.empty_instances {
        wanted.entry(path.instance).or_default();
    }
    for node in decoded.nodes {
        let id = node.path.instance.instance;
        wanted.entry(id).or_default().push(node);
    }
    if wanted.is_empty() {
        wanted.insert(UNASSIGNED, Vec::new());
    }
    Ok(wanted)
}

fn lowest_free(taken: &[ObjectInstanceId]) -> Result<ObjectInstanceId, Reject> {
    (0..UNASSIGNED.0)
        .map(ObjectInstanceId)
        .find(|id| !taken.contains(id))
        .ok_or_else(|| Reject::new(Code::INTERNAL_SERVER_ERROR, "all instances are taken"))
}

/// What the new instance holds: what was given of the writable resources, and of those that only
/// we could set what they must have.
fn held(nodes: Vec<Node>, definition: &ObjectDef, context: Context<'_>) -> Result<Held, Reject> {
    let mut held = Held::new();
    for node in nodes {
        let Some(resource) = definition.resources.get(&node.path.resource) else {
            continue;
        };
        if resource.operations.execute {
            return Err(Reject::bad_request(format!(
                "resource {} has no value",
                resource.id
            )));
        }
        if resource.operations.write {
            let content = write::fitted(node.content, resource, context)?;
            held.insert(resource.id, content);
        }
    }
    for resource in definition.resources.values().filter(|def| def.mandatory) {
        if held.contains_key(&resource.id) {
            continue;
        }
        if resource.operations.write {
            return Err(Reject::bad_request(format!(
                "resource {} is missing",
                resource.id
            )));
        }
        held.extend(tree::initial(resource).map(|content| (resource.id, content)));
    }
    Ok(held)
}

fn not_deletable() -> Reject {
    Reject::method_not_allowed("this cannot be deleted by servers")
}
