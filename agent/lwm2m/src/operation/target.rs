//! Checks that every operation shares: does the target exist, may this be done to it at all.

use lamplighter_coap::Code;
use lamplighter_model::{
    Address, InstanceAddress, ObjectId, Path, ResourceAddress, ResourceInstanceId, ResourcePath,
    object::Multiplicity,
};

use super::{Context, Plan};
use crate::{
    access::{self, Right},
    catalogue::Found,
    registration::Enabler,
    reject::Reject,
};

/// The object of a path is not hidden, is known, and the path does not contradict its definition.
pub(super) fn check_object(address: Address, context: Context<'_>) -> Result<ObjectId, Reject> {
    let Some(object) = address.path.object() else {
        return Err(Reject::method_not_allowed("this operation needs an object"));
    };
    access::check_object(object)?;
    if !context.catalogue.has_object(address.scope, object) {
        return Err(Reject::not_found("the object does not exist"));
    }
    if let Path::ResourceInstance(path, _) = address.path {
        if context.caller.enabler == Enabler::V1_0 {
            return Err(Reject::method_not_allowed(
                "resource instances are targets since 1.1",
            ));
        }
        let definition = context.catalogue.resource_definition(object, path.resource);
        if definition.is_some_and(|definition| definition.multiplicity == Multiplicity::Single) {
            return Err(Reject::method_not_allowed(
                "the resource has a single value",
            ));
        }
    }
    Ok(object)
}

/// The instance exists and the caller has the right on it.
pub(super) fn check_instance(
    instance: InstanceAddress,
    right: Right,
    context: Context<'_>,
) -> Result<(), Reject> {
    if !context.catalogue.has_instance(instance) {
        return Err(Reject::not_found("the instance does not exist"));
    }
    let InstanceAddress { path, .. } = instance;
    access::check(
        &context.caller.origin,
        right,
        path.object,
        path.instance,
        context.catalogue.core,
    )
}

/// The resource exists.
pub(super) fn find<'a>(
    address: ResourceAddress,
    context: Context<'a>,
) -> Result<Found<'a>, Reject> {
    context
        .catalogue
        .resource(address)
        .ok_or_else(|| Reject::not_found("the resource does not exist"))
}

/// A method without meaning: what is wrong with the target is told first.
pub(super) fn refuse(
    address: Address,
    code: Code,
    why: &str,
    context: Context<'_>,
) -> Result<Plan, Reject> {
    if address.path != Path::Root {
        check_object(address, context)?;
    }
    Err(Reject::new(code, why))
}

/// The resource of an address, and which of its instances is meant.
pub(super) const fn resource_of(
    address: Address,
) -> Option<(ResourceAddress, Option<ResourceInstanceId>)> {
    let (path, index): (ResourcePath, _) = match address.path {
        Path::Root | Path::Object(_) | Path::Instance(_) => return None,
        Path::Resource(path) => (path, None),
        Path::ResourceInstance(path, index) => (path, Some(index)),
    };
    Some((
        ResourceAddress {
            scope: address.scope,
            path,
        },
        index,
    ))
}

/// The instance of an address, where it names one.
pub(super) fn instance_of(address: Address) -> Option<InstanceAddress> {
    Some(InstanceAddress {
        scope: address.scope,
        path: address.path.instance()?,
    })
}
