//! Discover: what is there, and which attributes the asking server has attached (lwm2m/20, 4).
//!
//! The link of the target itself shows what is attached to it or inherited; links below it show
//! what is attached to them alone. Since 1.2 the server may say how deep the answer goes.

use std::collections::BTreeMap;

use lamplighter_model::{
    Address, InstanceAddress, InstancePath, ObjectId, Path, ResourceAddress, ResourcePath,
    device::Origin, object::Multiplicity,
};

use super::{
    Context, Plan,
    links::{self, Versions},
    target,
};
use crate::{
    format::{
        Content,
        link::{self, Link},
    },
    object,
    observe::{AttributeStore, Attributes},
    registration::{Enabler, List},
    reject::Reject,
    tree::Owner,
    view::View,
};

/// Levels below the target that can be asked for.
const MAX_DEPTH: u8 = 3;

pub(super) fn plan(
    address: Address,
    queries: &[String],
    context: Context<'_>,
) -> Result<Plan, Reject> {
    if address.path == Path::Root && matches!(context.caller.origin, Origin::Local(_)) {
        return Ok(Plan::Links(link::write(&everything(context))));
    }
    let object = target::check_object(address, context)?;
    if is_hidden(object, address, context) {
        return Err(Reject::not_found("the object does not exist"));
    }
    if let Some(instance) = target::instance_of(address)
        && !context.catalogue.has_instance(instance)
    {
        return Err(Reject::not_found("the instance does not exist"));
    }
    let depth = depth(address.path, queries, context.caller.enabler)?;
    let first = match address.path {
        Path::Root => return Err(Reject::method_not_allowed("discover needs an object")),
        Path::Object(_) => object_link(object, address, context),
        Path::Instance(path) => Link::new(path),
        Path::Resource(path) => resource_target(
            ResourceAddress {
                scope: address.scope,
                path,
            },
            context,
        )?,
        Path::ResourceInstance(..) => {
            return Err(Reject::method_not_allowed("discover ends at the resource"));
        }
    };
    let links = vec![inherited(address, context).print(first)];
    let mut listing = Listing {
        // Up to 1.1 links of resources carry attributes only where the target is an instance.
        bare_resources: context.caller.enabler < Enabler::V1_2
            && matches!(address.path, Path::Object(_)),
        context,
        links,
    };
    listing.add_below(address, depth);
    Ok(Plan::Links(link::write(&listing.links)))
}

/// Whether the server is not to know of the object; it was not told in its Register either.
fn is_hidden(asked: ObjectId, address: Address, context: Context<'_>) -> bool {
    let Origin::Server(ssid) = context.caller.origin else {
        return false;
    };
    if !object::is_location(asked) {
        return false;
    }
    let access = &context.catalogue.core.access;
    let instances = context.catalogue.instances_of(address.scope, asked);
    !instances.is_empty() && instances.iter().all(|path| access.hides(ssid, *path))
}

/// How many levels below the target are shown.
///
/// # Errors
/// 4.00 where a server of 1.2 asks for what is no depth; older ones do not know the query.
fn depth(path: Path, queries: &[String], enabler: Enabler) -> Result<u8, Reject> {
    let usual = match (path, enabler) {
        (Path::Root | Path::Object(_), _) => 2,
        // Resource instances came with 1.1.
        (Path::Resource(_), Enabler::V1_0) => 0,
        (Path::Instance(_) | Path::Resource(_) | Path::ResourceInstance(..), _) => 1,
    };
    if enabler < Enabler::V1_2 {
        return Ok(usual);
    }
    match queries {
        [] => Ok(usual),
        [query] => query
            .strip_prefix("depth=")
            .and_then(|depth| depth.parse().ok())
            .filter(|depth| *depth <= MAX_DEPTH)
            .ok_or_else(|| Reject::bad_request("depth is 0 to 3, and the only query")),
        _ => Err(Reject::bad_request("depth is the only query")),
    }
}

/// For a person, what a Register lists. A server was told already.
fn everything(context: Context<'_>) -> Vec<Link> {
    let versions = Versions {
        configured: &BTreeMap::new(),
        enabler: context.caller.enabler,
    };
    links::registration(context.catalogue, (View::Flat, None), versions, List::Full)
}

fn object_link(object: ObjectId, address: Address, context: Context<'_>) -> Link {
    let configured = BTreeMap::new();
    let versions = Versions {
        configured: &configured,
        enabler: context.caller.enabler,
    };
    versions.link(address.path, object, context.catalogue)
}

/// Links in the making.
struct Listing<'a> {
    bare_resources: bool,
    context: Context<'a>,
    links: Vec<Link>,
}

impl Listing<'_> {
    /// What lies below an address, each link with what is attached to it itself.
    fn add_below(&mut self, address: Address, depth: u8) {
        let Some(depth) = depth.checked_sub(1) else {
            return;
        };
        for (path, link) in children(address, self.context) {
            let child = Address { path, ..address };
            let bare = self.bare_resources && matches!(path, Path::Resource(_));
            self.links.push(if bare {
                link
            } else {
                attached(child, self.context).print(link)
            });
            self.add_below(child, depth);
        }
    }
}

fn children(address: Address, context: Context<'_>) -> Vec<(Path, Link)> {
    match address.path {
        Path::Root | Path::ResourceInstance(..) => Vec::new(),
        Path::Object(object) => context
            .catalogue
            .instances_of(address.scope, object)
            .into_iter()
            .map(|path| (path.into(), Link::new(path)))
            .collect(),
        Path::Instance(path) => resources(path, address, context)
            .into_iter()
            .map(|(path, link)| (path.into(), link))
            .collect(),
        Path::Resource(path) => resource_instances(path, address, context),
    }
}

fn resource_target(resource: ResourceAddress, context: Context<'_>) -> Result<Link, Reject> {
    target::find(resource, context)?;
    resource_link(resource, context)
        .map(|(_, link)| link)
        .ok_or_else(|| Reject::not_found("the resource has no value"))
}

fn resource_instances(
    path: ResourcePath,
    address: Address,
    context: Context<'_>,
) -> Vec<(Path, Link)> {
    let resource = ResourceAddress {
        scope: address.scope,
        path,
    };
    let Some(Content::Multiple(values)) = context.catalogue.content(resource) else {
        return Vec::new();
    };
    let indices = values.into_iter().map(|(index, _)| index);
    indices
        .map(|index| Path::ResourceInstance(path, index))
        .map(|path| (path, Link::new(path)))
        .collect()
}

/// The resources of an instance with their links, no attributes but `dim`.
fn resources(
    instance: InstancePath,
    address: Address,
    context: Context<'_>,
) -> Vec<(ResourcePath, Link)> {
    let ids = context
        .catalogue
        .resources(InstanceAddress {
            scope: address.scope,
            path: instance,
        })
        .into_iter();
    let resource = |resource| ResourceAddress {
        scope: address.scope,
        path: ResourcePath { instance, resource },
    };
    ids.filter_map(|id| resource_link(resource(id), context))
        .collect()
}

/// `None` for an optional resource of the core that has no value.
fn resource_link(address: ResourceAddress, context: Context<'_>) -> Option<(ResourcePath, Link)> {
    let found = context.catalogue.resource(address)?;
    let present = found.owner == Owner::Device
        || found.operations.execute
        || context.catalogue.content(address).is_some();
    if !present {
        return None;
    }
    let link = Link::new(address.path);
    Some((
        address.path,
        match found.definition.multiplicity {
            Multiplicity::Single => link,
            Multiplicity::Multiple => link.plain("dim", context.catalogue.dimension(address)),
        },
    ))
}

fn attached(address: Address, context: Context<'_>) -> Attributes {
    context
        .attributes
        .and_then(|store| store.at(address))
        .unwrap_or_default()
}

fn inherited(address: Address, context: Context<'_>) -> Attributes {
    context
        .attributes
        .map(|store: &AttributeStore| store.inherited(address))
        .unwrap_or_default()
}
