//! Read-, Observe- and Write-Composite (Core 1.2, 6.3.8 and 6.3.9): many paths in one request.

use std::collections::BTreeMap;

use lamplighter_coap::Code;
use lamplighter_model::{Address, InstanceAddress, Path, ResourceAddress, ResourcePath};

use super::{Body, Caller, Context, Mode, Plan, create, target, write};
use crate::{
    access::{self, Right},
    catalogue::Catalogue,
    format::{self, Content, ContentFormat, Node},
    registration::Enabler,
    reject::Reject,
};

pub(super) fn plan_read(
    address: Address,
    body: &Body,
    accept: Option<u16>,
    context: Context<'_>,
) -> Result<Plan, Reject> {
    check_version(context)?;
    let paths = paths(body, context)?;
    answer_format(accept)?;
    let addressed = |path| Address { path, ..address };
    Ok(Plan::Composite(paths.into_iter().map(addressed).collect()))
}

/// What is known below several addresses, each resource once and in order: for Read-Composite and
/// its notifications, and for Send. What does not exist, has no value or is not for the caller is
/// left out.
///
/// # Errors
/// 4.01 where the caller may read none of the instances that are addressed.
pub(crate) fn composite_content(
    addresses: &[Address],
    caller: &Caller,
    catalogue: Catalogue<'_>,
) -> Result<Vec<Node>, Reject> {
    let mut found: BTreeMap<ResourceAddress, Node> = BTreeMap::new();
    let mut may_read: BTreeMap<InstanceAddress, bool> = BTreeMap::new();
    for address in addresses {
        for instance in instances(*address, catalogue) {
            let permitted = *may_read
                .entry(instance)
                .or_insert_with(|| is_readable(instance, caller, catalogue));
            if !permitted {
                continue;
            }
            let below = match address.path {
                Path::Root | Path::Object(_) | Path::Instance(_) => instance.into(),
                Path::Resource(_) | Path::ResourceInstance(..) => *address,
            };
            for node in catalogue.latest(below) {
                add(&mut found, instance, node);
            }
        }
    }
    if !may_read.is_empty() && may_read.values().all(|permitted| !permitted) {
        return Err(Reject::unauthorized("none of this is for this server"));
    }
    Ok(found.into_values().collect())
}

/// The content format of the answer.
///
/// # Errors
/// 4.06 for one that cannot carry several objects.
pub(crate) fn answer_format(accept: Option<u16>) -> Result<ContentFormat, Reject> {
    let Some(accept) = accept else {
        // As Anjay does; what is announced for this is the first of the structured formats.
        return Ok(ContentFormat::SenmlCbor);
    };
    match ContentFormat::from_number(accept) {
        Some(
            format @ (ContentFormat::Lwm2mCbor
            | ContentFormat::SenmlCbor
            | ContentFormat::SenmlJson),
        ) => Ok(format),
        _ => Err(Reject::new(
            Code::NOT_ACCEPTABLE,
            "the format cannot carry the answer",
        )),
    }
}

pub(super) fn plan_write(
    address: Address,
    body: &Body,
    context: Context<'_>,
) -> Result<Plan, Reject> {
    check_version(context)?;
    let (number, payload) = encoded(body)?;
    if !is_composite(write::format(number)?) {
        return Err(unsupported());
    }
    let decoded = write::decoded(address, number, payload, context)?;
    let mut writes = write::Writes::default();
    let at = |path| ResourceAddress {
        scope: address.scope,
        path,
    };
    for node in decoded.nodes {
        check(at(node.path), context)?;
        writes.add(at(node.path), node.content, Mode::Partial, context)?;
    }
    for (path, index) in decoded.deleted {
        check(at(path), context)?;
        create::check_deletable(at(path), index, context)?;
        writes.delete(path, index);
    }
    writes.plan(None, context)
}

/// A resource that is written exists, and its instance is for the caller.
fn check(resource: ResourceAddress, context: Context<'_>) -> Result<(), Reject> {
    target::check_object(resource.into(), context)?;
    target::check_instance(resource.instance(), Right::Write, context)?;
    target::find(resource, context).map(|_| ())
}

fn paths(body: &Body, context: Context<'_>) -> Result<Vec<Path>, Reject> {
    let (number, payload) = encoded(body)?;
    let format = write::format(number)?;
    Ok(format::decode_paths(format, context.prefix, payload)?)
}

fn encoded(body: &Body) -> Result<(Option<u16>, &[u8]), Reject> {
    match body {
        Body::Encoded { format, payload } => Ok((*format, payload)),
        Body::Value(_) => Err(unsupported()),
    }
}

fn unsupported() -> Reject {
    Reject::new(
        Code::UNSUPPORTED_CONTENT_FORMAT,
        "the format cannot carry several objects",
    )
}

/// Whether a Write-Composite can have the format.
const fn is_composite(format: ContentFormat) -> bool {
    match format {
        ContentFormat::Lwm2mCbor
        | ContentFormat::SenmlCbor
        | ContentFormat::SenmlEtchCbor
        | ContentFormat::SenmlEtchJson
        | ContentFormat::SenmlJson => true,
        ContentFormat::Cbor
        | ContentFormat::Link
        | ContentFormat::Lwm2mJson
        | ContentFormat::Opaque
        | ContentFormat::Text
        | ContentFormat::Tlv => false,
    }
}

/// Composite operations came with 1.1.
fn check_version(context: Context<'_>) -> Result<(), Reject> {
    if context.caller.enabler == Enabler::V1_0 {
        return Err(Reject::method_not_allowed(
            "composite operations exist since 1.1",
        ));
    }
    Ok(())
}

/// The instances that an address concerns, where they exist.
fn instances(address: Address, catalogue: Catalogue<'_>) -> Vec<InstanceAddress> {
    let paths = match (address.path, address.path.instance()) {
        (Path::Root, _) => catalogue.instances(address.scope),
        (Path::Object(object), _) => catalogue.instances_of(address.scope, object),
        (_, Some(path)) => vec![path],
        (_, None) => Vec::new(),
    };
    let at = |path| InstanceAddress {
        scope: address.scope,
        path,
    };
    paths
        .into_iter()
        .map(at)
        .filter(|instance| catalogue.has_instance(*instance))
        .collect()
}

fn is_readable(instance: InstanceAddress, caller: &Caller, catalogue: Catalogue<'_>) -> bool {
    access::check_object(instance.path.object).is_ok()
        && access::may_read(&caller.origin, instance.path.into(), catalogue.core)
}

/// Adds a resource, or more instances of one that is there.
fn add(found: &mut BTreeMap<ResourceAddress, Node>, instance: InstanceAddress, node: Node) {
    let address = ResourceAddress {
        scope: instance.scope,
        path: ResourcePath {
            instance: instance.path,
            ..node.path
        },
    };
    let Some(known) = found.get_mut(&address) else {
        found.insert(address, node);
        return;
    };
    if let (Content::Multiple(known), Content::Multiple(values)) =
        (&mut known.content, node.content)
    {
        let values = values.into_iter();
        let all: BTreeMap<_, _> = known.drain(..).chain(values).collect();
        known.extend(all);
    }
}
