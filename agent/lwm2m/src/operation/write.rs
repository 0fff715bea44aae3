//! Write: everything is checked before anything is done (Core 1.2, 6.3.3: all or nothing).

use std::{collections::BTreeSet, time::Duration};

use lamplighter_coap::Code;
use lamplighter_model::{
    Address, InstanceAddress, InstancePath, ObjectId, ObjectInstanceId, ObjectLink, Path,
    ResourceAddress, ResourceInstanceId, ResourcePath, Scope, Value,
    device::{Action, Assignment},
    object::{Multiplicity, ResourceDef},
};

use super::{Body, Context, Edit, Mode, Plan, Then, apply, gateway, target};
use crate::{
    access::Right,
    catalogue::Found,
    format::{self, Content, ContentFormat, Decoded, Node, UNASSIGNED, link},
    registration::Enabler,
    reject::Reject,
    tree::Owner,
};

/// What a checked payload comes to.
#[derive(Debug, Default)]
pub(super) struct Writes {
    device: Vec<Assignment>,
    edits: Vec<Edit>,
    /// Resources that are written.
    named: BTreeSet<ResourceAddress>,
}

impl Writes {
    /// What is to be done, where all of it is allowed. Several devices are written in one go: the
    /// site checks everything before it applies anything.
    pub(super) fn plan(self, hold: Option<Duration>, context: Context<'_>) -> Result<Plan, Reject> {
        apply(&self.edits, context.catalogue)?;
        let then = Then::Written(self.edits);
        if self.device.is_empty() {
            return Ok(Plan::Done(then));
        }
        let action = Action::Write {
            values: self.device,
            hold,
        };
        Ok(Plan::Device(action, then))
    }

    pub(super) fn delete(&mut self, path: ResourcePath, index: ResourceInstanceId) {
        self.edits.push(Edit::Delete(path, index));
    }

    /// Takes a resource that exists and can be written.
    pub(super) fn add(
        &mut self,
        address: ResourceAddress,
        content: Content,
        mode: Mode,
        context: Context<'_>,
    ) -> Result<(), Reject> {
        let found = target::find(address, context)?;
        if !found.operations.write {
            return Err(Reject::method_not_allowed(format!(
                "resource {} cannot be written",
                address.path.resource
            )));
        }
        let content = fitted(content, found.definition, context)?;
        self.named.insert(address);
        let node = Node {
            path: address.path,
            content,
            time: None,
        };
        match (found.owner, mode) {
            (Owner::Core | Owner::Stored, Mode::Partial) => self.edits.push(Edit::Merge(node)),
            (Owner::Core | Owner::Stored, Mode::Replace) => self.edits.push(Edit::Set(node)),
            (Owner::Device, Mode::Partial | Mode::Replace) => {
                self.device.extend(assignments(address, node.content));
            }
        }
        Ok(())
    }
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
    // The other instances of a multiple resource stay where one is written.
    let how = match address.path {
        Path::ResourceInstance(..) => Mode::Partial,
        Path::Root | Path::Object(_) | Path::Instance(_) | Path::Resource(_) => mode,
    };
    let mut writes = Writes::default();
    for node in nodes(address, body, context)? {
        let resource = ResourceAddress {
            scope: address.scope,
            path: node.path,
        };
        // Core 1.2, 6.3.3: optional resources that are not supported are ignored inside an
        // instance.
        let is_ignored = matches!(address.path, Path::Instance(_))
            && context.catalogue.resource(resource).is_none();
        if !is_ignored {
            writes.add(resource, node.content, how, context)?;
        }
    }
    if let (Path::Instance(_), Mode::Replace) = (address.path, mode) {
        add_resets(&mut writes, instance, context)?;
    }
    writes.plan(hold, context)
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
    if let (Enabler::V1_0, None, Mode::Partial) = (context.caller.enabler, index, mode) {
        return Err(Reject::method_not_allowed(
            "a resource is written in part since 1.1",
        ));
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
        Body::Encoded { format, payload } => Ok(decoded(address, *format, payload, context)?.nodes),
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

/// Reads a payload of values.
pub(super) fn decoded(
    address: Address,
    number: Option<u16>,
    payload: &[u8],
    context: Context<'_>,
) -> Result<Decoded, Reject> {
    let definitions = context.catalogue.tree.definitions();
    let decoded = format::decode(
        format(number)?,
        address.path,
        context.prefix,
        payload,
        definitions,
    )?;
    if decoded.nodes.iter().any(|node| node.time.is_some()) {
        return Err(Reject::bad_request("values to be written carry no time"));
    }
    Ok(decoded)
}

/// The format of a payload.
pub(super) fn format(number: Option<u16>) -> Result<ContentFormat, Reject> {
    number.and_then(ContentFormat::from_number).ok_or_else(|| {
        Reject::new(
            Code::UNSUPPORTED_CONTENT_FORMAT,
            "a Content-Format that this box reads is wanted",
        )
    })
}

/// Type, range and number of the values are as defined, and what links name exists.
pub(super) fn fitted(
    content: Content,
    definition: &ResourceDef,
    context: Context<'_>,
) -> Result<Content, Reject> {
    fitted_and(content, definition, |value| check_links(value, context))
}

/// Type, range and number of the values are as defined, and each of them passes a further `check`.
pub(crate) fn fitted_and(
    content: Content,
    definition: &ResourceDef,
    check: impl Fn(&Value) -> Result<(), Reject>,
) -> Result<Content, Reject> {
    let fit = |value: Value| {
        let value = value
            .fit(definition.data_type)
            .map_err(|error| Reject::bad_request(error.to_string()))?;
        check_range(&value, definition)?;
        check(&value)?;
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

/// lwm2m/20, 5: links lead to what exists, or to nothing.
fn check_links(value: &Value, context: Context<'_>) -> Result<(), Reject> {
    let exists = match value {
        Value::Objlnk(link) => is_present(*link, context),
        Value::Corelnk(text) => link::parse(text.as_bytes())?
            .iter()
            .all(|link| is_target_present(&link.target, context)),
        Value::Boolean(_)
        | Value::Decimal(_)
        | Value::Float(_)
        | Value::Integer(_)
        | Value::Opaque(_)
        | Value::String(_)
        | Value::Time(_)
        | Value::Unsigned(_) => true,
    };
    if exists {
        Ok(())
    } else {
        Err(Reject::bad_request("the link leads to nothing"))
    }
}

fn is_present(link: ObjectLink, context: Context<'_>) -> bool {
    let object = ObjectId(link.object);
    let path = InstancePath {
        object,
        instance: ObjectInstanceId(link.instance),
    };
    link == ObjectLink::NULL
        || (path.instance == UNASSIGNED && context.catalogue.has_object(Scope::Gateway, object))
        || context.catalogue.has_instance(gateway(path))
}

/// Targets that are no paths of ours are for others to understand.
fn is_target_present(target: &str, context: Context<'_>) -> bool {
    let Ok(path) = target.parse::<Path>() else {
        return !target.starts_with('/');
    };
    match (path.object(), path.instance()) {
        (_, Some(instance)) => context.catalogue.has_instance(gateway(instance)),
        (Some(object), None) => context.catalogue.has_object(Scope::Gateway, object),
        (None, None) => true,
    }
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

/// A Replace of an instance names every mandatory writable resource; the optional ones go back to
/// their defaults, or have no value any more. What a device holds stays: it cannot be taken from
/// it.
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
        if !operations.write || writes.named.contains(&address) {
            continue;
        }
        if definition.mandatory {
            return Err(Reject::bad_request(format!(
                "resource {resource} is missing"
            )));
        }
        match owner {
            Owner::Core | Owner::Stored => writes.edits.push(Edit::Reset(path)),
            Owner::Device => {}
        }
    }
    Ok(())
}
