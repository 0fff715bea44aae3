//! Write: everything is checked before anything is done (Core 1.2, 6.3.3: all or nothing).

use std::time::Duration;

use lamplighter_coap::Code;
use lamplighter_model::{
    Address, InstanceAddress, Path, ResourceAddress, ResourceInstanceId, ResourcePath, Value,
    device::{Action, Assignment},
    object::{Multiplicity, ResourceDef},
};

use super::{Body, Context, CoreWrite, Mode, Plan, Then, apply, target};
use crate::{
    access::Right,
    catalogue::Found,
    format::{self, Content, ContentFormat, Node},
    reject::Reject,
    tree::Owner,
};

/// What a checked payload comes to.
#[derive(Debug, Default)]
struct Writes {
    core: Vec<CoreWrite>,
    device: Vec<Assignment>,
}

pub(super) fn plan(
    address: Address,
    body: &Body,
    mode: Mode,
    hold: Option<Duration>,
    context: Context<'_>,
) -> Result<Plan, Reject> {
    target::check_object(address, context)?;
    let Some(instance) = target::instance_of(address) else {
        return Err(Reject::method_not_allowed(
            "an object cannot be written as a whole",
        ));
    };
    target::check_instance(instance, Right::Write, context)?;
    if let Some((resource, index)) = target::resource_of(address) {
        check_resource(resource, index, mode, context)?;
    }
    let nodes = nodes(address, body, context)?;
    let mut writes = Writes::default();
    for node in nodes {
        add(&mut writes, node, address, mode, context)?;
    }
    if let (Path::Instance(_), Mode::Replace) = (address.path, mode) {
        add_resets(&mut writes, instance, context)?;
    }
    apply(&writes.core, context.catalogue.core, context.catalogue)?;
    let then = Then::Written(writes.core);
    if writes.device.is_empty() {
        return Ok(Plan::Done(then));
    }
    Ok(Plan::Device(
        Action::Write {
            values: writes.device,
            hold,
        },
        then,
    ))
}

/// The target is a resource, or an instance of it, that can be written in this way.
fn check_resource(
    resource: ResourceAddress,
    index: Option<ResourceInstanceId>,
    mode: Mode,
    context: Context<'_>,
) -> Result<(), Reject> {
    let found = target::find(resource, context)?;
    if let (true, None, Mode::Partial) = (found.operations.execute, index, mode) {
        return Err(Reject::new(
            Code::UNSUPPORTED_CONTENT_FORMAT,
            "arguments of an Execute are plain text",
        ));
    }
    if !found.operations.write {
        return Err(Reject::method_not_allowed("the resource cannot be written"));
    }
    if let (None, Mode::Partial, Multiplicity::Single) =
        (index, mode, found.definition.multiplicity)
    {
        return Err(Reject::method_not_allowed(
            "a single value cannot be written in part",
        ));
    }
    let Some(index) = index else {
        return Ok(());
    };
    let exists = match context.catalogue.content(resource) {
        Some(Content::Multiple(values)) => values.iter().any(|(id, _)| *id == index),
        Some(Content::Single(_)) | None => false,
    };
    if exists {
        Ok(())
    } else {
        Err(Reject::not_found("the resource instance does not exist"))
    }
}

fn nodes(address: Address, body: &Body, context: Context<'_>) -> Result<Vec<Node>, Reject> {
    match body {
        Body::Encoded { format, payload } => decoded(address, *format, payload, context),
        Body::Value(value) => {
            let Some((resource, index)) = target::resource_of(address) else {
                return Err(Reject::bad_request(
                    "a single value is written to a resource",
                ));
            };
            let content = match index {
                None => Content::Single(value.clone()),
                Some(index) => Content::Multiple(vec![(index, value.clone())]),
            };
            Ok(vec![Node {
                path: resource.path,
                content,
                time: None,
            }])
        }
    }
}

fn decoded(
    address: Address,
    format: Option<u16>,
    payload: &[u8],
    context: Context<'_>,
) -> Result<Vec<Node>, Reject> {
    let format = format.and_then(ContentFormat::from_number).ok_or_else(|| {
        Reject::new(
            Code::UNSUPPORTED_CONTENT_FORMAT,
            "a Content-Format that this box reads is wanted",
        )
    })?;
    let definitions = context.catalogue.tree.definitions();
    let decoded = format::decode(format, address.path, context.prefix, payload, definitions)?;
    if decoded.nodes.iter().any(|node| node.time.is_some()) {
        return Err(Reject::bad_request("values to be written carry no time"));
    }
    Ok(decoded.nodes)
}

/// Checks one resource of the payload.
fn add(
    writes: &mut Writes,
    node: Node,
    address: Address,
    mode: Mode,
    context: Context<'_>,
) -> Result<(), Reject> {
    let resource = ResourceAddress {
        scope: address.scope,
        path: node.path,
    };
    let Some(found) = context.catalogue.resource(resource) else {
        // Core 1.2, 6.3.3: optional resources that are not supported are ignored inside an instance.
        return match address.path {
            Path::Instance(_) => Ok(()),
            Path::Root | Path::Object(_) | Path::Resource(_) | Path::ResourceInstance(..) => {
                Err(Reject::not_found("the resource does not exist"))
            }
        };
    };
    if !found.operations.write {
        return Err(Reject::method_not_allowed(format!(
            "resource {} cannot be written",
            node.path.resource
        )));
    }
    let content = fitted(node.content, found.definition)?;
    match found.owner {
        Owner::Core => {
            let node = Node { content, ..node };
            let is_part = matches!(address.path, Path::ResourceInstance(..));
            writes.core.push(match (&node.content, mode) {
                (Content::Multiple(_), Mode::Partial) => CoreWrite::Merge(node),
                (Content::Multiple(_), Mode::Replace) if is_part => CoreWrite::Merge(node),
                (Content::Multiple(_) | Content::Single(_), _) => CoreWrite::Set(node),
            });
        }
        Owner::Device => writes.device.extend(assignments(resource, content)),
    }
    Ok(())
}

/// Type, range and number of the values are as defined.
fn fitted(content: Content, definition: &ResourceDef) -> Result<Content, Reject> {
    let fit = |value: Value| {
        let value = value
            .fit(definition.data_type)
            .map_err(|error| Reject::bad_request(error.to_string()))?;
        check_range(&value, definition)?;
        Ok(value)
    };
    match (content, definition.multiplicity) {
        (Content::Single(value), Multiplicity::Single) => fit(value).map(Content::Single),
        (Content::Multiple(values), Multiplicity::Multiple) => {
            let values: Result<Vec<_>, Reject> = values
                .into_iter()
                .map(|(id, value)| Ok((id, fit(value)?)))
                .collect();
            values.map(Content::Multiple)
        }
        (Content::Single(_), Multiplicity::Multiple)
        | (Content::Multiple(_), Multiplicity::Single) => Err(Reject::bad_request(
            "one value for several, or several for one",
        )),
    }
}

fn check_range(value: &Value, definition: &ResourceDef) -> Result<(), Reject> {
    let Some((low, high)) = definition.range else {
        return Ok(());
    };
    let measure = match value {
        Value::Boolean(_) | Value::Objlnk(_) => None,
        Value::Corelnk(text) | Value::String(text) => Some(text.len() as f64),
        Value::Opaque(bytes) => Some(bytes.len() as f64),
        Value::Decimal(_)
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Time(_)
        | Value::Unsigned(_) => value.as_f64(),
    };
    if measure.is_none_or(|measure| (low..=high).contains(&measure)) {
        return Ok(());
    }
    Err(Reject::bad_request(format!(
        "resource {} takes values from {low} to {high}",
        definition.id
    )))
}

fn assignments(address: ResourceAddress, content: Content) -> Vec<Assignment> {
    match content {
        Content::Single(value) => vec![Assignment {
            address,
            index: None,
            value,
        }],
        Content::Multiple(values) => values
            .into_iter()
            .map(|(id, value)| Assignment {
                address,
                index: Some(id),
                value,
            })
            .collect(),
    }
}

/// A Replace of an instance names every mandatory writable resource; the optional ones of the core
/// go back to their defaults. What a device holds stays: it cannot be taken from it.
fn add_resets(
    writes: &mut Writes,
    instance: InstanceAddress,
    context: Context<'_>,
) -> Result<(), Reject> {
    for resource in context.catalogue.resources(instance) {
        let path = ResourcePath {
            instance: instance.path,
            resource,
        };
        let address = ResourceAddress {
            scope: instance.scope,
            path,
        };
        let Some(Found {
            definition,
            operations,
            owner,
        }) = context.catalogue.resource(address)
        else {
            continue;
        };
        if !operations.write || names(writes, address) {
            continue;
        }
        if definition.mandatory {
            return Err(Reject::bad_request(format!(
                "resource {resource} is missing"
            )));
        }
        if owner == Owner::Core {
            writes.core.push(CoreWrite::Reset(path));
        }
    }
    Ok(())
}

fn names(writes: &Writes, address: ResourceAddress) -> bool {
    let in_core = writes.core.iter().any(|write| match write {
        CoreWrite::Reset(path) => *path == address.path,
        CoreWrite::Merge(node) | CoreWrite::Set(node) => node.path == address.path,
    });
    in_core
        || writes
            .device
            .iter()
            .any(|assignment| assignment.address == address)
}
