//! Read, and the first answer to an Observe. A resource or an instance may be read from its device;
//! wider reads tell what was last heard and leave out what was never heard.

use lamplighter_model::{
    Address, DataType, InstanceAddress, Path, ResourceAddress, ResourceInstanceId, ResourcePath,
    device::{Action, Fault, Origin},
    object::{Multiplicity, ResourceDef},
};

use super::{Context, Plan, Then, target};
use crate::{
    access::{self, Right},
    catalogue::Catalogue,
    format::{ContentFormat, Node},
    registration::Enabler,
    reject::Reject,
    tree::Owner,
};

pub(super) fn plan(
    address: Address,
    accept: Option<u16>,
    context: Context<'_>,
) -> Result<Plan, Reject> {
    target::check_object(address, context)?;
    match target::instance_of(address) {
        None => {
            answer_format(
                address.path,
                accept,
                context.caller.enabler,
                context.catalogue,
            )?;
            let nodes = content(address, &context.caller.origin, context.catalogue)?;
            Ok(Plan::Content(nodes))
        }
        Some(instance) => {
            target::check_instance(instance, Right::Read, context)?;
            match target::resource_of(address) {
                None => plan_instance(instance, accept, context),
                Some(resource) => plan_resource(address, resource, accept, context),
            }
        }
    }
}

/// The content format of the answer: what is asked for, or what suits the version and the target.
///
/// # Errors
/// 4.06 where the format is unknown or cannot carry the target.
pub(crate) fn answer_format(
    path: Path,
    accept: Option<u16>,
    enabler: Enabler,
    catalogue: Catalogue<'_>,
) -> Result<ContentFormat, Reject> {
    let definition = path
        .resource()
        .and_then(|resource| catalogue.resource_definition(resource.object(), resource.resource));
    format_of(path, definition, accept, enabler)
}

fn format_of(
    path: Path,
    definition: Option<&ResourceDef>,
    accept: Option<u16>,
    enabler: Enabler,
) -> Result<ContentFormat, Reject> {
    let single = definition.and_then(|definition| single_type(path, definition));
    let Some(accept) = accept else {
        return Ok(match (single, enabler) {
            (Some(DataType::Opaque), _) => ContentFormat::Opaque,
            (Some(_), _) => ContentFormat::Text,
            (None, Enabler::V1_0) => ContentFormat::Tlv,
            (None, Enabler::V1_1 | Enabler::V1_2) => ContentFormat::SenmlCbor,
        });
    };
    let refused = || {
        Reject::new(
            lamplighter_coap::Code::NOT_ACCEPTABLE,
            "the format cannot carry the answer",
        )
    };
    let format = ContentFormat::from_number(accept).ok_or_else(refused)?;
    let suits = match format {
        ContentFormat::Cbor | ContentFormat::Text => single.is_some(),
        ContentFormat::Link | ContentFormat::SenmlEtchCbor | ContentFormat::SenmlEtchJson => false,
        ContentFormat::Lwm2mCbor
        | ContentFormat::Lwm2mJson
        | ContentFormat::SenmlCbor
        | ContentFormat::SenmlJson
        | ContentFormat::Tlv => true,
        ContentFormat::Opaque => single == Some(DataType::Opaque),
    };
    if suits { Ok(format) } else { Err(refused()) }
}

fn plan_instance(
    instance: InstanceAddress,
    accept: Option<u16>,
    context: Context<'_>,
) -> Result<Plan, Reject> {
    let path = Path::Instance(instance.path);
    answer_format(path, accept, context.caller.enabler, context.catalogue)?;
    let catalogue = context.catalogue;
    let address = |resource| ResourceAddress {
        scope: instance.scope,
        path: ResourcePath {
            instance: instance.path,
            resource,
        },
    };
    let from_device: Vec<_> = (catalogue.resources(instance).into_iter().map(address))
        .filter(|address| {
            catalogue
                .resource(*address)
                .is_some_and(|found| found.owner == Owner::Device && found.operations.read)
        })
        .collect();
    if from_device.is_empty() {
        return Ok(Plan::Content(catalogue.latest(instance.into())));
    }
    Ok(Plan::Device(Action::Read(from_device), Then::Read))
}

fn plan_resource(
    address: Address,
    (resource, index): (ResourceAddress, Option<ResourceInstanceId>),
    accept: Option<u16>,
    context: Context<'_>,
) -> Result<Plan, Reject> {
    let found = target::find(resource, context)?;
    if !found.operations.read {
        return Err(Reject::method_not_allowed("the resource cannot be read"));
    }
    let definition = Some(found.definition);
    format_of(address.path, definition, accept, context.caller.enabler)?;
    match found.owner {
        Owner::Core | Owner::Stored => {
            let nodes = match context.catalogue.node_of(found, resource, index) {
                Some(node) => vec![node],
                // It says why there is nothing.
                None => content(address, &context.caller.origin, context.catalogue)?,
            };
            Ok(Plan::Content(nodes))
        }
        Owner::Device => Ok(Plan::Device(Action::Read(vec![resource]), Then::Read)),
    }
}

/// What is known of an address after the devices were asked, and the reader may know: instances that
/// it may not read are left out of what is wider. None readable is an empty answer.
///
/// # Errors
/// Where a single resource has no value, or its instance may not be read.
pub(crate) fn content(
    address: Address,
    reader: &Origin,
    catalogue: Catalogue<'_>,
) -> Result<Vec<Node>, Reject> {
    let may_read = |path| access::may_read(reader, path, catalogue.core);
    if !may_read(address.path) {
        return Err(Reject::unauthorized("there is no right to read here"));
    }
    let mut nodes = catalogue.latest(address);
    nodes.retain(|node| may_read(node.path.into()));
    let Some((resource, index)) = target::resource_of(address) else {
        return Ok(nodes);
    };
    if !nodes.is_empty() {
        return Ok(nodes);
    }
    match (catalogue.resource(resource), index) {
        (None, _) => Err(Reject::not_found("the resource does not exist")),
        (Some(_), Some(_)) if catalogue.content(resource).is_some() => {
            Err(Reject::not_found("the resource instance does not exist"))
        }
        (Some(found), _) if found.owner != Owner::Device => {
            Err(Reject::not_found("the resource has no value"))
        }
        (Some(_), _) => Err(Reject::from(Fault::NoValue)),
    }
}

/// The type of the only value that the path of a resource stands for.
const fn single_type(path: Path, definition: &ResourceDef) -> Option<DataType> {
    match (path, definition.multiplicity) {
        (Path::Resource(_), Multiplicity::Multiple) => None,
        _ => Some(definition.data_type),
    }
}
